//! Timers that are due: instances go on, and reminders are decided on, a bounded number in each turn.

use std::time::{Duration, Instant};

use store::state::{Timer, TimerClass};

use super::{Runner, Work};

/// Timers that fire in one turn at most. An order never waits behind more than one such turn.
const FIRES_MAX: usize = 64;
/// How long such a turn takes about, at most: what is left fires in the next one.
const TURN_MAX: Duration = Duration::from_micros(500);

impl Runner {
    /// Fires timers that are due, as one turn. Returns how many it took.
    pub(super) fn fire(&mut self) -> usize {
        let now = self.deps.clock.now();
        if self.fold.timers.advance(now) {
            tracing::warn!(%now, timers = self.fold.timers.len(), "the clock was set back; timers are filed anew");
            self.metrics.automation.set_back.inc();
        }
        let mut due: Vec<_> = std::iter::from_fn(|| self.fold.timers.take()).take(FIRES_MAX).collect();
        if due.is_empty() {
            return 0;
        }
        let began = Instant::now();
        due.sort_by_key(|surfaced| surfaced.timer.class);
        let mut work = Work::default();
        let mut fired = 0;
        let mut due = due.into_iter();
        for surfaced in due.by_ref() {
            let timer = surfaced.timer;
            let result = match timer.class {
                TimerClass::Workflow => self.workflow_due(&mut work, timer),
                TimerClass::Cart => self.cart_due(&mut work, timer, surfaced.tries),
            };
            if let Err(error) = result {
                // The store has failed: the process is about to restart, and finds the timer again.
                tracing::error!(owner = ?timer.owner, %error, "state cannot be read: a timer did not fire");
                self.metrics.state_errors.inc();
            }
            fired += 1;
            if began.elapsed() > TURN_MAX {
                break;
            }
        }
        let rest: Vec<_> = due.collect();
        self.fold.timers.give_back(&rest);
        self.metrics
            .automation
            .fire_seconds
            .observe(began.elapsed().as_secs_f64());
        self.append(work);
        fired
    }

    /// Drops a timer whose owner has gone on, or is gone.
    pub(super) fn drop_stale(&mut self, timer: Timer) {
        self.metrics.automation.stale(timer.class);
        self.fold.surfaced(timer.partition, timer.owner, timer.due);
    }

    /// Reads more timers into the window, if it needs some. Returns whether it did.
    pub(super) fn read_timers(&mut self) -> bool {
        let now = self.deps.clock.now();
        let read = self.fold.load_timers(now);
        self.metrics.automation.window(self.fold.timers.len());
        match read {
            Ok(read) => read,
            Err(error) => {
                tracing::error!(%error, "state cannot be read: timers are missing");
                self.metrics.state_errors.inc();
                false
            }
        }
    }

    /// Tells how long the timer that is due the longest has been.
    pub(super) fn note_overdue(&self) {
        let now = self.deps.clock.now();
        let overdue = self.fold.timers.overdue();
        let overdue = overdue.map_or(0.0, |due| now.since(due).as_secs_f64());
        self.metrics.automation.overdue_seconds.set(overdue);
    }
}
