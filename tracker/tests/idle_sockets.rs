//! Thousands of idle sockets, held by another process: a process may not have as many as both ends would be.

#![allow(clippy::unwrap_used, reason = "a test states its expectations by unwrapping")]

mod support;

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use support::start_with;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tracker::Settings;

/// What the other process is told: the tracker's address and how many sockets to hold.
const HOLDER: &str = "STAFFETTA_IDLE_HOLDER";

/// Idle sockets, 2,000 or what `STAFFETTA_IDLE_SOCKETS` says, at most what this process may open. An honest client is served
/// beside them, and they go when their time is over.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn thousands_of_idle_sockets_harm_no_honest_client() {
    let wanted = std::env::var("STAFFETTA_IDLE_SOCKETS").map_or(2_000, |wanted| wanted.parse().unwrap());
    let count = wanted.min(open_files_max().saturating_sub(300));
    // As long as holding them takes, and the honest client's turn.
    let patience = Duration::from_secs(5) + Duration::from_millis(2) * u32::try_from(count).unwrap();
    let world = start_with(Settings {
        connections_max: count + 10,
        first_byte_timeout: patience,
        header_timeout: patience,
        ..Settings::default()
    })
    .await;
    let mut holder = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "holds_idle_sockets", "--ignored", "--nocapture"])
        .env(HOLDER, format!("{} {count}", world.address))
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(holder.stdout.take().unwrap()).lines();
    let mut wait_for = move |word: &'static str| {
        tokio::task::block_in_place(|| assert!(lines.any(|line| line.unwrap().contains(word)), "never {word}"));
    };
    wait_for("all held");
    let mut slowest = Duration::ZERO;
    for _ in 0..50 {
        let start = Instant::now();
        assert_eq!(world.get("/robots.txt").await.status, 200);
        slowest = slowest.max(start.elapsed());
    }
    let served = world.counter("tracker_connections_total", &[]);
    assert_eq!(served, u64::try_from(count).unwrap() + 50);
    assert!(slowest < Duration::from_secs(5), "{slowest:?} beside {count} sockets");
    wait_for("all closed");
    assert!(holder.wait().unwrap().success());
    println!("{count} idle sockets; the slowest of 50 honest requests took {slowest:?}");
}

/// How many files this process may have open.
fn open_files_max() -> usize {
    let limits = std::fs::read_to_string("/proc/self/limits").unwrap();
    let mut lines = limits.lines();
    let line = lines.find_map(|line| line.strip_prefix("Max open files")).unwrap();
    line.split_whitespace().next().unwrap().parse().unwrap_or(usize::MAX)
}

#[tokio::test]
#[ignore = "the other process of the test above"]
async fn holds_idle_sockets() {
    let Ok(told) = std::env::var(HOLDER) else { return };
    let (address, count) = told.split_once(' ').unwrap();
    let (address, count): (SocketAddr, usize) = (address.parse().unwrap(), count.parse().unwrap());
    let mut idle = Vec::with_capacity(count);
    for n in 0..count {
        // From several loopback addresses: one has 28,000 ports.
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        let from = SocketAddr::from(([127, 0, 1, u8::try_from(n / 10_000 + 1).unwrap()], 0));
        socket.bind(from).unwrap();
        let mut stream = socket.connect(address).await.unwrap();
        // Half of them start to speak, and stop.
        if n % 2 == 0 {
            stream.write_all(b"GET /robots.txt HT").await.unwrap();
        }
        idle.push(stream);
    }
    println!("all held");
    for stream in &mut idle {
        // Cut off with a reset or without: it is closed.
        let _ = stream.read_to_end(&mut Vec::new()).await;
    }
    println!("all closed");
}
