//! Suppression lists: who is not mailed, by the network or by a shop.
//!
//! An entry stands with its person. A list is read in the order of persons, which is the order of their partitions.

use std::borrow::Cow;

use fjall::OwnedWriteBatch;
use types::event::SuppressionCause;
use types::id::{PartitionId, PersonKey, ShopNumber};
use types::order::Stream;
use types::time::Timestamp;

use super::key::{self, Part};
use super::reader::Reader;
use super::table::{self, Read, Spread, Value};
use super::tables::Tables;
use super::turn::Change;
use crate::frame::u64_at;

/// An entry of a list.
pub(super) struct Row;

impl table::Row for Row {
    const NAME: &'static str = "suppression2";
    const NUMBER: u8 = 23;
    const SPREAD: Spread = Spread::Partition;
    type Key = (PartitionId, SuppressionList, PersonKey, Streams);
    type Value = Reason;
}

/// Whose suppression list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SuppressionList {
    /// The network's: no shop mails the person.
    Network,
    /// One shop's.
    Shop(ShopNumber),
}

const NETWORK: u8 = 0;
const SHOP: u8 = 1;

/// The network is before all shops.
impl Part for SuppressionList {
    fn put(&self, key: &mut Vec<u8>) {
        match self {
            Self::Network => NETWORK.put(key),
            Self::Shop(shop) => (SHOP, *shop).put(key),
        }
    }

    fn take(key: &mut &[u8]) -> Option<Self> {
        match u8::take(key)? {
            NETWORK => Some(Self::Network),
            SHOP => ShopNumber::take(key).map(Self::Shop),
            _ => None,
        }
    }
}

/// On which stream; `None` is both.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Streams(pub(super) Option<Stream>);

impl Part for Streams {
    fn put(&self, key: &mut Vec<u8>) {
        key.push(match self.0 {
            None => 0,
            Some(Stream::Transactional) => 1,
            Some(Stream::Promotional) => 2,
        });
    }

    fn take(key: &mut &[u8]) -> Option<Self> {
        match u8::take(key)? {
            0 => Some(Self(None)),
            1 => Some(Self(Some(Stream::Transactional))),
            2 => Some(Self(Some(Stream::Promotional))),
            _ => None,
        }
    }
}

/// Why, and since when.
pub(super) struct Reason {
    cause: SuppressionCause,
    at: Timestamp,
}

impl Value for Reason {
    fn encode(&self) -> Cow<'_, [u8]> {
        let cause = match self.cause {
            SuppressionCause::Unsubscribed => 0,
            SuppressionCause::HardBounce => 1,
            SuppressionCause::Complaint => 2,
            SuppressionCause::Manual => 3,
        };
        Cow::Owned([&[cause], self.at.as_millis().to_le_bytes().as_slice()].concat())
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let cause = match bytes.first()? {
            0 => SuppressionCause::Unsubscribed,
            1 => SuppressionCause::HardBounce,
            2 => SuppressionCause::Complaint,
            3 => SuppressionCause::Manual,
            _ => return None,
        };
        let at = Timestamp::from_millis(u64_at(bytes, 1)?);
        Some(Self { cause, at })
    }
}

/// An entry of a suppression list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Suppression {
    /// Who.
    pub person: PersonKey,
    /// On which stream; `None` is both.
    pub stream: Option<Stream>,
    /// Why.
    pub cause: SuppressionCause,
    /// Since when.
    pub at: Timestamp,
}

/// A change of a suppression list.
#[derive(Clone, Debug)]
pub enum SuppressionPut {
    /// A person was put on a list.
    Set {
        /// Which list.
        list: SuppressionList,
        /// Who.
        person: PersonKey,
        /// On which stream; `None` is both.
        stream: Option<Stream>,
        /// Why.
        cause: SuppressionCause,
        /// Since when.
        at: Timestamp,
    },
    /// A person was taken off a list.
    Delete {
        /// Which list.
        list: SuppressionList,
        /// Who.
        person: PersonKey,
        /// From which stream; `None` is the entry for both.
        stream: Option<Stream>,
    },
}

impl Change for SuppressionPut {
    fn add(&self, tables: &Tables, batch: &mut OwnedWriteBatch) -> Read<()> {
        let rows = tables.of::<Row>();
        match *self {
            Self::Set {
                list,
                person,
                stream,
                cause,
                at,
            } => rows.insert(batch, &row_key(list, person, stream), &Reason { cause, at }),
            Self::Delete { list, person, stream } => rows.remove(batch, &row_key(list, person, stream)),
        }
        Ok(())
    }
}

fn row_key(list: SuppressionList, person: PersonKey, stream: Option<Stream>) -> <Row as table::Row>::Key {
    (person.partition(), list, person, Streams(stream))
}

/// Reads suppression lists.
#[derive(Clone, Copy, Debug)]
pub struct Suppressions<'a>(pub(super) &'a Reader);

impl Suppressions<'_> {
    /// Returns up to `limit` entries of a list, by person, from after `cursor` on.
    pub fn of(
        self,
        list: SuppressionList,
        cursor: Option<(PersonKey, Option<Stream>)>,
        limit: usize,
    ) -> Read<Vec<Suppression>> {
        let from = cursor.map(|(person, stream)| key::after(&row_key(list, person, stream)));
        let persons = 0..PartitionId::CATALOGUE.number();
        let rows = self.0.of::<Row>().of_owner(&list, persons, from).take(limit);
        let entries = self.0.each(rows).map(|row| {
            let ((_, _, person, Streams(stream)), Reason { cause, at }) = row?;
            Ok(Suppression {
                person,
                stream,
                cause,
                at,
            })
        });
        entries.collect()
    }
}
