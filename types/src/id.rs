//! Ids: of events, messages, partitions, persons, and the short numbers that travel in tokens.
//!
//! An [`EventId`] is 64 bits: 42 bits of milliseconds since [`EPOCH_MILLIS`], 10 bits of node, 12 bits of sequence. It
//! sorts by time and is unique per node. A [`PublicId`] is what the world outside sees: an `EventId` with the
//! partition it lives in, so that a look-up goes straight to the right place.

use std::fmt;
use std::str::FromStr;
use std::sync::atomic::{AtomicU64, Ordering};

use aws_lc_rs::digest;
use data_encoding::BASE32_NOPAD;
use minicbor::{Decode, Encode};

use crate::time::Timestamp;

/// The first millisecond that an [`EventId`] can express: 2024-01-01T00:00:00Z. 42 bits last until the year 2163.
pub const EPOCH_MILLIS: u64 = 1_704_067_200_000;

/// How many partitions hold persons. Partition numbers from here on are the system's own.
pub const PERSON_PARTITIONS: u16 = 1024;

/// Identifies one journaled event: time, node and sequence in 64 bits, sorting by time.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
#[cbor(transparent)]
pub struct EventId(#[n(0)] u64);

impl EventId {
    /// Takes the raw 64 bits, as stored in journal, state and tokens.
    pub const fn from_raw(raw: u64) -> Self {
        Self(raw)
    }

    /// Returns the raw 64 bits.
    pub const fn raw(self) -> u64 {
        self.0
    }

    /// Returns the smallest id that an event of `time` can have; the bound of range scans by time.
    pub fn floor(time: Timestamp) -> Self {
        Self(time.as_millis().saturating_sub(EPOCH_MILLIS) << 22)
    }

    /// Returns the millisecond in which the id was minted (a full sequence borrows the next one).
    pub fn time(self) -> Timestamp {
        Timestamp::from_millis((self.0 >> 22) + EPOCH_MILLIS)
    }
}

impl fmt::Debug for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// Identifies one mail to one recipient: an [`EventId`] minted in the decision that causes the mail.
///
/// It is in the tracking tokens, the `Message-ID` header and the return path.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
#[cbor(transparent)]
pub struct MessageId(#[n(0)] EventId);

impl MessageId {
    /// Makes a freshly minted event id the name of a message.
    pub const fn new(id: EventId) -> Self {
        Self(id)
    }

    /// Takes the raw 64 bits, as stored in spool, state and tokens.
    pub const fn from_raw(raw: u64) -> Self {
        Self(EventId::from_raw(raw))
    }

    /// Returns the raw 64 bits.
    pub const fn raw(self) -> u64 {
        self.0.raw()
    }

    /// Returns the message's id as an event id.
    pub const fn event(self) -> EventId {
        self.0
    }
}

impl fmt::Debug for MessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "m{:016x}", self.raw())
    }
}

/// One of the slices of state that have exactly one writer each.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
#[cbor(transparent)]
pub struct PartitionId(#[n(0)] u16);

impl PartitionId {
    /// The partition of shops, campaigns, templates and API keys.
    pub const CATALOGUE: Self = Self(PERSON_PARTITIONS);
    /// How many partitions there are in all.
    pub const COUNT: usize = PERSON_PARTITIONS as usize + 1;

    /// Returns the partition with this number, or `None` past the last one.
    pub const fn new(number: u16) -> Option<Self> {
        if number <= PERSON_PARTITIONS {
            Some(Self(number))
        } else {
            None
        }
    }

    /// Returns the number, below [`PartitionId::COUNT`].
    pub const fn number(self) -> u16 {
        self.0
    }
}

impl fmt::Debug for PartitionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "p{}", self.0)
    }
}

/// A person, known only by a keyed hash of the normalised address: HMAC-SHA-256 under the person key, 128 bits kept.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
#[cbor(transparent)]
pub struct PersonKey(#[cbor(n(0), with = "minicbor::bytes")] [u8; 16]);

impl PersonKey {
    /// Takes the 16 bytes, as stored.
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// Returns the 16 bytes.
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }

    /// Returns the person's partition: the key's first 10 bits.
    pub fn partition(&self) -> PartitionId {
        let [first, second, ..] = self.0;
        PartitionId((u16::from(first) << 2) | (u16::from(second) >> 6))
    }
}

impl fmt::Debug for PersonKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&data_encoding::HEXLOWER.encode(&self.0))
    }
}

/// A person as one advertiser may know them: HMAC-SHA-256 of the [`PersonKey`] under a key of that advertiser, 128 bits kept.
///
/// The keys that two advertisers have for one person have nothing in common.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
#[cbor(transparent)]
pub struct VisitorKey(#[cbor(n(0), with = "minicbor::bytes")] [u8; 16]);

impl VisitorKey {
    /// Takes the 16 bytes, as stored.
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// Returns the 16 bytes.
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

impl fmt::Debug for VisitorKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&data_encoding::HEXLOWER.encode(&self.0))
    }
}

/// One lead: SHA-256, 16 bytes kept, of advertiser, visitor and generation, so that whatever is repeated makes the same id.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
#[cbor(transparent)]
pub struct LeadId(#[cbor(n(0), with = "minicbor::bytes")] [u8; 16]);

impl LeadId {
    /// Returns the id of a visitor's lead; `generation` counts the voided leads before it.
    pub fn new(advertiser: ShopNumber, visitor: &VisitorKey, generation: u16) -> Self {
        let mut hash = digest::Context::new(&digest::SHA256);
        hash.update(b"staffetta lead");
        hash.update(&advertiser.0.to_be_bytes());
        hash.update(visitor.as_bytes());
        hash.update(&generation.to_be_bytes());
        let hash = hash.finish();
        let (first, _) = hash.as_ref().split_at(16);
        Self(first.try_into().expect("split at 16"))
    }

    /// Takes the 16 bytes, as stored.
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// Returns the 16 bytes.
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

impl fmt::Display for LeadId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&BASE32_NOPAD.encode(&self.0).to_ascii_lowercase())
    }
}

impl fmt::Debug for LeadId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// One of the 64 groups of 16 neighbouring partitions that share their counters, in state and in Redis.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Slot(u8);

impl Slot {
    /// How many slots there are.
    pub const COUNT: u8 = 64;
    /// How many partitions a slot has; runners own whole slots.
    pub const PARTITIONS: u16 = PERSON_PARTITIONS / Self::COUNT as u16;

    /// Returns the slot with this number, or `None` past the last one.
    pub const fn new(number: u8) -> Option<Self> {
        if number < Self::COUNT { Some(Self(number)) } else { None }
    }

    /// Returns the slot of a partition; the catalogue's events are counted in the last one.
    pub fn of(partition: PartitionId) -> Self {
        let number = partition.0.min(PERSON_PARTITIONS - 1) / Self::PARTITIONS;
        Self(u8::try_from(number).expect("64 slots fit"))
    }

    /// Returns every slot.
    pub fn all() -> impl Iterator<Item = Self> {
        (0..Self::COUNT).map(Self)
    }

    /// Returns the number, below [`Slot::COUNT`].
    pub const fn number(self) -> u8 {
        self.0
    }
}

/// A shop's short number, given when it is first put; four bytes in every token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
#[cbor(transparent)]
pub struct ShopNumber(#[n(0)] pub u32);

/// A campaign's short number, given when it is first put; the "offer" in click tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
#[cbor(transparent)]
pub struct CampaignNumber(#[n(0)] pub u32);

impl CampaignNumber {
    /// No campaign: of a link that leads to the shop's own site. The first campaign has number 1.
    pub const NONE: Self = Self(0);
}

/// A workflow's short number, given when it is first put.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
#[cbor(transparent)]
pub struct WorkflowNumber(#[n(0)] pub u32);

/// How often delivery of a message has been tried, the running attempt included; the first is 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
#[cbor(transparent)]
pub struct Attempt(#[n(0)] pub u16);

/// An event's id as the outside sees it: 16 lower-case base32 characters (RFC 4648) of partition and event id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PublicId {
    /// Where the event is stored.
    pub partition: PartitionId,
    /// The event itself.
    pub event: EventId,
}

impl fmt::Display for PublicId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut bytes = [0; 10];
        let (partition, event) = bytes.split_at_mut(2);
        partition.copy_from_slice(&self.partition.number().to_be_bytes());
        event.copy_from_slice(&self.event.raw().to_be_bytes());
        f.write_str(&BASE32_NOPAD.encode(&bytes).to_ascii_lowercase())
    }
}

/// Why a text is not an id of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not an id: 16 base32 characters are expected")]
pub struct NotAnId;

impl FromStr for PublicId {
    type Err = NotAnId;

    fn from_str(text: &str) -> Result<Self, NotAnId> {
        let bytes = BASE32_NOPAD
            .decode(text.to_ascii_uppercase().as_bytes())
            .map_err(|_| NotAnId)?;
        let (partition, event) = bytes.split_at_checked(2).ok_or(NotAnId)?;
        let partition = u16::from_be_bytes(partition.try_into().map_err(|_| NotAnId)?);
        Ok(Self {
            partition: PartitionId::new(partition).ok_or(NotAnId)?,
            event: EventId::from_raw(u64::from_be_bytes(event.try_into().map_err(|_| NotAnId)?)),
        })
    }
}

/// Mints event ids that never repeat and never run backwards, whatever the wall clock does.
///
/// The id's time is the later of the wall clock and the last id's; a full sequence borrows the next millisecond.
#[derive(Debug)]
pub struct IdMint {
    node: u64,
    /// Milliseconds and sequence of the last id, the node's bits left out.
    last: AtomicU64,
}

impl IdMint {
    /// Starts after `last`, the highest id that journal and checkpoint know of. `node` is below 1,024.
    pub fn new(node: u16, last: Option<EventId>) -> Self {
        let last = last.map_or(0, |id| (id.raw() >> 22 << 12) | (id.raw() & 0xfff));
        Self {
            node: u64::from(node & 0x3ff),
            last: AtomicU64::new(last),
        }
    }

    /// Returns the last id that was minted, or the one that it started after; the first of all ids if there was none.
    pub fn last(&self) -> EventId {
        self.id(self.last.load(Ordering::Relaxed))
    }

    /// Mints the next id at wall time `now`.
    pub fn mint(&self, now: Timestamp) -> EventId {
        let wall = now.as_millis().saturating_sub(EPOCH_MILLIS) << 12;
        let previous = self
            .last
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |last| Some(wall.max(last + 1)))
            .expect("the closure always returns a value");
        self.id(wall.max(previous + 1))
    }

    /// Returns the id of these milliseconds and this sequence.
    const fn id(&self, last: u64) -> EventId {
        EventId((last >> 12 << 22) | (self.node << 12) | (last & 0xfff))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Timestamp {
        Timestamp::from_millis(EPOCH_MILLIS + millis)
    }

    #[test]
    fn ids_rise_when_the_clock_stands_or_falls() {
        let mint = IdMint::new(7, None);
        let first = mint.mint(at(1000));
        let second = mint.mint(at(1000));
        let third = mint.mint(at(10));
        assert!(first < second && second < third);
        assert_eq!(third.time(), at(1000));
        assert_eq!(mint.last(), third);
    }

    #[test]
    fn a_full_sequence_borrows_the_next_millisecond() {
        let mint = IdMint::new(0, None);
        let ids: Vec<_> = (0..5000).map(|_| mint.mint(at(5))).collect();
        assert!(ids.is_sorted_by(|a, b| a < b));
        assert_eq!(ids.last().map(|id| id.time()), Some(at(6)));
    }

    #[test]
    fn minting_goes_on_after_the_recovered_id() {
        let old = IdMint::new(3, None).mint(at(90_000));
        let mint = IdMint::new(3, Some(old));
        assert!(mint.mint(at(20)) > old);
    }

    #[test]
    fn public_ids_survive_a_round_trip() {
        let id = PublicId {
            partition: PartitionId::new(1000).expect("in range"),
            event: EventId::from_raw(u64::MAX - 5),
        };
        assert_eq!(id.to_string().parse(), Ok(id));
        assert_eq!(id.to_string().len(), 16);
        assert_eq!("aaaa".parse::<PublicId>(), Err(NotAnId));
        assert_eq!("77777777aaaaaaaa".parse::<PublicId>(), Err(NotAnId));
    }

    #[test]
    fn a_person_lives_in_the_partition_of_the_first_ten_bits() {
        let mut bytes = [0; 16];
        bytes[0] = 0xff;
        bytes[1] = 0xc0;
        assert_eq!(PersonKey::from_bytes(bytes).partition().number(), 1023);
    }
}
