//! The database, and the list of its tables. `docs/formats/state.md` draws the bytes.

use std::path::Path;

use fjall::{Database, Keyspace, KeyspaceCreateOptions, OwnedWriteBatch, PersistMode};

use super::table::{Read, Row, Spread, Table};
use super::turn::Turn;
use super::{
    aside, cart, catalogue, cell, claim, contact, counter, history, lead, mail, meta, outbox, person, suppression,
    timer, workflow,
};

/// Bytes of the database's own log: what a start after a kill reads again, at some 30 MB a second. It bounds what is changed and not yet
/// sorted onto disk, of all keyspaces together.
const WAL_BYTES_MAX: u64 = 64 << 20;

/// A row that the database has a table of.
pub(crate) trait Listed: Row {
    /// Where its keyspace stands among those that are open.
    const PLACE: usize;
}

/// What is known of a table without its types.
#[derive(Clone, Copy)]
pub(crate) struct Listing {
    pub(crate) name: &'static str,
    pub(crate) number: u8,
    #[cfg_attr(not(test), expect(dead_code, reason = "slots are not moved yet"))]
    pub(crate) spread: Spread,
    options: fn() -> KeyspaceCreateOptions,
}

macro_rules! tables {
    ($($place:ident = $row:ty,)*) => {
        enum Place { $($place),* }

        $(impl Listed for $row {
            const PLACE: usize = Place::$place as usize;
        })*

        /// All tables, in the order of their places.
        pub(crate) const TABLES: &[Listing] = &[$(Listing {
            name: <$row as Row>::NAME,
            number: <$row as Row>::NUMBER,
            spread: <$row as Row>::SPREAD,
            options: <$row as Row>::options,
        }),*];
    };
}

tables! {
    Person = person::Person,
    Timeline = history::Timeline,
    About = history::About,
    Outbox = outbox::Row,
    Claim = claim::Row,
    Catalogue = catalogue::Row,
    Counter = counter::Row,
    Suppression = suppression::Row,
    Mail = mail::Mail,
    Due = mail::Due,
    Visit = lead::VisitRow,
    Lead = lead::LeadRow,
    Cell = cell::Row,
    Contact = contact::Contact,
    ContactOf = contact::ContactOf,
    Instance = workflow::Instance,
    Sweep = workflow::Sweep,
    Cart = cart::Cart,
    CartName = cart::CartName,
    Timer = timer::Row,
    Aside = aside::Row,
    Meta = meta::Row,
}

/// The database.
pub(crate) struct Tables {
    pub(crate) db: Database,
    /// One for each of [`TABLES`].
    keyspaces: Vec<Keyspace>,
}

impl Tables {
    pub(crate) fn open(dir: &Path, cache_bytes: u64) -> fjall::Result<Self> {
        let db = Database::builder(dir)
            .cache_size(cache_bytes)
            .max_journaling_size(WAL_BYTES_MAX)
            .worker_threads(1)
            .open()?;
        let keyspaces = TABLES.iter().map(|table| db.keyspace(table.name, table.options));
        let keyspaces = keyspaces.collect::<Result<_, _>>()?;
        Ok(Self { db, keyspaces })
    }

    /// Returns the table of these rows.
    pub(crate) fn of<R: Listed>(&self) -> Table<'_, R> {
        let keyspace = self.keyspaces.get(R::PLACE);
        Table::new(keyspace.expect("one is opened for each of the listed"))
    }

    /// Returns all tables, with their keyspaces.
    pub(crate) fn all(&self) -> impl Iterator<Item = (&'static Listing, &Keyspace)> {
        TABLES.iter().zip(&self.keyspaces)
    }

    /// Adds a row to a batch, as bytes.
    pub(super) fn insert_raw(&self, batch: &mut OwnedWriteBatch, place: usize, key: Vec<u8>, value: &[u8]) {
        let keyspace = self.keyspaces.get(place);
        batch.insert(keyspace.expect("one is opened for each of the listed"), key, value);
    }

    pub(crate) fn sync(&self) -> fjall::Result<()> {
        self.db.persist(PersistMode::SyncAll)
    }

    /// Adds a turn's changes to a batch.
    pub(crate) fn add(&self, batch: &mut OwnedWriteBatch, turn: &Turn) -> Read<()> {
        for put in &turn.puts {
            put.change().add(self, batch)?;
        }
        self.add_applied(batch, &turn.range, turn.position);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::super::upgrade::RETIRED;
    use super::*;

    #[test]
    fn no_name_and_no_number_stands_for_two_tables_or_for_a_retired_one() {
        let names: BTreeSet<_> = TABLES.iter().map(|table| table.name).collect();
        let numbers: BTreeSet<_> = TABLES.iter().map(|table| table.number).collect();
        assert_eq!((names.len(), numbers.len()), (TABLES.len(), TABLES.len()));
        for retired in RETIRED {
            assert!(!names.contains(retired.name), "{}", retired.name);
            assert!(!numbers.contains(&retired.number), "{}", retired.name);
        }
        let all: BTreeSet<_> = RETIRED.iter().map(|retired| retired.number).chain(numbers).collect();
        let count = u8::try_from(all.len()).expect("few");
        assert!(all.iter().copied().eq(0..count), "numbers have gaps: {all:?}");
    }
}
