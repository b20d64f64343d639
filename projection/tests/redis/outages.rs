//! Redis that hangs, that is slow, and that forgets everything (rows D4, D5 and D9).

use std::time::{Duration, Instant};

use crate::support::{Exact, Proxy, Rig, Server, setting, until};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn redis_hangs() {
    let server = Server::start(&[]);
    let mut rig = Rig::open(server.url());
    rig.load.make(2000);
    rig.exact(|| vec![server.connect()]).await;
    server.signal("-STOP");
    let stopped = Instant::now();
    let seconds = setting("REDIS_STOP_SECONDS", 5);
    let mut longest = Duration::ZERO;
    while stopped.elapsed() < Duration::from_secs(seconds) {
        let began = Instant::now();
        rig.load.make(50);
        longest = longest.max(began.elapsed());
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    // Nobody who appends waits for Redis, which would have taken all of the time.
    assert!(longest < Duration::from_secs(seconds) / 2, "{longest:?}");
    until("it is told that redis is down", || rig.metric("projection_up") < 0.5).await;
    assert!(rig.metric("projection_lag_records") > 1000.0);
    assert!(rig.metric("projection_in_flight_bytes") < f64::from(17 << 20));
    server.signal("-CONT");
    rig.exact(|| vec![server.connect()]).await;
    assert!(rig.retries("timeout") > 0.5);
    until("the lag is gone", || rig.metric("projection_lag_records") < 0.5).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn redis_is_far_away() {
    let server = Server::start(&[]);
    let delay = Duration::from_millis(100);
    let proxy = Proxy::start(server.port, delay).await;
    let mut rig = Rig::open_with(
        format!("redis://127.0.0.1:{}", proxy.port),
        projection::Config {
            timeout: Some("5s".to_owned()),
            ..projection::Config::default()
        },
    );
    rig.load.make(100);
    rig.exact(|| vec![server.connect()]).await;
    // One batch after the other, each waiting for the last, would take 200 ms for each of these turns.
    let began = Instant::now();
    let mut lagged = 0.0_f64;
    for _ in 0..100 {
        rig.load.make(200);
        lagged = lagged.max(rig.metric("projection_lag_records"));
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    until("all has arrived", || rig.metric("projection_lag_records") < 0.5).await;
    assert!(lagged > 200.0, "the lag rose to {lagged} only");
    assert!(began.elapsed() < Duration::from_secs(15), "{:?}", began.elapsed());
    rig.exact(|| vec![server.connect()]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn redis_forgets_everything_under_load() {
    let server = Server::start(&[]);
    let mut rig = Rig::open(server.url());
    for _ in 0..4 {
        rig.load.make_at(10_000, 3000).await;
        server.command::<String>("FLUSHALL");
        rig.load.make_at(10_000, 1000).await;
    }
    rig.exact(|| vec![server.connect()]).await;
    // At rest, too, it is noticed.
    server.command::<String>("FLUSHALL");
    rig.exact(|| vec![server.connect()]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_slot_is_lost_and_a_stranger_holds_another() {
    let server = Server::start(&[]);
    let mut rig = Rig::open(server.url());
    rig.load.make(3000);
    rig.exact(|| vec![server.connect()]).await;
    server.command::<i64>("DEL {s07}:watermark");
    server.command::<String>("SET {s09}:watermark something");
    server.command::<i64>("HSET {s09}:mail:stranger a 1");
    rig.load.make(3000);
    rig.exact(|| vec![server.connect()]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_journal_was_reclaimed_before_redis_came() {
    let port = Server::reserve();
    let mut rig = Rig::open_small(format!("redis://127.0.0.1:{port}"));
    while rig.journal_begins_at() < 4 {
        rig.load.make(2000);
        rig.load.folded().await;
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let server = Server::spawn(port, crate::common::scratch(), &[]);
    server.ready();
    rig.exact_counts(|| vec![server.connect()]).await;
}
