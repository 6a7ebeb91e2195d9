//! Somebody else on this machine who takes a virtual address away again and again.
//!
//! What is taken away once is put back at once: a restarted network service, a mistyped command. Whoever does it again
//! and again will go on, and two programs that undo each other's work as fast as they can help nobody.

use std::collections::BTreeMap;
use std::time::Duration;

use monotonic::Instant;

use crate::config::InterfaceAddress;

/// How many removals are put right at once; with the next one it is a fight.
pub const PATIENT_REMOVALS: u32 = 3;

/// How long the first address of a fight is not put back; each further removal doubles it.
pub const FIRST_PAUSE: Duration = Duration::from_millis(500);

/// The longest time that a wanted address is not put back.
pub const LONGEST_PAUSE: Duration = Duration::from_secs(8);

/// How long an address has to stay for its removals to be forgotten.
pub const QUIET: Duration = Duration::from_secs(30);

/// A change in a fight about an address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fight {
    /// The address.
    pub address: InterfaceAddress,
    /// How often it was removed.
    pub removals: u32,
    /// From the first removal to the last.
    pub lasting: Duration,
    /// Whether it begins.
    pub course: Course,
}

/// Whether a fight begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Course {
    /// The address was removed more often than is put right at once.
    Begun,
    /// It stayed, or is not wanted any more.
    Over,
}

/// The addresses that were removed not long ago.
#[derive(Clone, Debug, Default)]
pub struct Fights {
    by_address: BTreeMap<InterfaceAddress, Removed>,
    news: Vec<Fight>,
}

#[derive(Clone, Copy, Debug)]
struct Removed {
    times: u32,
    first: Instant,
    last: Instant,
    presence: Presence,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Presence {
    /// It was put back.
    There,
    /// It is to be put back then.
    Missing { until: Instant },
    /// It may be put back, and is tried.
    Due,
}

impl Fights {
    /// Hears that a wanted address is missing that was there; tells whether it may be put back now.
    pub fn is_put_back(&mut self, address: &InterfaceAddress, now: Instant) -> bool {
        let fresh = Removed { times: 0, first: now, last: now, presence: Presence::There };
        let removed = self.by_address.entry(address.clone()).or_insert(fresh);
        if removed.presence == Presence::There {
            removed.times += 1;
            removed.last = now;
            removed.presence = Presence::Missing { until: now + pause(removed.times) };
            if removed.times == PATIENT_REMOVALS + 1 {
                self.news.push(removed.fight(address, Course::Begun));
            }
        }
        if matches!(removed.presence, Presence::Missing { until } if until <= now) {
            removed.presence = Presence::Due;
        }
        removed.presence == Presence::Due
    }

    /// Hears that an address was put back.
    pub fn note_put_back(&mut self, address: &InterfaceAddress) {
        if let Some(removed) = self.by_address.get_mut(address) {
            removed.presence = Presence::There;
        }
    }

    /// Ends what is over: for addresses that have stayed for long enough, and for those that are not wanted any more.
    pub fn conclude(&mut self, is_wanted: impl Fn(&InterfaceAddress) -> bool, now: Instant) {
        let Self { by_address, news } = self;
        by_address.retain(|address, removed| {
            let goes_on = is_wanted(address) && removed.quiet_at().is_none_or(|quiet_at| now < quiet_at);
            if !goes_on && removed.times > PATIENT_REMOVALS {
                news.push(removed.fight(address, Course::Over));
            }
            goes_on
        });
    }

    /// Returns when [`Self::is_put_back`], for those that can be put back now, or [`Self::conclude`] will have another answer.
    pub fn next(&self, is_possible: impl Fn(&InterfaceAddress) -> bool) -> Option<Instant> {
        self.by_address
            .iter()
            .filter_map(|(address, removed)| match removed.presence {
                Presence::There => Some(removed.last + QUIET),
                Presence::Missing { until } => is_possible(address).then_some(until),
                Presence::Due => None,
            })
            .min()
    }

    /// Returns what has to be told since the last call.
    pub fn news(&mut self) -> Vec<Fight> {
        std::mem::take(&mut self.news)
    }
}

impl Removed {
    fn quiet_at(&self) -> Option<Instant> {
        match self.presence {
            Presence::There => Some(self.last + QUIET),
            Presence::Missing { .. } | Presence::Due => None,
        }
    }

    fn fight(&self, address: &InterfaceAddress, course: Course) -> Fight {
        let lasting = self.last - self.first;
        Fight { address: address.clone(), removals: self.times, lasting, course }
    }
}

fn pause(times: u32) -> Duration {
    match times.checked_sub(PATIENT_REMOVALS + 1) {
        None => Duration::ZERO,
        // Beyond 31 doublings the limit is long reached.
        Some(doublings) => FIRST_PAUSE.saturating_mul(1 << doublings.min(31)).min(LONGEST_PAUSE),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::name::InterfaceName;

    fn at(milliseconds: u64) -> Instant {
        Instant::from_start(Duration::from_millis(milliseconds))
    }

    fn address() -> InterfaceAddress {
        let interface = InterfaceName::new("eth0").unwrap();
        InterfaceAddress::new(interface, [10, 77, 0, 50].into(), 24)
    }

    /// Removes the address the moment it is put back, so many times; returns when it was put back and when it ended.
    fn remove(fights: &mut Fights, times: u32) -> (Vec<Duration>, Instant) {
        let mut now = at(0);
        let mut waits = Vec::new();
        for _ in 0..times {
            let missing_since = now;
            while !fights.is_put_back(&address(), now) {
                // Where it cannot be put back no moment is waited for.
                assert_eq!(fights.next(|_| false), None);
                now = fights.next(|_| true).unwrap();
            }
            fights.note_put_back(&address());
            waits.push(now - missing_since);
        }
        (waits, now)
    }

    #[test]
    fn the_first_removals_are_put_right_at_once_and_the_next_ones_wait_longer_and_longer() {
        let mut fights = Fights::default();
        let (waits, _) = remove(&mut fights, 10);
        let milliseconds: Vec<_> = waits.iter().map(Duration::as_millis).collect();
        assert_eq!(milliseconds, [0, 0, 0, 500, 1_000, 2_000, 4_000, 8_000, 8_000, 8_000]);
    }

    #[test]
    fn a_fight_is_told_once_when_it_begins_and_once_when_the_address_has_stayed() {
        let mut fights = Fights::default();
        let (_, _) = remove(&mut fights, PATIENT_REMOVALS);
        assert_eq!(fights.news(), []);

        let mut fights = Fights::default();
        let (_, last) = remove(&mut fights, 6);
        let begun = Fight { address: address(), removals: 4, lasting: Duration::ZERO, course: Course::Begun };
        assert_eq!(fights.news(), [begun]);
        fights.conclude(|_| true, last);
        assert_eq!(fights.news(), []);
        let over_at = fights.next(|_| true).unwrap();
        fights.conclude(|_| true, over_at);
        let lasting = Duration::from_millis(1_500);
        let over = Fight { address: address(), removals: 6, lasting, course: Course::Over };
        assert_eq!(fights.news(), [over]);
        assert_eq!(fights.next(|_| true), None);
    }

    #[test]
    fn removals_that_lie_far_apart_are_no_fight() {
        let mut fights = Fights::default();
        for time in 0..10 {
            let now = Instant::START + QUIET * time;
            fights.conclude(|_| true, now);
            assert!(fights.is_put_back(&address(), now));
            fights.note_put_back(&address());
        }
        assert_eq!(fights.news(), []);
    }

    #[test]
    fn an_address_that_is_not_wanted_any_more_ends_its_fight() {
        let mut fights = Fights::default();
        let (_, last) = remove(&mut fights, 5);
        fights.conclude(|_| false, last);
        assert!(fights.news().iter().any(|fight| fight.course == Course::Over));
        assert!(fights.is_put_back(&address(), last), "and begins anew");
    }
}
