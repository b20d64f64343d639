//! A turn: what a runner records by one append, and what becomes of it.
//!
//! An event is folded in when it is recorded, so what follows in the same turn sees it. Nothing of a turn is in the journal before
//! [`Turn::append`], and nothing leaves the house before that.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use store::intake::{Receipt, SubmitError};
use store::{Batch, Position, StateError};
use tokio::sync::oneshot;
use types::address::VisitorKeyer;
use types::catalogue::Catalogue;
use types::event::{Event, SetAside};
use types::id::{EventId, PartitionId};
use types::port::{Call, Mail};
use types::time::Timestamp;

use crate::Deps;
use crate::desk::Entry;
use crate::desks::Desks;
use crate::metrics::Metrics;
use crate::settings::Settings;
use crate::tally::Meters;
use crate::workflow::Reaction;

/// What a runner's work needs beside its desks.
pub(crate) struct Context {
    pub(crate) settings: Settings,
    pub(crate) deps: Arc<Deps>,
    pub(crate) meters: Arc<Meters>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) visitors: VisitorKeyer,
}

/// Who waits for an event to be durable.
type Waiter = (oneshot::Sender<Result<Receipt, SubmitError>>, EventId);

/// What a turn gathers until its one append.
pub(crate) struct Turn<'a> {
    pub(crate) desks: &'a mut Desks,
    pub(crate) context: &'a Context,
    batch: Batch,
    waiters: Vec<Waiter>,
    /// Mails that were decided, to be made.
    pub(crate) mails: Vec<Mail>,
    /// Pages to call.
    pub(crate) calls: Vec<Call>,
    /// What is still to be reacted to.
    pub(crate) reactions: VecDeque<Reaction>,
}

/// Why a submission is refused after all.
pub(crate) enum Fault {
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

impl Context {
    /// Returns the wall time.
    pub(crate) fn now(&self) -> Timestamp {
        self.deps.clock.now()
    }

    /// Mints the id of an event.
    pub(crate) fn mint(&self) -> EventId {
        self.deps.store.journal().mint()
    }

    /// Returns the catalogue in force.
    pub(crate) fn catalogue(&self) -> Arc<Catalogue> {
        self.deps.store.catalogue().load()
    }

    /// Tells the log that state cannot be read, and what was not done.
    pub(crate) fn state_failed(&self, error: &StateError, not_done: &str) {
        tracing::error!(%error, "state cannot be read: {not_done}");
        self.metrics.state_errors.inc();
    }

    /// Returns what whoever submitted an event is told of a fault.
    pub(crate) fn explain(&self, fault: Fault) -> SubmitError {
        match fault {
            Fault::Refused(why) => SubmitError::Refused(why),
            Fault::State(error) => {
                self.state_failed(&error, "the event was refused");
                SubmitError::Closed
            }
        }
    }
}

impl<'a> Turn<'a> {
    /// Begins a turn.
    pub(crate) fn begin(desks: &'a mut Desks, context: &'a Context) -> Self {
        Self {
            desks,
            context,
            batch: Batch::default(),
            waiters: Vec::new(),
            mails: Vec::new(),
            calls: Vec::new(),
            reactions: VecDeque::new(),
        }
    }

    /// Has whoever submitted an event be answered once it is durable.
    pub(crate) fn answer(&mut self, receipt: oneshot::Sender<Result<Receipt, SubmitError>>, id: EventId) {
        self.waiters.push((receipt, id));
    }

    /// Folds an event in and adds it to the batch.
    pub(crate) fn record(&mut self, partition: PartitionId, event: &Event) -> Result<(EventId, Timestamp), StateError> {
        let (id, wall) = (self.context.mint(), self.context.now());
        self.record_as(partition, id, wall, event)?;
        Ok((id, wall))
    }

    /// Folds an event in and adds it to the batch, under an id that was minted for it and the wall time of its cause.
    pub(crate) fn record_as(
        &mut self,
        partition: PartitionId,
        id: EventId,
        wall: Timestamp,
        event: &Event,
    ) -> Result<(), StateError> {
        let payload: Bytes = self.batch.push(id, partition, wall, event);
        self.desks.apply(&Entry {
            id,
            partition,
            wall,
            event,
            payload,
        })
    }

    /// Records that something could not be done.
    pub(crate) fn set_aside(&mut self, partition: PartitionId, aside: SetAside) -> Result<(), StateError> {
        tracing::error!(object = ?aside.object, fault = %aside.fault, tries = aside.tries, "set aside");
        self.context.metrics.automation.set_aside.inc();
        self.record(partition, &Event::SetAside(Box::new(aside)))?;
        Ok(())
    }

    /// Appends what was recorded, and passes on what was decided without waiting for the disk.
    pub(crate) fn append(self) {
        let Self {
            desks,
            context,
            mut batch,
            waiters,
            mails,
            calls,
            reactions: _,
        } = self;
        let deps = &context.deps;
        if batch.is_empty() {
            desks.forget();
            if let Some(turn) = desks.end_idle_turn() {
                deps.store.state().submit(turn);
            }
            return;
        }
        let changes = desks.changes.take();
        if !waiters.is_empty() || !changes.is_empty() {
            let store = deps.store.clone();
            batch.on_durable(move |committed| {
                // Swapped in only now: no decision may name a catalogue that a crash could take back.
                if committed.is_ok() {
                    store.catalogue().apply(&changes);
                }
                answer(waiters, committed);
            });
        }
        let Ok(position) = deps.store.journal().append(batch) else {
            // The store has failed and says so itself; the process is about to restart into recovery.
            return;
        };
        for mail in mails {
            deps.outbox.submit(mail);
        }
        for call in calls {
            deps.webhooks.call(call);
        }
        for message in desks.outbox.take_withdrawn() {
            deps.outbox.withdraw(message);
        }
        deps.store.state().submit(desks.end_turn(position));
        context.metrics.automation.armed(desks.timers.take_new());
    }

    /// Hands to state what was replayed up to `position`, if nothing was recorded, and appends what was. Its mails are not made: they
    /// stand in the outbox, without bytes.
    pub(crate) fn append_recovered(mut self, position: Option<Position>) {
        if let Some(position) = position.filter(|_| self.batch.is_empty()) {
            let turn = self.desks.end_turn(position);
            self.context.deps.store.state().submit(turn);
        }
        self.mails.clear();
        self.append();
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
