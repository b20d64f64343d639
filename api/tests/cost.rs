//! What one `POST /v1/orders` costs this crate, measured by hand: `cargo test --release -p api --test cost -- --ignored
//! --nocapture`.
//!
//! Replayed orders do all of the crate's work (connection, routing, authentication, parsing, checks, hashes, claims, the
//! answer) and none of the runner's and the disk's. Client and server share one thread, so that thread's processor time
//! is an upper bound that includes the client's writing and reading.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "tests state expectations by unwrapping"
)]

mod support;

use std::num::NonZeroU32;
use std::time::Instant;

use support::{World, order};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

const REQUESTS: u32 = 20_000;

#[tokio::test]
#[ignore = "a measurement, not a check"]
async fn a_replayed_order_on_a_warm_connection() {
    let world = World::with(api::Settings {
        requests_per_second: NonZeroU32::MAX,
        ..api::Settings::default()
    })
    .await;
    let caller = world.shop("scarpe").await;
    let mut body = order("1");
    // About a kilobyte, as real orders are.
    let item = body["items"][0].clone();
    body["items"] = vec![item; 6].into();
    let body = body.to_string();
    assert_eq!(
        caller
            .request("POST", "/v1/orders", &[], Some(body.as_bytes()))
            .await
            .status,
        202
    );
    let request = format!(
        "POST /v1/orders HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {}\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\n\r\n{body}",
        caller.key().unwrap(),
        body.len()
    );
    let description = "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n".to_owned();
    for (what, address, request) in [("order", world.api, request), ("nothing", world.admin, description)] {
        let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        let mut answer = vec![0; 4096];
        let mut exchange = async || {
            stream.write_all(request.as_bytes()).await.unwrap();
            let read = stream.read(&mut answer).await.unwrap();
            assert!(answer[..read].starts_with(b"HTTP/1.1 20"));
        };
        for _ in 0..500 {
            exchange().await;
        }
        let (mut wall, cpu) = (std::time::Duration::ZERO, cpu_micros());
        for _ in 0..REQUESTS {
            let started = Instant::now();
            exchange().await;
            wall += started.elapsed();
        }
        let cpu = cpu_micros() - cpu;
        println!(
            "{what}, {} bytes: {:.1} µs of processor time, {:.1} µs of wall time a request, client included",
            request.len(),
            cpu / f64::from(REQUESTS),
            wall.as_secs_f64() * 1e6 / f64::from(REQUESTS),
        );
    }
}

/// Processor time of this thread so far, in microseconds (Linux).
fn cpu_micros() -> f64 {
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    stat.split(' ')
        .next()
        .and_then(|nanos| nanos.parse::<f64>().ok())
        .unwrap()
        / 1000.0
}
