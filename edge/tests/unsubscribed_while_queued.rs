//! The mail client's one-click POST (RFC 8058): it takes the person's queued offers out of the queue and refuses later
//! ones; a GET of the same link changes nothing.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "tests state expectations by unwrapping"
)]

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use edge::client::Client;
use edge::clock::SystemClock;
use edge::demo::mail;
use edge::demo::sink::{Manner, Sink};
use edge::demo::world::{self, TRACKING_HOST};
use hyper::Method;
use smtp::server::Event;
use support::{Plan, accepted, ask, buyers_dns, furnish, in_state, told};
use types::time::Clock;

#[tokio::test(flavor = "multi_thread")]
async fn one_click_withdraws_what_is_queued_and_refuses_what_comes() {
    let closed = Arc::new(AtomicBool::new(false));
    let gate = Arc::clone(&closed);
    let mut sink = Sink::scripted(Arc::new(move |event| match event {
        Event::Rcpt(_) if gate.load(Ordering::Relaxed) => {
            Manner::Say(451, "4.7.1 Greylisted, please try again in 60 seconds")
        }
        _ => Manner::Accept,
    }))
    .await
    .unwrap();
    let (dns, _) = buyers_dns().await;
    let folder = tempfile::tempdir().unwrap();
    let node = Plan::new(folder.path(), dns.address, sink.address.port())
        .with(&format!("[submit]\ntracking_host = \"{TRACKING_HOST}\""))
        .start();
    let shop = node.shop(&furnish(&node).await);

    accepted(&shop, "1", "mario@example.it").await;
    in_state(&shop, "1", "delivered").await;
    let received = sink.received.recv().await.unwrap();
    let path = unsubscribe_path(&mail::headers(&received.bytes));
    closed.store(true, Ordering::Relaxed);
    accepted(&shop, "2", "mario@example.it").await;
    in_state(&shop, "2", "deferred").await;

    let tracker = Client::new(node.tracker.to_string(), None).speaking_of(TRACKING_HOST);
    assert_eq!(ask(&tracker, Method::GET, &path).await.status, 200);
    assert_eq!(ask(&tracker, Method::HEAD, &path).await.status, 200);
    let story = told(&shop, "2", "told", |_| true).await;
    assert_eq!(story["messages"][0]["state"], "deferred", "a GET unsubscribes nobody");

    let form = [("content-type", "application/x-www-form-urlencoded")];
    let answer = tracker
        .send(
            Method::POST,
            &path,
            &form,
            Bytes::from_static(b"List-Unsubscribe=One-Click"),
        )
        .await
        .unwrap();
    assert_eq!(answer.status, 200);
    in_state(&shop, "2", "withdrawn").await;
    // The shop's plug-in says `true` with every order; that does not outweigh what the person did.
    let mut order = world::order("3", "mario@example.it", SystemClock.now());
    order["consent"]["marketing"] = true.into();
    assert_eq!(shop.json(Method::POST, "/v1/orders", &order).await.unwrap().status, 202);
    let story = told(&shop, "3", "decided", |story| story["decision"].is_object()).await;
    assert_eq!(story["decision"]["verdict"], "refuse");
    let reasons = story["decision"]["reasons"].to_string();
    assert!(
        reasons.contains("suppressed_by_shop") || reasons.contains("consent_withdrawn"),
        "{reasons}"
    );
}

/// Returns the path of the `List-Unsubscribe` link, whose field may be folded.
fn unsubscribe_path(headers: &[String]) -> String {
    let unfolded = headers.join("");
    let (_, rest) = unfolded.split_once("List-Unsubscribe:").unwrap();
    let (link, _) = rest.trim_start().trim_start_matches('<').split_once('>').unwrap();
    link.strip_prefix(&format!("https://{TRACKING_HOST}"))
        .unwrap()
        .to_owned()
}
