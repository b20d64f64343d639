//! The formats on disk, version by version: what version 1 wrote is read for ever, what a newer one wrote is refused.

#![allow(
    unreachable_pub,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "tests state expectations"
)]

mod common;

use std::fs;
use std::path::{Path, PathBuf};

use common::{append, numbers, open_with, scratch, settings, settle};
use store::state::{LeadPut, Visit};
use store::{OpenError, Put};
use tempfile::TempDir;
use types::event::EventError;
use types::id::{PersonKey, ShopNumber, VisitorKey};
use types::time::Timestamp;

fn fixture(version: u32) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/fixtures/v{version}"))
}

/// Makes a data directory of an identity and one journal segment.
fn data_dir(identity: &[u8], journal: &[u8]) -> TempDir {
    let dir = scratch();
    for sub in ["journal", "secrets/token", "secrets/dkim"] {
        fs::create_dir_all(dir.path().join(sub)).unwrap();
    }
    for secret in ["person.key", "verp.key", "token/001.key"] {
        fs::write(dir.path().join("secrets").join(secret), [7; 32]).unwrap();
    }
    fs::write(dir.path().join("identity"), identity).unwrap();
    fs::write(dir.path().join("journal/0000000001.journal"), journal).unwrap();
    dir
}

fn v1() -> (Vec<u8>, Vec<u8>) {
    let read = |name| fs::read(fixture(1).join(name)).unwrap();
    (read("identity"), read("0000000001.journal"))
}

#[test]
fn version_1_is_read() {
    let (identity, journal) = v1();
    let dir = data_dir(&identity, &journal);
    let (_store, replay) = open_with(settings(dir.path())).unwrap();
    let records: Vec<_> = replay.map(Result::unwrap).collect();
    assert_eq!(records.iter().map(common::number).collect::<Vec<_>>(), [1, 2, 3, 4, 5]);
    assert_eq!(
        records.iter().map(|record| record.wall.as_millis()).collect::<Vec<_>>(),
        [1, 2, 3, 4, 5]
    );
    assert_eq!(
        records
            .iter()
            .map(|record| record.partition.number())
            .collect::<Vec<_>>(),
        [1, 2, 3, 4, 5]
    );
    assert!(records.is_sorted_by(|a, b| a.id < b.id));
}

/// Writes the fixture anew; only for a new version, into its own folder.
#[test]
#[ignore = "a fixture is written once, when its version is new"]
fn write_fixture() {
    let dir = scratch();
    let (store, _) = open_with(settings(dir.path())).unwrap();
    for n in 1..=5 {
        append(&store, n);
    }
    settle(&store).unwrap();
    drop(store);
    let mut journal = fs::read(dir.path().join("journal/0000000001.journal")).unwrap();
    while journal.last() == Some(&0) {
        journal.pop();
    }
    fs::create_dir_all(fixture(1)).unwrap();
    fs::write(fixture(1).join("0000000001.journal"), journal).unwrap();
    fs::copy(dir.path().join("identity"), fixture(1).join("identity")).unwrap();
}

/// Rewrites bytes of the first record and makes its checksum anew, by the definition in `docs/formats/journal.md`.
fn with_first_record(change: impl FnOnce(&mut [u8])) -> Result<(), OpenError> {
    let (identity, mut journal) = v1();
    let record = &mut journal[64..];
    change(record);
    let length = u32::from_le_bytes(record[..4].try_into().unwrap()) as usize;
    let mut crc = crc32fast::Hasher::new();
    crc.update(&record[30..30 + length]);
    crc.update(&record[..4]);
    crc.update(&record[8..11]);
    crc.update(&record[12..30]);
    crc.update(&record[11..12]);
    crc.update(&1u64.to_le_bytes());
    record[4..8].copy_from_slice(&crc.finalize().to_le_bytes());
    let dir = data_dir(&identity, &journal);
    open_with(settings(dir.path())).map(|(_, replay)| assert_eq!(numbers(replay).len(), 5))
}

#[test]
fn the_checksum_is_the_documented_one() {
    with_first_record(|_| {}).unwrap();
}

#[test]
fn an_unknown_kind_refuses_the_start() {
    let error = with_first_record(|record| record[8..10].copy_from_slice(&999u16.to_le_bytes())).unwrap_err();
    let unknown = matches!(
        error,
        OpenError::Event {
            position: 1,
            source: EventError::UnknownKind(999)
        }
    );
    assert!(unknown, "{error}");
}

#[test]
fn a_newer_record_format_refuses_the_start() {
    let error = with_first_record(|record| record[10] = 2).unwrap_err();
    assert!(
        matches!(
            error,
            OpenError::NewerRecord {
                position: 1,
                version: 2
            }
        ),
        "{error}"
    );
}

/// A checkpoint copy as version 1 wrote it, by the definition in `docs/formats/state.md`: keyspaces 0 to 7 alone.
fn copy(incarnation: &[u8], through: u64, entries: &[(u8, Vec<u8>, Vec<u8>)]) -> Vec<u8> {
    let mut copy = [
        b"STAFCKPT".as_slice(),
        &1_u16.to_le_bytes(),
        &[0; 6],
        incarnation,
        &through.to_le_bytes(),
    ]
    .concat();
    for (number, key, value) in entries {
        copy.push(*number);
        for len in [key.len(), value.len()] {
            copy.extend_from_slice(&u32::try_from(len).unwrap().to_le_bytes());
        }
        copy.extend_from_slice(key);
        copy.extend_from_slice(value);
    }
    copy.push(255);
    copy.extend_from_slice(&(entries.len() as u64).to_le_bytes());
    let crc = crc32fast::hash(&copy);
    copy.extend_from_slice(&crc.to_le_bytes());
    copy
}

#[test]
fn a_checkpoint_copy_of_version_1_is_restored_and_the_newer_keyspaces_are_usable() {
    let (identity, journal) = v1();
    let dir = data_dir(&identity, &journal);
    let person = PersonKey::from_bytes([7; 16]);
    let home = person.partition();
    let entries = [
        (
            0,
            [home.number().to_be_bytes().as_slice(), &[7; 16]].concat(),
            b"known".to_vec(),
        ),
        (7, b"through".to_vec(), 3_u64.to_le_bytes().to_vec()),
    ];
    fs::create_dir(dir.path().join("checkpoint")).unwrap();
    let path = dir.path().join("checkpoint").join(format!("{:020}.copy", 3));
    fs::write(path, copy(&identity[16..], 3, &entries)).unwrap();
    let visit = Visit {
        visitor: VisitorKey::from_bytes([3; 16]),
        lead: None,
        click: common::raw(9),
        at: Timestamp::from_millis(1),
        generation: 0,
        open: false,
    };
    let (store, replay) = open_with(settings(dir.path())).unwrap();
    assert_eq!(numbers(replay), [4, 5]);
    assert_eq!(
        store.state().persons().get(home, &person).unwrap(),
        Some(b"known".to_vec())
    );
    assert_eq!(store.state().leads().visits(home, &person).unwrap(), []);
    let mut turn = common::turn(append(&store, 6));
    turn.puts = vec![Put::Lead(LeadPut::Visit {
        partition: home,
        person,
        advertiser: ShopNumber(2),
        visit,
    })];
    store.state().submit(turn);
    settle(&store).unwrap();
    drop(store);
    let (store, _) = open_with(settings(dir.path())).unwrap();
    assert_eq!(
        store.state().leads().visit(home, &person, ShopNumber(2)).unwrap(),
        Some(visit)
    );
    assert_eq!(
        store.state().persons().get(home, &person).unwrap(),
        Some(b"known".to_vec())
    );
}
