//! What is going to happen, in the order of its time; what is due together happens in the order in which it was put in.

use std::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;

use monotonic::Instant;

/// Events in the order of their time.
#[derive(Clone, Debug)]
pub(crate) struct EventQueue<E> {
    entries: BinaryHeap<Reverse<Entry<E>>>,
    put_in: u64,
}

#[derive(Clone, Debug)]
struct Entry<E> {
    at: Instant,
    number: u64,
    event: E,
}

impl<E> Default for EventQueue<E> {
    fn default() -> Self {
        Self { entries: BinaryHeap::new(), put_in: 0 }
    }
}

impl<E> EventQueue<E> {
    pub(crate) fn put(&mut self, at: Instant, event: E) {
        let number = self.put_in;
        self.put_in += 1;
        self.entries.push(Reverse(Entry { at, number, event }));
    }

    /// Returns when the first event is due.
    pub(crate) fn next_at(&self) -> Option<Instant> {
        self.entries.peek().map(|Reverse(entry)| entry.at)
    }

    /// Takes the first event.
    pub(crate) fn take(&mut self) -> Option<E> {
        self.entries.pop().map(|Reverse(entry)| entry.event)
    }
}

impl<E> Ord for Entry<E> {
    fn cmp(&self, other: &Self) -> Ordering {
        (self.at, self.number).cmp(&(other.at, other.number))
    }
}

impl<E> PartialOrd for Entry<E> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<E> PartialEq for Entry<E> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl<E> Eq for Entry<E> {}
