//! The desk of carts, and of the names that shops gave them.
//!
//! | file | is |
//! |---|---|
//! | `counts.rs` | what carts and their reminders count |
//! | `remind.rs` | decides on reminders that are due, and on carts that orders close |

mod counts;
mod remind;

use policy::cart::CartState;
use store::state::{CartPut, Put, TimerClass};
use store::{StateError, Store};
use types::event::{CartChanged, CartDecided, Event, Origin};
use types::id::{EventId, PartitionId, PublicId, ShopNumber};
use types::text::Line;
use types::time::Timestamp;

pub(crate) use remind::{close, due, is_open, prepare};

use crate::desk::{Desk, Entry, Settled, Told};
use crate::memory::Unapplied;
use crate::timers::{Owner, OwnerKey, Owners};

/// A shop's own id of a cart.
type CartName = (ShopNumber, Line<128>);

/// The carts and names that state does not have as they are.
pub(crate) struct Carts {
    store: Store,
    rows: Owners<CartState>,
    names: Unapplied<CartName, Option<PublicId>>,
}

impl Owner for CartState {
    const CLASS: TimerClass = TimerClass::Cart;

    fn epoch(&self) -> u32 {
        Self::epoch(self)
    }

    fn due(&self) -> Option<Timestamp> {
        self.next().map(|next| next.due)
    }

    fn encode(&self) -> Vec<u8> {
        Self::encode(self)
    }

    fn decode(bytes: &[u8]) -> Result<Self, String> {
        Self::decode(bytes).map_err(|error| error.to_string())
    }

    fn put(partition: PartitionId, cart: EventId, value: Option<Vec<u8>>) -> Put {
        Put::Cart(CartPut::Cart { partition, cart, value })
    }
}

impl Carts {
    pub(crate) fn new(store: Store) -> Self {
        Self {
            store,
            rows: Owners::default(),
            names: Unapplied::default(),
        }
    }

    /// Returns a cart as of the last event folded, or `None` if there is none.
    pub(crate) fn get(&mut self, key: OwnerKey) -> Result<Option<&CartState>, StateError> {
        let store = &self.store;
        self.rows
            .get(key, |partition, id| store.state().carts().get(partition, id))
    }

    /// Returns the cart of this partition that has this name at a shop.
    pub(crate) fn named(
        &self,
        partition: PartitionId,
        shop: ShopNumber,
        id: &Line<128>,
    ) -> Result<Option<EventId>, StateError> {
        let named = match self.names.get(&(shop, id.clone())) {
            Some(named) => *named,
            None => self.store.state().carts().named(shop, id)?,
        };
        Ok(named
            .filter(|named| named.partition == partition)
            .map(|named| named.event))
    }

    /// Forgets a name because a later record gives it to a cart of another runner's partitions. In a replay, the runners hand their turns over
    /// together, and only the runner of the last record may say where the name leads.
    pub(crate) fn leave_name(&mut self, shop: ShopNumber, id: &Line<128>) {
        self.names.drop_value(&(shop, id.clone()));
    }

    fn changed(&mut self, entry: &Entry<'_>, changed: &CartChanged, told: &mut Told) -> Result<(), StateError> {
        let id = changed.object.unwrap_or(entry.id);
        let key = (entry.partition, id);
        told.objects.push(id);
        if self.get(key)?.is_none() {
            told.about.push((changed.person, changed.shop, id));
        }
        self.rows.change(key, |cart| match cart {
            Some(cart) => cart.apply(entry.wall, entry.event),
            None => CartState::new(id, entry.wall, changed),
        });
        let name = PublicId {
            partition: entry.partition,
            event: id,
        };
        if changed.cart.is_some() {
            self.names.set((changed.shop, changed.id.clone()), Some(name));
        } else if self.named(entry.partition, changed.shop, &changed.id)? == Some(id) {
            self.names.set((changed.shop, changed.id.clone()), None);
        }
        let is_open = self.get(key)?.is_some_and(CartState::is_waiting);
        told.cart = Some((id, is_open));
        Ok(())
    }

    fn decided(&mut self, entry: &Entry<'_>, decided: &CartDecided, told: &mut Told) -> Result<(), StateError> {
        let key = (entry.partition, decided.cart);
        told.objects.push(decided.cart);
        if let Some(cart) = self.get(key)? {
            counts::count(cart, decided, told);
        }
        self.rows
            .change(key, |cart| cart.and_then(|cart| cart.apply(entry.wall, entry.event)));
        Ok(())
    }

    /// Erases a cart and its name, unless the name leads elsewhere by now.
    fn erase(&mut self, key: OwnerKey) -> Result<(), StateError> {
        let Some((shop, id)) = self.get(key)?.map(|cart| (cart.shop(), cart.id().clone())) else {
            return Ok(());
        };
        if self.named(key.0, shop, &id)? == Some(key.1) {
            self.names.set((shop, id), None);
        }
        self.rows.change(key, |_| None);
        Ok(())
    }
}

impl Desk for Carts {
    fn look(&mut self, entry: &Entry<'_>, told: &mut Told) -> Result<(), StateError> {
        match entry.event {
            Event::CartChanged(changed) => {
                let id = changed.object.unwrap_or(entry.id);
                let is_known = self.get((entry.partition, id))?.is_some();
                // Erased, or never put.
                told.is_void = !is_known && (changed.object.is_some() || changed.cart.is_none());
            }
            Event::CartDecided(decided) => told.is_void = self.get((entry.partition, decided.cart))?.is_none(),
            _ => {}
        }
        if let Some(Origin::Cart { cart, .. }) = told.origin() {
            let cart = self.get((entry.partition, *cart))?;
            told.of_origin = cart.map(counts::dimensions);
        }
        Ok(())
    }

    fn apply(&mut self, entry: &Entry<'_>, told: &mut Told) -> Result<(), StateError> {
        match entry.event {
            Event::CartChanged(changed) if !told.is_void => self.changed(entry, changed, told),
            Event::CartDecided(decided) if !told.is_void => self.decided(entry, decided, told),
            Event::PersonErased(_) => {
                for (object, _) in &told.erased {
                    self.erase((entry.partition, *object))?;
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn settle(&mut self, position: u64, settled: &mut Settled) {
        self.names.settle(position, |(shop, id), cart| {
            settled.puts.push(Put::Cart(CartPut::Name { shop, id, cart: *cart }));
        });
        self.rows.settle(position, settled);
    }

    fn forget(&mut self, applied: u64) {
        self.rows.forget(applied);
        self.names.forget(applied);
    }

    fn held(&self) -> usize {
        self.rows.len()
    }
}
