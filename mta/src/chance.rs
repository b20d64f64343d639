//! The one source of what is left to chance: jitter of waits, the order of equal hosts, the spread over addresses.
//!
//! It is seeded once, at the start. The same seed and the same order of draws give the same numbers. Nothing here is
//! secret: a peer may guess what comes next.

use std::sync::atomic::{AtomicU64, Ordering};

/// Random numbers by `SplitMix64` (Steele, Lea, Flood: Fast Splittable Pseudorandom Number Generators, 2014).
///
/// A draw takes no lock: it moves the state on by one addition, and mixes what it got.
#[derive(Debug)]
pub(crate) struct Chance {
    state: AtomicU64,
}

/// The odd number nearest to 2⁶⁴ divided by the golden ratio.
const GAMMA: u64 = 0x9E37_79B9_7F4A_7C15;

impl Chance {
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            state: AtomicU64::new(seed),
        }
    }

    /// Returns the next number: the upper half of 64 bits.
    pub(crate) fn draw(&self) -> u32 {
        (self.next() >> 32) as u32
    }

    /// Returns the seed of another source, whose numbers do not depend on how often this one is drawn from.
    pub(crate) fn seed(&self) -> u64 {
        self.next()
    }

    fn next(&self) -> u64 {
        let state = self.state.fetch_add(GAMMA, Ordering::Relaxed).wrapping_add(GAMMA);
        let mixed = (state ^ (state >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The numbers that Java's `SplittableRandom` and the reference in C give for this seed.
    #[test]
    fn numbers_are_those_of_the_reference() {
        let chance = Chance::new(1_234_567);
        let numbers: Vec<u64> = (0..3).map(|_| chance.next()).collect();
        let reference = [
            6_457_827_717_110_365_317,
            3_203_168_211_198_807_973,
            9_817_491_932_198_370_423,
        ];
        assert_eq!(numbers, reference);
    }

    #[test]
    fn one_seed_gives_one_row_and_another_seed_another() {
        let row = |seed| {
            let chance = Chance::new(seed);
            (0..8).map(|_| chance.draw()).collect::<Vec<_>>()
        };
        assert_eq!(row(1), row(1));
        assert_ne!(row(1), row(2));
    }
}
