//! How many requests one address may make.

use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;

use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};

use crate::Settings;

/// How many buckets addresses fall into. It bounds the memory, whoever asks; two addresses in one bucket share it, and
/// which do is random anew at each start.
const BUCKETS: u64 = 1 << 16;

/// Limits requests by address.
pub(crate) struct Limit {
    buckets: DefaultKeyedRateLimiter<u16>,
    hasher: RandomState,
}

impl Limit {
    pub(crate) fn new(settings: &Settings) -> Self {
        let quota = Quota::per_second(settings.requests_per_second).allow_burst(settings.requests_burst);
        Self {
            buckets: RateLimiter::keyed(quota),
            hasher: RandomState::new(),
        }
    }

    /// Returns whether a request from `peer` is within the limit. Loopback always is: that is us.
    pub(crate) fn allows(&self, peer: IpAddr) -> bool {
        let peer = peer.to_canonical();
        if peer.is_loopback() {
            return true;
        }
        let bucket = self.hasher.hash_one(prefix(peer)) % BUCKETS;
        self.buckets
            .check_key(&u16::try_from(bucket).unwrap_or_default())
            .is_ok()
    }
}

/// Returns what one party commands: an IPv4 address, or an IPv6 /64.
fn prefix(peer: IpAddr) -> u128 {
    match peer {
        IpAddr::V4(peer) => peer.to_bits().into(),
        IpAddr::V6(peer) => peer.to_bits() >> 64 << 64,
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use super::*;

    #[test]
    fn an_address_has_a_burst_and_loopback_has_none() {
        let settings = Settings {
            requests_burst: NonZeroU32::new(3).expect("not zero"),
            requests_per_second: NonZeroU32::new(1).expect("not zero"),
            ..Settings::default()
        };
        let limit = Limit::new(&settings);
        let peer = |text: &str| text.parse::<IpAddr>().expect("an address");
        let within = (0..10).filter(|_| limit.allows(peer("192.0.2.7"))).count();
        assert_eq!(within, 3);
        // One /64 is one party, however many addresses it has.
        let within = (0..10)
            .filter(|n| limit.allows(peer(&format!("2001:db8::{n}"))))
            .count();
        assert_eq!(within, 3);
        assert!((0..10).all(|_| limit.allows(peer("127.0.0.1")) && limit.allows(peer("::ffff:127.0.0.1"))));
    }
}
