//! Instants as ticks.

use std::num::NonZeroU64;
use std::time::Duration;

use types::time::Timestamp;

/// What a tick is: its length, and the instant of tick 0.
#[derive(Debug, Clone, Copy)]
pub struct Scale {
    epoch: Timestamp,
    tick_millis: NonZeroU64,
}

impl Scale {
    /// Counts ticks of `tick_millis` from `epoch`.
    pub fn new(epoch: Timestamp, tick_millis: NonZeroU64) -> Self {
        Self { epoch, tick_millis }
    }

    /// Returns the first tick that begins at `at` or later: for what is due then. An instant before the epoch is tick 0.
    pub fn due(self, at: Timestamp) -> u64 {
        self.millis(at).div_ceil(self.tick_millis.get())
    }

    /// Returns the last tick that begins at `at` or earlier: how far a wheel may go then. An instant before the epoch is tick 0.
    pub fn reached(self, at: Timestamp) -> u64 {
        self.millis(at) / self.tick_millis
    }

    /// Returns the instant at which a tick begins.
    pub fn begins(self, tick: u64) -> Timestamp {
        self.epoch + Duration::from_millis(tick.saturating_mul(self.tick_millis.get()))
    }

    fn millis(self, at: Timestamp) -> u64 {
        at.as_millis().saturating_sub(self.epoch.as_millis())
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU64;

    use proptest::prelude::*;
    use types::time::Timestamp;

    use super::Scale;

    proptest! {
        #[test]
        fn a_due_tick_is_reached_at_its_instant_at_the_earliest_and_a_tick_later_at_the_latest(
            epoch in 0_u64..1 << 42, tick in 1_u64..100_000, at in 0_u64..1 << 42,
        ) {
            let scale = Scale::new(Timestamp::from_millis(epoch), NonZeroU64::new(tick).unwrap());
            let at = Timestamp::from_millis(at);
            let due = scale.due(at);
            let fires = scale.begins(due);
            prop_assert!(fires >= at);
            prop_assert!(fires.since(at.max(Timestamp::from_millis(epoch))).as_millis() < u128::from(tick));
            prop_assert_eq!(scale.reached(fires), due);
            if due > 0 {
                prop_assert!(scale.reached(Timestamp::from_millis(fires.as_millis() - 1)) < due);
            }
        }
    }
}
