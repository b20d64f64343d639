//! A cart that several requests change at once.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "tests state expectations by unwrapping"
)]

mod support;

use futures_util::future::join_all;
use serde_json::{Value, json};
use support::World;

/// Buyers, each of whom puts the cart.
const BUYERS: usize = 8;

fn buyer(n: usize) -> String {
    format!("buyer{n}@example.it")
}

fn cart(n: usize) -> Value {
    json!({
        "customer": { "email": buyer(n), "locale": "it-IT" }, "total": { "amount": 5990, "currency": "EUR" }, "net": 4910,
        "items": [{ "sku": "A1", "title": "Scarpe", "quantity": 1, "unit_price": 5990 }],
        "restore_url": "https://www.one.example/cart/7",
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn of_several_buyers_at_once_one_has_the_cart() {
    let world = World::start().await;
    let shop = world.shop("one").await;
    let puts = (0..BUYERS).map(|n| {
        let shop = &shop;
        async move { shop.put("/v1/carts/7", &cart(n)).await.status }
    });
    assert_eq!(join_all(puts).await, [202; BUYERS]);
    let seen = shop.get("/v1/carts/7").await.json();
    let mut owners = Vec::new();
    for n in 0..BUYERS {
        let timeline = shop.get(&format!("/v1/contacts/{}/timeline", buyer(n))).await.json();
        if timeline["carts"] != json!([]) {
            owners.push(buyer(n));
        }
    }
    assert_eq!(json!(owners), json!([seen["spec"]["customer"]["email"]]));
    // Deleted twice at once, it was there once.
    let mut gone = join_all([shop.delete("/v1/carts/7"), shop.delete("/v1/carts/7")]).await;
    gone.sort_by_key(|answer| answer.status);
    let statuses: Vec<_> = gone.iter().map(|answer| answer.status).collect();
    assert_eq!(statuses, [204, 404]);
}
