//! Clients that are silent, slow or greedy lose their own connection and nobody else's.
//!
//! The deadlines are shortened and the tests wait for what the server does, never for a time.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "tests state expectations by unwrapping"
)]

mod support;

use std::time::{Duration, Instant};

use support::{Answer, World, http::read_to_end, order};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

const SHORT: Duration = Duration::from_millis(300);
const LONG: Duration = Duration::from_mins(1);

/// All deadlines long, so that a test shortens the one it is about.
fn patient() -> api::Settings {
    api::Settings {
        first_byte_timeout: LONG,
        header_timeout: LONG,
        body_timeout: LONG,
        idle_timeout: LONG,
        write_timeout: LONG,
        ..api::Settings::default()
    }
}

async fn timed_out(world: &World, awaiting: &str) -> u64 {
    let name = format!("api_connections_timed_out_total{{awaiting=\"{awaiting}\",listener=\"api\"}} ");
    let metrics = world.at_admin().get("/metrics").await.body;
    metrics
        .lines()
        .find_map(|line| line.strip_prefix(&name))
        .unwrap()
        .parse()
        .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn silent_sockets_are_closed() {
    let world = World::with(api::Settings {
        first_byte_timeout: SHORT,
        ..patient()
    })
    .await;
    let mut sockets = Vec::new();
    for _ in 0..200 {
        sockets.push(world.operator.connect().await);
    }
    for socket in &mut sockets {
        assert_eq!(read_to_end(socket).await, "");
    }
    assert_eq!(timed_out(&world, "first_byte").await, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_head_that_drips_is_cut_while_others_are_served() {
    let world = World::with(api::Settings {
        header_timeout: SHORT,
        ..patient()
    })
    .await;
    let caller = world.shop("scarpe").await;
    let mut slow = caller.connect().await;
    let (mut reading, mut writing) = slow.split();
    let started = Instant::now();
    let drip = async {
        // One byte at a time for as long as the server takes it.
        let head = b"GET /v1/shops HTTP/1.1\r\nHost: "
            .iter()
            .chain(std::iter::repeat(&b'x'));
        for byte in head {
            if writing.write_all(&[*byte]).await.is_err() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let honest = async {
        for n in 0..10 {
            assert_eq!(caller.post("/v1/orders", &order(&n.to_string())).await.status, 202);
        }
        let mut rest = Vec::new();
        let _ = reading.read_to_end(&mut rest).await;
    };
    tokio::select! { () = drip => {}, () = honest => {} }
    assert!(started.elapsed() >= SHORT && started.elapsed() < LONG);
    assert_eq!(timed_out(&world, "head").await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_body_is_answered_408() {
    let world = World::with(api::Settings {
        body_timeout: SHORT,
        ..patient()
    })
    .await;
    let caller = world.shop("scarpe").await;
    let mut stream = caller.connect().await;
    let head = format!(
        "POST /v1/orders HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {}\r\nContent-Type: application/json\r\n\
         Content-Length: 1000\r\n\r\n{{\"order_id\"",
        caller.key().unwrap()
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    let answer = Answer::parse(&read_to_end(&mut stream).await);
    assert_eq!(answer.status, 408);
    assert_eq!(answer.header("connection"), Some("close"));
    assert_eq!(answer.json()["type"], "urn:staffetta:problem:timed-out");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idle_connection_is_closed_after_its_answer() {
    let world = World::with(api::Settings {
        idle_timeout: SHORT,
        ..patient()
    })
    .await;
    let mut stream = world.operator.connect().await;
    for _ in 0..2 {
        stream
            .write_all(b"GET /openapi.json HTTP/1.1\r\nHost: x\r\n\r\n")
            .await
            .unwrap();
    }
    let answers = read_to_end(&mut stream).await;
    assert_eq!(answers.matches("HTTP/1.1 200 OK").count(), 2);
    assert_eq!(timed_out(&world, "next_request").await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_that_nobody_reads_end_the_connection() {
    let world = World::with(api::Settings {
        write_timeout: SHORT,
        ..patient()
    })
    .await;
    let stream = world.operator.connect().await;
    // Far more answers than the socket's buffers hold.
    let request = b"GET /openapi.json HTTP/1.1\r\nHost: x\r\n\r\n".repeat(2000);
    let (reading, mut writing) = stream.into_split();
    let writer = tokio::spawn(async move { writing.write_all(&request).await });
    while timed_out(&world, "write").await == 0 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    drop(reading);
    let _ = writer.await;
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_past_the_cap_wait_for_a_place() {
    let world = World::with(api::Settings {
        connections_max: 2,
        first_byte_timeout: SHORT,
        ..patient()
    })
    .await;
    let silent = [world.operator.connect().await, world.operator.connect().await];
    // Answered once the silent ones have been closed.
    assert_eq!(world.operator.get("/v1/shops").await.status, 200);
    drop(silent);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_ends_idle_connections_and_lets_requests_end() {
    let mut world = World::with(patient()).await;
    let caller = world.shop("scarpe").await;
    let mut idle = caller.connect().await;
    idle.write_all(b"GET /openapi.json HTTP/1.1\r\nHost: x\r\n\r\n")
        .await
        .unwrap();
    let mut first = [0; 12];
    idle.read_exact(&mut first).await.unwrap();
    let body = order("1").to_string();
    let (early, late) = body.split_at(20);
    let mut busy = caller.connect().await;
    let head = format!(
        "POST /v1/orders HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {}\r\nContent-Type: application/json\r\n\
         Expect: 100-continue\r\nContent-Length: {}\r\n\r\n",
        caller.key().unwrap(),
        body.len()
    );
    busy.write_all(head.as_bytes()).await.unwrap();
    // The interim answer shows that the request is being worked on.
    let mut interim = [0; 25];
    busy.read_exact(&mut interim).await.unwrap();
    assert_eq!(&interim, b"HTTP/1.1 100 Continue\r\n\r\n");
    busy.write_all(early.as_bytes()).await.unwrap();
    world.stop.cancel();
    read_to_end(&mut idle).await;
    busy.write_all(late.as_bytes()).await.unwrap();
    let answer = Answer::parse(&read_to_end(&mut busy).await);
    assert_eq!(answer.status, 202);
    for listener in world.listeners.drain(..) {
        listener.await.unwrap();
    }
    assert!(tokio::net::TcpStream::connect(world.api).await.is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn memory_for_bodies_is_bounded() {
    let world = World::with(api::Settings {
        bodies_bytes_max: 8 << 20,
        ..patient()
    })
    .await;
    let caller = world.shop("scarpe").await;
    let mut large = caller.connect().await;
    let head = format!(
        "POST /v1/messages HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {}\r\nContent-Type: application/json\r\n\
         Expect: 100-continue\r\nContent-Length: {}\r\n\r\n",
        caller.key().unwrap(),
        8 << 20
    );
    large.write_all(head.as_bytes()).await.unwrap();
    large.read_exact(&mut [0; 25]).await.unwrap();
    let answer = caller.post("/v1/orders", &order("1")).await;
    assert_eq!(
        (answer.status, answer.header("retry-after")),
        (503, Some("1")),
        "{answer:?}"
    );
    assert_eq!(answer.json()["type"], "urn:staffetta:problem:busy");
}
