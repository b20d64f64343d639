//! The keyspaces of state and the bytes of their keys and values. `docs/formats/state.md` draws them.

use std::path::Path;

use fjall::config::{BlockSizePolicy, FilterPolicy};
use fjall::{Database, Keyspace, KeyspaceCreateOptions, OwnedWriteBatch, PersistMode, Slice};
use types::event::{Claim, Event, SuppressionCause};
use types::id::{CampaignNumber, EventId, MessageId, PartitionId, PersonKey, PublicId, ShopNumber};
use types::order::Stream;
use types::time::Timestamp;

use super::turn::{Put, SuppressionList, Turn};
use super::{StateError, StoredChange, StoredEvent, Suppression};
use crate::frame::{u16_at, u64_at};

/// The keyspaces, in the order of their numbers in checkpoint copies. New ones are added at the end.
pub(crate) const NAMES: [&str; 22] = [
    "person",
    "timeline",
    "outbox",
    "claim",
    "catalogue",
    "counter",
    "suppression",
    "meta",
    "mail",
    "visit",
    "about",
    "due",
    "cell",
    "lead",
    "contact",
    "contact_of",
    "instance",
    "cart",
    "cart_name",
    "timer",
    "sweep",
    "aside",
];

/// Bytes of the database's own log: what a start after a kill reads again, at some 30 MB a second. It bounds what is changed and not yet
/// sorted onto disk, of all keyspaces together.
const WAL_BYTES_MAX: u64 = 64 << 20;

const META_INCARNATION: &[u8] = b"incarnation";
pub(crate) const META_THROUGH: &[u8] = b"through";
const META_LAST_ID: &[u8] = b"last_id";
const META_APPLIED: &[u8] = b"applied";

/// The database.
pub(crate) struct Tables {
    pub(crate) db: Database,
    pub(crate) person: Keyspace,
    pub(crate) timeline: Keyspace,
    pub(crate) outbox: Keyspace,
    pub(crate) claim: Keyspace,
    pub(crate) catalogue: Keyspace,
    pub(crate) counter: Keyspace,
    pub(crate) suppression: Keyspace,
    pub(crate) meta: Keyspace,
    pub(crate) mail: Keyspace,
    pub(crate) visit: Keyspace,
    pub(crate) about: Keyspace,
    pub(crate) due: Keyspace,
    pub(crate) cell: Keyspace,
    pub(crate) lead: Keyspace,
    pub(crate) contact: Keyspace,
    pub(crate) contact_of: Keyspace,
    pub(crate) instance: Keyspace,
    pub(crate) cart: Keyspace,
    pub(crate) cart_name: Keyspace,
    pub(crate) timer: Keyspace,
    pub(crate) sweep: Keyspace,
    pub(crate) aside: Keyspace,
}

/// A name in state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoredClaim {
    /// Of which request.
    pub body: [u8; 16],
    /// The event that claimed it.
    pub id: PublicId,
    /// When.
    pub at: Timestamp,
}

/// How far state has come, as it says itself.
#[derive(Debug)]
pub(crate) struct Meta {
    pub(crate) incarnation: Option<[u8; 16]>,
    /// All records up to here are applied, of whatever partition.
    pub(crate) through: u64,
    pub(crate) last_id: Option<EventId>,
    /// The last applied position of each partition.
    pub(crate) applied: Vec<u64>,
}

impl Tables {
    pub(crate) fn open(dir: &Path, cache_bytes: u64) -> fjall::Result<Self> {
        let db = Database::builder(dir)
            .cache_size(cache_bytes)
            .max_journaling_size(WAL_BYTES_MAX)
            .worker_threads(1)
            .open()?;
        let [
            person,
            timeline,
            outbox,
            claim,
            catalogue,
            counter,
            suppression,
            meta,
            mail,
            visit,
            about,
            due,
            cell,
            lead,
            contact,
            contact_of,
            instance,
            cart,
            cart_name,
            timer,
            sweep,
            aside,
        ] = NAMES.map(|name| db.keyspace(name, || options(name)));
        Ok(Self {
            person: person?,
            timeline: timeline?,
            outbox: outbox?,
            claim: claim?,
            catalogue: catalogue?,
            counter: counter?,
            suppression: suppression?,
            meta: meta?,
            mail: mail?,
            visit: visit?,
            about: about?,
            due: due?,
            cell: cell?,
            lead: lead?,
            contact: contact?,
            contact_of: contact_of?,
            instance: instance?,
            cart: cart?,
            cart_name: cart_name?,
            timer: timer?,
            sweep: sweep?,
            aside: aside?,
            db,
        })
    }

    /// Returns the keyspaces in the order of [`NAMES`].
    pub(crate) fn all(&self) -> [&Keyspace; 22] {
        [
            &self.person,
            &self.timeline,
            &self.outbox,
            &self.claim,
            &self.catalogue,
            &self.counter,
            &self.suppression,
            &self.meta,
            &self.mail,
            &self.visit,
            &self.about,
            &self.due,
            &self.cell,
            &self.lead,
            &self.contact,
            &self.contact_of,
            &self.instance,
            &self.cart,
            &self.cart_name,
            &self.timer,
            &self.sweep,
            &self.aside,
        ]
    }

    pub(crate) fn sync(&self) -> fjall::Result<()> {
        self.db.persist(PersistMode::SyncAll)
    }

    pub(crate) fn meta(&self) -> fjall::Result<Meta> {
        let number = |key: &[u8]| Ok::<_, fjall::Error>(self.meta.get(key)?.and_then(|value| u64_at(&value, 0)));
        let through = number(META_THROUGH)?.unwrap_or(0);
        let mut applied = vec![through; PartitionId::COUNT];
        for entry in self.meta.prefix(META_APPLIED) {
            let (key, value) = entry.into_inner()?;
            let range = key.get(META_APPLIED.len()..).unwrap_or_default();
            let (Some(start), Some(end), Some(position)) = (be_u16(range, 0), be_u16(range, 2), u64_at(&value, 0))
            else {
                continue;
            };
            // What was once applied stays applied, whichever runner's range said so.
            for partition in applied
                .get_mut(usize::from(start)..usize::from(end))
                .unwrap_or_default()
            {
                *partition = position.max(*partition);
            }
        }
        Ok(Meta {
            incarnation: self
                .meta
                .get(META_INCARNATION)?
                .and_then(|value| value.as_ref().try_into().ok()),
            through,
            last_id: number(META_LAST_ID)?.map(EventId::from_raw),
            applied,
        })
    }

    /// Returns the position up to which all records are applied.
    pub(crate) fn through(&self) -> fjall::Result<u64> {
        Ok(self
            .meta
            .get(META_THROUGH)?
            .and_then(|value| u64_at(&value, 0))
            .unwrap_or(0))
    }

    /// Says whose state this is; durable on return. Until then, a start takes the state for unfinished.
    pub(crate) fn adopt(&self, incarnation: [u8; 16]) -> fjall::Result<()> {
        self.meta.insert(META_INCARNATION, incarnation)?;
        self.sync()
    }

    /// Forgets the applied positions of ranges that the runners of this start do not have; `through` covers them.
    pub(crate) fn forget_ranges(&self, through: u64) -> fjall::Result<()> {
        for entry in self.meta.prefix(META_APPLIED) {
            let (key, value) = entry.into_inner()?;
            if u64_at(&value, 0).is_none_or(|position| position <= through) {
                self.meta.remove(key)?;
            }
        }
        Ok(())
    }

    /// Adds a turn's changes to a batch.
    pub(crate) fn add(&self, batch: &mut OwnedWriteBatch, turn: &Turn) -> fjall::Result<()> {
        for put in &turn.puts {
            self.put(batch, put)?;
        }
        let key = [
            META_APPLIED,
            &turn.range.start.to_be_bytes(),
            &turn.range.end.to_be_bytes(),
        ]
        .concat();
        batch.insert(&self.meta, key, turn.position.0.to_le_bytes());
        Ok(())
    }

    /// Adds how far all partitions have come, and the highest id that was minted.
    pub(crate) fn add_through(&self, batch: &mut OwnedWriteBatch, through: u64, last_id: EventId) {
        batch.insert(&self.meta, META_THROUGH, through.to_le_bytes());
        batch.insert(&self.meta, META_LAST_ID, last_id.raw().to_le_bytes());
    }

    fn put(&self, batch: &mut OwnedWriteBatch, put: &Put) -> fjall::Result<()> {
        match put {
            Put::Tracked(change) => self.put_tracked(batch, change)?,
            Put::Automation(change) => self.put_automation(batch, change),
            Put::Person { partition, key, value } => {
                batch.insert(&self.person, person_key(*partition, key), value.as_slice());
            }
            Put::Timeline {
                partition,
                object,
                id,
                wall,
                kind,
                payload,
            } => {
                let key = [timeline_prefix(*partition, *object).as_slice(), &id.raw().to_be_bytes()].concat();
                let value = [wall.as_millis().to_le_bytes().as_slice(), &kind.to_le_bytes(), payload].concat();
                batch.insert(&self.timeline, key, value);
            }
            Put::OutboxSet {
                partition,
                message,
                entry,
            } => {
                let value = minicbor::to_vec(entry).expect("writing CBOR to a vector cannot fail");
                batch.insert(&self.outbox, outbox_key(*partition, *message), value);
            }
            Put::OutboxDelete { partition, message } => {
                batch.remove(&self.outbox, outbox_key(*partition, *message).as_slice());
            }
            Put::Claim { claim, id, at } => {
                batch.insert(&self.claim, claim_key(&claim.name), claim_value(claim, *id, *at));
                batch.insert(&self.claim, claim_age_key(*at, &claim.name), [].as_slice());
            }
            Put::Catalogue {
                sequence,
                wall,
                payload,
            } => {
                let value = [wall.as_millis().to_le_bytes().as_slice(), payload].concat();
                batch.insert(&self.catalogue, sequence.to_be_bytes(), value);
            }
            Put::Counter {
                partition,
                campaign,
                value,
            } => {
                let key = [partition.number().to_be_bytes().as_slice(), &campaign.0.to_be_bytes()].concat();
                batch.insert(&self.counter, key, value.to_le_bytes());
            }
            Put::SuppressionSet {
                list,
                person,
                stream,
                cause,
                at,
            } => {
                let value = [&[cause_code(*cause)], at.as_millis().to_le_bytes().as_slice()].concat();
                batch.insert(&self.suppression, suppression_key(*list, person, *stream), value);
            }
            Put::SuppressionDelete { list, person, stream } => {
                batch.remove(&self.suppression, suppression_key(*list, person, *stream));
            }
        }
        Ok(())
    }

    /// Looks a claimed name up.
    pub(crate) fn claim(&self, name: &[u8; 16]) -> fjall::Result<Option<StoredClaim>> {
        Ok(self.claim.get(claim_key(name))?.and_then(|value| read_claim(&value)))
    }
}

/// Returns how a keyspace is kept.
fn options(name: &str) -> KeyspaceCreateOptions {
    let options = KeyspaceCreateOptions::default();
    match name {
        // Read by ranges alone, by the hundred million: filters would take an eighth of a gigabyte of memory and answer nothing, and
        // larger blocks have a smaller index.
        "timer" => options
            .filter_policy(FilterPolicy::disabled())
            .data_block_size_policy(BlockSizePolicy::all(16 << 10))
            // A row of 22 bytes takes six times as much in memory until it is sorted onto disk.
            .max_memtable_size(16 << 20),
        _ => options,
    }
}

pub(crate) fn person_key(partition: PartitionId, key: &PersonKey) -> Vec<u8> {
    [partition.number().to_be_bytes().as_slice(), key.as_bytes()].concat()
}

pub(crate) fn timeline_prefix(partition: PartitionId, object: EventId) -> [u8; 10] {
    let mut key = [0; 10];
    crate::frame::put(&mut key, 0, &partition.number().to_be_bytes());
    crate::frame::put(&mut key, 2, &object.raw().to_be_bytes());
    key
}

pub(crate) fn outbox_key(partition: PartitionId, message: MessageId) -> [u8; 10] {
    timeline_prefix(partition, message.event())
}

/// Reads a key of an outbox entry, or the start of a timeline's key.
pub(crate) fn read_object_key(key: &[u8]) -> Option<(PartitionId, EventId)> {
    let partition = PartitionId::new(be_u16(key, 0)?)?;
    Some((partition, EventId::from_raw(be_u64(key, 2)?)))
}

pub(super) fn claim_key(name: &[u8; 16]) -> Vec<u8> {
    [b"n".as_slice(), name].concat()
}

pub(super) fn claim_age_key(at: Timestamp, name: &[u8; 16]) -> Vec<u8> {
    [b"a".as_slice(), &at.as_millis().to_be_bytes(), name].concat()
}

fn claim_value(claim: &Claim, id: PublicId, at: Timestamp) -> Vec<u8> {
    [
        claim.body.as_slice(),
        &id.partition.number().to_le_bytes(),
        &id.event.raw().to_le_bytes(),
        &at.as_millis().to_le_bytes(),
    ]
    .concat()
}

pub(super) fn read_claim(value: &Slice) -> Option<StoredClaim> {
    Some(StoredClaim {
        body: value.get(..16)?.try_into().ok()?,
        id: PublicId {
            partition: PartitionId::new(u16_at(value, 16)?)?,
            event: EventId::from_raw(u64_at(value, 18)?),
        },
        at: Timestamp::from_millis(u64_at(value, 26)?),
    })
}

pub(crate) fn read_counter(key: &[u8], value: &[u8]) -> Option<(PartitionId, CampaignNumber, u64)> {
    let campaign = u32::from_be_bytes(key.get(2..6)?.try_into().ok()?);
    Some((
        PartitionId::new(be_u16(key, 0)?)?,
        CampaignNumber(campaign),
        u64_at(value, 0)?,
    ))
}

/// The list's prefix: the network is before all shops.
pub(crate) fn suppression_prefix(list: SuppressionList) -> Vec<u8> {
    match list {
        SuppressionList::Network => vec![0],
        SuppressionList::Shop(ShopNumber(number)) => [&[1], number.to_be_bytes().as_slice()].concat(),
    }
}

pub(crate) fn suppression_key(list: SuppressionList, person: &PersonKey, stream: Option<Stream>) -> Vec<u8> {
    let stream = match stream {
        None => 0,
        Some(Stream::Transactional) => 1,
        Some(Stream::Promotional) => 2,
    };
    let mut key = suppression_prefix(list);
    key.extend_from_slice(person.as_bytes());
    key.push(stream);
    key
}

/// Reads what follows the list's prefix in a suppression's key, and its value.
pub(crate) fn read_suppression(rest: &[u8], value: &[u8]) -> Option<Suppression> {
    let stream = match rest.get(16)? {
        0 => None,
        1 => Some(Stream::Transactional),
        2 => Some(Stream::Promotional),
        _ => return None,
    };
    let cause = match value.first()? {
        0 => SuppressionCause::Unsubscribed,
        1 => SuppressionCause::HardBounce,
        2 => SuppressionCause::Complaint,
        3 => SuppressionCause::Manual,
        _ => return None,
    };
    Some(Suppression {
        person: PersonKey::from_bytes(rest.get(..16)?.try_into().ok()?),
        stream,
        cause,
        at: Timestamp::from_millis(u64_at(value, 1)?),
    })
}

/// Reads one row of a timeline.
pub(crate) fn read_event(key: &[u8], value: &[u8]) -> Result<StoredEvent, StateError> {
    let malformed = || StateError::Malformed(format!("timeline entry {key:?}"));
    let id = EventId::from_raw(be_u64(key, 10).ok_or_else(malformed)?);
    let wall = Timestamp::from_millis(u64_at(value, 0).ok_or_else(malformed)?);
    let kind = u16_at(value, 8).ok_or_else(malformed)?;
    let event = Event::decode(kind, value.get(10..).unwrap_or_default())
        .map_err(|error| StateError::Malformed(format!("event {id:?}: {error}")))?;
    Ok(StoredEvent { id, wall, event })
}

/// Reads one change of the catalogue.
pub(crate) fn read_change(key: &[u8], value: &[u8]) -> Result<StoredChange, StateError> {
    let malformed = || StateError::Malformed(format!("catalogue change {key:?}"));
    let sequence = be_u64(key, 0).ok_or_else(malformed)?;
    let wall = Timestamp::from_millis(u64_at(value, 0).ok_or_else(malformed)?);
    let change = minicbor::decode(value.get(8..).unwrap_or_default())
        .map_err(|error| StateError::Malformed(format!("catalogue change {sequence}: {error}")))?;
    Ok(StoredChange { sequence, wall, change })
}

const fn cause_code(cause: SuppressionCause) -> u8 {
    match cause {
        SuppressionCause::Unsubscribed => 0,
        SuppressionCause::HardBounce => 1,
        SuppressionCause::Complaint => 2,
        SuppressionCause::Manual => 3,
    }
}

pub(crate) fn be_u16(bytes: &[u8], offset: usize) -> Option<u16> {
    Some(u16::from_be_bytes(bytes.get(offset..offset + 2)?.try_into().ok()?))
}

pub(crate) fn be_u32(bytes: &[u8], offset: usize) -> Option<u32> {
    Some(u32::from_be_bytes(bytes.get(offset..offset + 4)?.try_into().ok()?))
}

pub(crate) fn be_u64(bytes: &[u8], offset: usize) -> Option<u64> {
    Some(u64::from_be_bytes(bytes.get(offset..offset + 8)?.try_into().ok()?))
}
