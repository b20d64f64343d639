use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use fjall::Readable;
use tempfile::TempDir;

use super::*;
use crate::state::table::Spread;

#[path = "../../../tests/common/pack.rs"]
#[allow(dead_code, unreachable_pub, reason = "each test uses its part")]
mod pack;

/// A row: the number of its table, its key, its value.
type Rows = BTreeMap<(u8, Vec<u8>), Vec<u8>>;

fn fixture(name: &str) -> PathBuf {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR"));
    manifest.join("tests/fixtures/keys1").join(name)
}

/// The rows that the fixture's version wrote, from its checkpoint copy, by the drawing of that.
fn written() -> Rows {
    let copy = fs::read(fixture("00000000000000000204.copy")).expect("the fixture");
    let mut rest = &copy[40..];
    let mut rows = Rows::new();
    while rest[0] != 255 {
        let len = |at: usize| u32::from_le_bytes(rest[at..at + 4].try_into().expect("4 bytes")) as usize;
        let (number, key, value) = (rest[0], len(1), len(5));
        let (key, value) = rest[9..9 + key + value].split_at(key);
        rows.insert((number, key.to_vec()), value.to_vec());
        rest = &rest[9 + key.len() + value.len()..];
    }
    rows
}

/// The same rows as they are to stand now, by the drawing of both layouts and not by the code that moves them.
fn expected() -> Rows {
    let slot_of = |partition: &[u8]| {
        let partition = u16::from_be_bytes(partition.try_into().expect("2 bytes"));
        u8::try_from(partition.min(1023) / 16).expect("64 slots")
    };
    let home = |hash: &[u8]| (u16::from_be_bytes([hash[0], hash[1]]) >> 6).to_be_bytes();
    let moved = written().into_iter().map(|((number, key), value)| {
        let (number, key) = match number {
            3 => (22, [&home(&key[key.len() - 16..]), key.as_slice()].concat()),
            6 => (23, [&home(&key[key.len() - 17..]), key.as_slice()].concat()),
            7 => (24, key),
            11 => (25, [&[slot_of(&key[8..10])], key.as_slice()].concat()),
            12 => (26, [&key[9..10], &key[..9], &key[10..]].concat()),
            13 => {
                // The map's first key is 0, and its value the partition.
                let mut lead = minicbor::Decoder::new(&value);
                lead.map().expect("a map");
                assert_eq!(lead.u8().expect("a key"), 0);
                let partition = lead.u16().expect("a partition");
                (27, [&[slot_of(&partition.to_be_bytes())], key.as_slice()].concat())
            }
            15 => (28, [&key[4..6], &key[..4], &key[6..]].concat()),
            18 => {
                let hash = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &key);
                (29, [&[hash.as_ref()[0] >> 2], key.as_slice()].concat())
            }
            21 => (30, [&[slot_of(&key[8..])], key.as_slice()].concat()),
            number => (number, key),
        };
        ((number, key), value)
    });
    moved.collect()
}

/// All rows that a database has, those of retired keyspaces included.
fn rows(tables: &Tables) -> Rows {
    let snapshot = tables.db.snapshot();
    let mut rows = Rows::new();
    let retired = Upgrade::of(tables).expect("opens").left;
    let retired = retired.iter().map(|(retired, keyspace)| (retired.number, keyspace));
    for (number, keyspace) in tables
        .all()
        .map(|(table, keyspace)| (table.number, keyspace))
        .chain(retired)
    {
        for entry in snapshot.iter(keyspace) {
            let (key, value) = entry.into_inner().expect("reads");
            rows.insert((number, key.to_vec()), value.to_vec());
        }
    }
    rows
}

fn folder() -> TempDir {
    let folder = TempDir::new().expect("a directory");
    pack::unpack(&fixture("folder.pack"), folder.path());
    folder
}

fn open(folder: &TempDir) -> Tables {
    Tables::open(&folder.path().join("state"), 1 << 20).expect("opens")
}

fn retired_left(tables: &Tables) -> usize {
    RETIRED
        .iter()
        .filter(|retired| tables.db.keyspace_exists(retired.name))
        .count()
}

#[test]
fn every_row_of_the_version_before_is_found_under_its_new_key_and_its_keyspaces_are_gone() {
    let folder = folder();
    let tables = open(&folder);
    let meta = Upgrade::of(&tables).expect("opens").meta().expect("reads");
    Upgrade::of(&tables).expect("opens").run().expect("moves");
    let expected = expected();
    let numbers: std::collections::BTreeSet<_> = expected.keys().map(|(number, _)| *number).collect();
    assert!(
        TABLES.iter().all(|table| numbers.contains(&table.number)),
        "{numbers:?}"
    );
    assert_eq!(rows(&tables), expected);
    assert_eq!(retired_left(&tables), 0);
    assert_eq!(format!("{meta:?}"), format!("{:?}", tables.meta().expect("reads")));
    drop(tables);
    // Also on disk; and another start has nothing to do.
    let tables = open(&folder);
    let mut upgrade = Upgrade::of(&tables).expect("opens");
    assert!(!upgrade.step(1).expect("nothing"));
    assert_eq!(rows(&tables), expected);
}

#[test]
fn an_upgrade_that_is_cut_off_goes_on_where_it_was() {
    let (expected, count) = (expected(), written().len());
    for cut in [1, 2, 5, 9, 20, 50] {
        let folder = folder();
        let mut starts = 0;
        loop {
            let tables = open(&folder);
            let mut upgrade = Upgrade::of(&tables).expect("opens");
            let meta = upgrade.meta().expect("reads");
            assert_eq!(
                (meta.incarnation.is_some(), meta.through),
                (true, 204),
                "of {cut} batches"
            );
            let done = (0..cut).any(|_| !upgrade.step(3).expect("moves"));
            assert_eq!(rows(&tables).len(), count, "each row is in one place, of {cut} batches");
            if done {
                break;
            }
            starts += 1;
        }
        let tables = open(&folder);
        assert_eq!(rows(&tables), expected, "of {cut} batches, after {starts} starts");
        assert_eq!(retired_left(&tables), 0);
    }
}

#[test]
fn an_earlier_version_finds_no_incarnation_from_the_first_batch_on() {
    let folder = folder();
    let tables = open(&folder);
    Upgrade::of(&tables).expect("opens").step(1).expect("moves");
    let old = tables
        .db
        .keyspace("meta", KeyspaceCreateOptions::default)
        .expect("opens");
    assert!(old.is_empty().expect("reads"));
    drop(old);
    Upgrade::of(&tables).expect("opens").run().expect("moves");
    assert!(!tables.db.keyspace_exists("meta"));
}

#[test]
fn rows_of_a_copy_go_where_they_stand_now() {
    let folder = TempDir::new().expect("a directory");
    let tables = Tables::open(folder.path(), 1 << 20).expect("opens");
    for layout in [written(), expected()] {
        let mut batch = tables.db.batch();
        for ((number, key), value) in layout {
            assert!(tables.add_copied(&mut batch, number, key, &value).expect("a row"));
        }
        batch.commit().expect("writes");
        assert_eq!(rows(&tables), expected());
    }
    let mut batch = tables.db.batch();
    assert!(!tables.add_copied(&mut batch, 254, Vec::new(), &[]).expect("no row"));
    tables.add_copied(&mut batch, 3, vec![b'x'], &[]).expect_err("no claim");
}

#[test]
fn the_slots_together_have_every_row_once_and_each_its_own() {
    let folder = folder();
    let tables = open(&folder);
    Upgrade::of(&tables).expect("opens").run().expect("moves");
    for (table, keyspace) in tables.all() {
        let all = keyspace.len().expect("reads");
        let mut found = 0;
        for slot in Slot::all() {
            let Some(range) = table.spread.slot_range(slot) else {
                continue;
            };
            for entry in keyspace.range(range) {
                let key = entry.key().expect("reads");
                let own = match table.spread {
                    Spread::Partition => {
                        let partition = u16::from_be_bytes([key[0], key[1]]);
                        Slot::of(PartitionId::new(partition).expect("a partition"))
                    }
                    _ => Slot::new(key[0]).expect("a slot"),
                };
                assert_eq!(own, slot, "{} {key:?}", table.name);
                found += 1;
            }
        }
        let belongs = !matches!(table.spread, Spread::Catalogue | Spread::Node);
        assert_eq!(found, if belongs { all } else { 0 }, "{}", table.name);
    }
}
