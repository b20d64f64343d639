//! The wall clock of a simulation: the virtual time that has passed, and what it was set forward and back by.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use types::time::{Clock, Timestamp};

/// When each week begins: 2026-11-30, 08:00 UTC.
const BEGINS_MILLIS: i64 = 1_796_025_600_000;

/// Wall time. Threads read it too, so it is a number that the one player sets.
#[derive(Debug, Default)]
pub struct SimClock {
    /// Virtual time that passed in all lives.
    passed_millis: AtomicU64,
    set_by_millis: AtomicI64,
}

impl SimClock {
    /// Notes how much virtual time has passed.
    pub fn reached(&self, passed: Duration) {
        self.passed_millis
            .store(u64::try_from(passed.as_millis()).unwrap(), Ordering::SeqCst);
    }

    /// Returns how much virtual time has passed.
    pub fn passed(&self) -> Duration {
        Duration::from_millis(self.passed_millis.load(Ordering::SeqCst))
    }

    /// Sets the clock forward, or back.
    pub fn set_by(&self, millis: i64) {
        self.set_by_millis.fetch_add(millis, Ordering::SeqCst);
    }

    /// Returns how much of the week is over by the wall clock.
    pub fn of_week(&self) -> Duration {
        self.now().since(Timestamp::from_millis(BEGINS_MILLIS.unsigned_abs()))
    }
}

impl Clock for SimClock {
    fn now(&self) -> Timestamp {
        let passed = i64::try_from(self.passed_millis.load(Ordering::SeqCst)).unwrap();
        let now = BEGINS_MILLIS + passed + self.set_by_millis.load(Ordering::SeqCst);
        Timestamp::from_millis(now.unsigned_abs())
    }

    fn elapsed(&self) -> Duration {
        self.passed()
    }
}
