//! A cart is left, reminded of, opened by a machine and then by a person, clicked and ordered: the second reminder stays away, the
//! recovery is counted, and all of it can be explained.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "tests state expectations by unwrapping"
)]

mod support;

use std::time::Duration;

use edge::demo::{mail, sink::Received, world};
use hyper::Method;
use serde_json::{Value, json};
use support::stage::{BROWSER, Links, Stage};
use types::time::Clock;

const APPLE: &str = "Mozilla/5.0";
const PERSON: &str = "203.0.113.9";
const BUYER: &str = "mario@example.it";
const MERCHANT: &str = "titolare@example.it";

#[tokio::test(flavor = "multi_thread")]
async fn a_reminder_brings_the_buyer_back_once() {
    let folder = tempfile::tempdir().unwrap();
    let mut stage = Stage::start(folder.path(), |_| {}).await;
    let settings = json!({
        "mode": "live", "address": MERCHANT, "languages": ["it"], "time_zone": "Europe/Rome",
        "first": { "after": "2h" }, "second": { "after": "30h" },
        "minimum": { "amount": 2000, "currency": "EUR" },
        "coupon": { "code": "TORNA10", "worth": "10 %" },
    });
    put(&stage, "/v1/carts/settings", &settings).await;
    put(&stage, "/v1/carts/c-1", &cart(&stage)).await;
    // Touched once more an hour later: the wait begins anew.
    stage.clock.advance(Duration::from_hours(1));
    put(&stage, "/v1/carts/c-1", &cart(&stage)).await;
    stage.clock.advance(Duration::from_mins(90));
    assert_eq!(
        row(&stage).await,
        Value::Null,
        "two and a half hours after the first touch"
    );

    stage.clock.advance(Duration::from_mins(31));
    let (reminder, copy) = two_mails(&mut stage).await;
    has_nothing_to_follow(&copy);
    let links = Links::of(reminder);
    assert!(links.html.contains("Scarpe da corsa"), "{}", links.html);
    assert!(!links.html.contains("TORNA10"), "the code is the second reminder's");

    // A machine fetches the pixel at once; half an hour later it is judged for good.
    stage.track(Method::GET, &links.pixel, APPLE, "17.58.0.1", "").await;
    until_row(&stage, |counts| counts["opens_raw"] == 1).await;
    stage.clock.advance(Duration::from_mins(31));
    let counted = until_row(&stage, |counts| counts["reminded_first"] == 1).await;
    assert_eq!(counted["opens_qualified"], 0);

    // Then the buyer opens, and comes back by the mail's link.
    stage.track(Method::GET, &links.pixel, BROWSER, PERSON, "").await;
    stage.clock.advance(Duration::from_secs(20));
    let followed = stage.track(Method::GET, &links.clicks[0], BROWSER, PERSON, "").await;
    assert_eq!(followed.status, 302);
    let restored = followed.headers["location"].to_str().unwrap().to_owned();
    let (page, token) = restored.split_once("recovery=").unwrap();
    assert_eq!(page, "https://www.scarpe-roma.example/cart?restore=c-1&");
    // The redirect is answered before the click is recorded: the clock must not overtake it.
    until_row(&stage, |counts| counts["clicks_raw"] == 1).await;
    stage.clock.advance(Duration::from_mins(31));
    let counted = until_row(&stage, |counts| counts["clicks_qualified"] == 1).await;
    assert_eq!(
        (&counted["opens_raw"], &counted["opens_qualified"]),
        (&json!(2), &json!(1)),
        "the machine's is none"
    );

    let mut order = world::order("1", BUYER, stage.clock.now());
    order["recovery"] = json!(token);
    let posted = stage.shop.json(Method::POST, "/v1/orders", &order).await.unwrap();
    assert_eq!(posted.status, 202, "{}", String::from_utf8_lossy(&posted.body));
    let counted = until_row(&stage, |counts| counts["recovered"] == 1).await;
    assert_eq!(counted["recovered_amount"], 5990);
    // The order's own mail; then the time of the second reminder comes and goes.
    assert_eq!(to(&stage.sink.received.recv().await.unwrap()), BUYER);
    stage.clock.advance(Duration::from_hours(48));
    // Another buyer's cart, due now: what was due before has been looked at when its reminder comes.
    let mut other = cart(&stage);
    other["customer"]["email"] = json!("luigi@example.it");
    other["touched_at"] = json!(stage.clock.now_minus(Duration::from_hours(3)));
    put(&stage, "/v1/carts/c-2", &other).await;
    for _ in 0..2 {
        let received = stage.sink.received.recv().await.unwrap();
        assert_ne!(to(&received), BUYER, "no second reminder");
    }
    let told = stage.until(&stage.shop, "/v1/carts/c-1", |_| true).await;
    assert!(stage.sink.received.try_recv().is_err(), "no second reminder: {told:#}");
    let row = row(&stage).await;
    assert_eq!(
        (&row["counts"]["reminded_first"], &row["counts"]["reminded_second"]),
        (&json!(2), &json!(0))
    );

    let timeline = stage
        .until(&stage.shop, &format!("/v1/contacts/{BUYER}/timeline"), |_| true)
        .await;
    let told = timeline.to_string();
    for word in ["c-1", "recovered"] {
        assert!(told.contains(word), "{word} is not in {timeline:#}");
    }
    stage.service.drain().await;
}

fn cart(stage: &Stage) -> Value {
    json!({
        "customer": { "email": BUYER, "name": "Mario Rossi", "locale": "it-IT", "country": "IT", "time_zone": "Europe/Rome" },
        "consent": { "marketing": true, "tracking": true },
        "items": [{ "sku": "A1", "title": "Scarpe da corsa", "quantity": 1, "unit_price": 5990 }],
        "total": { "amount": 5990, "currency": "EUR" }, "net": 4910,
        "restore_url": "https://www.scarpe-roma.example/cart?restore=c-1",
        "touched_at": stage.clock.now(),
    })
}

async fn put(stage: &Stage, path: &str, body: &Value) {
    let answer = stage.shop.json(Method::PUT, path, body).await.unwrap();
    assert!(
        answer.status.is_success(),
        "{path}: {} {}",
        answer.status,
        String::from_utf8_lossy(&answer.body)
    );
}

/// The row of the shop's Italian carts in euro; null as long as nothing was counted.
async fn row(stage: &Stage) -> Value {
    let from = stage.clock.now_minus(Duration::from_hours(96));
    let to = (stage.clock.now() + Duration::from_hours(1)).to_string();
    let path = format!("/v1/carts/stats?from={from}&to={to}");
    let stats = stage.until(&stage.shop, &path, |_| true).await;
    stats["rows"].get(0).cloned().unwrap_or_default()
}

async fn until_row(stage: &Stage, condition: impl Fn(&Value) -> bool) -> Value {
    let end = std::time::Instant::now() + support::PATIENCE;
    loop {
        let row = row(stage).await;
        if row.is_object() && condition(&row["counts"]) {
            return row["counts"].clone();
        }
        assert!(std::time::Instant::now() < end, "never counted: {row:#}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// The reminder and its copy, whichever comes first.
async fn two_mails(stage: &mut Stage) -> (Received, Received) {
    let first = stage.sink.received.recv().await.unwrap();
    let second = stage.sink.received.recv().await.unwrap();
    let (reminder, copy) = if to(&first) == BUYER {
        (first, second)
    } else {
        (second, first)
    };
    assert_eq!((to(&reminder), to(&copy)), (BUYER, MERCHANT));
    (reminder, copy)
}

fn to(received: &Received) -> &str {
    received.envelope.to[0].as_str()
}

/// A copy counts nothing, follows nobody, and unsubscribes nobody.
fn has_nothing_to_follow(copy: &Received) {
    let html = mail::html(&copy.bytes).unwrap();
    let all = String::from_utf8_lossy(&copy.bytes).to_ascii_lowercase();
    let has_header = all.lines().any(|line| line.starts_with("list-unsubscribe"));
    assert!(!has_header, "{all}");
    for part in ["/o/", "/c/", "/u/"] {
        assert!(
            !html.contains(&format!("https://{}{part}", world::TRACKING_HOST)),
            "{part} in {html}"
        );
    }
}
