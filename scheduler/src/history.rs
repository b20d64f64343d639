//! Erasures: what is about a person leaves state, what protects the person stays. Contacts, instances and carts go with their names;
//! a timer of theirs finds nothing when it surfaces.
//!
//! State erases by reading what was written, so an erasure comes after all else of its turn, and what the same turn would still
//! write of an erased object is left out.

use std::collections::{BTreeMap, BTreeSet};

use policy::hits::MailState;
use store::StateError;
use store::state::{HistoryPut, Put};
use types::event::{Event, PersonErased};
use types::id::{EventId, MessageId, PartitionId, PersonKey, ShopNumber};

use super::steps::counts;
use super::{Entry, Fold};

/// An accepted event, a mail, a contact, an instance or a cart is about a person.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct About {
    pub(super) partition: PartitionId,
    pub(super) person: PersonKey,
    pub(super) shop: ShopNumber,
    pub(super) object: EventId,
}

/// What the running turn erases.
#[derive(Debug, Default)]
pub(super) struct Erasure(BTreeSet<About>);

impl About {
    pub(super) fn put(self) -> HistoryPut {
        let Self {
            partition,
            person,
            shop,
            object,
        } = self;
        HistoryPut::About {
            partition,
            person,
            shop,
            object,
        }
    }
}

impl Erasure {
    /// Ends the turn: leaves out what it would still write of erased objects, and erases the rest.
    pub(super) fn settle(&mut self, puts: &mut Vec<Put>) {
        if self.0.is_empty() {
            return;
        }
        let erased: BTreeSet<_> = self.0.iter().map(|about| (about.partition, about.object)).collect();
        puts.retain(|put| match put {
            Put::History(
                HistoryPut::Timeline { partition, object, .. } | HistoryPut::About { partition, object, .. },
            ) => !erased.contains(&(*partition, *object)),
            _ => true,
        });
        puts.extend(std::mem::take(&mut self.0).into_iter().map(|about| {
            let About {
                partition,
                person,
                shop,
                object,
            } = about;
            Put::History(HistoryPut::Erase {
                partition,
                person,
                shop,
                object,
            })
        }));
    }
}

impl Fold {
    pub(super) fn erased(&mut self, entry: &Entry<'_>, erased: &PersonErased) -> Result<(), StateError> {
        for (object, shop) in self.erasable(entry.partition, erased)? {
            self.erasure.0.insert(About {
                partition: entry.partition,
                person: erased.person,
                shop,
                object,
            });
            // What it is is told by the row that it has: that of a mail, of an instance or of a cart. Accepted events have none.
            self.withdraw_from_shop(entry.partition, MessageId::new(object))?;
            self.change_mail(entry.partition, MessageId::new(object), MailState::forget)?;
            self.erase_instance(entry, (entry.partition, object))?;
            self.erase_cart((entry.partition, object))?;
        }
        let shops = match erased.shop {
            Some(shop) => vec![shop],
            None => self.shops_of(entry.partition, erased.person)?,
        };
        for shop in shops {
            self.erase_contact(entry.partition, erased.person, shop);
        }
        // Queued mails are withdrawn with the person's own state, which knows them.
        self.change_person(entry, erased.person)
    }

    /// Withdraws a queued copy or test of a reminder. It goes to the shop, so the person's own state does not know it; but it shows the
    /// person's cart.
    fn withdraw_from_shop(&mut self, partition: PartitionId, message: MessageId) -> Result<(), StateError> {
        let to_shop = self.mail(partition, message)?.is_some_and(|mail| !counts(mail));
        if to_shop && self.change_row(partition, message, |row| row.withdrawn = true)? {
            self.withdrawn.push(message);
        }
        Ok(())
    }

    /// Returns the objects that an erasure is about, with their shops: accepted events, and the events of mails.
    pub(crate) fn erasable(
        &mut self,
        partition: PartitionId,
        erased: &PersonErased,
    ) -> Result<BTreeMap<EventId, ShopNumber>, StateError> {
        let mut objects = self.about(partition, erased.person)?;
        objects.retain(|_, shop| erased.shop.is_none_or(|own| own == *shop));
        Ok(objects)
    }

    /// Returns all objects that are about a person, with their shops.
    fn about(&mut self, partition: PartitionId, key: PersonKey) -> Result<BTreeMap<EventId, ShopNumber>, StateError> {
        let stored = self.store.state().histories().about(partition, &key)?;
        let mut objects: BTreeMap<_, _> = stored.into_iter().map(|(shop, object)| (object, shop)).collect();
        let own = |about: &&About| about.partition == partition && about.person == key;
        objects.extend(self.about.keys().filter(own).map(|about| (about.object, about.shop)));
        // Mails that an earlier version decided: their histories say what caused them.
        let sent = self.person(partition, key)?.messages().to_vec();
        for sent in sent {
            let message = sent.message.event();
            if objects.insert(message, sent.shop).is_none() {
                let history = self.store.state().histories().of(partition, message)?;
                objects.extend(history.into_iter().find_map(|stored| match stored.event {
                    Event::Decided(decided) => Some((decided.cause, decided.shop)),
                    _ => None,
                }));
            }
        }
        Ok(objects)
    }
}
