//! Keeps an event that could come with every packet from filling the log.

use std::collections::BTreeMap;
use std::time::Duration;

use monotonic::Instant;

/// How long an event of one kind is not told again: as rare as a person wants to read it, as often as a monitor needs it.
const SILENCE: Duration = Duration::from_mins(1);

/// Remembers when each kind of event was last told.
#[derive(Clone, Debug)]
pub(super) struct Quiet<K>(BTreeMap<K, Instant>);

impl<K> Default for Quiet<K> {
    fn default() -> Self {
        Self(BTreeMap::new())
    }
}

impl<K: Ord> Quiet<K> {
    /// Tells whether an event of this kind should be told now, and takes it as told then.
    pub(super) fn lets_through(&mut self, kind: K, now: Instant) -> bool {
        let is_quiet = self.0.get(&kind).is_some_and(|told| now - *told < SILENCE);
        if !is_quiet {
            self.0.insert(kind, now);
        }
        !is_quiet
    }
}
