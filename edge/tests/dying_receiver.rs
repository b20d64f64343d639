//! Receivers that close the connection, one at each stage. Before the final dot the mail is tried again and arrives
//! once; after it, an offer is in doubt and held.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "tests state expectations by unwrapping"
)]

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use edge::demo::sink::{Manner, Sink};
use smtp::server::Event;
use support::{Plan, accepted, buyers_dns, furnish, in_state, told};

/// Dies once at the stage that `at` picks, then lives.
async fn dies_once(at: fn(&Event) -> bool) -> Sink {
    let died = AtomicBool::new(false);
    Sink::scripted(Arc::new(move |event| {
        if at(event) && !died.swap(true, Ordering::Relaxed) {
            Manner::HangUp
        } else {
            Manner::Accept
        }
    }))
    .await
    .unwrap()
}

async fn arrives_once(stage: &str, at: fn(&Event) -> bool) {
    let mut sink = dies_once(at).await;
    let (dns, _) = buyers_dns().await;
    let folder = tempfile::tempdir().unwrap();
    let node = Plan::new(folder.path(), dns.address, sink.address.port())
        .with("retry_waits = [\"100ms\"]")
        .start();
    let shop = node.shop(&furnish(&node).await);
    accepted(&shop, "1", "mario@example.it").await;
    in_state(&shop, "1", "delivered").await;
    assert!(sink.received.try_recv().is_ok(), "{stage}");
    assert!(sink.received.try_recv().is_err(), "{stage}: delivered twice");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receiver_that_dies_before_the_final_dot_gets_the_mail_later_and_once() {
    tokio::join!(
        arrives_once("at connect", |event| *event == Event::Connected),
        arrives_once("at EHLO", |event| *event == Event::Ehlo),
        arrives_once("at MAIL", |event| matches!(event, Event::Mail(_))),
        arrives_once("at RCPT", |event| matches!(event, Event::Rcpt(_))),
        arrives_once("at DATA", |event| *event == Event::Data),
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_offer_whose_final_dot_was_not_answered_is_held_in_doubt() {
    let mut sink = Sink::scripted(Arc::new(|event| match event {
        Event::Message(..) => Manner::AcceptAndHangUp,
        _ => Manner::Accept,
    }))
    .await
    .unwrap();
    let (dns, _) = buyers_dns().await;
    let folder = tempfile::tempdir().unwrap();
    let node = Plan::new(folder.path(), dns.address, sink.address.port()).start();
    let shop = node.shop(&furnish(&node).await);
    accepted(&shop, "1", "mario@example.it").await;
    let story = in_state(&shop, "1", "in_doubt").await;
    assert_eq!(story["messages"][0]["attempts"], 1);
    assert!(sink.received.try_recv().is_ok());
    assert!(sink.received.try_recv().is_err(), "an offer in doubt was sent again");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mail_in_doubt_is_tried_once_more_and_no_further_also_over_a_kill() {
    let mut sink = Sink::scripted(Arc::new(|event| match event {
        Event::Message(..) => Manner::AcceptAndHangUp,
        _ => Manner::Accept,
    }))
    .await
    .unwrap();
    let (dns, _) = buyers_dns().await;
    let folder = tempfile::tempdir().unwrap();
    let mut plan = Plan::new(folder.path(), dns.address, sink.address.port())
        .with("retry_waits = [\"1s\"]\nin_doubt_wait = \"1s\"\nretry_in_doubt_offers = true");
    let node = plan.start();
    let key = furnish(&node).await;
    accepted(&node.shop(&key), "1", "mario@example.it").await;
    in_state(&node.shop(&key), "1", "in_doubt").await;
    node.kill();

    let node = plan.start();
    let story = told(&node.shop(&key), "1", "held after the second doubt", |story| {
        let last = story["events"].as_array().and_then(|events| events.last());
        last.is_some_and(|last| {
            last["detail"]
                .as_str()
                .is_some_and(|detail| detail.contains("not tried again"))
        })
    })
    .await;
    assert_eq!(story["messages"][0]["state"], "in_doubt");
    assert!(story["messages"][0]["attempts"].as_u64() <= Some(2), "{story}");
    let mut copies = 0;
    while sink.received.try_recv().is_ok() {
        copies += 1;
    }
    assert!(copies <= 2, "{copies} copies: {story}");
}
