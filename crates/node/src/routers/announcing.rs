//! When each virtual address is announced: a burst when it was taken, another one later, then now and again.

use std::collections::BTreeMap;
use std::time::Duration;

use monotonic::Instant;
use vrrp::announcement;

use super::Announcement;
use crate::config::{Announcements, InterfaceAddress};
use crate::link::LinkState;
use crate::name::InterfaceName;
use crate::timers::Timers;

/// The addresses that this node announces, each with what comes next.
#[derive(Clone, Debug, Default)]
pub(super) struct Announcing {
    schedules: BTreeMap<InterfaceAddress, Schedule>,
    timers: Timers<InterfaceAddress>,
}

#[derive(Clone, Copy, Debug)]
struct Schedule {
    wanted: Announcements,
    next: Next,
}

#[derive(Clone, Copy, Debug)]
enum Next {
    SecondBurst,
    Refresh,
}

impl Announcing {
    /// Announces an address that was just taken, and goes on as `wanted` says.
    pub(super) fn begin(
        &mut self,
        address: InterfaceAddress,
        wanted: Announcements,
        links: &BTreeMap<InterfaceName, LinkState>,
        now: Instant,
    ) -> Option<Announcement> {
        let first = announcement(&address, wanted.burst, links);
        let next = if wanted.repeat_after.is_zero() { Next::Refresh } else { Next::SecondBurst };
        self.go_on(address, Schedule { wanted, next }, now);
        first
    }

    /// Stops announcing an address.
    pub(super) fn end(&mut self, address: &InterfaceAddress) {
        self.schedules.remove(address);
        self.timers.set(address.clone(), None);
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
            let Some(Schedule { wanted, next }) = self.schedules.get(&address).copied() else { continue };
            let count = match next {
                Next::SecondBurst => wanted.burst,
                Next::Refresh => 1,
            };
            announcements.extend(announcement(&address, count, links));
            self.go_on(address, Schedule { wanted, next: Next::Refresh }, now);
        }
        announcements
    }

    fn go_on(&mut self, address: InterfaceAddress, schedule: Schedule, now: Instant) {
        let wait = match schedule.next {
            Next::SecondBurst => schedule.wanted.repeat_after,
            Next::Refresh => schedule.wanted.refresh,
        };
        let at = (wait > Duration::ZERO).then(|| now + wait);
        self.timers.set(address.clone(), at);
        self.schedules.insert(address, schedule);
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
