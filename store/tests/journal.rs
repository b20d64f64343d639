//! The journal over restarts and damage: nothing durable is lost, nothing is invented, damage is named.

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

use common::{append, event, numbers, open, open_with, partition, scratch, settings, settle, turn};
use store::{Batch, OpenError, Position};
use tempfile::TempDir;
use types::time::Timestamp;

/// Records of one log in the tests of damage.
const RECORDS: u64 = 2000;

fn segments(dir: &Path) -> Vec<PathBuf> {
    let mut found: Vec<_> = fs::read_dir(dir.join("journal"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    found.sort_unstable();
    found
}

/// Writes `records` records in rounds of different sizes, closes, and returns the directory.
fn written(records: u64, segment_bytes: u64) -> TempDir {
    let dir = scratch();
    let mut settings = settings(dir.path());
    settings.segment_bytes = segment_bytes;
    let (store, _) = open_with(settings).unwrap();
    for n in 1..=records {
        append(&store, n);
        if n % 37 == 0 && n + 100 < records {
            settle(&store).unwrap();
        }
    }
    settle(&store).unwrap();
    drop(store);
    dir
}

/// Removes state and all segments but one, which is left as `change` makes it.
fn with_log(bytes: &[u8], name: &Path, identity: &Path) -> TempDir {
    let dir = scratch();
    fs::create_dir(dir.path().join("journal")).unwrap();
    fs::write(dir.path().join("journal").join(name.file_name().unwrap()), bytes).unwrap();
    for secret in ["secrets/token", "secrets/dkim"] {
        fs::create_dir_all(dir.path().join(secret)).unwrap();
    }
    for file in [
        "identity",
        "secrets/person.key",
        "secrets/verp.key",
        "secrets/token/001.key",
    ] {
        fs::copy(identity.join(file), dir.path().join(file)).unwrap();
    }
    dir
}

/// Returns the segment that holds records, and its bytes without the zeros behind them.
fn log(dir: &Path) -> (PathBuf, Vec<u8>) {
    let used = |path: &PathBuf| {
        let mut bytes = fs::read(path).unwrap();
        while bytes.last() == Some(&0) {
            bytes.pop();
        }
        bytes
    };
    segments(dir)
        .into_iter()
        .map(|path| (path.clone(), used(&path)))
        .max_by_key(|(_, bytes)| bytes.len())
        .unwrap()
}

#[test]
fn what_is_durable_is_there_after_a_restart_and_positions_go_on() {
    let dir = scratch();
    let mut expected = Vec::new();
    for round in 0..5 {
        let (store, replay) = open(dir.path());
        assert_eq!(numbers(replay), expected);
        for n in 1..=500 {
            let n = round * 500 + n;
            assert_eq!(append(&store, n), Position(n));
            expected.push(n);
        }
        assert_eq!(settle(&store), Ok(Position(round * 500 + 500)));
        assert_eq!(*store.journal().durable().borrow(), Position(round * 500 + 500));
    }
}

#[test]
fn what_is_applied_is_not_replayed_whatever_the_number_of_runners() {
    let dir = scratch();
    let with = |runners| {
        let mut settings = settings(dir.path());
        settings.runners = runners;
        open_with(settings).unwrap()
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .unwrap();
    let (store, _) = with(2);
    // Two runners: the first has applied all it has, the second nothing after 100.
    for n in 1..=300 {
        append(&store, n);
    }
    settle(&store).unwrap();
    let ranges = store.intake().ranges().to_vec();
    for (range, position) in ranges.into_iter().zip([300, 100]) {
        let mut turn = turn(Position(position));
        turn.range = range;
        store.state().submit(turn);
    }
    runtime.block_on(store.close());
    // Records of the second runner's partitions: 513 and more; here those are none below 300, so by number modulo.
    for runners in [3, 1, 7] {
        let (store, replay) = with(runners);
        let expected: Vec<u64> = (101..=300).filter(|n| n % 1024 >= 512).collect();
        assert_eq!(numbers(replay), expected, "{runners} runners");
        drop(store);
    }
}

#[test]
fn a_log_cut_anywhere_keeps_every_record_before_the_cut() {
    let origin = written(RECORDS, 1 << 20);
    let (name, bytes) = log(origin.path());
    let record = (bytes.len() - 64) as u64 / RECORDS;
    let cuts = (0..bytes.len()).step_by(397).chain(bytes.len() - 40..bytes.len());
    let mut last = 0;
    for cut in cuts {
        let dir = with_log(&bytes[..cut], &name, origin.path());
        match open_with(settings(dir.path())) {
            Ok((_store, replay)) => {
                let found = numbers(replay);
                assert_eq!(found, (1..=found.len() as u64).collect::<Vec<_>>(), "cut at {cut}");
                assert!(found.len() >= last, "cut at {cut}: a longer log has fewer records");
                last = found.len();
                let expected = (cut as u64).saturating_sub(64) / (record + 2);
                assert!(
                    found.len() as u64 >= expected,
                    "cut at {cut}: {} of {expected}",
                    found.len()
                );
            }
            Err(error) => panic!("cut at {cut}: {error}"),
        }
    }
    assert_eq!(last as u64, RECORDS - 1);
}

#[test]
fn records_of_one_append_are_found_together_or_not_at_all() {
    const APPEND: u64 = 5;
    const SEGMENT: u64 = 4096;
    let origin = scratch();
    let small = |dir: &Path| {
        let mut settings = settings(dir);
        settings.segment_bytes = SEGMENT;
        settings
    };
    let (store, _) = open_with(small(origin.path())).unwrap();
    for first in (1..=40 * APPEND).step_by(5) {
        let mut batch = Batch::new();
        for n in first..first + APPEND {
            batch.push(
                store.journal().mint(),
                partition(0),
                Timestamp::from_millis(n),
                &event(n),
            );
        }
        store.journal().append(batch).unwrap();
    }
    settle(&store).unwrap();
    drop(store);
    let (last, _) = segments(origin.path())
        .into_iter()
        .map(|path| (path.clone(), fs::read(path).unwrap()))
        .rfind(|(_, bytes)| bytes.get(64..68).is_some_and(|length| length != [0; 4]))
        .unwrap();
    let mut bytes = fs::read(&last).unwrap();
    bytes.truncate(bytes.iter().rposition(|byte| *byte != 0).unwrap() + 1);
    let mut seen = std::collections::BTreeSet::new();
    for cut in (64..=bytes.len()).rev().step_by(173) {
        let dir = tempfile::tempdir().unwrap();
        copy_dir(origin.path(), dir.path());
        fs::remove_dir_all(dir.path().join("state")).unwrap();
        let name = dir.path().join("journal").join(last.file_name().unwrap());
        fs::write(&name, &bytes[..cut]).unwrap();
        let (_store, replay) = open_with(small(dir.path())).unwrap();
        let found = numbers(replay);
        assert_eq!(found, (1..=found.len() as u64).collect::<Vec<_>>(), "cut at {cut}");
        assert_eq!(found.len() as u64 % APPEND, 0, "cut at {cut}: half an append was found");
        seen.insert(found.len());
    }
    assert!(seen.len() > 3, "the last segment has several appends: {seen:?}");
}

fn copy_dir(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_dir(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

#[test]
fn a_flipped_bit_is_a_torn_tail_or_named_damage_and_never_another_record() {
    let origin = written(RECORDS, 1 << 20);
    let (name, bytes) = log(origin.path());
    let (mut damaged, mut cut) = (0, 0);
    let bits = bytes.len() * 8;
    // The last bit is of the last round, however few records that came to.
    for bit in (64 * 8..bits).step_by(bits / 300).chain([bits - 1]) {
        let mut bytes = bytes.clone();
        bytes[bit / 8] ^= 1 << (bit % 8);
        let dir = with_log(&bytes, &name, origin.path());
        match open_with(settings(dir.path())) {
            // Only within the last round may a bad record be a torn one.
            Ok((_store, replay)) => {
                let found = numbers(replay);
                assert_eq!(found, (1..=found.len() as u64).collect::<Vec<_>>(), "bit {bit}");
                assert!(
                    found.len() as u64 >= RECORDS - 140,
                    "bit {bit}: {} records",
                    found.len()
                );
                cut += 1;
            }
            Err(OpenError::Damaged { position, offset, .. }) => {
                assert!(position <= RECORDS && offset <= bit as u64 / 8, "bit {bit}");
                damaged += 1;
            }
            Err(error) => panic!("bit {bit}: {error}"),
        }
    }
    assert!(damaged > 100 && cut > 0, "{damaged} named, {cut} cut");
}

#[test]
fn damage_in_an_older_segment_refuses_the_start_and_names_the_place() {
    let dir = written(RECORDS, 16 << 10);
    let first = segments(dir.path())[0].clone();
    let mut bytes = fs::read(&first).unwrap();
    bytes[5000] ^= 1;
    fs::write(&first, bytes).unwrap();
    let error = open_with(settings(dir.path())).unwrap_err();
    assert!(
        matches!(error, OpenError::Damaged { offset, .. } if offset <= 5000),
        "{error}"
    );
}

#[test]
fn a_missing_segment_refuses_the_start() {
    let dir = written(RECORDS, 16 << 10);
    fs::remove_file(&segments(dir.path())[1]).unwrap();
    let error = open_with(settings(dir.path())).unwrap_err();
    assert!(
        matches!(error, OpenError::Gap { .. } | OpenError::Damaged { .. }),
        "{error}"
    );
}

#[test]
fn a_directory_whose_newest_segment_was_never_linked_opens_with_the_older_ones() {
    let dir = written(RECORDS, 16 << 10);
    // What lies ready is not begun: without it the journal ends where it did.
    let newest = segments(dir.path()).pop().unwrap();
    fs::remove_file(newest).unwrap();
    let (_store, replay) = open(dir.path());
    assert_eq!(numbers(replay), (1..=RECORDS).collect::<Vec<_>>());
}

#[test]
fn stale_records_of_a_recycled_segment_are_not_read() {
    let dir = written(1000, 1 << 20);
    let (name, bytes) = log(dir.path());
    // The same file under the next id, begun there: its old records must not count.
    let (store, _) = open(dir.path());
    append(&store, 1001);
    settle(&store).unwrap();
    drop(store);
    let mut found = segments(dir.path());
    let begun: Vec<_> = found
        .drain(..)
        .filter(|path| fs::read(path).unwrap().starts_with(b"STAFJRNL"))
        .collect();
    let current = begun.last().unwrap();
    let mut mixed = fs::read(current).unwrap();
    let end = 64 + bytes.len() - 64 + mixed.iter().rev().position(|b| *b != 0).map_or(0, |_| 0);
    let used = mixed.len() - mixed.iter().rev().position(|b| *b != 0).unwrap();
    assert!(used >= end);
    mixed.truncate(used);
    mixed.extend_from_slice(&bytes[64..]);
    fs::write(current, &mixed).unwrap();
    let (_store, replay) = open(dir.path());
    assert_eq!(numbers(replay), (1..=1001).collect::<Vec<_>>());
    drop(name);
}

#[test]
fn a_second_process_is_refused() {
    let dir = scratch();
    let (_store, _) = open(dir.path());
    assert!(matches!(open_with(settings(dir.path())), Err(OpenError::Locked(_))));
}
