//! Fifty thousand timers, a wall clock that is set forward and back by hours, and kill -9 at random: each fires once, none early.
//!
//! The clock is faked around the real binary (libfaketime), the monotonic clock is left alone. `STAFFETTA_TIMERS` sets how many timers,
//! `STAFFETTA_SEED` from which seed the jumps and the kills come.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "tests state expectations by unwrapping"
)]

mod support;

use std::collections::HashMap;
use std::fmt::Write as _;
use std::path::Path;
use std::time::{Duration, Instant};

use bytes::Bytes;
use edge::client::Client;
use edge::clock::SystemClock;
use hyper::Method;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde_json::{Value, json};
use support::{Node, PATIENCE, Plan, buyers_dns, furnish};
use types::time::{Clock, Timestamp};

const FAKETIME: &str = "/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1";
/// Within how long the timers are due, in the faked clock's time.
const SPAN: Duration = Duration::from_hours(2);
/// How often the clock jumps and the process is killed before the end.
const ROUNDS: i64 = 6;

#[tokio::test(flavor = "multi_thread")]
async fn each_timer_fires_once_and_none_early() {
    if !Path::new(FAKETIME).exists() {
        println!("skipped: {FAKETIME} is not installed (Debian: libfaketime)");
        return;
    }
    let number = |name: &str, default: u64| {
        let set = std::env::var(name).ok().and_then(|text| text.parse().ok());
        set.unwrap_or(default)
    };
    let (timers, seed) = (
        number("STAFFETTA_TIMERS", 50_000),
        number("STAFFETTA_SEED", 0x0071_4e55),
    );
    println!("seed {seed}");
    let mut random = StdRng::seed_from_u64(seed);
    let folder = tempfile::tempdir().unwrap();
    let (dns, _) = buyers_dns().await;
    let mut plan = Plan::new(folder.path(), dns.address, 9);
    let offset = folder.path().join("offset");
    let set_clock = |seconds: i64| std::fs::write(&offset, format!("{seconds:+}")).unwrap();
    set_clock(0);
    plan.under = vec![
        "env".to_owned(),
        format!("LD_PRELOAD={FAKETIME}"),
        format!("FAKETIME_TIMESTAMP_FILE={}", offset.display()),
        "FAKETIME_CACHE_DURATION=1".to_owned(),
        "FAKETIME_DONT_FAKE_MONOTONIC=1".to_owned(),
    ];
    let mut node = plan.start();
    let key = furnish(&node).await;
    arm(&node.shop(&key), timers).await;

    for round in 1..=ROUNDS {
        // Forward by at most a third of an hour a round, and back by up to an hour.
        set_clock(random.random_range(-3600..round * 1200));
        // Time to notice and to fire: the moment of death is the point, this sleep waits for nothing.
        tokio::time::sleep(Duration::from_millis(random.random_range(500..2500))).await;
        node.kill();
        node = plan.start();
    }
    let hours = i64::try_from(SPAN.as_secs()).unwrap() + 7200;
    set_clock(hours);
    let shop = node.shop(&key);
    let end = Instant::now() + PATIENCE;
    loop {
        let stats = get(&shop, "/v1/workflows/dated/stats").await;
        let done = stats["steps"][0]["passed"].as_u64();
        if done == Some(timers) {
            break;
        }
        assert!(Instant::now() < end, "not all timers fired: {stats:#}");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    check(&node, timers).await;
    assert!(node.stop().success);
}

/// Puts the workflow, and a contact for each timer by one import.
async fn arm(shop: &Client, timers: u64) {
    let put = async |path: &str, body: &Value| {
        let answer = shop.json(Method::PUT, path, body).await.unwrap();
        assert!(
            answer.status.is_success(),
            "{path}: {}",
            String::from_utf8_lossy(&answer.body)
        );
    };
    put("/v1/fields/moment", &json!({ "type": "date" })).await;
    put("/v1/groups/done", &json!({ "name": "Done" })).await;
    let workflow = json!({
        "name": "Dated", "start": { "on": "date", "field": "moment" },
        "steps": [{ "do": "group", "id": "last", "change": { "copy": "done" } }],
    });
    put("/v1/workflows/dated", &workflow).await;
    put("/v1/workflows/dated/state", &json!({ "state": "on" })).await;
    let first = SystemClock.now() + Duration::from_mins(5);
    let step = u64::try_from(SPAN.as_millis()).unwrap() / timers;
    let mut rows = String::new();
    for n in 0..timers {
        let at = first + Duration::from_millis(n * step);
        writeln!(rows, r#"{{"email":"p{n}@example.it","fields":{{"moment":"{at}"}}}}"#).unwrap();
    }
    let headers = [("content-type", "application/x-ndjson")];
    let answer = shop
        .send(Method::POST, "/v1/imports", &headers, Bytes::from(rows))
        .await
        .unwrap();
    assert_eq!(answer.status, 202, "{}", String::from_utf8_lossy(&answer.body));
    let id = answer.json().unwrap()["id"].as_str().unwrap().to_owned();
    let end = Instant::now() + PATIENCE * 4;
    loop {
        let import = get(shop, &format!("/v1/imports/{id}")).await;
        if import["state"] == "done" {
            assert_eq!(
                (&import["accepted"], &import["rejected"]),
                (&json!(timers), &json!(0)),
                "{import:#}"
            );
            return;
        }
        assert!(Instant::now() < end, "the import did not end: {import:#}");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

async fn get(shop: &Client, path: &str) -> Value {
    let answer = shop.get(path).await.unwrap();
    assert!(
        answer.status.is_success(),
        "{path}: {}",
        String::from_utf8_lossy(&answer.body)
    );
    answer.json().unwrap()
}

/// Reads what happened in the journal: each instance left once, and its timer set nothing off before it was due.
async fn check(node: &Node, timers: u64) {
    let path = "/admin/v1/events/stream?follow=false&since=2020-01-01T00:00:00Z";
    let told = node.admin().get(path).await.unwrap();
    assert!(told.status.is_success(), "{}", String::from_utf8_lossy(&told.body));
    let text = String::from_utf8(told.body.to_vec()).unwrap();
    let mut due: HashMap<String, Timestamp> = HashMap::new();
    let mut left: HashMap<String, u64> = HashMap::new();
    for line in text.lines().filter_map(|line| line.strip_prefix("data: ")) {
        let event: Value = serde_json::from_str(line).unwrap();
        if !event["type"].as_str().unwrap().starts_with("workflow.") {
            continue;
        }
        let instance = event["instance"].as_str().unwrap().to_owned();
        let at: Timestamp = event["at"].as_str().unwrap().parse().unwrap();
        // Whatever a timer sets off: the engine waits again for a start that surfaces early, and so would leave in time all the same.
        if event["cause"] == "timer" {
            let due = due[&instance];
            assert!(at >= due, "fired {:?} early: {event:#}", due.since(at));
        }
        if let Some(until) = event["waits"]["due"].as_str() {
            due.insert(instance, until.parse().unwrap());
        } else if event["type"] == "workflow.left" {
            assert_eq!(event["reason"], "finished", "{event:#}");
            *left.entry(instance).or_default() += 1;
        }
    }
    assert_eq!(left.len() as u64, timers);
    let twice = left.values().filter(|count| **count > 1).count();
    assert_eq!(twice, 0, "fired more than once");
}
