//! Pacing: a rate kept to over time with a small burst, whose rate may change between two calls.
//!
//! The generic cell rate algorithm: one number, the theoretical arrival time (TAT) of the next permit at full pace. A
//! permit is given if the TAT lies no further ahead than the burst allows; it then moves by one interval. Fixed
//! windows would let twice the rate pass around their edges; this never does.
//!
//! Time is a `Duration` since any origin that stays the same for one [`Pacer`].

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// So many permits a second, and so many at once after a pause.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rate {
    interval_nanos: u64,
    tolerance_nanos: u64,
}

impl Rate {
    /// Takes permits a second, above zero, and the burst: permits at once after a pause, at least 1.
    ///
    /// `None` if the rate is not a positive number. Rates below one a day count as one a day.
    pub fn new(per_second: f64, burst: u32) -> Option<Self> {
        if !(per_second.is_finite() && per_second > 0.0) {
            return None;
        }
        let interval = Duration::try_from_secs_f64(per_second.recip())
            .unwrap_or(Duration::MAX)
            .min(Duration::from_hours(24));
        let interval_nanos = u64::try_from(interval.as_nanos()).unwrap_or(u64::MAX).max(1);
        Some(Self {
            interval_nanos,
            tolerance_nanos: interval_nanos.saturating_mul(u64::from(burst.max(1)) - 1),
        })
    }
}

/// What is remembered between permits.
#[derive(Debug, Default)]
pub struct Pacer {
    /// The theoretical arrival time in nanoseconds since the origin.
    tat: AtomicU64,
}

impl Pacer {
    /// Takes one permit at time `now`, or returns when the next one is there.
    ///
    /// Any number of threads may call this; permits given never exceed the rate.
    pub fn take(&self, now: Duration, rate: Rate) -> Result<(), Duration> {
        let now = nanos(now);
        let mut wait_until = 0;
        let taken = self.tat.try_update(Ordering::Relaxed, Ordering::Relaxed, |tat| {
            // A TAT further ahead than this rate can have set it comes from a slower one: it does not bind us.
            let tat = tat.clamp(now, now.saturating_add(rate.tolerance_nanos + rate.interval_nanos));
            if tat - now > rate.tolerance_nanos {
                wait_until = tat - rate.tolerance_nanos;
                return None;
            }
            Some(tat + rate.interval_nanos)
        });
        match taken {
            Ok(_) => Ok(()),
            Err(_) => Err(Duration::from_nanos(wait_until)),
        }
    }

    /// Gives a permit back that was not used.
    pub fn give_back(&self, rate: Rate) {
        self.tat.fetch_sub(
            rate.interval_nanos.min(self.tat.load(Ordering::Relaxed)),
            Ordering::Relaxed,
        );
    }
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX / 4)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn rate(per_second: f64, burst: u32) -> Rate {
        Rate::new(per_second, burst).expect("a rate")
    }

    #[test]
    fn a_burst_then_the_pace() {
        let (pacer, rate) = (Pacer::default(), rate(10.0, 3));
        let start = Duration::from_secs(5);
        for _ in 0..3 {
            assert_eq!(pacer.take(start, rate), Ok(()));
        }
        let next = start + Duration::from_millis(100);
        assert_eq!(pacer.take(start, rate), Err(next));
        assert_eq!(pacer.take(next, rate), Ok(()));
        assert_eq!(pacer.take(next, rate), Err(next + Duration::from_millis(100)));
    }

    #[test]
    fn a_faster_rate_acts_at_once() {
        let pacer = Pacer::default();
        let start = Duration::from_secs(5);
        assert_eq!(pacer.take(start, rate(0.01, 1)), Ok(()));
        assert_eq!(pacer.take(start, rate(0.01, 1)), Err(Duration::from_secs(105)));
        assert_eq!(
            pacer.take(start, rate(100.0, 1)),
            Err(start + Duration::from_millis(10))
        );
    }

    #[test]
    fn no_rate_below_or_at_zero() {
        for bad in [0.0, -1.0, f64::NAN, f64::INFINITY] {
            assert_eq!(Rate::new(bad, 1), None);
        }
        assert!(Rate::new(1e-300, u32::MAX).is_some());
    }

    proptest! {
        #[test]
        fn never_more_than_rate_and_burst(
            waits in prop::collection::vec(0_u64..200_000_000, 1..200), per_second in 1.0_f64..500.0, burst in 1_u32..20,
        ) {
            let (pacer, rate) = (Pacer::default(), rate(per_second, burst));
            let (mut now, mut given) = (Duration::from_secs(1), 0.0);
            let start = now;
            for wait in waits {
                if pacer.take(now, rate).is_ok() {
                    given += 1.0;
                }
                let allowed = now.saturating_sub(start).as_secs_f64() * per_second + f64::from(burst);
                prop_assert!(given <= allowed + 1e-3, "{given} given, {allowed} allowed");
                now += Duration::from_nanos(wait);
            }
        }
    }
}
