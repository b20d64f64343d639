//! What is known of a person is told to whom it may be told, and erased so that nothing of it is told or stored any more.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "tests state expectations by unwrapping"
)]

mod support;

use serde_json::json;
use support::{Client, World, campaign, message, order};

/// A text that nothing else in the service holds.
const CANARY: &str = "Zacinto Colibri";

#[tokio::test(flavor = "multi_thread")]
async fn a_shop_is_told_what_it_brought_and_the_operator_everything() {
    let world = World::start().await;
    let (scarpe, borse) = (world.shop("scarpe").await, world.shop("borse").await);
    assert_eq!(scarpe.post("/v1/orders", &order("1")).await.status, 202);
    assert_eq!(
        scarpe.post("/v1/messages", &message("mario@example.it")).await.status,
        202
    );
    assert_eq!(borse.post("/v1/orders", &order("2")).await.status, 202);
    let told = scarpe.get("/v1/persons?email=Mario@Example.it").await;
    assert_eq!(told.header("cache-control"), Some("no-store"));
    let told = told.json();
    assert_eq!(told["accepted"].as_array().unwrap().len(), 2, "{told}");
    assert_eq!(told["accepted"][0]["order"]["total"]["amount"], 5990);
    assert_eq!(told["accepted"][0]["order"]["customer"]["name"], "Mario Rossi");
    assert_eq!(told["accepted"][1]["message"]["to"]["email"], "mario@example.it");
    let kinds: Vec<_> = told["accepted"][0]["events"]
        .as_array()
        .unwrap()
        .iter()
        .map(|event| &event["kind"])
        .collect();
    assert_eq!(
        kinds,
        [
            "order.accepted",
            "message.decided",
            "message.claimed",
            "message.delivered"
        ]
    );
    let all = world
        .at_admin()
        .get("/admin/v1/persons?email=mario@example.it")
        .await
        .json();
    assert_eq!(all["accepted"].as_array().unwrap().len(), 3);
    assert_eq!(all["person"], told["person"]);
    let one = world
        .operator
        .get("/v1/persons?email=mario@example.it&shop=borse")
        .await
        .json();
    assert_eq!(one["accepted"].as_array().unwrap().len(), 1);
    let nobody = scarpe.get("/v1/persons?email=nobody@example.it").await;
    assert_eq!((nobody.status, &nobody.json()["accepted"]), (200, &json!([])));
    for (query, status) in [
        ("", 422),
        ("email=mario", 422),
        ("email=mario@example.it&shop=borse", 404),
    ] {
        assert_eq!(
            scarpe.get(&format!("/v1/persons?{query}")).await.status,
            status,
            "{query}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_erased_person_is_in_no_answer() {
    let world = World::start().await;
    let (scarpe, borse) = (world.shop("scarpe").await, world.shop("borse").await);
    scarpe.put("/v1/campaigns/suole", &campaign("scarpe")).await;
    let mut canary = order("1");
    canary["customer"]["name"] = CANARY.into();
    let id = scarpe.post("/v1/orders", &canary).await.json()["id"]
        .as_str()
        .unwrap()
        .to_owned();
    assert_eq!(borse.post("/v1/orders", &canary).await.status, 202);
    let answers = async |caller: &Client| {
        let mut said = String::new();
        for path in [
            "/v1/orders/1",
            &format!("/v1/messages/{id}"),
            "/v1/persons?email=mario@example.it",
            "/v1/stats",
            "/v1/campaigns/suole/leads",
            "/v1/suppressions",
        ] {
            said += &caller.get(path).await.body;
        }
        said
    };
    assert!(answers(&scarpe).await.contains(CANARY), "the check can see it");
    let read = world.key("scarpe", &["read", "send"]).await;
    assert_eq!(read.delete("/v1/persons?email=mario@example.it").await.status, 403);
    assert_eq!(scarpe.delete("/v1/persons?email=mario@example.it").await.status, 204);
    assert!(!answers(&scarpe).await.contains(CANARY));
    assert_eq!(scarpe.get("/v1/orders/1").await.status, 404);
    assert!(
        answers(&borse).await.contains(CANARY),
        "another shop's data are its own"
    );
    let everywhere = world
        .at_admin()
        .delete("/admin/v1/persons?email=mario@example.it")
        .await;
    assert_eq!(everywhere.status, 204);
    assert!(!answers(&borse).await.contains(CANARY));
    assert_eq!(
        scarpe.delete("/v1/persons?email=mario@example.it").await.status,
        204,
        "again is no fault"
    );
}
