//! What was set aside: turns that could not be done, as events that say so.

use std::borrow::Cow;
use std::cmp::Reverse;

use fjall::OwnedWriteBatch;
use types::event::{Event, SetAside};
use types::id::{EventId, PartitionId, PublicId, Slot};

use super::key;
use super::merge::merge;
use super::reader::Reader;
use super::table::{self, Read, Spread, Value};
use super::tables::Tables;
use super::turn::Change;

/// Something that was set aside: by slot, event and partition.
pub(super) struct Row;

impl table::Row for Row {
    const NAME: &'static str = "aside2";
    const NUMBER: u8 = 30;
    const SPREAD: Spread = Spread::Slot;
    type Key = (Slot, EventId, PartitionId);
    type Value = Box<SetAside>;
}

/// The kind of the event, as journaled.
const KIND: u16 = 25;

impl Value for Box<SetAside> {
    fn encode(&self) -> Cow<'_, [u8]> {
        let mut bytes = Vec::new();
        Event::SetAside(self.clone()).encode(&mut bytes);
        Cow::Owned(bytes)
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        match Event::decode(KIND, bytes) {
            Ok(Event::SetAside(aside)) => Some(aside),
            _ => None,
        }
    }
}

/// Something was set aside.
#[derive(Clone, Debug)]
pub struct AsidePut {
    /// Where.
    pub partition: PartitionId,
    /// The event that says so.
    pub id: EventId,
    /// The event.
    pub event: Box<SetAside>,
}

impl Change for AsidePut {
    fn add(&self, tables: &Tables, batch: &mut OwnedWriteBatch) -> Read<()> {
        let key = (Slot::of(self.partition), self.id, self.partition);
        tables.of::<Row>().insert(batch, &key, &self.event);
        Ok(())
    }

    fn bytes(&self) -> usize {
        512
    }
}

/// Reads what was set aside.
#[derive(Clone, Copy, Debug)]
pub struct Asides<'a>(pub(super) &'a Reader);

impl Asides<'_> {
    /// Returns up to `limit` things that were set aside, the newest first, from before `before` on.
    pub fn newest(self, before: Option<EventId>, limit: usize) -> Read<Vec<(PublicId, SetAside)>> {
        let rows = self.0.of::<Row>();
        let until = before.unwrap_or(EventId::from_raw(u64::MAX));
        let runs = Slot::all().map(|slot| rows.range(vec![slot.number()]..key::encode(&(slot, until))).rev());
        let rows = merge(runs, |((_, event, partition), _)| Reverse((*event, *partition)));
        let rows = self.0.each(rows.take(limit));
        rows.map(|row| {
            let ((_, event, partition), aside) = row?;
            Ok((PublicId { partition, event }, *aside))
        })
        .collect()
    }
}
