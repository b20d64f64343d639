//! Carts, in the runner's own encoding, and the shops' own ids of them.
//!
//! Who asks for a cart by the shop's id of it knows no partition: so the id's hash says in which slot it stands.

use std::borrow::Cow;

use aws_lc_rs::digest;
use fjall::OwnedWriteBatch;
use types::id::{EventId, PartitionId, PublicId, ShopNumber, Slot};
use types::text::Line;

use super::key;
use super::merge::merge;
use super::reader::Reader;
use super::table::{Read, Row, Spread, Value};
use super::tables::Tables;
use super::turn::Change;

/// A cart, by the event by which it was first put.
pub(super) struct Cart;

impl Row for Cart {
    const NAME: &'static str = "cart";
    const NUMBER: u8 = 17;
    const SPREAD: Spread = Spread::Partition;
    type Key = (PartitionId, EventId);
    type Value = Vec<u8>;
}

/// Which cart a shop calls so.
pub(super) struct CartName;

impl Row for CartName {
    const NAME: &'static str = "cart_name2";
    const NUMBER: u8 = 29;
    const SPREAD: Spread = Spread::Slot;
    type Key = (Slot, ShopNumber, Line<128>);
    type Value = PublicId;
}

/// Partition 2, event 8: big-endian, as in keys.
impl Value for PublicId {
    fn encode(&self) -> Cow<'_, [u8]> {
        Cow::Owned(key::encode(self))
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        key::decode(bytes)
    }
}

/// Returns the slot of a shop's id of a cart: the first 6 bits of the SHA-256 of the shop's number, 4 bytes big-endian, and the id.
/// It is on disk: it stays so.
fn home(shop: ShopNumber, id: &Line<128>) -> Slot {
    let hash = digest::digest(&digest::SHA256, &key::encode(&(shop, id.clone())));
    let first = hash.as_ref().first().expect("SHA-256 has 32 bytes");
    Slot::new(first >> 2).expect("6 bits are less than 64")
}

/// Returns under which key a shop's id of a cart stands.
pub(super) fn name(shop: ShopNumber, id: &Line<128>) -> <CartName as Row>::Key {
    (home(shop, id), shop, id.clone())
}

/// A change of carts.
#[derive(Clone, Debug)]
pub enum CartPut {
    /// A cart.
    Cart {
        /// The person's partition.
        partition: PartitionId,
        /// The event by which it was first put.
        cart: EventId,
        /// The whole new value; `None` erases it.
        value: Option<Vec<u8>>,
    },
    /// A shop's own id of a cart leads to it, or no longer.
    Name {
        /// Whose.
        shop: ShopNumber,
        /// The shop's id of it.
        id: Line<128>,
        /// The cart; `None` forgets the name.
        cart: Option<PublicId>,
    },
}

impl Change for CartPut {
    fn add(&self, tables: &Tables, batch: &mut OwnedWriteBatch) -> Read<()> {
        match self {
            Self::Cart { partition, cart, value } => {
                tables.of::<Cart>().set(batch, &(*partition, *cart), value.as_ref());
            }
            Self::Name { shop, id, cart } => tables.of::<CartName>().set(batch, &name(*shop, id), cart.as_ref()),
        }
        Ok(())
    }

    fn bytes(&self) -> usize {
        match self {
            Self::Cart { value, .. } => value.as_ref().map_or(0, Vec::len),
            Self::Name { .. } => 0,
        }
    }
}

/// Reads carts.
#[derive(Clone, Copy, Debug)]
pub struct Carts<'a>(pub(super) &'a Reader);

impl Carts<'_> {
    /// Returns a cart, in the runner's own encoding.
    pub fn get(self, partition: PartitionId, cart: EventId) -> Read<Option<Vec<u8>>> {
        self.0.get::<Cart>(&(partition, cart))
    }

    /// Returns the cart that a shop calls so.
    pub fn named(self, shop: ShopNumber, id: &Line<128>) -> Read<Option<PublicId>> {
        self.0.get::<CartName>(&name(shop, id))
    }

    /// Returns up to `limit` of a shop's carts, by the shop's own id of them, from after `after` on.
    pub fn of_shop(
        self,
        shop: ShopNumber,
        after: Option<&Line<128>>,
        limit: usize,
    ) -> Read<Vec<(Line<128>, PublicId)>> {
        let rows = self.0.of::<CartName>();
        let runs = Slot::all().map(|slot| {
            let start = after.map_or_else(
                || key::encode(&(slot, shop)),
                |id| key::after(&(slot, shop, id.clone())),
            );
            let own = move |row: &Read<((Slot, ShopNumber, _), _)>| row.as_ref().map_or(true, |(key, _)| key.1 == shop);
            rows.range(start..vec![slot.number() + 1]).take_while(own)
        });
        let rows = merge(runs, |((_, _, id), _)| id.clone()).take(limit);
        let rows = self.0.each(rows);
        rows.map(|row| row.map(|((_, _, id), cart)| (id, cart))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Computed with `printf '\0\0\0\7caff\303\250/1' | sha256sum`.
    #[test]
    fn the_slot_of_a_name_is_the_documented_one() {
        let id: Line<128> = Line::try_from("caffè/1").expect("a line");
        assert_eq!(home(ShopNumber(7), &id).number(), 0xd3 >> 2);
    }
}
