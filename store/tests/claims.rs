//! Claims: one request of many copies, also over restarts.

#![allow(
    unreachable_pub,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "tests state expectations"
)]

mod common;

use common::{append, partition, raw, scratch, settings, settle, turn};
use store::state::ClaimPut;
use store::{Claimed, Put, Store};
use types::event::Claim;
use types::id::PublicId;
use types::time::Timestamp;

fn claim(name: u8, body: u8) -> Claim {
    Claim {
        name: [name; 16],
        body: [body; 16],
    }
}

fn id(n: u64) -> PublicId {
    PublicId {
        partition: partition(1),
        event: raw(n),
    }
}

fn fulfil(store: &Store, claimed: Claimed, n: u64) {
    let Claimed::New(guard) = claimed else {
        panic!("not new: {claimed:?}")
    };
    let position = append(store, n);
    settle(store).unwrap();
    guard.fulfil(id(n), position);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_twin_waits_and_sees_what_the_first_did() {
    let dir = scratch();
    let (store, _) = common::open(dir.path());
    let first = store.claims().claim(&[claim(1, 1), claim(2, 1)]).await.unwrap();
    let twin = |body| {
        let store = store.clone();
        tokio::spawn(async move { store.claims().claim(&[claim(2, body)]).await.unwrap() })
    };
    let (same, other) = (twin(1), twin(9));
    fulfil(&store, first, 7);
    assert!(matches!(same.await.unwrap(), Claimed::Replay(found) if found == id(7)));
    assert!(matches!(other.await.unwrap(), Claimed::Conflict));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_name_is_free_again_when_the_first_failed() {
    let dir = scratch();
    let (store, _) = common::open(dir.path());
    let first = store.claims().claim(&[claim(1, 1)]).await.unwrap();
    let twin = tokio::spawn({
        let store = store.clone();
        async move { store.claims().claim(&[claim(1, 2)]).await.unwrap() }
    });
    drop(first);
    assert!(matches!(twin.await.unwrap(), Claimed::New(_)));
}

#[tokio::test]
async fn one_name_with_two_bodies_is_a_conflict() {
    let dir = scratch();
    let (store, _) = common::open(dir.path());
    let claimed = store.claims().claim(&[claim(1, 1), claim(1, 2)]).await.unwrap();
    assert!(matches!(claimed, Claimed::Conflict));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn claims_in_state_survive_a_restart() {
    let dir = scratch();
    let (store, _) = common::open(dir.path());
    let claimed = store.claims().claim(&[claim(1, 1)]).await.unwrap();
    fulfil(&store, claimed, 3);
    let mut turn = turn(store.journal().durable().borrow().to_owned());
    turn.puts = vec![Put::Claim(ClaimPut {
        claim: claim(1, 1),
        id: id(3),
        at: Timestamp::from_millis(1_795_291_200_000),
    })];
    store.state().submit(turn);
    store.close().await;
    let (store, _) = common::open_with(settings(dir.path())).unwrap();
    assert!(matches!(store.claims().claim(&[claim(1, 1)]).await.unwrap(), Claimed::Replay(found) if found == id(3)));
    assert!(matches!(
        store.claims().claim(&[claim(1, 2)]).await.unwrap(),
        Claimed::Conflict
    ));
}
