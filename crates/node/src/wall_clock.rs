//! The time of people, as far as anything here is decided by it.

use std::time::Duration;

use monotonic::Instant;

/// What the wall clock showed at one moment, from which it is told what it shows at others.
///
/// No timer goes by it. It only stands in the sequence numbers of authenticated advertisements.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct WallClock {
    seen: Instant,
    unix: Duration,
}

impl WallClock {
    /// How far the clock may have drifted before it is worth an input: less than the sequence numbers can tell apart from
    /// a late packet, more than a time service slews it by in a second.
    pub const DRIFT: Duration = Duration::from_millis(1);

    /// Returns the clock that showed this time since 1970 at this moment.
    pub const fn new(seen: Instant, unix: Duration) -> Self {
        Self { seen, unix }
    }

    /// Returns the time since 1970 that it shows at a moment, if nobody sets it.
    pub fn at(self, now: Instant) -> Duration {
        (self.unix + now.saturating_since(self.seen)).saturating_sub(self.seen.saturating_since(now))
    }

    /// Tells whether this one goes differently from another.
    pub fn differs(self, other: Self) -> bool {
        other.at(self.seen).abs_diff(self.unix) > Self::DRIFT
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_is_slewed_goes_alike_and_one_that_is_set_does_not() {
        let at = |seconds| Instant::from_start(Duration::from_secs(seconds));
        let clock = WallClock::new(at(10), Duration::from_secs(1_000));
        assert_eq!(clock.at(at(15)), Duration::from_secs(1_005));
        assert_eq!(clock.at(at(5)), Duration::from_secs(995));
        let slewed = WallClock::new(at(11), Duration::from_micros(1_001_000_500));
        assert!(!slewed.differs(clock));
        assert!(WallClock::new(at(11), Duration::from_millis(1_001_002)).differs(clock));
        assert!(WallClock::new(at(11), Duration::from_millis(1_000_998)).differs(clock));
    }
}
