//! Contacts: what each shop knows of a person.

use policy::contact::{ContactState, MailSent};
use store::StateError;
use store::state::{ContactPut, Put};
use types::event::{HitClass, HitKind, Judged, MessageAccepted, OrderAccepted, Plan, UnsubscribeScope, Unsubscribed};
use types::id::{EventId, MessageId, PartitionId, PersonKey, ShopNumber};
use types::order::{Grant, OrderStatus};
use types::time::Timestamp;

use super::erasure::About;
use super::steps::counts;
use super::{Entry, Fold};
use crate::memory::Unapplied;

/// Names a contact.
pub(crate) type ContactKey = (PartitionId, PersonKey, ShopNumber);

/// The contacts that state does not have as they are. One that does not exist is a blank.
#[derive(Debug, Default)]
pub(super) struct Contacts(Unapplied<ContactKey, ContactState>);

impl Contacts {
    /// Ends the turn: hands over each changed contact.
    pub(super) fn settle(&mut self, position: u64, puts: &mut Vec<Put>) {
        self.0.settle(position, |(partition, person, shop), contact| {
            puts.push(Put::Contact(ContactPut {
                partition,
                person,
                shop,
                value: contact.exists().then(|| contact.encode()),
            }));
        });
    }

    pub(super) fn forget(&mut self, applied: u64) {
        self.0.forget(applied);
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }
}

impl Fold {
    /// Returns what a shop knows of a person as of the last event folded: a blank, if nothing.
    pub(crate) fn contact(
        &mut self,
        partition: PartitionId,
        person: PersonKey,
        shop: ShopNumber,
    ) -> Result<&ContactState, StateError> {
        let key = (partition, person, shop);
        if self.contacts.0.get(&key).is_none() {
            let contact = match self.store.state().contacts().get(partition, &person, shop)? {
                Some(bytes) => decode(&bytes, person)?,
                None => ContactState::default(),
            };
            self.contacts.0.keep(key, contact);
        }
        Ok(self.contacts.0.get(&key).expect("kept just above"))
    }

    /// Returns the shops that know a person.
    pub(crate) fn shops_of(
        &mut self,
        partition: PartitionId,
        person: PersonKey,
    ) -> Result<Vec<ShopNumber>, StateError> {
        let stored = self.store.state().contacts().of_person(partition, &person)?;
        let mut shops: Vec<_> = stored.into_iter().map(|(shop, _)| shop).collect();
        let remembered = self
            .contacts
            .0
            .keys()
            .filter(|key| (key.0, key.1) == (partition, person));
        shops.extend(remembered.map(|key| key.2));
        shops.sort_unstable();
        shops.dedup();
        let mut known = Vec::new();
        for shop in shops {
            if self.contact(partition, person, shop)?.exists() {
                known.push(shop);
            }
        }
        Ok(known)
    }

    /// Tells something of the contact that is its own, such as a change of a field: under the event that made it.
    pub(super) fn contact_told(
        &mut self,
        entry: &Entry<'_>,
        person: PersonKey,
        shop: ShopNumber,
    ) -> Result<(), StateError> {
        self.fold_contact(entry, person, shop)?;
        if let Some(object) = self.contact(entry.partition, person, shop)?.object() {
            self.timeline(entry, object);
        }
        Ok(())
    }

    /// Folds an event into the contact, which it makes if it is one that does.
    pub(super) fn fold_contact(
        &mut self,
        entry: &Entry<'_>,
        person: PersonKey,
        shop: ShopNumber,
    ) -> Result<(), StateError> {
        self.change_contact(entry.partition, person, shop, |contact| {
            contact.apply(entry.id, entry.wall, entry.event);
        })
    }

    /// Folds an order in: a confirmed one makes a contact, any other says at most what was agreed to.
    pub(super) fn contact_ordered(&mut self, entry: &Entry<'_>, accepted: &OrderAccepted) -> Result<(), StateError> {
        if accepted.order.status == OrderStatus::Confirmed {
            self.fold_contact(entry, accepted.person, accepted.shop)?;
        } else if says(accepted.order.consent.marketing.as_ref()) {
            self.fold_existing(entry, accepted.person, accepted.shop)?;
        }
        Ok(())
    }

    /// Folds a plain message in, if it says what was agreed to.
    pub(super) fn contact_messaged(&mut self, entry: &Entry<'_>, accepted: &MessageAccepted) -> Result<(), StateError> {
        if accepted.origin.is_none() && says(accepted.request.consent.marketing.as_ref()) {
            self.fold_existing(entry, accepted.person, accepted.shop)?;
        }
        Ok(())
    }

    pub(super) fn contact_unsubscribed(
        &mut self,
        entry: &Entry<'_>,
        person: PersonKey,
        unsubscribed: &Unsubscribed,
    ) -> Result<(), StateError> {
        let shops = match unsubscribed.scope {
            UnsubscribeScope::Shop => vec![unsubscribed.shop],
            UnsubscribeScope::Network => self.shops_of(entry.partition, person)?,
        };
        for shop in shops {
            self.fold_existing(entry, person, shop)?;
        }
        Ok(())
    }

    /// Notes a mail that was decided.
    pub(super) fn contact_mailed(
        &mut self,
        partition: PartitionId,
        person: PersonKey,
        shop: ShopNumber,
        plan: &Plan,
    ) -> Result<(), StateError> {
        let counted = self.mail(partition, plan.message)?.is_some_and(counts);
        if !counted || !self.contact(partition, person, shop)?.exists() {
            return Ok(());
        }
        self.change_contact(partition, person, shop, |contact| {
            contact.sent(MailSent {
                message: plan.message,
                template: plan.template.clone(),
            });
        })
    }

    /// Notes what a person did with a mail, as it is judged for now.
    pub(super) fn contact_engaged(&mut self, entry: &Entry<'_>, judged: &Judged) -> Result<(), StateError> {
        let hits = self.judged_hits(entry.partition, judged.message, judged)?;
        let hits: Vec<_> = hits.into_iter().filter(|hit| hit.2.is_qualified()).collect();
        let Some(mail) = self.mail(entry.partition, judged.message)?.filter(|_| !hits.is_empty()) else {
            return Ok(());
        };
        let (person, shop) = (*mail.person(), mail.shop());
        if !self.contact(entry.partition, person, shop)?.exists() {
            return Ok(());
        }
        self.change_contact(entry.partition, person, shop, |contact| {
            for (kind, at, _) in hits {
                contact.engaged(kind, at);
            }
        })
    }

    /// Returns the opens and clicks of real visits that a verdict is about, with their time and class.
    pub(crate) fn judged_hits(
        &mut self,
        partition: PartitionId,
        message: MessageId,
        judged: &Judged,
    ) -> Result<Vec<(HitKind, Timestamp, HitClass)>, StateError> {
        let Some(mail) = self.mail(partition, message)? else {
            return Ok(Vec::new());
        };
        let hits = judged.hits.iter().filter_map(|verdict| {
            let (hit, _) = mail.hits().find(|(hit, _)| hit.id == verdict.hit)?;
            Some((hit.kind, hit.at, verdict.class))
        });
        Ok(hits.collect())
    }

    /// Erases what a shop, or every shop, knows of a person. What it names is erased by the caller.
    pub(super) fn erase_contact(&mut self, partition: PartitionId, person: PersonKey, shop: ShopNumber) {
        self.contacts.0.set((partition, person, shop), ContactState::default());
    }

    fn fold_existing(&mut self, entry: &Entry<'_>, person: PersonKey, shop: ShopNumber) -> Result<(), StateError> {
        if self.contact(entry.partition, person, shop)?.exists() {
            self.fold_contact(entry, person, shop)?;
        }
        Ok(())
    }

    /// Changes a contact. What makes it exist also notes whom it is about.
    pub(super) fn change_contact(
        &mut self,
        partition: PartitionId,
        person: PersonKey,
        shop: ShopNumber,
        change: impl FnOnce(&mut ContactState),
    ) -> Result<(), StateError> {
        let was = self.contact(partition, person, shop)?.object();
        let contact = self
            .contacts
            .0
            .edit((partition, person, shop))
            .expect("read just above");
        change(contact);
        if let Some(object) = contact.object().filter(|_| was.is_none()) {
            self.note_about(partition, person, shop, object);
        }
        Ok(())
    }

    /// Notes that an object is about a person.
    pub(super) fn note_about(&mut self, partition: PartitionId, person: PersonKey, shop: ShopNumber, object: EventId) {
        let about = About {
            partition,
            person,
            shop,
            object,
        };
        self.about.set(about, ());
    }
}

/// Returns whether something that was agreed to, or refused, concerns more than the request that it came with.
pub(crate) fn says(grant: Option<&Grant>) -> bool {
    matches!(grant, Some(Grant::Stated(_) | Grant::Bare(false)))
}

fn decode(bytes: &[u8], person: PersonKey) -> Result<ContactState, StateError> {
    ContactState::decode(bytes).map_err(|error| StateError::Malformed(format!("contact {person:?}: {error}")))
}
