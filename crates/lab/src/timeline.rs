//! What a client noticed: every probe it sent and what became of it.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A probe that is not answered for so long is lost, unless an answer comes after all.
pub const PATIENCE: Duration = Duration::from_secs(1);

/// One probe and its fate.
#[derive(Clone, Debug)]
pub struct Probe {
    /// When it was due and sent.
    pub sent: Instant,
    /// What became of it.
    pub fate: Fate,
}

/// What became of a probe.
#[derive(Clone, Debug)]
pub enum Fate {
    /// Nothing has been heard yet.
    Waiting,
    /// It was answered.
    Answered {
        /// When the whole answer had arrived.
        at: Instant,
        /// Who answered, where the answer says so.
        by: Option<Arc<str>>,
    },
    /// It will not be answered any more.
    Failed(Failure),
}

/// Why a probe was not answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Failure {
    /// The connection was refused.
    Refused,
    /// The connection was reset or closed before the answer was complete.
    Broken,
    /// There is no way to the address.
    Unreachable,
    /// No answer came within [`PATIENCE`].
    TimedOut,
    /// The answer had another HTTP status than 200.
    Status(u16),
}

/// A time without an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gap {
    /// The last answer before, or the beginning.
    pub from: Instant,
    /// The first answer after, or the end of the observation.
    pub to: Instant,
}

impl Gap {
    /// How long it lasted.
    pub fn duration(self) -> Duration {
        self.to.duration_since(self.from)
    }
}

/// The probes of a time, in the order of sending.
#[derive(Clone, Debug)]
pub struct Timeline {
    from: Instant,
    to: Instant,
    interval: Duration,
    probes: Vec<Probe>,
}

impl Timeline {
    pub(crate) fn new(from: Instant, to: Instant, interval: Duration, probes: Vec<Probe>) -> Self {
        Self { from, to, interval, probes }
    }

    /// The part from a moment on.
    ///
    /// Its first gap begins with the last answer before that moment, so an outage that an event at that moment
    /// causes is seen whole.
    #[must_use]
    pub fn since(&self, moment: Instant) -> Self {
        let before = self.answers().into_iter().rev().find(|&answer| answer <= moment);
        let late = |probe: &&Probe| match probe.fate {
            Fate::Answered { at, .. } => at > moment,
            Fate::Waiting | Fate::Failed(_) => probe.sent >= moment,
        };
        let probes = self.probes.iter().filter(late).cloned().collect();
        Self { from: before.unwrap_or(self.from), to: self.to, interval: self.interval, probes }
    }

    /// When the observation began.
    pub fn from(&self) -> Instant {
        self.from
    }

    /// When the observation ended.
    pub fn to(&self) -> Instant {
        self.to
    }

    /// The time between two probes: no gap can be measured more finely.
    pub fn interval(&self) -> Duration {
        self.interval
    }

    /// Every probe, in the order of sending.
    pub fn probes(&self) -> &[Probe] {
        &self.probes
    }

    /// How many probes were sent.
    pub fn sent(&self) -> usize {
        self.probes.len()
    }

    /// How many probes were not answered, those excepted for which there is still hope.
    pub fn lost(&self) -> usize {
        self.failures().values().sum()
    }

    /// Why probes were not answered, and how many of each.
    pub fn failures(&self) -> BTreeMap<Failure, usize> {
        let mut failures = BTreeMap::new();
        for probe in &self.probes {
            let failure = match probe.fate {
                Fate::Failed(failure) => failure,
                Fate::Waiting if self.to.duration_since(probe.sent) >= PATIENCE => Failure::TimedOut,
                Fate::Waiting | Fate::Answered { .. } => continue,
            };
            *failures.entry(failure).or_default() += 1;
        }
        failures
    }

    /// Who answered, and how often.
    pub fn answered_by(&self) -> BTreeMap<&str, usize> {
        let mut servers = BTreeMap::new();
        for probe in &self.probes {
            if let Fate::Answered { by: Some(server), .. } = &probe.fate {
                *servers.entry(server.as_ref()).or_default() += 1;
            }
        }
        servers
    }

    /// The longest time without an answer.
    ///
    /// Without any disturbance that is about the interval. It is measured between arrivals, so a probe that waited
    /// somewhere and was answered late does not hide an outage.
    pub fn longest_gap(&self) -> Gap {
        let longest = self.gaps().max_by_key(|gap| gap.duration());
        longest.expect("there is one gap more than there are answers")
    }

    /// Every time without an answer that is longer than the given one.
    pub fn gaps_over(&self, duration: Duration) -> impl Iterator<Item = Gap> {
        self.gaps().filter(move |gap| gap.duration() > duration)
    }

    fn gaps(&self) -> impl Iterator<Item = Gap> {
        let answers = self.answers();
        let starts = std::iter::once(self.from).chain(answers.clone());
        let ends = answers.into_iter().chain(std::iter::once(self.to));
        starts.zip(ends).map(|(from, to)| Gap { from, to })
    }

    /// When answers arrived, in that order.
    fn answers(&self) -> Vec<Instant> {
        let mut answers: Vec<_> = self.probes.iter().filter_map(|probe| answered_at(&probe.fate)).collect();
        answers.sort_unstable();
        answers
    }
}

/// When an answer arrived, if one did.
pub(crate) fn answered_at(fate: &Fate) -> Option<Instant> {
    match fate {
        Fate::Answered { at, .. } => Some(*at),
        Fate::Waiting | Fate::Failed(_) => None,
    }
}

impl fmt::Display for Timeline {
    /// One line: `sent 2000, lost 361 (361 no answer), longest gap 361.4 ms`.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "sent {}, lost {}", self.sent(), self.lost())?;
        let failures = self.failures();
        let words: Vec<_> = failures.iter().map(|(failure, count)| format!("{count} {failure}")).collect();
        if !words.is_empty() {
            write!(formatter, " ({})", words.join(", "))?;
        }
        write!(formatter, ", longest gap {:.1} ms", self.longest_gap().duration().as_secs_f64() * 1e3)?;
        for (server, count) in self.answered_by() {
            write!(formatter, ", {server} {count}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused => formatter.write_str("refused"),
            Self::Broken => formatter.write_str("broken off"),
            Self::Unreachable => formatter.write_str("unreachable"),
            Self::TimedOut => formatter.write_str("no answer"),
            Self::Status(status) => write!(formatter, "status {status}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    /// Probes every 10 ms; each number is how many ms its answer took, and none means that it never came.
    fn timeline(start: Instant, answers: &[Option<u32>], length: u32) -> Timeline {
        let probe = |(number, after): (usize, &Option<u32>)| {
            let sent = start + MS * 10 * u32::try_from(number).unwrap();
            let fate =
                after.map_or(Fate::Waiting, |after| Fate::Answered { at: sent + MS * after, by: None });
            Probe { sent, fate }
        };
        let probes = answers.iter().enumerate().map(probe).collect();
        Timeline::new(start, start + MS * length, MS * 10, probes)
    }

    #[test]
    fn a_gap_reaches_from_the_last_answer_to_the_next() {
        let start = Instant::now();
        let seen = timeline(start, &[Some(1), Some(1), None, None, Some(1), Some(1)], 2000);
        assert_eq!(seen.since(start).lost(), 2);
        let gap = seen.gaps_over(MS * 15).next().unwrap();
        assert_eq!((gap.from, gap.to), (start + MS * 11, start + MS * 41));
        assert_eq!(seen.longest_gap().to, seen.to(), "nothing was answered at the end");
    }

    #[test]
    fn answers_that_waited_somewhere_do_not_hide_an_outage() {
        let start = Instant::now();
        let seen = timeline(start, &[Some(1), Some(41), Some(31), Some(21), Some(11), Some(1)], 52);
        assert_eq!(seen.lost(), 0);
        assert_eq!(seen.longest_gap().duration(), MS * 50);
    }

    #[test]
    fn what_was_sent_just_now_is_not_lost_yet() {
        let start = Instant::now();
        assert_eq!(timeline(start, &[Some(1), None, None], 1015).lost(), 1);
    }

    #[test]
    fn a_part_sees_the_outage_that_begins_with_it_whole() {
        let start = Instant::now();
        let seen = timeline(start, &[None, Some(1), Some(1), None, None, Some(1)], 60);
        let part = seen.since(start + MS * 25);
        assert_eq!(part.sent(), 3);
        assert_eq!(part.longest_gap(), Gap { from: start + MS * 21, to: start + MS * 51 });
    }
}
