//! Changes of the catalogue, by version. They are the whole node's: no slot has them.

use std::borrow::Cow;
use std::sync::Mutex;

use bytes::Bytes;
use fjall::OwnedWriteBatch;
use types::catalogue::Catalogue;
use types::event::CatalogueChanged;
use types::time::Timestamp;

use super::StateError;
use super::key;
use super::reader::Reader;
use super::table::{self, Read, Spread, Value};
use super::tables::Tables;
use super::turn::Change;
use crate::frame::u64_at;
use crate::sync::lock;

/// A change of the catalogue, by the version that it made.
pub(super) struct Row;

impl table::Row for Row {
    const NAME: &'static str = "catalogue";
    const NUMBER: u8 = 4;
    const SPREAD: Spread = Spread::Catalogue;
    type Key = u64;
    type Value = Journaled;
}

/// When the change was appended, and the payload of the journaled event.
pub(super) struct Journaled {
    wall: Timestamp,
    payload: Bytes,
}

impl Value for Journaled {
    fn encode(&self) -> Cow<'_, [u8]> {
        Cow::Owned([self.wall.as_millis().to_le_bytes().as_slice(), &self.payload].concat())
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        Some(Self {
            wall: Timestamp::from_millis(u64_at(bytes, 0)?),
            payload: Bytes::copy_from_slice(bytes.get(8..)?),
        })
    }
}

/// A change of the catalogue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredChange {
    /// The version that it made.
    pub sequence: u64,
    /// When it was appended.
    pub wall: Timestamp,
    /// What changed.
    pub change: CatalogueChanged,
}

/// A change of the catalogue.
#[derive(Clone, Debug)]
pub struct CataloguePut {
    /// The version that this change made: 1 is the first.
    pub sequence: u64,
    /// When it was appended.
    pub wall: Timestamp,
    /// The payload of the journaled event.
    pub payload: Bytes,
}

impl Change for CataloguePut {
    fn add(&self, tables: &Tables, batch: &mut OwnedWriteBatch) -> Read<()> {
        let (wall, payload) = (self.wall, self.payload.clone());
        tables
            .of::<Row>()
            .insert(batch, &self.sequence, &Journaled { wall, payload });
        Ok(())
    }

    fn bytes(&self) -> usize {
        self.payload.len()
    }
}

/// Reads the catalogue's changes.
#[derive(Clone, Copy, Debug)]
pub struct CatalogueChanges<'a> {
    pub(super) reader: &'a Reader,
    /// The last catalogue that was asked for by version: recovery asks for the same one again and again.
    pub(super) past: &'a Mutex<Option<Catalogue>>,
}

impl<'a> CatalogueChanges<'a> {
    /// Returns all changes, oldest first.
    pub fn all(self) -> Read<Vec<StoredChange>> {
        self.through(u64::MAX).collect()
    }

    /// Returns the catalogue as it was at a version, or at its latest in state, if that is lower.
    pub fn at(self, version: u64) -> Read<Catalogue> {
        let mut past = lock(self.past);
        if let Some(catalogue) = past.as_ref().filter(|catalogue| catalogue.version() == version) {
            return Ok(catalogue.clone());
        }
        let mut catalogue = Catalogue::default();
        for stored in self.through(version) {
            let stored = stored?;
            catalogue.apply(&stored.change, stored.wall);
        }
        *past = Some(catalogue.clone());
        Ok(catalogue)
    }

    fn through(self, version: u64) -> impl Iterator<Item = Read<StoredChange>> + use<'a> {
        let rows = self.reader.of::<Row>().range(..=key::encode(&version));
        self.reader.each(rows).map(|row| {
            let (sequence, Journaled { wall, payload }) = row?;
            let change = minicbor::decode(&payload)
                .map_err(|error| StateError::Malformed(format!("catalogue change {sequence}: {error}")))?;
            Ok(StoredChange { sequence, wall, change })
        })
    }
}
