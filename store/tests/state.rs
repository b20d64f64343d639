//! State: lost folders are made again, the journal stays bounded, and what cannot be made again is refused.

#![allow(
    unreachable_pub,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "tests state expectations"
)]

mod common;

use std::fs;
use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use common::{append, numbers, open, open_with, partition, raw, scratch, settings, settle, turn};
use store::{OpenError, Position, Put, Record, Settings, Store};
use types::event::{AttemptEnded, Decided, Event, Outcome, Plan, Tracking, Verdict};
use types::id::{Attempt, MessageId, PersonKey, ShopNumber};
use types::locale::Language;
use types::order::Stream;
use types::text::Line;
use types::time::Timestamp;

fn person(n: u64) -> PersonKey {
    let mut key = [0; 16];
    key[8..].copy_from_slice(&n.to_be_bytes());
    PersonKey::from_bytes(key)
}

/// Appends records and writes one person for each into state.
fn send(store: &Store, numbers: std::ops::RangeInclusive<u64>) {
    for n in numbers {
        let mut turn = turn(append(store, n));
        turn.puts = vec![Put::Person {
            partition: partition(0),
            key: person(n),
            value: n.to_be_bytes().to_vec(),
        }];
        store.state().submit(turn);
    }
    settle(store).unwrap();
}

fn persons(store: &Store, count: u64) {
    for n in 1..=count {
        let found = store.state().person(partition(0), &person(n)).unwrap();
        assert_eq!(found, Some(n.to_be_bytes().to_vec()), "person {n}");
    }
}

fn journal_segments(dir: &Path) -> usize {
    fs::read_dir(dir.join("journal")).unwrap().count()
}

/// Settings under which little of the journal is kept.
fn bounded(dir: &Path) -> Settings {
    Settings {
        segment_bytes: 8 << 10,
        journal_bytes_max: 32 << 10,
        checkpoint_interval: Duration::from_millis(5),
        ..settings(dir)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_waits_for_the_fold() {
    let dir = scratch();
    let (store, _) = open(dir.path());
    send(&store, 1..=200);
    assert!(store.fold_reached(Duration::from_secs(10)).await);
    persons(&store, 200);
    append(&store, 201);
    // Its turn is missing, so this can only end by the limit.
    assert!(!store.fold_reached(Duration::from_millis(1)).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_folder_is_made_again_from_the_journal() {
    let dir = scratch();
    let (store, _) = open(dir.path());
    send(&store, 1..=100);
    store.close().await;
    fs::remove_dir_all(dir.path().join("state")).unwrap();
    let (_store, replay) = open(dir.path());
    assert_eq!(numbers(replay), (1..=100).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_journal_is_bounded_and_a_lost_folder_is_made_again_from_the_checkpoint_copy() {
    let dir = scratch();
    let (store, _) = open_with(bounded(dir.path())).unwrap();
    let mut sent = 0;
    let first = dir.path().join("journal/0000000001.journal");
    while first.exists() {
        send(&store, sent + 1..=sent + 500);
        sent += 500;
        assert!(store.fold_reached(Duration::from_secs(10)).await);
    }
    while journal_segments(dir.path()) > 8 {
        tokio::task::yield_now().await;
    }
    store.close().await;
    for _ in 0..2 {
        let (store, replay) = open_with(bounded(dir.path())).unwrap();
        let applied = store.state().applied(partition(0)).0;
        let missing = numbers(replay);
        assert_eq!(missing, (applied + 1..=sent).collect::<Vec<_>>());
        persons(&store, applied);
        drop(store);
        // The first time from the database, the second from the copy.
        fs::remove_dir_all(dir.path().join("state")).unwrap();
    }
    fs::remove_dir_all(dir.path().join("checkpoint")).unwrap();
    fs::remove_dir_all(dir.path().join("state")).ok();
    let error = open_with(bounded(dir.path())).unwrap_err();
    assert!(matches!(error, OpenError::Gap { from: 1, .. }), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_journal_that_lost_its_end_is_refused() {
    let dir = scratch();
    let (store, _) = open(dir.path());
    send(&store, 1..=100);
    assert!(store.fold_reached(Duration::from_secs(10)).await);
    store.close().await;
    for entry in fs::read_dir(dir.path().join("journal")).unwrap() {
        fs::write(entry.unwrap().path(), b"").unwrap();
    }
    let error = open_with(settings(dir.path())).unwrap_err();
    assert!(
        matches!(error, OpenError::JournalBehind { state: 100, journal: 0 }),
        "{error}"
    );
}

#[test]
fn ids_go_on_after_a_restart_while_the_clock_stands() {
    let dir = scratch();
    let (store, _) = open(dir.path());
    let minted = (0..5000).map(|_| store.journal().mint()).max().unwrap();
    assert_eq!(append(&store, 1), Position(1));
    settle(&store).unwrap();
    drop(store);
    let (store, _) = open(dir.path());
    assert!(store.journal().mint() > minted);
}

#[tokio::test]
async fn the_history_of_a_mail_knows_whose_it_is() {
    let dir = scratch();
    let (store, _) = open(dir.path());
    let message = MessageId::from_raw(0x0380_0000_0000_2000);
    let record = |event: Event| Record {
        position: Position(1),
        id: raw(0x0380_0000_0000_3000),
        partition: partition(77),
        wall: Timestamp::from_millis(1_795_291_200_000),
        kind: event.kind(),
        event,
        payload: Bytes::new(),
    };
    let ended = record(Event::AttemptEnded(Box::new(AttemptEnded {
        message,
        attempt: Attempt(1),
        outcome: Outcome::Delivered,
        reply: Line::default(),
        peer: Line::default(),
        tls: None,
    })));
    assert_eq!(store.state().whose(&ended).unwrap(), None);
    let decision = Event::Decided(Box::new(Decided {
        cause: raw(0x0380_0000_0000_1000),
        shop: ShopNumber(1),
        person: person(1),
        verdict: Verdict::Send(Plan {
            message,
            stream: Stream::Promotional,
            language: Language::It,
            catalogue: 1,
            date: ended.wall,
            expires: ended.wall,
            tracking: Tracking::Aggregate,
            offers: Vec::new(),
            late: false,
            test: false,
            template: None,
        }),
    }));
    let mut payload = Vec::new();
    decision.encode(&mut payload);
    let mut turn = turn(append(&store, 1));
    turn.puts = vec![Put::Timeline {
        partition: ended.partition,
        object: message.event(),
        id: raw(5),
        wall: ended.wall,
        kind: decision.kind(),
        payload: payload.into(),
    }];
    store.state().submit(turn);
    settle(&store).unwrap();
    assert!(store.fold_reached(Duration::from_secs(10)).await);
    assert_eq!(store.state().whose(&ended).unwrap(), Some(ShopNumber(1)));
    assert_eq!(store.state().whose(&record(decision)).unwrap(), Some(ShopNumber(1)));
}
