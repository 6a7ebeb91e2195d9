//! Why a virtual router changed its state.

use std::fmt;
use std::net::IpAddr;

use crate::identity::Priority;

/// Why a virtual router became Active.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BecomeActiveCause {
    /// It owns the addresses.
    Owner,
    /// No Active was heard for three intervals and the skew time.
    ActiveDown,
    /// The Active said that it leaves.
    ActiveReleased,
    /// Only Actives of lower priority were heard, and it may preempt.
    Preempting,
    /// It had released the role, and nobody wanted it.
    NobodyTookOver,
}

/// Why a virtual router became a Backup.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BecomeBackupCause {
    /// It has just started.
    Started,
    /// It heard an Active of higher priority, or of the same priority with a greater address.
    Outranked {
        /// That Active's address.
        by: IpAddr,
        /// That Active's priority.
        priority: Priority,
    },
    /// It stood still for so long that another node became Active, whatever that one's priority is.
    Overslept {
        /// That Active's address.
        by: IpAddr,
        /// That Active's priority.
        priority: Priority,
    },
    /// It was told to give the role up.
    Released,
}

impl fmt::Display for BecomeActiveCause {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Owner => "it owns the addresses",
            Self::ActiveDown => "no Active was heard for three intervals and the skew time",
            Self::ActiveReleased => "the Active released the role",
            Self::Preempting => "only Actives of lower priority were heard",
            Self::NobodyTookOver => "it released the role and nobody took over",
        })
    }
}

impl fmt::Display for BecomeBackupCause {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Started => formatter.write_str("it has just started"),
            Self::Outranked { by, priority } => write!(formatter, "{by} is Active with priority {priority}"),
            Self::Overslept { by, priority } => {
                write!(formatter, "it stood still and {by} became Active with priority {priority}")
            }
            Self::Released => formatter.write_str("it released the role"),
        }
    }
}
