//! Deadlines by key, in one ordered structure.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};

use monotonic::Instant;

/// At most one deadline for each key; due ones come out in the order of their time, then of their key.
///
/// Most are moved with every packet or every turn, so that a move has to be cheap.
#[derive(Clone, Debug)]
pub(crate) struct Timers<K> {
    /// A key whose deadline has come out or was cleared keeps its place, as it mostly gets another one at once.
    by_key: BTreeMap<K, Option<Instant>>,
    /// Every deadline, and some that were moved since, of which the first is none.
    queue: BinaryHeap<Reverse<(Instant, K)>>,
}

impl<K: Ord> Default for Timers<K> {
    fn default() -> Self {
        Self { by_key: BTreeMap::new(), queue: BinaryHeap::new() }
    }
}

impl<K: Ord + Clone> Timers<K> {
    /// Sets, moves or (with nothing) clears the key's deadline.
    pub(crate) fn set(&mut self, key: K, at: Option<Instant>) {
        let before = match (self.by_key.get_mut(&key), at) {
            (Some(before), _) => std::mem::replace(before, at),
            (None, None) => None,
            (None, Some(at)) => self.by_key.insert(key.clone(), Some(at)).flatten(),
        };
        if before == at {
            return;
        }
        let was_first =
            before.is_some() && self.queue.peek().is_some_and(|Reverse((_, first))| *first == key);
        if let Some(at) = at {
            self.queue.push(Reverse((at, key)));
        }
        if was_first {
            self.drop_moved();
        }
        if self.queue.len() > 2 * self.by_key.len() {
            self.by_key.retain(|_, at| at.is_some());
            let deadlines = self.by_key.iter().filter_map(|(key, at)| Some(Reverse(((*at)?, key.clone()))));
            self.queue = deadlines.collect();
        }
    }

    /// Returns the earliest deadline.
    pub(crate) fn next(&self) -> Option<Instant> {
        self.queue.peek().map(|Reverse((at, _))| *at)
    }

    /// Takes the earliest key whose deadline has come.
    pub(crate) fn pop_due(&mut self, now: Instant) -> Option<K> {
        if self.next()? > now {
            return None;
        }
        let Reverse((_, key)) = self.queue.pop()?;
        if let Some(at) = self.by_key.get_mut(&key) {
            *at = None;
        }
        self.drop_moved();
        Some(key)
    }

    fn drop_moved(&mut self) {
        while let Some(Reverse((at, key))) = self.queue.peek()
            && self.by_key.get(key).copied().flatten() != Some(*at)
        {
            self.queue.pop();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::collection::vec;
    use proptest::option;
    use proptest::prelude::*;

    use super::*;

    fn at(seconds: u64) -> Instant {
        Instant::from_start(Duration::from_secs(seconds))
    }

    proptest! {
        /// Whatever is set, moved and cleared, the next deadline and what comes out are those of a plain map.
        #[test]
        fn they_are_what_a_map_of_deadlines_is(steps in vec((0..6_u8, option::of(0..9_u64), 0..3_u64), 1..200)) {
            let mut timers = Timers::default();
            let mut plain = BTreeMap::new();
            let mut now = 0;
            for (key, after, pause) in steps {
                match after {
                    Some(after) => plain.insert(key, at(now + after)),
                    None => plain.remove(&key),
                };
                timers.set(key, after.map(|after| at(now + after)));
                prop_assert_eq!(timers.next(), plain.values().min().copied());
                now += pause;
                let first = plain.iter().map(|(key, at)| (*at, *key)).min().filter(|(due, _)| *due <= at(now));
                prop_assert_eq!(timers.pop_due(at(now)), first.map(|(_, key)| key));
                if let Some((_, key)) = first {
                    plain.remove(&key);
                }
                prop_assert!(timers.queue.len() <= 2 * timers.by_key.len());
            }
        }
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
