//! When each virtual address is announced: a burst when it is this node's, another one later, then now and again.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use monotonic::Instant;
use vrrp::announcement;

use super::Announcement;
use crate::config::{Announcements, InterfaceAddress};
use crate::link::LinkState;
use crate::name::InterfaceName;
use crate::timers::Timers;

/// The addresses that this node announces, each with what comes next: those that stand here and whose virtual router is
/// Active, so that a node that has lost the role falls silent at once, however slow its kernel.
#[derive(Clone, Debug, Default)]
pub(super) struct Announcing {
    standing: BTreeSet<InterfaceAddress>,
    schedules: BTreeMap<InterfaceAddress, Schedule>,
    timers: Timers<InterfaceAddress>,
}

/// An address whose virtual router is Active on this node.
#[derive(Clone, Debug)]
pub(super) struct Announced {
    pub(super) address: InterfaceAddress,
    pub(super) origin: Origin,
    pub(super) wanted: Announcements,
}

/// How an address comes to stand on this node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Origin {
    /// The kernel takes it when it is wanted.
    Taken,
    /// It is the owner's own.
    Own,
}

#[derive(Clone, Copy, Debug)]
struct Schedule {
    wanted: Announcements,
    next: Next,
    last: Instant,
}

#[derive(Clone, Copy, Debug)]
enum Next {
    FirstBurst,
    SecondBurst,
    Refresh,
}

impl Announcing {
    /// Notes that the kernel has taken an address, which is then announced from the beginning.
    pub(super) fn stands(&mut self, address: InterfaceAddress) {
        self.end(&address);
        self.standing.insert(address);
    }

    /// Notes that the kernel no longer has an address.
    pub(super) fn is_gone(&mut self, address: &InterfaceAddress) {
        self.end(address);
        self.standing.remove(address);
    }

    /// Announces what is new among the addresses of the Active virtual routers, and stops with what is not among them.
    pub(super) fn follow(
        &mut self,
        active: &[Announced],
        links: &BTreeMap<InterfaceName, LinkState>,
        now: Instant,
    ) -> Vec<Announcement> {
        let is_active = |address: &&InterfaceAddress| active.iter().any(|one| one.address == **address);
        let lost: Vec<_> = self.schedules.keys().filter(|address| !is_active(address)).cloned().collect();
        for address in &lost {
            self.end(address);
        }
        let mut announcements = Vec::new();
        for Announced { address, origin, wanted } in active {
            let stands = *origin == Origin::Own || self.standing.contains(address);
            if stands && !self.schedules.contains_key(address) {
                announcements.extend(self.announce(address.clone(), *wanted, Next::FirstBurst, links, now));
            }
        }
        announcements
    }

    /// Announces addresses from the beginning again, since somebody else drew the traffic to himself; those that were
    /// announced less than `gap` ago follow when it is over.
    pub(super) fn repeat<'a>(
        &mut self,
        addresses: impl Iterator<Item = &'a InterfaceAddress>,
        gap: Duration,
        links: &BTreeMap<InterfaceName, LinkState>,
        now: Instant,
    ) -> Vec<Announcement> {
        let mut announcements = Vec::new();
        for address in addresses {
            let Some(Schedule { wanted, last, .. }) = self.schedules.get(address).copied() else { continue };
            if now < last + gap {
                self.schedules.insert(address.clone(), Schedule { wanted, next: Next::FirstBurst, last });
                self.timers.set(address.clone(), Some(last + gap));
            } else {
                announcements.extend(self.announce(address.clone(), wanted, Next::FirstBurst, links, now));
            }
        }
        announcements
    }

    pub(super) fn next_deadline(&self) -> Option<Instant> {
        self.timers.next()
    }

    /// Returns the announcements that are due.
    pub(super) fn due(
        &mut self,
        links: &BTreeMap<InterfaceName, LinkState>,
        now: Instant,
    ) -> Vec<Announcement> {
        let mut announcements = Vec::new();
        while let Some(address) = self.timers.pop_due(now) {
            let Some(Schedule { wanted, next, .. }) = self.schedules.get(&address).copied() else { continue };
            announcements.extend(self.announce(address, wanted, next, links, now));
        }
        announcements
    }

    /// Announces an address as it is due, and schedules what follows.
    fn announce(
        &mut self,
        address: InterfaceAddress,
        wanted: Announcements,
        due: Next,
        links: &BTreeMap<InterfaceName, LinkState>,
        now: Instant,
    ) -> Option<Announcement> {
        let Announcements { burst, repeat_after, refresh } = wanted;
        let (count, next, wait) = match due {
            Next::FirstBurst if repeat_after > Duration::ZERO => (burst, Next::SecondBurst, repeat_after),
            Next::FirstBurst | Next::SecondBurst => (burst, Next::Refresh, refresh),
            Next::Refresh => (1, Next::Refresh, refresh),
        };
        let announcement = announcement(&address, count, links);
        self.timers.set(address.clone(), (wait > Duration::ZERO).then(|| now + wait));
        self.schedules.insert(address, Schedule { wanted, next, last: now });
        announcement
    }

    fn end(&mut self, address: &InterfaceAddress) {
        if self.schedules.remove(address).is_some() {
            self.timers.set(address.clone(), None);
        }
    }
}

/// Returns nothing where neighbours ask for no hardware address, or where the interface is gone.
fn announcement(
    address: &InterfaceAddress,
    count: u8,
    links: &BTreeMap<InterfaceName, LinkState>,
) -> Option<Announcement> {
    let link = links.get(&address.interface)?;
    let frame = announcement::frame(address.address, link.mac?);
    Some(Announcement { address: address.clone(), link: link.index, frame, count })
}
