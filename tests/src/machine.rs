//! One machine: its daemon, its kernel, its interfaces.

use std::sync::Arc;

use monotonic::Instant;
use node::Node;
use node::config::Config;
use node::host_state::Wanted;

use crate::health_book::HealthBook;
use crate::kernel::{Kernel, Pace};
use crate::world::Event;

/// One machine of a world.
#[derive(Clone, Debug)]
pub(crate) struct Machine {
    pub(crate) config: Arc<Config>,
    pub(crate) daemon: Daemon,
    pub(crate) kernel: Kernel,
    pub(crate) book: HealthBook,
    /// When the daemon wants to be called next.
    pub(crate) deadline: Option<Instant>,
    /// Which daemon it is, so that nothing reaches it that was meant for the one before.
    pub(crate) life: u32,
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
    pub(crate) fn new(config: Arc<Config>, pace: Pace) -> Self {
        Self {
            config,
            daemon: Daemon::Absent,
            kernel: Kernel::new(pace),
            book: HealthBook::default(),
            deadline: None,
            life: 0,
        }
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
