//! Redis without memory, and Redis that makes room by dropping what it has (rows D6 and D8).

use std::time::Duration;

use crate::support::{Exact, Rig, Server, until};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn redis_is_full() {
    let server = Server::start(&["--maxmemory", "8mb", "--maxmemory-policy", "noeviction"]);
    let mut rig = Rig::open(server.url());
    until("redis is full", || {
        rig.load.make(500);
        std::thread::sleep(Duration::from_millis(20));
        rig.retries("memory") > 0.5
    })
    .await;
    assert!(rig.health().is_empty(), "a full redis is no fault of the settings");
    rig.load.make(2000);
    server.command::<String>("CONFIG SET maxmemory 0");
    rig.exact(|| vec![server.connect()]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn redis_evicts() {
    let server = Server::start(&["--maxmemory", "3mb", "--maxmemory-policy", "allkeys-lru"]);
    let mut rig = Rig::open(server.url());
    until("health is red", || {
        let health = rig.health();
        health
            .iter()
            .any(|(part, what)| *part == "redis" && what.contains("allkeys-lru"))
    })
    .await;
    let evicted = || {
        let stats: String = server.command("INFO stats");
        let line = stats
            .lines()
            .find_map(|line| line.strip_prefix("evicted_keys:"))
            .unwrap()
            .to_owned();
        line.parse::<u64>().unwrap()
    };
    until("something was evicted", || {
        rig.load.make(500);
        std::thread::sleep(Duration::from_millis(20));
        evicted() > 20
    })
    .await;
    server.command::<String>("CONFIG SET maxmemory 0");
    server.command::<String>("CONFIG SET maxmemory-policy noeviction");
    until("health is green again", || rig.health().is_empty()).await;
    rig.exact(|| vec![server.connect()]).await;
}
