//! The outbox: messages that are not terminal, and how each stands.

use std::ops::Range;

use fjall::OwnedWriteBatch;
use minicbor::{Decode, Encode};
use types::id::{Attempt, EventId, MessageId, PartitionId};
use types::order::Stream;
use types::time::Timestamp;

use super::key;
use super::reader::Reader;
use super::table::{self, Read, Spread, cbor_values};
use super::tables::Tables;
use super::turn::Change;

/// A message that is not terminal.
pub(super) struct Row;

impl table::Row for Row {
    const NAME: &'static str = "outbox";
    const NUMBER: u8 = 2;
    const SPREAD: Spread = Spread::Partition;
    type Key = (PartitionId, MessageId);
    type Value = OutboxEntry;
}

cbor_values!(OutboxEntry);

/// How a message that is not terminal stands.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct OutboxEntry {
    /// The accepted event that caused it.
    #[n(0)]
    pub cause: EventId,
    /// Attempts claimed so far; 0 before the first.
    #[n(1)]
    pub attempts: Attempt,
    /// Whether the last of them has not ended: after a crash, it is in doubt.
    #[n(2)]
    pub claimed: bool,
    /// Not to be tried before.
    #[n(3)]
    pub due: Timestamp,
    /// When it is no longer worth sending.
    #[n(4)]
    pub expires: Timestamp,
    /// Its stream.
    #[n(5)]
    pub stream: Stream,
    /// When its cause was accepted.
    #[n(6)]
    pub accepted_at: Timestamp,
    /// Whether it must not be sent any more: it is only to be recorded as withdrawn.
    #[n(7)]
    #[cbor(default)]
    pub withdrawn: bool,
    /// Whether an attempt has ended in doubt and the mail is tried once more: the next doubt is the last.
    #[n(8)]
    #[cbor(default)]
    pub doubted: bool,
}

/// A change of the outbox.
#[derive(Clone, Debug)]
pub enum OutboxPut {
    /// A message that is not terminal.
    Set {
        /// Where its events go.
        partition: PartitionId,
        /// Which.
        message: MessageId,
        /// How it stands.
        entry: OutboxEntry,
    },
    /// A message became terminal.
    Delete {
        /// Where its events went.
        partition: PartitionId,
        /// Which.
        message: MessageId,
    },
}

impl Change for OutboxPut {
    fn add(&self, tables: &Tables, batch: &mut OwnedWriteBatch) -> Read<()> {
        let rows = tables.of::<Row>();
        match self {
            Self::Set {
                partition,
                message,
                entry,
            } => rows.insert(batch, &(*partition, *message), entry),
            Self::Delete { partition, message } => rows.remove(batch, &(*partition, *message)),
        }
        Ok(())
    }
}

impl Tables {
    /// Returns every message that is not terminal.
    pub(crate) fn outbox(&self) -> impl Iterator<Item = Read<MessageId>> {
        let rows = self.of::<Row>().stored(..);
        rows.map(|row| Ok(row?.key()?.1))
    }
}

/// Reads the outbox.
#[derive(Clone, Copy, Debug)]
pub struct Outbox<'a>(pub(super) &'a Reader);

impl<'a> Outbox<'a> {
    /// Returns the messages of these partitions that are not terminal, by partition and id.
    pub fn of(
        self,
        partitions: Range<u16>,
    ) -> impl Iterator<Item = Read<(PartitionId, MessageId, OutboxEntry)>> + use<'a> {
        let bounds = key::encode(&partitions.start)..key::encode(&partitions.end);
        let rows = self.0.of::<Row>().range(bounds);
        self.0
            .each(rows.map(|row| row.map(|((partition, message), entry)| (partition, message, entry))))
    }

    /// Returns how one message stands, or `None` if it is terminal or unknown.
    pub fn entry(self, partition: PartitionId, message: MessageId) -> Read<Option<OutboxEntry>> {
        self.0.get::<Row>(&(partition, message))
    }
}
