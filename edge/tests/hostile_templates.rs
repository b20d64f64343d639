//! Templates that would use up a thread's stack: refused when they are put; and where one was kept by a version that took
//! it, the node starts, its mail fails and says why, and the others go on.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "tests state expectations by unwrapping"
)]

mod support;

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use edge::client::Client;
use edge::clock::SystemClock;
use edge::demo::sink::Sink;
use edge::demo::world;
use hyper::Method;
use prometheus::Registry;
use serde_json::{Value, json};
use store::{Batch, Store};
use support::{PATIENCE, Plan, accepted, buyers_dns, furnish, in_state, kinds};
use types::event::{CatalogueChanged, Event, MessageAccepted};
use types::id::{EventId, PartitionId, PublicId};
use types::text::Slug;
use types::time::Clock;

fn template(html: &str) -> Value {
    json!({ "kind": "message", "sources": { "it": { "subject": "s", "html": html, "text": "t" } } })
}

fn minus(times: usize) -> String {
    format!("{{{{ {}1 }}}}", "-".repeat(times))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_template_that_would_use_up_the_stack_is_refused_with_its_place_and_the_node_lives() {
    let (dns, _) = buyers_dns().await;
    let mut sink = Sink::start().await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let node = Plan::new(folder.path(), dns.address, sink.address.port()).start();
    let shop = node.shop(&furnish(&node).await);

    for html in [
        minus(120_000),
        minus(8_000),
        minus(4_800),
        format!("{{{{ vars{} }}}}", ".x".repeat(50_000)),
        format!("{{{{ {}true }}}}", "true and ".repeat(12_000)),
        format!("{{% if true %}}x{}{{% endif %}}", "{% elif true %}y".repeat(7_000)),
        format!("{{{{ vars.x{} }}}}", "|upper".repeat(20_000)),
        format!("{{{{ {}1 }}}}", "1 if true else ".repeat(8_000)),
        format!("{{{{ 1{} }}}}", " is defined".repeat(10_000)),
        format!("{{% set a = offers %}}{}", "{% set a = a[:] %}".repeat(6_000)),
    ] {
        let answer = shop
            .json(Method::PUT, "/v1/templates/x", &template(&format!("<p>\n{html}")))
            .await
            .unwrap();
        let told = String::from_utf8_lossy(&answer.body).into_owned();
        assert_eq!(answer.status, 422, "{told}");
        let fault = &answer.json().unwrap()["errors"][0];
        assert_eq!(fault["field"], "/sources/it/html", "{told}");
        let fault = fault["fault"].as_str().unwrap();
        assert!(
            fault.starts_with("line 2 column ") && fault.contains("more than "),
            "{fault}"
        );
    }
    accepted(&shop, "1", "mario@example.it").await;
    in_state(&shop, "1", "delivered").await;
    assert!(sink.received.try_recv().is_ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_starts_on_a_hostile_template_that_it_has_and_the_mail_says_why_it_failed() {
    let (dns, _) = buyers_dns().await;
    let mut sink = Sink::start().await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let mut plan = Plan::new(folder.path(), dns.address, sink.address.port());
    let node = plan.start();
    let key = furnish(&node).await;
    assert!(node.stop().success);

    let (poisoned, sound) = keep(&folder.path().join("data")).await;

    // Again and again: nothing is left that harms the next start.
    for _ in 0..2 {
        let node = plan.start();
        let shop = node.shop(&key);
        let story = message_in_state(&shop, poisoned, "failed").await;
        assert_eq!(
            kinds(&story),
            ["message.accepted", "message.decided", "message.failed"],
            "{story}"
        );
        let cause = story["events"][2]["detail"].as_str().unwrap();
        assert!(
            cause.contains("html line 1 column ") && cause.contains("more than "),
            "{cause}"
        );
        message_in_state(&shop, sound, "delivered").await;

        let message =
            json!({ "to": { "email": "anna@example.it" }, "body": { "template": { "id": "x", "vars": {} } } });
        let answer = shop.json(Method::POST, "/v1/messages", &message).await.unwrap();
        let told = String::from_utf8_lossy(&answer.body).into_owned();
        assert!(
            answer.status == 422 && told.contains("cannot be used: html line 1"),
            "{told}"
        );
        assert!(node.stop().success);
    }
    assert!(sink.received.try_recv().is_ok());
    assert!(sink.received.try_recv().is_err(), "delivered twice");
}

/// Writes into the journal what a version without bounds took: a template, and a message with it beside one without.
async fn keep(data: &Path) -> (PublicId, PublicId) {
    let settings = store::Settings {
        data_dir: data.to_owned(),
        segment_bytes: 4 << 20,
        disk_floor_bytes: 16 << 20,
        ..store::Settings::default()
    };
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let (store, replay) = store::open(settings, clock, &Registry::new()).unwrap();
    assert_eq!(replay.map(Result::unwrap).count(), 0, "the node before had folded all");
    let id = Slug::try_from(world::SHOP).unwrap();
    let shop = store.catalogue().load().shop(&id).unwrap().number;
    let put = CatalogueChanged::TemplatePut {
        shop,
        id: Slug::try_from("x").unwrap(),
        spec: serde_json::from_value(template(&minus(60_000))).unwrap(),
    };
    append(&store, PartitionId::CATALOGUE, Event::CatalogueChanged(Box::new(put))).await;
    let mut ids = Vec::new();
    for body in [
        json!({ "template": { "id": "x", "vars": {} } }),
        json!({ "content": { "subject": "Ciao", "text": "Ciao" } }),
    ] {
        let request = json!({ "to": { "email": "mario@example.it" }, "body": body });
        let request: types::order::MessageRequest = serde_json::from_value(request).unwrap();
        let person = store.secrets().person_keyer().key(&request.to.email);
        let accepted = MessageAccepted {
            shop,
            person,
            request,
            claims: Vec::new(),
            origin: None,
        };
        let partition = person.partition();
        let event = append(&store, partition, Event::MessageAccepted(Box::new(accepted))).await;
        ids.push(PublicId { partition, event });
    }
    store.close().await;
    (ids[0], ids[1])
}

/// Appends an event, and waits until it is durable.
async fn append(store: &Store, partition: PartitionId, event: Event) -> EventId {
    let (durable, is_durable) = tokio::sync::oneshot::channel();
    let id = store.journal().mint();
    let mut batch = Batch::new();
    batch.push(id, partition, SystemClock.now(), &event);
    batch.on_durable(move |result| durable.send(result.is_ok()).unwrap());
    store.journal().append(batch).unwrap();
    assert!(is_durable.await.unwrap());
    id
}

async fn message_in_state(shop: &Client, id: PublicId, state: &str) -> Value {
    let end = Instant::now() + PATIENCE;
    loop {
        let answer = shop.get(&format!("/v1/messages/{id}")).await.unwrap();
        let story = answer.json().unwrap_or_default();
        if story["messages"][0]["state"] == state {
            return story;
        }
        assert!(Instant::now() < end, "never {state}: {story}");
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
}
