//! `/v1/events/stream`: each sees its own events as they happen, and whoever comes back misses none.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "tests state expectations by unwrapping"
)]

mod support;

use std::time::Duration;

use serde_json::Value;
use support::{Client, World, order};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

/// The longest that anything waited for may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// An open stream.
struct Stream(BufReader<TcpStream>);

/// One block.
#[derive(Debug, Default)]
struct Block {
    id: String,
    event: String,
    data: String,
}

impl Stream {
    /// Opens a stream, and reads its head and its first block.
    async fn open(client: &Client, path: &str, last: Option<&str>) -> (Self, u16, Block) {
        let key = client.key().unwrap();
        let last = last.map(|id| format!("Last-Event-ID: {id}\r\n")).unwrap_or_default();
        let head = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {key}\r\n{last}\r\n");
        let mut stream = Self(BufReader::new(client.connect().await));
        stream.0.get_mut().write_all(head.as_bytes()).await.unwrap();
        let status = stream.line().await.unwrap();
        let status = status.split(' ').nth(1).unwrap().parse().unwrap();
        while !stream.line().await.unwrap().is_empty() {}
        let first = if status == 200 {
            stream.block().await.unwrap()
        } else {
            Block::default()
        };
        (stream, status, first)
    }

    async fn line(&mut self) -> Option<String> {
        let mut line = String::new();
        let read = tokio::time::timeout(PATIENCE, self.0.read_line(&mut line)).await;
        match read.expect("the stream says something in time") {
            Ok(1..) => Some(line.trim_end().to_owned()),
            _ => None,
        }
    }

    /// Reads the next block; `None` at the end.
    async fn block(&mut self) -> Option<Block> {
        let mut block = Block::default();
        loop {
            let line = self.line().await?;
            match line.split_once(": ") {
                Some(("id", id)) => id.clone_into(&mut block.id),
                Some(("event", event)) => event.clone_into(&mut block.event),
                Some(("data", data)) => data.clone_into(&mut block.data),
                // The sizes of chunks, blank lines before them, comments.
                _ if line.is_empty() && !block.id.is_empty() => return Some(block),
                _ => {}
            }
        }
    }

    /// Reads events until one of a type comes; returns all of them.
    async fn until(&mut self, event: &str) -> Vec<Block> {
        let mut blocks = Vec::new();
        loop {
            let block = self.block().await.expect("the stream goes on");
            let found = block.event == event;
            if !block.event.is_empty() {
                blocks.push(block);
            }
            if found {
                return blocks;
            }
        }
    }
}

fn kinds(blocks: &[Block]) -> Vec<&str> {
    blocks.iter().map(|block| block.event.as_str()).collect()
}

const ORDER: [&str; 3] = ["order.accepted", "message.decided", "message.delivered"];

#[tokio::test(flavor = "multi_thread")]
async fn a_shop_sees_its_own_events_and_nothing_about_the_person() {
    let world = World::start().await;
    let (scarpe, borse) = (world.shop("scarpe").await, world.shop("borse").await);
    let (mut seen, status, _) = Stream::open(&scarpe, "/v1/events/stream", None).await;
    assert_eq!(status, 200);
    let (mut all, _, _) = Stream::open(&world.at_admin(), "/admin/v1/events/stream", None).await;
    assert_eq!(borse.post("/v1/orders", &order("1")).await.status, 202);
    let id = scarpe.post("/v1/orders", &order("2")).await.json()["id"].clone();
    let blocks = seen.until("message.delivered").await;
    assert_eq!(kinds(&blocks), ORDER);
    let data: Vec<Value> = blocks
        .iter()
        .map(|block| serde_json::from_str(&block.data).unwrap())
        .collect();
    assert_eq!(data[0]["id"], id);
    assert!(data.iter().all(|data| data["shop"] == "scarpe"), "{data:?}");
    let said = format!("{data:?}");
    assert!(!said.contains("mario") && !said.contains("Mario"), "{said}");
    for _ in 0..2 {
        assert_eq!(kinds(&all.until("message.delivered").await), ORDER);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_comes_back_misses_nothing_and_is_told_of_gaps() {
    let world = World::start().await;
    let scarpe = world.shop("scarpe").await;
    let (mut seen, _, first) = Stream::open(&scarpe, "/v1/events/stream", None).await;
    assert_eq!(scarpe.post("/v1/orders", &order("1")).await.status, 202);
    let blocks = seen.until("message.decided").await;
    drop(seen);
    assert_eq!(scarpe.post("/v1/orders", &order("2")).await.status, 202);
    let (mut back, _, _) = Stream::open(&scarpe, "/v1/events/stream", Some(&blocks[1].id)).await;
    assert_eq!(kinds(&back.until("message.delivered").await), ["message.delivered"]);
    assert_eq!(kinds(&back.until("message.delivered").await), ORDER);
    // The first block's id, which no event has, is as good; so is a moment.
    let (mut back, _, _) = Stream::open(&scarpe, "/v1/events/stream?type=order.accepted", Some(&first.id)).await;
    assert_eq!(kinds(&back.until("order.accepted").await), ["order.accepted"]);
    let (mut since, _, _) = Stream::open(&scarpe, "/v1/events/stream?since=2026-11-21T20:00:00Z", None).await;
    assert_eq!(kinds(&since.until("message.delivered").await), ORDER);
    // Another journal's id, and one that lies ahead.
    let (_, position) = first.id.split_once('-').unwrap();
    for id in [format!("{}-{position}", "ab".repeat(16)), format!("{}9999", first.id)] {
        let (_, status, gap) = Stream::open(&scarpe, "/v1/events/stream", Some(&id)).await;
        assert_eq!((status, gap.event.as_str()), (200, "gap"), "{id}");
    }
    assert_eq!(Stream::open(&scarpe, "/v1/events/stream", Some("7")).await.1, 400);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_type_is_refused_with_the_list_and_a_known_one_is_all_that_is_seen() {
    let world = World::start().await;
    let scarpe = world.shop("scarpe").await;
    for unknown in ["delivered", "order_accepted", "message.claimed", "catalogue.changed"] {
        let answer = scarpe.get(&format!("/v1/events/stream?type={unknown}")).await;
        assert_eq!(answer.status, 400, "{unknown}");
        let fault = answer.json()["errors"][0].clone();
        let listed = fault["fault"].as_str().unwrap();
        assert_eq!(fault["field"], "type");
        assert!(
            listed.contains("order.accepted") && listed.contains("workflow.left"),
            "{listed}"
        );
    }
    let (mut seen, status, _) = Stream::open(&scarpe, "/v1/events/stream?type=message.delivered", None).await;
    assert_eq!(status, 200);
    assert_eq!(scarpe.post("/v1/orders", &order("1")).await.status, 202);
    assert_eq!(kinds(&seen.until("message.delivered").await), ["message.delivered"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_are_bounded_outlive_the_idle_deadline_and_end_with_the_drain() {
    let world = World::with(api::Settings {
        streams_max: 1,
        idle_timeout: Duration::from_millis(60),
        ..api::Settings::default()
    })
    .await;
    let scarpe = world.shop("scarpe").await;
    let (mut seen, _, _) = Stream::open(&scarpe, "/v1/events/stream", None).await;
    assert_eq!(Stream::open(&scarpe, "/v1/events/stream", None).await.1, 503);
    let began = std::time::Instant::now();
    let mut number = 0;
    while began.elapsed() < Duration::from_millis(400) {
        number += 1;
        assert_eq!(scarpe.post("/v1/orders", &order(&number.to_string())).await.status, 202);
        seen.until("message.delivered").await;
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    world.stop.cancel();
    assert!(seen.block().await.is_none(), "the drain ends the stream");
    for listener in world.listeners {
        listener.await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_ends_when_its_key_is_revoked_or_its_shop_deleted() {
    let world = World::with(api::Settings {
        // A connection whose stream is over is closed after that.
        idle_timeout: Duration::from_millis(60),
        ..api::Settings::default()
    })
    .await;
    let (scarpe, borse) = (world.shop("scarpe").await, world.shop("borse").await);
    let listed = world.operator.get("/v1/shops/scarpe/keys").await.json();
    let key = listed["keys"][0]["id"].as_str().unwrap().to_owned();
    for (client, path) in [
        (&scarpe, format!("/v1/shops/scarpe/keys/{key}")),
        (&borse, "/v1/shops/borse".to_owned()),
    ] {
        let (mut seen, _, _) = Stream::open(client, "/v1/events/stream", None).await;
        assert_eq!(client.post("/v1/orders", &order("1")).await.status, 202);
        seen.until("message.delivered").await;
        assert_eq!(world.operator.delete(&path).await.status, 204);
        assert!(seen.block().await.is_none(), "{path}");
    }
}
