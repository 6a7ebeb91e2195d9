//! One check of one real server: what is asked, how often, and the verdict that its outcomes add up to.

use std::num::NonZeroU8;
use std::sync::Arc;
use std::time::Duration;

use monotonic::Instant;

/// How far apart the first probes of checks that start together are: a real server's accept queue and this node's
/// processor see one after the other.
pub const FIRST_PROBE_GAP: Duration = Duration::from_millis(1);

/// How long after an inconclusive probe the next one comes at the latest: a shortage on this node is over soon, and
/// until then nobody watches.
pub const INCONCLUSIVE_RETRY: Duration = Duration::from_secs(1);

/// The shortest time from probe to probe that a check can ask for; it keeps an interval of zero from spinning.
pub const SHORTEST_INTERVAL: Duration = Duration::from_millis(1);

/// What is asked of a real server, how often, and how many answers make a verdict.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    /// What is asked.
    pub kind: CheckKind,
    /// From the start of one probe to the start of the next.
    pub interval: Duration,
    /// How long one probe may take.
    pub timeout: Duration,
    /// How many good probes in a row bring a real server in.
    pub rise: NonZeroU8,
    /// How many bad probes in a row take it out.
    pub fall: NonZeroU8,
}

/// The question that a check asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CheckKind {
    /// Does a TCP connection open?
    Tcp,
    /// Does a GET request bring the expected answer?
    Http(HttpCheck),
}

/// A GET request and the answer that counts as good.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpCheck {
    /// The path, with its query if any.
    pub path: String,
    /// The `Host` header; the real server's address and port when left out.
    pub host: Option<String>,
    /// The status codes that count as good, as inclusive ranges.
    pub status: Vec<(u16, u16)>,
    /// What the body has to contain.
    pub body: Option<String>,
}

/// Names one check of one real server for as long as it lives; never given twice by one [`Roster`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ProbeId(u64);

/// What came of one probe.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The real server answered as expected.
    Good,
    /// The real server did not answer, or not as expected; the text says what it did instead.
    Bad(String),
    /// This node could not ask, for a reason of its own, given as text: it says nothing about the real server.
    Inconclusive(String),
}

/// What the outcomes of a check add up to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Neither enough good nor enough bad probes in a row yet; not fit. At most one of the two counts is not zero.
    Checking {
        /// Good probes in a row.
        good: u8,
        /// Bad probes in a row.
        bad: u8,
    },
    /// Fit.
    Up {
        /// Bad probes in a row.
        bad: u8,
    },
    /// Not fit.
    Down {
        /// Good probes in a row.
        good: u8,
    },
}

impl Verdict {
    /// What a check begins with: a real server is not served to before it has proved itself.
    pub const UNKNOWN: Self = Self::Checking { good: 0, bad: 0 };

    /// Returns the same verdict with nothing counted towards another.
    #[must_use]
    pub const fn afresh(self) -> Self {
        match self {
            Self::Checking { .. } => Self::UNKNOWN,
            Self::Up { .. } => Self::Up { bad: 0 },
            Self::Down { .. } => Self::Down { good: 0 },
        }
    }
}

/// The moment at which a verdict became another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// To [`Verdict::Up`].
    Up,
    /// To [`Verdict::Down`].
    Down,
}

/// One check under way.
///
/// ```text
///                 rise good                 fall bad
///   Checking ───────────────────► Up ◄───────────────────► Down
///       │                              rise good            ▲
///       └───────────────────────────────────────────────────┘
///                               fall bad
/// ```
///
/// An inconclusive probe moves and counts nothing.
#[derive(Clone, Debug)]
pub struct Health {
    id: ProbeId,
    check: Arc<Check>,
    verdict: Verdict,
    complaint: Option<String>,
    first_probe: Instant,
    progress: Progress,
}

#[derive(Clone, Copy, Debug)]
enum Progress {
    Waiting { until: Instant },
    Probing { next: Instant },
}

impl Health {
    /// Returns the name of this check.
    pub fn id(&self) -> ProbeId {
        self.id
    }

    /// Returns what is asked.
    pub fn check(&self) -> &Arc<Check> {
        &self.check
    }

    /// Returns what the outcomes add up to so far.
    pub fn verdict(&self) -> Verdict {
        self.verdict
    }

    /// Returns what the last probe found amiss, nothing when it was good or there was none.
    pub fn complaint(&self) -> Option<&str> {
        self.complaint.as_deref()
    }

    /// Returns when the next probe is to start, nothing while one is under way.
    pub fn next_probe(&self) -> Option<Instant> {
        match self.progress {
            Progress::Waiting { until } => Some(until),
            Progress::Probing { .. } => None,
        }
    }

    /// Notes that a probe starts now; the next one follows an interval after the moment this one was due.
    ///
    /// Each check keeps its own phase, so that checks that were spread once stay spread, also after a pause.
    pub fn start_probe(&mut self, now: Instant) {
        self.progress = Progress::Probing { next: self.next_in_phase(now) };
    }

    /// Takes the outcome of the probe under way; nothing happens when none is.
    ///
    /// Returns whether the verdict became another by it.
    #[must_use]
    pub fn finish_probe(&mut self, outcome: Outcome, now: Instant) -> Option<Turn> {
        let Progress::Probing { next } = self.progress else { return None };
        let until = match outcome {
            Outcome::Good | Outcome::Bad(_) => next,
            Outcome::Inconclusive(_) => next.min(now + INCONCLUSIVE_RETRY),
        };
        self.progress = Progress::Waiting { until };
        let turn = self.judge(&outcome);
        self.complaint = match outcome {
            Outcome::Good => None,
            Outcome::Bad(reason) | Outcome::Inconclusive(reason) => Some(reason),
        };
        turn
    }

    fn judge(&mut self, outcome: &Outcome) -> Option<Turn> {
        let (rise, fall) = (self.check.rise.get(), self.check.fall.get());
        let (verdict, turn) = match (self.verdict, outcome) {
            (Verdict::Checking { good, .. } | Verdict::Down { good }, Outcome::Good) if good + 1 >= rise => {
                (Verdict::Up { bad: 0 }, Some(Turn::Up))
            }
            (Verdict::Checking { good, .. }, Outcome::Good) => {
                (Verdict::Checking { good: good + 1, bad: 0 }, None)
            }
            (Verdict::Down { good }, Outcome::Good) => (Verdict::Down { good: good + 1 }, None),
            (Verdict::Up { .. }, Outcome::Good) => (Verdict::Up { bad: 0 }, None),

            (Verdict::Checking { bad, .. } | Verdict::Up { bad }, Outcome::Bad(_)) if bad + 1 >= fall => {
                (Verdict::Down { good: 0 }, Some(Turn::Down))
            }
            (Verdict::Checking { bad, .. }, Outcome::Bad(_)) => {
                (Verdict::Checking { good: 0, bad: bad + 1 }, None)
            }
            (Verdict::Up { bad }, Outcome::Bad(_)) => (Verdict::Up { bad: bad + 1 }, None),
            (Verdict::Down { .. }, Outcome::Bad(_)) => (Verdict::Down { good: 0 }, None),

            (
                Verdict::Checking { .. } | Verdict::Up { .. } | Verdict::Down { .. },
                Outcome::Inconclusive(_),
            ) => (self.verdict, None),
        };
        self.verdict = verdict;
        turn
    }

    fn next_in_phase(&self, now: Instant) -> Instant {
        let interval = self.check.interval.max(SHORTEST_INTERVAL);
        let into_the_interval = (now - self.first_probe).as_nanos() % interval.as_nanos();
        let into_the_interval =
            u64::try_from(into_the_interval).expect("an interval is shorter than 584 years");
        now + interval.saturating_sub(Duration::from_nanos(into_the_interval))
    }
}

/// Names new checks and spreads their first probes.
///
/// The checks that start together, at the start or by one reload, begin [`FIRST_PROBE_GAP`] apart and wrap around at
/// their interval: a few are all under way at once, ten thousand are spread evenly.
#[derive(Clone, Debug, Default)]
pub struct Roster {
    enrolled: u64,
    before_this_group: u64,
}

impl Roster {
    /// Begins a group of checks that start together.
    pub fn begin_group(&mut self) {
        self.before_this_group = self.enrolled;
    }

    /// Returns the next check of the group, with what is known about its real server already.
    pub fn enrol(&mut self, check: Arc<Check>, verdict: Verdict, now: Instant) -> Health {
        let gaps_in_interval = (check.interval.as_nanos() / FIRST_PROBE_GAP.as_nanos()).max(1);
        let gaps = u128::from(self.enrolled - self.before_this_group) % gaps_in_interval;
        let gaps = u32::try_from(gaps).unwrap_or(u32::MAX);
        let first_probe = now + FIRST_PROBE_GAP * gaps;
        let id = ProbeId(self.enrolled);
        self.enrolled += 1;
        let progress = Progress::Waiting { until: first_probe };
        Health { id, check, verdict, complaint: None, first_probe, progress }
    }
}

#[cfg(test)]
mod tests;
