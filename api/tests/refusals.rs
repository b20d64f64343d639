//! Every refusal is a problem that names the field and the fault.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "tests state expectations by unwrapping"
)]

mod support;

use serde_json::{Value, json};
use support::{Answer, Client, World, campaign, message, order, shop, template};

/// Checks that an answer is the RFC 9457 problem with this status, and blames these fields.
fn check(answer: &Answer, status: u16, fields: &[&str]) {
    assert_eq!(answer.status, status, "{answer:?}");
    assert_eq!(answer.header("content-type"), Some("application/problem+json"));
    let problem = answer.json();
    assert_eq!(problem["status"], status);
    assert!(problem["type"].as_str().unwrap().starts_with("urn:staffetta:problem:"));
    assert!(!problem["title"].as_str().unwrap().is_empty() && !problem["detail"].as_str().unwrap().is_empty());
    let blamed: Vec<_> = problem["errors"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|error| error["field"].clone())
        .collect();
    assert_eq!(blamed, fields, "{problem}");
}

/// Sets the value at a JSON pointer, whose parent exists.
fn with(mut document: Value, pointer: &str, value: Value) -> Value {
    let (parent, name) = pointer.rsplit_once('/').unwrap();
    let parent = document.pointer_mut(parent).unwrap();
    match parent.as_array_mut() {
        Some(array) => array[name.parse::<usize>().unwrap()] = value,
        None => parent[name] = value,
    }
    document
}

/// Posts or puts a document with one fault in it; the fault is at the same pointer that was changed.
async fn each(caller: &Client, method: &str, path: &str, document: &Value, faults: &[(&str, Value)]) {
    for (pointer, value) in faults {
        let body = with(document.clone(), pointer, value.clone());
        let answer = caller
            .request(method, path, &[], Some(body.to_string().as_bytes()))
            .await;
        check(&answer, 422, &[pointer]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn faults_of_orders_are_named() {
    let world = World::start().await;
    let caller = world.shop("scarpe").await;
    let item = order("1")["items"][0].clone();
    let long = |length: usize| json!("x".repeat(length));
    let faults = [
        ("/order_id", json!("")),
        ("/order_id", long(129)),
        ("/order_id", json!("a\r\nBcc: b@example.it")),
        ("/order_id", json!(7)),
        ("/placed_at", json!("2026-11-21T20:15:00")),
        ("/placed_at", json!("yesterday")),
        ("/placed_at", json!("2026-11-21T21:15:00Z")),
        ("/status", json!("paid")),
        ("/customer", json!("mario")),
        ("/customer/email", json!("mario")),
        ("/customer/email", json!("mario@localhost")),
        ("/customer/email", json!("a@b.it\r\nRCPT TO:<x@y.it>")),
        ("/customer/email", json!(format!("{}@example.it", "a".repeat(65)))),
        ("/customer/name", long(257)),
        ("/customer/name", json!("a\0b")),
        ("/customer/country", json!("it")),
        ("/customer/phone", json!("1")),
        ("/consent/marketing/at", json!("2026-11-21T21:15:00Z")),
        ("/total/amount", json!(-1)),
        ("/total/amount", json!(59.9)),
        ("/total/amount", json!("5990")),
        ("/total/amount", json!(9_000_000_000_000_000_000_i64)),
        ("/total/currency", json!("eur")),
        ("/total/tax", json!(1)),
        ("/items", json!(vec![item.clone(); 201])),
        ("/items/0/quantity", json!(0)),
        ("/items/0/quantity", json!(1_000_001)),
        ("/items/0/quantity", json!(-1)),
        ("/items/0/unit_price", json!(i64::MIN)),
        ("/items/0/title", long(513)),
        ("/items/0/categories", json!(vec!["c"; 17])),
        ("/coupon", json!("x")),
    ];
    each(&caller, "POST", "/v1/orders", &order("1"), &faults).await;
    let mut without = order("1");
    without["customer"].as_object_mut().unwrap().remove("email");
    check(&caller.post("/v1/orders", &without).await, 422, &["/customer/email"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn all_faults_are_told_at_once() {
    let world = World::start().await;
    let caller = world.shop("scarpe").await;
    let body = with(
        with(order(""), "/total/amount", json!(-5)),
        "/items/0/quantity",
        json!(0),
    );
    let answer = caller.post("/v1/orders", &body).await;
    check(&answer, 422, &["/order_id", "/total/amount", "/items/0/quantity"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn faults_of_messages_are_named() {
    let world = World::start().await;
    let caller = world.shop("scarpe").await;
    let faults = [
        ("/to/email", json!("@")),
        ("/stream", json!("bulk")),
        ("/body/content/subject", json!("")),
        ("/body/content/subject", json!("x\nBcc: y@example.it")),
        ("/body/content/subject", json!("x".repeat(999))),
        ("/body/content/text", json!("x".repeat((256 << 10) + 1))),
        ("/body/content/html", json!("<p>\0</p>")),
        ("/expires_at", json!("2026-11-21T20:14:59Z")),
        ("/cc", json!("b@example.it")),
    ];
    each(&caller, "POST", "/v1/messages", &message("a@example.it"), &faults).await;
    let empty = with(message("a@example.it"), "/body/content/text", json!(""));
    check(&caller.post("/v1/messages", &empty).await, 422, &["/body/content"]);
    check(&caller.post("/v1/messages", &json!([])).await, 422, &[""]);
    let too_many = json!(vec![message("a@example.it"); 501]);
    check(&caller.post("/v1/messages", &too_many).await, 422, &[""]);
    let many: serde_json::Map<_, _> = (0..65).map(|n| (format!("v{n}"), json!("x"))).collect();
    for vars in [Value::Object(many), json!({ "a b": "x" })] {
        let body = json!({ "to": { "email": "a@example.it" }, "body": { "template": { "id": "t", "vars": vars } } });
        check(&caller.post("/v1/messages", &body).await, 422, &["/body/template/vars"]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn faults_of_the_catalogue_are_named() {
    let world = World::start().await;
    let caller = world.shop("scarpe").await;
    let shops = [
        ("/name", json!("")),
        ("/url", json!("http://scarpe.example/")),
        ("/promotional/address", json!("offerte")),
        ("/language", json!("pt")),
        ("/offers_max", json!(0)),
        ("/offers_max", json!(7)),
        ("/late_after_minutes", json!(0)),
        ("/postal_address", json!("")),
        ("/categories", json!(vec!["c"; 17])),
        ("/exclude_categories", json!(vec!["c"; 65])),
        ("/exclude_shops", json!(vec!["s"; 1001])),
        ("/color", json!("red")),
        ("/tracking_host", json!("Not a host")),
        ("/offer_template", json!("none")),
    ];
    each(&world.operator, "PUT", "/v1/shops/scarpe", &shop("scarpe"), &shops).await;
    let campaigns = [
        ("/advertiser", json!("-")),
        ("/price/amount", json!(0)),
        ("/budget", json!(-1)),
        ("/lead_rate_per_10000", json!(0)),
        ("/lead_rate_per_10000", json!(10_001)),
        ("/landing_url", json!("javascript:alert(1)")),
        ("/landing_url", json!("https://a.example/?c={clickid}")),
        ("/creatives", json!({})),
        ("/creatives/it/title", json!("")),
        ("/creatives/it/button", json!("x".repeat(41))),
        ("/creatives/it/image_url", json!("http://a.example/x.png")),
        ("/countries", json!(vec!["IT"; 251])),
    ];
    each(&caller, "PUT", "/v1/campaigns/c", &campaign("scarpe"), &campaigns).await;
    let ends_first = with(
        with(campaign("scarpe"), "/starts_at", json!("2026-12-02T00:00:00Z")),
        "/ends_at",
        json!("2026-12-01T00:00:00Z"),
    );
    check(&caller.put("/v1/campaigns/c", &ends_first).await, 422, &["/ends_at"]);
    check(
        &world.operator.put("/v1/campaigns/c", &campaign("nobody")).await,
        422,
        &["/advertiser"],
    );
    let templates = [
        ("/kind", json!("newsletter")),
        ("/sources", json!({})),
        ("/sources/it/html", json!("{% include 'x' %}")),
        ("/sources/it/text", json!("x".repeat((128 << 10) + 1))),
        ("/sources/it/subject", json!("a\nb")),
    ];
    each(&caller, "PUT", "/v1/templates/t", &template(), &templates).await;
    check(&caller.put("/v1/templates/-t", &template()).await, 422, &["id"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn traps_in_json_are_refused() {
    let world = World::start().await;
    let caller = world.shop("scarpe").await;
    let post = async |body: &[u8]| caller.request("POST", "/v1/orders", &[], Some(body)).await;
    let text = order("1").to_string();
    let twice = text.replace("\"order_id\"", "\"order_id\":\"2\",\"order_id\"");
    check(&post(twice.as_bytes()).await, 400, &["/order_id"]);
    let twice = text.replace("\"email\"", "\"email\":\"x@example.it\",\"\\u0065mail\"");
    check(&post(twice.as_bytes()).await, 400, &["/customer/email"]);
    check(&post("[".repeat(100_000).as_bytes()).await, 400, &[]);
    check(
        &post(format!("{}{}", "{\"a\":".repeat(40), "}".repeat(40)).as_bytes()).await,
        400,
        &[],
    );
    for body in [
        "",
        "null x",
        "{",
        "{\"order_id\":\"\\ud800\"}",
        "\u{feff}{}",
        "{\"a\":01}",
        "{'a':1}",
        "NaN",
    ] {
        let answer = post(body.as_bytes()).await;
        assert!(matches!(answer.status, 400 | 422), "{body}: {answer:?}");
    }
    check(&post(b"{\"order_id\":\"\xff\"}").await, 400, &[]);
    let vars = r#"{"to":{"email":"a@example.it"},"body":{"template":{"id":"t","vars":{"n":"1","n":"2"}}}}"#;
    let answer = caller.request("POST", "/v1/messages", &[], Some(vars.as_bytes())).await;
    check(&answer, 400, &["/body/template/vars/n"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_asked_in_our_way_is_refused_in_our_form() {
    let world = World::start().await;
    let caller = world.shop("scarpe").await;
    let body = order("1").to_string();
    let post = async |headers: &[(&str, &str)]| {
        caller
            .request("POST", "/v1/orders", headers, Some(body.as_bytes()))
            .await
    };
    for kind in [
        "text/plain",
        "application/xml",
        "application/json; charset=latin1",
        "multipart/form-data",
    ] {
        check(&post(&[("Content-Type", kind)]).await, 415, &[]);
    }
    check(&post(&[("Content-Encoding", "gzip")]).await, 415, &[]);
    check(&post(&[("Idempotency-Key", "")]).await, 400, &["Idempotency-Key"]);
    check(
        &post(&[("Idempotency-Key", &"x".repeat(256))]).await,
        400,
        &["Idempotency-Key"],
    );
    check(
        &post(&[("Idempotency-Key", "a"), ("Idempotency-Key", "b")]).await,
        400,
        &["Idempotency-Key"],
    );
    check(&caller.get("/v1/nothing").await, 404, &[]);
    check(&caller.get("/").await, 404, &[]);
    let wrong = caller.delete("/v1/orders").await;
    check(&wrong, 405, &[]);
    assert_eq!(wrong.header("allow"), Some("POST"));
    check(&caller.get("/v1/campaigns?limit=0").await, 400, &["limit"]);
    check(&caller.get("/v1/campaigns?limit=x").await, 400, &["query"]);
    check(&caller.get("/v1/campaigns?page=2").await, 400, &["query"]);
    check(&caller.get("/v1/suppressions?cursor=x").await, 400, &["cursor"]);
    check(&caller.get("/v1/orders/%ff").await, 400, &[]);
    check(&caller.get("/v1/messages/aaaa").await, 404, &[]);
}

#[tokio::test(flavor = "multi_thread")]
async fn bodies_have_a_size() {
    let world = World::start().await;
    let caller = world.shop("scarpe").await;
    let limit = 256 << 10;
    let padded = |size: usize| {
        let text = order("1").to_string();
        format!("{text}{}", " ".repeat(size - text.len()))
    };
    assert_eq!(
        caller
            .request("POST", "/v1/orders", &[], Some(padded(limit).as_bytes()))
            .await
            .status,
        202
    );
    check(
        &caller
            .request("POST", "/v1/orders", &[], Some(padded(limit + 1).as_bytes()))
            .await,
        413,
        &[],
    );
    check(
        &caller
            .request("POST", "/v1/messages", &[], Some(&vec![b' '; (8 << 20) + 1]))
            .await,
        413,
        &[],
    );
    // A chunked body announces nothing; it is cut when it has grown too large.
    let key = caller.key().unwrap();
    let mut chunked = format!(
        "POST /v1/orders HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: Bearer {key}\r\n\
         Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
    )
    .into_bytes();
    for _ in 0..5 {
        chunked.extend_from_slice(format!("{:x}\r\n{}\r\n", 64 << 10, " ".repeat(64 << 10)).as_bytes());
    }
    chunked.extend_from_slice(b"0\r\n\r\n");
    check(&Answer::parse(&caller.raw(&chunked).await), 413, &[]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_head_has_a_bound() {
    let world = World::start().await;
    let request = format!(
        "GET /v1/shops HTTP/1.1\r\nHost: x\r\nX: {}\r\n\r\n",
        "a".repeat(64 << 10)
    );
    let answer = world.operator.raw(request.as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 431 "), "{answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_that_smuggle_are_not_two_requests() {
    let world = World::start().await;
    let caller = world.shop("scarpe").await;
    let key = caller.key().unwrap();
    let smuggled = "GET /v1/shops HTTP/1.1\r\nHost: x\r\n\r\n";
    for headers in [
        format!("Content-Length: {}\r\nTransfer-Encoding: chunked", smuggled.len()),
        format!("Content-Length: 0\r\nContent-Length: {}", smuggled.len()),
        "Transfer-Encoding: xchunked".to_owned(),
        "Transfer-Encoding : chunked".to_owned(),
        "Content-Length: +5".to_owned(),
        "X: a\r\n Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked, identity".to_owned(),
    ] {
        let request = format!(
            "POST /v1/orders HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {key}\r\nContent-Type: application/json\r\n\
             {headers}\r\n\r\n0\r\n\r\n{smuggled}"
        );
        let answers = caller.raw(request.as_bytes()).await;
        assert!(answers.matches("HTTP/1.1 ").count() <= 1, "{headers}: {answers}");
        assert!(!answers.contains("HTTP/1.1 2"), "{headers}: {answers}");
    }
}
