//! When each virtual address is announced: a burst when it is this node's, another one later, then now and again.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use monotonic::Instant;

use super::Announcement;
use super::pacing::{AT_ONCE, Pace};
use crate::config::{AnnouncementRate, Announcements, InterfaceAddress, VirtualRouterConfig};
use crate::link::LinkState;
use crate::name::InterfaceName;
use crate::reconciliation::Said;
use crate::timers::Timers;

/// The addresses that this node announces, each with what comes next: those that stand here and whose virtual router is
/// Active, so that a node that has lost the role falls silent at once, however slow its kernel.
#[derive(Clone, Debug, Default)]
pub(super) struct Announcing {
    standing: BTreeSet<InterfaceAddress>,
    /// Those that the neighbours have heard of once, just now.
    heard_of: BTreeSet<InterfaceAddress>,
    schedules: BTreeMap<InterfaceAddress, Schedule>,
    timers: Timers<InterfaceAddress>,
    pace: Pace,
    /// Where more addresses may come at once than may be announced at once.
    crowded: BTreeSet<InterfaceName>,
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
    /// Announces no faster than this on any one interface from now on.
    pub(super) fn set_rate(&mut self, rate: AnnouncementRate) {
        self.pace.set_rate(rate);
    }

    /// Takes over which addresses there are.
    pub(super) fn count<'a>(&mut self, addresses: impl Iterator<Item = &'a InterfaceAddress>) {
        let mut counts: BTreeMap<_, u32> = BTreeMap::new();
        for address in addresses {
            *counts.entry(&address.interface).or_default() += 1;
        }
        let crowded = counts.into_iter().filter(|(_, count)| *count > AT_ONCE);
        self.crowded = crowded.map(|(interface, _)| interface.clone()).collect();
    }

    /// Tells whether what comes on an interface may be announced without waiting for its turn.
    pub(super) fn has_room(&self, interface: &InterfaceName) -> bool {
        !self.crowded.contains(interface)
    }

    /// Notes that the kernel has taken an address, which is then announced from the beginning.
    pub(super) fn stands(&mut self, address: InterfaceAddress, said: Said, now: Instant) {
        self.end(&address);
        match said {
            Said::Nothing => {}
            Said::Once => {
                self.pace.note_sent(&address.interface, now);
                self.heard_of.insert(address.clone());
            }
        }
        self.standing.insert(address);
    }

    /// Notes that the kernel no longer has an address.
    pub(super) fn is_gone(&mut self, address: &InterfaceAddress) {
        self.end(address);
        self.standing.remove(address);
    }

    /// Tells whether every address stands that is on the virtual router's own device, if it has one.
    pub(super) fn stand_on_device(&self, config: &VirtualRouterConfig) -> bool {
        config.device.as_ref().is_none_or(|device| {
            let mut on_device = config.all_addresses().filter(|address| address.interface == device.name);
            on_device.all(|address| self.standing.contains(address))
        })
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
        for Announced { address, origin, wanted } in active {
            let stands = *origin == Origin::Own || self.standing.contains(address);
            if stands && !self.schedules.contains_key(address) {
                self.announce(address.clone(), *wanted, Next::FirstBurst, now);
            }
        }
        self.heard_of.clear();
        self.pace.release(links, now)
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
        for address in addresses {
            let Some(Schedule { wanted, last, .. }) = self.schedules.get(address).copied() else { continue };
            if now < last + gap {
                self.schedules.insert(address.clone(), Schedule { wanted, next: Next::FirstBurst, last });
                self.timers.set(address.clone(), Some(last + gap));
            } else {
                self.announce(address.clone(), wanted, Next::FirstBurst, now);
            }
        }
        self.pace.release(links, now)
    }

    pub(super) fn next_deadline(&self) -> Option<Instant> {
        [self.timers.next(), self.pace.next()].into_iter().flatten().min()
    }

    /// Returns the announcements that are due.
    pub(super) fn due(
        &mut self,
        links: &BTreeMap<InterfaceName, LinkState>,
        now: Instant,
    ) -> Vec<Announcement> {
        while let Some(address) = self.timers.pop_due(now) {
            let Some(Schedule { wanted, next, .. }) = self.schedules.get(&address).copied() else { continue };
            self.announce(address, wanted, next, now);
        }
        self.pace.release(links, now)
    }

    /// Has an address announced as it is due, and schedules what follows.
    fn announce(&mut self, address: InterfaceAddress, wanted: Announcements, due: Next, now: Instant) {
        let Announcements { burst, repeat_after, refresh } = wanted;
        let (count, next, wait) = match due {
            Next::FirstBurst if repeat_after > Duration::ZERO => (burst, Next::SecondBurst, repeat_after),
            Next::FirstBurst | Next::SecondBurst => (burst, Next::Refresh, refresh),
            Next::Refresh => (1, Next::Refresh, refresh),
        };
        let said = u8::from(self.heard_of.remove(&address));
        self.pace.add(address.clone(), count.saturating_sub(said));
        self.timers.set(address.clone(), (wait > Duration::ZERO).then(|| now + wait));
        self.schedules.insert(address, Schedule { wanted, next, last: now });
    }

    fn end(&mut self, address: &InterfaceAddress) {
        if self.schedules.remove(address).is_some() {
            self.timers.set(address.clone(), None);
            self.pace.remove(address);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_more_addresses_come_than_may_be_announced_at_once_each_waits_for_its_turn() {
        let address = |number: u32| {
            let [_, _, high, low] = number.to_be_bytes();
            InterfaceAddress::new(InterfaceName::new("eth0").unwrap(), [10, 77, high, low].into(), 16)
        };
        let has_room = |count: u32| {
            let addresses: Vec<_> = (0..count).map(address).collect();
            let mut announcing = Announcing::default();
            announcing.count(addresses.iter());
            announcing.has_room(&addresses[0].interface)
        };
        assert_eq!([AT_ONCE, AT_ONCE + 1].map(has_room), [true, false]);
    }
}
