//! One order, one effect; one `Idempotency-Key`, one answer.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "tests state expectations by unwrapping"
)]

mod support;

use std::collections::BTreeSet;

use serde_json::{Value, json};
use support::{Client, World, message, order};

fn id(answer: &support::Answer) -> Value {
    assert_eq!(answer.status, 202, "{answer:?}");
    answer.json()["id"].clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_order_gets_the_first_answer_again() {
    let world = World::start().await;
    let caller = world.shop("scarpe").await;
    let first = caller.post("/v1/orders", &order("1")).await;
    assert_eq!(first.header("idempotent-replayed"), None);
    let again = caller.post("/v1/orders", &order("1")).await;
    assert_eq!(id(&again), id(&first));
    assert_eq!(again.header("idempotent-replayed"), Some("true"));
    // The same content, written otherwise: spaces, the order of keys, a default spelled out.
    let mut spelled = order("1");
    spelled["consent"]["sharing"] = json!(null);
    let text = format!("  {}  ", serde_json::to_string_pretty(&spelled).unwrap());
    let again = caller.request("POST", "/v1/orders", &[], Some(text.as_bytes())).await;
    assert_eq!(id(&again), id(&first));
}

#[tokio::test(flavor = "multi_thread")]
async fn other_content_under_the_same_name_is_a_conflict() {
    let world = World::start().await;
    let caller = world.shop("scarpe").await;
    id(&caller.post("/v1/orders", &order("1")).await);
    // Another address is another partition: the claim must be found all the same.
    for n in 0..20 {
        let mut other = order("1");
        other["customer"]["email"] = json!(format!("other{n}@example.it"));
        let answer = caller.post("/v1/orders", &other).await;
        assert_eq!(answer.status, 409, "{answer:?}");
        assert_eq!(answer.json()["type"], "urn:staffetta:problem:conflict");
    }
    // Under an Idempotency-Key, also for another order, and on another endpoint.
    id(&caller.post_as("k", "/v1/orders", &order("2")).await);
    assert_eq!(caller.post_as("k", "/v1/orders", &order("3")).await.status, 409);
    assert_eq!(
        caller
            .post_as("k", "/v1/messages", &message("a@example.it"))
            .await
            .status,
        409
    );
    // The order that was refused for its key left no trace under its own name.
    id(&caller.post_as("l", "/v1/orders", &order("3")).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn concurrent_copies_make_one_effect() {
    let world = World::start().await;
    let caller = world.shop("scarpe").await;
    for round in 0..10 {
        let copies = (0..16).map(|_| {
            let (caller, body) = (caller.clone(), order(&format!("r{round}")));
            tokio::spawn(async move { caller.post("/v1/orders", &body).await })
        });
        let copies: Vec<_> = copies.collect();
        let (mut ids, mut firsts) = (BTreeSet::new(), 0);
        for copy in copies {
            let answer = copy.await.unwrap();
            firsts += usize::from(answer.header("idempotent-replayed").is_none());
            ids.insert(id(&answer).to_string());
        }
        assert_eq!((ids.len(), firsts), (1, 1));
        let told = caller.get(&format!("/v1/orders/r{round}")).await.json();
        assert_eq!(told["messages"].as_array().unwrap().len(), 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_that_hangs_up_has_its_order_accepted_once() {
    let world = World::start().await;
    let caller = world.shop("scarpe").await;
    let body = order("1").to_string();
    let request = format!(
        "POST /v1/orders HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {}\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\n\r\n{body}",
        caller.key().unwrap(),
        body.len()
    );
    for _ in 0..50 {
        use tokio::io::AsyncWriteExt;
        let mut stream = caller.connect().await;
        stream.write_all(request.as_bytes()).await.unwrap();
        drop(stream);
    }
    let first = id(&caller.post("/v1/orders", &order("1")).await);
    let told = caller.get("/v1/orders/1").await.json();
    assert_eq!(told["id"], first);
    assert_eq!(told["messages"].as_array().unwrap().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn names_belong_to_their_shop_and_key() {
    let world = World::start().await;
    let (one, two) = (world.shop("one").await, world.shop("two").await);
    let ids: Vec<_> = [
        one.post_as("k", "/v1/orders", &order("1")).await,
        two.post_as("k", "/v1/orders", &order("1")).await,
    ]
    .iter()
    .map(id)
    .collect();
    assert_ne!(ids[0], ids[1]);
    let second_key = world.key("one", &["send"]).await;
    id(&second_key.post_as("k", "/v1/orders", &order("2")).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_that_is_sent_again_adds_only_what_was_missing() {
    let world = World::start().await;
    let caller = world.shop("scarpe").await;
    let items: Vec<_> = (0..20).map(|n| message(&format!("p{n}@example.it"))).collect();
    let mut broken = items.clone();
    broken[7]["to"]["email"] = json!("nobody");
    let first = post(&caller, &broken).await;
    assert!(first[7].get("problem").is_some());
    let second = post(&caller, &items).await;
    for (index, (first, second)) in first.iter().zip(&second).enumerate() {
        if index == 7 {
            assert!(second.get("id").is_some() && second.get("replayed").is_none());
        } else {
            assert_eq!(first["id"], second["id"]);
            assert_eq!(second["replayed"], true);
        }
    }
    // Without a key, the same message twice is two messages.
    let one = caller.post("/v1/messages", &items[0]).await;
    assert_ne!(id(&one), id(&caller.post("/v1/messages", &items[0]).await));
}

async fn post(caller: &Client, items: &[Value]) -> Vec<Value> {
    let answer = caller.post_as("batch 1", "/v1/messages", &json!(items)).await;
    assert_eq!(answer.status, 207, "{answer:?}");
    answer.json()["results"].as_array().unwrap().clone()
}
