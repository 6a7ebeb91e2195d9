//! The engine's turns on a processor: what its thread is given by the kernel, and how late it comes to what is due.

use std::io;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use host::clock::{now, slept};
use host::scheduling::{Granted, ProcessorWait, ThisThread};
use monotonic::Instant;
use node::config::Config;
use node::punctuality::{LateCause, Punctuality};
use node::report::{EngineReport, Report};

use crate::journal::Journal;

/// How old [`Reading`] may become: what it counts grows with each turn, and only what grew since a moment before
/// something was due explains why that came late.
const READING_AGE: Duration = Duration::from_secs(1);

/// Packets that follow others within this time belong to a burst: an Active says what its virtual routers have to say at
/// once.
const BURST: Duration = Duration::from_millis(1);

/// How long packets of a burst gather before they are heard together; one by one, each costs more in waking up than in
/// being heard. Nothing that is decided by packets is in such haste, and what comes alone is heard at once.
const GATHERING: Duration = Duration::from_micros(250);

/// The turns of the thread that made it.
#[derive(Debug)]
pub struct Turns {
    thread: ThisThread,
    /// Nothing where the kernel does not count it.
    wait: Option<ProcessorWait>,
    config: Arc<Config>,
    /// More than this is late.
    tolerance: Duration,
    granted: Granted,
    punctuality: Punctuality,
    reading: Reading,
    /// When the last turn ended.
    idle_since: Instant,
    /// When packets came last.
    packets_at: Instant,
}

/// What explains lateness, as it stood at one moment.
#[derive(Clone, Copy, Debug)]
struct Reading {
    at: Instant,
    slept: Duration,
    waited: Duration,
}

impl Turns {
    /// Returns those of the calling thread, which has what the configuration asks for from now on, as far as the kernel
    /// gives it.
    ///
    /// # Errors
    /// The kernel's, when it does not say where the thread may run.
    pub fn new(config: Arc<Config>, journal: &Journal) -> io::Result<Self> {
        let thread = ThisThread::new()?;
        let wait = ProcessorWait::of_this_thread().ok();
        let reading = read(wait.as_ref());
        let mut turns = Self {
            tolerance: tolerance(&config),
            granted: Granted::default(),
            punctuality: Punctuality::default(),
            idle_since: reading.at,
            packets_at: Instant::START,
            config,
            thread,
            wait,
            reading,
        };
        turns.ask(journal);
        Ok(turns)
    }

    /// Goes by another configuration from now on.
    pub fn follow(&mut self, config: Arc<Config>, journal: &Journal) {
        let is_same = self.config.engine == config.engine;
        self.tolerance = tolerance(&config);
        self.config = config;
        if !is_same {
            self.ask(journal);
        }
    }

    fn ask(&mut self, journal: &Journal) {
        self.granted = self.thread.ask_for(&self.config.engine);
        for (setting, reason) in &self.granted.refused {
            let (setting, reason) = (*setting, reason.clone());
            journal.tell(Report::Engine(EngineReport::SettingRefused { setting, reason }));
        }
    }

    /// Waits where packets come one after the other, unless something is due meanwhile; nothing else could be done on
    /// this thread, and a reactor would wake up for each of them.
    pub fn let_packets_gather(&mut self, due: Option<Instant>) {
        let now = now();
        let is_burst = now - self.packets_at < BURST;
        self.packets_at = now;
        if is_burst && due.is_none_or(|due| now + GATHERING < due) {
            thread::sleep(GATHERING);
        }
    }

    /// Counts how late what was due when the turn began is acted on, which is now.
    pub fn note(&mut self, due: Option<Instant>, journal: &Journal) {
        let now = now();
        let Some(due) = due.filter(|due| *due <= now) else { return };
        let lateness = now - due;
        if let Some(times) = self.punctuality.note(lateness, self.tolerance, now) {
            let cause = self.cause(due, lateness);
            journal.tell(Report::Engine(EngineReport::Late { lateness, cause, times }));
        }
    }

    /// Ends a turn.
    pub fn end(&mut self) {
        self.idle_since = now();
        if self.idle_since - self.reading.at >= READING_AGE {
            self.reading = read(self.wait.as_ref());
        }
    }

    /// What took most of the time that was lost.
    fn cause(&self, due: Instant, lateness: Duration) -> LateCause {
        let now = read(self.wait.as_ref());
        let is_most = |time: Duration| time >= lateness / 2;
        if is_most(now.slept.saturating_sub(self.reading.slept)) {
            LateCause::Slept
        } else if is_most(now.waited.saturating_sub(self.reading.waited)) {
            LateCause::Starved
        } else if self.idle_since > due && is_most(self.idle_since - due) {
            LateCause::Busy
        } else {
            LateCause::Stopped
        }
    }

    /// Returns how late deadlines were acted on.
    pub const fn punctuality(&self) -> &Punctuality {
        &self.punctuality
    }

    /// Returns what the kernel gives the thread.
    pub const fn granted(&self) -> &Granted {
        &self.granted
    }
}

fn read(wait: Option<&ProcessorWait>) -> Reading {
    let waited = wait.and_then(ProcessorWait::total).unwrap_or_default();
    Reading { at: now(), slept: slept(), waited }
}

/// A Backup waits for three intervals and more: half of one too late is far from harm, and not as it should be.
fn tolerance(config: &Config) -> Duration {
    config.shortest_interval().map_or(Duration::MAX, |interval| interval / 2)
}
