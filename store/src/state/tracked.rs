//! The keyspaces of what happens after delivery: mails, first visits, statistics, and what is known about a person.
//!
//! `docs/formats/state.md` draws the bytes.

use fjall::OwnedWriteBatch;
use minicbor::{Decode, Encode};
use types::event::LeadOutcome;
use types::id::{CampaignNumber, EventId, LeadId, MessageId, PartitionId, PersonKey, ShopNumber, VisitorKey};
use types::tally::{CellKey, Counts, MailCounts};
use types::time::Timestamp;

use super::cells::cell_key;
use super::tables::{Tables, be_u32, outbox_key, person_key, timeline_prefix};
use super::{State, StateError};
use crate::frame::put;

/// A change of state that something after delivery causes.
#[derive(Clone, Debug)]
pub enum TrackedPut {
    /// How one mail stands with its recipient. Kept as long as the mail's links work.
    Mail {
        /// Where its events go.
        partition: PartitionId,
        /// Which.
        message: MessageId,
        /// What readers see of it.
        counts: MailCounts,
        /// The rest, in the runner's own encoding.
        value: Vec<u8>,
    },
    /// A person's first visit to an advertiser's site. Kept for ever.
    Visit {
        /// The person's partition.
        partition: PartitionId,
        /// Who.
        person: PersonKey,
        /// To whose site.
        advertiser: ShopNumber,
        /// What is known of it.
        visit: Visit,
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
    /// The counts of a cell.
    Cell {
        /// Which.
        key: CellKey,
        /// All of them, new.
        counts: Box<Counts>,
    },
    /// A lead of a campaign, as its advertiser reads it.
    Lead {
        /// Which campaign.
        campaign: CampaignNumber,
        /// The event that claimed it.
        claimed: EventId,
        /// The lead.
        lead: StoredLead,
    },
}

/// A person's first visit to an advertiser's site.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Visit {
    /// The person, as this advertiser may know them.
    #[n(0)]
    pub visitor: VisitorKey,
    /// The lead that it became; `None` for a first visit that is none.
    #[n(1)]
    pub lead: Option<LeadId>,
    /// The click that led there.
    #[n(2)]
    pub click: EventId,
    /// When.
    #[n(3)]
    pub at: Timestamp,
    /// How many leads of this visitor were voided.
    #[n(4)]
    pub generation: u16,
    /// Whether the last lead was voided, so that the next first visit may be one.
    #[n(5)]
    pub open: bool,
}

/// A lead of a campaign.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct StoredLead {
    /// Where the mail's events are.
    #[n(0)]
    pub partition: PartitionId,
    /// When it was claimed.
    #[n(1)]
    pub at: Timestamp,
    /// The event as it was journaled.
    #[n(2)]
    pub decided: types::event::LeadDecided,
    /// What became of it; `None` while it is pending.
    #[n(3)]
    pub outcome: Option<LeadOutcome>,
    /// When.
    #[n(4)]
    pub settled_at: Option<Timestamp>,
}

impl Tables {
    /// Adds a change to a batch. Erasing reads: what it erases must be written before.
    pub(super) fn put_tracked(&self, batch: &mut OwnedWriteBatch, change: &TrackedPut) -> fjall::Result<()> {
        let cbor = |value: Result<Vec<u8>, _>| {
            value.unwrap_or_else(|_: minicbor::encode::Error<_>| unreachable!("vectors take all"))
        };
        match change {
            TrackedPut::Mail {
                partition,
                message,
                counts,
                value,
            } => {
                let value = [counts.to_bytes().as_slice(), value].concat();
                batch.insert(&self.mail, outbox_key(*partition, *message), value);
            }
            TrackedPut::Visit {
                partition,
                person,
                advertiser,
                visit,
            } => {
                let value = cbor(minicbor::to_vec(visit));
                batch.insert(&self.visit, visit_key(*partition, person, *advertiser), value);
            }
            TrackedPut::About {
                partition,
                person,
                shop,
                object,
            } => {
                batch.insert(&self.about, about_key(*partition, person, *shop, *object), []);
            }
            TrackedPut::Erase {
                partition,
                person,
                shop,
                object,
            } => {
                for entry in self.timeline.prefix(timeline_prefix(*partition, *object)) {
                    batch.remove(&self.timeline, entry.key()?);
                }
                batch.remove(&self.about, about_key(*partition, person, *shop, *object));
            }
            TrackedPut::DueSet { at, partition, message } => {
                batch.insert(&self.due, due_key(*at, *partition, *message), []);
            }
            TrackedPut::DueDelete { at, partition, message } => {
                batch.remove(&self.due, due_key(*at, *partition, *message).as_slice());
            }
            TrackedPut::Cell { key, counts } => {
                batch.insert(&self.cell, cell_key(key), cbor(minicbor::to_vec(counts)));
            }
            TrackedPut::Lead {
                campaign,
                claimed,
                lead,
            } => {
                batch.insert(&self.lead, lead_key(*campaign, *claimed), cbor(minicbor::to_vec(lead)));
            }
        }
        Ok(())
    }
}

impl TrackedPut {
    /// Estimates the bytes that the change holds beside itself.
    pub(super) fn bytes(&self) -> usize {
        match self {
            Self::Mail { value, .. } => value.len(),
            Self::Lead { .. } => 256,
            _ => 0,
        }
    }
}

impl State {
    /// Returns how one mail stands with its recipient: what readers see, and the runner's own encoding.
    pub fn mail(
        &self,
        partition: PartitionId,
        message: MessageId,
    ) -> Result<Option<(MailCounts, Vec<u8>)>, StateError> {
        let value = self.checked(self.tables.mail.get(outbox_key(partition, message)))?;
        value.map(|value| read_mail(message, &value)).transpose()
    }

    /// Returns a person's first visit to an advertiser's site, if there was one.
    pub fn visit(
        &self,
        partition: PartitionId,
        person: &PersonKey,
        advertiser: ShopNumber,
    ) -> Result<Option<Visit>, StateError> {
        let value = self.checked(self.tables.visit.get(visit_key(partition, person, advertiser)))?;
        value.map(|value| read(&value, "visit")).transpose()
    }

    /// Returns all first visits of a person, by advertiser.
    pub fn visits(&self, partition: PartitionId, person: &PersonKey) -> Result<Vec<(ShopNumber, Visit)>, StateError> {
        let rows = self.tables.visit.prefix(person_key(partition, person)).map(|entry| {
            let (key, value) = self.checked(entry.into_inner())?;
            let advertiser = be_u32(&key, 18).ok_or_else(|| malformed("visit", &key))?;
            Ok((ShopNumber(advertiser), read(&value, "visit")?))
        });
        rows.collect()
    }

    /// Returns the objects that are about a person, by shop, oldest first.
    pub fn about(&self, partition: PartitionId, person: &PersonKey) -> Result<Vec<(ShopNumber, EventId)>, StateError> {
        let rows = self.tables.about.prefix(person_key(partition, person)).map(|entry| {
            let key = self.checked(entry.key())?;
            let shop = be_u32(&key, 18);
            let object = key
                .get(22..30)
                .and_then(|id| id.try_into().ok())
                .map(u64::from_be_bytes);
            let (shop, object) = shop.zip(object).ok_or_else(|| malformed("about", &key))?;
            Ok((ShopNumber(shop), EventId::from_raw(object)))
        });
        rows.collect()
    }

    /// Returns up to `limit` mails that are to be judged from `from` on, before `until`, the earliest first.
    pub fn due(
        &self,
        from: Timestamp,
        until: Timestamp,
        limit: usize,
    ) -> Result<Vec<(Timestamp, PartitionId, MessageId)>, StateError> {
        let bounds = from.as_millis().to_be_bytes()..until.as_millis().to_be_bytes();
        let rows = self.tables.due.range(bounds).take(limit).map(|entry| {
            let key = self.checked(entry.key())?;
            read_due(&key).ok_or_else(|| malformed("due", &key))
        });
        rows.collect()
    }

    /// Returns up to `limit` leads of a campaign, the newest first, from before `before` on.
    pub fn leads(
        &self,
        campaign: CampaignNumber,
        before: Option<EventId>,
        limit: usize,
    ) -> Result<Vec<(EventId, StoredLead)>, StateError> {
        let bounds =
            lead_key(campaign, EventId::from_raw(0))..lead_key(campaign, before.unwrap_or(EventId::from_raw(u64::MAX)));
        let rows = self.tables.lead.range(bounds).rev().take(limit).map(|entry| {
            let (key, value) = self.checked(entry.into_inner())?;
            let claimed = key.get(4..12).and_then(|id| id.try_into().ok()).map(u64::from_be_bytes);
            let claimed = claimed.ok_or_else(|| malformed("lead", &key))?;
            Ok((EventId::from_raw(claimed), read(&value, "lead")?))
        });
        rows.collect()
    }

    /// Returns one lead of a campaign.
    pub fn lead(&self, campaign: CampaignNumber, claimed: EventId) -> Result<Option<StoredLead>, StateError> {
        let value = self.checked(self.tables.lead.get(lead_key(campaign, claimed)))?;
        value.map(|value| read(&value, "lead")).transpose()
    }
}

pub(super) fn read<T: for<'b> Decode<'b, ()>>(value: &[u8], what: &str) -> Result<T, StateError> {
    minicbor::decode(value).map_err(|error| StateError::Malformed(format!("{what}: {error}")))
}

pub(super) fn malformed(what: &str, key: &[u8]) -> StateError {
    StateError::Malformed(format!("{what} key {key:?}"))
}

/// Reads a mail's value: the counters, then the runner's own encoding.
pub(crate) fn read_mail(message: MessageId, value: &[u8]) -> Result<(MailCounts, Vec<u8>), StateError> {
    let (counts, rest) = value
        .split_first_chunk()
        .ok_or_else(|| StateError::Malformed(format!("mail {message:?} is too short")))?;
    Ok((MailCounts::from_bytes(counts), rest.to_vec()))
}

fn visit_key(partition: PartitionId, person: &PersonKey, advertiser: ShopNumber) -> Vec<u8> {
    let mut key = person_key(partition, person);
    key.extend_from_slice(&advertiser.0.to_be_bytes());
    key
}

pub(super) fn about_key(partition: PartitionId, person: &PersonKey, shop: ShopNumber, object: EventId) -> Vec<u8> {
    let mut key = visit_key(partition, person, shop);
    key.extend_from_slice(&object.raw().to_be_bytes());
    key
}

fn due_key(at: Timestamp, partition: PartitionId, message: MessageId) -> [u8; 18] {
    let mut key = [0; 18];
    put(&mut key, 0, &at.as_millis().to_be_bytes());
    put(&mut key, 8, &outbox_key(partition, message));
    key
}

fn read_due(key: &[u8]) -> Option<(Timestamp, PartitionId, MessageId)> {
    let (at, rest) = key.split_first_chunk()?;
    let (partition, message) = super::tables::read_object_key(rest)?;
    let at = Timestamp::from_millis(u64::from_be_bytes(*at));
    Some((at, partition, MessageId::new(message)))
}

fn lead_key(campaign: CampaignNumber, claimed: EventId) -> Vec<u8> {
    [campaign.0.to_be_bytes().as_slice(), &claimed.raw().to_be_bytes()].concat()
}
