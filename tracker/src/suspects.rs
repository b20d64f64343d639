//! Networks that sent forged or damaged tokens in the last minutes: evidence of a scanner, which mangles links and follows
//! what it made of them.
//!
//! A table of fixed size, without locks: each network has one place, by a hash that is random at each start, and a newer
//! network in the same place takes it over. So memory is bounded, a flood forgets others rather than grows, and asking costs
//! one read.

use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use types::network::Network;
use types::time::Timestamp;

/// How long a bad token speaks against its network.
const MEMORY: Duration = Duration::from_mins(10);
/// How many networks are remembered at most: 512 KiB.
const PLACES: usize = 1 << 16;

/// The networks, each with the second of its last bad token.
pub(crate) struct Suspects {
    /// The network's fingerprint in the high half, the second in the low one; 0: nobody.
    places: Box<[AtomicU64]>,
    hasher: RandomState,
}

impl Suspects {
    pub(crate) fn new() -> Self {
        Self {
            places: (0..PLACES).map(|_| AtomicU64::new(0)).collect(),
            hasher: RandomState::new(),
        }
    }

    /// Remembers that a bad token came from `network`.
    pub(crate) fn add(&self, network: Network, now: Timestamp) {
        let (place, fingerprint) = self.place(network);
        place.store(fingerprint | second(now), Ordering::Relaxed);
    }

    /// Returns whether a bad token came from `network` shortly before.
    pub(crate) fn contains(&self, network: Network, now: Timestamp) -> bool {
        let (place, fingerprint) = self.place(network);
        let kept = place.load(Ordering::Relaxed);
        let (whose, at) = (kept & !LOW, kept & LOW);
        kept != 0 && whose == fingerprint && second(now).saturating_sub(at) <= MEMORY.as_secs()
    }

    fn place(&self, network: Network) -> (&AtomicU64, u64) {
        let hash = self.hasher.hash_one(network);
        let index = usize::try_from(hash & LOW).unwrap_or_default() % PLACES;
        (
            self.places.get(index).expect("a remainder is below its divisor"),
            hash & !LOW,
        )
    }
}

const LOW: u64 = u32::MAX as u64;

/// Seconds since 1970, which fit 32 bits until 2106.
fn second(now: Timestamp) -> u64 {
    (now.as_millis() / 1000).min(LOW)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_is_suspect_for_ten_minutes() {
        let suspects = Suspects::new();
        let of = |text: &str| Network::of(text.parse().expect("an address"));
        let at = |seconds: u64| Timestamp::from_millis(1_795_000_000_000 + seconds * 1000);
        assert!(!suspects.contains(of("192.0.2.1"), at(0)));
        suspects.add(of("192.0.2.1"), at(0));
        for (address, seconds, expected) in [
            ("192.0.2.200", 0, true),
            ("192.0.3.1", 0, false),
            ("192.0.2.1", 600, true),
            ("192.0.2.1", 601, false),
        ] {
            assert_eq!(
                suspects.contains(of(address), at(seconds)),
                expected,
                "{address} after {seconds} s"
            );
        }
    }

    #[test]
    fn a_flood_takes_no_more_memory_and_keeps_the_newest() {
        let suspects = Suspects::new();
        let now = Timestamp::from_millis(1_795_000_000_000);
        for n in 0..1_000_000_u32 {
            let [a, b, c, _] = (n << 8).to_be_bytes();
            suspects.add(Network::V4([a, b, c]), now);
        }
        let [a, b, c, _] = (999_999_u32 << 8).to_be_bytes();
        assert!(suspects.contains(Network::V4([a, b, c]), now));
    }
}
