//! Erasing: what earlier turns wrote about an object goes, whole, and nothing else does.

#![allow(
    unreachable_pub,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "tests state expectations"
)]

mod common;

use common::{append, event, open, partition, raw, scratch, settle, turn};
use store::state::HistoryPut;
use store::{Put, Store};
use types::id::{EventId, PartitionId, PersonKey, ShopNumber};
use types::time::Timestamp;

const SHOP: ShopNumber = ShopNumber(1);
const OTHER: ShopNumber = ShopNumber(2);
const PERSON: PersonKey = PersonKey::from_bytes([7; 16]);

fn home() -> PartitionId {
    PERSON.partition()
}

/// One event of an object's history, numbered.
fn row(object: u64, n: u64) -> Put {
    let mut payload = Vec::new();
    event(n).encode(&mut payload);
    Put::History(HistoryPut::Timeline {
        partition: home(),
        object: raw(object),
        id: raw(n),
        wall: Timestamp::from_millis(n),
        kind: event(n).kind(),
        payload: payload.into(),
    })
}

fn about(shop: ShopNumber, object: u64) -> Put {
    Put::History(HistoryPut::About {
        partition: home(),
        person: PERSON,
        shop,
        object: raw(object),
    })
}

fn erase(object: u64) -> Put {
    Put::History(HistoryPut::Erase {
        partition: home(),
        person: PERSON,
        shop: SHOP,
        object: raw(object),
    })
}

/// Hands these turns to the state writer at once, so that it has several to put into a batch.
fn write(store: &Store, turns: Vec<Vec<Put>>) {
    // All are durable before the first is handed in.
    let positions: Vec<_> = turns.iter().map(|_| append(store, 1)).collect();
    settle(store).unwrap();
    for (position, puts) in positions.into_iter().zip(turns) {
        let mut turn = turn(position);
        turn.puts = puts;
        store.state().submit(turn);
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .unwrap();
    assert!(runtime.block_on(store.fold_reached(std::time::Duration::from_secs(20))));
}

/// The numbers of an object's history.
fn history(store: &Store, object: u64) -> Vec<u64> {
    let rows = store.state().histories().of(home(), raw(object)).unwrap();
    rows.iter().map(|row| row.id.raw()).collect()
}

fn objects(store: &Store) -> Vec<(ShopNumber, EventId)> {
    store.state().histories().about(home(), &PERSON).unwrap()
}

#[test]
fn all_that_earlier_turns_wrote_goes_even_those_that_wait_in_the_same_moment() {
    let dir = scratch();
    let (store, _) = open(dir.path());
    let mut turns: Vec<Vec<Put>> = (1..=200).map(|n| vec![row(10, n)]).collect();
    turns.push(vec![about(SHOP, 10), about(SHOP, 11), row(11, 1)]);
    turns.push(vec![erase(10)]);
    turns.push(vec![row(11, 2)]);
    write(&store, turns);
    assert!(history(&store, 10).is_empty());
    assert_eq!(history(&store, 11), [1, 2]);
    assert_eq!(objects(&store), [(SHOP, raw(11))]);
}

#[test]
fn other_objects_and_shops_and_partitions_are_left() {
    let dir = scratch();
    let (store, _) = open(dir.path());
    let elsewhere = match row(10, 5) {
        Put::History(HistoryPut::Timeline {
            object,
            id,
            wall,
            kind,
            payload,
            ..
        }) => Put::History(HistoryPut::Timeline {
            partition: partition(1023),
            object,
            id,
            wall,
            kind,
            payload,
        }),
        other => other,
    };
    write(
        &store,
        vec![
            vec![
                row(9, 1),
                row(10, 1),
                row(11, 1),
                elsewhere,
                about(SHOP, 10),
                about(OTHER, 10),
            ],
            vec![erase(10)],
        ],
    );
    assert_eq!([9, 10, 11].map(|object| history(&store, object).len()), [1, 0, 1]);
    assert_eq!(store.state().histories().of(partition(1023), raw(10)).unwrap().len(), 1);
    assert_eq!(objects(&store), [(OTHER, raw(10))]);
}

#[test]
fn what_the_erasing_turn_itself_writes_and_what_comes_later_stays() {
    let dir = scratch();
    let (store, _) = open(dir.path());
    write(
        &store,
        vec![
            vec![row(10, 1), row(10, 2)],
            // The runner leaves out what it does not want to see again: state erases what was there before.
            vec![row(10, 3), erase(10)],
            vec![row(10, 4)],
        ],
    );
    assert_eq!(history(&store, 10), [3, 4]);
    write(&store, vec![vec![erase(10)], vec![erase(10)]]);
    assert!(history(&store, 10).is_empty());
}

#[test]
fn what_was_erased_is_not_there_after_a_restart() {
    let dir = scratch();
    let (store, _) = open(dir.path());
    write(&store, vec![vec![row(10, 1), about(SHOP, 10)], vec![erase(10)]]);
    drop(store);
    let (store, _) = open(dir.path());
    assert!(history(&store, 10).is_empty() && objects(&store).is_empty());
}
