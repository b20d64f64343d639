//! A turn: the records that a runner appends at once, and the work that follows the append.
//!
//! [`Turn::record`] folds an event into the desks at once, so later decisions of the same turn see it. The journal has nothing of a turn
//! before [`Turn::append`], and no mail or call is passed on before that.

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

/// What a runner's deciders need beside the desks. It does not change while the runner runs.
pub(crate) struct Context {
    pub(crate) settings: Settings,
    pub(crate) deps: Arc<Deps>,
    pub(crate) meters: Arc<Meters>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) visitors: VisitorKeyer,
}

/// A caller that waits until an event is durable.
type Waiter = (oneshot::Sender<Result<Receipt, SubmitError>>, EventId);

/// What a turn gathers until its one append. Deciders take it: they read its desks and record events in it.
pub(crate) struct Turn<'a> {
    pub(crate) desks: &'a mut Desks,
    pub(crate) context: &'a Context,
    batch: Batch,
    waiters: Vec<Waiter>,
    /// Decided mails. The append passes them to the outbox.
    pub(crate) mails: Vec<Mail>,
    /// Calls of shops' pages. The append passes them on.
    pub(crate) calls: Vec<Call>,
    /// Happenings to which contacts' carts and workflows still have to react.
    pub(crate) reactions: VecDeque<Reaction>,
}

/// Why a submission is refused.
pub(crate) enum Fault {
    /// State could not be read: the fault is the node's, not the event's.
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

    /// Logs that state cannot be read, and what was therefore not done. The message comes whole: runbooks and people search the code for it.
    pub(crate) fn state_failed(&self, error: &StateError, message: &str) {
        tracing::error!(%error, "{message}");
        self.metrics.state_errors.inc();
    }

    /// Returns the error for the caller that submitted the event.
    pub(crate) fn explain(&self, fault: Fault) -> SubmitError {
        match fault {
            Fault::Refused(why) => SubmitError::Refused(why),
            Fault::State(error) => {
                self.state_failed(&error, "state cannot be read: the event was refused");
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

    /// Answers the caller that submitted the event once the event is durable.
    pub(crate) fn answer(&mut self, receipt: oneshot::Sender<Result<Receipt, SubmitError>>, id: EventId) {
        self.waiters.push((receipt, id));
    }

    /// Adds an event to the batch and folds it into the desks.
    pub(crate) fn record(&mut self, partition: PartitionId, event: &Event) -> Result<(EventId, Timestamp), StateError> {
        let (id, wall) = (self.context.mint(), self.context.now());
        self.record_as(partition, id, wall, event)?;
        Ok((id, wall))
    }

    /// Adds an event to the batch and folds it into the desks, under an id that was minted for it and the wall time of its cause.
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

    /// Records that something could not be done, for people to look at.
    pub(crate) fn set_aside(&mut self, partition: PartitionId, aside: SetAside) -> Result<(), StateError> {
        tracing::error!(object = ?aside.object, fault = %aside.fault, tries = aside.tries, "set aside");
        self.context.metrics.automation.set_aside.inc();
        self.record(partition, &Event::SetAside(Box::new(aside)))?;
        Ok(())
    }

    /// Appends the records, and passes mails, calls and changes of state on without waiting for the disk.
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

    /// Ends the first turn after a replay: appends its records or, if there are none, hands to state what was replayed up to `position`.
    /// Passes no mail on: the mails stand in the outbox's rows without bytes, and the start has them made from there.
    pub(crate) fn append_recovered(mut self, position: Option<Position>) {
        if let Some(position) = position.filter(|_| self.batch.is_empty()) {
            let turn = self.desks.end_turn(position);
            self.context.deps.store.state().submit(turn);
        }
        self.mails.clear();
        self.append();
    }
}

/// Answers the callers that wait: their event is durable, or will never be.
fn answer(waiters: Vec<Waiter>, committed: Result<Position, store::CommitFailed>) {
    for (receipt, id) in waiters {
        let answer = match &committed {
            Ok(position) => Ok(Receipt {
                id,
                position: *position,
            }),
            Err(_) => Err(SubmitError::Closed),
        };
        // A caller that no longer waits loses nothing.
        let _ = receipt.send(answer);
    }
}
