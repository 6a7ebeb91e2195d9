//! Instants on a monotonic clock, as plain data.
//!
//! The pure crates decide with instants they are given and read no clock. [`std::time::Instant`] cannot be made without
//! reading one and counts on a clock that stands still while a machine sleeps; this one is a number the shell fills
//! from `CLOCK_BOOTTIME` and the simulator from its own virtual time.

#![forbid(unsafe_code)]

use std::fmt;
use std::ops::{Add, Sub};
use std::time::Duration;

/// A moment, as the time since the clock's own start (on Linux: since boot, sleep included).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Instant(Duration);

impl Instant {
    /// The clock's own start.
    pub const START: Self = Self(Duration::ZERO);

    /// Returns the moment that lies `elapsed` after the clock's start.
    pub const fn from_start(elapsed: Duration) -> Self {
        Self(elapsed)
    }

    /// Returns the time since the clock's start.
    pub const fn since_start(self) -> Duration {
        self.0
    }

    /// Returns the time from `earlier` to this moment, zero when `earlier` is in fact later.
    pub const fn saturating_since(self, earlier: Self) -> Duration {
        self.0.saturating_sub(earlier.0)
    }

    /// Returns the last moment of the grid 0, `step`, 2 × `step`… that lies no more than one `step` ahead.
    ///
    /// Timers of one step that are set by this rule fall due together, whenever each was started. From a moment on the
    /// grid it is exactly one step; from elsewhere it is less, never more.
    #[must_use]
    pub fn next_on_grid(self, step: Duration) -> Self {
        let nanoseconds = step.as_nanos();
        if nanoseconds == 0 {
            return self;
        }
        let past_the_grid = self.0.as_nanos() % nanoseconds;
        let past_the_grid = u64::try_from(past_the_grid).expect("a remainder of a step of at most 584 years");
        self + step.saturating_sub(Duration::from_nanos(past_the_grid))
    }
}

impl Add<Duration> for Instant {
    type Output = Self;

    /// Saturates at the end of time, which [`Duration`] puts 584 billion years away.
    fn add(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(duration))
    }
}

impl Sub for Instant {
    type Output = Duration;

    /// Saturates at zero, like [`Instant::saturating_since`].
    fn sub(self, earlier: Self) -> Duration {
        self.saturating_since(earlier)
    }
}

impl fmt::Debug for Instant {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}.{:06}s", self.0.as_secs(), self.0.subsec_micros())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(milliseconds: u64) -> Instant {
        Instant::from_start(Duration::from_millis(milliseconds))
    }

    #[test]
    fn the_next_grid_point_is_at_most_one_step_ahead_and_never_now() {
        let step = Duration::from_millis(100);
        assert_eq!(at(1000).next_on_grid(step), at(1100));
        assert_eq!(at(1001).next_on_grid(step), at(1100));
        assert_eq!(at(1099).next_on_grid(step), at(1100));
    }

    #[test]
    fn an_earlier_moment_minus_a_later_one_is_zero() {
        assert_eq!(at(5) - at(7), Duration::ZERO);
        assert_eq!(at(7) - at(5), Duration::from_millis(2));
    }
}
