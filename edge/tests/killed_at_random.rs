//! kill -9 at random moments under load: nothing acknowledged is lost, nothing is sent twice.
//!
//! One data folder lives through all kills; the clients and the sink do not die and remember what they were told. At the
//! end every acknowledged order must have its mail in the sink, or say itself that it is in doubt. `STAFFETTA_KILLS` sets
//! how many (12 here, 200 in `make prove`), `STAFFETTA_SEED` from which seed.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "tests state expectations by unwrapping"
)]

mod support;

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use edge::demo::sink::Sink;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use support::{Node, PATIENCE, Plan, buyers_dns, furnish, post};
use tokio::task::JoinSet;

/// Clients that post at the same time.
const CLIENTS: usize = 8;

#[tokio::test(flavor = "multi_thread")]
async fn nothing_acknowledged_is_lost_and_nothing_is_sent_twice() {
    let number = |name: &str, default: u64| {
        std::env::var(name)
            .ok()
            .and_then(|text| text.parse().ok())
            .unwrap_or(default)
    };
    let (kills, seed) = (number("STAFFETTA_KILLS", 12), number("STAFFETTA_SEED", 0x57af_fe77));
    println!("seed {seed}");
    let mut random = StdRng::seed_from_u64(seed);

    let mut sink = Sink::start().await.unwrap();
    let (dns, _) = buyers_dns().await;
    let folder = tempfile::tempdir().unwrap();
    let mut plan = Plan::new(folder.path(), dns.address, sink.address.port());
    let mut node = plan.start();
    let key = furnish(&node).await;

    let next = Arc::new(AtomicU64::new(0));
    let acknowledged = Arc::new(Mutex::new(Vec::new()));
    let mut slowest_start = Duration::ZERO;
    for _ in 0..kills {
        let life = Duration::from_millis(random.random_range(5..400));
        live(&node, &key, life, &next, &acknowledged).await;
        node.kill();
        node = plan.start();
        slowest_start = slowest_start.max(node.started_in);
    }

    let acknowledged = acknowledged.lock().unwrap().clone();
    assert!(
        acknowledged.len() as u64 > kills,
        "the node hardly lived: {} orders",
        acknowledged.len()
    );
    let shop = node.shop(&key);
    let mut doubtful = 0;
    for number in &acknowledged {
        let settled = |story: &serde_json::Value| {
            matches!(story["messages"][0]["state"].as_str(), Some("delivered" | "in_doubt"))
        };
        let story = support::told(&shop, &number.to_string(), "settled", settled).await;
        doubtful += u64::from(story["messages"][0]["state"] == "in_doubt");
    }

    let mut arrivals: HashMap<String, u64> = HashMap::new();
    while let Ok(mail) = sink.received.try_recv() {
        *arrivals.entry(mail.envelope.to[0].clone()).or_default() += 1;
    }
    let twice: Vec<_> = arrivals.iter().filter(|(_, count)| **count > 1).collect();
    assert!(twice.is_empty(), "sent twice: {twice:?}");
    let mut missing = 0;
    for number in &acknowledged {
        if !arrivals.contains_key(&buyer(*number)) {
            let story = support::told(&shop, &number.to_string(), "explained", |_| true).await;
            assert_eq!(
                story["messages"][0]["state"], "in_doubt",
                "order {number} was acknowledged and is lost:\n{story:#}"
            );
            missing += 1;
        }
    }
    println!(
        "{kills} kills, {} orders acknowledged, 0 lost, 0 sent twice, {doubtful} in doubt of which {missing} were not taken; slowest start {slowest_start:?}",
        acknowledged.len()
    );
}

fn buyer(number: u64) -> String {
    format!("b{number}@example.it")
}

/// Posts from all clients until the node's life is over; notes what was acknowledged.
async fn live(node: &Node, key: &str, life: Duration, next: &Arc<AtomicU64>, acknowledged: &Arc<Mutex<Vec<u64>>>) {
    let over = Arc::new(AtomicBool::new(false));
    let mut clients = JoinSet::new();
    for _ in 0..CLIENTS {
        let (shop, over) = (node.shop(key), Arc::clone(&over));
        let (next, acknowledged) = (Arc::clone(next), Arc::clone(acknowledged));
        clients.spawn(async move {
            while !over.load(Ordering::Relaxed) {
                let number = next.fetch_add(1, Ordering::Relaxed);
                match post(&shop, &number.to_string(), &buyer(number)).await {
                    Ok(answer) if answer.status == 202 => acknowledged.lock().unwrap().push(number),
                    Ok(answer) => assert!(matches!(answer.status.as_u16(), 429 | 503), "{}", answer.status),
                    Err(_) => return,
                }
            }
        });
    }
    // The moment of death is the point: this sleep waits for nothing.
    tokio::time::sleep(life).await;
    over.store(true, Ordering::Relaxed);
    // The clients are still under way when the kill comes; they end by it.
    let end = Instant::now() + PATIENCE;
    tokio::spawn(async move { tokio::time::timeout_at(end.into(), clients.join_all()).await });
}
