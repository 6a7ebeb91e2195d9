//! Tracks: what else has to be well for this node to be the Active, and what follows when it is not.
//!
//! A track that nothing is known of yet keeps a node that starts from taking part; it never takes a role away.

mod config;
mod priority_sum;
mod problem;

use std::sync::Arc;
use std::time::Duration;

use monotonic::Instant;

pub use self::config::{
    Delays, Effect, Requirement, Sense, TrackConfig, TrackKind, TrackWeight, WEIGHT_LIMIT, WeightError,
};
pub use self::priority_sum::PrioritySum;
pub use self::problem::{Problem, ProblemCause};
use crate::link::LinkState;
use crate::name::TrackName;
use crate::report::Report;
use crate::status::{ComingState, TrackProblem, TrackState, TrackStatus};

/// What was seen of a track's thing from outside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Observation {
    /// The script ended well.
    Passed,
    /// So many processes of the name run.
    Processes(u32),
    /// The file holds this number.
    Number(i32),
    /// The file is not there.
    NoFile,
    /// The script does not end well, or nothing clear is to be seen of a file or of processes.
    Wrong(Problem),
}

/// What a track means for a virtual router.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Meaning {
    /// Nothing is known yet.
    Unknown,
    /// It cannot take part.
    Fault {
        /// Why.
        reason: String,
    },
    /// So much is added to its priority.
    Points(i32),
}

/// How the thing itself is, whatever that means for anybody.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Condition {
    Good,
    Bad,
    Number(i32),
}

/// One track and what is known of it.
#[derive(Clone, Debug)]
pub(crate) struct Track {
    config: Arc<TrackConfig>,
    /// What holds; nothing before the first observation.
    settled: Option<Condition>,
    since: Instant,
    reason: String,
    /// How many observations in a row said something else than what holds.
    differing: u8,
    /// What will hold unless it is withdrawn before.
    coming: Option<Coming>,
    /// What was wrong when it was last looked at.
    problem: Option<TrackProblem>,
    /// What the operator was told of that.
    alarm: Alarm,
}

/// What an observation says.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Word {
    condition: Condition,
    reason: String,
    /// What is wrong, where more is known than that something is.
    cause: Option<ProblemCause>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Coming {
    word: Word,
    at: Instant,
}

/// What an operator is told of besides what it makes of a track, once each until it is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Alarm {
    /// Nothing.
    Quiet,
    /// That nothing clear is to be had.
    Unclear,
    /// That a script cannot even be killed.
    Stuck,
}

impl Alarm {
    const fn at(cause: ProblemCause) -> Self {
        match cause {
            ProblemCause::NotStarted | ProblemCause::ExitCode(_) | ProblemCause::Signal(_) => Self::Quiet,
            ProblemCause::TimedOut | ProblemCause::Unreadable | ProblemCause::NoNumber => Self::Unclear,
            ProblemCause::Stuck => Self::Stuck,
        }
    }
}

impl Word {
    fn of(condition: Condition, reason: impl Into<String>) -> Self {
        Self { condition, reason: reason.into(), cause: None }
    }
}

impl Track {
    pub(crate) fn new(config: Arc<TrackConfig>, now: Instant) -> Self {
        Self {
            config,
            settled: None,
            since: now,
            reason: "nothing is known of it yet".to_owned(),
            differing: 0,
            coming: None,
            problem: None,
            alarm: Alarm::Quiet,
        }
    }

    pub(crate) fn config(&self) -> &Arc<TrackConfig> {
        &self.config
    }

    /// Returns when [`Self::fire`] is wanted.
    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        self.coming.as_ref().map(|coming| coming.at)
    }

    /// Returns what the track means for the virtual routers that have it.
    pub(crate) fn meaning(&self) -> Meaning {
        let Some(settled) = self.settled else { return Meaning::Unknown };
        match (self.config.effect, self.sensed(settled)) {
            (Effect::Fault, Condition::Good) => Meaning::Points(0),
            (Effect::Fault, Condition::Bad | Condition::Number(_)) => {
                Meaning::Fault { reason: self.reason.clone() }
            }
            (Effect::Weight(weight), Condition::Good) => Meaning::Points(weight.get().max(0)),
            (Effect::Weight(weight), Condition::Bad) => Meaning::Points(weight.get().min(0)),
            (Effect::Weight(weight), Condition::Number(number)) => {
                Meaning::Points(number.saturating_mul(weight.get()).clamp(-WEIGHT_LIMIT, WEIGHT_LIMIT))
            }
        }
    }

    pub(crate) fn status(&self) -> TrackStatus {
        TrackStatus {
            state: self.settled.map_or(TrackState::Unknown, |settled| self.state(settled)),
            since: self.since,
            reason: self.reason.clone(),
            kind: self.config.kind.to_string(),
            effect: self.config.effect.to_string(),
            coming: self.coming.as_ref().map(|Coming { word, at }| ComingState {
                state: self.state(word.condition),
                reason: word.reason.clone(),
                at: *at,
            }),
            problem: self.problem.clone(),
        }
    }

    fn state(&self, condition: Condition) -> TrackState {
        match self.sensed(condition) {
            Condition::Good => TrackState::Up,
            Condition::Bad => TrackState::Down,
            Condition::Number(number) => TrackState::Number(number),
        }
    }

    /// Takes over what was seen of the thing, and returns what is to be told about it.
    pub(crate) fn observe(&mut self, name: &TrackName, seen: Observation, now: Instant) -> Vec<Report> {
        let problem = match &seen {
            Observation::Wrong(problem) => Some(problem.clone()),
            Observation::Passed
            | Observation::Processes(_)
            | Observation::Number(_)
            | Observation::NoFile => None,
        };
        let alarm = self.take_note(name, problem, now);
        let word = self.judge(seen).and_then(|word| self.take_in(name, word, now));
        alarm.into_iter().chain(word).collect()
    }

    /// Keeps what is wrong, and returns what is to be told of it.
    fn take_note(&mut self, name: &TrackName, problem: Option<Problem>, now: Instant) -> Option<Report> {
        let before = self.problem.take();
        let Some(Problem { cause, reason }) = problem else {
            self.alarm = Alarm::Quiet;
            return None;
        };
        let since = before.filter(|before| before.cause == cause).map_or(now, |before| before.since);
        self.problem = Some(TrackProblem { cause, reason: reason.clone(), since });
        let told = std::mem::replace(&mut self.alarm, Alarm::at(cause));
        if self.alarm != Alarm::Quiet && self.alarm <= told {
            self.alarm = told;
            return None;
        }
        let track = name.clone();
        match cause {
            ProblemCause::NotStarted | ProblemCause::ExitCode(_) | ProblemCause::Signal(_) => None,
            ProblemCause::TimedOut => Some(Report::TrackTimedOut { track, reason }),
            ProblemCause::Stuck => Some(Report::TrackStuck { track, reason }),
            ProblemCause::Unreadable | ProblemCause::NoNumber => {
                Some(Report::TrackUnclear { track, cause, reason })
            }
        }
    }

    /// Takes over how the tracked interface is; other tracks do not care.
    pub(crate) fn follow_link(
        &mut self,
        name: &TrackName,
        link: Option<&LinkState>,
        now: Instant,
    ) -> Option<Report> {
        let TrackKind::Interface { interface, requirement, .. } = &self.config.kind else { return None };
        let word = match (link, requirement) {
            (None, _) => Word::of(Condition::Bad, format!("{interface} does not exist")),
            (Some(link), _) if !link.is_up => {
                Word::of(Condition::Bad, format!("{interface} is down or has no carrier"))
            }
            (Some(link), Requirement::Address) if !link.has_global_address() => {
                Word::of(Condition::Bad, format!("{interface} has no address of its own"))
            }
            (Some(_), Requirement::Carrier | Requirement::Address) => {
                Word::of(Condition::Good, format!("{interface} is up"))
            }
        };
        self.take_in(name, word, now)
    }

    /// Lets hold what has lasted long enough.
    pub(crate) fn fire(&mut self, name: &TrackName, now: Instant) -> Option<Report> {
        let Coming { word, at: _ } = self.coming.take_if(|coming| coming.at <= now)?;
        Some(self.settle(name, word, now))
    }

    /// Returns what an observation says; nothing where it changes nothing or is not of this kind.
    fn judge(&self, seen: Observation) -> Option<Word> {
        Some(match seen {
            Observation::Passed => Word::of(Condition::Good, "the script ended well"),
            Observation::Processes(count) => {
                let TrackKind::Process { minimum, .. } = self.config.kind else { return None };
                let condition = if count >= minimum { Condition::Good } else { Condition::Bad };
                Word::of(condition, format!("{count} of the {minimum} processes run"))
            }
            Observation::Number(number) => {
                Word::of(self.condition_of(number), format!("the file says {number}"))
            }
            Observation::NoFile => Word::of(self.condition_of(0), "the file is not there, which means 0"),
            Observation::Wrong(problem) => return self.judge_problem(problem),
        })
    }

    fn judge_problem(&self, Problem { cause, reason }: Problem) -> Option<Word> {
        let is_file = matches!(self.config.kind, TrackKind::File { .. });
        match cause {
            ProblemCause::NotStarted
            | ProblemCause::ExitCode(_)
            | ProblemCause::Signal(_)
            | ProblemCause::TimedOut
            | ProblemCause::Stuck => Some(Word { condition: Condition::Bad, reason, cause: Some(cause) }),
            ProblemCause::Unreadable | ProblemCause::NoNumber if is_file && self.settled.is_none() => {
                let reason = format!("{reason}; taken for 0");
                Some(Word { condition: self.condition_of(0), reason, cause: Some(cause) })
            }
            // What was clear goes on to hold.
            ProblemCause::Unreadable | ProblemCause::NoNumber => None,
        }
    }

    fn condition_of(&self, number: i32) -> Condition {
        match self.config.effect {
            Effect::Weight(_) => Condition::Number(number),
            Effect::Fault if number == 0 => Condition::Good,
            Effect::Fault => Condition::Bad,
        }
    }

    fn take_in(&mut self, name: &TrackName, word: Word, now: Instant) -> Option<Report> {
        let condition = word.condition;
        if self.settled == Some(condition) {
            self.differing = 0;
            self.coming = None;
            return None;
        }
        self.differing = self.differing.saturating_add(1);
        let (count, delay) = match self.settled {
            // The first word is the best that there is.
            None => (1, Duration::ZERO),
            Some(Condition::Good | Condition::Bad | Condition::Number(_)) => self.patience(condition),
        };
        if self.differing < count {
            return None;
        }
        if delay.is_zero() {
            return Some(self.settle(name, word, now));
        }
        if self.coming.as_ref().is_none_or(|coming| coming.word.condition != condition) {
            self.coming = Some(Coming { word, at: now + delay });
        }
        None
    }

    /// Returns how often in a row and for how long something has to be seen before it holds.
    fn patience(&self, condition: Condition) -> (u8, Duration) {
        match (&self.config.kind, condition) {
            (TrackKind::Script { rise, .. }, Condition::Good) => (rise.get(), Duration::ZERO),
            (TrackKind::Script { fall, .. }, Condition::Bad) => (fall.get(), Duration::ZERO),
            (TrackKind::Interface { delays, .. } | TrackKind::Process { delays, .. }, Condition::Good) => {
                (1, delays.up)
            }
            (TrackKind::Interface { delays, .. } | TrackKind::Process { delays, .. }, Condition::Bad) => {
                (1, delays.down)
            }
            (TrackKind::File { .. }, Condition::Good | Condition::Bad) | (_, Condition::Number(_)) => {
                (1, Duration::ZERO)
            }
        }
    }

    fn settle(&mut self, name: &TrackName, word: Word, now: Instant) -> Report {
        let Word { condition, reason, cause } = word;
        self.settled = Some(condition);
        self.differing = 0;
        self.coming = None;
        (self.since, self.reason) = (now, reason.clone());
        let track = name.clone();
        match self.sensed(condition) {
            Condition::Good => Report::TrackUp { track, reason, cause },
            Condition::Bad => Report::TrackDown { track, reason, cause },
            Condition::Number(number) => Report::TrackNumber { track, number, reason },
        }
    }

    fn sensed(&self, condition: Condition) -> Condition {
        match (self.config.sense, condition) {
            (Sense::Straight, condition) => condition,
            (Sense::Reversed, Condition::Good) => Condition::Bad,
            (Sense::Reversed, Condition::Bad) => Condition::Good,
            (Sense::Reversed, Condition::Number(number)) => Condition::Number(number),
        }
    }
}

#[cfg(test)]
mod tests;
