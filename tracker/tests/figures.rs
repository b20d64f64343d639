//! What a click costs; `cargo test --release -p tracker --test figures -- --ignored --nocapture`.

#![allow(clippy::unwrap_used, reason = "a test states its expectations by unwrapping")]

mod support;

use std::fmt::Write as _;
use std::time::Instant;

use support::{Client, HOST};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// Clients on connections of their own, each asking and waiting in turn; the generator shares the cores.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "a measurement"]
async fn clicks_per_second_and_latency() {
    let mut world = support::start().await;
    let address = world.address;
    let path = format!("/c/{}", world.click(1));
    let clients = 32;
    let rounds = 5_000_u32;
    let start = Instant::now();
    let tasks: Vec<_> = (0..clients)
        .map(|_| {
            let path = path.clone();
            tokio::spawn(async move {
                let mut client = Client::connect(address).await;
                let mut request = String::new();
                write!(
                    request,
                    "GET {path} HTTP/1.1\r\nhost: {HOST}\r\nuser-agent: {}\r\n\r\n",
                    support::BROWSER
                )
                .unwrap();
                let mut bytes = [0; 2048];
                let mut times = Vec::with_capacity(rounds as usize);
                for _ in 0..rounds {
                    let start = Instant::now();
                    client.stream.write_all(request.as_bytes()).await.unwrap();
                    // The head alone, in one segment on loopback.
                    assert!(client.stream.read(&mut bytes).await.unwrap() > 100);
                    times.push(start.elapsed());
                }
                times
            })
        })
        .collect();
    // The runner: takes what is offered.
    let drained = async {
        loop {
            world.next_event().await;
        }
    };
    let mut times = Vec::new();
    tokio::select! {
        () = async { for task in tasks { times.extend(task.await.unwrap()); } } => {}
        () = drained => {}
    }
    let elapsed = start.elapsed();
    times.sort_unstable();
    let at = |share: f64| {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            clippy::cast_precision_loss,
            reason = "an index"
        )]
        let index = ((times.len() - 1) as f64 * share) as usize;
        times.get(index).copied().unwrap()
    };
    println!(
        "{} clicks in {elapsed:?}: {:?} each",
        times.len(),
        elapsed / (clients * rounds)
    );
    println!("p50 {:?}, p99 {:?}, p99.9 {:?}", at(0.5), at(0.99), at(0.999));
    println!(
        "dropped: {}",
        world.counter("tracker_events_total", &["fate=\"dropped\""])
    );
}

/// Serves until interrupted, for looking at the pages; prints their addresses (under any host that resolves here).
#[tokio::test]
#[ignore = "for looking at"]
async fn pages_to_look_at() {
    let world = support::start().await;
    println!("http://{HOST}:{}/u/{}", world.address.port(), world.unsubscribe());
    std::future::pending::<()>().await;
}
