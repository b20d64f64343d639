//! The desk of mails until they end: a row says how often a mail was tried, when it is due, and whether a session has claimed it.

use store::state::{OutboxEntry, OutboxPut, Put};
use store::{StateError, Store};
use types::event::{AttemptClaimed, AttemptEnded, Event, Outcome, Plan};
use types::id::{Attempt, EventId, MessageId, PartitionId};
use types::time::Timestamp;

use crate::desk::{Desk, Entry, Settled, Told};
use crate::memory::Unapplied;

/// The rows that state does not have as they are; `None` once the mail has ended.
pub(crate) struct Outbox {
    store: Store,
    rows: Unapplied<(PartitionId, MessageId), Option<OutboxEntry>>,
    released: Vec<MessageId>,
    withdrawn: Vec<MessageId>,
}

impl Outbox {
    pub(crate) fn new(store: Store) -> Self {
        Self {
            store,
            rows: Unapplied::default(),
            released: Vec::new(),
            withdrawn: Vec::new(),
        }
    }

    /// Takes the mails that may not be sent any more, to be taken out of the queues.
    pub(crate) fn take_withdrawn(&mut self) -> Vec<MessageId> {
        std::mem::take(&mut self.withdrawn)
    }

    /// Puts a mail in that was just decided.
    fn queue(&mut self, partition: PartitionId, cause: EventId, plan: &Plan, wall: Timestamp) {
        let entry = OutboxEntry {
            cause,
            attempts: Attempt(0),
            claimed: false,
            due: wall,
            expires: plan.expires,
            stream: plan.stream,
            accepted_at: cause.time(),
            withdrawn: false,
            doubted: false,
        };
        self.rows.set((partition, plan.message), Some(entry));
    }

    fn claimed(&mut self, partition: PartitionId, claimed: &AttemptClaimed) -> Result<(), StateError> {
        self.change(partition, claimed.message, |row| {
            row.attempts = claimed.attempt;
            row.claimed = true;
        })?;
        Ok(())
    }

    fn ended(&mut self, partition: PartitionId, ended: &AttemptEnded) -> Result<(), StateError> {
        let AttemptEnded { message, outcome, .. } = *ended;
        if outcome.is_terminal() {
            self.rows.set((partition, message), None);
            self.released.push(message);
            return Ok(());
        }
        self.change(partition, message, |row| {
            // Also if the report comes late: a mail in doubt is tried once more at most.
            row.doubted |= matches!(outcome, Outcome::InDoubt { .. });
            // A report that comes late: the claim that was made after that attempt stands.
            if row.claimed && ended.attempt < row.attempts {
                return;
            }
            row.claimed = false;
            row.attempts = ended.attempt;
            if let Outcome::Deferred { until, .. } | Outcome::InDoubt { retry: Some(until) } = outcome {
                row.due = until;
            }
        })?;
        Ok(())
    }

    /// Changes the row of a mail. False if the mail has ended or is unknown.
    fn change(
        &mut self,
        partition: PartitionId,
        message: MessageId,
        change: impl FnOnce(&mut OutboxEntry),
    ) -> Result<bool, StateError> {
        if !self.has(partition, message)? {
            return Ok(false);
        }
        let row = self.rows.edit((partition, message)).and_then(Option::as_mut);
        change(row.expect("read just above"));
        Ok(true)
    }

    /// Returns whether a mail is still to be sent.
    fn has(&mut self, partition: PartitionId, message: MessageId) -> Result<bool, StateError> {
        let key = (partition, message);
        if self.rows.get(&key).is_none() {
            let row = self.store.state().outbox().entry(partition, message)?;
            self.rows.keep(key, row);
        }
        Ok(self.rows.get(&key).is_some_and(Option::is_some))
    }
}

impl Desk for Outbox {
    fn look(&mut self, entry: &Entry<'_>, told: &mut Told) -> Result<(), StateError> {
        if let Event::AttemptEnded(ended) = entry.event
            && ended.outcome.is_terminal()
        {
            told.was_queued = self.has(entry.partition, ended.message)?;
        }
        Ok(())
    }

    fn apply(&mut self, entry: &Entry<'_>, told: &mut Told) -> Result<(), StateError> {
        match entry.event {
            Event::Decided(decided) => {
                if let Some(plan) = decided.plan() {
                    self.queue(entry.partition, decided.cause, plan, entry.wall);
                }
            }
            Event::AttemptClaimed(claimed) => self.claimed(entry.partition, claimed)?,
            Event::AttemptEnded(ended) => self.ended(entry.partition, ended)?,
            _ => {}
        }
        for message in std::mem::take(&mut told.withdrawn) {
            // The row says so too: the queues end with the process, and the next start must not queue the mail again.
            if self.change(entry.partition, message, |row| row.withdrawn = true)? {
                self.withdrawn.push(message);
            }
        }
        Ok(())
    }

    fn settle(&mut self, position: u64, settled: &mut Settled) {
        self.rows.settle(position, |(partition, message), row| {
            settled.puts.push(Put::Outbox(match row {
                Some(entry) => OutboxPut::Set {
                    partition,
                    message,
                    entry: entry.clone(),
                },
                None => OutboxPut::Delete { partition, message },
            }));
        });
        settled.released.append(&mut self.released);
    }

    fn forget(&mut self, applied: u64) {
        self.rows.forget(applied);
    }

    fn held(&self) -> usize {
        self.rows.len()
    }
}
