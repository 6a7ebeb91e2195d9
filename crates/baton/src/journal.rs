//! Carries events from the threads that decide to the log, without ever making them wait.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, channel, sync_channel};
use std::thread;
use std::time::Duration;

use node::report::Report;

use crate::log;

/// How many events may wait for a slow log; each is a few hundred bytes.
const WAITING_EVENTS: usize = 4096;

/// How long the last events may take to be written: a log that takes no more must not keep the daemon from ending.
const FAREWELL: Duration = Duration::from_secs(1);

/// Where events are told.
#[derive(Clone, Debug)]
pub struct Journal {
    sender: SyncSender<Entry>,
    lost: Arc<AtomicU64>,
}

/// What comes to the log.
#[derive(Debug)]
enum Entry {
    Event(Report),
    /// Nothing more is written.
    End,
}

impl Journal {
    /// Starts the thread that writes events to the log; it ends with [`Writer::finish`].
    ///
    /// # Errors
    /// The system's, when it gives no thread.
    pub fn start() -> io::Result<(Self, Writer)> {
        let (sender, entries) = sync_channel(WAITING_EVENTS);
        let lost = Arc::new(AtomicU64::new(0));
        let journal = Self { sender, lost: Arc::clone(&lost) };
        let (written, ended) = channel::<()>();
        let work = move || {
            write(&entries, &lost);
            drop(written);
        };
        let thread = thread::Builder::new().name("journal".to_owned()).spawn(work)?;
        Ok((journal, Writer { thread, ended }))
    }

    /// Tells an event; when the log is too slow it is counted instead, and the count is told.
    pub fn tell(&self, report: Report) {
        if self.sender.try_send(Entry::Event(report)).is_err() {
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// The thread that writes the log.
#[derive(Debug)]
pub struct Writer {
    thread: thread::JoinHandle<()>,
    /// Closed when the thread has written everything.
    ended: Receiver<()>,
}

impl Writer {
    /// Waits until everything is written that was told before, but no longer than a log may take. What threads that run
    /// on tell afterwards is lost.
    pub fn finish(self, journal: Journal) {
        // A log that is too slow to take this ends with the last clone, if that is soon.
        let _ = journal.sender.try_send(Entry::End);
        drop(journal);
        match self.ended.recv_timeout(FAREWELL) {
            Err(RecvTimeoutError::Timeout) => {}
            Ok(()) | Err(RecvTimeoutError::Disconnected) => {
                self.thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            }
        }
    }
}

fn write(entries: &Receiver<Entry>, lost: &AtomicU64) {
    for entry in entries {
        match entry {
            Entry::Event(report) => log::write(&report),
            Entry::End => return,
        }
        let lost = lost.swap(0, Ordering::Relaxed);
        if lost > 0 {
            tracing::warn!(event = "events_lost", count = lost, "the log was too slow for {lost} events");
        }
    }
}

#[cfg(test)]
mod tests {
    use host::clock::now;

    use super::*;

    #[test]
    fn the_log_ends_with_what_was_told_even_where_threads_that_run_on_may_tell_more() {
        let (journal, writer) = Journal::start().unwrap();
        let running_on = journal.clone();
        let begun = now();
        journal.tell(Report::GuardDied);
        writer.finish(journal);
        assert!(now() - begun < FAREWELL);
        running_on.tell(Report::GuardDied);
        assert_eq!(running_on.lost.load(Ordering::Relaxed), 1);
    }
}
