//! Timers that are due: instances go on, and reminders are decided on, a bounded number in each turn.

use std::time::{Duration, Instant};

use policy::workflow::Broke;
use store::StateError;
use store::state::{Timer, TimerClass};
use types::event::SetAside;
use types::id::ShopNumber;

use super::{Runner, Work};

/// Timers that fire in one turn at most. An order never waits behind more than one such turn.
const FIRES_MAX: usize = 64;
/// How long such a turn takes about, at most: what is left fires in the next one.
const TURN_MAX: Duration = Duration::from_micros(500);
/// How long a mail waits for a place when too many are under way.
pub(super) const BUSY_WAIT: Duration = Duration::from_secs(1);
/// How long what could not be done waits for its next try.
const TRIES: [Duration; 2] = [Duration::from_mins(1), Duration::from_mins(5)];
/// As many tries as leave no further one: what has had an effect is not done again.
pub(super) const NO_MORE: u32 = 2;

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
            let mails = work.mails.len();
            let result = match timer.class {
                TimerClass::Workflow => self.workflow_due(&mut work, timer),
                TimerClass::Cart => self.cart_due(&mut work, timer, surfaced.tries),
            };
            if let Err(error) = result {
                tracing::error!(owner = ?timer.owner, %error, "state cannot be read: a timer did not fire");
                self.metrics.state_errors.inc();
                let tries = if work.mails.len() > mails {
                    NO_MORE
                } else {
                    surfaced.tries
                };
                self.unreadable(&mut work, timer, &error, tries);
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

    /// Has a timer wait whose owner cannot be read. A store that has failed restarts the process, which finds the timer again; a row
    /// that is damaged stays so, and is set aside in the end.
    fn unreadable(&mut self, work: &mut Work, timer: Timer, error: &StateError, tries: u32) {
        if let StateError::Malformed(fault) = error
            && let Err(error) = self.timer_broke(work, timer, None, fault, tries)
        {
            tracing::error!(owner = ?timer.owner, %error, "a timer could not be set aside");
        }
    }

    /// Puts a timer off that could not be worked on, and sets it aside in the end. `tries` is how often it was put off before.
    pub(super) fn timer_broke(
        &mut self,
        work: &mut Work,
        timer: Timer,
        shop: Option<ShopNumber>,
        fault: &str,
        tries: u32,
    ) -> Result<(), StateError> {
        if let Some(wait) = TRIES.get(usize::try_from(tries).unwrap_or(usize::MAX)) {
            tracing::warn!(owner = ?timer.owner, fault, "a timer could not be worked on");
            let now = self.deps.clock.now();
            self.fold.timers.put_off(timer.key(), now + *wait);
            return Ok(());
        }
        let aside = SetAside {
            shop,
            object: timer.owner,
            due: Some(timer.due),
            fault: Broke::at(None, fault).fault,
            tries: tries + 1,
        };
        self.set_aside(work, timer.partition, aside)
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
        self.own
            .timers_window
            .set(i64::try_from(self.fold.timers.len()).unwrap_or(i64::MAX));
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
        self.own.timers_overdue_seconds.set(overdue);
    }
}
