//! Persons: what the runner knows of each, in its own encoding.

use fjall::OwnedWriteBatch;
use types::id::{PartitionId, PersonKey};

use super::reader::Reader;
use super::table::{Read, Row, Spread};
use super::tables::Tables;
use super::turn::Change;

/// A person.
pub(super) struct Person;

impl Row for Person {
    const NAME: &'static str = "person";
    const NUMBER: u8 = 0;
    const SPREAD: Spread = Spread::Partition;
    type Key = (PartitionId, PersonKey);
    type Value = Vec<u8>;
}

/// A person's state, in the runner's own encoding.
#[derive(Clone, Debug)]
pub struct PersonPut {
    /// The person's partition.
    pub partition: PartitionId,
    /// Who.
    pub key: PersonKey,
    /// The whole new value.
    pub value: Vec<u8>,
}

impl Change for PersonPut {
    fn add(&self, tables: &Tables, batch: &mut OwnedWriteBatch) -> Read<()> {
        tables
            .of::<Person>()
            .insert(batch, &(self.partition, self.key), &self.value);
        Ok(())
    }

    fn bytes(&self) -> usize {
        self.value.len()
    }
}

/// Reads persons.
#[derive(Clone, Copy, Debug)]
pub struct Persons<'a>(pub(super) &'a Reader);

impl Persons<'_> {
    /// Returns a person's state as it was last put.
    pub fn get(self, partition: PartitionId, key: &PersonKey) -> Read<Option<Vec<u8>>> {
        self.0.get::<Person>(&(partition, *key))
    }
}
