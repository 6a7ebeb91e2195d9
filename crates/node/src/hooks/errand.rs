//! What one hook has to do for one virtual router or sync group: one errand at a time, the newest next.

use std::sync::Arc;
use std::time::Duration;

use monotonic::Instant;

use super::Subject;
use crate::config::{HookConfig, Occasion};
use crate::name::HookName;
use crate::report::HookEvent;
use crate::status::{ErrandOutcome, ErrandStatus};

/// The longest that a hook which fails waits for its next attempt.
pub const LONGEST_RETRY: Duration = Duration::from_mins(1);

/// Something that a hook has to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Errand {
    /// The hook.
    pub hook: HookName,
    /// What it does.
    pub config: Arc<HookConfig>,
    /// Whose change it is for.
    pub subject: Subject,
    /// What the change is.
    pub occasion: Occasion,
    /// Why it happened.
    pub reason: String,
    /// Which time it is tried, from 1.
    pub attempt: u32,
    /// How long it may take.
    pub limit: Duration,
    /// When nobody waits for it any more; it is then not begun, and never tried again.
    pub(super) until: Option<Instant>,
    /// What was wrong with the last attempt that failed.
    pub(super) error: Option<String>,
}

/// What follows from something that happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Step {
    Run(Errand),
    Tell(Occasion, HookEvent),
    /// Nobody has to wait for it any more.
    Prepared,
}

/// What one hook has to do for one virtual router or sync group.
#[derive(Clone, Debug, Default)]
pub(super) struct Errands(State);

#[derive(Clone, Debug, Default)]
enum State {
    /// Nothing has been wanted of it yet.
    #[default]
    Unused,
    Running {
        errand: Errand,
        since: Instant,
        course: Course,
        next: Next,
    },
    /// It has failed and is tried again.
    Waiting {
        errand: Errand,
        since: Instant,
        until: Instant,
    },
    Ended {
        errand: Errand,
        since: Instant,
        end: End,
    },
}

/// How what runs goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Course {
    /// It will end.
    Bounded,
    /// It was killed, and nobody knows when it goes.
    Stuck,
}

/// How an errand has ended for good.
#[derive(Clone, Copy, Debug)]
enum End {
    Success,
    Failure,
}

/// What comes after what runs.
#[derive(Clone, Debug)]
enum Next {
    /// The same again, if it fails.
    Same,
    /// Nothing: what it is for is over.
    Nothing { newer: Occasion },
    /// This.
    Errand(Errand),
}

impl Errands {
    pub(super) fn next_deadline(&self) -> Option<Instant> {
        match &self.0 {
            State::Waiting { until, .. } => Some(*until),
            State::Unused | State::Running { .. } | State::Ended { .. } => None,
        }
    }

    /// Tells whether something runs that comes to an end.
    pub(super) fn is_running(&self) -> bool {
        matches!(self.0, State::Running { course: Course::Bounded, .. })
    }

    /// Tells whether what runs, or comes next, is what a hand-over waits for.
    pub(super) fn are_before_release(&self) -> bool {
        match &self.0 {
            State::Running { next: Next::Errand(next), .. } => next.until.is_some(),
            State::Running { errand, next: Next::Same, .. } => errand.until.is_some(),
            State::Running { next: Next::Nothing { .. }, .. }
            | State::Unused
            | State::Waiting { .. }
            | State::Ended { .. } => false,
        }
    }

    /// Returns what came of the last errand so far; nothing when there was none.
    pub(super) fn status(&self) -> Option<ErrandStatus> {
        let (errand, since, outcome) = match &self.0 {
            State::Unused => return None,
            State::Running { errand, since, course: Course::Bounded, .. } => {
                (errand, since, ErrandOutcome::Running)
            }
            State::Running { errand, since, course: Course::Stuck, .. } => {
                (errand, since, ErrandOutcome::Stuck)
            }
            State::Waiting { errand, since, until } => {
                (errand, since, ErrandOutcome::Waiting { until: *until })
            }
            State::Ended { errand, since, end: End::Success } => (errand, since, ErrandOutcome::Succeeded),
            State::Ended { errand, since, end: End::Failure } => (errand, since, ErrandOutcome::Failed),
        };
        Some(ErrandStatus {
            occasion: errand.occasion,
            attempt: errand.attempt,
            outcome,
            since: *since,
            error: errand.error.clone(),
        })
    }

    /// Takes on an errand, in place of what has not begun.
    pub(super) fn add(&mut self, errand: Errand, now: Instant) -> Vec<Step> {
        match std::mem::take(&mut self.0) {
            State::Unused | State::Ended { .. } => self.begin(errand, now),
            State::Running { errand: running, since, course, next } => {
                let mut steps = Vec::new();
                if let Next::Errand(stale) = next {
                    skip(&stale, errand.occasion, &mut steps);
                }
                self.0 = State::Running { errand: running, since, course, next: Next::Errand(errand) };
                steps
            }
            State::Waiting { errand: stale, .. } => {
                let mut steps = Vec::new();
                skip(&stale, errand.occasion, &mut steps);
                steps.extend(self.begin(errand, now));
                steps
            }
        }
    }

    /// Gives up what has not begun: what it was for is over, and this hook is not for what has come.
    pub(super) fn supersede(&mut self, newer: Occasion) -> Vec<Step> {
        let mut steps = Vec::new();
        match std::mem::take(&mut self.0) {
            other @ (State::Unused | State::Ended { .. }) => self.0 = other,
            State::Running { errand, since, course, next } => {
                if let Next::Errand(stale) = next {
                    skip(&stale, newer, &mut steps);
                }
                self.0 = State::Running { errand, since, course, next: Next::Nothing { newer } };
            }
            State::Waiting { errand, since, .. } => {
                skip(&errand, newer, &mut steps);
                self.0 = State::Ended { errand, since, end: End::Failure };
            }
        }
        steps
    }

    /// Notes that what runs was killed and does not go: what comes next waits for that, since two never overlap.
    pub(super) fn note_stuck(&mut self, reason: String, now: Instant) -> Vec<Step> {
        let State::Running { errand, since, course, .. } = &mut self.0 else { return Vec::new() };
        (*since, *course) = (now, Course::Stuck);
        errand.error = Some(reason.clone());
        vec![Step::Tell(errand.occasion, HookEvent::Stuck { attempt: errand.attempt, reason })]
    }

    /// Goes on after what ran has come to an end.
    pub(super) fn finish(&mut self, outcome: Result<(), String>, took: Duration, now: Instant) -> Vec<Step> {
        let (mut errand, next) = match std::mem::take(&mut self.0) {
            State::Running { errand, next, .. } => (errand, next),
            other @ (State::Unused | State::Waiting { .. } | State::Ended { .. }) => {
                self.0 = other;
                return Vec::new();
            }
        };
        let (attempt, occasion) = (errand.attempt, errand.occasion);
        // What a hand-over waited for is over with it.
        let is_unfinished = outcome.is_err() && errand.until.is_none();
        let retry_after = (is_unfinished && matches!(next, Next::Same)).then(|| delay(&errand));
        let (event, end) = match outcome {
            Ok(()) => (HookEvent::Succeeded { attempt, took }, End::Success),
            Err(reason) => {
                errand.error = Some(reason.clone());
                (HookEvent::Failed { attempt, reason, retry_after }, End::Failure)
            }
        };
        let mut steps = vec![Step::Tell(occasion, event)];
        if errand.until.is_some() {
            steps.push(Step::Prepared);
        }
        match next {
            Next::Errand(next) => {
                if is_unfinished {
                    skip(&errand, next.occasion, &mut steps);
                }
                steps.extend(self.begin(next, now));
            }
            Next::Nothing { newer } => {
                if is_unfinished {
                    skip(&errand, newer, &mut steps);
                }
                self.0 = State::Ended { errand, since: now, end };
            }
            Next::Same => {
                self.0 = match retry_after {
                    Some(delay) => State::Waiting { errand, since: now, until: now + delay },
                    None => State::Ended { errand, since: now, end },
                };
            }
        }
        steps
    }

    /// Tries again what is due to be.
    pub(super) fn fire(&mut self, now: Instant) -> Vec<Step> {
        match std::mem::take(&mut self.0) {
            State::Waiting { mut errand, until, .. } if until <= now => {
                errand.attempt += 1;
                self.begin(errand, now)
            }
            other @ (State::Unused | State::Running { .. } | State::Waiting { .. } | State::Ended { .. }) => {
                self.0 = other;
                Vec::new()
            }
        }
    }

    fn begin(&mut self, mut errand: Errand, now: Instant) -> Vec<Step> {
        if let Some(until) = errand.until {
            if until <= now {
                let reason = "what had to end before took until nobody waited any more".to_owned();
                errand.error = Some(reason.clone());
                let event = HookEvent::Failed { attempt: errand.attempt, reason, retry_after: None };
                let steps = vec![Step::Tell(errand.occasion, event), Step::Prepared];
                self.0 = State::Ended { errand, since: now, end: End::Failure };
                return steps;
            }
            errand.limit = errand.limit.min(until - now);
        }
        let started = HookEvent::Started { attempt: errand.attempt };
        let course = Course::Bounded;
        self.0 = State::Running { errand: errand.clone(), since: now, course, next: Next::Same };
        vec![Step::Tell(errand.occasion, started), Step::Run(errand)]
    }
}

fn skip(stale: &Errand, newer: Occasion, steps: &mut Vec<Step>) {
    steps.push(Step::Tell(stale.occasion, HookEvent::Skipped { newer }));
    if stale.until.is_some() {
        steps.push(Step::Prepared);
    }
}

/// How long after this attempt the next one is made.
fn delay(errand: &Errand) -> Duration {
    let doublings = (errand.attempt - 1).min(16);
    errand.config.retry_after.saturating_mul(1 << doublings).min(LONGEST_RETRY.max(errand.config.retry_after))
}
