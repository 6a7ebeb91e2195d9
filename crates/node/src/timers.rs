//! Deadlines by key, in one ordered structure.

use std::collections::{BTreeMap, BTreeSet};

use monotonic::Instant;

/// At most one deadline for each key; due ones come out in the order of their time, then of their key.
#[derive(Clone, Debug)]
pub(crate) struct Timers<K> {
    by_time: BTreeSet<(Instant, K)>,
    by_key: BTreeMap<K, Instant>,
}

impl<K> Default for Timers<K> {
    fn default() -> Self {
        Self { by_time: BTreeSet::new(), by_key: BTreeMap::new() }
    }
}

impl<K: Ord + Clone> Timers<K> {
    /// Sets, moves or (with nothing) clears the key's deadline.
    pub(crate) fn set(&mut self, key: K, at: Option<Instant>) {
        let before = match at {
            Some(at) => self.by_key.insert(key.clone(), at),
            None => self.by_key.remove(&key),
        };
        if before == at {
            return;
        }
        if let Some(before) = before {
            self.by_time.remove(&(before, key.clone()));
        }
        if let Some(at) = at {
            self.by_time.insert((at, key));
        }
    }

    /// Returns the earliest deadline.
    pub(crate) fn next(&self) -> Option<Instant> {
        self.by_time.first().map(|(at, _)| *at)
    }

    /// Takes the earliest key whose deadline has come.
    pub(crate) fn pop_due(&mut self, now: Instant) -> Option<K> {
        if self.next()? > now {
            return None;
        }
        let (_, key) = self.by_time.pop_first()?;
        self.by_key.remove(&key);
        Some(key)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn at(seconds: u64) -> Instant {
        Instant::from_start(Duration::from_secs(seconds))
    }

    #[test]
    fn due_keys_come_out_in_the_order_of_their_time_and_only_once() {
        let mut timers = Timers::default();
        timers.set("late", Some(at(3)));
        timers.set("moved", Some(at(9)));
        timers.set("moved", Some(at(1)));
        timers.set("cleared", Some(at(0)));
        timers.set("cleared", None);
        timers.set("early", Some(at(1)));
        assert_eq!(timers.next(), Some(at(1)));
        let due: Vec<_> = std::iter::from_fn(|| timers.pop_due(at(2))).collect();
        assert_eq!(due, ["early", "moved"]);
        assert_eq!(timers.next(), Some(at(3)));
    }
}
