//! The spool: bytes covered by the journal's commits, places given back, damage told and survived.

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

use common::{append, open, open_with, scratch, settings, settle, spooled, turn};
use store::state::OutboxPut;
use store::{OutboxEntry, Put, Settings, SpoolError, Store};
use types::id::{Attempt, EventId, MessageId};
use types::order::Stream;
use types::time::Timestamp;

fn small(dir: &Path) -> Settings {
    Settings {
        segment_bytes: 16 << 10,
        ..settings(dir)
    }
}

/// Spools message `n` and puts it into the outbox.
fn send(store: &Store, n: u64) {
    let message = spooled(n, 1000);
    store.spool().append(&message).unwrap();
    let mut turn = turn(append(store, n));
    turn.puts = vec![Put::Outbox(OutboxPut::Set {
        partition: message.partition,
        message: message.message,
        entry: OutboxEntry {
            cause: EventId::from_raw(n),
            attempts: Attempt(0),
            claimed: false,
            due: Timestamp::default(),
            expires: Timestamp::default(),
            stream: Stream::Promotional,
            accepted_at: Timestamp::default(),
            withdrawn: false,
            doubted: false,
        },
    })];
    store.state().submit(turn);
}

fn segments(dir: &Path) -> usize {
    fs::read_dir(dir.join("spool")).unwrap().count()
}

fn id(n: u64) -> MessageId {
    MessageId::from_raw(n)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_are_read_at_once_and_after_a_restart() {
    let dir = scratch();
    let (store, _) = open_with(small(dir.path())).unwrap();
    for n in 1..=100 {
        send(&store, n);
        assert!(store.spool().contains(id(n)));
        assert_eq!(store.spool().read(id(n)).unwrap(), Some(spooled(n, 1000)));
    }
    assert_eq!(store.spool().read(id(101)).unwrap(), None);
    store.close().await;
    let (store, _) = open_with(small(dir.path())).unwrap();
    assert_eq!(store.spool().len(), 100);
    for n in 1..=100 {
        assert_eq!(store.spool().read(id(n)).unwrap(), Some(spooled(n, 1000)));
        assert_eq!(store.spool().domain(id(n)), Some(format!("d{}.example.it", n % 7)));
    }
}

#[test]
fn a_large_message_gets_a_segment_of_its_own() {
    let dir = scratch();
    let (store, _) = open_with(small(dir.path())).unwrap();
    store.spool().append(&spooled(1, 100_000)).unwrap();
    store.spool().append(&spooled(2, 10)).unwrap();
    settle(&store).unwrap();
    assert_eq!(store.spool().read(id(1)).unwrap(), Some(spooled(1, 100_000)));
    assert_eq!(store.spool().read(id(2)).unwrap(), Some(spooled(2, 10)));
}

#[test]
fn released_messages_give_their_segments_back() {
    let dir = scratch();
    let (store, _) = open_with(small(dir.path())).unwrap();
    for n in 1..=3000 {
        send(&store, n);
        settle(&store).unwrap();
        store.spool().release(id(n));
        assert!(!store.spool().contains(id(n)));
    }
    assert!(store.spool().is_empty());
    assert!(
        segments(dir.path()) < 12,
        "{} segments for no message",
        segments(dir.path())
    );
}

#[test]
fn stragglers_are_moved_and_their_segments_freed() {
    let dir = scratch();
    let mut with = small(dir.path());
    with.checkpoint_interval = Duration::from_millis(1);
    let (store, _) = open_with(with).unwrap();
    for n in 1..=1000 {
        send(&store, n);
        if n % 100 != 0 {
            settle(&store).unwrap();
            store.spool().release(id(n));
        }
    }
    settle(&store).unwrap();
    while segments(dir.path()) > 12 {
        std::thread::yield_now();
    }
    for n in (100..=1000).step_by(100) {
        assert_eq!(store.spool().read(id(n)).unwrap(), Some(spooled(n, 1000)));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_damaged_message_is_told_by_id_and_all_others_are_read() {
    let dir = scratch();
    let (store, _) = open_with(settings(dir.path())).unwrap();
    for n in 1..=100 {
        send(&store, n);
    }
    settle(&store).unwrap();
    for entry in fs::read_dir(dir.path().join("spool")).unwrap() {
        let path = entry.unwrap().path();
        let mut bytes = fs::read(&path).unwrap();
        if bytes.starts_with(b"STAFSPOL") {
            bytes[500] ^= 1;
            fs::write(&path, bytes).unwrap();
            break;
        }
    }
    let (mut damaged, mut intact) = (0, 0);
    for n in 1..=100 {
        match store.spool().read(id(n)) {
            Ok(Some(found)) => {
                assert_eq!(found, spooled(n, 1000));
                intact += 1;
            }
            Err(SpoolError::Damaged { message, .. }) => {
                assert_eq!(message, id(n));
                damaged += 1;
            }
            other => panic!("message {n}: {other:?}"),
        }
    }
    assert_eq!((damaged, intact), (1, 99));
    drop(store);
    drop(open(dir.path()));
}
