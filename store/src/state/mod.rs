//! State: the fold over all events, in fjall, for keyed look-ups and quick restarts.
//!
//! State is written only through [`Turn`]s, by one thread, each turn after its position is durable. It is never synced on
//! the way of a request: after a crash it is behind, says so itself (its positions are written with the changes, in one
//! batch), and catches up from the journal. Reads do not see turns that still wait; runners keep those in memory.
//!
//! A read that fails fails the store before it returns: nothing decided without its answer can become durable.

mod automation;
pub(crate) mod cells;
mod scan;
mod sweep;
pub(crate) mod tables;
pub(crate) mod tracked;
mod turn;
pub(crate) mod writer;

use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use tokio::sync::watch;
use types::catalogue::Catalogue;
use types::event::{CatalogueChanged, Event, SuppressionCause};
use types::id::{CampaignNumber, EventId, MessageId, PartitionId, PersonKey, ShopNumber};
use types::order::Stream;
use types::time::Timestamp;

pub use automation::{AutomationPut, Timer, TimerClass, TimerKey};
pub use tables::StoredClaim;
pub(crate) use tables::Tables;
pub use tracked::{StoredLead, TrackedPut, Visit};
pub use turn::{OutboxEntry, Put, SuppressionList, Turn};
pub use writer::Observer;
use writer::Turns;

use crate::commit::Commits;
use crate::journal::{Position, Record};
use crate::sync::lock;
use tables::{read_counter, read_object_key, read_suppression};

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

/// Why state did not answer.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// The database could not be read. The store has failed.
    #[error("state could not be read")]
    Read(#[from] fjall::Error),
    /// What is stored is not what was put; the text says where.
    #[error("state holds something unreadable: {0}")]
    Malformed(String),
}

/// State, as everyone reads it and runners write it.
pub struct State {
    pub(crate) tables: Arc<Tables>,
    pub(crate) turns: Arc<Turns>,
    pub(crate) commits: Arc<Commits>,
    pub(crate) applied: Arc<Applied>,
    /// The last catalogue that was asked for by version: recovery asks for the same one again and again.
    past: Mutex<Option<Catalogue>>,
}

impl std::fmt::Debug for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("State")
    }
}

/// The last applied position of each partition.
#[derive(Debug)]
pub(crate) struct Applied {
    positions: Vec<AtomicU64>,
    changed: watch::Sender<()>,
}

impl Applied {
    pub(crate) fn new(positions: Vec<u64>) -> Self {
        Self {
            positions: positions.into_iter().map(AtomicU64::new).collect(),
            changed: watch::Sender::new(()),
        }
    }

    pub(crate) fn of(&self, partition: PartitionId) -> u64 {
        self.positions
            .get(usize::from(partition.number()))
            .map_or(0, |position| position.load(Ordering::Acquire))
    }

    /// Takes in turns that are written, and tells those who wait for it.
    pub(crate) fn raise(&self, turns: &[Turn]) {
        for turn in turns {
            let range = usize::from(turn.range.start)..usize::from(turn.range.end);
            for position in self.positions.get(range).unwrap_or_default() {
                position.fetch_max(turn.position.0, Ordering::AcqRel);
            }
        }
        self.changed.send_replace(());
    }

    pub(crate) fn changed(&self) -> watch::Receiver<()> {
        self.changed.subscribe()
    }

    /// Returns the position up to which all records of all partitions are applied once `turns` are. `durable` was read
    /// before `last`, the last position of each partition.
    pub(crate) fn through_with(&self, turns: &[Turn], durable: u64, last: &[u64]) -> u64 {
        let mut positions: Vec<u64> = self.positions.iter().map(|p| p.load(Ordering::Acquire)).collect();
        for turn in turns {
            let range = usize::from(turn.range.start)..usize::from(turn.range.end);
            for position in positions.get_mut(range).unwrap_or_default() {
                *position = turn.position.0.max(*position);
            }
        }
        positions
            .iter()
            .zip(last)
            .filter(|(applied, last)| applied < last)
            .map(|(applied, _)| *applied)
            .fold(durable, u64::min)
    }
}

impl State {
    pub(crate) fn new(tables: Arc<Tables>, turns: Arc<Turns>, commits: Arc<Commits>, applied: Arc<Applied>) -> Self {
        Self {
            tables,
            turns,
            commits,
            applied,
            past: Mutex::default(),
        }
    }

    /// Hands a turn to the state writer, which writes it once its position is durable. Waits only while more turns wait
    /// than their bound; after a failure turns are dropped, since recovery makes them again.
    pub fn submit(&self, turn: Turn) {
        self.turns.submit(turn);
    }

    /// Returns how many bytes of turns wait to be written. [`State::submit`] waits when they are as many as the settings allow: work that
    /// can wait itself stops long before that.
    pub fn waiting_bytes(&self) -> usize {
        self.turns.waiting_bytes()
    }

    /// Returns a person's state as it was last put.
    pub fn person(&self, partition: PartitionId, key: &PersonKey) -> Result<Option<Vec<u8>>, StateError> {
        let value = self.checked(self.tables.person.get(tables::person_key(partition, key)))?;
        Ok(value.map(|value| value.to_vec()))
    }

    /// Returns the history of an object, oldest event first; empty if there is none.
    pub fn timeline(&self, partition: PartitionId, object: EventId) -> Result<Vec<StoredEvent>, StateError> {
        let prefix = tables::timeline_prefix(partition, object);
        let rows = self.tables.timeline.prefix(prefix).map(|entry| {
            let (key, value) = self.checked(entry.into_inner())?;
            tables::read_event(&key, &value)
        });
        rows.collect()
    }

    /// Returns whose mail, order, contact or cart an event is about: as the event says itself, or as the first event of its
    /// mail's history does. That is known once the mail's decision is in state, which is before its first attempt ends or a
    /// moment later; a caller who must not miss it waits for [`State::applied`] to reach the record.
    pub fn whose(&self, record: &Record) -> Result<Option<ShopNumber>, StateError> {
        let about = record.event.about();
        match (about.shop, about.mail) {
            (None, Some(message)) => self.shop_of_mail(record.partition, message),
            (shop, _) => Ok(shop),
        }
    }

    /// Returns whose mail this is: the first event of its history, the decision, says so. `None` if state does not know it
    /// (yet), or not any more.
    pub fn shop_of_mail(&self, partition: PartitionId, message: MessageId) -> Result<Option<ShopNumber>, StateError> {
        let prefix = tables::timeline_prefix(partition, message.event());
        let Some(entry) = self.tables.timeline.prefix(prefix).next() else {
            return Ok(None);
        };
        let (key, value) = self.checked(entry.into_inner())?;
        Ok(tables::read_event(&key, &value)?.event.about().shop)
    }

    /// Returns the messages of these partitions that are not terminal, by partition and id.
    pub fn outbox(
        &self,
        partitions: Range<u16>,
    ) -> impl Iterator<Item = Result<(PartitionId, MessageId, OutboxEntry), StateError>> + '_ {
        let bounds = partitions.start.to_be_bytes()..partitions.end.to_be_bytes();
        self.tables.outbox.range(bounds).map(|entry| {
            let (key, value) = self.checked(entry.into_inner())?;
            let row = read_object_key(&key).ok_or_else(|| StateError::Malformed(format!("outbox key {key:?}")))?;
            Ok((row.0, MessageId::new(row.1), read_outbox(row.1, &value)?))
        })
    }

    /// Returns how one message stands, or `None` if it is terminal or unknown.
    pub fn outbox_entry(&self, partition: PartitionId, message: MessageId) -> Result<Option<OutboxEntry>, StateError> {
        let value = self.checked(self.tables.outbox.get(tables::outbox_key(partition, message)))?;
        value.map(|value| read_outbox(message.event(), &value)).transpose()
    }

    /// Looks a claimed name up. Names whose accept is not yet in state are known to [`crate::Claims`] alone.
    pub fn claim(&self, name: &[u8; 16]) -> Result<Option<StoredClaim>, StateError> {
        self.checked(self.tables.claim(name))
    }

    /// Returns all changes of the catalogue, oldest first.
    pub fn catalogue_changes(&self) -> Result<Vec<StoredChange>, StateError> {
        self.changes(u64::MAX).collect()
    }

    /// Returns the catalogue as it was at a version, or at its latest in state, if that is lower.
    pub fn catalogue_at(&self, version: u64) -> Result<Catalogue, StateError> {
        let mut past = lock(&self.past);
        if let Some(catalogue) = past.as_ref().filter(|catalogue| catalogue.version() == version) {
            return Ok(catalogue.clone());
        }
        let mut catalogue = Catalogue::default();
        for stored in self.changes(version) {
            let stored = stored?;
            catalogue.apply(&stored.change, stored.wall);
        }
        *past = Some(catalogue.clone());
        Ok(catalogue)
    }

    /// Returns all counters of campaigns, one for each partition that counted.
    pub fn counters(&self) -> Result<Vec<(PartitionId, CampaignNumber, u64)>, StateError> {
        let rows = self.tables.counter.iter().map(|entry| {
            let (key, value) = self.checked(entry.into_inner())?;
            read_counter(&key, &value).ok_or_else(|| StateError::Malformed(format!("counter {key:?}")))
        });
        rows.collect()
    }

    /// Returns the position up to which a partition's records are in state.
    pub fn applied(&self, partition: PartitionId) -> Position {
        Position(self.applied.of(partition))
    }

    /// Returns up to `limit` entries of a suppression list, by person, from after `cursor` on.
    pub fn suppressions(
        &self,
        list: SuppressionList,
        cursor: Option<(PersonKey, Option<Stream>)>,
        limit: usize,
    ) -> Result<Vec<Suppression>, StateError> {
        let prefix = tables::suppression_prefix(list);
        let start = cursor.map_or_else(
            || prefix.clone(),
            |(person, stream)| {
                // The next key after the cursor's own.
                let mut key = tables::suppression_key(list, &person, stream);
                key.push(0);
                key
            },
        );
        let mut found = Vec::new();
        for entry in self.tables.suppression.range(start..).take(limit) {
            let (key, value) = self.checked(entry.into_inner())?;
            let Some(rest) = key.strip_prefix(prefix.as_slice()) else {
                break;
            };
            let entry = read_suppression(rest, &value);
            found.push(entry.ok_or_else(|| StateError::Malformed(format!("suppression {key:?}")))?);
        }
        Ok(found)
    }

    fn changes(&self, through: u64) -> impl Iterator<Item = Result<StoredChange, StateError>> + '_ {
        self.tables.catalogue.range(..=through.to_be_bytes()).map(|entry| {
            let (key, value) = self.checked(entry.into_inner())?;
            tables::read_change(&key, &value)
        })
    }

    /// Fails the store if a read failed.
    fn checked<T>(&self, read: fjall::Result<T>) -> Result<T, StateError> {
        Ok(read.inspect_err(|error| self.commits.fail("reading state", error))?)
    }
}

fn read_outbox(message: EventId, value: &[u8]) -> Result<OutboxEntry, StateError> {
    minicbor::decode(value).map_err(|error| StateError::Malformed(format!("outbox entry of {message:?}: {error}")))
}
