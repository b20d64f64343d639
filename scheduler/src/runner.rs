//! One runner: takes what waits in its inbox, a turn at a time, and looks at what is due, about once a second.

mod decisions;
mod verdicts;

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
use types::event::{AttemptEnded, Event};
use types::id::{EventId, PartitionId, ShopNumber};
use types::port::{Admission, Mail};
use types::time::Timestamp;

use crate::Deps;
use crate::fold::{Entry, Fold, suppression_after};
use crate::meters::Meters;
use crate::metrics::Metrics;
use crate::recovery::Undecided;
use crate::settings::Settings;
use verdicts::Offer;

/// Submissions a turn takes at most: enough to share an append, few enough to keep a turn under a millisecond or two.
const TURN_MAX: usize = 128;
/// Opens and clicks that a turn takes at most, orders or not: they are cheaper, and share more.
const TRACKED_MAX: usize = 512;
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
    /// What each shop may show, for the catalogue version beside it.
    candidates: HashMap<ShopNumber, (u64, Arc<Candidates>), FixedState>,
    visitors: VisitorKeyer,
    random: StdRng,
}

/// What a turn gathers until its one append.
#[derive(Default)]
struct Work {
    batch: Batch,
    waiters: Vec<Waiter>,
    mails: Vec<Mail>,
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
    ) -> Self {
        Self {
            visitors: deps.store.secrets().visitor_keyer(),
            fold,
            settings,
            deps,
            meters,
            metrics,
            candidates: HashMap::default(),
            random: StdRng::from_rng(&mut rand::rng()),
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
                count = inbox.recv_many(&mut waiting, TURN_MAX) => {
                    if count == 0 {
                        return;
                    }
                    inbox.try_recv_tracked(&mut waiting, TRACKED_MAX);
                    self.turn(&mut waiting);
                }
            }
        }
    }

    /// Looks at what is due. What is left is looked at after one turn of the inbox: neither keeps the other waiting.
    fn scheduled_tick(&mut self, inbox: &mut Inbox, waiting: &mut Vec<Submission>, ticks: &mut Interval) {
        self.metrics
            .tracked_backlog
            .set(i64::try_from(inbox.tracked_len()).unwrap_or(i64::MAX));
        if self.tick().more {
            if inbox.try_recv_many(waiting, TURN_MAX) > 0 {
                self.turn(waiting);
            }
            ticks.reset_immediately();
        }
    }

    /// Looks at all that is due; returns how many mails that were.
    fn tick_through(&mut self) -> usize {
        let mut looked = 0;
        loop {
            let ticked = self.tick();
            looked += ticked.looked;
            if !ticked.more {
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

    fn turn(&mut self, waiting: &mut Vec<Submission>) {
        let _timer = self.metrics.turn_seconds.start_timer();
        self.metrics
            .turn_submissions
            .observe(f64::from(u32::try_from(waiting.len()).unwrap_or(u32::MAX)));
        let mut work = Work::default();
        for submission in waiting.drain(..) {
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
        let (id, wall) = self.record(work, partition, event)?;
        match event {
            Event::OrderAccepted(_) | Event::MessageAccepted(_) => {
                self.decide(work, partition, id, wall, event, admission)?;
            }
            Event::AttemptEnded(ended) => self.suppress_after(work, partition, ended)?,
            // A landing can turn the verdict on its click, decide it, or void its lead.
            Event::Landed(landed) => self.look(work, partition, landed.message)?,
            _ => {}
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
        let Some(person) = self.fold.person_of(partition, ended.message)? else {
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
        let payload: Bytes = work.batch.push(id, partition, wall, event);
        self.fold.apply(&Entry {
            id,
            partition,
            wall,
            event,
            payload,
        })?;
        Ok((id, wall))
    }

    /// Appends the turn, and passes on what it decided without waiting for the disk.
    fn append(&mut self, work: Work) {
        let Work {
            mut batch,
            waiters,
            mails,
        } = work;
        if batch.is_empty() {
            self.fold.forget();
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
        for message in self.fold.take_withdrawn() {
            self.deps.outbox.withdraw(message);
        }
        let turn = self.fold.end_turn(position);
        self.deps.store.state().submit(turn);
        self.metrics
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
