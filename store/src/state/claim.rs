//! Claimed names, each with the event that claimed it, and the order in which they go.
//!
//! A name belongs to the partition that its own first 10 bits say: it is a hash, and who asks for it knows nothing else.

use std::borrow::Cow;

use fjall::OwnedWriteBatch;
use types::event::Claim;
use types::id::{EventId, PartitionId, PersonKey, PublicId};
use types::time::Timestamp;

use super::key::{self, Part};
use super::reader::Reader;
use super::table::{self, Read, Spread, Value};
use super::tables::Tables;
use super::turn::Change;
use crate::frame::{u16_at, u64_at};

/// A name, or when one was claimed.
pub(super) struct Row;

impl table::Row for Row {
    const NAME: &'static str = "claim2";
    const NUMBER: u8 = 22;
    const SPREAD: Spread = Spread::Partition;
    type Key = Key;
    type Value = Option<StoredClaim>;
}

const NAME: u8 = b'n';
const AGE: u8 = b'a';

/// What a row is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Key {
    /// A name: the row says who has it.
    Name([u8; 16]),
    /// When a name was claimed: the row says nothing.
    Age(Timestamp, [u8; 16]),
}

/// Returns the partition of a name.
fn home(name: &[u8; 16]) -> PartitionId {
    // A name is a hash as a person's key is, and is spread alike.
    PersonKey::from_bytes(*name).partition()
}

impl Part for Key {
    fn put(&self, key: &mut Vec<u8>) {
        match self {
            Self::Name(name) => (home(name), NAME, *name).put(key),
            Self::Age(at, name) => (home(name), AGE, *at, *name).put(key),
        }
    }

    fn take(key: &mut &[u8]) -> Option<Self> {
        let partition = PartitionId::take(key)?;
        let (own, name) = match u8::take(key)? {
            NAME => {
                let name = Part::take(key)?;
                (Self::Name(name), name)
            }
            AGE => {
                let (at, name) = Part::take(key)?;
                (Self::Age(at, name), name)
            }
            _ => return None,
        };
        (home(&name) == partition).then_some(own)
    }
}

/// A name in state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoredClaim {
    /// Of which request.
    pub body: [u8; 16],
    /// The event that claimed it.
    pub id: PublicId,
    /// When.
    pub at: Timestamp,
}

impl Value for Option<StoredClaim> {
    fn encode(&self) -> Cow<'_, [u8]> {
        let Some(claim) = self else {
            return Cow::Borrowed(&[]);
        };
        let bytes = [
            claim.body.as_slice(),
            &claim.id.partition.number().to_le_bytes(),
            &claim.id.event.raw().to_le_bytes(),
            &claim.at.as_millis().to_le_bytes(),
        ];
        Cow::Owned(bytes.concat())
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        if bytes.is_empty() {
            return Some(None);
        }
        Some(Some(StoredClaim {
            body: bytes.get(..16)?.try_into().ok()?,
            id: PublicId {
                partition: PartitionId::new(u16_at(bytes, 16)?)?,
                event: EventId::from_raw(u64_at(bytes, 18)?),
            },
            at: Timestamp::from_millis(u64_at(bytes, 26)?),
        }))
    }
}

/// A name was claimed by a durable event.
#[derive(Clone, Debug)]
pub struct ClaimPut {
    /// Name and body.
    pub claim: Claim,
    /// The event that claimed it.
    pub id: PublicId,
    /// When; it is kept 72 hours or longer from then on.
    pub at: Timestamp,
}

impl Change for ClaimPut {
    fn add(&self, tables: &Tables, batch: &mut OwnedWriteBatch) -> Read<()> {
        let Self { claim, id, at } = *self;
        let body = claim.body;
        let rows = tables.of::<Row>();
        rows.insert(batch, &Key::Name(claim.name), &Some(StoredClaim { body, id, at }));
        rows.insert(batch, &Key::Age(at, claim.name), &None);
        Ok(())
    }
}

impl Tables {
    /// Looks a claimed name up.
    pub(crate) fn claim(&self, name: &[u8; 16]) -> Read<Option<StoredClaim>> {
        Ok(self.of::<Row>().get(&Key::Name(*name))?.flatten())
    }

    /// Removes up to `limit` claims of a partition that were made before `cutoff`. Returns how many there were.
    pub(crate) fn sweep_claims(&self, partition: PartitionId, cutoff: Timestamp, limit: usize) -> Read<usize> {
        let (rows, mut batch) = (self.of::<Row>(), self.db.batch());
        let ages = key::encode(&(partition, AGE))..key::encode(&(partition, AGE, cutoff));
        let mut count = 0;
        for row in rows.stored(ages).take(limit) {
            let key = row?.key()?;
            count += 1;
            if let Key::Age(at, name) = key {
                // The name may have been claimed anew since; then another age key stands for it.
                if self.claim(&name)?.is_some_and(|claim| claim.at <= at) {
                    rows.remove(&mut batch, &Key::Name(name));
                }
            }
            rows.remove(&mut batch, &key);
        }
        if count > 0 {
            batch.commit()?;
        }
        Ok(count)
    }
}

/// Reads claimed names.
#[derive(Clone, Copy, Debug)]
pub struct ClaimedNames<'a>(pub(super) &'a Reader);

impl ClaimedNames<'_> {
    /// Looks a claimed name up. Names whose accept is not yet in state are known to [`crate::Claims`] alone.
    pub fn get(self, name: &[u8; 16]) -> Read<Option<StoredClaim>> {
        Ok(self.0.get::<Row>(&Key::Name(*name))?.flatten())
    }
}
