//! The desk of persons: what each person may be sent, and the suppression lists that are read by shop.

use std::sync::Arc;

use policy::PersonState;
use policy::person::{Suppression, Withdrawal};
use store::state::{PersonPut, Put, SuppressionList, SuppressionPut};
use store::{StateError, Store};
use types::event::{Bearing, Event, Outcome, SuppressionCause, SuppressionChanged, UnsubscribeScope, Unsubscribed};
use types::id::{PartitionId, PersonKey};
use types::order::Stream;
use types::provider::Provider;
use types::tally::{Dimensions, Measure};
use types::time::Timestamp;
use types::withdrawals::Withdrawals;

use crate::desk::{Desk, Entry, Settled, Told};
use crate::memory::Unapplied;

/// The persons that state does not have as they are. Someone unknown is a blank.
pub(crate) struct Persons {
    store: Store,
    withdrawals: Arc<Withdrawals>,
    rows: Unapplied<(PartitionId, PersonKey), PersonState>,
    /// Changes of the lists.
    puts: Vec<Put>,
}

impl Persons {
    pub(crate) fn new(store: Store, withdrawals: Arc<Withdrawals>) -> Self {
        Self {
            store,
            withdrawals,
            rows: Unapplied::default(),
            puts: Vec::new(),
        }
    }

    /// Returns a person as of the last event folded; someone unknown is a blank.
    pub(crate) fn get(&mut self, partition: PartitionId, key: PersonKey) -> Result<&PersonState, StateError> {
        if self.rows.get(&(partition, key)).is_none() {
            let person = match self.store.state().persons().get(partition, &key)? {
                Some(bytes) => PersonState::decode(&bytes)
                    .map_err(|error| StateError::Malformed(format!("person {key:?}: {error}")))?,
                None => PersonState::default(),
            };
            self.rows.keep((partition, key), person);
        }
        Ok(self.rows.get(&(partition, key)).expect("kept just above"))
    }

    /// Folds the event into a person.
    fn change(&mut self, entry: &Entry<'_>, key: PersonKey, told: &mut Told) -> Result<(), StateError> {
        self.get(entry.partition, key)?;
        let person = self.rows.edit((entry.partition, key)).expect("read just above");
        let Withdrawal { sending, tracking } = person.apply(entry.wall, entry.event);
        self.withdrawals.add(tracking);
        told.withdrawn.extend(sending);
        Ok(())
    }

    /// Folds a changed preference in, and removes the entries of the lists that it takes back.
    fn prefer(&mut self, entry: &Entry<'_>, person: PersonKey, told: &mut Told) -> Result<(), StateError> {
        let before = self.get(entry.partition, person)?.suppressions().to_vec();
        self.change(entry, person, told)?;
        let after = self.get(entry.partition, person)?.suppressions().to_vec();
        // A list has one row for each stream, whatever the number of causes. If another cause is left, the row names that one.
        for gone in before.iter().filter(|entry| !after.contains(entry)) {
            let same = |left: &&Suppression| (left.shop, left.stream) == (gone.shop, gone.stream);
            let left = after.iter().rfind(same);
            let changed = SuppressionChanged {
                person,
                shop: gone.shop,
                stream: gone.stream,
                cause: left.map(|left| left.cause),
            };
            self.list(&changed, left.map_or(entry.wall, |left| left.at));
        }
        Ok(())
    }

    /// Changes the list of a shop, or the network's.
    fn list(&mut self, changed: &SuppressionChanged, at: Timestamp) {
        let list = changed.shop.map_or(SuppressionList::Network, SuppressionList::Shop);
        let (person, stream) = (changed.person, changed.stream);
        self.puts.push(Put::Suppression(match changed.cause {
            Some(cause) => SuppressionPut::Set {
                list,
                person,
                stream,
                cause,
                at,
            },
            None => SuppressionPut::Delete { list, person, stream },
        }));
    }
}

impl Desk for Persons {
    fn look(&mut self, entry: &Entry<'_>, told: &mut Told) -> Result<(), StateError> {
        if let Event::PersonErased(erased) = entry.event {
            told.sent = self.get(entry.partition, erased.person)?.messages().to_vec();
        }
        Ok(())
    }

    fn apply(&mut self, entry: &Entry<'_>, told: &mut Told) -> Result<(), StateError> {
        let Some(person) = concerned(entry, told) else {
            return Ok(());
        };
        match entry.event {
            Event::SuppressionChanged(changed) => {
                self.list(changed, entry.wall);
                count_complaint(changed, told);
            }
            Event::Unsubscribed(unsubscribed) => {
                self.list(&unsubscribed_from(person, unsubscribed), entry.wall);
                told.count_mail(Measure::Unsubscribes);
            }
            Event::PreferenceChanged(_) => return self.prefer(entry, person, told),
            _ => {}
        }
        self.change(entry, person, told)
    }

    fn settle(&mut self, position: u64, settled: &mut Settled) {
        settled.puts.append(&mut self.puts);
        self.rows.settle(position, |(partition, key), person| {
            person.reached(position);
            settled.puts.push(Put::Person(PersonPut {
                partition,
                key,
                value: person.encode(),
            }));
        });
    }

    fn forget(&mut self, applied: u64) {
        self.rows.forget(applied);
    }

    fn held(&self) -> usize {
        self.rows.len()
    }
}

/// Returns the person whose row the event changes, if it changes one.
fn concerned(entry: &Entry<'_>, told: &Told) -> Option<PersonKey> {
    let is_kept = match entry.event.bearing(entry.wall) {
        Bearing::Nothing => false,
        // A copy or a test of a reminder goes to the shop.
        Bearing::Decision(_) => told.is_counted(),
        // Nothing about the person changes with a delivery.
        Bearing::Outcome(ended) => ended.outcome.is_terminal() && ended.outcome != Outcome::Delivered,
        Bearing::Consent { .. } => !told.is_void,
        Bearing::Contact(_)
        | Bearing::Suppression(_)
        | Bearing::Unsubscription(_)
        | Bearing::Preference(_)
        | Bearing::Erasure { .. } => true,
    };
    let person = entry.event.about().person;
    let person = person.or_else(|| told.mail.as_ref().map(|mail| mail.person));
    person.filter(|_| is_kept)
}

/// Counts a complaint that names its shop: which of its mails it was about is not known.
fn count_complaint(changed: &SuppressionChanged, told: &mut Told) {
    let is_complaint = changed.cause == Some(SuppressionCause::Complaint);
    if let Some(shop) = changed.shop.filter(|_| is_complaint) {
        let dimensions = Dimensions::Mails {
            shop,
            stream: changed.stream.unwrap_or(Stream::Promotional),
            provider: Provider::Other,
            template: None,
        };
        told.count(dimensions, Measure::Complaints, 1);
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
