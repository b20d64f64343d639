//! Following the journal: every durable record once and in order, over rotation, restarts, reclaim and the end.

#![allow(
    unreachable_pub,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "tests state expectations"
)]

mod common;

use std::fs;
use std::future::Future;
use std::pin::pin;
use std::sync::atomic::Ordering;
use std::task::{Context, Waker};
use std::time::Duration;

use bytes::Bytes;
use common::{append, number, open, open_with, partition, scratch, settings, settle, turn};
use prometheus::Registry;
use store::{Batch, Position, Settings, Store, Tail, TailError};
use types::event::{AggregateCounted, AggregateHit, AttemptEnded, Event, HitClass, HitKind, Outcome};
use types::id::{Attempt, MessageId, ShopNumber};
use types::time::{Clock, Timestamp};

/// Records of the test with many tails.
const RECORDS: u64 = 3000;

/// Takes as many records as come up to position `last`, checking that none is missing or doubled.
async fn follow(tail: &mut Tail, from: u64, last: u64, max_records: usize) {
    let mut next = from;
    while next <= last {
        let records = tail.next(max_records).await.unwrap();
        assert!((1..=max_records).contains(&records.len()));
        for record in records {
            assert_eq!((record.position, number(&record)), (Position(next), next));
            next += 1;
        }
    }
}

fn small(dir: &std::path::Path) -> Settings {
    Settings {
        segment_bytes: 4 << 10,
        ..settings(dir)
    }
}

/// Whether a future would have to wait.
fn waits(future: impl Future) -> bool {
    pin!(future).poll(&mut Context::from_waker(Waker::noop())).is_pending()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_tails_see_every_record_while_others_append_over_many_segments() {
    let dir = scratch();
    let (store, _) = open_with(small(dir.path())).unwrap();
    let tails: Vec<_> = (0..16)
        .map(|n: u64| {
            let store = store.clone();
            // From the start, from the middle, from what is yet to come; in portions of one and of many.
            let from = n * 250 + u64::from(n == 0);
            tokio::spawn(async move {
                follow(&mut store.tail(Position(from)), from, RECORDS + n, 1 + n as usize * 17).await;
            })
        })
        .collect();
    for n in 1..=RECORDS + 15 {
        append(&store, n);
        if n % 83 == 0 {
            settle(&store).unwrap();
        }
    }
    for tail in tails {
        tail.await.unwrap();
    }
}

#[tokio::test]
async fn what_is_not_durable_is_waited_for() {
    let dir = scratch();
    let (store, _) = open(dir.path());
    let mut tail = store.tail(Position(0));
    assert!(waits(tail.next(10)));
    append(&store, 1);
    follow(&mut tail, 1, 1, 10).await;
    assert!(waits(tail.next(10)));
}

#[tokio::test]
async fn a_caller_who_goes_away_loses_no_records() {
    let dir = scratch();
    let (store, _) = open(dir.path());
    for n in 1..=20 {
        append(&store, n);
    }
    settle(&store).unwrap();
    let mut tail = store.tail(Position(1));
    // The read is begun, and its caller goes away.
    assert!(waits(tail.next(10)));
    follow(&mut tail, 1, 20, 10).await;
}

#[tokio::test]
async fn a_record_longer_than_a_read_comes_whole() {
    let dir = scratch();
    let (store, _) = open(dir.path());
    let reply = |n: usize| {
        Event::AttemptEnded(Box::new(AttemptEnded {
            message: MessageId::from_raw(n as u64),
            attempt: Attempt(1),
            outcome: Outcome::Delivered,
            reply: "x".repeat(500).try_into().unwrap(),
            peer: "y".repeat(290).try_into().unwrap(),
            tls: None,
        }))
    };
    // Many that cross the ends of reads, and one that is longer than any.
    let hit = |n| AggregateHit {
        shop: ShopNumber(n),
        campaign: None,
        kind: HitKind::Open,
        class: HitClass::Human,
        count: 1,
    };
    let long = Event::AggregateCounted(AggregateCounted {
        hits: (0..30_000).map(hit).collect(),
    });
    let mut expected: Vec<Event> = (0..200).map(reply).collect();
    expected.insert(100, long);
    for event in &expected {
        let mut batch = Batch::new();
        batch.push(store.journal().mint(), partition(3), Timestamp::from_millis(1), event);
        store.journal().append(batch).unwrap();
    }
    settle(&store).unwrap();
    let mut tail = store.tail(Position(1));
    let mut found = Vec::new();
    while found.len() < expected.len() {
        for record in tail.next(1000).await.unwrap() {
            let mut payload = Vec::new();
            record.event.encode(&mut payload);
            assert_eq!(record.payload, Bytes::from(payload));
            found.push(record.event);
        }
    }
    assert_eq!(found, expected);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_torn_end_the_tail_goes_on_with_what_came_instead() {
    let dir = scratch();
    let (store, _) = open_with(small(dir.path())).unwrap();
    for n in 1..=300 {
        append(&store, n);
        if n % 10 == 0 {
            settle(&store).unwrap();
        }
    }
    settle(&store).unwrap();
    drop(store);
    // The last record is cut in its middle.
    let newest = fs::read_dir(dir.path().join("journal"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| fs::read(path).unwrap().starts_with(b"STAFJRNL"))
        .max()
        .unwrap();
    let mut bytes = fs::read(&newest).unwrap();
    let end = bytes.iter().rposition(|b| *b != 0).unwrap();
    bytes[end - 3..].fill(0);
    fs::write(&newest, bytes).unwrap();
    let (store, _) = open_with(small(dir.path())).unwrap();
    for n in 300..=400 {
        append(&store, n);
    }
    follow(&mut store.tail(Position(1)), 1, 400, 64).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_reclaimed_is_gone_and_says_where_the_journal_begins() {
    let dir = scratch();
    let (store, _) = open_with(Settings {
        journal_bytes_max: 32 << 10,
        checkpoint_interval: Duration::from_millis(5),
        ..small(dir.path())
    })
    .unwrap();
    let mut early = store.tail(Position(1));
    let mut sent = 1;
    append(&store, 1);
    // The segment is open when it is freed and its file begun anew.
    follow(&mut early, 1, 1, 1).await;
    let first = loop {
        for _ in 0..200 {
            sent += 1;
            let position = append(&store, sent);
            store.state().submit(turn(position));
        }
        assert!(store.fold_reached(Duration::from_secs(10)).await);
        match store.tail(Position(1)).next(1).await {
            Ok(records) => assert_eq!(records[0].position, Position(1)),
            Err(TailError::Gone { first }) => break first,
            Err(error) => panic!("{error}"),
        }
    };
    assert!(first > Position(1) && first.0 < sent, "{first:?} of {sent}");
    // Whoever had begun gets what it still can and is then told the same; nothing is left out without a word.
    let mut next = 2;
    let gone = loop {
        match early.next(1000).await {
            Ok(records) => {
                for record in records {
                    assert_eq!(number(&record), next);
                    next += 1;
                }
                if next > sent {
                    break None;
                }
            }
            Err(TailError::Gone { first }) => break Some(first),
            Err(error) => panic!("{error}"),
        }
    };
    let from = gone.unwrap_or(first);
    assert!(from >= first);
    let mut again = store.tail(from);
    match again.next(1).await {
        Ok(records) => assert_eq!(records[0].position, from),
        Err(TailError::Gone { first }) => assert!(first > from),
        Err(error) => panic!("{error}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tail_ends_with_the_store_after_the_last_record() {
    let dir = scratch();
    let (store, _) = open(dir.path());
    let mut idle = store.tail(Position(1));
    assert!(waits(idle.next(1)));
    for n in 1..=50 {
        append(&store, n);
    }
    let mut tail = store.tail(Position(1));
    store.close().await;
    follow(&mut tail, 1, 50, 7).await;
    assert!(matches!(tail.next(1).await, Err(TailError::Ended)));
    follow(&mut idle, 1, 50, 7).await;
    assert!(matches!(idle.next(1).await, Err(TailError::Ended)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failed_store_ends_those_who_wait() {
    let dir = scratch();
    let (store, _) = open(dir.path());
    let mut tail = store.tail(Position(1));
    let waiting = tokio::spawn(async move { tail.next(1).await });
    store.fail("a part of the test", &"it was told to");
    assert!(matches!(waiting.await.unwrap(), Err(TailError::Ended)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn damage_is_named_and_what_lies_before_it_is_read() {
    let dir = scratch();
    let (store, _) = open(dir.path());
    for n in 1..=50 {
        append(&store, n);
    }
    settle(&store).unwrap();
    damage(&store, dir.path());
    let mut tail = store.tail(Position(1));
    let mut read = 0;
    let at = loop {
        match tail.next(100).await {
            Ok(records) => read += records.len() as u64,
            Err(TailError::Damaged { position }) => break position,
            Err(error) => panic!("{error}"),
        }
    };
    assert!((1..50).contains(&read), "{read}");
    assert_eq!(at, Position(read + 1));
}

/// Flips a bit in the middle of the records of the open segment.
fn damage(store: &Store, dir: &std::path::Path) {
    assert_eq!(*store.journal().durable().borrow(), Position(50));
    let path = fs::read_dir(dir.join("journal"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .find(|path| fs::read(path).unwrap().starts_with(b"STAFJRNL"))
        .unwrap();
    let mut bytes = fs::read(&path).unwrap();
    let end = bytes.iter().rposition(|b| *b != 0).unwrap();
    bytes[end / 2] ^= 1;
    fs::write(&path, bytes).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_position_is_found_by_its_time() {
    let dir = scratch();
    let clock = common::clock();
    let (store, _) = store::open(small(dir.path()), clock.clone(), &Registry::new()).unwrap();
    let start = clock.now();
    let at = |seconds: u64| start + Duration::from_secs(seconds);
    assert_eq!(store.position_at(start).await.unwrap(), Position(1));
    // One record each ten seconds, over many segments.
    for n in 1..=500 {
        clock.0.store(at(10 * n).as_millis(), Ordering::Relaxed);
        let mut batch = Batch::new();
        batch.push(store.journal().mint(), partition(7), clock.now(), &common::event(n));
        store.journal().append(batch).unwrap();
        settle(&store).unwrap();
    }
    for (seconds, expected) in [
        (0, 1),
        (10, 1),
        (11, 2),
        (2500, 250),
        (2501, 251),
        (4999, 500),
        (5000, 500),
        (5001, 501),
    ] {
        assert_eq!(
            store.position_at(at(seconds)).await.unwrap(),
            Position(expected),
            "after {seconds} s"
        );
    }
    assert_eq!(store.position_at(Timestamp::from_millis(0)).await.unwrap(), Position(1));
}
