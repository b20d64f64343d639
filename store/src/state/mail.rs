//! Mails after their delivery: how each stands with its recipient, and when its hits are to be judged.

use std::borrow::Cow;
use std::ops::Range;

use fjall::OwnedWriteBatch;
use types::id::{MessageId, PartitionId, Slot};
use types::tally::MailCounts;
use types::time::Timestamp;

use super::key;
use super::merge::merge;
use super::reader::Reader;
use super::table::{Read, Row, Spread, Value};
use super::tables::Tables;
use super::turn::Change;

/// How a mail stands with its recipient.
pub(super) struct Mail;

impl Row for Mail {
    const NAME: &'static str = "mail";
    const NUMBER: u8 = 8;
    const SPREAD: Spread = Spread::Partition;
    type Key = (PartitionId, MessageId);
    type Value = StoredMail;
}

/// That a mail's hits are to be judged: by slot, moment, partition and message.
pub(super) struct Due;

impl Row for Due {
    const NAME: &'static str = "due2";
    const NUMBER: u8 = 25;
    const SPREAD: Spread = Spread::Slot;
    type Key = (Slot, Timestamp, PartitionId, MessageId);
    type Value = ();
}

/// How one mail stands with its recipient.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredMail {
    /// What readers see of it.
    pub counts: MailCounts,
    /// The rest, in the runner's own encoding.
    pub value: Vec<u8>,
}

impl Value for StoredMail {
    fn encode(&self) -> Cow<'_, [u8]> {
        Cow::Owned([self.counts.to_bytes().as_slice(), &self.value].concat())
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let (counts, value) = bytes.split_first_chunk()?;
        Some(Self {
            counts: MailCounts::from_bytes(counts),
            value: value.to_vec(),
        })
    }
}

/// A change of what is known of a mail.
#[derive(Clone, Debug)]
pub enum MailPut {
    /// How one mail stands with its recipient. Kept as long as the mail's links work.
    Set {
        /// Where its events go.
        partition: PartitionId,
        /// Which.
        message: MessageId,
        /// How it stands.
        mail: StoredMail,
    },
    /// A mail's hits are to be judged at some time.
    DueSet {
        /// When.
        at: Timestamp,
        /// Where the mail's events go.
        partition: PartitionId,
        /// Which mail.
        message: MessageId,
    },
    /// They have been.
    DueDelete {
        /// When it was due.
        at: Timestamp,
        /// Where the mail's events go.
        partition: PartitionId,
        /// Which mail.
        message: MessageId,
    },
}

impl Change for MailPut {
    fn add(&self, tables: &Tables, batch: &mut OwnedWriteBatch) -> Read<()> {
        match self {
            Self::Set {
                partition,
                message,
                mail,
            } => tables.of::<Mail>().insert(batch, &(*partition, *message), mail),
            Self::DueSet { at, partition, message } => {
                tables.of::<Due>().insert(batch, &due(*at, *partition, *message), &());
            }
            Self::DueDelete { at, partition, message } => {
                tables.of::<Due>().remove(batch, &due(*at, *partition, *message));
            }
        }
        Ok(())
    }

    fn bytes(&self) -> usize {
        match self {
            Self::Set { mail, .. } => mail.value.len(),
            Self::DueSet { .. } | Self::DueDelete { .. } => 0,
        }
    }
}

/// Returns under which key it stands that a mail is due.
pub(super) fn due(at: Timestamp, partition: PartitionId, message: MessageId) -> <Due as Row>::Key {
    (Slot::of(partition), at, partition, message)
}

/// Reads mails.
#[derive(Clone, Copy, Debug)]
pub struct Mails<'a>(pub(super) &'a Reader);

impl<'a> Mails<'a> {
    /// Returns the counts of all mails of a partition.
    pub fn counts(self, partition: PartitionId) -> impl Iterator<Item = Read<(MessageId, MailCounts)>> + use<'a> {
        let rows = self.0.each(self.0.of::<Mail>().prefix(&partition));
        rows.map(|row| row.map(|((_, message), mail)| (message, mail.counts)))
    }

    /// Returns how one mail stands with its recipient.
    pub fn get(self, partition: PartitionId, message: MessageId) -> Read<Option<StoredMail>> {
        self.0.get::<Mail>(&(partition, message))
    }

    /// Returns up to `limit` mails of these partitions' slots that are to be judged from `from` on, before `until`, the earliest first.
    pub fn due(
        self,
        partitions: Range<u16>,
        from: Timestamp,
        until: Timestamp,
        limit: usize,
    ) -> Read<Vec<(Timestamp, PartitionId, MessageId)>> {
        let rows = self.0.of::<Due>();
        let slots = partitions.filter_map(PartitionId::new).map(Slot::of);
        let slots: std::collections::BTreeSet<_> = slots.collect();
        let until = until.max(from);
        let runs = slots
            .into_iter()
            .map(|slot| rows.range(key::encode(&(slot, from))..key::encode(&(slot, until))));
        let rows = merge(runs, |((_, at, partition, message), ())| (*at, *partition, *message)).take(limit);
        let rows = self.0.each(rows);
        rows.map(|row| row.map(|((_, at, partition, message), ())| (at, partition, message)))
            .collect()
    }
}
