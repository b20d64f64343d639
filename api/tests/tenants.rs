//! Who may do what, and that a shop sees nothing of another.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "tests state expectations by unwrapping"
)]

mod support;

use std::num::NonZeroU32;

use serde_json::{Value, json};
use support::{Answer, Client, World, campaign, message, order, shop, template};

/// Every kind of request, with the scope it takes; `-` is for the operator alone.
fn requests(accept: &str) -> Vec<(&'static str, String, Option<Value>, &'static str)> {
    let email = json!({ "email": "mario@example.it" });
    let path = |text: &str| text.to_owned();
    vec![
        ("POST", path("/v1/orders"), Some(order("x")), "send"),
        ("GET", path("/v1/orders/1"), None, "read"),
        ("POST", path("/v1/messages"), Some(message("a@example.it")), "send"),
        ("GET", format!("/v1/messages/{accept}"), None, "read"),
        ("GET", path("/v1/shops/one"), None, "read"),
        ("GET", path("/v1/shops"), None, "read"),
        ("GET", path("/v1/campaigns/c"), None, "read"),
        ("GET", path("/v1/campaigns"), None, "read"),
        ("PUT", path("/v1/campaigns/c"), Some(campaign("one")), "manage"),
        ("GET", path("/v1/templates/t"), None, "read"),
        ("GET", path("/v1/templates"), None, "read"),
        ("PUT", path("/v1/templates/t"), Some(template()), "manage"),
        ("GET", path("/v1/suppressions"), None, "read"),
        ("POST", path("/v1/suppressions/lookup"), Some(email.clone()), "read"),
        ("POST", path("/v1/suppressions"), Some(email.clone()), "manage"),
        ("PUT", path("/v1/suppressions"), Some(email), "manage"),
        ("PUT", path("/v1/contacts/a@example.it"), Some(json!({})), "send"),
        ("PATCH", path("/v1/contacts/a@example.it"), Some(json!({})), "send"),
        ("GET", path("/v1/contacts/mario@example.it"), None, "read"),
        ("GET", path("/v1/contacts/mario@example.it/timeline"), None, "read"),
        ("GET", path("/v1/contacts"), None, "read"),
        ("POST", path("/v1/events"), Some(event()), "send"),
        (
            "PUT",
            path("/v1/fields/age"),
            Some(json!({ "type": "number" })),
            "manage",
        ),
        ("GET", path("/v1/fields"), None, "read"),
        ("PUT", path("/v1/groups/vip"), Some(json!({ "name": "Vip" })), "manage"),
        ("GET", path("/v1/groups/vip/members"), None, "read"),
        ("GET", path("/v1/imports"), None, "read"),
        ("PUT", path("/v1/workflows/w"), Some(workflow()), "manage"),
        ("GET", path("/v1/workflows/w"), None, "read"),
        ("GET", path("/v1/workflows"), None, "read"),
        ("GET", path("/v1/workflows/schema"), None, "read"),
        ("GET", path("/v1/workflows/w/stats"), None, "read"),
        ("PUT", path("/v1/carts/8"), Some(cart()), "send"),
        ("GET", path("/v1/carts/7"), None, "read"),
        ("PUT", path("/v1/carts/settings"), Some(carts()), "manage"),
        ("GET", path("/v1/carts/settings"), None, "read"),
        ("GET", path("/v1/carts/stats"), None, "read"),
        ("PUT", path("/v1/shops/one"), Some(shop("one")), "-"),
        ("GET", path("/v1/shops/one/keys"), None, "-"),
        (
            "POST",
            path("/v1/shops/one/keys"),
            Some(json!({ "scopes": ["read"] })),
            "-",
        ),
        ("DELETE", path("/v1/shops/one/keys/none"), None, "-"),
        ("DELETE", path("/v1/shops/none"), None, "-"),
    ]
}

fn event() -> Value {
    json!({ "email": "mario@example.it", "name": "booking" })
}

fn workflow() -> Value {
    json!({ "name": "W", "start": { "on": "event", "name": "booking" } })
}

fn cart() -> Value {
    json!({
        "customer": { "email": "mario@example.it" }, "total": { "amount": 5990, "currency": "EUR" }, "net": 4910,
        "items": [{ "sku": "A1", "title": "Scarpe", "quantity": 1, "unit_price": 5990 }],
        "restore_url": "https://one.example/cart/7",
    })
}

fn carts() -> Value {
    json!({ "mode": "off", "languages": ["it"], "time_zone": "Europe/Rome" })
}

async fn ask(caller: &Client, method: &str, path: &str, body: Option<&Value>) -> Answer {
    let body = body.map(|body| body.to_string().into_bytes());
    caller.request(method, path, &[], body.as_deref()).await
}

/// Settings under which every request may fail to authenticate once.
fn settings() -> api::Settings {
    api::Settings {
        failed_auth_per_minute: NonZeroU32::new(100).unwrap(),
        ..api::Settings::default()
    }
}

/// A world with shops `one` and `two`, of which the first has one of everything; returns its order's id too.
async fn furnished() -> (World, Client, Client, String) {
    let world = World::with(settings()).await;
    let (one, two) = (world.shop("one").await, world.shop("two").await);
    let id = one.post("/v1/orders", &order("1")).await.json()["id"]
        .as_str()
        .unwrap()
        .to_owned();
    assert_eq!(one.put("/v1/campaigns/c", &campaign("one")).await.status, 201);
    assert_eq!(one.put("/v1/templates/t", &template()).await.status, 201);
    assert_eq!(
        one.post("/v1/suppressions", &json!({ "email": "luca@example.it" }))
            .await
            .status,
        200
    );
    assert_eq!(
        one.put("/v1/fields/age", &json!({ "type": "number" })).await.status,
        201
    );
    assert_eq!(one.put("/v1/groups/vip", &json!({ "name": "Vip" })).await.status, 201);
    let contact = json!({ "groups": ["vip"], "fields": { "age": 41 } });
    assert_eq!(one.put("/v1/contacts/mario@example.it", &contact).await.status, 202);
    assert_eq!(one.put("/v1/workflows/w", &workflow()).await.status, 201);
    assert_eq!(one.put("/v1/carts/settings", &carts()).await.status, 201);
    assert_eq!(one.put("/v1/carts/7", &cart()).await.status, 202);
    (world, one, two, id)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_does_what_its_scopes_say() {
    let (world, _, _, id) = furnished().await;
    for scope in ["send", "read", "manage"] {
        let caller = world.key("one", &[scope]).await;
        for (method, path, body, needed) in requests(&id) {
            let answer = ask(&caller, method, &path, body.as_ref()).await;
            if scope == needed {
                assert!(answer.status < 300, "{scope} {method} {path}: {answer:?}");
            } else {
                assert_eq!(answer.status, 403, "{scope} {method} {path}: {answer:?}");
                assert!(
                    answer
                        .header("www-authenticate")
                        .unwrap()
                        .contains("insufficient_scope")
                );
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_without_a_key_gets_further_than_the_description() {
    let (world, _, _, id) = furnished().await;
    let settings = settings();
    let nobody = Client::new(world.api, None);
    let description = nobody.get("/openapi.json").await;
    assert_eq!(description.status, 200);
    assert_eq!(description.json()["openapi"], "3.1.0");
    let mut failures = 0;
    for (method, path, body, _) in requests(&id) {
        let answer = ask(&nobody, method, &path, body.as_ref()).await;
        assert_eq!(answer.status, 401, "{method} {path}: {answer:?}");
        assert!(answer.header("www-authenticate").unwrap().starts_with("Bearer"));
        failures += 1;
    }
    assert!(failures < settings.failed_auth_per_minute.get());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shop_sees_nothing_of_another() {
    let (_world, one, two, id) = furnished().await;
    let message = one.get(&format!("/v1/messages/{id}")).await.json()["messages"][0]["id"].clone();
    let message = message.as_str().unwrap();
    for path in [
        "/v1/orders/1".to_owned(),
        format!("/v1/messages/{id}"),
        format!("/v1/messages/{message}"),
        "/v1/shops/one".to_owned(),
        "/v1/campaigns/c".to_owned(),
        "/v1/templates/t".to_owned(),
        "/v1/orders/1?shop=one".to_owned(),
        "/v1/templates/t?shop=one".to_owned(),
        "/v1/templates?shop=one".to_owned(),
        "/v1/suppressions?shop=one".to_owned(),
        "/v1/campaigns/c/leads".to_owned(),
        "/v1/stats?shop=one".to_owned(),
        "/v1/stats?campaign=c".to_owned(),
        "/v1/stats?by=campaign&shop=one".to_owned(),
        "/v1/events/stream?shop=one&follow=false".to_owned(),
        "/v1/persons?email=mario@example.it&shop=one".to_owned(),
        "/v1/contacts/mario@example.it".to_owned(),
        "/v1/contacts/mario@example.it/timeline".to_owned(),
        "/v1/contacts?shop=one".to_owned(),
        "/v1/fields/age".to_owned(),
        "/v1/fields?shop=one".to_owned(),
        "/v1/groups/vip".to_owned(),
        "/v1/groups/vip/members".to_owned(),
        "/v1/groups/vip/members?shop=one".to_owned(),
        "/v1/imports?shop=one".to_owned(),
        "/v1/workflows/w".to_owned(),
        "/v1/workflows/w/stats".to_owned(),
        "/v1/workflows?shop=one".to_owned(),
        "/v1/carts/7".to_owned(),
        "/v1/carts/settings".to_owned(),
        "/v1/carts/stats?shop=one".to_owned(),
    ] {
        assert_eq!(one.get(&path).await.status, 200, "{path}");
        let answer = two.get(&path).await;
        assert_eq!(answer.status, 404, "{path}: {answer:?}");
    }
    // Absent and another's are the same answer.
    assert_eq!(
        two.get("/v1/campaigns/c").await.body,
        two.get("/v1/campaigns/none").await.body
    );
    assert_eq!(
        two.get("/v1/orders/1").await.body,
        two.get("/v1/orders/none").await.body
    );
    for (path, entries) in [
        ("campaigns", "campaigns"),
        ("templates", "templates"),
        ("suppressions", "suppressions"),
        ("contacts", "contacts"),
        ("fields", "fields"),
        ("groups", "groups"),
        ("imports", "imports"),
        ("workflows", "workflows"),
    ] {
        let listed = two.get(&format!("/v1/{path}")).await.json();
        assert_eq!(listed[entries], json!([]), "{path}");
    }
    let shops = two.get("/v1/shops").await.json();
    assert_eq!(shops["shops"].as_array().unwrap().len(), 1);
    assert_eq!(shops["shops"][0]["id"], "two");

    // Two shops' contacts of one person share nothing.
    assert_eq!(
        two.put("/v1/contacts/mario@example.it", &json!({ "name": "M." }))
            .await
            .status,
        202
    );
    assert_eq!(
        two.get("/v1/contacts/mario@example.it").await.json()["fields"],
        json!({})
    );
    assert_eq!(
        one.get("/v1/contacts/mario@example.it").await.json()["name"],
        Value::Null
    );
    let listed = two.get("/v1/contacts").await.json();
    assert_eq!(listed["contacts"].as_array().unwrap().len(), 1);
    let told = two.get("/v1/contacts/mario@example.it/timeline").await.json();
    assert_eq!(
        (told["events"].as_array().unwrap().len(), &told["carts"]),
        (1, &json!([]))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shop_changes_nothing_of_another() {
    let (world, one, two, _) = furnished().await;
    let other = two.put("/v1/contacts/mario@example.it?shop=one", &json!({})).await;
    assert_eq!(other.status, 404);
    assert_eq!(two.put("/v1/contacts/mario@example.it", &json!({})).await.status, 202);
    assert_eq!(two.delete("/v1/contacts/mario@example.it").await.status, 204);
    assert_eq!(one.get("/v1/contacts/mario@example.it").await.status, 200);
    assert_eq!(two.delete("/v1/workflows/w").await.status, 404);
    assert_eq!(
        two.put("/v1/workflows/w/state", &json!({ "state": "on" })).await.status,
        404
    );
    assert_eq!(two.delete("/v1/fields/age").await.status, 404);
    assert_eq!(two.delete("/v1/carts/7").await.status, 404);
    assert_eq!(two.post("/v1/events?shop=one", &event()).await.status, 404);
    assert_eq!(two.put("/v1/campaigns/c", &campaign("two")).await.status, 404);
    assert_eq!(two.put("/v1/campaigns/d", &campaign("one")).await.status, 403);
    assert_eq!(two.delete("/v1/campaigns/c").await.status, 404);
    assert_eq!(two.delete("/v1/templates/t").await.status, 404);
    assert_eq!(two.put("/v1/templates/t?shop=one", &template()).await.status, 404);
    assert_eq!(two.post("/v1/orders?shop=one", &order("9")).await.status, 404);
    assert_eq!(
        two.post("/v1/suppressions?shop=one", &json!({ "email": "a@example.it" }))
            .await
            .status,
        404
    );
    let network = json!({ "email": "a@example.it", "scope": "network" });
    assert_eq!(two.post("/v1/suppressions", &network).await.status, 403);
    assert_eq!(one.get("/v1/campaigns/c").await.json()["version"], 1);
    // A deleted campaign's links live on in old mails: its id is not free for another shop.
    assert_eq!(one.delete("/v1/campaigns/c").await.status, 204);
    assert_eq!(two.put("/v1/campaigns/c", &campaign("two")).await.status, 404);
    assert_eq!(one.put("/v1/campaigns/c", &campaign("one")).await.status, 201);
    assert_eq!(world.operator.get("/v1/orders/9?shop=one").await.status, 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_operator_names_the_shop() {
    let (world, _, _, id) = furnished().await;
    let operator = &world.operator;
    assert_eq!(operator.get("/v1/orders/1?shop=one").await.status, 200);
    assert_eq!(operator.get("/v1/orders/1?shop=two").await.status, 404);
    assert_eq!(operator.get(&format!("/v1/messages/{id}")).await.status, 200);
    let unnamed = operator.get("/v1/orders/1").await;
    assert_eq!(
        (unnamed.status, &unnamed.json()["errors"][0]["field"]),
        (422, &json!("shop"))
    );
    assert_eq!(operator.post("/v1/orders?shop=two", &order("5")).await.status, 202);
    assert_eq!(
        operator.get("/v1/campaigns?shop=one").await.json()["campaigns"]
            .as_array()
            .unwrap()
            .len(),
        1
    );
    assert_eq!(
        operator.get("/v1/campaigns?shop=two").await.json()["campaigns"],
        json!([])
    );

    let network = json!({ "email": "luca@example.it", "scope": "network" });
    assert_eq!(
        operator.post("/v1/suppressions", &network).await.json()["scope"],
        "network"
    );
    let both = operator
        .post(
            "/v1/suppressions/lookup?shop=one",
            &json!({ "email": "luca@example.it" }),
        )
        .await
        .json();
    assert_eq!(both["suppressions"].as_array().unwrap().len(), 2);
    assert_eq!(
        operator.get("/v1/suppressions?scope=network").await.json()["suppressions"]
            .as_array()
            .unwrap()
            .len(),
        1
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revoked_key_stops_at_once() {
    let (world, _, _, _) = furnished().await;
    let path = "/v1/shops/one/keys";
    let made = world
        .operator
        .post(path, &json!({ "id": "pos", "scopes": ["read"] }))
        .await;
    let key = made.json()["key"].as_str().unwrap().to_owned();
    assert_eq!(made.header("cache-control"), Some("no-store"));
    assert_eq!(
        world
            .operator
            .post(path, &json!({ "id": "pos", "scopes": ["read"] }))
            .await
            .status,
        409
    );
    let listed = world.operator.get(path).await;
    assert!(listed.body.contains("\"pos\"") && !listed.body.contains(&key));
    let caller = Client::new(world.api, Some(&key));
    assert_eq!(caller.get("/v1/shops/one").await.status, 200);
    assert_eq!(world.operator.delete("/v1/shops/one/keys/pos").await.status, 204);
    assert_eq!(caller.get("/v1/shops/one").await.status, 401);
}

#[tokio::test(flavor = "multi_thread")]
async fn guessing_keys_is_limited_by_address() {
    let world = World::with(api::Settings {
        failed_auth_per_minute: NonZeroU32::new(5).unwrap(),
        ..api::Settings::default()
    })
    .await;
    let caller = world.shop("one").await;
    let mut statuses = Vec::new();
    for n in 0..8 {
        let guess = Client::new(world.api, Some(&format!("stf_{n:0>43}")));
        let answer = guess.get("/v1/shops").await;
        if answer.status == 429 {
            assert_eq!(answer.json()["type"], "urn:staffetta:problem:auth-limited");
            assert!(answer.header("retry-after").unwrap().parse::<u64>().unwrap() <= 60);
        }
        statuses.push(answer.status);
    }
    assert_eq!(statuses, [401, 401, 401, 401, 401, 429, 429, 429]);
    assert_eq!(
        caller.get("/v1/shops").await.status,
        200,
        "who has a key is not locked out by a neighbour"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_has_a_rate_and_every_item_counts() {
    let world = World::with(api::Settings {
        requests_per_second: NonZeroU32::new(500).unwrap(),
        ..api::Settings::default()
    })
    .await;
    let (one, two) = (world.shop("one").await, world.shop("two").await);
    let batch = json!(vec![message("a@example.it"); 500]);
    assert_eq!(one.post("/v1/messages", &batch).await.status, 207);
    let answer = one.post("/v1/messages", &batch).await;
    assert_eq!(
        (answer.status, answer.header("retry-after").is_some()),
        (429, true),
        "{answer:?}"
    );
    assert_eq!(
        two.post("/v1/orders", &order("1")).await.status,
        202,
        "each key has its own"
    );
}
