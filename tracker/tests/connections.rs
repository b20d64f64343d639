//! Connections: the slow, the silent and the many, and the end.

#![allow(clippy::unwrap_used, reason = "a test states its expectations by unwrapping")]

mod support;

use std::num::NonZeroU32;
use std::time::{Duration, Instant};

use support::{Client, start, start_with};
use tokio::io::AsyncWriteExt;
use tracker::Settings;

fn impatient() -> Settings {
    Settings {
        first_byte_timeout: Duration::from_millis(150),
        header_timeout: Duration::from_millis(300),
        body_timeout: Duration::from_millis(300),
        ..Settings::default()
    }
}

#[tokio::test]
async fn silent_connections_are_closed() {
    let world = start_with(impatient()).await;
    let mut clients = Vec::new();
    for _ in 0..50 {
        clients.push(Client::connect(world.address).await);
    }
    for client in &mut clients {
        assert!(client.closed().await.is_empty());
    }
    assert_eq!(world.counter("tracker_silent_connections_total", &[]), 50);
    assert_eq!(world.get("/robots.txt").await.status, 200);
}

#[tokio::test]
async fn a_head_that_drips_is_cut_off() {
    let world = start_with(impatient()).await;
    let mut client = Client::connect(world.address).await;
    let start = Instant::now();
    let (mut read, mut write) = client.stream.split();
    let drip = async {
        for byte in b"GET /c/x HTTP/1.1\r\nhost: click.scarpe.example\r\nx-slow: "
            .iter()
            .chain(std::iter::repeat(&b'a'))
        {
            if write.write_all(&[*byte]).await.is_err() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let mut said = Vec::new();
    tokio::select! {
        () = drip => panic!("the head may take as long as it likes"),
        _ = tokio::io::AsyncReadExt::read_to_end(&mut read, &mut said) => {}
    }
    assert!(start.elapsed() < Duration::from_secs(5));
}

#[tokio::test]
async fn an_idle_connection_is_closed_after_its_answer() {
    let world = start_with(impatient()).await;
    let mut client = Client::connect(world.address).await;
    client.send("GET", "/robots.txt", &[], "").await;
    assert_eq!(client.answer("GET").await.status, 200);
    assert!(client.closed().await.is_empty());
}

#[tokio::test]
async fn a_body_that_never_comes_is_answered() {
    let mut world = start_with(impatient()).await;
    let mut client = Client::connect(world.address).await;
    let head = format!(
        "POST /u/{} HTTP/1.1\r\nhost: {}\r\ncontent-length: 26\r\n\r\nList-",
        world.unsubscribe(),
        support::HOST
    );
    client.stream.write_all(head.as_bytes()).await.unwrap();
    assert_eq!(client.answer("POST").await.status, 408);
    assert_eq!(world.waiting(), []);
}

#[tokio::test]
async fn a_client_that_reads_no_answers_is_cut_off() {
    let world = start_with(impatient()).await;
    let mut client = Client::connect(world.address).await;
    let request = format!("GET /o/x.gif HTTP/1.1\r\nhost: {}\r\n\r\n", support::HOST).repeat(100);
    let flood = async { while client.stream.write_all(request.as_bytes()).await.is_ok() {} };
    tokio::time::timeout(Duration::from_secs(20), flood).await.unwrap();
    assert_eq!(world.get("/robots.txt").await.status, 200);
}

#[tokio::test]
async fn a_connection_ends_with_its_life() {
    let world = start_with(Settings {
        connection_life: Duration::from_millis(300),
        ..Settings::default()
    })
    .await;
    let mut client = Client::connect(world.address).await;
    client.send("GET", "/robots.txt", &[], "").await;
    assert_eq!(client.answer("GET").await.status, 200);
    assert!(client.closed().await.is_empty());
}

#[tokio::test]
async fn beyond_the_cap_connections_wait_and_are_served_then() {
    let world = start_with(Settings {
        connections_max: 2,
        first_byte_timeout: Duration::from_secs(1),
        ..Settings::default()
    })
    .await;
    let holders = [
        Client::connect(world.address).await,
        Client::connect(world.address).await,
    ];
    let mut waiting = Client::connect(world.address).await;
    waiting.send("GET", "/robots.txt", &[], "").await;
    let early = tokio::time::timeout(Duration::from_millis(200), waiting.answer("GET")).await;
    assert!(early.is_err(), "a third connection was served");
    drop(holders);
    assert_eq!(waiting.answer("GET").await.status, 200);
}

#[tokio::test]
async fn what_is_no_http_or_too_long_is_refused() {
    let world = start().await;
    for (bytes, status) in [
        ("\r\n\r\nHELO\r\n\r\n".to_owned(), "HTTP/1.1 400"),
        (
            "GET / HTTP/1.1\r\nhost: a\r\nhost : b\r\n\r\n".to_owned(),
            "HTTP/1.1 400",
        ),
        (
            format!("GET /{} HTTP/1.1\r\nhost: a\r\n\r\n", "a".repeat(20_000)),
            "HTTP/1.1 4",
        ),
        (
            format!("GET / HTTP/1.1\r\nhost: a\r\n{}\r\n", "x: y\r\n".repeat(200)),
            "HTTP/1.1 431",
        ),
    ] {
        let mut client = Client::connect(world.address).await;
        client.stream.write_all(bytes.as_bytes()).await.unwrap();
        let said = client.closed().await;
        assert!(
            said.starts_with(status.as_bytes()),
            "{:?}",
            String::from_utf8_lossy(&said)
        );
    }
}

#[tokio::test]
async fn a_stop_lets_the_running_request_end_and_takes_no_more() {
    let mut world = start().await;
    let mut idle = Client::connect(world.address).await;
    idle.send("GET", "/robots.txt", &[], "").await;
    idle.answer("GET").await;
    let mut running = Client::connect(world.address).await;
    running
        .send(
            "POST",
            &format!("/u/{}", world.unsubscribe()),
            &[],
            "List-Unsubscribe=One-Click",
        )
        .await;
    // Once its event is in the inbox the request runs; it is stopped before it is durable.
    while world.counter("tracker_connections_total", &[]) < 2 {
        tokio::task::yield_now().await;
    }
    let submitted = world.hold_event().await;
    world.stop.cancel();
    assert!(idle.closed().await.is_empty());
    support::acknowledge(submitted);
    assert_eq!(running.answer("POST").await.status, 200);
    tokio::time::timeout(Duration::from_secs(5), &mut world.serving)
        .await
        .unwrap()
        .unwrap();
    assert!(tokio::net::TcpStream::connect(world.address).await.is_err());
}

#[tokio::test]
async fn one_address_has_its_limit_even_behind_a_proxy() {
    let world = start_with(Settings {
        requests_per_second: const { NonZeroU32::new(1).expect("not zero") },
        requests_burst: const { NonZeroU32::new(3).expect("not zero") },
        ..Settings::default()
    })
    .await;
    let from = |chain: &'static str| [("x-forwarded-for", chain)];
    // What stands before the proxy's own entry is the visitor's word, and changes nothing.
    for (n, chain) in ["192.0.2.7", "10.0.0.1, 192.0.2.7", "x, 192.0.2.7"]
        .into_iter()
        .enumerate()
    {
        assert_eq!(
            world.request("GET", "/robots.txt", &from(chain), "").await.status,
            200,
            "{n}"
        );
    }
    let answer = world
        .request("GET", "/robots.txt", &from("10.0.0.2, 192.0.2.7"), "")
        .await;
    assert_eq!((answer.status, answer.header("retry-after")), (429, Some("1")));
    assert_eq!(world.counter("tracker_limited_total", &[]), 1);
    assert_eq!(world.get("/robots.txt").await.status, 200);
}
