//! Failing and full disks: no false acknowledgement, nothing taken afterwards, and a restart that finds what was durable.

#![allow(
    unreachable_pub,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "tests state expectations"
)]

mod common;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use common::{Failing, append, event, numbers, open, open_with, partition, scratch, settings, settle, spooled};
use store::{Batch, CommitFailed, OpenError, SubmitError};
use types::port::Health;

/// Lets the n-th call fail after the store is open, sends until something fails, and restarts.
fn check(n: u64, arm: impl Fn(&Failing, u64)) {
    let dir = scratch();
    let medium = Failing::never();
    let mut with = settings(dir.path());
    with.segment_bytes = 16 << 10;
    with.medium = medium.clone();
    let (store, _) = open_with(with).unwrap();
    arm(&medium, n);
    let mut acknowledged = 0;
    for n in 1..=2000 {
        let taken = store.spool().append(&spooled(n, 300)).is_ok();
        let committed = taken
            && std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| append(&store, n))).is_ok()
            && settle(&store).is_ok();
        if !committed {
            break;
        }
        acknowledged = n;
    }
    assert!(acknowledged < 2000, "call {n} did not fail anything");
    assert!(*store.failed().borrow(), "call {n}");
    // What is tried again now would succeed, and must not be tried.
    assert_eq!(settle(&store), Err(CommitFailed), "call {n}");
    assert!(store.spool().append(&spooled(1, 10)).is_err(), "call {n}");
    drop(store);
    let (_store, replay) = open(dir.path());
    let found = numbers(replay);
    assert!(
        found.len() as u64 >= acknowledged,
        "call {n}: {} of {acknowledged}",
        found.len()
    );
    assert_eq!(found, (1..=found.len() as u64).collect::<Vec<_>>(), "call {n}");
}

#[test]
fn a_failed_sync_is_final_and_a_restart_recovers() {
    std::panic::set_hook(Box::new(|_| {}));
    for n in (0..50).step_by(3) {
        check(n, |medium, n| medium.syncs_left.store(n, Ordering::Relaxed));
    }
}

#[test]
fn a_panic_on_the_commit_thread_fails_the_store_and_hangs_nobody() {
    std::panic::set_hook(Box::new(|_| {}));
    let dir = scratch();
    let (store, _) = open(dir.path());
    append(&store, 1);
    let mut batch = Batch::new();
    batch.on_durable(|_| panic!("a bug"));
    store.journal().append(batch).unwrap();
    let began = std::time::Instant::now();
    while !*store.failed().borrow() && began.elapsed() < Duration::from_secs(10) {
        std::thread::yield_now();
    }
    assert!(*store.failed().borrow());
    assert_eq!(settle(&store), Err(CommitFailed));
    drop(store);
    assert_eq!(numbers(open(dir.path()).1), [1]);
}

#[test]
fn a_callback_that_drops_the_last_handle_lets_the_folder_go() {
    let dir = scratch();
    let (store, _) = open(dir.path());
    append(&store, 1);
    let (alone, waits) = std::sync::mpsc::channel::<()>();
    let last = store.clone();
    let mut batch = Batch::new();
    batch.on_durable(move |_| {
        waits.recv().unwrap();
        drop(last);
    });
    store.journal().append(batch).unwrap();
    drop(store);
    alone.send(()).unwrap();
    let began = std::time::Instant::now();
    let replay = loop {
        match open_with(settings(dir.path())) {
            Err(OpenError::Locked(_)) if began.elapsed() < Duration::from_secs(10) => std::thread::yield_now(),
            opened => break opened.unwrap().1,
        }
    };
    assert_eq!(numbers(replay), [1]);
}

#[test]
fn a_failed_write_is_final_and_a_restart_recovers() {
    for n in (0..50).step_by(7) {
        check(n, |medium, n| medium.writes_left.store(n, Ordering::Relaxed));
    }
}

#[test]
fn a_disk_too_full_for_the_next_segment_is_waited_for() {
    let dir = scratch();
    let medium = Failing::never();
    let mut with = settings(dir.path());
    with.segment_bytes = 4 << 10;
    with.medium = medium.clone();
    let (store, _) = open_with(with).unwrap();
    // Each refused write is one attempt to make a file; the disk has space again afterwards.
    medium.kind_full.store(true, Ordering::Relaxed);
    let mut writes = 0;
    for n in 1..=500 {
        if n % 100 == 0 {
            writes += 1;
            medium.fills_refused.store(1, Ordering::Relaxed);
        }
        append(&store, n);
        settle(&store).unwrap();
    }
    assert!(writes > 0 && !*store.failed().borrow());
    drop(store);
    let (_store, replay) = open(dir.path());
    assert_eq!(numbers(replay), (1..=500).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn below_the_floor_new_work_is_refused_and_results_are_taken() {
    let dir = scratch();
    let medium = Failing::never();
    let mut with = settings(dir.path());
    with.runners = 1;
    with.disk_floor_bytes = 1 << 20;
    with.disk_poll = Duration::from_millis(1);
    with.medium = medium.clone();
    let (store, _) = open_with(with).unwrap();
    let inboxes = store.intake().take_inboxes();
    assert!(store.disk().accepts());
    medium.free.store(1000, Ordering::Relaxed);
    while store.disk().accepts() {
        tokio::task::yield_now().await;
    }
    let refused = store.intake().accept(partition(1), event(1)).await;
    assert_eq!(refused, Err(SubmitError::DiskFull));
    store.intake().tell(partition(1), event(2)).await.unwrap();
    store.intake().offer(partition(1), event(3)).unwrap();
    medium.free.store(1 << 30, Ordering::Relaxed);
    while !store.disk().accepts() {
        tokio::task::yield_now().await;
    }
    drop(inboxes);
    assert_eq!(
        store.intake().accept(partition(1), event(4)).await,
        Err(SubmitError::Closed)
    );
}

#[tokio::test]
async fn admissions_are_bounded_and_given_back() {
    let dir = scratch();
    let mut with = settings(dir.path());
    with.runners = 1;
    with.admissions_max = 1;
    let (store, _) = open_with(with).unwrap();
    let (_, mut inbox) = store.intake().take_inboxes().pop().unwrap();
    let store = Arc::new(store);
    let first = tokio::spawn({
        let store = Arc::clone(&store);
        async move { store.intake().accept(partition(1), event(1)).await }
    });
    let submission = inbox.recv().await.unwrap();
    assert_eq!(
        store.intake().accept(partition(1), event(2)).await,
        Err(SubmitError::Busy)
    );
    // A runner that lets go without an answer has not made it durable.
    drop(submission);
    assert_eq!(first.await.unwrap(), Err(SubmitError::Closed));
    let second = tokio::spawn(async move { store.intake().accept(partition(1), event(3)).await });
    assert!(inbox.recv().await.is_some());
    second.abort();
}

#[test]
fn health_tells_what_an_operator_must_look_at() {
    let dir = scratch();
    let medium = Failing::never();
    let mut with = settings(dir.path());
    with.disk_floor_bytes = 1 << 20;
    with.disk_poll = Duration::from_millis(1);
    with.medium = medium.clone();
    let (store, _) = open_with(with).unwrap();
    let parts = || store.findings().into_iter().map(|(part, _)| part).collect::<Vec<_>>();
    let wait_for = |expected: &[&str]| {
        let began = std::time::Instant::now();
        while parts() != expected {
            assert!(began.elapsed() < Duration::from_secs(20), "{:?}", store.findings());
            std::thread::sleep(Duration::from_millis(1));
        }
    };
    wait_for(&[]);
    medium.free.store(1000, Ordering::Relaxed);
    wait_for(&["disk"]);
    medium.free.store(u64::MAX, Ordering::Relaxed);
    wait_for(&[]);
    store.fail("a part of the test", &"it was told to");
    wait_for(&["store"]);
}
