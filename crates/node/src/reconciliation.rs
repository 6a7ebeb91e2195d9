//! What came of making the kernel hold what it should.

use std::collections::BTreeMap;

use virtual_server::service::ServiceKey;

use crate::config::InterfaceAddress;
use crate::fight::Fight;
use crate::plan::Change;

/// The outcome of one round of work on the kernel.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Reconciliation {
    /// The virtual addresses that the kernel holds since this round, each with what the neighbours have heard of it.
    pub taken: BTreeMap<InterfaceAddress, Said>,
    /// The virtual addresses that the kernel no longer holds since this round, as it should be.
    pub left: Vec<InterfaceAddress>,
    /// What the kernel did not do; it is tried again later, and reported again only when the reason is another.
    pub refused: Vec<Refusal>,
    /// The interfaces with virtual hardware addresses that were made or removed.
    pub devices: Vec<Change>,
    /// The routes and rules that were put in place or removed.
    pub rerouted: Vec<Change>,
    /// What packets are dropped since this round, and which no longer.
    pub dropped: Vec<Change>,
    /// What was done because somebody else had changed what is Baton's; addresses among it are in [`Self::taken`] too.
    pub repaired: Vec<Change>,
    /// The fights about addresses that began or are over.
    pub fights: Vec<Fight>,
    /// The services whose table is now as wanted after it was not, each with its number of real servers.
    pub completed: Vec<(ServiceKey, usize)>,
    /// Set when IPVS came or went, and once at the start when there is none.
    pub ipvs: Option<IpvsAvailability>,
    /// Whether the kernel now holds all that is wanted and nothing more.
    pub agreement: Agreement,
}

/// What the neighbours have heard of an address that has just been taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Said {
    /// Nothing.
    Nothing,
    /// The first of what they are to hear.
    Once,
}

/// Whether the kernel holds what is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Agreement {
    /// Work is left: more chunks, something refused, or a newer wanted state.
    #[default]
    Pending,
    /// All that is wanted, and nothing of ours beyond it.
    Settled,
}

/// Whether this kernel has IPVS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum IpvsAvailability {
    /// It is there.
    Available,
    /// It is not.
    Unavailable {
        /// What is missing and what to do about it.
        reason: String,
    },
}

/// A change that the kernel did not make.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// What was to be done.
    pub change: Change,
    /// Why it was not.
    pub kind: RefusalKind,
    /// The same for people, with what to do about it.
    pub reason: String,
}

/// Why a change was not made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RefusalKind {
    /// It, or something else in its place, is already there and is somebody else's.
    Foreign,
    /// The interface does not exist, now.
    NoInterface,
    /// The kernel said no.
    Kernel,
}
