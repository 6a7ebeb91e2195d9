//! How the engine's thread gets its turn on a machine that is busy with other things.

use std::collections::BTreeSet;
use std::fmt;
use std::num::NonZeroU32;
use std::time::Duration;

/// What the engine's thread asks of the kernel's scheduler and memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EngineConfig {
    /// Its rank before all ordinary processes; it is one of those if left out.
    pub realtime_priority: Option<RealtimePriority>,
    /// Whether the daemon's memory may leave for the swap.
    pub memory: Memory,
    /// The numbers of the processors that it may run on; all of them when empty.
    pub processors: BTreeSet<u16>,
    /// How fast it announces addresses where there are many.
    pub announcement_rate: AnnouncementRate,
    /// How long the kernel keeps virtual addresses that the engine does not renew, in whole seconds; it renews them after
    /// each third of it.
    pub address_lease: Duration,
}

impl Default for EngineConfig {
    fn default() -> Self {
        Self {
            realtime_priority: Some(RealtimePriority(10)),
            memory: Memory::Locked,
            processors: BTreeSet::new(),
            announcement_rate: AnnouncementRate::default(),
            address_lease: Duration::from_secs(10),
        }
    }
}

/// How many announcements a second leave one interface, 1 to 1,000,000.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AnnouncementRate(NonZeroU32);

impl AnnouncementRate {
    /// The highest rate: about what a link of a gigabit carries of frames of this size.
    pub const LIMIT: u32 = 1_000_000;

    /// Returns this many frames a second, if that is a rate.
    pub const fn new(frames: u32) -> Option<Self> {
        match NonZeroU32::new(frames) {
            Some(frames) if frames.get() <= Self::LIMIT => Some(Self(frames)),
            Some(_) | None => None,
        }
    }

    /// Returns the number of frames a second.
    pub const fn get(self) -> u32 {
        self.0.get()
    }

    /// Returns the time from one frame to the next.
    pub fn frame_time(self) -> Duration {
        Duration::from_secs(1) / self.0.get()
    }
}

impl Default for AnnouncementRate {
    fn default() -> Self {
        Self(NonZeroU32::new(10_000).expect("it is not zero"))
    }
}

impl fmt::Display for AnnouncementRate {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, formatter)
    }
}

/// A priority of `SCHED_FIFO`, 1 to 99 (`sched(7)`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct RealtimePriority(u8);

impl RealtimePriority {
    /// Returns the priority of this number, if it is one.
    pub const fn new(number: u8) -> Option<Self> {
        match number {
            1..=99 => Some(Self(number)),
            0 | 100.. => None,
        }
    }

    /// Returns the number.
    pub const fn get(self) -> u8 {
        self.0
    }
}

impl fmt::Display for RealtimePriority {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, formatter)
    }
}

/// Whether memory stays where it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Memory {
    /// What was touched once stays (`mlockall(2)`).
    Locked,
    /// The kernel may move it to the swap.
    Swappable,
}

/// One of the things that [`EngineConfig`] asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EngineSetting {
    /// [`EngineConfig::realtime_priority`].
    RealtimePriority,
    /// [`EngineConfig::memory`].
    LockMemory,
    /// [`EngineConfig::processors`].
    Processors,
}

impl EngineSetting {
    /// Returns its key in the configuration file.
    pub const fn key(self) -> &'static str {
        match self {
            Self::RealtimePriority => "realtime_priority",
            Self::LockMemory => "lock_memory",
            Self::Processors => "processors",
        }
    }
}
