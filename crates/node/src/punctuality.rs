//! How late the engine comes to what is due: a histogram of bounded size, and when lateness is worth an event.

use std::time::Duration;

use monotonic::Instant;

/// Bounds double from one microsecond to 16 seconds; what is beyond is counted last.
const BUCKETS: usize = 26;

/// How long lateness is not told again.
const SILENCE: Duration = Duration::from_mins(1);

/// How late deadlines were acted on since the daemon started.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Punctuality {
    counts: [u64; BUCKETS],
    worst: Option<Worst>,
    late: u64,
    untold: u64,
    told: Option<Instant>,
}

/// The deadline that was acted on latest of all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Worst {
    /// How late.
    pub lateness: Duration,
    /// When it was acted on.
    pub at: Instant,
}

/// Why a deadline was acted on late.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LateCause {
    /// The machine slept.
    Slept,
    /// The engine could run, and no processor was left to it.
    Starved,
    /// The engine was still at work on what had come before.
    Busy,
    /// Nothing of that: the process or the whole virtual machine was stopped.
    Stopped,
}

impl LateCause {
    /// Returns the stable word for it.
    pub const fn reason(self) -> &'static str {
        match self {
            Self::Slept => "slept",
            Self::Starved => "starved",
            Self::Busy => "busy",
            Self::Stopped => "stopped",
        }
    }
}

impl Punctuality {
    /// Counts a deadline that is acted on; more than `tolerance` is late. Returns how many were late since that was
    /// told last, when it is to be told now.
    pub fn note(&mut self, lateness: Duration, tolerance: Duration, now: Instant) -> Option<u64> {
        self.counts[bucket(lateness)] += 1;
        if self.worst.is_none_or(|worst| lateness > worst.lateness) {
            self.worst = Some(Worst { lateness, at: now });
        }
        if lateness <= tolerance {
            return None;
        }
        self.late += 1;
        self.untold += 1;
        if self.told.is_some_and(|told| now - told < SILENCE) {
            return None;
        }
        self.told = Some(now);
        Some(std::mem::take(&mut self.untold))
    }

    /// Returns how many deadlines were acted on.
    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// Returns how many of them late.
    pub const fn late(&self) -> u64 {
        self.late
    }

    /// Returns the latest of all.
    pub const fn worst(&self) -> Option<Worst> {
        self.worst
    }

    /// Returns what so many of a thousand were no later than, exact to a factor of two; nothing before the first.
    pub fn quantile(&self, per_mille: u64) -> Option<Duration> {
        let worst = self.worst?.lateness;
        let wanted = (self.count() * per_mille).div_ceil(1000);
        let mut seen = 0;
        let bounded = self.histogram().find(|(_, count)| {
            seen += count;
            seen >= wanted
        });
        Some(bounded.and_then(|(bound, _)| bound).map_or(worst, |bound| bound.min(worst)))
    }

    /// Iterates over how many were later than the bound before and no later than this one; none bounds the last.
    pub fn histogram(&self) -> impl Iterator<Item = (Option<Duration>, u64)> {
        let bound = |index: usize| (index < BUCKETS - 1).then(|| Duration::from_micros(1) * (1 << index));
        self.counts.iter().enumerate().map(move |(index, count)| (bound(index), *count))
    }
}

fn bucket(lateness: Duration) -> usize {
    let microseconds = lateness.as_nanos().div_ceil(1000).max(1);
    let power = u128::BITS - (microseconds - 1).leading_zeros();
    usize::try_from(power).unwrap_or(BUCKETS).min(BUCKETS - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOLERANCE: Duration = Duration::from_millis(5);

    fn at(seconds: u64) -> Instant {
        Instant::from_start(Duration::from_secs(seconds))
    }

    #[test]
    fn each_lateness_is_counted_under_the_bound_that_it_does_not_exceed() {
        for lateness in [0, 1, 999, 1_000, 1_001, 2_000, 63_999, 64_000, 64_001].map(Duration::from_nanos) {
            let mut punctuality = Punctuality::default();
            punctuality.note(lateness, TOLERANCE, at(1));
            let (index, (bound, _)) =
                punctuality.histogram().enumerate().find(|(_, (_, count))| *count == 1).unwrap();
            assert!(lateness <= bound.unwrap(), "{lateness:?} under {bound:?}");
            let below = index.checked_sub(1).and_then(|index| punctuality.histogram().nth(index)?.0);
            assert!(below.is_none_or(|below| lateness > below), "{lateness:?} above {below:?}");
        }
        let mut punctuality = Punctuality::default();
        punctuality.note(Duration::from_hours(1000), TOLERANCE, at(1));
        assert_eq!(punctuality.histogram().last(), Some((None, 1)));
    }

    #[test]
    fn quantiles_are_bounds_and_never_beyond_the_worst() {
        let mut punctuality = Punctuality::default();
        assert_eq!(punctuality.quantile(500), None);
        for _ in 0..98 {
            punctuality.note(Duration::from_micros(50), TOLERANCE, at(1));
        }
        punctuality.note(Duration::from_micros(700), TOLERANCE, at(2));
        punctuality.note(Duration::from_millis(3), TOLERANCE, at(3));
        assert_eq!(punctuality.quantile(500), Some(Duration::from_micros(64)));
        assert_eq!(punctuality.quantile(990), Some(Duration::from_micros(1024)));
        assert_eq!(punctuality.quantile(999), Some(Duration::from_millis(3)));
        assert_eq!(punctuality.worst(), Some(Worst { lateness: Duration::from_millis(3), at: at(3) }));
    }

    #[test]
    fn lateness_is_told_once_a_minute_with_how_often_it_was() {
        let mut punctuality = Punctuality::default();
        let late = TOLERANCE + Duration::from_nanos(1);
        assert_eq!(punctuality.note(TOLERANCE, TOLERANCE, at(1)), None);
        assert_eq!(punctuality.note(late, TOLERANCE, at(2)), Some(1));
        assert_eq!(punctuality.note(late, TOLERANCE, at(3)), None);
        assert_eq!(punctuality.note(late, TOLERANCE, at(61)), None);
        assert_eq!(punctuality.note(late, TOLERANCE, at(62)), Some(3));
        assert_eq!((punctuality.count(), punctuality.late()), (5, 4));
    }
}
