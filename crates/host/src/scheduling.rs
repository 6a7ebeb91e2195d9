//! How a thread gets its turn: real-time priority, locked memory, processors; and how long it waited for one.

use std::collections::BTreeSet;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::time::Duration;

use node::config::{EngineConfig, EngineSetting, Memory, RealtimePriority};
use rustix::mm::{MlockAllFlags, mlockall, munlockall};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use rustix::thread::{CapabilitySet, CpuSet, capabilities, sched_getaffinity, sched_setaffinity};

/// The calling thread and the processors that it was started with.
#[derive(Debug)]
pub struct ThisThread {
    processors: CpuSet,
}

/// What a thread was given of what it asked for, the rest with the reason and what to do.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Granted {
    /// Its real-time priority.
    pub realtime_priority: Option<RealtimePriority>,
    /// Whether the process's memory stays where it is.
    pub is_memory_locked: bool,
    /// The processors that it may run on.
    pub processors: BTreeSet<u16>,
    /// What it was not given.
    pub refused: Vec<(EngineSetting, String)>,
}

impl ThisThread {
    /// Returns the calling thread.
    ///
    /// # Errors
    /// None that Linux documents for a thread that asks about itself.
    pub fn new() -> io::Result<Self> {
        Ok(Self { processors: sched_getaffinity(None)? })
    }

    /// Asks the kernel for what the configuration wants of it; to be called on this thread.
    pub fn ask_for(&self, wanted: &EngineConfig) -> Granted {
        let mut granted = Granted::default();
        match set_realtime_priority(wanted.realtime_priority) {
            Ok(()) => granted.realtime_priority = wanted.realtime_priority,
            Err(error) => {
                let priority = wanted.realtime_priority.map_or(0, RealtimePriority::get);
                let reason = format!(
                    "The kernel refuses real-time priority {priority}: {error}; give the process CAP_SYS_NICE or \
                     LimitRTPRIO={priority}, or write realtime_priority = 0 in [engine]"
                );
                granted.refused.push((EngineSetting::RealtimePriority, reason));
            }
        }
        match set_memory(wanted.memory) {
            Ok(()) => granted.is_memory_locked = wanted.memory == Memory::Locked,
            Err(error) => {
                let reason = format!(
                    "The kernel does not let memory be locked: {error}; give the process CAP_IPC_LOCK or \
                     LimitMEMLOCK=infinity, or write lock_memory = false in [engine]"
                );
                granted.refused.push((EngineSetting::LockMemory, reason));
            }
        }
        if let Err(error) = self.set_processors(&wanted.processors) {
            let reason = format!(
                "The kernel does not let the engine run on the processors {:?} alone: {error}; `nproc --all` tells how \
                 many there are, counted from 0, and the process may be kept from some (AllowedCPUs, cpuset)",
                wanted.processors
            );
            granted.refused.push((EngineSetting::Processors, reason));
        }
        if let Ok(processors) = sched_getaffinity(None) {
            let numbers = 0..u16::try_from(CpuSet::MAX_CPU).unwrap_or(u16::MAX);
            granted.processors = numbers.filter(|number| processors.is_set(usize::from(*number))).collect();
        }
        granted
    }

    fn set_processors(&self, wanted: &BTreeSet<u16>) -> io::Result<()> {
        let mut processors = CpuSet::new();
        for number in wanted {
            processors.set(usize::from(*number));
        }
        let processors = if wanted.is_empty() { &self.processors } else { &processors };
        Ok(sched_setaffinity(None, processors)?)
    }
}

/// `SCHED_FIFO` or, with nothing, back to `SCHED_OTHER`; what this thread starts never inherits it.
fn set_realtime_priority(priority: Option<RealtimePriority>) -> io::Result<()> {
    let policy = match priority {
        Some(_) => libc::SCHED_FIFO | libc::SCHED_RESET_ON_FORK,
        None => libc::SCHED_OTHER,
    };
    // `struct sched_param` of `linux/sched/types.h`; libraries may pad it, the kernel reads this much.
    let parameter = libc::c_int::from(priority.map_or(0, RealtimePriority::get));
    // SAFETY: the kernel reads one `int` from the pointer, which outlives the call. The call itself is used because the
    // function of that name changes a whole process in some libraries and does nothing in others.
    #[allow(unsafe_code)]
    let outcome = unsafe { libc::syscall(libc::SYS_sched_setscheduler, 0, policy, &raw const parameter) };
    if outcome == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Locks what is touched from now on too, but fetches nothing that is not: that would be megabytes of stacks.
fn set_memory(memory: Memory) -> io::Result<()> {
    match memory {
        Memory::Swappable => Ok(munlockall()?),
        Memory::Locked => {
            // Under a limit that counts a later allocation would fail, and with it the process.
            let is_privileged = capabilities(None)?.effective.contains(CapabilitySet::IPC_LOCK);
            if !is_privileged && getrlimit(Resource::Memlock).current.is_some() {
                setrlimit(Resource::Memlock, Rlimit { current: None, maximum: None })?;
            }
            Ok(mlockall(MlockAllFlags::CURRENT | MlockAllFlags::FUTURE | MlockAllFlags::ONFAULT)?)
        }
    }
}

/// How long the thread that opened it has waited for a processor while it could run.
#[derive(Debug)]
pub struct ProcessorWait {
    file: File,
}

impl ProcessorWait {
    /// Returns that of the calling thread.
    ///
    /// # Errors
    /// The system's, when the kernel does not count it or `/proc` is not there.
    pub fn of_this_thread() -> io::Result<Self> {
        Ok(Self { file: File::open("/proc/thread-self/schedstat")? })
    }

    /// Returns the time since the thread started; nothing when it cannot be read.
    pub fn total(&self) -> Option<Duration> {
        // Time run, time waited, both in nanoseconds, and the number of turns.
        let mut text = [0; 64];
        let length = self.file.read_at(&mut text, 0).ok()?;
        let text = std::str::from_utf8(&text[..length]).ok()?;
        text.split_whitespace().nth(1)?.parse().ok().map(Duration::from_nanos)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_processor_that_is_not_there_is_refused_and_told_and_the_thread_stays_where_it_was() {
        let thread = ThisThread::new().unwrap();
        let usual =
            EngineConfig { realtime_priority: None, memory: Memory::Swappable, ..EngineConfig::default() };
        let before = thread.ask_for(&usual);
        assert_eq!(before.refused, []);
        let granted = thread.ask_for(&EngineConfig { processors: [1023].into(), ..usual.clone() });
        assert_eq!(granted.processors, before.processors);
        let [(EngineSetting::Processors, reason)] = &granted.refused[..] else { panic!("{granted:?}") };
        assert!(reason.contains("{1023} alone: Invalid argument"), "{reason}");

        let last = before.processors.last().copied().into_iter().collect::<BTreeSet<_>>();
        let granted = thread.ask_for(&EngineConfig { processors: last.clone(), ..usual.clone() });
        assert_eq!(granted.processors, last);
        assert_eq!(thread.ask_for(&usual).processors, before.processors);
    }

    #[test]
    fn a_thread_that_waits_for_a_processor_is_seen_to() {
        let wait = ProcessorWait::of_this_thread().unwrap();
        assert!(wait.total().is_some());
    }
}
