//! A client that asks again and again, and remembers when it was answered.

mod echo;
mod web;

use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::timeline::{Failure, Fate, PATIENCE, Probe, Timeline, answered_at};
use crate::{Error, Namespace, Result, wait_until};

/// Probes at a steady pace until it is stopped or dropped.
///
/// A probe whose time has passed while the machine was too busy is left out, never made up for.
#[derive(Debug)]
pub struct Prober {
    record: Arc<Record>,
    thread: Option<JoinHandle<Result<Result<()>>>>,
}

impl Prober {
    /// Sends ICMP echo requests: whether the machine that holds an address is there, to the millisecond.
    ///
    /// # Errors
    /// When the namespace cannot be entered or has no ICMP sockets.
    pub fn echo(client: &Namespace, target: IpAddr, interval: Duration) -> Result<Self> {
        // Since the kernel asks for the group only, even root needs to be let in.
        client.set_sysctl("net/ipv4/ping_group_range", "0 2147483647")?;
        let socket = client.enter(|| echo::open(target))??;
        Self::start(client, "echo-prober", interval, move |record| echo::probe(&socket, target, record))
    }

    /// Fetches `/` over a new connection each time: whether the service behind an address is there.
    ///
    /// The first line of the answer says which real server gave it; any status but 200 is a failure.
    ///
    /// # Errors
    /// When the namespace cannot be entered.
    pub fn web(client: &Namespace, target: SocketAddr, interval: Duration) -> Result<Self> {
        Self::start(client, "web-prober", interval, move |record| web::probe(target, record))
    }

    /// What was seen so far.
    pub fn timeline(&self) -> Timeline {
        let record = &self.record;
        Timeline::new(record.started, Instant::now(), record.interval, record.probes().clone())
    }

    /// Waits until a probe that was sent after a moment has been answered.
    ///
    /// # Errors
    /// When none has been within the limit.
    pub fn wait_for_answer(&self, since: Instant, limit: Duration) -> Result<()> {
        let answered = || {
            let probes = self.record.probes();
            // The newest are looked at first, so that a long record costs nothing.
            let mut new = probes.iter().rev().take_while(|probe| probe.sent > since);
            Ok(new.any(|probe| answered_at(&probe.fate).is_some()))
        };
        wait_until("An answer to the prober", limit, answered).map(drop)
    }

    /// Stops probing, waits until each probe was answered or is lost, and returns what was seen.
    ///
    /// # Errors
    /// When the prober had to give up before.
    pub fn stop(mut self) -> Result<Timeline> {
        let end = *self.record.last_word.get_or_init(Instant::now);
        self.join()?;
        let record = &self.record;
        Ok(Timeline::new(record.started, end, record.interval, record.probes().clone()))
    }

    fn start(
        client: &Namespace,
        name: &str,
        interval: Duration,
        work: impl FnOnce(&Record) -> Result<()> + Send + 'static,
    ) -> Result<Self> {
        let record = Arc::new(Record {
            started: Instant::now(),
            interval,
            last_word: OnceLock::new(),
            is_dropped: AtomicBool::new(false),
            probes: Mutex::default(),
        });
        let theirs = Arc::clone(&record);
        let thread = client.spawn_thread(name, move || work(&theirs))?;
        Ok(Self { record, thread: Some(thread) })
    }

    fn join(&mut self) -> Result<()> {
        let Some(thread) = self.thread.take() else { return Ok(()) };
        thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))?
    }
}

impl Drop for Prober {
    fn drop(&mut self) {
        self.record.is_dropped.store(true, Ordering::Relaxed);
        if let Err(error) = self.join() {
            eprintln!("lab: {error}");
        }
    }
}

/// What a prober shares with its thread.
#[derive(Debug)]
struct Record {
    started: Instant,
    interval: Duration,
    /// From when on nothing is sent any more.
    last_word: OnceLock<Instant>,
    is_dropped: AtomicBool,
    probes: Mutex<Vec<Probe>>,
}

/// What a prober's thread has to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// To ask, and to hear answers.
    Asking,
    /// To hear the answers to what it asked.
    Listening,
    /// Nothing more.
    Over,
}

impl Record {
    fn phase(&self, now: Instant) -> Phase {
        if self.is_dropped.load(Ordering::Relaxed) {
            return Phase::Over;
        }
        if self.last_word.get().is_none() {
            return Phase::Asking;
        }
        let mut probes = self.probes();
        let is_young = |probe: &Probe| now.saturating_duration_since(probe.sent) < PATIENCE;
        let is_waiting = |probe: &Probe| matches!(probe.fate, Fate::Waiting);
        if probes.iter().rev().take_while(|probe| is_young(probe)).any(is_waiting) {
            return Phase::Listening;
        }
        for probe in probes.iter_mut().filter(|probe| is_waiting(probe)) {
            probe.fate = Fate::Failed(Failure::TimedOut);
        }
        Phase::Over
    }

    /// Notes a probe and returns its number.
    fn sent(&self, at: Instant) -> usize {
        let mut probes = self.probes();
        probes.push(Probe { sent: at, fate: Fate::Waiting });
        probes.len() - 1
    }

    /// Notes what became of a probe; a number that was never sent is somebody else's.
    fn resolve(&self, number: usize, fate: Fate) {
        if let Some(probe) = self.probes().get_mut(number) {
            probe.fate = fate;
        }
    }

    fn probes(&self) -> MutexGuard<'_, Vec<Probe>> {
        // The list is valid after every single step, so a panic elsewhere does not spoil it.
        self.probes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The moments at which probes are due: a fixed grid.
struct Pace {
    due: Instant,
    interval: Duration,
}

impl Pace {
    fn new(record: &Record) -> Self {
        Self { due: record.started, interval: record.interval }
    }

    /// Whether a probe is due; if so, the next one is on the first point of the grid that lies ahead.
    fn is_due(&mut self, now: Instant) -> bool {
        let due = now >= self.due;
        while now >= self.due {
            self.due += self.interval;
        }
        due
    }

    /// How long until the next one.
    fn left(&self, now: Instant) -> Duration {
        self.due.saturating_duration_since(now)
    }
}

fn failed(action: &str) -> impl FnOnce(rustix::io::Errno) -> Error {
    let explain = Error::system(action);
    move |error| explain(error.into())
}

#[cfg(test)]
mod tests;
