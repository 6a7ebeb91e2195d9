//! The protocol's unit of time and the two intervals it derives from it.

use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

use monotonic::Instant;

use crate::identity::{Priority, Version};

/// A time in hundredths of a second, the unit of advertisement intervals.
/// [RFC 9568, section 5.2.7](https://www.rfc-editor.org/rfc/rfc9568#section-5.2.7)
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Centiseconds(u16);

impl Centiseconds {
    /// The default advertisement interval, one second.
    pub const DEFAULT: Self = Self(100);
    /// The longest interval that version 3 can carry, 40.95 seconds (12 bits).
    pub const MAX_V3: Self = Self(4095);
    /// The longest interval that version 2 can carry, 255 seconds (8 bits of seconds).
    pub const MAX_V2: Self = Self(25_500);

    /// Returns this many hundredths of a second.
    pub const fn new(hundredths: u16) -> Self {
        Self(hundredths)
    }

    /// Returns the number of hundredths of a second.
    pub const fn get(self) -> u16 {
        self.0
    }

    /// Returns the same time as a [`Duration`].
    pub const fn duration(self) -> Duration {
        Duration::from_millis(self.0 as u64 * 10)
    }

    /// Returns how much longer a Backup of this priority waits for its Active, so that the best one claims first.
    ///
    /// Version 3: `((256 - priority) * Active_Adver_Interval) / 256`
    /// ([RFC 9568, section 6.1](https://www.rfc-editor.org/rfc/rfc9568#section-6.1)); version 2:
    /// `(256 - priority) / 256` seconds, whatever the interval
    /// ([RFC 3768, section 6.1](https://www.rfc-editor.org/rfc/rfc3768#section-6.1)). Kept to the nanosecond.
    pub fn skew(self, version: Version, priority: Priority) -> Duration {
        let base = match version {
            Version::V2 => Duration::from_secs(1),
            Version::V3 => self.duration(),
        };
        base * (256 - u32::from(priority.get())) / 256
    }

    /// Returns how long a Backup that has learnt this interval waits for an advertisement before it claims.
    ///
    /// `3 * Active_Adver_Interval + Skew_Time`
    /// ([RFC 9568, section 6.1](https://www.rfc-editor.org/rfc/rfc9568#section-6.1)).
    pub fn active_down(self, version: Version, priority: Priority) -> Duration {
        3 * self.duration() + self.skew(version, priority)
    }
}

/// Returns when a node advertises next at this interval: on a grid that is the same for all that it advertises from one
/// address, so that it goes out together, and another one for a neighbour.
///
/// Where a split heals, the first advertisement that either side hears settles it. Nodes with one clock, as in network
/// namespaces, would wait a whole interval for it if they advertised at the same moments. Neighbours often have addresses
/// in a row: the reverse of the last octet's bits puts those furthest apart.
pub(crate) fn next_advertisement(now: Instant, interval: Centiseconds, source: IpAddr) -> Instant {
    let last_octet = match source {
        IpAddr::V4(address) => address.octets()[3],
        IpAddr::V6(address) => address.octets()[15],
    };
    let phase = interval.duration() * u32::from(last_octet.reverse_bits()) / 256;
    let until_phase = interval.duration().saturating_sub(phase);
    let shifted = (now + until_phase).next_on_grid(interval.duration());
    Instant::from_start(shifted.since_start().saturating_sub(until_phase))
}

impl fmt::Display for Centiseconds {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:?}", self.duration())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_interval_of_a_default_backup_is_three_seconds_and_609_milliseconds() {
        let waited = Centiseconds::DEFAULT.active_down(Version::V3, Priority::DEFAULT);
        assert_eq!(waited, Duration::from_micros(3_609_375));
    }

    #[test]
    fn version_2_skews_by_up_to_a_second_whatever_the_interval() {
        let skew = |interval| Centiseconds::new(interval).skew(Version::V2, Priority::DEFAULT);
        assert_eq!(skew(100), Duration::from_micros(609_375));
        assert_eq!(skew(1000), skew(100));
    }

    #[test]
    fn a_higher_priority_waits_less() {
        for version in [Version::V2, Version::V3] {
            let waits: Vec<_> = (1..=255)
                .map(|p| Centiseconds::DEFAULT.active_down(version, Priority::from_wire(p)))
                .collect();
            assert!(waits.is_sorted_by(|a, b| a > b));
        }
    }

    #[test]
    fn neighbours_advertise_at_moments_of_their_own_which_stay_the_same() {
        let at = |milliseconds| Instant::from_start(Duration::from_millis(milliseconds));
        let next = |octet, now| next_advertisement(at(now), Centiseconds::DEFAULT, [10, 77, 0, octet].into());
        assert_eq!([0, 1, 999].map(|now| next(0, now)), [at(1_000); 3]);
        assert_eq!([0, 499, 500, 1_499].map(|now| next(1, now)), [at(500), at(500), at(1_500), at(1_500)]);
        assert_eq!((next(2, 0), next(3, 0)), (at(250), at(750)));
    }
}
