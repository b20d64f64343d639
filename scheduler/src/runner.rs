//! One runner: takes what waits in its inbox, a turn at a time, fires timers when they are due, and looks at mails about once a second.

mod carts;
mod compiled;
mod decisions;
mod hands;
mod reactions;
mod sending;
mod sweeps;
mod timers;
mod turns;
mod verdicts;
mod workflows;

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use foldhash::fast::FixedState;
use policy::offers::Candidates;
use rand::SeedableRng;
use rand::rngs::StdRng;
use store::intake::{Inbox, Receipt, Submission, SubmitError};
use store::{Batch, Position, StateError};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Interval, MissedTickBehavior};
use tokio_util::sync::CancellationToken;
use types::address::VisitorKeyer;
use types::contact::ContactSource;
use types::event::{AttemptEnded, Event};
use types::id::{EventId, PartitionId, ShopNumber};
use types::port::{Admission, Call, Mail};
use types::time::Timestamp;

use crate::Deps;
use crate::fold::{Entry, Fold, suppression_after};
use crate::meters::Meters;
use crate::metrics::{Metrics, Own};
use crate::recovery::Undecided;
use crate::settings::Settings;
use reactions::Reactions;
pub(crate) use sending::Asked;
use sweeps::Sweeps;
use verdicts::Offer;
use workflows::Engine;

/// Submissions a turn takes at most: enough to share an append, few enough to keep a turn under a millisecond or two.
const TURN_MAX: usize = 128;
/// Opens and clicks that a turn takes at most, orders or not: they are cheaper, and share more.
const TRACKED_MAX: usize = 512;
/// Bytes of turns that wait for state beyond which timers and sweeps hold still. Beyond the store's own bound a turn waits in the middle
/// of the runner's work, and whoever's order comes next waits with it: so only orders may come near it.
const ASIDE_BYTES_MAX: usize = 2 << 20;
/// How long they hold still before they look again.
const ASIDE_REST: Duration = Duration::from_millis(2);
/// How often a runner looks at what is due.
const TICK: Duration = Duration::from_secs(1);

/// Who waits for an event to be durable.
type Waiter = (oneshot::Sender<Result<Receipt, SubmitError>>, EventId);

pub(crate) struct Runner {
    fold: Fold,
    settings: Settings,
    deps: Arc<Deps>,
    meters: Arc<Meters>,
    metrics: Arc<Metrics>,
    /// Those of this runner alone.
    own: Own,
    /// What each shop may show, for the catalogue version beside it.
    candidates: HashMap<ShopNumber, (u64, Arc<Candidates>), FixedState>,
    visitors: VisitorKeyer,
    random: StdRng,
    engine: Engine,
    sweeps: Sweeps,
    /// Whether a sweep has more to do now.
    is_sweeping: bool,
}

/// What a turn gathers until its one append.
#[derive(Default)]
struct Work {
    batch: Batch,
    waiters: Vec<Waiter>,
    mails: Vec<Mail>,
    calls: Vec<Call>,
    reactions: Reactions,
}

/// Why a submission is refused after all.
enum Fault {
    /// State could not be read: the node is broken, not the event.
    State(StateError),
    /// The event makes no sense here.
    Refused(String),
}

impl From<StateError> for Fault {
    fn from(error: StateError) -> Self {
        Self::State(error)
    }
}

impl Runner {
    pub(crate) fn new(
        fold: Fold,
        settings: Settings,
        deps: Arc<Deps>,
        meters: Arc<Meters>,
        metrics: Arc<Metrics>,
        number: usize,
    ) -> Self {
        Self {
            own: metrics.per_runner.of(number),
            visitors: deps.store.secrets().visitor_keyer(),
            fold,
            settings,
            deps,
            meters,
            metrics,
            candidates: HashMap::default(),
            random: StdRng::from_rng(&mut rand::rng()),
            engine: Engine::default(),
            sweeps: Sweeps::default(),
            is_sweeping: false,
        }
    }

    /// Works until `stop` fires and the inbox is empty. Each answer that is `asked` for is how many mails were looked at.
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
                    // Whoever no longer waits for the answer loses nothing by it.
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
                // What a dear turn has left, in its order and before what comes after it.
                () = tokio::task::yield_now(), if !waiting.is_empty() => self.turn_and_timers(&mut waiting),
                // Yielded, so that what came meanwhile is seen first.
                () = tokio::task::yield_now(), if busy => self.work_aside(),
                () = tokio::time::sleep(rest), if !busy => {}
            }
        }
    }

    /// Returns whether timers are due or something is to be read or swept; if not, for how long there is nothing to do.
    fn rest(&self) -> (bool, Duration) {
        let now = self.deps.clock.now();
        let timers = &self.fold.timers;
        let rest = timers.rest(now).unwrap_or(TICK).min(TICK);
        let busy = rest.is_zero() || timers.wants(now) || self.is_sweeping;
        if busy && !self.may_work_aside() {
            return (false, ASIDE_REST);
        }
        (busy, rest)
    }

    /// Returns whether state keeps up with what runners hand in.
    fn may_work_aside(&self) -> bool {
        self.deps.store.state().waiting_bytes() < ASIDE_BYTES_MAX
    }

    /// Does one turn of what is not in the inbox: timers first, then what is to be read, then sweeps.
    fn work_aside(&mut self) {
        if self.fire() == 0 && !self.read_timers() {
            self.is_sweeping = self.sweep();
        }
    }

    /// Looks at what is due. What is left is looked at after one turn of the inbox: neither keeps the other waiting.
    fn scheduled_tick(&mut self, inbox: &mut Inbox, waiting: &mut Vec<Submission>, ticks: &mut Interval) {
        self.own.ticks.inc();
        self.own
            .tracked_backlog
            .set(i64::try_from(inbox.tracked_len()).unwrap_or(i64::MAX));
        self.note_overdue();
        self.note_sweeps();
        // Sweeps that wait for state are looked at again; under a full inbox all of this goes on once a second at least.
        self.read_timers();
        if self.may_work_aside() {
            self.fire();
            self.is_sweeping = self.sweep();
        }
        if self.tick().more {
            if !waiting.is_empty() || inbox.try_recv_many(waiting, TURN_MAX) > 0 {
                self.turn(waiting);
            }
            ticks.reset_immediately();
        }
    }

    /// Looks at all that is due, fires all timers that are, and sweeps what can be; returns how many mails were looked at.
    fn tick_through(&mut self) -> usize {
        let mut looked = 0;
        self.note_sweeps();
        loop {
            let ticked = self.tick();
            looked += ticked.looked;
            let fired = self.fire() > 0;
            let read = self.read_timers();
            let due = self
                .fold
                .timers
                .rest(self.deps.clock.now())
                .is_some_and(|rest| rest.is_zero());
            self.is_sweeping = self.sweep();
            if !(ticked.more || fired || read || due || self.is_sweeping) {
                return looked;
            }
        }
    }

    /// Returns the partitions.
    pub(crate) fn range(&self) -> &Range<u16> {
        self.fold.range()
    }

    /// Decides the accepted causes that a crash left without a decision, and hands to state what was replayed up to
    /// `last`. The mails stand in the outbox then, without bytes.
    pub(crate) fn decide_recovered(&mut self, causes: &[Undecided], last: Option<Position>) {
        // The queues are empty as yet, and what was withdrawn is not put back: its row says so.
        drop(self.fold.take_withdrawn());
        let mut work = Work::default();
        for cause in causes {
            let decided = self.decide(
                &mut work,
                cause.partition,
                cause.id,
                cause.wall,
                &cause.event,
                Admission::default(),
            );
            self.note(decided, cause.id);
        }
        if let Some(position) = last.filter(|_| work.batch.is_empty()) {
            let turn = self.fold.end_turn(position);
            self.deps.store.state().submit(turn);
        }
        work.mails.clear();
        self.append(work);
    }

    /// Appends events that settle what a crash left open, as one turn.
    pub(crate) fn settle(&mut self, events: Vec<(PartitionId, Event)>) {
        let mut work = Work::default();
        for (partition, event) in events {
            let recorded = self.record(&mut work, partition, &event);
            if let Err(error) = recorded {
                tracing::error!(%error, "state cannot be read: an unfinished attempt could not be settled");
            }
        }
        self.append(work);
    }

    /// Records an event, and what it causes, in this turn.
    fn take(
        &mut self,
        work: &mut Work,
        partition: PartitionId,
        event: &Event,
        admission: Admission,
    ) -> Result<EventId, Fault> {
        self.guard(partition, event)?;
        if let Event::PersonErased(erased) = event {
            self.void_erased(work, partition, erased)?;
        }
        let wall = self.deps.clock.now();
        let prepared = match event {
            Event::CartChanged(changed) => {
                let mut changed = changed.clone();
                self.prepare_cart(partition, &mut changed, wall)?;
                Some(Event::CartChanged(changed))
            }
            Event::ContactChanged(changed) if changed.source == ContactSource::Import => {
                let person = self.fold.person(partition, changed.person)?;
                let counts = person.without_void_consents(changed);
                counts.map(|counts| Event::ContactChanged(Box::new(counts)))
            }
            _ => None,
        };
        let event = prepared.as_ref().unwrap_or(event);
        let watched = self.watch(partition, event)?;
        let id = self.deps.store.journal().mint();
        self.record_as(work, partition, id, wall, event)?;
        match event {
            Event::OrderAccepted(_) | Event::MessageAccepted(_) => {
                self.decide(work, partition, id, wall, event, admission)?;
            }
            Event::AttemptEnded(ended) => self.suppress_after(work, partition, ended)?,
            // A landing can turn the verdict on its click, decide it, or void its lead.
            Event::Landed(landed) => self.look(work, partition, landed.message)?,
            Event::WebhookEnded(ended) => self.answered(work, partition, id, ended)?,
            _ => {}
        }
        if !watched.is_empty() {
            let reacted = self.react(work, (id, wall), event, watched);
            self.settle_reaction(work, partition, id, reacted)?;
        }
        Ok(id)
    }

    /// Refuses what must not be recorded.
    fn guard(&mut self, partition: PartitionId, event: &Event) -> Result<(), Fault> {
        let message = match event {
            Event::Opened(opened) => opened.message,
            Event::Clicked(clicked) => clicked.message,
            Event::Landed(landed) => {
                let catalogue = self.deps.store.catalogue().load();
                Offer::of(&catalogue, landed.campaign)
                    .ok_or_else(|| Fault::Refused("there is no such campaign".to_owned()))?;
                landed.message
            }
            _ => return Ok(()),
        };
        // The tracker asks its own memory first; this guard also knows what fell out of it.
        if self.fold.may_record(partition, message)? {
            return Ok(());
        }
        self.metrics.guarded.inc();
        Err(Fault::Refused("the mail is unknown, or its person withdrew".to_owned()))
    }

    /// A mailbox that does not exist gets no more mail: records that beside the outcome.
    fn suppress_after(&mut self, work: &mut Work, partition: PartitionId, ended: &AttemptEnded) -> Result<(), Fault> {
        if !ended.outcome.is_terminal() || ended.outcome == types::event::Outcome::Delivered {
            return Ok(());
        }
        let Some(person) = self.fold.recipient_of(partition, ended.message)? else {
            return Ok(());
        };
        if let Some(changed) = suppression_after(person, ended) {
            self.record(work, partition, &Event::SuppressionChanged(changed))?;
        }
        Ok(())
    }

    /// Folds an event in and adds it to the turn's batch.
    fn record(
        &mut self,
        work: &mut Work,
        partition: PartitionId,
        event: &Event,
    ) -> Result<(EventId, Timestamp), StateError> {
        let (id, wall) = (self.deps.store.journal().mint(), self.deps.clock.now());
        self.record_as(work, partition, id, wall, event)?;
        Ok((id, wall))
    }

    /// Folds an event in and adds it to the turn's batch, under an id that was minted for it and the wall time of its cause.
    fn record_as(
        &mut self,
        work: &mut Work,
        partition: PartitionId,
        id: EventId,
        wall: Timestamp,
        event: &Event,
    ) -> Result<(), StateError> {
        let payload: Bytes = work.batch.push(id, partition, wall, event);
        self.fold.apply(&Entry {
            id,
            partition,
            wall,
            event,
            payload,
        })
    }

    /// Appends the turn, and passes on what it decided without waiting for the disk.
    fn append(&mut self, work: Work) {
        let Work {
            mut batch,
            waiters,
            mails,
            calls,
            reactions: _,
        } = work;
        if batch.is_empty() {
            self.fold.forget();
            // Rows of timers that meant nothing any more.
            if let Some(turn) = self.fold.end_idle_turn() {
                self.deps.store.state().submit(turn);
            }
            return;
        }
        let changes = self.fold.take_catalogue_changes();
        if !waiters.is_empty() || !changes.is_empty() {
            let store = self.deps.store.clone();
            batch.on_durable(move |committed| {
                // Swapped in only now: no decision may name a catalogue that a crash could take back.
                if committed.is_ok() {
                    store.catalogue().apply(&changes);
                }
                answer(waiters, committed);
            });
        }
        let Ok(position) = self.deps.store.journal().append(batch) else {
            // The store has failed and says so itself; the process is about to restart into recovery.
            return;
        };
        for mail in mails {
            self.deps.outbox.submit(mail);
        }
        for call in calls {
            self.deps.webhooks.call(call);
        }
        for message in self.fold.take_withdrawn() {
            self.deps.outbox.withdraw(message);
        }
        let turn = self.fold.end_turn(position);
        self.deps.store.state().submit(turn);
        self.metrics.automation.armed(self.fold.take_armed());
        self.own
            .unapplied
            .set(i64::try_from(self.fold.unapplied()).unwrap_or(i64::MAX));
    }

    fn note(&self, decided: Result<(), Fault>, cause: EventId) {
        if let Err(fault) = decided {
            tracing::error!(?cause, error = %self.explain(fault), "a recovered cause could not be decided");
        }
    }

    fn explain(&self, fault: Fault) -> SubmitError {
        match fault {
            Fault::Refused(why) => SubmitError::Refused(why),
            Fault::State(error) => {
                tracing::error!(%error, "state cannot be read: the event was refused");
                self.metrics.state_errors.inc();
                SubmitError::Closed
            }
        }
    }
}

/// Tells everyone who waited that their event is durable, or that it will never be.
fn answer(waiters: Vec<Waiter>, committed: Result<Position, store::CommitFailed>) {
    for (receipt, id) in waiters {
        let answer = match &committed {
            Ok(position) => Ok(Receipt {
                id,
                position: *position,
            }),
            Err(_) => Err(SubmitError::Closed),
        };
        // Whoever no longer waits for the answer loses nothing by it.
        let _ = receipt.send(answer);
    }
}
