//! Outbox rows: the mails that have not ended, and what their ends mean.

use store::StateError;
use store::state::OutboxEntry;
use types::event::{AttemptClaimed, AttemptEnded, Outcome, Plan};
use types::id::{Attempt, EventId, MessageId, PartitionId};
use types::tally::Measure;
use types::time::Timestamp;

use super::{Entry, Fold};

impl Fold {
    /// Puts a mail that was just decided into the outbox.
    pub(super) fn queue(&mut self, partition: PartitionId, cause: EventId, plan: &Plan, wall: Timestamp) {
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

    pub(super) fn claimed(&mut self, entry: &Entry<'_>, claimed: &AttemptClaimed) -> Result<(), StateError> {
        self.change_row(entry.partition, claimed.message, |row| {
            row.attempts = claimed.attempt;
            row.claimed = true;
        })?;
        Ok(())
    }

    pub(super) fn ended(&mut self, entry: &Entry<'_>, ended: &AttemptEnded) -> Result<(), StateError> {
        let AttemptEnded { message, outcome, .. } = *ended;
        self.timeline_of_mail(entry, message)?;
        if outcome.is_terminal() {
            // Counted once: what is told of a mail that has ended already is history, and no more.
            if self.row(entry.partition, message)?.is_some() {
                self.count_end(entry, ended)?;
            }
            self.rows.set((entry.partition, message), None);
            self.released.push(message);
            // Nothing about the person changes with a delivery.
            if outcome != Outcome::Delivered
                && let Some(person) = self.person_of(entry.partition, message)?
            {
                self.change_person(entry, person)?;
            }
            return Ok(());
        }
        self.change_row(entry.partition, message, |row| {
            // Whenever it is told, and whatever comes in between: one repeat is all that a doubt causes.
            row.doubted |= matches!(outcome, Outcome::InDoubt { .. });
            // An end that was told late: the claim that came after it stands.
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

    /// Changes the outbox row of a mail. False if the mail is terminal or unknown.
    pub(super) fn change_row(
        &mut self,
        partition: PartitionId,
        message: MessageId,
        change: impl FnOnce(&mut OutboxEntry),
    ) -> Result<bool, StateError> {
        if self.row(partition, message)?.is_none() {
            return Ok(false);
        }
        let row = self.rows.edit((partition, message)).and_then(Option::as_mut);
        change(row.expect("read just above"));
        Ok(true)
    }

    /// Returns the outbox row of a mail, or `None` if the mail is terminal or unknown.
    fn row(&mut self, partition: PartitionId, message: MessageId) -> Result<Option<&OutboxEntry>, StateError> {
        let key = (partition, message);
        if self.rows.get(&key).is_none() {
            let row = self.store.state().outbox().entry(partition, message)?;
            self.rows.keep(key, row);
        }
        Ok(self.rows.get(&key).and_then(Option::as_ref))
    }

    fn count_end(&mut self, entry: &Entry<'_>, ended: &AttemptEnded) -> Result<(), StateError> {
        let measure = match ended.outcome {
            Outcome::Delivered => {
                let provider = ended.provider();
                self.change_mail(entry.partition, ended.message, |mail| {
                    mail.delivered(entry.wall, provider);
                })?;
                Measure::Delivered
            }
            Outcome::InDoubt { .. } => Measure::InDoubt,
            Outcome::Failed { .. } | Outcome::Expired | Outcome::Withdrawn | Outcome::Deferred { .. } => {
                Measure::Failed
            }
        };
        self.count_shown(entry, ended.message, measure)
    }
}
