//! Rows under keys of earlier layouts, and their way to where they stand now.
//!
//! A layout changes by retiring a keyspace: its rows go to another one, of another name and number, under new keys. That happens once,
//! at the first start, before anyone reads or writes state. Rows go in batches. A batch is on disk, whole, before any of it is in
//! the tables, so each row is in one of the two keyspaces whenever the start is cut off, and the next one goes on with what is left. A
//! retired keyspace that is empty is deleted; one that is not there has nothing to bring.
//!
//! `meta` goes first. A version that knows only the earlier layout finds no `incarnation` from then on, takes the folder for unfinished,
//! and makes state again or refuses: it never reads half of the rows.
//!
//! The same functions read checkpoint copies of earlier versions, whose rows have the numbers of retired keyspaces.

use fjall::{Keyspace, KeyspaceCreateOptions, OwnedWriteBatch, PersistMode};
use types::id::{CampaignNumber, EventId, MessageId, PartitionId, PersonKey, ShopNumber, Slot};
use types::text::Line;
use types::time::Timestamp;

use super::key::{self, Part};
use super::meta::Meta;
use super::suppression::{Streams, SuppressionList};
use super::table::{Read, Value};
use super::tables::{Listed, TABLES, Tables};
use super::{StateError, aside, cart, cell, claim, contact, lead, mail, meta, suppression};

/// Rows of one batch: some megabytes, of which the disk is asked once.
const BATCH_ROWS: usize = 10_000;
/// Batches between two lines in the log: a million rows.
const TOLD_BATCHES: usize = 100;

/// A keyspace whose rows now stand elsewhere. Values are as they were.
pub(crate) struct Retired {
    pub(crate) name: &'static str,
    /// Its number in checkpoint copies.
    pub(crate) number: u8,
    /// The place of the table that has the rows now.
    place: usize,
    /// Returns the new key of a row, from its key and value. `None`: it is no row.
    rekey: fn(&[u8], &[u8]) -> Option<Vec<u8>>,
}

/// The retired keyspaces, in the order in which they are emptied.
pub(crate) const RETIRED: &[Retired] = &[
    retired::<meta::Row>("meta", 7, |key, _| Some(key.to_vec())),
    // `n` or `a` and claimed at, then the name.
    retired::<claim::Row>("claim", 3, |key, _| {
        let (kind, mut rest) = key.split_first()?;
        let key = match kind {
            b'n' => claim::Key::Name(key::decode(rest)?),
            b'a' => {
                let at = Timestamp::take(&mut rest)?;
                claim::Key::Age(at, key::decode(rest)?)
            }
            _ => return None,
        };
        Some(key::encode(&key))
    }),
    // List, person, stream.
    retired::<suppression::Row>("suppression", 6, |key, _| {
        let (list, person, streams): (SuppressionList, PersonKey, Streams) = key::decode(key)?;
        Some(key::encode(&(person.partition(), list, person, streams)))
    }),
    // When, partition, message.
    retired::<mail::Due>("due", 11, |key, _| {
        let (at, partition, message): (Timestamp, PartitionId, MessageId) = key::decode(key)?;
        Some(key::encode(&mail::due(at, partition, message)))
    }),
    // Family 1, owner 4, hour 4, slot 1, and the rest as it is.
    retired::<cell::Row>("cell", 12, |key, _| {
        let (before, [slot, rest @ ..]) = key.split_at_checked(9)? else {
            return None;
        };
        Slot::new(*slot)?;
        Some([&[*slot], before, rest].concat())
    }),
    // Campaign, claiming event; the lead says its partition.
    retired::<lead::LeadRow>("lead", 13, |key, value| {
        let (campaign, claimed): (CampaignNumber, EventId) = key::decode(key)?;
        let lead = super::StoredLead::decode(value)?;
        Some(key::encode(&(Slot::of(lead.partition), campaign, claimed)))
    }),
    // Shop, partition, person.
    retired::<contact::ContactOf>("contact_of", 15, |key, _| {
        let (shop, partition, person): (ShopNumber, PartitionId, PersonKey) = key::decode(key)?;
        Some(key::encode(&(partition, shop, person)))
    }),
    // Shop, the shop's id of the cart.
    retired::<cart::CartName>("cart_name", 18, |key, _| {
        let (shop, id): (ShopNumber, Line<128>) = key::decode(key)?;
        Some(key::encode(&cart::name(shop, &id)))
    }),
    // Event, partition.
    retired::<aside::Row>("aside", 21, |key, _| {
        let (event, partition): (EventId, PartitionId) = key::decode(key)?;
        Some(key::encode(&(Slot::of(partition), event, partition)))
    }),
];

const fn retired<R: Listed>(name: &'static str, number: u8, rekey: fn(&[u8], &[u8]) -> Option<Vec<u8>>) -> Retired {
    let place = R::PLACE;
    Retired {
        name,
        number,
        place,
        rekey,
    }
}

impl Retired {
    fn rekeyed(&self, key: &[u8], value: &[u8]) -> Read<Vec<u8>> {
        (self.rekey)(key, value).ok_or_else(|| StateError::Malformed(format!("{} row {key:?}", self.name)))
    }
}

/// Rows on their way out of retired keyspaces.
pub(crate) struct Upgrade<'a> {
    tables: &'a Tables,
    /// What is left, the last first.
    left: Vec<(&'static Retired, Keyspace)>,
    /// Where to go on in the last of them. What is before has only been removed, and would be passed over row by row.
    from: Vec<u8>,
    rows: usize,
    batches: usize,
}

impl<'a> Upgrade<'a> {
    /// Looks for retired keyspaces. Changes nothing.
    pub(crate) fn of(tables: &'a Tables) -> fjall::Result<Self> {
        let there = RETIRED.iter().rev();
        let there = there.filter(|retired| tables.db.keyspace_exists(retired.name));
        let left = there.map(|retired| {
            let keyspace = tables.db.keyspace(retired.name, KeyspaceCreateOptions::default)?;
            Ok((retired, keyspace))
        });
        Ok(Self {
            tables,
            left: left.collect::<fjall::Result<_>>()?,
            from: Vec::new(),
            rows: 0,
            batches: 0,
        })
    }

    /// Returns what state says of itself, wherever that stands.
    pub(crate) fn meta(&self) -> Read<Meta> {
        let retired = self.left.iter().find(|(retired, _)| retired.name == "meta");
        let Some((_, keyspace)) = retired.filter(|(_, keyspace)| keyspace.first_key_value().is_some()) else {
            return self.tables.meta();
        };
        Meta::of(keyspace.iter().map(|entry| {
            let (key, value) = entry.into_inner()?;
            let key = key::decode(&key).ok_or_else(|| StateError::Malformed(format!("meta row {key:?}")))?;
            Ok((key, value.to_vec()))
        }))
    }

    /// Moves all rows. The folders of the database must be synced.
    pub(crate) fn run(mut self) -> Read<()> {
        if self.left.is_empty() {
            return Ok(());
        }
        let about: usize = self.left.iter().map(|(_, keyspace)| keyspace.approximate_len()).sum();
        tracing::info!(about, "rows of state go to the keys of this version");
        while self.step(BATCH_ROWS)? {
            self.batches += 1;
            if self.batches.is_multiple_of(TOLD_BATCHES) {
                tracing::info!(
                    rows = self.rows,
                    about,
                    "rows of state have gone to the keys of this version"
                );
            }
        }
        tracing::info!(rows = self.rows, "all rows of state have the keys of this version");
        Ok(())
    }

    /// Moves the next rows, up to `limit`, or deletes a keyspace that has none left. `false`: nothing is left to do.
    fn step(&mut self, limit: usize) -> Read<bool> {
        let Some((retired, keyspace)) = self.left.last() else {
            return Ok(false);
        };
        // All of `meta` or nothing of it: see above.
        let limit = if retired.name == "meta" { usize::MAX } else { limit };
        // On disk before it is in the tables. The database may sort one of the two keyspaces onto disk before it syncs its own log: what is
        // removed there would be gone, and what was inserted here not yet come.
        let mut batch = self.tables.db.batch().durability(Some(PersistMode::SyncAll));
        let mut last = None;
        for entry in keyspace.range(self.from.clone()..).take(limit) {
            let (key, value) = entry.into_inner()?;
            self.tables
                .insert_raw(&mut batch, retired.place, retired.rekeyed(&key, &value)?, &value);
            batch.remove(keyspace, key.clone());
            self.rows += 1;
            last = Some(key);
        }
        if let Some(last) = last {
            batch.commit()?;
            self.from = last.to_vec();
            return Ok(true);
        }
        self.from.clear();
        if let Some((_, keyspace)) = self.left.pop() {
            self.tables.db.delete_keyspace(keyspace)?;
        }
        Ok(true)
    }
}

impl Tables {
    /// Adds a row of a checkpoint copy to a batch, whichever layout it is of. `false`: its number is of a newer version.
    pub(crate) fn add_copied(&self, batch: &mut OwnedWriteBatch, number: u8, key: Vec<u8>, value: &[u8]) -> Read<bool> {
        if let Some(place) = TABLES.iter().position(|table| table.number == number) {
            self.insert_raw(batch, place, key, value);
        } else if let Some(retired) = RETIRED.iter().find(|retired| retired.number == number) {
            self.insert_raw(batch, retired.place, retired.rekeyed(&key, value)?, value);
        } else {
            return Ok(false);
        }
        Ok(true)
    }
}

#[cfg(test)]
mod tests;
