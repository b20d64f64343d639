//! What the node's state says of itself: whose it is, and how far it has come.

use std::ops::Range;

use fjall::{OwnedWriteBatch, Snapshot};
use types::id::{EventId, PartitionId};

use super::key::Part;
use super::table::{self, Read, Spread};
use super::tables::Tables;
use crate::frame::u64_at;
use crate::journal::Position;

const INCARNATION: &[u8] = b"incarnation";
const THROUGH: &[u8] = b"through";
const LAST_ID: &[u8] = b"last_id";
const APPLIED: &[u8] = b"applied";

/// One thing that state says of itself.
pub(crate) struct Row;

impl table::Row for Row {
    const NAME: &'static str = "meta2";
    const NUMBER: u8 = 24;
    const SPREAD: Spread = Spread::Node;
    type Key = Key;
    type Value = Vec<u8>;
}

/// What it is that state says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Key {
    /// Whose state it is; written last when state is made.
    Incarnation,
    /// Up to where all records are applied, of whatever partition.
    Through,
    /// Up to where no id is minted again.
    LastId,
    /// Up to where the records of these partitions are applied.
    Applied(Range<u16>),
}

impl Part for Key {
    fn put(&self, key: &mut Vec<u8>) {
        match self {
            Self::Incarnation => key.extend_from_slice(INCARNATION),
            Self::Through => key.extend_from_slice(THROUGH),
            Self::LastId => key.extend_from_slice(LAST_ID),
            Self::Applied(range) => {
                key.extend_from_slice(APPLIED);
                (range.start, range.end).put(key);
            }
        }
    }

    fn take(key: &mut &[u8]) -> Option<Self> {
        match std::mem::take(key) {
            INCARNATION => Some(Self::Incarnation),
            THROUGH => Some(Self::Through),
            LAST_ID => Some(Self::LastId),
            other => {
                let (start, end) = super::key::decode(other.strip_prefix(APPLIED)?)?;
                Some(Self::Applied(start..end))
            }
        }
    }
}

/// How far state has come, as it says itself.
#[derive(Debug)]
pub(crate) struct Meta {
    pub(crate) incarnation: Option<[u8; 16]>,
    /// All records up to here are applied, of whatever partition.
    pub(crate) through: u64,
    pub(crate) last_id: Option<EventId>,
    /// The last applied position of each partition.
    pub(crate) applied: Vec<u64>,
}

impl Meta {
    /// Makes it of all rows that say it.
    pub(super) fn of(rows: impl Iterator<Item = Read<(Key, Vec<u8>)>>) -> Read<Self> {
        let mut meta = Self {
            incarnation: None,
            through: 0,
            last_id: None,
            applied: vec![0; PartitionId::COUNT],
        };
        for row in rows {
            let (key, value) = row?;
            let position = u64_at(&value, 0);
            match key {
                Key::Incarnation => meta.incarnation = value.try_into().ok(),
                Key::Through => meta.through = position.unwrap_or(0),
                Key::LastId => meta.last_id = position.map(EventId::from_raw),
                Key::Applied(range) => meta.raise(range, position.unwrap_or(0)),
            }
        }
        meta.raise(0..PartitionId::CATALOGUE.number() + 1, meta.through);
        Ok(meta)
    }

    /// What was once applied stays applied, whichever runner's range said so.
    fn raise(&mut self, range: Range<u16>, position: u64) {
        let range = usize::from(range.start)..usize::from(range.end);
        for applied in self.applied.get_mut(range).unwrap_or_default() {
            *applied = position.max(*applied);
        }
    }
}

impl Tables {
    pub(crate) fn meta(&self) -> Read<Meta> {
        Meta::of(self.of::<Row>().range(..))
    }

    /// Returns the position up to which all records are applied.
    pub(crate) fn through(&self) -> Read<u64> {
        let value = self.of::<Row>().get(&Key::Through)?;
        Ok(value.and_then(|value| u64_at(&value, 0)).unwrap_or(0))
    }

    /// Returns the same as it was when a snapshot was made.
    pub(crate) fn through_in(&self, snapshot: &Snapshot) -> Read<u64> {
        let value = self.of::<Row>().get_in(snapshot, &Key::Through)?;
        Ok(value.and_then(|value| u64_at(&value, 0)).unwrap_or(0))
    }

    /// Says whose state this is; durable on return. Until then, a start takes the state for unfinished.
    pub(crate) fn adopt(&self, incarnation: [u8; 16]) -> fjall::Result<()> {
        let mut batch = self.db.batch();
        self.of::<Row>()
            .insert(&mut batch, &Key::Incarnation, &incarnation.to_vec());
        batch.commit()?;
        self.sync()
    }

    /// Forgets the applied positions of ranges that the runners of this start do not have; `through` covers them.
    pub(crate) fn forget_ranges(&self, through: u64) -> Read<()> {
        let (rows, mut batch) = (self.of::<Row>(), self.db.batch());
        for row in rows.range(APPLIED.to_vec()..) {
            let (key, value) = row?;
            if matches!(key, Key::Applied(_)) && u64_at(&value, 0).is_none_or(|position| position <= through) {
                rows.remove(&mut batch, &key);
            }
        }
        Ok(batch.commit()?)
    }

    /// Adds how far some partitions have come.
    pub(super) fn add_applied(&self, batch: &mut OwnedWriteBatch, range: &Range<u16>, position: Position) {
        let (key, value) = (Key::Applied(range.clone()), position.0.to_le_bytes().to_vec());
        self.of::<Row>().insert(batch, &key, &value);
    }

    /// Adds how far all partitions have come, and the highest id that was minted.
    pub(crate) fn add_through(&self, batch: &mut OwnedWriteBatch, through: u64, last_id: EventId) {
        let rows = self.of::<Row>();
        rows.insert(batch, &Key::Through, &through.to_le_bytes().to_vec());
        rows.insert(batch, &Key::LastId, &last_id.raw().to_le_bytes().to_vec());
    }
}
