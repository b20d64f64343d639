//! Carts, and the names that shops gave them.

use policy::cart::CartState;
use store::StateError;
use store::state::{CartPut, Put, TimerClass};
use types::event::{CartChanged, CartDecided, CartVerdict};
use types::id::{EventId, PartitionId, PublicId, ShopNumber};
use types::order::Consent;
use types::text::Line;
use types::time::Timestamp;

use super::armed::{Owner, OwnerKey};
use super::{Entry, Fold};
use crate::memory::Unapplied;

/// A shop's own id of a cart.
type CartName = (ShopNumber, Line<128>);

/// The names that state does not have as they are.
pub(super) type CartNames = Unapplied<CartName, Option<PublicId>>;

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

/// Hands over the names that changed.
pub(super) fn settle_names(names: &mut CartNames, position: u64, puts: &mut Vec<Put>) {
    names.settle(position, |(shop, id), cart| {
        puts.push(Put::Cart(CartPut::Name { shop, id, cart: *cart }));
    });
}

impl Fold {
    /// Returns a cart as of the last event folded, or `None` if there is none.
    pub(crate) fn cart(&mut self, key: OwnerKey) -> Result<Option<&CartState>, StateError> {
        let store = &self.store;
        self.carts
            .get(key, |partition, id| store.state().carts().get(partition, id))
    }

    /// Returns the cart of this partition that a shop calls so.
    pub(crate) fn cart_named(
        &self,
        partition: PartitionId,
        shop: ShopNumber,
        id: &Line<128>,
    ) -> Result<Option<EventId>, StateError> {
        let named = match self.cart_names.get(&(shop, id.clone())) {
            Some(named) => *named,
            None => self.store.state().carts().named(shop, id)?,
        };
        Ok(named
            .filter(|named| named.partition == partition)
            .map(|named| named.event))
    }

    /// Leaves a name to another runner's partitions, where a later record puts it. In a replay, turns of several runners are handed over
    /// beside each other, and only the last of them may say where the name leads.
    pub(crate) fn leave_cart_name(&mut self, shop: ShopNumber, id: &Line<128>) {
        self.cart_names.drop_value(&(shop, id.clone()));
    }

    pub(super) fn cart_changed(&mut self, entry: &Entry<'_>, changed: &CartChanged) -> Result<(), StateError> {
        let id = changed.object.unwrap_or(entry.id);
        let key = (entry.partition, id);
        let is_known = self.cart(key)?.is_some();
        if !is_known && (changed.object.is_some() || changed.cart.is_none()) {
            // Erased, or never put: nothing is left of it.
            return Ok(());
        }
        self.timeline(entry, id);
        self.fold_contact(entry, changed.person, changed.shop)?;
        let says = changed.cart.as_ref().map(|cart| &cart.consent);
        if says.is_some_and(|consent| *consent != Consent::default()) {
            // A refusal is about all mail, also what waits in a queue.
            self.change_person(entry, changed.person)?;
        }
        self.carts.change(key, |cart| match cart {
            Some(cart) => cart.apply(entry.wall, entry.event),
            None => CartState::new(id, entry.wall, changed),
        });
        if !is_known {
            self.note_about(entry.partition, changed.person, changed.shop, id);
        }
        let name = PublicId {
            partition: entry.partition,
            event: id,
        };
        if changed.cart.is_some() {
            self.cart_names.set((changed.shop, changed.id.clone()), Some(name));
        } else if self.cart_named(entry.partition, changed.shop, &changed.id)? == Some(id) {
            self.cart_names.set((changed.shop, changed.id.clone()), None);
        }
        let is_open = self.cart(key)?.is_some_and(CartState::is_waiting);
        self.change_contact(entry.partition, changed.person, changed.shop, |contact| {
            if is_open {
                contact.cart_touched(id);
            } else {
                contact.cart_closed(id);
            }
        })
    }

    pub(super) fn cart_decided(&mut self, entry: &Entry<'_>, decided: &CartDecided) -> Result<(), StateError> {
        let key = (entry.partition, decided.cart);
        if let Some(due) = decided.due {
            self.surfaced(entry.partition, decided.cart, due);
        }
        if self.cart(key)?.is_none() {
            return Ok(());
        }
        self.timeline(entry, decided.cart);
        self.count_cart(entry, decided)?;
        if matches!(decided.verdict, CartVerdict::Ordered { .. }) {
            self.fold_contact(entry, decided.person, decided.shop)?;
        }
        self.carts
            .change(key, |cart| cart.and_then(|cart| cart.apply(entry.wall, entry.event)));
        Ok(())
    }

    /// Erases a cart and its name, unless the name leads elsewhere by now.
    pub(super) fn erase_cart(&mut self, key: OwnerKey) -> Result<(), StateError> {
        let Some((shop, id)) = self.cart(key)?.map(|cart| (cart.shop(), cart.id().clone())) else {
            return Ok(());
        };
        if self.cart_named(key.0, shop, &id)? == Some(key.1) {
            self.cart_names.set((shop, id), None);
        }
        self.carts.change(key, |_| None);
        Ok(())
    }
}
