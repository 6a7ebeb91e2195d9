//! Chance, out of a seed and nothing else.

use std::time::Duration;

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

/// How often something happens, in a thousand.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct PerMille(pub u16);

/// A source of chance whose numbers are the same for the same seed, on every machine and with every version of the
/// libraries: `ChaCha8` is fixed, and the ranges are drawn here.
#[derive(Clone, Debug)]
pub struct Dice(ChaCha8Rng);

impl Dice {
    /// Returns the dice of this seed.
    pub fn new(seed: u64) -> Self {
        Self(ChaCha8Rng::seed_from_u64(seed))
    }

    /// Returns a number below `limit`, 0 when that is 0.
    pub fn below(&mut self, limit: u64) -> u64 {
        let product = u128::from(self.0.next_u64()) * u128::from(limit);
        u64::try_from(product >> 64).expect("the upper half of a product fits where its factors did")
    }

    /// Returns an index into something of this length.
    pub fn index(&mut self, length: usize) -> usize {
        let length = u64::try_from(length).expect("lengths fit in 64 bits");
        usize::try_from(self.below(length)).expect("an index is below a length")
    }

    /// Tells whether something that happens this often happens now.
    pub fn chance(&mut self, often: PerMille) -> bool {
        often > PerMille(0) && self.below(1000) < u64::from(often.0)
    }

    /// Returns a time from `shortest` up to but without `longest`, to the nanosecond.
    pub fn between(&mut self, shortest: Duration, longest: Duration) -> Duration {
        let span = longest.saturating_sub(shortest).as_nanos();
        let span = u64::try_from(span).expect("virtual times are shorter than 584 years");
        shortest + Duration::from_nanos(self.below(span))
    }

    /// Returns one of the choices.
    pub fn pick<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.index(choices.len())]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_gives_the_same_numbers_for_ever() {
        let mut dice = Dice::new(7);
        let numbers: Vec<_> = (0..4).map(|_| dice.below(1000)).collect();
        assert_eq!(numbers, [157, 167, 704, 726]);
    }

    #[test]
    fn everything_that_can_come_up_comes_up() {
        let mut dice = Dice::new(1);
        let mut seen = [false; 6];
        for _ in 0..200 {
            seen[dice.index(seen.len())] = true;
        }
        assert_eq!(seen, [true; 6]);
        assert_eq!(dice.below(0), 0);
        assert_eq!(dice.between(Duration::from_secs(3), Duration::from_secs(1)), Duration::from_secs(3));
    }
}
