//! A table: a keyspace of the database, with what its rows are.
//!
//! Who declares a row ([`Row`]) owns the table: the row's type is private to its subject, and a table is opened by naming it. A row's
//! key begins with where it belongs ([`Spread`]): so what a slot has of a table is one range, which can be cut out and moved.

use std::borrow::Cow;
use std::marker::PhantomData;
use std::ops::{Range, RangeBounds};

use fjall::{Guard, Keyspace, KeyspaceCreateOptions, OwnedWriteBatch, Readable, Slice, Snapshot};
use types::id::{PERSON_PARTITIONS, PartitionId, Slot};

use super::StateError;
use super::key::{self, Part};

/// What a table holds.
pub(crate) trait Row {
    /// The keyspace's name. A name that was used once is never used for other keys.
    const NAME: &'static str;
    /// The keyspace's number in checkpoint copies. One that was used once is never used for other keys.
    const NUMBER: u8;
    /// How the keys begin.
    const SPREAD: Spread;
    /// What a row is found by.
    type Key: Part;
    /// What it says.
    type Value: Value;

    /// Returns how the keyspace is kept.
    fn options() -> KeyspaceCreateOptions {
        KeyspaceCreateOptions::default()
    }
}

/// How the keys of a table begin, and so which of its rows belong to a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Spread {
    /// With the partition, 2 bytes: a slot is 16 neighbours. What the catalogue's own partition has belongs to the last slot.
    Partition,
    /// With the slot, 1 byte.
    Slot,
    /// With nothing of the kind: it is the catalogue, which all slots share.
    Catalogue,
    /// With nothing of the kind: it is the node's own, and says nothing to another.
    Node,
}

impl Spread {
    /// Returns the range of a slot's keys. `None`: the table's rows belong to no slot.
    #[cfg_attr(not(test), expect(dead_code, reason = "slots are not moved yet"))]
    pub(crate) fn slot_range(self, slot: Slot) -> Option<Range<Vec<u8>>> {
        let number = slot.number();
        match self {
            Self::Partition => {
                let first = u16::from(number) * Slot::PARTITIONS;
                let end = match first + Slot::PARTITIONS {
                    PERSON_PARTITIONS => PartitionId::CATALOGUE.number() + 1,
                    end => end,
                };
                Some(key::encode(&first)..key::encode(&end))
            }
            Self::Slot => Some(vec![number]..vec![number + 1]),
            Self::Catalogue | Self::Node => None,
        }
    }
}

/// What a row says, as bytes.
pub(crate) trait Value: Sized {
    /// Returns its bytes.
    fn encode(&self) -> Cow<'_, [u8]>;
    /// Reads it. `None`: it is none.
    fn decode(bytes: &[u8]) -> Option<Self>;
}

/// Bytes that mean something to those who put them.
impl Value for Vec<u8> {
    fn encode(&self) -> Cow<'_, [u8]> {
        Cow::Borrowed(self)
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        Some(bytes.to_vec())
    }
}

/// The key says it all.
impl Value for () {
    fn encode(&self) -> Cow<'_, [u8]> {
        Cow::Borrowed(&[])
    }

    fn decode(_: &[u8]) -> Option<Self> {
        Some(())
    }
}

impl Value for u64 {
    fn encode(&self) -> Cow<'_, [u8]> {
        Cow::Owned(self.to_le_bytes().to_vec())
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        crate::frame::u64_at(bytes, 0)
    }
}

/// Makes values of types that write themselves as CBOR.
macro_rules! cbor_values {
    ($($value:ty),*) => {
        $(impl $crate::state::table::Value for $value {
            fn encode(&self) -> std::borrow::Cow<'_, [u8]> {
                std::borrow::Cow::Owned(minicbor::to_vec(self).expect("writing CBOR to a vector cannot fail"))
            }

            fn decode(bytes: &[u8]) -> Option<Self> {
                minicbor::decode(bytes).ok()
            }
        })*
    };
}
pub(super) use cbor_values;

/// What reading a table comes to.
pub(crate) type Read<T> = Result<T, StateError>;

/// A table of the database.
pub(crate) struct Table<'a, R> {
    keyspace: &'a Keyspace,
    row: PhantomData<fn() -> R>,
}

impl<R> Clone for Table<'_, R> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<R> Copy for Table<'_, R> {}

impl<'a, R: Row> Table<'a, R> {
    pub(super) const fn new(keyspace: &'a Keyspace) -> Self {
        Self {
            keyspace,
            row: PhantomData,
        }
    }

    /// Returns what the row under a key says.
    pub(crate) fn get(self, key: &R::Key) -> Read<Option<R::Value>> {
        let key = key::encode(key);
        Self::read(&key, self.keyspace.get(&key)?)
    }

    /// Returns what the row under a key said when a snapshot was made.
    pub(crate) fn get_in(self, snapshot: &Snapshot, key: &R::Key) -> Read<Option<R::Value>> {
        let key = key::encode(key);
        Self::read(&key, snapshot.get(self.keyspace, &key)?)
    }

    fn read(key: &[u8], value: Option<Slice>) -> Read<Option<R::Value>> {
        let read = |value: Slice| R::Value::decode(&value).ok_or_else(|| malformed::<R>(key));
        value.map(read).transpose()
    }

    /// Adds a row to a batch, in place of the one with its key.
    pub(crate) fn insert(self, batch: &mut OwnedWriteBatch, key: &R::Key, value: &R::Value) {
        batch.insert(self.keyspace, key::encode(key), value.encode().as_ref());
    }

    /// Adds to a batch that a row goes.
    pub(crate) fn remove(self, batch: &mut OwnedWriteBatch, key: &R::Key) {
        batch.remove(self.keyspace, key::encode(key));
    }

    /// Inserts the row, or removes it if it is none.
    pub(crate) fn set(self, batch: &mut OwnedWriteBatch, key: &R::Key, value: Option<&R::Value>) {
        match value {
            Some(value) => self.insert(batch, key, value),
            None => self.remove(batch, key),
        }
    }

    /// Returns the rows of a range of keys, in their order, unread.
    pub(crate) fn stored(self, keys: impl RangeBounds<Vec<u8>>) -> impl DoubleEndedIterator<Item = Read<Stored<R>>> {
        self.keyspace.range(keys).map(Stored::of)
    }

    /// Returns the rows of a range of keys, in their order.
    pub(crate) fn range(
        self,
        keys: impl RangeBounds<Vec<u8>>,
    ) -> impl DoubleEndedIterator<Item = Read<(R::Key, R::Value)>> {
        self.stored(keys).map(|row| row?.read())
    }

    /// Returns the rows whose keys begin with these parts, in their order, unread.
    pub(crate) fn stored_under<P: Part>(
        self,
        prefix: &P,
    ) -> impl DoubleEndedIterator<Item = Read<Stored<R>>> + use<'a, R, P> {
        self.keyspace.prefix(key::encode(prefix)).map(Stored::of)
    }

    /// Returns the rows whose keys begin with these parts, in their order.
    pub(crate) fn prefix<P: Part>(
        self,
        prefix: &P,
    ) -> impl DoubleEndedIterator<Item = Read<(R::Key, R::Value)>> + use<'a, R, P> {
        self.stored_under(prefix).map(|row| row?.read())
    }

    /// Returns, of a table that is spread by partition, the rows whose keys go on with `owner`; by partition, from a key on.
    ///
    /// It jumps over what is of others: at most two look-ups for each partition that has rows, however many those are.
    pub(crate) fn of_owner<P: Part>(
        self,
        owner: &P,
        partitions: Range<u16>,
        from: Option<Vec<u8>>,
    ) -> impl Iterator<Item = Read<(R::Key, R::Value)>> + use<'a, R, P> {
        debug_assert_eq!(R::SPREAD, Spread::Partition);
        let owner = key::encode(owner);
        let first = move |partition: u16, owner: &[u8]| [&partition.to_be_bytes(), owner].concat();
        let end = key::encode(&partitions.end);
        let start = from.unwrap_or_else(|| first(partitions.start, &owner));
        let mut rows = (start < end).then(|| self.stored(start..end.clone()));
        std::iter::from_fn(move || {
            loop {
                let row = match rows.as_mut()?.next()? {
                    Ok(row) => row,
                    Err(error) => return Some(Err(error)),
                };
                let (partition, rest) = row.key.split_first_chunk()?;
                if rest.starts_with(&owner) {
                    return Some(row.read());
                }
                let partition = u16::from_be_bytes(*partition);
                let next = if rest < owner.as_slice() {
                    first(partition, &owner)
                } else {
                    first(partition + 1, &owner)
                };
                rows = (next < end).then(|| self.stored(next..end.clone()));
            }
        })
    }
}

/// A row as it is stored.
pub(crate) struct Stored<R> {
    key: Slice,
    value: Slice,
    row: PhantomData<fn() -> R>,
}

impl<R: Row> Stored<R> {
    fn of(entry: Guard) -> Read<Self> {
        let (key, value) = entry.into_inner()?;
        let row = PhantomData;
        Ok(Self { key, value, row })
    }

    /// Reads what it is found by.
    pub(crate) fn key(&self) -> Read<R::Key> {
        key::decode(&self.key).ok_or_else(|| malformed::<R>(&self.key))
    }

    /// Reads what it says.
    pub(crate) fn value(&self) -> Read<R::Value> {
        R::Value::decode(&self.value).ok_or_else(|| malformed::<R>(&self.key))
    }

    /// Reads both.
    pub(crate) fn read(&self) -> Read<(R::Key, R::Value)> {
        Ok((self.key()?, self.value()?))
    }
}

fn malformed<R: Row>(key: &[u8]) -> StateError {
    StateError::Malformed(format!("{} row {key:?}", R::NAME))
}

#[cfg(test)]
mod tests {
    use fjall::Database;
    use tempfile::TempDir;
    use types::id::{PersonKey, ShopNumber};

    use super::*;
    use crate::state::contact::ContactOf;

    #[test]
    fn the_rows_of_an_owner_are_found_among_those_of_others_from_any_key_on() {
        let folder = TempDir::new().expect("a directory");
        let db = Database::builder(folder.path()).open().expect("opens");
        let keyspace = db.keyspace("rows", KeyspaceCreateOptions::default).expect("opens");
        let table: Table<'_, ContactOf> = Table::new(&keyspace);
        // One seed, the same rows.
        let mut seed = 7_u64;
        let mut random = |below: u64| {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (seed >> 33) % below
        };
        let mut batch = db.batch();
        let mut all = Vec::new();
        for _ in 0..400 {
            let partition = PartitionId::new(u16::try_from(random(40)).expect("small")).expect("a partition");
            let shop = ShopNumber(u32::try_from(random(6)).expect("small"));
            let person = PersonKey::from_bytes([u8::try_from(random(250)).expect("small"); 16]);
            all.push((partition, shop, person));
            table.insert(&mut batch, &(partition, shop, person), &());
        }
        batch.commit().expect("writes");
        all.sort();
        all.dedup();
        for shop in (0..7).map(ShopNumber) {
            for (start, end) in [(0, 1024), (0, 40), (7, 8), (39, 1024), (40, 50), (9, 9), (9, 3)] {
                let own: Vec<_> = all
                    .iter()
                    .filter(|row| row.1 == shop && (start..end).contains(&row.0.number()))
                    .collect();
                let found = |from| -> Vec<_> {
                    let rows = table.of_owner(&shop, start..end, from);
                    rows.map(|row| row.expect("reads").0).collect()
                };
                assert!(found(None).iter().eq(own.iter().copied()), "{shop:?} in {start}..{end}");
                for (place, row) in own.iter().enumerate() {
                    assert!(
                        found(Some(key::after(*row)))
                            .iter()
                            .eq(own[place + 1..].iter().copied()),
                        "{row:?}"
                    );
                }
            }
        }
    }

    #[test]
    fn the_ranges_of_slots_lie_side_by_side_and_the_last_has_the_partition_of_the_catalogue() {
        for spread in [Spread::Partition, Spread::Slot] {
            let ranges: Vec<_> = Slot::all().filter_map(|slot| spread.slot_range(slot)).collect();
            assert!(ranges.windows(2).all(|pair| pair[0].end == pair[1].start));
            assert_eq!(ranges.len(), 64);
        }
        for partition in (0..=1024).filter_map(PartitionId::new) {
            let range = Spread::Partition.slot_range(Slot::of(partition)).expect("a range");
            assert!(range.contains(&key::encode(&(partition, u64::MAX))), "{partition:?}");
        }
        assert_eq!(Spread::Node.slot_range(Slot::of(PartitionId::CATALOGUE)), None);
    }
}
