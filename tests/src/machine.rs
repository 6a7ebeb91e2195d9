//! One machine: its daemon, its kernel, its interfaces.

use std::sync::Arc;
use std::time::Duration;

use monotonic::Instant;
use node::Node;
use node::config::Config;
use node::host_state::Wanted;
use node::wall_clock::WallClock;

use crate::fault::Clock;
use crate::health_book::HealthBook;
use crate::kernel::{Kernel, Pace};
use crate::site::{Sight, TRACK_LIMIT};
use crate::world::Event;

/// What the wall clocks show when the world's clock starts.
const TODAY: Duration = Duration::from_hours(500_000);

/// One machine of a world.
#[derive(Clone, Debug)]
pub(crate) struct Machine {
    pub(crate) config: Arc<Config>,
    pub(crate) daemon: Daemon,
    pub(crate) kernel: Kernel,
    pub(crate) book: HealthBook,
    /// How far its clock is ahead of the world's: each machine was booted at another time, so that what happens on a
    /// grid of one machine's clock does not happen at once on all.
    pub(crate) clock: Duration,
    /// What its wall clock shows, next to the right time.
    pub(crate) wall_clock: Clock,
    /// How the things are that its tracks look at.
    pub(crate) sights: [Sight; TRACK_LIMIT],
    /// Whether the daemon still looks at them.
    pub(crate) attention: Attention,
    /// When the daemon wants to be called next, by the world's clock.
    pub(crate) deadline: Option<Instant>,
    /// Which daemon it is, so that nothing reaches it that was meant for the one before.
    pub(crate) life: u32,
}

/// What a daemon looks at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Attention {
    /// Its tracks.
    Tracks,
    /// Nothing any more: it was told to stop.
    Elsewhere,
}

/// The daemon of a machine.
#[derive(Clone, Debug)]
pub(crate) enum Daemon {
    /// There is none.
    Absent,
    /// It runs.
    Running(Box<Node>),
    /// It is stopped by a signal or its machine is suspended; what comes for it waits.
    Paused(Box<Node>, Vec<Event>),
    /// It said its last word and only cleans the kernel.
    Leaving,
}

impl Machine {
    /// Whether what neighbours announce is heard.
    pub(crate) fn listens_to_neighbours(&self) -> bool {
        match &self.daemon {
            Daemon::Running(brain) | Daemon::Paused(brain, _) => brain.listens_to_neighbours(),
            Daemon::Absent | Daemon::Leaving => false,
        }
    }

    pub(crate) fn new(config: Arc<Config>, pace: Pace, clock: Duration) -> Self {
        Self {
            config,
            daemon: Daemon::Absent,
            kernel: Kernel::new(pace),
            book: HealthBook::default(),
            clock,
            wall_clock: Clock::Right,
            sights: [Sight::Well; TRACK_LIMIT],
            attention: Attention::Tracks,
            deadline: None,
            life: 0,
        }
    }

    /// Returns what its clock says when the world's says this.
    pub(crate) fn local(&self, now: Instant) -> Instant {
        now + self.clock
    }

    /// Returns what its wall clock shows when the world's clock says this.
    pub(crate) fn shown(&self, now: Instant) -> WallClock {
        let right = TODAY + now.since_start();
        let shown = match self.wall_clock {
            Clock::Right => right,
            Clock::Ahead(time) => right + time,
            Clock::Behind(time) => right.saturating_sub(time),
        };
        WallClock::new(self.local(now), shown)
    }

    /// Asks the daemon anew when it wants to be called next.
    pub(crate) fn note_deadline(&mut self) {
        self.deadline = match &self.daemon {
            Daemon::Running(node) => node
                .next_deadline()
                .map(|local| Instant::from_start(local.since_start().saturating_sub(self.clock))),
            Daemon::Absent | Daemon::Paused(..) | Daemon::Leaving => None,
        };
    }
}

impl Daemon {
    pub(crate) fn wanted(&mut self) -> Wanted {
        match self {
            Self::Running(node) | Self::Paused(node, _) => node.wanted(),
            Self::Absent | Self::Leaving => Wanted::default(),
        }
    }
}
