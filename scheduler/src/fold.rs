//! The fold: what each event changes in state. The same for events that happen and events that are replayed.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use foldhash::fast::FixedState;
use policy::PersonState;
use policy::person::Withdrawal;
use store::state::{OutboxEntry, Put, SuppressionList, Turn};
use store::{StateError, Store};
use types::event::{
    AttemptClaimed, AttemptEnded, CatalogueChanged, Claim, Decided, Event, Outcome, Plan, SuppressionCause,
    SuppressionChanged, UnsubscribeScope, Unsubscribed, Verdict,
};
use types::id::{Attempt, CampaignNumber, EventId, MessageId, PartitionId, PersonKey, PublicId};
use types::order::Stream;
use types::time::Timestamp;
use types::withdrawals::Withdrawals;

use crate::memory::Unapplied;
use crate::meters::Meters;

/// An event with where and when it stands in the journal.
#[derive(Clone, Debug)]
pub(crate) struct Entry<'a> {
    pub(crate) id: EventId,
    pub(crate) partition: PartitionId,
    pub(crate) wall: Timestamp,
    pub(crate) event: &'a Event,
    /// The event as the journal encodes it.
    pub(crate) payload: Bytes,
}

/// How a mail stands, and whose it is, if that is known without asking state.
#[derive(Clone, Debug)]
struct Row {
    /// `None` means that the mail became terminal.
    entry: Option<OutboxEntry>,
    person: Option<PersonKey>,
}

/// The state of a range of partitions: on disk as far as applied, in memory from there.
pub(crate) struct Fold {
    range: Range<u16>,
    store: Store,
    meters: Arc<Meters>,
    withdrawals: Arc<Withdrawals>,
    persons: Unapplied<(PartitionId, PersonKey), PersonState>,
    rows: Unapplied<(PartitionId, MessageId), Row>,
    counters: HashMap<(PartitionId, CampaignNumber), u64, FixedState>,
    catalogue_changes: u64,
    puts: Vec<Put>,
    released: Vec<MessageId>,
    withdrawn: Vec<MessageId>,
    catalogue: Vec<(CatalogueChanged, Timestamp)>,
}

impl Fold {
    /// Starts from what state has of the partitions in `range`.
    pub(crate) fn new(
        range: Range<u16>,
        store: Store,
        meters: Arc<Meters>,
        withdrawals: Arc<Withdrawals>,
    ) -> Result<Self, StateError> {
        let mut counters = HashMap::default();
        for (partition, campaign, count) in store.state().counters()? {
            if range.contains(&partition.number()) {
                counters.insert((partition, campaign), count);
            }
        }
        Ok(Self {
            catalogue_changes: store.catalogue().load().version(),
            range,
            store,
            meters,
            withdrawals,
            persons: Unapplied::default(),
            rows: Unapplied::default(),
            counters,
            puts: Vec::new(),
            released: Vec::new(),
            withdrawn: Vec::new(),
            catalogue: Vec::new(),
        })
    }

    /// Adds the counts of these partitions to the shared meters. Once, after recovery.
    pub(crate) fn publish_counters(&self) {
        for ((_, campaign), count) in &self.counters {
            self.meters.add(*campaign, *count);
        }
    }

    /// Returns the partitions.
    pub(crate) fn range(&self) -> &Range<u16> {
        &self.range
    }

    /// Returns a person as of the last event folded; someone unknown is a blank.
    pub(crate) fn person(&self, partition: PartitionId, key: PersonKey) -> Result<PersonState, StateError> {
        if let Some(person) = self.persons.get(&(partition, key)) {
            return Ok(person.clone());
        }
        let Some(bytes) = self.store.state().person(partition, &key)? else {
            return Ok(PersonState::default());
        };
        PersonState::decode(&bytes).map_err(|error| StateError::Malformed(format!("person {key:?}: {error}")))
    }

    /// Returns whose mail this is, or `None` if there is no such mail.
    pub(crate) fn person_of(
        &self,
        partition: PartitionId,
        message: MessageId,
    ) -> Result<Option<PersonKey>, StateError> {
        // Also of a mail that has ended: its decision may be on its way to state as well.
        if let Some(Row {
            person: Some(person), ..
        }) = self.rows.get(&(partition, message))
        {
            return Ok(Some(*person));
        }
        let stored = self.store.state().timeline(partition, message.event())?;
        Ok(stored.into_iter().find_map(|stored| match stored.event {
            Event::Decided(decided) => Some(decided.person),
            _ => None,
        }))
    }

    /// Folds one event in. What it changes is handed over by [`Fold::end_turn`].
    pub(crate) fn apply(&mut self, entry: &Entry<'_>) -> Result<(), StateError> {
        let own = entry.id;
        match entry.event {
            Event::OrderAccepted(accepted) => {
                self.claim(entry, &accepted.claims);
                self.timeline(entry, own);
                self.change_person(entry, accepted.person)
            }
            Event::MessageAccepted(accepted) => {
                self.claim(entry, &accepted.claims);
                self.timeline(entry, own);
                self.change_person(entry, accepted.person)
            }
            Event::Decided(decided) => self.decided(entry, decided),
            Event::AttemptClaimed(claimed) => self.claimed(entry, claimed),
            Event::AttemptEnded(ended) => self.ended(entry, ended),
            Event::CatalogueChanged(change) => {
                self.catalogue_changed(entry, change);
                Ok(())
            }
            Event::SuppressionChanged(changed) => {
                self.suppression(entry, changed);
                self.change_person(entry, changed.person)
            }
            Event::Unsubscribed(unsubscribed) => {
                self.timeline(entry, unsubscribed.message.event());
                let Some(person) = self.person_of(entry.partition, unsubscribed.message)? else {
                    return Ok(());
                };
                self.suppression(entry, &unsubscribed_from(person, unsubscribed));
                self.change_person(entry, person)
            }
            Event::Opened(opened) => {
                self.timeline(entry, opened.message.event());
                Ok(())
            }
            Event::Clicked(clicked) => {
                self.timeline(entry, clicked.message.event());
                Ok(())
            }
            Event::Judged(_)
            | Event::Landed(_)
            | Event::LeadDecided(_)
            | Event::LeadSettled(_)
            | Event::AggregateCounted(_)
            | Event::PreferenceChanged(_)
            | Event::PersonErased(_) => Ok(()),
        }
    }

    /// Ends the turn, whose last record stands at `position`: returns what state is to apply and forgets what it has.
    pub(crate) fn end_turn(&mut self, position: store::Position) -> Turn {
        let puts = &mut self.puts;
        self.persons.settle(position.0, |(partition, key), person| {
            person.reached(position.0);
            puts.push(Put::Person {
                partition,
                key,
                value: person.encode(),
            });
        });
        self.rows.settle(position.0, |(partition, message), row| {
            puts.push(match &row.entry {
                Some(entry) => Put::OutboxSet {
                    partition,
                    message,
                    entry: entry.clone(),
                },
                None => Put::OutboxDelete { partition, message },
            });
        });
        let first = PartitionId::new(self.range.start).unwrap_or(PartitionId::CATALOGUE);
        let applied = self.store.state().applied(first).0;
        self.persons.forget(applied);
        self.rows.forget(applied);
        Turn {
            range: self.range.clone(),
            position,
            puts: std::mem::take(&mut self.puts),
            released: std::mem::take(&mut self.released),
        }
    }

    /// Takes the mails that withdrawals of this turn reach, to be taken out of the queues.
    pub(crate) fn take_withdrawn(&mut self) -> Vec<MessageId> {
        std::mem::take(&mut self.withdrawn)
    }

    /// Takes the catalogue's changes of this turn, to be applied to the shared catalogue once they are durable.
    pub(crate) fn take_catalogue_changes(&mut self) -> Vec<(CatalogueChanged, Timestamp)> {
        std::mem::take(&mut self.catalogue)
    }

    /// Returns how many values state does not have yet.
    pub(crate) fn unapplied(&self) -> usize {
        self.persons.len() + self.rows.len()
    }

    fn decided(&mut self, entry: &Entry<'_>, decided: &Decided) -> Result<(), StateError> {
        self.timeline(entry, decided.cause);
        if let Verdict::Send(plan) = &decided.verdict {
            self.timeline(entry, plan.message.event());
            for offer in &plan.offers {
                self.count(entry.partition, offer.campaign);
            }
            let row = Row {
                entry: Some(outbox_entry(decided.cause, plan, entry.wall)),
                person: Some(decided.person),
            };
            self.rows.set((entry.partition, plan.message), row);
        }
        self.change_person(entry, decided.person)
    }

    fn claimed(&mut self, entry: &Entry<'_>, claimed: &AttemptClaimed) -> Result<(), StateError> {
        self.change_row(entry.partition, claimed.message, |row| {
            row.attempts = claimed.attempt;
            row.claimed = true;
        })?;
        Ok(())
    }

    fn ended(&mut self, entry: &Entry<'_>, ended: &AttemptEnded) -> Result<(), StateError> {
        self.timeline(entry, ended.message.event());
        if ended.outcome.is_terminal() {
            let key = (entry.partition, ended.message);
            let person = match ended.outcome {
                // Nothing about the person changes, so state need not be asked whose the mail was.
                Outcome::Delivered => self.rows.get(&key).and_then(|row| row.person),
                _ => self.person_of(entry.partition, ended.message)?,
            };
            self.rows.set(key, Row { entry: None, person });
            self.released.push(ended.message);
            return match person {
                Some(person) if ended.outcome != Outcome::Delivered => self.change_person(entry, person),
                _ => Ok(()),
            };
        }
        self.change_row(entry.partition, ended.message, |row| {
            // An end that was told late: the claim that came after it stands.
            if row.claimed && ended.attempt < row.attempts {
                return;
            }
            row.claimed = false;
            row.attempts = ended.attempt;
            if let Outcome::Deferred { until, .. } | Outcome::InDoubt { retry: Some(until) } = ended.outcome {
                row.due = until;
            }
        })?;
        Ok(())
    }

    /// Changes the outbox row of a mail. False if the mail is terminal or unknown.
    fn change_row(
        &mut self,
        partition: PartitionId,
        message: MessageId,
        change: impl FnOnce(&mut OutboxEntry),
    ) -> Result<bool, StateError> {
        let row = match self.rows.get(&(partition, message)) {
            Some(row) => row.clone(),
            None => Row {
                entry: self.store.state().outbox_entry(partition, message)?,
                person: None,
            },
        };
        let Row {
            entry: Some(mut entry),
            person,
        } = row
        else {
            return Ok(false);
        };
        change(&mut entry);
        let entry = Some(entry);
        self.rows.set((partition, message), Row { entry, person });
        Ok(true)
    }

    fn change_person(&mut self, entry: &Entry<'_>, key: PersonKey) -> Result<(), StateError> {
        let mut person = self.person(entry.partition, key)?;
        let Withdrawal { sending, tracking } = person.apply(entry.wall, entry.event);
        self.withdrawals.add(tracking);
        for message in sending {
            // Kept in the row too: the queues forget with the process, and a start must not queue the mail again.
            if self.change_row(entry.partition, message, |row| row.withdrawn = true)? {
                self.withdrawn.push(message);
            }
        }
        self.persons.set((entry.partition, key), person);
        Ok(())
    }

    fn catalogue_changed(&mut self, entry: &Entry<'_>, change: &CatalogueChanged) {
        self.catalogue_changes += 1;
        self.puts.push(Put::Catalogue {
            sequence: self.catalogue_changes,
            wall: entry.wall,
            payload: entry.payload.clone(),
        });
        self.catalogue.push((change.clone(), entry.wall));
    }

    /// Keeps the lists that are read by shop, beside what each person's own state says.
    fn suppression(&mut self, entry: &Entry<'_>, changed: &SuppressionChanged) {
        let list = changed.shop.map_or(SuppressionList::Network, SuppressionList::Shop);
        let SuppressionChanged { person, stream, .. } = *changed;
        self.puts.push(match changed.cause {
            Some(cause) => Put::SuppressionSet {
                list,
                person,
                stream,
                cause,
                at: entry.wall,
            },
            None => Put::SuppressionDelete { list, person, stream },
        });
    }

    fn claim(&mut self, entry: &Entry<'_>, claims: &[Claim]) {
        let id = PublicId {
            partition: entry.partition,
            event: entry.id,
        };
        self.puts.extend(claims.iter().map(|claim| Put::Claim {
            claim: *claim,
            id,
            at: entry.wall,
        }));
    }

    fn timeline(&mut self, entry: &Entry<'_>, object: EventId) {
        self.puts.push(Put::Timeline {
            partition: entry.partition,
            object,
            id: entry.id,
            wall: entry.wall,
            kind: entry.event.kind(),
            payload: entry.payload.clone(),
        });
    }

    fn count(&mut self, partition: PartitionId, campaign: CampaignNumber) {
        let count = self.counters.entry((partition, campaign)).or_default();
        *count += 1;
        self.puts.push(Put::Counter {
            partition,
            campaign,
            value: *count,
        });
    }
}

/// Returns the outbox row of a mail that was just decided.
fn outbox_entry(cause: EventId, plan: &Plan, decided_at: Timestamp) -> OutboxEntry {
    OutboxEntry {
        cause,
        attempts: Attempt(0),
        claimed: false,
        due: decided_at,
        expires: plan.expires,
        stream: plan.stream,
        accepted_at: cause.time(),
        withdrawn: false,
    }
}

/// Returns the list entry that an unsubscription amounts to.
fn unsubscribed_from(person: PersonKey, unsubscribed: &Unsubscribed) -> SuppressionChanged {
    SuppressionChanged {
        person,
        shop: match unsubscribed.scope {
            UnsubscribeScope::Shop => Some(unsubscribed.shop),
            UnsubscribeScope::Network => None,
        },
        stream: Some(Stream::Promotional),
        cause: Some(SuppressionCause::Unsubscribed),
    }
}

/// Returns the suppression that an outcome asks for, if any; it becomes an event of its own.
pub(crate) fn suppression_after(person: PersonKey, ended: &AttemptEnded) -> Option<SuppressionChanged> {
    policy::person::after_outcome(person, ended)
}
