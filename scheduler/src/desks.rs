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
//! | `contacts.rs` | what shops know of persons |
//! | `instances.rs`, `carts.rs`, `armed.rs` | ways through workflows, carts, and the timers of both |
//! | `steps.rs` | what these count |
//! | `suppressions.rs` | the lists that are read by shop |
//! | `erasure.rs` | erasures |
//! | `dues.rs` | which mails are to be judged |

mod armed;
mod carts;
mod cells;
mod contacts;
mod dues;
mod erasure;
mod instances;
mod leads;
mod mails;
mod outbox;
mod steps;
mod suppressions;

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use foldhash::fast::FixedState;
use policy::PersonState;
use policy::cart::CartState;
use policy::hits::MailState;
use policy::person::Withdrawal;
use policy::workflow::Instance;
use store::state::{
    CataloguePut, ClaimPut, CounterPut, HistoryPut, OutboxEntry, OutboxPut, PersonPut, Put, Turn, WorkflowPut,
};
use store::{StateError, Store};
use types::address::VisitorKeyer;
use types::event::{AttemptEnded, CatalogueChanged, Claim, Decided, Event, SuppressionChanged};
use types::id::{CampaignNumber, EventId, MessageId, PartitionId, PersonKey, PublicId};
use types::time::Timestamp;
use types::withdrawals::Withdrawals;

use crate::memory::Unapplied;
use crate::meters::Meters;
use crate::timers::Timers;
pub(crate) use armed::Armed;
use armed::Owners;
use carts::CartNames;
use cells::Cells;
use contacts::Contacts;
pub(crate) use contacts::says;
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
    contacts: Contacts,
    instances: Owners<Instance>,
    carts: Owners<CartState>,
    cart_names: CartNames,
    /// The timers of instances and carts that are due soon.
    pub(crate) timers: Timers,
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
    /// The position of the last turn: all records of these partitions so far are in it or in earlier ones.
    last: store::Position,
    /// Timers armed since this was last asked.
    armed: Armed,
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
        for (partition, campaign, count) in store.state().counters().all()? {
            if range.contains(&partition.number()) {
                counters.insert((partition, campaign), count);
            }
        }
        let timers = Timers::new(&range);
        let partitions = range.clone().filter_map(PartitionId::new);
        let last = partitions.map(|partition| store.state().applied(partition)).max();
        let last = last.unwrap_or(store::Position(0));
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
            contacts: Contacts::default(),
            instances: Owners::default(),
            carts: Owners::default(),
            cart_names: CartNames::default(),
            timers,
            about: Unapplied::default(),
            cells: Cells::default(),
            counters,
            causes: HashMap::default(),
            puts: Vec::new(),
            erasure: Erasure::default(),
            released: Vec::new(),
            withdrawn: Vec::new(),
            catalogue: Vec::new(),
            last,
            armed: Armed::default(),
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
            let person = match self.store.state().persons().get(partition, &key)? {
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
                self.contact_ordered(entry, accepted)?;
                self.accepted(
                    entry,
                    accepted.shop,
                    accepted.person,
                    Cause::order(entry.wall, accepted),
                )
            }
            Event::MessageAccepted(accepted) => {
                self.claim(entry, &accepted.claims);
                self.contact_messaged(entry, accepted)?;
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
            Event::ContactChanged(changed) => {
                self.contact_told(entry, changed.person, changed.shop)?;
                self.change_person(entry, changed.person)
            }
            Event::EventReported(reported) => {
                self.claim(entry, &reported.claims);
                self.contact_told(entry, reported.person, reported.shop)
            }
            Event::CartChanged(changed) => self.cart_changed(entry, changed),
            Event::CartDecided(decided) => self.cart_decided(entry, decided),
            Event::Moved(moved) => self.moved(entry, moved),
            // What it made its instance do is a record of its own.
            Event::WebhookEnded(_) => Ok(()),
            Event::Swept(swept) => {
                self.puts.push(Put::Workflow(WorkflowPut::Swept {
                    partition: entry.partition,
                    workflow: swept.workflow,
                    activation: swept.activation,
                }));
                Ok(())
            }
            Event::SetAside(aside) => {
                self.set_aside(entry, aside);
                Ok(())
            }
        }
    }

    /// Ends the turn, whose last record stands at `position`: returns what state is to apply and forgets what it has.
    pub(crate) fn end_turn(&mut self, position: store::Position) -> Turn {
        let puts = &mut self.puts;
        self.persons.settle(position.0, |(partition, key), person| {
            person.reached(position.0);
            puts.push(Put::Person(PersonPut {
                partition,
                key,
                value: person.encode(),
            }));
        });
        self.rows.settle(position.0, |(partition, message), row| {
            puts.push(match row {
                Some(entry) => Put::Outbox(OutboxPut::Set {
                    partition,
                    message,
                    entry: entry.clone(),
                }),
                None => Put::Outbox(OutboxPut::Delete { partition, message }),
            });
        });
        self.about
            .settle(position.0, |about, ()| puts.push(Put::History(about.put())));
        self.mails.settle(position.0, puts);
        self.leads.settle(position.0, puts);
        self.contacts.settle(position.0, puts);
        carts::settle_names(&mut self.cart_names, position.0, puts);
        // Rows of timers that surfaced were deleted before: an owner may be armed anew for the same instant.
        self.armed.workflows += self.instances.settle(position.0, &mut self.timers, puts);
        self.armed.carts += self.carts.settle(position.0, &mut self.timers, puts);
        self.cells.settle(position.0, puts);
        // Nothing is in the way of these: what they erase was written by earlier turns, or left out of this one.
        self.erasure.settle(puts);
        self.causes.clear();
        self.last = position;
        self.forget();
        Turn {
            range: self.range.clone(),
            position,
            puts: std::mem::take(&mut self.puts),
            released: std::mem::take(&mut self.released),
        }
    }

    /// Ends a turn without a record: returns what state is to apply, such as rows of timers that are gone; `None` if that is nothing.
    pub(crate) fn end_idle_turn(&mut self) -> Option<Turn> {
        (!self.puts.is_empty()).then(|| self.end_turn(self.last))
    }

    /// Returns the position of the last turn.
    pub(crate) fn last_position(&self) -> u64 {
        self.last.0
    }

    /// Takes how many timers were armed.
    pub(crate) fn take_armed(&mut self) -> Armed {
        std::mem::take(&mut self.armed)
    }

    /// Reads a page of timers into the window, if it needs one. Returns whether it did.
    pub(crate) fn load_timers(&mut self, now: Timestamp) -> Result<bool, StateError> {
        // Read before the page is, so that the page has all that is said to be applied.
        let applied = self.applied();
        self.timers.forget(applied);
        let state = self.store.state();
        self.timers.load(now, |slot, from, until, limit| {
            state.timers().due_from(slot, from, until, limit)
        })
    }

    /// Forgets what state has. At the end of each turn, also of one that changed nothing.
    pub(crate) fn forget(&mut self) {
        let applied = self.applied();
        self.persons.forget(applied);
        self.rows.forget(applied);
        self.about.forget(applied);
        self.mails.forget(applied);
        self.leads.forget(applied);
        self.contacts.forget(applied);
        self.instances.forget(applied);
        self.carts.forget(applied);
        self.cart_names.forget(applied);
        self.timers.forget(applied);
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
        let owners = self.contacts.len() + self.instances.len() + self.carts.len();
        self.persons.len() + self.rows.len() + self.mails.len() + owners
    }

    /// Returns the position up to which state has all of these partitions. They stand apart after a start with fewer runners: each
    /// of the last run had come as far as it had.
    pub(crate) fn applied(&self) -> u64 {
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
        if let Some(plan) = decided.plan() {
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
            self.contact_mailed(entry.partition, decided.person, decided.shop, plan)?;
        }
        let is_counted = cause.as_ref().is_none_or(Cause::is_counted);
        self.count_accepted(entry, decided, cause)?;
        if is_counted {
            self.change_person(entry, decided.person)?;
        }
        Ok(())
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
        self.puts.push(Put::Catalogue(CataloguePut {
            sequence: self.catalogue_changes,
            wall: entry.wall,
            payload: entry.payload.clone(),
        }));
        self.catalogue.push((change.clone(), entry.wall));
    }

    fn claim(&mut self, entry: &Entry<'_>, claims: &[Claim]) {
        let id = PublicId {
            partition: entry.partition,
            event: entry.id,
        };
        self.puts.extend(claims.iter().map(|claim| {
            Put::Claim(ClaimPut {
                claim: *claim,
                id,
                at: entry.wall,
            })
        }));
    }

    fn timeline(&mut self, entry: &Entry<'_>, object: EventId) {
        self.puts.push(Put::History(HistoryPut::Timeline {
            partition: entry.partition,
            object,
            id: entry.id,
            wall: entry.wall,
            kind: entry.event.kind(),
            payload: entry.payload.clone(),
        }));
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
        self.puts.push(Put::Counter(CounterPut {
            partition,
            campaign,
            value: *count,
        }));
    }
}

/// Returns the suppression that an outcome asks for, if any; it becomes an event of its own.
pub(crate) fn suppression_after(person: PersonKey, ended: &AttemptEnded) -> Option<SuppressionChanged> {
    policy::person::after_outcome(person, ended)
}
