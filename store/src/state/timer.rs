//! Timers of workflow instances and carts, by slot and the moment they are due.
//!
//! A timer is a row of 22 bytes under its due time: cancelling it writes nothing here, because its owner's epoch has gone on and the row
//! is dropped when it surfaces.

use std::borrow::Cow;

use fjall::config::{BlockSizePolicy, FilterPolicy};
use fjall::{KeyspaceCreateOptions, OwnedWriteBatch};
use types::id::{EventId, PartitionId, Slot};
use types::time::Timestamp;

use super::key::{self, Part};
use super::reader::Reader;
use super::table::{self, Read, Spread, Value};
use super::tables::Tables;
use super::turn::Change;
use crate::frame::{put, u32_at};

/// A timer.
pub(super) struct Row;

impl table::Row for Row {
    const NAME: &'static str = "timer";
    const NUMBER: u8 = 19;
    const SPREAD: Spread = Spread::Slot;
    type Key = TimerKey;
    type Value = Armed;

    /// Read by ranges alone, by the hundred million: filters would take an eighth of a gigabyte of memory and answer nothing, and larger
    /// blocks have a smaller index.
    fn options() -> KeyspaceCreateOptions {
        KeyspaceCreateOptions::default()
            .filter_policy(FilterPolicy::disabled())
            .data_block_size_policy(BlockSizePolicy::all(16 << 10))
            // A row of 22 bytes takes six times as much in memory until it is sorted onto disk.
            .max_memtable_size(16 << 20)
    }
}

/// A timer on disk. Its owner's epoch says whether it still means something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timer {
    /// When it is due.
    pub due: Timestamp,
    /// Where its owner lives.
    pub partition: PartitionId,
    /// The workflow instance or the cart.
    pub owner: EventId,
    /// The owner's epoch when it was armed.
    pub epoch: u32,
    /// What kind of owner.
    pub class: TimerClass,
}

/// Where a timer's row stands among those of its slot: one row for an owner and an instant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TimerKey {
    /// When it is due.
    pub due: Timestamp,
    /// Where its owner lives.
    pub partition: PartitionId,
    /// The workflow instance or the cart.
    pub owner: EventId,
}

impl Timer {
    /// Returns where its row stands.
    pub const fn key(&self) -> TimerKey {
        TimerKey {
            due: self.due,
            partition: self.partition,
            owner: self.owner,
        }
    }
}

/// What kind of owner a timer has. The numbers are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum TimerClass {
    /// A workflow instance.
    Workflow = 1,
    /// A cart.
    Cart = 2,
}

impl TimerClass {
    /// Every class.
    pub const ALL: [Self; 2] = [Self::Workflow, Self::Cart];

    /// Returns the class's name, as in metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Workflow => "workflow",
            Self::Cart => "cart",
        }
    }

    const fn from_number(number: u8) -> Option<Self> {
        match number {
            1 => Some(Self::Workflow),
            2 => Some(Self::Cart),
            _ => None,
        }
    }
}

/// The start of a timer's key.
struct Moment {
    slot: Slot,
    due: Timestamp,
}

/// Slot 1, milliseconds since 1970 in 6 bytes: until the year 10889.
impl Part for Moment {
    fn put(&self, key: &mut Vec<u8>) {
        let millis = self.due.as_millis().min((1 << 48) - 1).to_be_bytes();
        self.slot.put(key);
        key.extend_from_slice(millis.get(2..).unwrap_or_default());
    }

    fn take(key: &mut &[u8]) -> Option<Self> {
        let (slot, due): (_, [u8; 6]) = Part::take(key)?;
        let mut millis = [0; 8];
        put(&mut millis, 2, &due);
        let due = Timestamp::from_millis(u64::from_be_bytes(millis));
        Some(Self { slot, due })
    }
}

/// The moment, partition 2, owner 8.
impl Part for TimerKey {
    fn put(&self, key: &mut Vec<u8>) {
        let slot = Slot::of(self.partition);
        (Moment { slot, due: self.due }, self.partition, self.owner).put(key);
    }

    fn take(key: &mut &[u8]) -> Option<Self> {
        let (Moment { slot, due }, partition, owner) = Part::take(key)?;
        let key = Self { due, partition, owner };
        (slot == Slot::of(partition)).then_some(key)
    }
}

/// What a timer's row says.
pub(super) struct Armed {
    epoch: u32,
    class: TimerClass,
}

/// Epoch 4, little-endian, class 1.
impl Value for Armed {
    fn encode(&self) -> Cow<'_, [u8]> {
        let mut bytes = self.epoch.to_le_bytes().to_vec();
        bytes.push(self.class as u8);
        Cow::Owned(bytes)
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        Some(Self {
            epoch: u32_at(bytes, 0)?,
            class: TimerClass::from_number(*bytes.get(4)?)?,
        })
    }
}

impl Armed {
    fn timer(&self, key: TimerKey) -> Timer {
        Timer {
            due: key.due,
            partition: key.partition,
            owner: key.owner,
            epoch: self.epoch,
            class: self.class,
        }
    }
}

fn row(timer: &Timer) -> (TimerKey, Armed) {
    let Timer { epoch, class, .. } = *timer;
    (timer.key(), Armed { epoch, class })
}

/// A change of timers.
#[derive(Clone, Debug)]
pub enum TimerPut {
    /// A timer is armed.
    Set(Timer),
    /// A timer surfaced, and what it was for is done.
    Delete(TimerKey),
}

impl Change for TimerPut {
    fn add(&self, tables: &Tables, batch: &mut OwnedWriteBatch) -> Read<()> {
        let rows = tables.of::<Row>();
        match self {
            Self::Set(timer) => {
                let (key, armed) = row(timer);
                rows.insert(batch, &key, &armed);
            }
            Self::Delete(key) => rows.remove(batch, key),
        }
        Ok(())
    }
}

/// Reads timers.
#[derive(Clone, Copy, Debug)]
pub struct Timers<'a>(pub(super) &'a Reader);

impl Timers<'_> {
    /// Returns up to `limit` timers of a slot that are due from `from` on, before `until`, the earliest first.
    pub fn due(self, slot: Slot, from: Timestamp, until: Timestamp, limit: usize) -> Read<Vec<Timer>> {
        let start = key::encode(&Moment { slot, due: from });
        self.between(start, slot, from.max(until), limit)
    }

    /// Returns up to `limit` timers of a slot from a row on, whether that row is there or not, that are due before `until`; the
    /// earliest first.
    pub fn due_from(self, slot: Slot, from: TimerKey, until: Timestamp, limit: usize) -> Read<Vec<Timer>> {
        let start = (Moment { slot, due: from.due }, from.partition, from.owner);
        self.between(key::encode(&start), slot, until, limit)
    }

    fn between(self, start: Vec<u8>, slot: Slot, until: Timestamp, limit: usize) -> Read<Vec<Timer>> {
        let end = key::encode(&Moment { slot, due: until }).max(start.clone());
        let rows = self.0.of::<Row>().range(start..end).take(limit);
        let rows = self.0.each(rows);
        rows.map(|row| row.map(|(key, armed)| armed.timer(key))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_of_timers_survive_a_round_trip_and_sort_by_slot_and_time() {
        let timer = |partition, due, owner| Timer {
            due: Timestamp::from_millis(due),
            partition: PartitionId::new(partition).expect("a partition"),
            owner: EventId::from_raw(owner),
            epoch: 7,
            class: TimerClass::Cart,
        };
        let timers = [
            timer(3, 1_700_000_000_000, u64::MAX),
            timer(15, 1_700_000_000_001, 1),
            timer(3, 1_700_000_000_002, 0),
            timer(16, 5, 9),
            timer(1023, (1 << 48) - 1, 9),
        ];
        for timer in &timers {
            let (key, armed) = row(timer);
            let read = key::decode(&key::encode(&key)).zip(Armed::decode(&armed.encode()));
            assert_eq!(read.map(|(key, armed)| armed.timer(key)), Some(*timer));
        }
        assert!(timers.iter().map(|timer| key::encode(&timer.key())).is_sorted());
    }
}
