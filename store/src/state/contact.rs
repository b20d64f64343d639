//! Contacts: what a shop knows of a person, in the runner's own encoding, and whom each shop knows.

use std::ops::Range;

use fjall::OwnedWriteBatch;
use types::id::{PartitionId, PersonKey, ShopNumber};

use super::key;
use super::reader::Reader;
use super::table::{Read, Row, Spread};
use super::tables::Tables;
use super::turn::Change;

/// What a shop knows of a person.
pub(super) struct Contact;

impl Row for Contact {
    const NAME: &'static str = "contact";
    const NUMBER: u8 = 14;
    const SPREAD: Spread = Spread::Partition;
    type Key = (PartitionId, PersonKey, ShopNumber);
    type Value = Vec<u8>;
}

/// That a shop knows a person.
pub(super) struct ContactOf;

impl Row for ContactOf {
    const NAME: &'static str = "contact_of2";
    const NUMBER: u8 = 28;
    const SPREAD: Spread = Spread::Partition;
    type Key = (PartitionId, ShopNumber, PersonKey);
    type Value = ();
}

/// What a shop knows of a person.
#[derive(Clone, Debug)]
pub struct ContactPut {
    /// The person's partition.
    pub partition: PartitionId,
    /// Who.
    pub person: PersonKey,
    /// Whose contact.
    pub shop: ShopNumber,
    /// The whole new value; `None` erases it.
    pub value: Option<Vec<u8>>,
}

impl Change for ContactPut {
    fn add(&self, tables: &Tables, batch: &mut OwnedWriteBatch) -> Read<()> {
        let Self {
            partition,
            person,
            shop,
            value,
        } = self;
        let contacts = tables.of::<Contact>();
        contacts.set(batch, &(*partition, *person, *shop), value.as_ref());
        let listed = value.as_ref().map(|_| &());
        let lists = tables.of::<ContactOf>();
        lists.set(batch, &(*partition, *shop, *person), listed);
        Ok(())
    }

    fn bytes(&self) -> usize {
        self.value.as_ref().map_or(0, Vec::len)
    }
}

/// Reads contacts.
#[derive(Clone, Copy, Debug)]
pub struct Contacts<'a>(pub(super) &'a Reader);

impl Contacts<'_> {
    /// Returns what a shop knows of a person, in the runner's own encoding.
    pub fn get(self, partition: PartitionId, person: &PersonKey, shop: ShopNumber) -> Read<Option<Vec<u8>>> {
        self.0.get::<Contact>(&(partition, *person, shop))
    }

    /// Returns the shops that know a person, with what each knows.
    pub fn of_person(self, partition: PartitionId, person: &PersonKey) -> Read<Vec<(ShopNumber, Vec<u8>)>> {
        let rows = self.0.of::<Contact>().prefix(&(partition, *person));
        let rows = self.0.each(rows);
        rows.map(|row| row.map(|((_, _, shop), value)| (shop, value))).collect()
    }

    /// Returns up to `limit` of a shop's contacts in these partitions, by partition and person, from after `cursor` on.
    pub fn of_shop(
        self,
        shop: ShopNumber,
        partitions: Range<u16>,
        cursor: Option<(PartitionId, PersonKey)>,
        limit: usize,
    ) -> Read<Vec<(PartitionId, PersonKey)>> {
        let from = cursor.map(|(partition, person)| key::after(&(partition, shop, person)));
        let rows = self.0.of::<ContactOf>().of_owner(&shop, partitions, from);
        let rows = self.0.each(rows.take(limit));
        rows.map(|row| row.map(|((partition, _, person), ())| (partition, person)))
            .collect()
    }
}
