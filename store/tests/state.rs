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
use store::state::{AsidePut, CartPut, ContactPut, HistoryPut, MailPut, PersonPut, SuppressionPut};
use store::{OpenError, Position, Put, Record, Settings, Store, SuppressionList};
use types::event::{AttemptEnded, Decided, Event, Outcome, Plan, SetAside, SuppressionCause, Tracking, Verdict};
use types::id::{Attempt, MessageId, PartitionId, PersonKey, PublicId, ShopNumber};
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
        turn.puts = vec![Put::Person(PersonPut {
            partition: partition(0),
            key: person(n),
            value: n.to_be_bytes().to_vec(),
        })];
        store.state().submit(turn);
    }
    settle(store).unwrap();
}

fn persons(store: &Store, count: u64) {
    for n in 1..=count {
        let found = store.state().persons().get(partition(0), &person(n)).unwrap();
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
    assert_eq!(store.state().histories().whose(&ended).unwrap(), None);
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
    let history = HistoryPut::Timeline {
        partition: ended.partition,
        object: message.event(),
        id: raw(5),
        wall: ended.wall,
        kind: decision.kind(),
        payload: payload.into(),
    };
    write(&store, vec![history.into()]).await;
    assert_eq!(store.state().histories().whose(&ended).unwrap(), Some(ShopNumber(1)));
    assert_eq!(
        store.state().histories().whose(&record(decision)).unwrap(),
        Some(ShopNumber(1))
    );
}

/// Writes these changes to state, and waits until they are there.
async fn write(store: &Store, puts: Vec<Put>) {
    let mut turn = turn(append(store, 1));
    turn.puts = puts;
    store.state().submit(turn);
    settle(store).unwrap();
    assert!(store.fold_reached(Duration::from_secs(10)).await);
}

/// Partitions of many slots, in no order.
fn scattered(count: u64) -> impl Iterator<Item = (u64, PartitionId)> {
    (1..=count).map(|n| (n, partition(u16::try_from(n * 337 % 1024).unwrap())))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lists_that_name_no_slot_have_the_rows_of_all_in_their_order() {
    let dir = scratch();
    let (store, _) = open(dir.path());
    let (shop, other) = (ShopNumber(1), ShopNumber(2));
    let mut puts = Vec::new();
    for (n, partition) in scattered(100) {
        let at = Timestamp::from_millis(1000 + n / 2);
        let message = MessageId::from_raw(n);
        puts.push(MailPut::DueSet { at, partition, message }.into());
        for shop in [shop, other] {
            let cart = Some(PublicId {
                partition,
                event: raw(n),
            });
            let id = cart_id(n);
            puts.push(CartPut::Name { shop, id, cart }.into());
            let value = Some(vec![1]);
            let person = spread_person(n);
            let partition = person.partition();
            puts.push(
                ContactPut {
                    partition,
                    person,
                    shop,
                    value,
                }
                .into(),
            );
            let (list, stream) = (SuppressionList::Shop(shop), Some(Stream::Promotional));
            let cause = SuppressionCause::Manual;
            puts.push(
                SuppressionPut::Set {
                    list,
                    person,
                    stream,
                    cause,
                    at,
                }
                .into(),
            );
        }
        let event = Box::new(aside(n));
        puts.push(
            AsidePut {
                partition,
                id: raw(n),
                event,
            }
            .into(),
        );
    }
    write(&store, puts).await;
    let state = store.state();

    let asides = |before, limit| -> Vec<u64> {
        let found = state.asides().newest(before, limit).unwrap();
        found.iter().map(|(id, _)| id.event.raw()).collect()
    };
    assert_eq!(asides(None, 1000), (1..=100).rev().collect::<Vec<_>>());
    assert_eq!(asides(Some(raw(51)), 3), [50, 49, 48]);

    let all = 0..PartitionId::CATALOGUE.number() + 1;
    let until = Timestamp::from_millis(1 << 40);
    let dues = state.mails().due(all, Timestamp::default(), until, 1000).unwrap();
    assert_eq!(dues.len(), 100);
    assert!(dues.is_sorted());
    let own = state.mails().due(0..512, Timestamp::default(), until, 1000).unwrap();
    assert!(own.iter().eq(dues.iter().filter(|due| due.1.number() < 512)));

    let mut ids: Vec<_> = (1..=100).map(cart_id).collect();
    ids.sort();
    let mut seen: Vec<Line<128>> = Vec::new();
    loop {
        let page = state.carts().of_shop(shop, seen.last(), 7).unwrap();
        if page.is_empty() {
            break;
        }
        seen.extend(page.into_iter().map(|(id, _)| id));
    }
    assert_eq!(seen, ids);

    let mut persons: Vec<_> = (1..=100).map(spread_person).collect();
    persons.sort();
    let (mut contacts, mut suppressed) = (Vec::new(), Vec::new());
    loop {
        let last = contacts.last().map(|person: &PersonKey| (person.partition(), *person));
        let page = state.contacts().of_shop(shop, 0..1024, last, 7).unwrap();
        let last = suppressed.last().map(|person| (*person, Some(Stream::Promotional)));
        let entries = state.suppressions().of(SuppressionList::Shop(shop), last, 7).unwrap();
        if page.is_empty() && entries.is_empty() {
            break;
        }
        contacts.extend(page.into_iter().map(|(_, person)| person));
        suppressed.extend(entries.into_iter().map(|entry| entry.person));
    }
    assert_eq!(contacts, persons);
    assert_eq!(suppressed, persons);
    let network = state.suppressions().of(SuppressionList::Network, None, 10).unwrap();
    assert_eq!(network, []);
}

fn cart_id(n: u64) -> Line<128> {
    Line::try_from(format!("cart {}", n * 7919 % 1000).as_str()).unwrap()
}

/// A person of a partition that its number says nothing of.
fn spread_person(n: u64) -> PersonKey {
    let [.., a, b] = (n.wrapping_mul(40_503) % 65_536).to_be_bytes();
    let mut key = [0; 16];
    key[..2].copy_from_slice(&[a, b]);
    key[8..].copy_from_slice(&n.to_be_bytes());
    PersonKey::from_bytes(key)
}

fn aside(n: u64) -> SetAside {
    SetAside {
        shop: None,
        object: raw(n),
        due: None,
        fault: "a fault".try_into().unwrap(),
        tries: 1,
    }
}
