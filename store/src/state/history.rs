//! Histories of orders and mails, and whom each is about.

use std::borrow::Cow;

use bytes::Bytes;
use fjall::OwnedWriteBatch;
use types::catalogue::Catalogue;
use types::event::{Event, Telling, Viewer};
use types::id::{EventId, MessageId, PartitionId, PersonKey, ShopNumber};
use types::time::Timestamp;

use super::StateError;
use super::reader::Reader;
use super::table::{Read, Row, Spread, Value};
use super::tables::Tables;
use super::turn::Change;
use crate::frame::{u16_at, u64_at};
use crate::journal::Record;

/// An event of an object's history: by partition, object and event.
pub(super) struct Timeline;

impl Row for Timeline {
    const NAME: &'static str = "timeline";
    const NUMBER: u8 = 1;
    const SPREAD: Spread = Spread::Partition;
    type Key = (PartitionId, EventId, EventId);
    type Value = Journaled;
}

/// That an object is about a person: by partition, person, shop and object.
pub(super) struct About;

impl Row for About {
    const NAME: &'static str = "about";
    const NUMBER: u8 = 10;
    const SPREAD: Spread = Spread::Partition;
    type Key = (PartitionId, PersonKey, ShopNumber, EventId);
    type Value = ();
}

/// An event as it was journaled.
pub(super) struct Journaled {
    wall: Timestamp,
    kind: u16,
    payload: Bytes,
}

impl Value for Journaled {
    fn encode(&self) -> Cow<'_, [u8]> {
        let wall = self.wall.as_millis().to_le_bytes();
        Cow::Owned([wall.as_slice(), &self.kind.to_le_bytes(), &self.payload].concat())
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        Some(Self {
            wall: Timestamp::from_millis(u64_at(bytes, 0)?),
            kind: u16_at(bytes, 8)?,
            payload: Bytes::copy_from_slice(bytes.get(10..)?),
        })
    }
}

impl Journaled {
    /// Reads the event.
    pub(super) fn read(&self, id: EventId) -> Read<StoredEvent> {
        let event = Event::decode(self.kind, &self.payload)
            .map_err(|error| StateError::Malformed(format!("event {id:?}: {error}")))?;
        let wall = self.wall;
        Ok(StoredEvent { id, wall, event })
    }
}

/// An event of an object's history.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredEvent {
    /// Its id.
    pub id: EventId,
    /// When it was appended.
    pub wall: Timestamp,
    /// What happened.
    pub event: Event,
}

/// A change of what is kept of an object's history.
#[derive(Clone, Debug)]
pub enum HistoryPut {
    /// One event of an object's history.
    Timeline {
        /// Where it is stored.
        partition: PartitionId,
        /// The accepted event whose history it belongs to.
        object: EventId,
        /// The event itself.
        id: EventId,
        /// When it was appended.
        wall: Timestamp,
        /// Its kind number.
        kind: u16,
        /// Its payload as journaled.
        payload: Bytes,
    },
    /// An accepted event or mail is about a person: what exports and erasures go by.
    About {
        /// The person's partition.
        partition: PartitionId,
        /// Who.
        person: PersonKey,
        /// Which shop brought it.
        shop: ShopNumber,
        /// The object whose timeline it is.
        object: EventId,
    },
    /// An object is erased: its timeline goes, and the entry that it is about a person.
    Erase {
        /// The person's partition.
        partition: PartitionId,
        /// Who.
        person: PersonKey,
        /// Which shop brought it.
        shop: ShopNumber,
        /// The object.
        object: EventId,
    },
}

/// Erasing reads: what it erases must be written before.
impl Change for HistoryPut {
    fn add(&self, tables: &Tables, batch: &mut OwnedWriteBatch) -> Read<()> {
        match self {
            Self::Timeline {
                partition,
                object,
                id,
                wall,
                kind,
                payload,
            } => {
                let value = Journaled {
                    wall: *wall,
                    kind: *kind,
                    payload: payload.clone(),
                };
                let timeline = tables.of::<Timeline>();
                timeline.insert(batch, &(*partition, *object, *id), &value);
            }
            Self::About {
                partition,
                person,
                shop,
                object,
            } => {
                let about = tables.of::<About>();
                about.insert(batch, &(*partition, *person, *shop, *object), &());
            }
            Self::Erase {
                partition,
                person,
                shop,
                object,
            } => {
                let timeline = tables.of::<Timeline>();
                for row in timeline.stored_under(&(*partition, *object)) {
                    timeline.remove(batch, &row?.key()?);
                }
                let about = tables.of::<About>();
                about.remove(batch, &(*partition, *person, *shop, *object));
            }
        }
        Ok(())
    }

    fn bytes(&self) -> usize {
        match self {
            Self::Timeline { payload, .. } => payload.len(),
            Self::About { .. } | Self::Erase { .. } => 0,
        }
    }
}

/// Reads histories.
#[derive(Clone, Copy, Debug)]
pub struct Histories<'a>(pub(super) &'a Reader);

impl<'a> Histories<'a> {
    /// Returns the history of an object, oldest event first; empty if there is none.
    pub fn of(self, partition: PartitionId, object: EventId) -> Read<Vec<StoredEvent>> {
        self.events(partition, object).collect()
    }

    /// Returns what it takes to tell a record to a viewer; `None` if the outside does not see such events, and nothing is
    /// looked up. Whose it is may come a moment later, as [`Histories::whose`] says.
    pub fn telling<'c>(self, record: &Record, catalogue: &'c Catalogue, viewer: Viewer) -> Read<Option<Telling<'c>>> {
        if !record.event.is_public() {
            return Ok(None);
        }
        Ok(Some(Telling {
            id: record.public_id(),
            at: record.wall,
            shop: self.whose(record)?,
            catalogue,
            viewer,
        }))
    }

    /// Returns whose mail, order, contact or cart an event is about: as the event says itself, or as the first event of its
    /// mail's history does. That is known once the mail's decision is in state, which is before its first attempt ends or a
    /// moment later; a caller who must not miss it waits for [`State::applied`](super::State::applied) to reach the record.
    pub fn whose(self, record: &Record) -> Read<Option<ShopNumber>> {
        let about = record.event.about();
        match (about.shop, about.mail) {
            (None, Some(message)) => self.shop_of_mail(record.partition, message),
            (shop, _) => Ok(shop),
        }
    }

    /// Returns whose mail this is: the first event of its history, the decision, says so. `None` if state does not know it
    /// (yet), or not any more.
    fn shop_of_mail(self, partition: PartitionId, message: MessageId) -> Read<Option<ShopNumber>> {
        let first = self.events(partition, message.event()).next().transpose()?;
        Ok(first.and_then(|first| first.event.about().shop))
    }

    /// Returns the objects that are about a person, by shop, oldest first.
    pub fn about(self, partition: PartitionId, person: &PersonKey) -> Read<Vec<(ShopNumber, EventId)>> {
        let rows = self.0.of::<About>().prefix(&(partition, *person));
        let rows = self.0.each(rows);
        rows.map(|row| row.map(|((_, _, shop, object), ())| (shop, object)))
            .collect()
    }

    fn events(self, partition: PartitionId, object: EventId) -> impl Iterator<Item = Read<StoredEvent>> + use<'a> {
        let rows = self.0.of::<Timeline>().prefix(&(partition, object));
        self.0.each(rows).map(|row| {
            let ((_, _, id), payload) = row?;
            payload.read(id)
        })
    }
}
