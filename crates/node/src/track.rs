//! Tracks: what else has to be well for this node to be the Active, and what follows when it is not.
//!
//! A track that nothing is known of yet keeps a node that starts from taking part; it never takes a role away.

mod config;
mod priority_sum;

use std::sync::Arc;
use std::time::Duration;

use monotonic::Instant;

pub use self::config::{
    Delays, Effect, Requirement, Sense, TrackConfig, TrackKind, TrackWeight, WEIGHT_LIMIT, WeightError,
};
pub use self::priority_sum::PrioritySum;
use crate::link::LinkState;
use crate::name::TrackName;
use crate::report::Report;
use crate::status::{TrackState, TrackStatus};

/// What was seen of a track's thing from outside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Observation {
    /// The script ended well.
    Passed,
    /// The script did not, or could not be run.
    Failed {
        /// Why.
        reason: String,
    },
    /// The script did not end in its time.
    TimedOut {
        /// How long that was, and what it said.
        reason: String,
    },
    /// So many processes of the name run.
    Processes(u32),
    /// The file holds this number.
    Number(i32),
    /// The file is not there.
    NoFile,
    /// The file holds no number, or cannot be read.
    Unclear {
        /// Why.
        reason: String,
    },
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
    /// Whether the operator was told that nothing clear is to be had.
    clarity: Clarity,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Coming {
    condition: Condition,
    reason: String,
    at: Instant,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Clarity {
    Clear,
    Unclear,
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
            clarity: Clarity::Clear,
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
        let state = match self.settled.map(|settled| self.sensed(settled)) {
            None => TrackState::Unknown,
            Some(Condition::Good) => TrackState::Up,
            Some(Condition::Bad) => TrackState::Down,
            Some(Condition::Number(number)) => TrackState::Number(number),
        };
        TrackStatus {
            state,
            since: self.since,
            reason: self.reason.clone(),
            kind: self.config.kind.to_string(),
            effect: self.config.effect.to_string(),
        }
    }

    /// Takes over what was seen of the thing, and returns what is to be told about it.
    pub(crate) fn observe(&mut self, name: &TrackName, seen: Observation, now: Instant) -> Vec<Report> {
        let mut reports = Vec::new();
        let unclear = match &seen {
            Observation::TimedOut { reason } => {
                Some(Report::TrackTimedOut { track: name.clone(), reason: reason.clone() })
            }
            Observation::Unclear { reason } => {
                Some(Report::TrackUnclear { track: name.clone(), reason: reason.clone() })
            }
            Observation::Passed
            | Observation::Failed { .. }
            | Observation::Processes(_)
            | Observation::Number(_)
            | Observation::NoFile => None,
        };
        let before = self.clarity;
        self.clarity = if unclear.is_some() { Clarity::Unclear } else { Clarity::Clear };
        reports.extend(unclear.filter(|_| before == Clarity::Clear));
        if let Some((condition, reason)) = self.judge(seen) {
            reports.extend(self.take_in(name, condition, reason, now));
        }
        reports
    }

    /// Takes over how the tracked interface is; other tracks do not care.
    pub(crate) fn follow_link(
        &mut self,
        name: &TrackName,
        link: Option<&LinkState>,
        now: Instant,
    ) -> Option<Report> {
        let TrackKind::Interface { interface, requirement, .. } = &self.config.kind else { return None };
        let (condition, reason) = match (link, requirement) {
            (None, _) => (Condition::Bad, format!("{interface} does not exist")),
            (Some(link), _) if !link.is_up => {
                (Condition::Bad, format!("{interface} is down or has no carrier"))
            }
            (Some(link), Requirement::Address) if !link.has_global_address() => {
                (Condition::Bad, format!("{interface} has no address of its own"))
            }
            (Some(_), Requirement::Carrier | Requirement::Address) => {
                (Condition::Good, format!("{interface} is up"))
            }
        };
        self.take_in(name, condition, reason, now)
    }

    /// Lets hold what has lasted long enough.
    pub(crate) fn fire(&mut self, name: &TrackName, now: Instant) -> Option<Report> {
        let Coming { condition, reason, .. } = self.coming.take_if(|coming| coming.at <= now)?;
        Some(self.settle(name, condition, reason, now))
    }

    /// Returns what an observation says; nothing where it changes nothing or is not of this kind.
    fn judge(&self, seen: Observation) -> Option<(Condition, String)> {
        Some(match seen {
            Observation::Passed => (Condition::Good, "the script ended well".to_owned()),
            Observation::Failed { reason } | Observation::TimedOut { reason } => (Condition::Bad, reason),
            Observation::Processes(count) => {
                let TrackKind::Process { minimum, .. } = self.config.kind else { return None };
                let condition = if count >= minimum { Condition::Good } else { Condition::Bad };
                (condition, format!("{count} of the {minimum} processes run"))
            }
            Observation::Number(number) => (self.condition_of(number), format!("the file says {number}")),
            Observation::NoFile => (self.condition_of(0), "the file is not there, which means 0".to_owned()),
            // What was clear goes on to hold.
            Observation::Unclear { .. } if self.settled.is_some() => return None,
            Observation::Unclear { reason } => (self.condition_of(0), format!("{reason}; taken for 0")),
        })
    }

    fn condition_of(&self, number: i32) -> Condition {
        match self.config.effect {
            Effect::Weight(_) => Condition::Number(number),
            Effect::Fault if number == 0 => Condition::Good,
            Effect::Fault => Condition::Bad,
        }
    }

    fn take_in(
        &mut self,
        name: &TrackName,
        condition: Condition,
        reason: String,
        now: Instant,
    ) -> Option<Report> {
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
            return Some(self.settle(name, condition, reason, now));
        }
        if self.coming.as_ref().is_none_or(|coming| coming.condition != condition) {
            self.coming = Some(Coming { condition, reason, at: now + delay });
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

    fn settle(&mut self, name: &TrackName, condition: Condition, reason: String, now: Instant) -> Report {
        self.settled = Some(condition);
        self.differing = 0;
        self.coming = None;
        (self.since, self.reason) = (now, reason.clone());
        let track = name.clone();
        match self.sensed(condition) {
            Condition::Good => Report::TrackUp { track, reason },
            Condition::Bad => Report::TrackDown { track, reason },
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
