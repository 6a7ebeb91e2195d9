//! The tracks of a node, as an operator sees them.

use jiff::Timestamp;
use node::status::{TrackState, TrackStatus};
use serde::{Deserialize, Serialize};

use super::Calendar;

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
}

impl TrackView {
    /// Puts a track into the view's terms.
    pub fn new(track: &TrackStatus, calendar: Calendar) -> Self {
        let (state, number) = match track.state {
            TrackState::Unknown => ("unknown", None),
            TrackState::Up => ("up", None),
            TrackState::Down => ("down", None),
            TrackState::Number(number) => ("number", Some(number)),
        };
        Self {
            state: state.to_owned(),
            number,
            since: calendar.time(track.since),
            reason: track.reason.clone(),
            kind: track.kind.clone(),
            effect: track.effect.clone(),
        }
    }

    /// Returns its state in one cell.
    pub fn cell(&self) -> String {
        self.number.map_or_else(|| self.state.clone(), |number| number.to_string())
    }
}
