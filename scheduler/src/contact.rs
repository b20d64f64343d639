//! The desk of contacts: what each shop knows of a person.

use policy::contact::{ContactState, MailSent};
use store::state::{ContactPut, Put};
use store::{StateError, Store};
use types::event::{CartVerdict, Event, OrderAccepted, Plan, UnsubscribeScope};
use types::id::{PartitionId, PersonKey, ShopNumber};
use types::order::{Grant, OrderStatus};

use crate::desk::{Desk, Entry, Settled, Told};
use crate::memory::Unapplied;

/// Names a contact.
pub(crate) type ContactKey = (PartitionId, PersonKey, ShopNumber);

/// The contacts that state does not have as they are. One that does not exist is a blank.
pub(crate) struct Contacts {
    store: Store,
    rows: Unapplied<ContactKey, ContactState>,
}

impl Contacts {
    pub(crate) fn new(store: Store) -> Self {
        Self {
            store,
            rows: Unapplied::default(),
        }
    }

    /// Returns what a shop knows of a person as of the last event folded; a blank if it knows nothing.
    pub(crate) fn get(
        &mut self,
        partition: PartitionId,
        person: PersonKey,
        shop: ShopNumber,
    ) -> Result<&ContactState, StateError> {
        let key = (partition, person, shop);
        if self.rows.get(&key).is_none() {
            let contact = match self.store.state().contacts().get(partition, &person, shop)? {
                Some(bytes) => ContactState::decode(&bytes)
                    .map_err(|error| StateError::Malformed(format!("contact {person:?}: {error}")))?,
                None => ContactState::default(),
            };
            self.rows.keep(key, contact);
        }
        Ok(self.rows.get(&key).expect("kept just above"))
    }

    /// Returns the shops that know a person.
    pub(crate) fn shops_of(
        &mut self,
        partition: PartitionId,
        person: PersonKey,
    ) -> Result<Vec<ShopNumber>, StateError> {
        let stored = self.store.state().contacts().of_person(partition, &person)?;
        let mut shops: Vec<_> = stored.into_iter().map(|(shop, _)| shop).collect();
        let remembered = self.rows.keys().filter(|key| (key.0, key.1) == (partition, person));
        shops.extend(remembered.map(|key| key.2));
        shops.sort_unstable();
        shops.dedup();
        let mut known = Vec::new();
        for shop in shops {
            if self.get(partition, person, shop)?.exists() {
                known.push(shop);
            }
        }
        Ok(known)
    }

    /// Folds the event into a contact. Some events make the contact.
    fn fold(
        &mut self,
        entry: &Entry<'_>,
        person: PersonKey,
        shop: ShopNumber,
        told: &mut Told,
    ) -> Result<(), StateError> {
        self.change((entry.partition, person, shop), told, |contact| {
            contact.apply(entry.id, entry.wall, entry.event);
        })
    }

    /// Folds the event into a contact if it exists.
    fn fold_existing(
        &mut self,
        entry: &Entry<'_>,
        person: PersonKey,
        shop: ShopNumber,
        told: &mut Told,
    ) -> Result<(), StateError> {
        if self.get(entry.partition, person, shop)?.exists() {
            self.fold(entry, person, shop, told)?;
        }
        Ok(())
    }

    /// Folds in an event of the contact itself, such as a change of a field. It stands in the history of the contact.
    fn fold_own(
        &mut self,
        entry: &Entry<'_>,
        person: PersonKey,
        shop: ShopNumber,
        told: &mut Told,
    ) -> Result<(), StateError> {
        self.fold(entry, person, shop, told)?;
        told.objects.extend(self.get(entry.partition, person, shop)?.object());
        Ok(())
    }

    /// Folds an order in. A confirmed order makes a contact; any other order changes at most the consent of one that exists.
    fn ordered(&mut self, entry: &Entry<'_>, accepted: &OrderAccepted, told: &mut Told) -> Result<(), StateError> {
        let (person, shop) = (accepted.person, accepted.shop);
        if accepted.order.status == OrderStatus::Confirmed {
            self.fold(entry, person, shop, told)
        } else if says(accepted.order.consent.marketing.as_ref()) {
            self.fold_existing(entry, person, shop, told)
        } else {
            Ok(())
        }
    }

    /// Notes a mail that was decided.
    fn mailed(&mut self, key: ContactKey, plan: &Plan, told: &mut Told) -> Result<(), StateError> {
        if !told.is_counted() || !self.get(key.0, key.1, key.2)?.exists() {
            return Ok(());
        }
        self.change(key, told, |contact| {
            contact.sent(MailSent {
                message: plan.message,
                template: plan.template.clone(),
            });
        })
    }

    /// Notes the opens and clicks of a person, as they are judged for now.
    fn engaged(&mut self, partition: PartitionId, told: &mut Told) -> Result<(), StateError> {
        let hits: Vec<_> = told.hits.iter().copied().filter(|hit| hit.2.is_qualified()).collect();
        let mail = told.mail.as_ref().filter(|_| !hits.is_empty());
        let Some(key) = mail.map(|mail| (partition, mail.person, mail.shop)) else {
            return Ok(());
        };
        if !self.get(key.0, key.1, key.2)?.exists() {
            return Ok(());
        }
        self.change(key, told, |contact| {
            for (kind, at, _) in hits {
                contact.engaged(kind, at);
            }
        })
    }

    /// Changes a contact. A change that makes the contact also notes whom the contact is about.
    fn change(
        &mut self,
        key: ContactKey,
        told: &mut Told,
        change: impl FnOnce(&mut ContactState),
    ) -> Result<(), StateError> {
        let was = self.get(key.0, key.1, key.2)?.object();
        let contact = self.rows.edit(key).expect("read just above");
        change(contact);
        if let Some(object) = contact.object().filter(|_| was.is_none()) {
            told.about.push((key.1, key.2, object));
        }
        Ok(())
    }
}

impl Desk for Contacts {
    fn apply(&mut self, entry: &Entry<'_>, told: &mut Told) -> Result<(), StateError> {
        match entry.event {
            Event::OrderAccepted(accepted) => self.ordered(entry, accepted, told),
            Event::MessageAccepted(accepted)
                if accepted.origin.is_none() && says(accepted.request.consent.marketing.as_ref()) =>
            {
                self.fold_existing(entry, accepted.person, accepted.shop, told)
            }
            Event::Decided(decided) => match decided.plan() {
                Some(plan) => self.mailed((entry.partition, decided.person, decided.shop), plan, told),
                None => Ok(()),
            },
            Event::Unsubscribed(unsubscribed) => {
                let Some(person) = told.mail.as_ref().map(|mail| mail.person) else {
                    return Ok(());
                };
                let shops = match unsubscribed.scope {
                    UnsubscribeScope::Shop => vec![unsubscribed.shop],
                    UnsubscribeScope::Network => self.shops_of(entry.partition, person)?,
                };
                for shop in shops {
                    self.fold_existing(entry, person, shop, told)?;
                }
                Ok(())
            }
            Event::Judged(_) => self.engaged(entry.partition, told),
            Event::ContactChanged(changed) => self.fold_own(entry, changed.person, changed.shop, told),
            Event::EventReported(reported) => self.fold_own(entry, reported.person, reported.shop, told),
            Event::CartChanged(changed) if !told.is_void => {
                self.fold(entry, changed.person, changed.shop, told)?;
                let key = (entry.partition, changed.person, changed.shop);
                match told.cart {
                    Some((cart, true)) => self.change(key, told, |contact| contact.cart_touched(cart)),
                    Some((cart, false)) => self.change(key, told, |contact| contact.cart_closed(cart)),
                    None => Ok(()),
                }
            }
            Event::CartDecided(decided) if !told.is_void && matches!(decided.verdict, CartVerdict::Ordered { .. }) => {
                self.fold(entry, decided.person, decided.shop, told)
            }
            Event::Moved(moved) if !told.is_void => self.fold(entry, moved.person, moved.shop, told),
            Event::PersonErased(erased) => {
                let shops = match erased.shop {
                    Some(shop) => vec![shop],
                    None => self.shops_of(entry.partition, erased.person)?,
                };
                for shop in shops {
                    self.rows
                        .set((entry.partition, erased.person, shop), ContactState::default());
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn settle(&mut self, position: u64, settled: &mut Settled) {
        self.rows.settle(position, |(partition, person, shop), contact| {
            settled.puts.push(Put::Contact(ContactPut {
                partition,
                person,
                shop,
                value: contact.exists().then(|| contact.encode()),
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

/// Returns whether a consent or refusal counts beyond the request that it came with.
pub(crate) fn says(grant: Option<&Grant>) -> bool {
    matches!(grant, Some(Grant::Stated(_) | Grant::Bare(false)))
}
