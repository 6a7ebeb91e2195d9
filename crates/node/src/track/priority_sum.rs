//! How a virtual router's priority comes about.

use std::collections::BTreeMap;
use std::fmt;

use vrrp::Priority;

use crate::name::TrackName;

/// The highest priority that a track can lead to; 255 is the owner's.
const HIGHEST: i32 = 254;

/// A configured priority and what tracks add to it or take from it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PrioritySum {
    /// The priority of the configuration.
    pub base: Priority,
    /// What each track adds, those left out that add nothing.
    pub weights: BTreeMap<TrackName, i32>,
}

impl PrioritySum {
    /// Returns the sum, at least 1 and at most 254; the owner's stays 255.
    pub fn effective(&self) -> Priority {
        if self.base == Priority::OWNER {
            return self.base;
        }
        let bounded = self.total().clamp(1, HIGHEST);
        let number = u8::try_from(bounded).expect("it is between 1 and 254");
        Priority::from_wire(number)
    }

    fn total(&self) -> i32 {
        let weights = self.weights.values().copied();
        weights.fold(i32::from(self.base.get()), i32::saturating_add)
    }
}

impl fmt::Display for PrioritySum {
    /// `base 150, uplink -60 = 90`
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "base {}", self.base)?;
        if self.weights.is_empty() {
            return Ok(());
        }
        for (track, weight) in &self.weights {
            write!(formatter, ", {track} {weight:+}")?;
        }
        let effective = self.effective();
        if i32::from(effective.get()) == self.total() {
            write!(formatter, " = {effective}")
        } else {
            write!(formatter, " = {}, taken for {effective}", self.total())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sum(base: u32, weights: &[(&str, i32)]) -> PrioritySum {
        let weights = weights.iter().map(|(name, weight)| (TrackName::new(name).unwrap(), *weight)).collect();
        PrioritySum { base: Priority::new(base).unwrap(), weights }
    }

    #[test]
    fn a_priority_is_explained_as_a_sum() {
        assert_eq!(sum(150, &[]).to_string(), "base 150");
        assert_eq!(
            sum(150, &[("disk", 5), ("uplink", -60)]).to_string(),
            "base 150, disk +5, uplink -60 = 95"
        );
    }

    #[test]
    fn a_sum_stays_between_1_and_254_and_the_owner_s_is_255() {
        for (base, weight, effective) in
            [(100, -253, 1), (100, 253, 254), (255, -60, 255), (100, -99, 1), (100, 154, 254)]
        {
            assert_eq!(sum(base, &[("a", weight)]).effective().get(), effective, "{base} {weight}");
        }
        assert_eq!(sum(100, &[("a", -200)]).to_string(), "base 100, a -200 = -100, taken for 1");
    }
}
