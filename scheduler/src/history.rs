//! The desk of histories: each object's events, whom an object is about, the names that events claim, what was set aside, and erasures.
//!
//! An erasure removes from state what is about a person, and leaves what protects the person. State finds what to erase by reading its
//! rows. So an erasure comes after the other histories of its turn, and the turn writes no history of an erased object.

use std::collections::{BTreeMap, BTreeSet};

use policy::person::Sent;
use store::state::{AsidePut, ClaimPut, HistoryPut, Put};
use store::{StateError, Store};
use types::event::{Event, PersonErased};
use types::id::{EventId, PartitionId, PersonKey, PublicId, ShopNumber};

use crate::desk::{Desk, Entry, Settled, Told};
use crate::memory::Unapplied;

/// An object (an accepted event, a mail, a contact, an instance or a cart), and the person whom it is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct About {
    partition: PartitionId,
    person: PersonKey,
    shop: ShopNumber,
    object: EventId,
}

/// What the running turn adds to histories, and the relations of objects to persons that state does not have yet.
pub(crate) struct Histories {
    store: Store,
    about: Unapplied<About, ()>,
    puts: Vec<Put>,
    /// What the running turn erases.
    erased: BTreeSet<About>,
}

impl Histories {
    pub(crate) fn new(store: Store) -> Self {
        Self {
            store,
            about: Unapplied::default(),
            puts: Vec::new(),
            erased: BTreeSet::new(),
        }
    }

    /// Returns the objects that an erasure is about, with their shops: accepted events, and the events of mails. `sent` are the
    /// mails that the person got.
    pub(crate) fn erasable(
        &self,
        partition: PartitionId,
        erased: &PersonErased,
        sent: &[Sent],
    ) -> Result<BTreeMap<EventId, ShopNumber>, StateError> {
        let mut objects = self.about(partition, erased.person, sent)?;
        objects.retain(|_, shop| erased.shop.is_none_or(|own| own == *shop));
        Ok(objects)
    }

    /// Returns all objects that are about a person, with their shops.
    fn about(
        &self,
        partition: PartitionId,
        key: PersonKey,
        sent: &[Sent],
    ) -> Result<BTreeMap<EventId, ShopNumber>, StateError> {
        let stored = self.store.state().histories().about(partition, &key)?;
        let mut objects: BTreeMap<_, _> = stored.into_iter().map(|(shop, object)| (object, shop)).collect();
        let own = |about: &&About| about.partition == partition && about.person == key;
        objects.extend(self.about.keys().filter(own).map(|about| (about.object, about.shop)));
        // Mails that an earlier version decided: their histories say what caused them.
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

    fn tell(&mut self, entry: &Entry<'_>, object: EventId) {
        self.puts.push(Put::History(HistoryPut::Timeline {
            partition: entry.partition,
            object,
            id: entry.id,
            wall: entry.wall,
            kind: entry.event.kind(),
            payload: entry.payload.clone(),
        }));
    }

    fn claim(&mut self, entry: &Entry<'_>) {
        let id = PublicId {
            partition: entry.partition,
            event: entry.id,
        };
        self.puts.extend(entry.event.claims().iter().map(|claim| {
            Put::Claim(ClaimPut {
                claim: *claim,
                id,
                at: entry.wall,
            })
        }));
    }
}

impl Desk for Histories {
    fn look(&mut self, entry: &Entry<'_>, told: &mut Told) -> Result<(), StateError> {
        if let Event::PersonErased(erased) = entry.event {
            let objects = self.erasable(entry.partition, erased, &told.sent)?;
            told.erased = objects.into_iter().collect();
        }
        Ok(())
    }

    fn apply(&mut self, entry: &Entry<'_>, told: &mut Told) -> Result<(), StateError> {
        self.claim(entry);
        if let Event::SetAside(aside) = entry.event {
            self.tell(entry, aside.object);
            self.puts.push(Put::Aside(AsidePut {
                partition: entry.partition,
                id: entry.id,
                event: Box::new((**aside).clone()),
            }));
        }
        for object in &told.objects {
            self.tell(entry, *object);
        }
        for (person, shop, object) in &told.about {
            let about = About {
                partition: entry.partition,
                person: *person,
                shop: *shop,
                object: *object,
            };
            self.about.set(about, ());
        }
        if let Event::PersonErased(erased) = entry.event {
            self.erased.extend(told.erased.iter().map(|(object, shop)| About {
                partition: entry.partition,
                person: erased.person,
                shop: *shop,
                object: *object,
            }));
        }
        Ok(())
    }

    fn settle(&mut self, position: u64, settled: &mut Settled) {
        let puts = &mut self.puts;
        self.about.settle(position, |about, ()| {
            let About {
                partition,
                person,
                shop,
                object,
            } = about;
            puts.push(Put::History(HistoryPut::About {
                partition,
                person,
                shop,
                object,
            }));
        });
        if !self.erased.is_empty() {
            let erased: BTreeSet<_> = self
                .erased
                .iter()
                .map(|about| (about.partition, about.object))
                .collect();
            puts.retain(|put| match put {
                Put::History(
                    HistoryPut::Timeline { partition, object, .. } | HistoryPut::About { partition, object, .. },
                ) => !erased.contains(&(*partition, *object)),
                _ => true,
            });
        }
        settled.puts.append(puts);
        settled
            .puts
            .extend(std::mem::take(&mut self.erased).into_iter().map(|about| {
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

    fn forget(&mut self, applied: u64) {
        self.about.forget(applied);
    }
}
