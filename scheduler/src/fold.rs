//! The fold: what each event changes in state. The same for events that happen and events that are replayed.
//!
//! Whatever an event changes follows from the event and from what was folded before it, never from the clock, the catalogue or
//! chance. So a replay from any earlier state makes the same rows.
//!
//! | file | folds |
//! |---|---|
//! | `outbox.rs` | mails until they end |
//! | `mails.rs` | mails after that: opens, clicks, verdicts, landings |
//! | `leads.rs` | first visits and leads |
//! | `cells.rs` | statistics |
//! | `suppressions.rs` | the lists that are read by shop |
//! | `erasure.rs` | erasures |
//! | `dues.rs` | which mails are to be judged |

mod cells;
mod dues;
mod erasure;
mod leads;
mod mails;
mod outbox;
mod suppressions;

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use foldhash::fast::FixedState;
use policy::PersonState;
use policy::hits::MailState;
use policy::person::Withdrawal;
use store::state::{OutboxEntry, Put, Turn};
use store::{StateError, Store};
use types::address::VisitorKeyer;
use types::event::{AttemptEnded, CatalogueChanged, Claim, Decided, Event, SuppressionChanged, Verdict};
use types::id::{CampaignNumber, EventId, MessageId, PartitionId, PersonKey, PublicId};
use types::time::Timestamp;
use types::withdrawals::Withdrawals;

use crate::memory::Unapplied;
use crate::meters::Meters;
use cells::Cells;
use erasure::{About, Erasure};
use leads::Leads;
use mails::{Cause, Mails};

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

/// The state of a range of partitions: on disk as far as applied, in memory from there.
pub(crate) struct Fold {
    range: Range<u16>,
    store: Store,
    meters: Arc<Meters>,
    withdrawals: Arc<Withdrawals>,
    visitors: VisitorKeyer,
    persons: Unapplied<(PartitionId, PersonKey), PersonState>,
    /// Outbox rows; `None` once the mail is terminal.
    rows: Unapplied<(PartitionId, MessageId), Option<OutboxEntry>>,
    mails: Mails,
    leads: Leads,
    about: Unapplied<About, ()>,
    cells: Cells,
    counters: HashMap<(PartitionId, CampaignNumber), u64, FixedState>,
    /// What was accepted in this turn, until it is decided.
    causes: HashMap<EventId, Cause, FixedState>,
    catalogue_changes: u64,
    puts: Vec<Put>,
    erasure: Erasure,
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
            visitors: store.secrets().visitor_keyer(),
            range,
            store,
            meters,
            withdrawals,
            persons: Unapplied::default(),
            rows: Unapplied::default(),
            mails: Mails::default(),
            leads: Leads::default(),
            about: Unapplied::default(),
            cells: Cells::default(),
            counters,
            causes: HashMap::default(),
            puts: Vec::new(),
            erasure: Erasure::default(),
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
    pub(crate) fn person(&mut self, partition: PartitionId, key: PersonKey) -> Result<&PersonState, StateError> {
        if self.persons.get(&(partition, key)).is_none() {
            let person = match self.store.state().person(partition, &key)? {
                Some(bytes) => PersonState::decode(&bytes)
                    .map_err(|error| StateError::Malformed(format!("person {key:?}: {error}")))?,
                None => PersonState::default(),
            };
            self.persons.keep((partition, key), person);
        }
        Ok(self.persons.get(&(partition, key)).expect("kept just above"))
    }

    /// Folds one event in. What it changes is handed over by [`Fold::end_turn`].
    pub(crate) fn apply(&mut self, entry: &Entry<'_>) -> Result<(), StateError> {
        match entry.event {
            Event::OrderAccepted(accepted) => {
                self.claim(entry, &accepted.claims);
                self.accepted(
                    entry,
                    accepted.shop,
                    accepted.person,
                    Cause::order(entry.wall, accepted),
                )
            }
            Event::MessageAccepted(accepted) => {
                self.claim(entry, &accepted.claims);
                let cause = Cause::message(entry.wall, accepted);
                self.accepted(entry, accepted.shop, accepted.person, cause)
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
                self.count_complaint(entry, changed)?;
                self.change_person(entry, changed.person)
            }
            Event::Unsubscribed(unsubscribed) => self.unsubscribed(entry, unsubscribed),
            Event::Opened(opened) => self.opened(entry, opened),
            Event::Clicked(clicked) => self.clicked(entry, clicked),
            Event::Judged(judged) => self.judged(entry, judged),
            Event::Landed(landed) => self.landed(entry, landed),
            Event::LeadDecided(decided) => self.lead_decided(entry, decided),
            Event::LeadSettled(settled) => self.lead_settled(entry, settled),
            Event::AggregateCounted(counted) => self.aggregate(entry, counted),
            Event::PreferenceChanged(changed) => self.preference(entry, changed),
            Event::PersonErased(erased) => self.erased(entry, erased),
            // Nothing accepts or causes these yet.
            Event::ContactChanged(_)
            | Event::EventReported(_)
            | Event::CartChanged(_)
            | Event::CartDecided(_)
            | Event::Moved(_)
            | Event::WebhookEnded(_)
            | Event::Swept(_)
            | Event::SetAside(_) => Ok(()),
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
            puts.push(match row {
                Some(entry) => Put::OutboxSet {
                    partition,
                    message,
                    entry: entry.clone(),
                },
                None => Put::OutboxDelete { partition, message },
            });
        });
        self.about
            .settle(position.0, |about, ()| puts.push(Put::Tracked(about.put())));
        self.mails.settle(position.0, puts);
        self.leads.settle(position.0, puts);
        self.cells.settle(position.0, puts);
        // Nothing is in the way of these: what they erase was written by earlier turns, or left out of this one.
        self.erasure.settle(puts);
        self.causes.clear();
        self.forget();
        Turn {
            range: self.range.clone(),
            position,
            puts: std::mem::take(&mut self.puts),
            released: std::mem::take(&mut self.released),
        }
    }

    /// Forgets what state has. At the end of each turn, also of one that changed nothing.
    pub(crate) fn forget(&mut self) {
        let applied = self.applied();
        self.persons.forget(applied);
        self.rows.forget(applied);
        self.about.forget(applied);
        self.mails.forget(applied);
        self.leads.forget(applied);
        self.cells.forget(applied);
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
        self.persons.len() + self.rows.len() + self.mails.len()
    }

    /// Returns the position up to which state has all of these partitions. They stand apart after a start with fewer runners: each
    /// of the last run had come as far as it had.
    fn applied(&self) -> u64 {
        let partitions = self.range.clone().filter_map(PartitionId::new);
        let applied = partitions.map(|partition| self.store.state().applied(partition).0);
        applied.min().unwrap_or_default()
    }

    fn accepted(
        &mut self,
        entry: &Entry<'_>,
        shop: types::id::ShopNumber,
        person: PersonKey,
        cause: Cause,
    ) -> Result<(), StateError> {
        self.timeline(entry, entry.id);
        self.about.set(
            About {
                partition: entry.partition,
                person,
                shop,
                object: entry.id,
            },
            (),
        );
        self.causes.insert(entry.id, cause);
        self.change_person(entry, person)
    }

    fn decided(&mut self, entry: &Entry<'_>, decided: &Decided) -> Result<(), StateError> {
        self.timeline(entry, decided.cause);
        let cause = self.causes.remove(&decided.cause);
        if let Verdict::Send(plan) = &decided.verdict {
            self.timeline(entry, plan.message.event());
            self.about.set(
                About {
                    partition: entry.partition,
                    person: decided.person,
                    shop: decided.shop,
                    object: plan.message.event(),
                },
                (),
            );
            for offer in &plan.offers {
                self.count_selection(entry.partition, offer.campaign);
            }
            self.queue(entry.partition, decided.cause, plan, entry.wall);
            self.start_mail(entry, decided, plan, cause.as_ref())?;
        }
        self.count_accepted(entry, decided, cause)?;
        self.change_person(entry, decided.person)
    }

    fn change_person(&mut self, entry: &Entry<'_>, key: PersonKey) -> Result<(), StateError> {
        self.person(entry.partition, key)?;
        let person = self.persons.edit((entry.partition, key)).expect("read just above");
        let Withdrawal { sending, tracking } = person.apply(entry.wall, entry.event);
        self.withdrawals.add(tracking);
        for message in sending {
            // Kept in the row too: the queues forget with the process, and a start must not queue the mail again.
            if self.change_row(entry.partition, message, |row| row.withdrawn = true)? {
                self.withdrawn.push(message);
            }
        }
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

    /// Adds to a mail's history, unless the mail is erased.
    fn timeline_of_mail(&mut self, entry: &Entry<'_>, message: MessageId) -> Result<(), StateError> {
        let erased = self
            .mail(entry.partition, message)?
            .is_some_and(MailState::is_forgotten);
        if !erased {
            self.timeline(entry, message.event());
        }
        Ok(())
    }

    /// Counts that a mail shows a campaign, for soft budget pacing.
    fn count_selection(&mut self, partition: PartitionId, campaign: CampaignNumber) {
        let count = self.counters.entry((partition, campaign)).or_default();
        *count += 1;
        self.puts.push(Put::Counter {
            partition,
            campaign,
            value: *count,
        });
    }
}

/// Returns the suppression that an outcome asks for, if any; it becomes an event of its own.
pub(crate) fn suppression_after(person: PersonKey, ended: &AttemptEnded) -> Option<SuppressionChanged> {
    policy::person::after_outcome(person, ended)
}
