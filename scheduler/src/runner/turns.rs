//! A turn: what was taken from the inbox is recorded, with what it causes, by one append.

use store::intake::Submission;

use super::{Runner, Work};

/// What a turn may cost in filters that are compiled and asked, in steps of some nanoseconds; the event with which it has cost more is its
/// last. 128 events that fifty usual workflows listen to cost less; of events as dear as one may be, a turn takes two or three, and what
/// the others wait for is written sooner.
const TURN_STEPS_MAX: u64 = 2 * policy::filter::STEPS_MAX;

impl Runner {
    /// Does a turn of what was taken from the inbox, and then one of timers: neither keeps the other waiting.
    pub(super) fn turn_and_timers(&mut self, waiting: &mut Vec<Submission>) {
        self.turn(waiting);
        if self.fold.timers.wants(self.deps.clock.now()) {
            self.read_timers();
        }
        if self.may_work_aside() {
            self.fire();
        }
    }

    /// Records what waits, and what it causes, as one append; what is left if that comes to be dear stays, in its order.
    pub(super) fn turn(&mut self, waiting: &mut Vec<Submission>) {
        let _timer = self.metrics.turn_seconds.start_timer();
        let (steps, all) = (self.engine.steps(), waiting.len());
        let mut work = Work::default();
        waiting.reverse();
        while let Some(submission) = waiting.pop() {
            let Submission {
                partition,
                event,
                admission,
                receipt,
            } = submission;
            match self.take(&mut work, partition, &event, admission) {
                Ok(id) => work.waiters.extend(receipt.map(|receipt| (receipt, id))),
                Err(fault) => {
                    let error = self.explain(fault);
                    // Whoever no longer waits for the answer loses nothing by it.
                    let _ = receipt.map(|receipt| receipt.send(Err(error)));
                }
            }
            if self.engine.steps().saturating_sub(steps) > TURN_STEPS_MAX {
                break;
            }
        }
        waiting.reverse();
        let taken = all - waiting.len();
        self.metrics
            .turn_submissions
            .observe(f64::from(u32::try_from(taken).unwrap_or(u32::MAX)));
        self.append(work);
    }
}
