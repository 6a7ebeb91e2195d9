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

    /// Forgets what was put back long enough ago.
    pub(super) fn forget(&mut self, now: Instant) {
        self.repaired.retain(|_, repaired| now < *repaired + REPAIR_PAUSE);
    }

    /// Tells whether a change may be made now.
    pub(super) fn is_due(&self, change: &Change) -> bool {
        self.repaired.is_empty() || !self.repaired.contains_key(&change.to_string())
    }

    /// Returns when the next change is due that has to wait.
    pub(super) fn next(&self) -> Option<Instant> {
        self.repaired.values().min().map(|repaired| *repaired + REPAIR_PAUSE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use node::config::InterfaceAddress;
    use node::input_drop::InputDrop;
    use node::name::InterfaceName;
    use node::plan::Step;

    #[test]
    fn what_was_put_back_waits_for_a_while_and_then_nobody_waits() {
        let address = InterfaceAddress::new(InterfaceName::new("eth0").unwrap(), [10, 77, 0, 50].into(), 24);
        let change = Change::Drop(Step::Take, InputDrop::of(&address));
        let mut pace = Pace::default();
        let start = Instant::now();
        pace.note(&change, start);
        assert!(!pace.is_due(&change));
        assert_eq!(pace.next(), Some(start + REPAIR_PAUSE));
        pace.forget(start + REPAIR_PAUSE / 2);
        assert!(!pace.is_due(&change));
        // A moment that has passed would wake the reconciler again and again.
        pace.forget(start + REPAIR_PAUSE);
        assert!(pace.is_due(&change));
        assert_eq!(pace.next(), None);
    }
}
