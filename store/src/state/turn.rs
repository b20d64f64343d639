//! What a runner writes to state: one turn at a time.

use std::ops::Range;

use bytes::Bytes;
use minicbor::{Decode, Encode};
use types::event::{Claim, SuppressionCause};
use types::id::{Attempt, CampaignNumber, EventId, MessageId, PartitionId, PersonKey, PublicId, ShopNumber};
use types::order::Stream;
use types::time::Timestamp;

use super::automation::AutomationPut;
use super::tracked::TrackedPut;
use crate::journal::Position;

/// All changes of state that one append of a runner caused. Written whole or not at all.
///
/// A runner hands in one turn for each append, in order, also if nothing changed: the position tells how far its
/// partitions have come.
#[derive(Clone, Debug)]
pub struct Turn {
    /// The runner's partitions.
    pub range: Range<u16>,
    /// The last record of the append; all earlier ones of these partitions are in this turn or in those before.
    pub position: Position,
    /// What changes, in order.
    pub puts: Vec<Put>,
    /// Messages whose spooled bytes nobody needs once this turn is written.
    pub released: Vec<MessageId>,
}

/// One change of state.
#[derive(Clone, Debug)]
pub enum Put {
    /// A person's state, in the runner's own encoding.
    Person {
        /// The person's partition.
        partition: PartitionId,
        /// Who.
        key: PersonKey,
        /// The whole new value.
        value: Vec<u8>,
    },
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
    /// A message that is not terminal.
    OutboxSet {
        /// Where its events go.
        partition: PartitionId,
        /// Which.
        message: MessageId,
        /// How it stands.
        entry: OutboxEntry,
    },
    /// A message became terminal.
    OutboxDelete {
        /// Where its events went.
        partition: PartitionId,
        /// Which.
        message: MessageId,
    },
    /// A name was claimed by a durable event.
    Claim {
        /// Name and body.
        claim: Claim,
        /// The event that claimed it.
        id: PublicId,
        /// When; it is kept 72 hours or longer from then on.
        at: Timestamp,
    },
    /// A change of the catalogue.
    Catalogue {
        /// The version that this change made: 1 is the first.
        sequence: u64,
        /// When it was appended.
        wall: Timestamp,
        /// The payload of the journaled event.
        payload: Bytes,
    },
    /// A counter of a campaign, one for each partition; readers sum them up.
    Counter {
        /// Whose counter.
        partition: PartitionId,
        /// Of which campaign.
        campaign: CampaignNumber,
        /// Its new value.
        value: u64,
    },
    /// A person was put on a suppression list.
    SuppressionSet {
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
    /// A person was taken off a suppression list.
    SuppressionDelete {
        /// Which list.
        list: SuppressionList,
        /// Who.
        person: PersonKey,
        /// From which stream; `None` is the entry for both.
        stream: Option<Stream>,
    },
    /// Something after delivery.
    Tracked(TrackedPut),
    /// Something about contacts, workflows, carts or timers.
    Automation(AutomationPut),
}

/// Whose suppression list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SuppressionList {
    /// The network's: no shop mails the person.
    Network,
    /// One shop's.
    Shop(ShopNumber),
}

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

impl Turn {
    /// Returns whether the turn erases what earlier ones wrote.
    pub fn erases(&self) -> bool {
        let erases = |put: &Put| matches!(put, Put::Tracked(TrackedPut::Erase { .. }));
        self.puts.iter().any(erases)
    }

    /// Estimates the bytes that the turn holds while it waits.
    pub(crate) fn bytes(&self) -> usize {
        let puts: usize = self
            .puts
            .iter()
            .map(|put| match put {
                Put::Person { value, .. } => value.len(),
                Put::Timeline { payload, .. } | Put::Catalogue { payload, .. } => payload.len(),
                Put::Tracked(change) => change.bytes(),
                Put::Automation(change) => change.bytes(),
                _ => 0,
            })
            .sum();
        puts + (self.puts.len() + 1) * size_of::<Put>()
    }
}
