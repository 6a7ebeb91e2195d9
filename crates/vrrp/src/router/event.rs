//! What can happen to a virtual router and what it wants done.

use std::net::IpAddr;

use super::{AfterLeaving, Heirs};
use crate::advertisement::Advertisement;
use crate::cause::{BecomeActiveCause, BecomeBackupCause};
use crate::identity::Priority;
use crate::timing::Centiseconds;

/// What can happen to a virtual router.
#[derive(Clone, Copy, Debug)]
pub enum RouterEvent<'a> {
    /// It may take part from now on.
    Startup,
    /// It may take part from now on, and is the Active already: the process before this one was, and nobody can have
    /// claimed the role since.
    Resume,
    /// It takes part no longer.
    Shutdown,
    /// It gives the role up at once and goes on as a Backup.
    Release,
    /// It gives the role up as soon as somebody else serves.
    HandOver {
        /// Who may take over.
        heirs: Heirs,
        /// What it becomes afterwards.
        then: AfterLeaving,
    },
    /// The Active of another virtual router of its sync group released the role, and that of this one with it, though
    /// perhaps it cannot say so here.
    GroupReleased {
        /// That Active's interval.
        interval: Centiseconds,
    },
    /// Somebody else announced its addresses to the neighbours.
    AddressesAnnounced,
    /// Somebody on its segment answered a question of this node, which so can hear.
    NeighbourAnswered,
    /// [`VirtualRouter::next_deadline`] has come, perhaps long ago.
    Deadline,
    /// It heard an advertisement that passed every check of
    /// [RFC 9568, section 7.1](https://www.rfc-editor.org/rfc/rfc9568#section-7.1).
    Heard {
        /// What was said.
        advertisement: &'a Advertisement,
        /// Who said it.
        from: IpAddr,
    },
}

/// What a virtual router wants done, in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RouterAction {
    /// Send [`VirtualRouter::advertisement`] of this statement.
    Advertise(Statement),
    /// It has become Active: take the addresses and announce them.
    BecameActive(BecomeActiveCause),
    /// It goes on as the Active: take the addresses, which are there already, and announce them.
    Resumed,
    /// It has become a Backup: leave the addresses, if it held them.
    BecameBackup(BecomeBackupCause),
    /// The winner advertises before it has the addresses: leave them only when it announces them, or a moment later.
    Linger,
    /// It has left the election: leave the addresses, if it held them.
    BecameInitialize,
    /// It has released the role and holds the addresses until its successor does.
    BecameLeaving,
    /// Its successor serves.
    HandedOver {
        /// The successor's address.
        to: IpAddr,
    },
    /// It has released the role and nobody wanted it.
    NobodyTookOver,
    /// While Active it heard another Active that has to yield to it, or one that leaves.
    Contested {
        /// That Active's address.
        by: IpAddr,
        /// That Active's priority, [`Priority::RELEASE`] when it leaves.
        priority: Priority,
    },
}

/// What an advertisement says besides who says it about which addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Statement {
    /// The sender's priority, [`Priority::RELEASE`] when it leaves.
    pub priority: Priority,
    /// How often the sender is to be heard, from which a Backup derives how long it waits.
    pub interval: Centiseconds,
}
