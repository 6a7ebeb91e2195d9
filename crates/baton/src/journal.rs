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
    sender: SyncSender<Report>,
    lost: Arc<AtomicU64>,
}

impl Journal {
    /// Starts the thread that writes events to the log; it ends after the last clone is dropped.
    ///
    /// # Errors
    /// The system's, when it gives no thread.
    pub fn start() -> io::Result<(Self, Writer)> {
        let (sender, events) = sync_channel(WAITING_EVENTS);
        let lost = Arc::new(AtomicU64::new(0));
        let journal = Self { sender, lost: Arc::clone(&lost) };
        let (written, ended) = channel::<()>();
        let work = move || {
            write(&events, &lost);
            drop(written);
        };
        let thread = thread::Builder::new().name("journal".to_owned()).spawn(work)?;
        Ok((journal, Writer { thread, ended }))
    }

    /// Tells an event; when the log is too slow it is counted instead, and the count is told.
    pub fn tell(&self, report: Report) {
        if self.sender.try_send(report).is_err() {
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
    /// Waits until everything is written that was told, but no longer than a log may take.
    pub fn finish(self) {
        match self.ended.recv_timeout(FAREWELL) {
            Err(RecvTimeoutError::Timeout) => {}
            Ok(()) | Err(RecvTimeoutError::Disconnected) => {
                self.thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            }
        }
    }
}

fn write(events: &Receiver<Report>, lost: &AtomicU64) {
    for report in events {
        log::write(&report);
        let lost = lost.swap(0, Ordering::Relaxed);
        if lost > 0 {
            tracing::warn!(event = "events_lost", count = lost, "the log was too slow for {lost} events");
        }
    }
}
