//! How often what somebody else removes again and again is put back.

use std::collections::BTreeMap;
use std::time::Duration;

use node::plan::Change;
use tokio::time::Instant;

/// How long after a route, a rule or an interface was put back it is put back again: two programs that each undo what the
/// other does would else keep a processor and the log busy.
const REPAIR_PAUSE: Duration = Duration::from_secs(1);

/// What was put back a moment ago, by what it is.
#[derive(Debug, Default)]
pub(super) struct Pace {
    repaired: BTreeMap<String, Instant>,
}

impl Pace {
    /// Notes that something was put back.
    pub(super) fn note(&mut self, change: &Change, now: Instant) {
        self.repaired.insert(change.to_string(), now);
    }

    /// Tells whether a change may be made now; what was put back long enough ago is forgotten.
    pub(super) fn is_due(&mut self, change: &Change, now: Instant) -> bool {
        self.repaired.retain(|_, repaired| now < *repaired + REPAIR_PAUSE);
        self.repaired.is_empty() || !self.repaired.contains_key(&change.to_string())
    }

    /// Returns when the next change is due that has to wait.
    pub(super) fn next(&self) -> Option<Instant> {
        self.repaired.values().min().map(|repaired| *repaired + REPAIR_PAUSE)
    }
}
