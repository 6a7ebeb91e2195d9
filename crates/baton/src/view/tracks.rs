//! The tracks of a node, as an operator sees them.

use jiff::Timestamp;
use node::status::{ComingState, TrackProblem, TrackState, TrackStatus};
use serde::{Deserialize, Serialize};

use super::{Calendar, short};

/// One track.
#[derive(Debug, Serialize, Deserialize)]
pub struct TrackView {
    /// unknown, up, down, or number for a file with a weight.
    pub state: String,
    /// What the file says.
    pub number: Option<i32>,
    pub since: Timestamp,
    /// What was seen then.
    pub reason: String,
    /// What it looks at.
    pub kind: String,
    /// fault, or weight and its number.
    pub effect: String,
    /// What it will be, unless that is withdrawn before.
    pub coming: Option<ComingView>,
    /// What was wrong when it was last looked at, whether that counts already or not.
    pub problem: Option<ProblemView>,
}

/// What a track will be, unless that is withdrawn before.
#[derive(Debug, Serialize, Deserialize)]
pub struct ComingView {
    /// up or down.
    pub state: String,
    /// What was seen.
    pub reason: String,
    pub at: Timestamp,
}

/// What is wrong with a track's thing, or with looking at it.
#[derive(Debug, Serialize, Deserialize)]
pub struct ProblemView {
    /// `not_started`, `exit_code`, signal, `timed_out`, stuck, unreadable or `no_number`.
    pub cause: String,
    /// The exit code, or the signal's number.
    pub code: Option<i32>,
    pub since: Timestamp,
    /// What was last seen of it.
    pub reason: String,
}

impl TrackView {
    /// Puts a track into the view's terms.
    pub fn new(track: &TrackStatus, calendar: Calendar) -> Self {
        let number = match track.state {
            TrackState::Number(number) => Some(number),
            TrackState::Unknown | TrackState::Up | TrackState::Down => None,
        };
        Self {
            state: word(track.state).to_owned(),
            number,
            since: calendar.time(track.since),
            reason: track.reason.clone(),
            kind: track.kind.clone(),
            effect: track.effect.clone(),
            coming: track.coming.as_ref().map(|coming| ComingView::new(coming, calendar)),
            problem: track.problem.as_ref().map(|problem| ProblemView::new(problem, calendar)),
        }
    }

    /// Returns what was seen, and what is wrong now where that is something else.
    pub fn full_reason(&self) -> String {
        let reason = &self.reason;
        let problem = match &self.problem {
            Some(ProblemView { since, reason: problem, .. }) if problem != reason => {
                format!("; since {}: {problem}", short(*since))
            }
            Some(_) | None => String::new(),
        };
        let coming = match &self.coming {
            Some(ComingView { state, reason, at }) => format!("; {state} at {}: {reason}", short(*at)),
            None => String::new(),
        };
        format!("{reason}{problem}{coming}")
    }

    /// Returns its state in one cell.
    pub fn cell(&self) -> String {
        self.number.map_or_else(|| self.state.clone(), |number| number.to_string())
    }
}

impl ComingView {
    fn new(coming: &ComingState, calendar: Calendar) -> Self {
        let ComingState { state, reason, at } = coming;
        Self { state: word(*state).to_owned(), reason: reason.clone(), at: calendar.time(*at) }
    }
}

fn word(state: TrackState) -> &'static str {
    match state {
        TrackState::Unknown => "unknown",
        TrackState::Up => "up",
        TrackState::Down => "down",
        TrackState::Number(_) => "number",
    }
}

impl ProblemView {
    fn new(problem: &TrackProblem, calendar: Calendar) -> Self {
        let TrackProblem { cause, reason, since } = problem;
        Self {
            cause: cause.word().to_owned(),
            code: cause.code(),
            since: calendar.time(*since),
            reason: reason.clone(),
        }
    }
}
