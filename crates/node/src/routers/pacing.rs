//! How many announcements leave an interface at once: a switch that is flooded with them drops what it cannot learn.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use monotonic::Instant;
use vrrp::announcement;

use super::Announcement;
use crate::config::{AnnouncementRate, InterfaceAddress};
use crate::link::LinkState;
use crate::name::InterfaceName;

/// How many frames leave an interface that was quiet before the rate counts: the first word of 255 virtual routers with
/// an address each is not held up.
pub(super) const AT_ONCE: u32 = 256;

/// How long frames that have to wait wait at least, so that a long row of them wakes nobody for each.
const PATIENCE: Duration = Duration::from_millis(1);

/// What waits to be announced, by interface.
#[derive(Clone, Debug, Default)]
pub(super) struct Pace {
    rate: AnnouncementRate,
    lanes: BTreeMap<InterfaceName, Lane>,
}

/// What waits on one interface.
#[derive(Clone, Debug)]
struct Lane {
    /// When all that was sent is paid for, at the rate.
    paid_at: Instant,
    /// What is sent next, each with how often.
    waiting: VecDeque<(InterfaceAddress, u8)>,
}

impl Pace {
    pub(super) fn set_rate(&mut self, rate: AnnouncementRate) {
        self.rate = rate;
    }

    /// Has an address announced so often, after what waits already.
    pub(super) fn add(&mut self, address: InterfaceAddress, count: u8) {
        if count == 0 {
            return;
        }
        let lane = self.lane(&address.interface);
        match lane.waiting.iter_mut().find(|(waiting, _)| *waiting == address) {
            Some((_, waiting)) => *waiting = count.max(*waiting),
            None => lane.waiting.push_back((address, count)),
        }
    }

    /// Notes that a frame has left an interface.
    pub(super) fn note_sent(&mut self, interface: &InterfaceName, now: Instant) {
        let frame_time = self.rate.frame_time();
        let lane = self.lane(interface);
        lane.paid_at = lane.paid_at.max(now) + frame_time;
    }

    fn lane(&mut self, interface: &InterfaceName) -> &mut Lane {
        let fresh = || Lane { paid_at: Instant::START, waiting: VecDeque::new() };
        self.lanes.entry(interface.clone()).or_insert_with(fresh)
    }

    /// Has an address that waits announced no more.
    pub(super) fn remove(&mut self, address: &InterfaceAddress) {
        if let Some(lane) = self.lanes.get_mut(&address.interface) {
            lane.waiting.retain(|(waiting, _)| waiting != address);
        }
    }

    /// Returns what may leave now: each address once before any a second time.
    pub(super) fn release(
        &mut self,
        links: &BTreeMap<InterfaceName, LinkState>,
        now: Instant,
    ) -> Vec<Announcement> {
        let frame_time = self.rate.frame_time();
        let mut announcements = Vec::new();
        for (interface, lane) in &mut self.lanes {
            let Some((link, mac)) = links.get(interface).and_then(|link| Some((link.index, link.mac?)))
            else {
                // Neighbours ask for no hardware address here, or the interface is gone.
                lane.waiting.clear();
                continue;
            };
            for (address, count) in lane.release(frame_time, now) {
                let frame = announcement::frame(address.address, mac);
                announcements.push(Announcement { address, link, frame, count });
            }
        }
        announcements
    }

    /// Returns when [`Self::release`] will have more.
    pub(super) fn next(&self) -> Option<Instant> {
        let frame_time = self.rate.frame_time();
        let waiting = self.lanes.values().filter(|lane| !lane.waiting.is_empty());
        waiting.map(|lane| lane.free_at(frame_time) + PATIENCE).min()
    }
}

impl Lane {
    fn release(&mut self, frame_time: Duration, now: Instant) -> Vec<(InterfaceAddress, u8)> {
        let mut released: Vec<(InterfaceAddress, u8)> = Vec::new();
        let mut places = BTreeMap::new();
        while self.free_at(frame_time) <= now
            && let Some((address, count)) = self.waiting.pop_front()
        {
            self.paid_at = self.paid_at.max(now) + frame_time;
            let place = *places.entry(address.clone()).or_insert(released.len());
            match released.get_mut(place) {
                Some((_, count)) => *count += 1,
                None => released.push((address.clone(), 1)),
            }
            if count > 1 {
                self.waiting.push_back((address, count - 1));
            }
        }
        released
    }

    /// Returns when the next frame may leave.
    fn free_at(&self, frame_time: Duration) -> Instant {
        let credit = frame_time.saturating_mul(AT_ONCE - 1);
        Instant::from_start(self.paid_at.since_start().saturating_sub(credit))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use vrrp::MacAddress;

    fn at(microseconds: u64) -> Instant {
        Instant::from_start(Duration::from_secs(100) + Duration::from_micros(microseconds))
    }

    fn eth0() -> InterfaceName {
        InterfaceName::new("eth0").unwrap()
    }

    fn address(number: u16) -> InterfaceAddress {
        let [high, low] = number.to_be_bytes();
        InterfaceAddress::new(eth0(), [10, 77, high, low].into(), 16)
    }

    fn links() -> BTreeMap<InterfaceName, LinkState> {
        let link = LinkState {
            index: 2,
            is_up: true,
            mac: Some(MacAddress([2, 0, 0, 0, 0, 11])),
            primary_v4: None,
            link_local: None,
            addresses: [].into(),
        };
        BTreeMap::from([(eth0(), link)])
    }

    #[test]
    fn what_others_have_sent_is_paid_for_too() {
        let mut pace = pace(1_000);
        for _ in 0..AT_ONCE {
            pace.note_sent(&eth0(), at(0));
        }
        pace.add(address(1), 1);
        assert_eq!(pace.release(&links(), at(999)), []);
        assert_eq!(pace.release(&links(), at(1_000)).len(), 1);
        // It was said already as often as it was to be.
        pace.add(address(2), 0);
        assert_eq!(pace.next(), None);
    }

    fn pace(rate: u32) -> Pace {
        let mut pace = Pace::default();
        pace.set_rate(AnnouncementRate::new(rate).unwrap());
        pace
    }

    fn frames(announcements: &[Announcement]) -> u32 {
        announcements.iter().map(|announcement| u32::from(announcement.count)).sum()
    }

    /// Lets everything leave as early as it may; returns how many frames left when.
    fn drain(pace: &mut Pace) -> Vec<(Instant, u32)> {
        let mut left = vec![(at(0), frames(&pace.release(&links(), at(0))))];
        while let Some(next) = pace.next() {
            left.push((next, frames(&pace.release(&links(), next))));
        }
        left
    }

    #[test]
    fn a_few_addresses_are_announced_at_once_as_often_as_they_should() {
        let mut pace = pace(10_000);
        for number in 1..=3 {
            pace.add(address(number), 5);
        }
        let released = pace.release(&links(), at(0));
        let counts: Vec<_> = released.iter().map(|one| (one.address.clone(), one.count)).collect();
        assert_eq!(counts, [(address(1), 5), (address(2), 5), (address(3), 5)]);
        assert_eq!(pace.next(), None);
    }

    #[test]
    fn a_thousand_addresses_never_leave_faster_than_the_rate_and_all_leave() {
        let mut pace = pace(10_000);
        for number in 0..1_000 {
            pace.add(address(number), 5);
        }
        let left = drain(&mut pace);
        assert_eq!(left.iter().map(|(_, frames)| frames).sum::<u32>(), 5_000);
        assert_eq!(left[0].1, AT_ONCE);
        // Ten frames a millisecond, and one more for where a millisecond begins.
        assert!(left[1..].iter().all(|(_, frames)| *frames <= 11), "{left:?}");
        let lasted = left.last().unwrap().0 - at(0);
        assert!(
            lasted >= Duration::from_micros(474_400) && lasted < Duration::from_millis(480),
            "{lasted:?}"
        );
    }

    #[test]
    fn each_address_is_announced_once_before_any_is_a_second_time() {
        let mut pace = pace(10_000);
        for number in 0..300 {
            pace.add(address(number), 2);
        }
        let mut first = pace.release(&links(), at(0));
        assert!(first.iter().all(|one| one.count == 1), "{first:?}");
        first.truncate(0);
        while first.len() < 44 {
            let next = pace.next().unwrap();
            first.extend(pace.release(&links(), next));
        }
        let expected: Vec<_> = (256..300).map(address).collect();
        let found: Vec<_> = first[..44].iter().map(|one| one.address.clone()).collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn an_address_that_left_is_announced_no_more() {
        let mut pace = pace(1_000);
        for number in 0..300 {
            pace.add(address(number), 1);
        }
        let _ = pace.release(&links(), at(0));
        for number in 256..300 {
            pace.remove(&address(number));
        }
        assert_eq!(pace.next(), None);
    }

    #[test]
    fn an_interface_that_is_gone_or_asks_for_no_hardware_address_announces_nothing() {
        let mut pace = pace(1_000);
        pace.add(address(1), 1);
        assert_eq!(pace.release(&BTreeMap::new(), at(0)), []);
        assert_eq!(pace.next(), None);
    }
}
