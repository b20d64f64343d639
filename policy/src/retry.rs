//! When a message is tried again.
//!
//! By default the waits grow: 10 s, 1, 5 and 15 min, 1, 3 and 6 h, then every 6 h (RFC 5321 §4.5.4.1 asks for 30 minutes in general
//! and leaves room for quick first tries). Each is spread by ±15 %, so that what failed together does not come back
//! together. Greylisting waits 5 minutes at least; a wait that the receiver states is kept. What would come after the
//! message's end does not come.

use std::time::Duration;

use types::event::FailureClass;
use types::time::Timestamp;

/// When messages are tried again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Schedule {
    /// The waits before the first, second, … retry; the last one repeats. Never empty.
    waits: Vec<Duration>,
    /// The least wait after greylisting, whose usual minimum is 300 s.
    greylisted: Duration,
    /// The least wait after the reply to a final dot was lost: the receiver may have the message.
    in_doubt: Duration,
}

impl Default for Schedule {
    fn default() -> Self {
        Self {
            waits: vec![
                Duration::from_secs(10),
                Duration::from_mins(1),
                Duration::from_mins(5),
                Duration::from_mins(15),
                Duration::from_hours(1),
                Duration::from_hours(3),
                Duration::from_hours(6),
            ],
            greylisted: Duration::from_mins(5),
            in_doubt: Duration::from_mins(15),
        }
    }
}

/// What is known when a retry is planned.
#[derive(Clone, Copy, Debug)]
pub struct Failed {
    /// How many attempts have failed, this one included: at least 1.
    pub attempts: u16,
    /// What stood in the way.
    pub class: FailureClass,
    /// The wait that the receiver stated.
    pub stated: Option<Duration>,
    /// When the message is no longer worth sending.
    pub expires: Timestamp,
}

impl Schedule {
    /// Makes a schedule, or returns `None` if there is no wait or one of zero.
    pub fn new(waits: Vec<Duration>, greylisted: Duration, in_doubt: Duration) -> Option<Self> {
        let sound = !waits.is_empty() && !waits.contains(&Duration::ZERO);
        sound.then_some(Self {
            waits,
            greylisted,
            in_doubt,
        })
    }

    /// Returns the waits before the first, second, … retry; the last one repeats.
    pub fn waits(&self) -> &[Duration] {
        &self.waits
    }

    /// Returns the least wait after greylisting.
    pub const fn greylisted(&self) -> Duration {
        self.greylisted
    }

    /// Returns the least wait after the reply to a final dot was lost.
    pub const fn in_doubt(&self) -> Duration {
        self.in_doubt
    }

    /// Returns when to try again after a failure at `now`, or `None` if the message's life ends before.
    ///
    /// `random` is evenly spread over all of `u32` and decides the jitter.
    pub fn next(&self, failed: &Failed, now: Timestamp, random: u32) -> Option<Timestamp> {
        let mut least = failed.stated.unwrap_or_default();
        if failed.class == FailureClass::Greylisted && failed.stated.is_none() {
            least = self.greylisted;
        }
        in_life(now, self.wait(failed.attempts, least, random), failed.expires)
    }

    /// Returns when a message in doubt is tried once more, or `None` if its life ends before.
    pub fn after_doubt(&self, attempts: u16, now: Timestamp, expires: Timestamp, random: u32) -> Option<Timestamp> {
        in_life(now, self.wait(attempts, self.in_doubt, random), expires)
    }

    /// Returns the wait before retry number `attempts` (the first is 1), at least `least`, with jitter.
    ///
    /// The jitter of a wait that has to be kept only lengthens it.
    pub fn wait(&self, attempts: u16, least: Duration, random: u32) -> Duration {
        let index = usize::from(attempts).saturating_sub(1).min(self.waits.len() - 1);
        let base = self.waits.get(index).copied().unwrap_or_default();
        // 0 to 30 % in steps too small to see.
        let spread = |wait: Duration| Duration::from_nanos(nanos(wait) / 100 * 30 / 1024 * u64::from(random >> 22));
        if least > base.mul_f32(0.85) {
            return least + spread(least) / 2;
        }
        base.mul_f32(0.85) + spread(base)
    }
}

fn nanos(wait: Duration) -> u64 {
    u64::try_from(wait.as_nanos()).unwrap_or(u64::MAX)
}

fn in_life(now: Timestamp, wait: Duration, expires: Timestamp) -> Option<Timestamp> {
    let due = now + wait;
    (due < expires).then_some(due)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_millis(1_763_755_200_000);

    fn check(attempts: u16, class: FailureClass, stated: Option<u64>, between: (u64, u64)) {
        for random in [0, 1 << 31, u32::MAX] {
            let failed = Failed {
                attempts,
                class,
                stated: stated.map(Duration::from_secs),
                expires: NOW + Duration::from_hours(100),
            };
            let due = Schedule::default().next(&failed, NOW, random).expect("in life");
            let (from, to) = (
                NOW + Duration::from_millis(between.0),
                NOW + Duration::from_millis(between.1),
            );
            assert!((from..=to).contains(&due), "attempt {attempts}, {class:?}: {due}");
        }
    }

    #[test]
    fn waits_grow_and_are_spread() {
        for (attempts, seconds) in [
            (1, 10),
            (2, 60),
            (3, 300),
            (4, 900),
            (5, 3600),
            (6, 10_800),
            (7, 21_600),
            (60, 21_600),
        ] {
            check(attempts, FailureClass::Network, None, (seconds * 849, seconds * 1150));
        }
    }

    #[test]
    fn greylisting_waits_five_minutes_or_as_asked() {
        check(1, FailureClass::Greylisted, None, (300_000, 345_001));
        check(1, FailureClass::Greylisted, Some(60), (60_000, 69_001));
        check(1, FailureClass::RateLimit, Some(600), (600_000, 690_001));
        check(4, FailureClass::Greylisted, Some(60), (900 * 849, 900 * 1150));
    }

    #[test]
    fn nothing_comes_after_the_end() {
        let failed = Failed {
            attempts: 5,
            class: FailureClass::Network,
            stated: None,
            expires: NOW + Duration::from_mins(30),
        };
        assert_eq!(Schedule::default().next(&failed, NOW, 0), None);
    }

    #[test]
    fn doubt_waits_fifteen_minutes() {
        let expires = NOW + Duration::from_hours(9);
        let due = Schedule::default().after_doubt(1, NOW, expires, 0).expect("in life");
        assert!(due >= NOW + Duration::from_mins(15));
    }
}
