//! The admin listener: open health and metrics, and the operator's requests.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "tests state expectations by unwrapping"
)]

mod support;

use serde_json::json;
use support::{Client, World, order};

#[tokio::test(flavor = "multi_thread")]
async fn health_and_metrics_are_open_and_say_how_things_are() {
    let world = World::start().await;
    let caller = world.shop("scarpe").await;
    assert_eq!(caller.post("/v1/orders", &order("1")).await.status, 202);
    assert_eq!(caller.post("/v1/orders", &json!({})).await.status, 422);
    let nobody = Client::new(world.admin, None);
    assert_eq!(nobody.get("/healthz").await.status, 200);
    assert_eq!(nobody.get("/readyz").await.status, 200);
    world.ready.send_replace(false);
    assert_eq!(nobody.get("/readyz").await.status, 503);
    assert_eq!(nobody.get("/healthz").await.status, 200);
    let metrics = nobody.get("/metrics").await;
    assert_eq!(
        metrics.header("content-type"),
        Some("text/plain; version=0.0.4; charset=utf-8")
    );
    for line in [
        "api_orders_accepted_total 1",
        "api_refused_total{reason=\"invalid\"} 1",
        "api_request_seconds_count{route=\"/v1/orders\",status=\"2xx\"} 1",
        "api_request_seconds_count{route=\"/v1/orders\",status=\"4xx\"} 1",
        "api_in_flight_requests 1",
    ] {
        assert!(metrics.body.contains(line), "{line} is not in\n{}", metrics.body);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn queues_are_shown_and_steered() {
    let world = World::start().await;
    let admin = world.at_admin();
    let shown = admin.get("/admin/v1/queues").await.json();
    assert_eq!(shown["sites"][0]["site"], "mx.example");
    let site = "/admin/v1/queues/mx.example";
    let limits = json!({ "connections_max": 5, "messages_per_second_max": null });
    let adjusted = admin
        .request("PATCH", site, &[], Some(limits.to_string().as_bytes()))
        .await;
    assert_eq!(adjusted.status, 204, "{adjusted:?}");
    let zero = json!({ "connections_max": 0 }).to_string();
    let refused = admin.request("PATCH", site, &[], Some(zero.as_bytes())).await;
    assert_eq!(
        (refused.status, &refused.json()["errors"][0]["field"]),
        (422, &json!("/connections_max"))
    );
    assert_eq!(admin.post(&format!("{site}/suspend"), &json!({})).await.status, 204);
    assert_eq!(admin.post(&format!("{site}/resume"), &json!({})).await.status, 204);
    assert_eq!(*world.queues.0.lock().unwrap(), ["adjust Some(5)", "suspend", "resume"]);
    assert_eq!(
        admin
            .post("/admin/v1/queues/elsewhere/suspend", &json!({}))
            .await
            .status,
        404
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_operator_sees_every_story_and_makes_keys() {
    let world = World::start().await;
    let caller = world.shop("scarpe").await;
    let id = caller.post("/v1/orders", &order("1")).await.json()["id"]
        .as_str()
        .unwrap()
        .to_owned();
    let admin = world.at_admin();
    let told = admin.get("/admin/v1/shops/scarpe/orders/1").await;
    assert_eq!(told.json(), caller.get("/v1/orders/1").await.json());
    let told = admin.get(&format!("/admin/v1/messages/{id}")).await;
    assert_eq!(told.json(), caller.get(&format!("/v1/messages/{id}")).await.json());
    let made = admin
        .post(
            "/admin/v1/shops/scarpe/keys",
            &json!({ "id": "pos", "scopes": ["send"] }),
        )
        .await;
    let pos = Client::new(world.api, made.json()["key"].as_str());
    assert_eq!(pos.post("/v1/orders", &order("2")).await.status, 202);
    assert_eq!(admin.delete("/admin/v1/shops/scarpe/keys/pos").await.status, 204);
    assert_eq!(pos.post("/v1/orders", &order("3")).await.status, 401);
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_else_gets_in() {
    let world = World::start().await;
    let shop = world.shop("scarpe").await;
    for path in [
        "/admin/v1/queues",
        "/admin/v1/messages/aaaaaaaaaaaaaaaa",
        "/admin/v1/shops/scarpe/orders/1",
    ] {
        assert_eq!(Client::new(world.admin, None).get(path).await.status, 401, "{path}");
        assert_eq!(
            Client::new(world.admin, shop.key()).get(path).await.status,
            403,
            "{path}"
        );
        assert_eq!(
            world.operator.get(path).await.status,
            404,
            "{path} is not on the public listener"
        );
    }
}
