//! Who withdraws is recorded no more, within seconds and in mails sent long ago; who is erased is in no answer.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "tests state expectations by unwrapping"
)]

mod support;

use std::time::{Duration, Instant};

use hyper::Method;
use serde_json::Value;
use support::stage::{BROWSER, Stage};

const PERSON: &str = "203.0.113.9";
/// How long a withdrawal may take to reach everything.
const WITHIN: Duration = Duration::from_secs(5);

fn count(story: &Value, kind: &str) -> usize {
    support::kinds(story).iter().filter(|own| *own == kind).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unsubscription_stops_recording_in_all_mails_of_the_shop() {
    let folder = tempfile::tempdir().unwrap();
    let mut stage = Stage::start(folder.path(), |_| {}).await;
    let old = stage.deliver("1", "mario@example.it").await;
    stage.clock.advance(Duration::from_hours(300 * 24));
    let new = stage.deliver("2", "mario@example.it").await;
    stage.track(Method::GET, &old.pixel, BROWSER, PERSON, "").await;
    support::told(&stage.shop, "1", "opened", |story| count(story, "opened") == 1).await;

    let began = Instant::now();
    let form = stage.tracker.send(
        Method::POST,
        &new.unsubscribe,
        &[("content-type", "application/x-www-form-urlencoded")],
        "List-Unsubscribe=One-Click".into(),
    );
    assert_eq!(form.await.unwrap().status, 200);
    for mail in [&old, &new] {
        assert_eq!(
            stage.track(Method::GET, &mail.pixel, BROWSER, PERSON, "").await.status,
            200
        );
        assert_eq!(
            stage
                .track(Method::GET, &mail.clicks[0], BROWSER, PERSON, "")
                .await
                .status,
            302
        );
    }
    assert!(began.elapsed() < WITHIN);
    // What another person does afterwards is recorded: by then all before is.
    let other = stage.deliver("3", "luigi@example.it").await;
    stage.track(Method::GET, &other.pixel, BROWSER, PERSON, "").await;
    support::told(&stage.shop, "3", "opened", |story| count(story, "opened") == 1).await;
    for (order, opened) in [("1", 1), ("2", 0)] {
        let story = support::told(&stage.shop, order, "told", |_| true).await;
        assert_eq!(
            (count(&story, "opened"), count(&story, "clicked")),
            (opened, 0),
            "order {order}"
        );
    }
    stage.service.drain().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_erased_person_is_in_no_answer() {
    const CANARY: &str = "Zacinto Colibri";
    let folder = tempfile::tempdir().unwrap();
    let mut stage = Stage::start(folder.path(), |_| {}).await;
    let mut order = edge::demo::world::order("9", "canary-zacinto@example.it", types::time::Clock::now(&*stage.clock));
    order["customer"]["name"] = CANARY.into();
    let posted = stage.shop.json(Method::POST, "/v1/orders", &order).await.unwrap();
    let id = posted.json().unwrap()["id"].as_str().unwrap().to_owned();
    support::in_state(&stage.shop, "9", "delivered").await;
    let mail = support::stage::Links::of(stage.sink.received.recv().await.unwrap());
    stage.track(Method::GET, &mail.pixel, BROWSER, PERSON, "").await;
    support::told(&stage.shop, "9", "opened", |story| count(story, "opened") == 1).await;
    let person = "/v1/persons?email=canary-zacinto@example.it";
    let answers = async |stage: &Stage| {
        let mut said = String::new();
        for path in [
            "/v1/orders/9",
            &format!("/v1/messages/{id}"),
            person,
            "/v1/suppressions",
        ] {
            said += &String::from_utf8_lossy(&stage.shop.get(path).await.unwrap().body);
        }
        said
    };
    let before = answers(&stage).await;
    assert!(
        before.contains(CANARY) && before.contains("\"network\":\"203.0.113.0/24\""),
        "{before}"
    );
    let erased = stage
        .shop
        .send(Method::DELETE, person, &[], bytes::Bytes::new())
        .await
        .unwrap();
    assert_eq!(erased.status, 204);
    let after = answers(&stage).await;
    assert!(!after.to_lowercase().contains("zacinto"), "{after}");
    // The link in the old mail still leads on, and nothing is recorded.
    assert_eq!(
        stage
            .track(Method::GET, &mail.clicks[0], BROWSER, PERSON, "")
            .await
            .status,
        302
    );
    let told = stage.shop.get(person).await.unwrap().json().unwrap();
    assert_eq!(
        told["accepted"].as_array().unwrap().len() + told["mails"].as_array().unwrap().len(),
        0,
        "{told}"
    );
    stage.service.drain().await;
}
