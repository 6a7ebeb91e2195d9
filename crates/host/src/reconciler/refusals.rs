//! What the kernel did not do: told once, tried again with growing patience.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use node::plan::Change;
use node::reconciliation::{Refusal, RefusalKind};
use tokio::time::Instant;

use super::services::service_of;

/// How long after the first refusal a change is tried again; each further one doubles it.
const FIRST_PAUSE: Duration = Duration::from_millis(500);

/// The longest pause between two tries.
const LONGEST_PAUSE: Duration = Duration::from_secs(16);

/// The changes that the kernel refused, by what they are.
#[derive(Debug, Default)]
pub(super) struct Refusals {
    by_change: BTreeMap<String, Refused>,
}

#[derive(Debug)]
struct Refused {
    reason: String,
    pause: Duration,
    retry_at: Instant,
    goes_by_links: bool,
}

/// Whether something was known before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum News {
    Fresh,
    Known,
}

impl Refusals {
    /// Tells whether a change may be tried.
    pub(super) fn is_due(&self, change: &Change, now: Instant) -> bool {
        self.by_change.is_empty()
            || self.by_change.get(&change.to_string()).is_none_or(|refused| refused.retry_at <= now)
    }

    /// Remembers a refusal, and returns it where somebody has to hear of it: the first time, and for another reason.
    pub(super) fn refuse(
        &mut self,
        change: &Change,
        kind: RefusalKind,
        reason: &str,
        now: Instant,
    ) -> Option<Refusal> {
        let identity = change.to_string();
        let before = self.by_change.get(&identity);
        let pause = before.map_or(FIRST_PAUSE, |before| (before.pause * 2).clamp(FIRST_PAUSE, LONGEST_PAUSE));
        let is_known = before.is_some_and(|before| before.reason == reason);
        let goes_by_links = service_of(change).is_none();
        let refused = Refused { reason: reason.to_owned(), pause, retry_at: now + pause, goes_by_links };
        self.by_change.insert(identity, refused);
        (!is_known).then(|| Refusal { change: change.clone(), kind, reason: reason.to_owned() })
    }

    /// Remembers that a change could not be made because what was seen had aged; that is no refusal the first time.
    pub(super) fn surprise(&mut self, change: &Change, now: Instant) -> News {
        let identity = change.to_string();
        if self.by_change.contains_key(&identity) {
            return News::Known;
        }
        let surprised =
            Refused { reason: String::new(), pause: Duration::ZERO, retry_at: now, goes_by_links: false };
        self.by_change.insert(identity, surprised);
        News::Fresh
    }

    /// Forgets a change that was made.
    pub(super) fn forgive(&mut self, change: &Change) {
        if !self.by_change.is_empty() {
            self.by_change.remove(&change.to_string());
        }
    }

    /// Forgets those that nobody wants any more.
    pub(super) fn retain(&mut self, planned: &[Change]) {
        if self.by_change.is_empty() {
            return;
        }
        let planned: BTreeSet<_> = planned.iter().map(Change::to_string).collect();
        self.by_change.retain(|identity, _| planned.contains(identity));
    }

    /// Has addresses and routes tried again at once: something about the links has changed.
    pub(super) fn hurry_addresses(&mut self, now: Instant) {
        for refused in self.by_change.values_mut().filter(|refused| refused.goes_by_links) {
            refused.retry_at = now;
        }
    }

    /// Returns when the next one is due.
    pub(super) fn next(&self) -> Option<Instant> {
        self.by_change.values().map(|refused| refused.retry_at).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use node::config::InterfaceAddress;
    use node::name::InterfaceName;
    use node::plan::Step;

    fn change(last: u8) -> Change {
        let interface = InterfaceName::new("eth0").unwrap();
        Change::Address(Step::Take, InterfaceAddress::new(interface, [10, 77, 0, last].into(), 24))
    }

    fn refuse(refusals: &mut Refusals, last: u8, reason: &str, now: Instant) -> bool {
        refusals.refuse(&change(last), RefusalKind::Kernel, reason, now).is_some()
    }

    #[test]
    fn a_refusal_is_news_once_per_reason_and_waits_longer_each_time() {
        let mut refusals = Refusals::default();
        let start = Instant::now();
        assert!(refuse(&mut refusals, 1, "no", start));
        assert!(!refusals.is_due(&change(1), start));
        assert!(refusals.is_due(&change(2), start));
        assert_eq!(refusals.next(), Some(start + FIRST_PAUSE));
        assert!(!refuse(&mut refusals, 1, "no", start));
        assert_eq!(refusals.next(), Some(start + 2 * FIRST_PAUSE));
        assert!(refuse(&mut refusals, 1, "never", start));
        for _ in 0..10 {
            assert!(!refuse(&mut refusals, 1, "never", start));
        }
        assert_eq!(refusals.next(), Some(start + LONGEST_PAUSE));
    }

    #[test]
    fn a_surprise_is_tried_again_at_once_and_a_refusal_the_second_time() {
        let mut refusals = Refusals::default();
        let start = Instant::now();
        assert_eq!(refusals.surprise(&change(1), start), News::Fresh);
        assert!(refusals.is_due(&change(1), start));
        assert_eq!(refusals.surprise(&change(1), start), News::Known);
        assert!(refuse(&mut refusals, 1, "gone", start));
        assert_eq!(refusals.next(), Some(start + FIRST_PAUSE));
    }

    #[test]
    fn what_is_made_or_not_wanted_any_more_is_forgotten() {
        let mut refusals = Refusals::default();
        let start = Instant::now();
        for last in 1..=3 {
            assert!(refuse(&mut refusals, last, "no", start));
        }
        refusals.forgive(&change(1));
        assert!(refusals.is_due(&change(1), start));
        refusals.retain(&[change(3)]);
        assert!(refusals.is_due(&change(2), start));
        assert!(!refusals.is_due(&change(3), start));
        refusals.hurry_addresses(start);
        assert!(refusals.is_due(&change(3), start));
    }
}
