//! One machine: its daemon, its kernel, its interfaces.

use std::sync::Arc;
use std::time::Duration;

use monotonic::Instant;
use node::Node;
use node::config::Config;
use node::guard::{Lives, Measure, Vigil};
use node::host_state::Wanted;
use node::legacy::Legacy;
use node::report::FenceReason;
use node::wall_clock::WallClock;

use crate::fault::{Clock, Hooks};
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
    pub(crate) guard: Guard,
    /// How long a daemon takes to begin that the guard has started.
    pub(crate) startup: Duration,
    /// When the leases of its addresses end; nothing while they are renewed.
    pub(crate) leases_end: Option<Instant>,
    /// How often the world had been disturbed when its daemon began to hang, if everything was settled then.
    pub(crate) undisturbed: Option<u64>,
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
    /// Whether its hooks come to an end.
    pub(crate) hooks: Hooks,
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
    /// It was started and does not take part yet.
    Beginning,
    /// It runs.
    Running(Box<Node>),
    /// It is stopped by a signal or its machine is suspended; what comes for it waits.
    Paused(Box<Node>, Vec<Event>),
    /// It said its last word and only cleans the kernel.
    Leaving,
}

/// The guard of a machine's daemon.
#[derive(Clone, Debug, Default)]
pub(crate) struct Guard {
    /// What the daemon has left.
    pub(crate) legacy: Legacy,
    pub(crate) lives: Lives,
    pub(crate) task: Task,
    /// Which task it is, so that nothing is done for one that is over.
    pub(crate) number: u32,
}

/// What a guard is at.
#[derive(Clone, Debug, Default)]
pub(crate) enum Task {
    /// Nothing: the daemon speaks, or there is no guard.
    #[default]
    Idle,
    /// It waits for a sign of life.
    Vigil(Vigil),
    /// It waits until its last words are heeded; then come these measures, and after the pause the next daemon.
    Fencing { reason: FenceReason, rest: &'static [Measure], pause: Duration },
    /// It waits before it starts the next daemon.
    Waiting { until: Instant },
}

impl Guard {
    /// Gives up what it is at.
    pub(crate) fn rest(&mut self) {
        self.task = Task::Idle;
        self.number += 1;
    }

    /// Gives way to a guard that knows nothing of the daemons before.
    pub(crate) fn forget(&mut self) {
        *self = Self { number: self.number + 1, ..Self::default() };
    }
}

impl Machine {
    /// Whether what neighbours announce is heard.
    pub(crate) fn listens_to_neighbours(&self) -> bool {
        match &self.daemon {
            Daemon::Running(brain) | Daemon::Paused(brain, _) => brain.listens_to_neighbours(),
            Daemon::Absent | Daemon::Beginning | Daemon::Leaving => false,
        }
    }

    pub(crate) fn new(config: Arc<Config>, pace: Pace, clock: Duration) -> Self {
        Self {
            config,
            daemon: Daemon::Absent,
            guard: Guard::default(),
            startup: Duration::ZERO,
            leases_end: None,
            undisturbed: None,
            kernel: Kernel::new(pace),
            book: HealthBook::default(),
            clock,
            wall_clock: Clock::Right,
            sights: [Sight::Well; TRACK_LIMIT],
            attention: Attention::Tracks,
            hooks: Hooks::Ending,
            deadline: None,
            life: 0,
        }
    }

    /// Returns what its clock says when the world's says this.
    pub(crate) fn local(&self, now: Instant) -> Instant {
        now + self.clock
    }

    /// Returns what the world's clock says when its own says this.
    pub(crate) fn world(&self, local: Instant) -> Instant {
        Instant::from_start(local.since_start().saturating_sub(self.clock))
    }

    /// Returns how its guard watches over a daemon that spoke a moment ago and left what the guard knows.
    pub(crate) fn vigil(&self, now: Instant) -> Vigil {
        let mut vigil = Vigil::new(&self.guard.legacy, self.local(now));
        vigil.hear(&self.guard.legacy, self.local(now));
        vigil
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
            Daemon::Running(node) => node.next_deadline().map(|local| self.world(local)),
            Daemon::Absent | Daemon::Beginning | Daemon::Paused(..) | Daemon::Leaving => None,
        };
    }
}

impl Daemon {
    pub(crate) fn wanted(&mut self) -> Wanted {
        match self {
            Self::Running(node) | Self::Paused(node, _) => node.wanted(),
            Self::Absent | Self::Beginning | Self::Leaving => Wanted::default(),
        }
    }
}
