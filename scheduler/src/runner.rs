//! One runner: a loop that takes submissions from its inbox, a turn at a time, fires timers that are due, and looks at mails about once a second.

mod take;

use std::ops::Range;
use std::time::Duration;

use store::Position;
use store::intake::{Inbox, Submission};
use store::state::TimerClass;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Interval, MissedTickBehavior};
use tokio_util::sync::CancellationToken;
use types::event::Event;
use types::id::PartitionId;
use types::port::Admission;

use crate::cart;
use crate::desk::Desk;
use crate::desks::Desks;
use crate::lead::{self, Ticked};
use crate::mail::Orders;
use crate::metrics::Own;
use crate::recovery::Undecided;
use crate::timers::{Tries, unreadable};
use crate::turn::{Context, Turn};
use crate::workflow::{Engine, Sweeps};

/// Submissions a turn takes at most: enough to share an append, few enough to keep a turn under a millisecond or two.
const TURN_MAX: usize = 128;
/// Opens and clicks that a turn takes at most, orders or not: they are cheaper, and share more.
const TRACKED_MAX: usize = 512;
/// What a turn may cost in filters that are compiled and asked, in steps of some nanoseconds; the event with which it has cost more is its
/// last. 128 events that fifty usual workflows listen to cost less; of events as dear as one may be, a turn takes two or three, and what
/// the others wait for is written sooner.
const TURN_STEPS_MAX: u64 = 2 * policy::filter::STEPS_MAX;
/// Timers that fire in one turn at most. An order never waits behind more than one such turn.
const FIRES_MAX: usize = 64;
/// How long such a turn takes about, at most: what is left fires in the next one.
const FIRES_TIME_MAX: Duration = Duration::from_micros(500);
/// Bytes of turns that wait for state beyond which timers and sweeps hold still. At the store's own bound the runner itself has to wait,
/// and every order in its inbox waits with it. So only orders may bring it near that bound.
const ASIDE_BYTES_MAX: usize = 2 << 20;
/// How long they hold still before they look again.
const ASIDE_REST: Duration = Duration::from_millis(2);
/// How often a runner looks at what is due.
const TICK: Duration = Duration::from_secs(1);

/// A runner: its desks, and the deciders that work with them.
pub(crate) struct Runner {
    desks: Desks,
    context: Context,
    deciders: Deciders,
    sweeps: Sweeps,
    /// The metrics of this runner alone.
    own: Own,
}

/// The deciders that have memory of their own: they decide on submissions and on timers.
struct Deciders {
    orders: Orders,
    engine: Engine,
}

impl Runner {
    /// Begins with what a start has folded; `seed` is for what policy leaves to chance.
    pub(crate) fn new(desks: Desks, context: Context, own: Own, seed: u64) -> Self {
        Self {
            desks,
            context,
            deciders: Deciders {
                orders: Orders::new(seed),
                engine: Engine::default(),
            },
            sweeps: Sweeps::default(),
            own,
        }
    }

    /// Works until `stop` fires and the inbox is empty. Each sender that comes by `asked` has the runner do all that is due, and gets the number
    /// of mails that it looked at.
    pub(crate) async fn run(
        mut self,
        mut inbox: Inbox,
        mut asked: mpsc::Receiver<oneshot::Sender<usize>>,
        stop: CancellationToken,
    ) {
        let mut waiting = Vec::with_capacity(TURN_MAX + TRACKED_MAX);
        let mut ticks = tokio::time::interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let (busy, rest) = self.rest();
            tokio::select! {
                biased;
                // Closed, the inbox still yields what is in it, and then nothing.
                () = stop.cancelled(), if !inbox.is_closed() => inbox.close(),
                _ = ticks.tick() => self.scheduled_tick(&mut inbox, &mut waiting, &mut ticks),
                Some(answer) = asked.recv() => {
                    // A caller that no longer waits loses nothing.
                    let _ = answer.send(self.tick_through());
                }
                // Cancel-safe: nothing is taken unless the count is returned.
                count = inbox.recv_many(&mut waiting, TURN_MAX), if waiting.is_empty() => {
                    if count == 0 {
                        return;
                    }
                    inbox.try_recv_tracked(&mut waiting, TRACKED_MAX);
                    self.turn_and_timers(&mut waiting);
                }
                // Submissions that a costly turn left over: in their order, and before those that came later.
                () = tokio::task::yield_now(), if !waiting.is_empty() => self.turn_and_timers(&mut waiting),
                // Yielded, so that submissions that came meanwhile are taken first.
                () = tokio::task::yield_now(), if busy => self.work_aside(),
                () = tokio::time::sleep(rest), if !busy => {}
            }
        }
    }

    /// Returns whether there is work beside the inbox (timers to fire or to read, contacts to sweep), and how long to rest if there is none.
    fn rest(&self) -> (bool, Duration) {
        let now = self.context.now();
        let timers = &self.desks.timers;
        let rest = timers.rest(now).unwrap_or(TICK).min(TICK);
        let busy = rest.is_zero() || timers.wants(now) || self.sweeps.is_busy();
        if busy && !self.may_work_aside() {
            return (false, ASIDE_REST);
        }
        (busy, rest)
    }

    /// Returns whether state keeps up with what runners hand in.
    fn may_work_aside(&self) -> bool {
        self.context.deps.store.state().waiting_bytes() < ASIDE_BYTES_MAX
    }

    /// Does one turn of work beside the inbox: fires timers; if none is due, reads timers; if none is to be read, sweeps.
    fn work_aside(&mut self) {
        if self.fire() == 0 && !self.read_timers() {
            self.sweep();
        }
    }

    /// Does the work of each second. Mails that are due and do not fit into one turn are looked at after one turn of the inbox, so that neither
    /// keeps the other waiting.
    fn scheduled_tick(&mut self, inbox: &mut Inbox, waiting: &mut Vec<Submission>, ticks: &mut Interval) {
        self.own.ticks.inc();
        self.own
            .tracked_backlog
            .set(i64::try_from(inbox.tracked_len()).unwrap_or(i64::MAX));
        self.note_overdue();
        self.sweeps.note(&self.desks, &self.context.catalogue());
        // Sweeps that wait for state are looked at again; under a full inbox all of this goes on once a second at least.
        self.read_timers();
        if self.may_work_aside() {
            self.fire();
            self.sweep();
        }
        if self.tick().more {
            if !waiting.is_empty() || inbox.try_recv_many(waiting, TURN_MAX) > 0 {
                self.turn(waiting);
            }
            ticks.reset_immediately();
        }
    }

    /// Looks at all mails that are due, fires all timers that are due, and sweeps all that can be swept. Returns how many mails it looked at.
    fn tick_through(&mut self) -> usize {
        let mut looked = 0;
        self.sweeps.note(&self.desks, &self.context.catalogue());
        loop {
            let ticked = self.tick();
            looked += ticked.looked;
            let fired = self.fire() > 0;
            let read = self.read_timers();
            let rest = self.desks.timers.rest(self.context.now());
            let due = rest.is_some_and(|rest| rest.is_zero());
            self.sweep();
            if !(ticked.more || fired || read || due || self.sweeps.is_busy()) {
                return looked;
            }
        }
    }

    /// Returns the partitions.
    pub(crate) fn range(&self) -> &Range<u16> {
        self.desks.range()
    }

    /// Decides the accepted causes that a crash left without a decision, and hands to state what was replayed up to
    /// `last`. The decided mails then stand in the outbox's rows without bytes.
    pub(crate) fn decide_recovered(&mut self, causes: &[Undecided], last: Option<Position>) {
        // The queues are empty as yet, and what was withdrawn is not put back: its row says so.
        drop(self.desks.outbox.take_withdrawn());
        let mut turn = Turn::begin(&mut self.desks, &self.context);
        for cause in causes {
            let Undecided {
                id,
                partition,
                wall,
                event,
            } = cause;
            let admission = Admission::default();
            let decided = self
                .deciders
                .orders
                .decide(&mut turn, *partition, *id, *wall, event, admission);
            if let Err(fault) = decided {
                let error = self.context.explain(fault);
                tracing::error!(cause = ?id, %error, "a recovered cause could not be decided");
            }
        }
        turn.append_recovered(last);
    }

    /// Appends events that settle what a crash left open, as one turn.
    pub(crate) fn settle(&mut self, events: Vec<(PartitionId, Event)>) {
        let mut turn = Turn::begin(&mut self.desks, &self.context);
        for (partition, event) in events {
            if let Err(error) = turn.record(partition, &event) {
                tracing::error!(%error, "state cannot be read: an unfinished attempt could not be settled");
            }
        }
        turn.append();
    }

    /// Does a turn of submissions and then a turn of timers, so that neither keeps the other waiting.
    fn turn_and_timers(&mut self, waiting: &mut Vec<Submission>) {
        self.turn(waiting);
        if self.desks.timers.wants(self.context.now()) {
            self.read_timers();
        }
        if self.may_work_aside() {
            self.fire();
        }
    }

    /// Records the submissions that wait, and what they cause, as one append. If their filters cost too much, the rest stays for the next turn,
    /// in its order.
    fn turn(&mut self, waiting: &mut Vec<Submission>) {
        let _timer = self.context.metrics.turn_seconds.start_timer();
        let (steps, all) = (self.deciders.engine.steps(), waiting.len());
        let mut turn = Turn::begin(&mut self.desks, &self.context);
        waiting.reverse();
        while let Some(submission) = waiting.pop() {
            self.deciders.take(&mut turn, submission);
            if self.deciders.engine.steps().saturating_sub(steps) > TURN_STEPS_MAX {
                break;
            }
        }
        waiting.reverse();
        let taken = all - waiting.len();
        self.context
            .metrics
            .turn_submissions
            .observe(f64::from(u32::try_from(taken).unwrap_or(u32::MAX)));
        turn.append();
        self.note_unapplied();
    }

    /// Tells how many values state does not have yet.
    fn note_unapplied(&mut self) {
        let unapplied = self.desks.unapplied();
        self.own.unapplied.set(i64::try_from(unapplied).unwrap_or(i64::MAX));
    }

    /// Looks at the mails that are due now, as one turn.
    fn tick(&mut self) -> Ticked {
        let mut turn = Turn::begin(&mut self.desks, &self.context);
        let ticked = lead::tick(&mut self.deciders.engine, &mut turn);
        turn.append();
        if let Some(lag) = ticked.lag {
            self.own.judged_lag_seconds.set(lag.as_secs_f64());
        }
        self.note_unapplied();
        ticked
    }

    /// Looks at a page of contacts, if a sweep is under way.
    fn sweep(&mut self) {
        self.sweeps
            .sweep(&mut self.deciders.engine, &mut self.desks, &self.context);
        self.note_unapplied();
    }

    /// Fires timers that are due, as one turn. Returns how many it took.
    fn fire(&mut self) -> usize {
        let context = &self.context;
        let (now, timers) = (context.now(), &mut self.desks.timers);
        if timers.advance(now) {
            tracing::warn!(%now, timers = timers.len(), "the clock was set back; timers are filed anew");
            context.metrics.automation.set_back.inc();
        }
        let mut due: Vec<_> = std::iter::from_fn(|| timers.take()).take(FIRES_MAX).collect();
        if due.is_empty() {
            return 0;
        }
        let began = context.deps.clock.elapsed();
        let took = || context.deps.clock.elapsed().saturating_sub(began);
        due.sort_by_key(|surfaced| surfaced.timer.class);
        let mut turn = Turn::begin(&mut self.desks, context);
        let mut fired = 0;
        let mut due = due.into_iter();
        for surfaced in due.by_ref() {
            let timer = surfaced.timer;
            let mails = turn.mails.len();
            let tries = Tries::Made(surfaced.tries);
            let result = match timer.class {
                TimerClass::Workflow => self.deciders.engine.due(&mut turn, timer),
                TimerClass::Cart => cart::due(&mut turn, timer, tries),
            };
            if let Err(error) = result {
                context.state_failed(&error, "state cannot be read: a timer did not fire");
                let had_effect = turn.mails.len() > mails;
                let tries = if had_effect { Tries::Effective } else { tries };
                unreadable(&mut turn, timer, &error, tries);
            }
            fired += 1;
            if took() > FIRES_TIME_MAX {
                break;
            }
        }
        let rest: Vec<_> = due.collect();
        turn.desks.timers.give_back(&rest);
        context.metrics.automation.fire_seconds.observe(took().as_secs_f64());
        turn.append();
        self.note_unapplied();
        fired
    }

    /// Reads more timers into the window if an edge is near. Returns whether it read a page.
    fn read_timers(&mut self) -> bool {
        // Taken before the page is read, so that the page has everything up to this position.
        let applied = self.desks.applied();
        let timers = &mut self.desks.timers;
        timers.forget(applied);
        let state = self.context.deps.store.state();
        let read = timers.load(self.context.now(), |slot, from, until, limit| {
            state.timers().due_from(slot, from, until, limit)
        });
        self.own
            .timers_window
            .set(i64::try_from(timers.len()).unwrap_or(i64::MAX));
        read.unwrap_or_else(|error| {
            self.context
                .state_failed(&error, "state cannot be read: timers are missing");
            false
        })
    }

    /// Sets the metric of how long the oldest due timer has waited.
    fn note_overdue(&self) {
        let now = self.context.now();
        let overdue = self.desks.timers.overdue();
        let overdue = overdue.map_or(0.0, |due| now.since(due).as_secs_f64());
        self.own.timers_overdue_seconds.set(overdue);
    }
}
