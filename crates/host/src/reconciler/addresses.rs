//! The reconciler's work on virtual addresses.

use std::collections::BTreeSet;
use std::{iter, mem};

use node::config::InterfaceAddress;
use node::fight::Fights;
use node::input_drop::InputDrop;
use node::name::InterfaceName;
use node::plan::{Change, Step};
use node::reconciliation::{Reconciliation, RefusalKind, Said};
use tokio::time::Instant;

use super::arrival::{self, Arrival, arrival};
use super::refusals::Refusals;
use crate::address::{self, AddressError, Lease};
use crate::clock::now;
use crate::link::Interfaces;
use crate::record::Record;
use crate::route_netlink::RouteNetlink;

/// How many leases are renewed before it is looked whether something is more urgent: each takes the kernel some ten
/// microseconds, and waking up for its answer as long.
const RENEWED_TOGETHER: usize = 8;

/// What should be there before some of the addresses, and is not.
#[derive(Clone, Debug)]
pub(super) struct Lacking<'a> {
    /// The devices.
    pub(super) devices: BTreeSet<InterfaceName>,
    /// The packets that should be dropped.
    pub(super) drops: BTreeSet<&'a InputDrop>,
    /// Why they are not.
    pub(super) obstacle: &'a str,
}

/// The addresses that were told as taken; what the kernel holds is rtnetlink's to tell.
#[derive(Debug, Default)]
pub(super) struct Addresses {
    told: BTreeSet<InterfaceAddress>,
    /// Those that the neighbours have heard of once, and that are not told as taken yet.
    announced: BTreeSet<InterfaceAddress>,
    fights: Fights,
    lease: Lease,
    /// Those whose lease is to be renewed.
    due: BTreeSet<InterfaceAddress>,
}

impl Addresses {
    /// Has addresses that are taken from now on kept for so long.
    pub(super) fn lend(&mut self, lease: Lease) {
        self.lease = lease;
    }

    /// Has the leases of these renewed.
    pub(super) fn hold(&mut self, addresses: BTreeSet<InterfaceAddress>) {
        self.due = addresses;
    }

    /// Tells whether leases are to be renewed.
    pub(super) fn are_due(&self) -> bool {
        !self.due.is_empty()
    }

    /// Renews leases until all are or something is more urgent.
    pub(super) async fn renew(
        &mut self,
        netlink: &mut RouteNetlink,
        record: &Record,
        is_interrupted: impl Fn() -> bool,
    ) {
        while !is_interrupted() {
            let some: Vec<_> = iter::from_fn(|| self.due.pop_first()).take(RENEWED_TOGETHER).collect();
            if some.is_empty() {
                return;
            }
            address::renew(netlink, record, &some, self.lease).await;
        }
    }

    /// Tells whether a change may be made now: an address that somebody removes again and again has to wait.
    pub(super) fn is_due(&mut self, change: &Change, interfaces: &Interfaces) -> bool {
        match change {
            // An address that went with its interface was not removed.
            Change::Address(Step::Take, address)
                if self.told.contains(address) && interfaces.find(&address.interface).is_some() =>
            {
                self.fights.is_put_back(address, now())
            }
            Change::Address(..)
            | Change::Rule(..)
            | Change::Route(..)
            | Change::Drop(..)
            | Change::Device(..)
            | Change::Service(_) => true,
        }
    }

    /// Returns when an address that had to wait is due.
    pub(super) fn next(&self, interfaces: &Interfaces) -> Option<Instant> {
        let now = now();
        // One on an interface that is gone is looked at again when that comes back.
        let is_possible = |address: &InterfaceAddress| interfaces.find(&address.interface).is_some();
        self.fights.next(is_possible).map(|at| Instant::now() + (at - now))
    }

    /// Makes changes of addresses, but for those that something is lacking to, and returns what it took.
    pub(super) async fn apply(
        &mut self,
        changes: &[Change],
        lacking: &Lacking<'_>,
        netlink: &mut RouteNetlink,
        record: &Record,
        refusals: &mut Refusals,
        outcome: &mut Reconciliation,
    ) -> Vec<InterfaceAddress> {
        let mut taken = Vec::new();
        for change in changes {
            let done = match change {
                // Under the name of a device that could not be made there may be somebody else's interface.
                Change::Address(Step::Take, wanted) if lacking.devices.contains(&wanted.interface) => {
                    Err(AddressError::NoInterface(wanted.clone()))
                }
                Change::Address(Step::Take, wanted) if lacking.drops.contains(&InputDrop::of(wanted)) => {
                    let (address, reason) = (wanted.clone(), lacking.obstacle.to_owned());
                    Err(AddressError::Accepted { address, reason })
                }
                Change::Address(Step::Take, wanted) => {
                    let done = address::take(netlink, record, wanted, self.lease).await;
                    // It was there, as had been told, and nobody but others can have removed it.
                    if done.is_ok() && self.told.remove(wanted) {
                        self.fights.note_put_back(wanted);
                        outcome.repaired.push(change.clone());
                    }
                    if done.is_ok() {
                        taken.push(wanted.clone());
                    }
                    done
                }
                Change::Address(Step::Leave, own) => {
                    let done = address::leave(netlink, record, own).await;
                    if done.is_ok() {
                        self.told.remove(own);
                        outcome.left.push(own.clone());
                    }
                    done
                }
                Change::Rule(..)
                | Change::Route(..)
                | Change::Drop(..)
                | Change::Device(..)
                | Change::Service(_) => continue,
            };
            match done {
                Ok(()) => refusals.forgive(change),
                Err(error) => {
                    let (kind, reason) = (kind(&error), error.to_string());
                    outcome.refused.extend(refusals.refuse(change, kind, &reason, Instant::now()));
                }
            }
        }
        taken
    }

    /// Waits until the kernel takes packets to what was taken.
    pub(super) async fn arrive(
        &mut self,
        taken: &[InterfaceAddress],
        netlink: &mut RouteNetlink,
        record: &Record,
    ) {
        let deadline = Instant::now() + arrival::LIMIT;
        for address in taken {
            match arrival(netlink, record, address, deadline).await {
                Arrival::Arrived => {}
                // It was there, and has to wait as any that was told.
                Arrival::Gone => {
                    self.told.insert(address.clone());
                }
            }
        }
    }

    /// Notes that the neighbours have heard once of these, which have just been taken.
    pub(super) fn note_announced(&mut self, addresses: BTreeSet<InterfaceAddress>) {
        self.announced.extend(addresses);
    }

    /// Adds to the outcome which wanted addresses the kernel holds by now and did not before, and which of the others it
    /// does not hold any more.
    pub(super) fn note(
        &mut self,
        own: &BTreeSet<InterfaceAddress>,
        wanted: &BTreeSet<InterfaceAddress>,
        outcome: &mut Reconciliation,
    ) {
        let announced = mem::take(&mut self.announced);
        let said = |address| if announced.contains(address) { Said::Once } else { Said::Nothing };
        let taken = own.intersection(wanted).filter(|address| !self.told.contains(address));
        outcome.taken.extend(taken.map(|address| (address.clone(), said(address))));
        self.told.extend(outcome.taken.keys().cloned());
        let is_gone = |address: &InterfaceAddress| !own.contains(address) && !wanted.contains(address);
        let (gone, told) = mem::take(&mut self.told).into_iter().partition::<BTreeSet<_>, _>(is_gone);
        self.told = told;
        outcome.left.extend(gone);
        self.fights.conclude(|address| wanted.contains(address), now());
        outcome.fights.extend(self.fights.news());
    }
}

fn kind(error: &AddressError) -> RefusalKind {
    match error {
        AddressError::Foreign(_) => RefusalKind::Foreign,
        AddressError::NoInterface(_) => RefusalKind::NoInterface,
        AddressError::Accepted { .. }
        | AddressError::NotPermitted
        | AddressError::Ipv6Disabled(_)
        | AddressError::Scope(_)
        | AddressError::Kernel { .. } => RefusalKind::Kernel,
    }
}
