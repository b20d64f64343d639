//! A receiver that greylists: 451 to the first RCPT of each buyer, 250 to the second.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "tests state expectations by unwrapping"
)]

mod support;

use std::collections::HashSet;
use std::sync::{Arc, Mutex};

use edge::demo::sink::{Manner, Sink};
use smtp::server::Event;
use support::{Plan, accepted, buyers_dns, furnish, in_state, kinds};

#[tokio::test(flavor = "multi_thread")]
async fn a_greylisted_mail_is_deferred_and_then_delivered_once() {
    let seen = Mutex::new(HashSet::new());
    let mut sink = Sink::scripted(Arc::new(move |event| match event {
        Event::Rcpt(buyer) if seen.lock().unwrap().insert(buyer.clone()) => {
            Manner::Say(451, "4.7.1 Greylisted, please try again in 1 seconds")
        }
        _ => Manner::Accept,
    }))
    .await
    .unwrap();
    let (dns, _) = buyers_dns().await;
    let folder = tempfile::tempdir().unwrap();
    let node = Plan::new(folder.path(), dns.address, sink.address.port())
        .with("retry_waits = [\"1s\"]\ngreylist_wait = \"1s\"")
        .start();
    let shop = node.shop(&furnish(&node).await);

    accepted(&shop, "1", "mario@example.it").await;
    let story = in_state(&shop, "1", "delivered").await;

    assert_eq!(
        kinds(&story),
        [
            "order.accepted",
            "message.decided",
            "message.deferred",
            "message.delivered"
        ]
    );
    assert_eq!(story["messages"][0]["attempts"], 2);
    let deferral = &story["events"][2]["detail"];
    assert!(deferral.as_str().unwrap().contains("Greylisted"), "{deferral}");
    assert!(sink.received.try_recv().is_ok());
    assert!(sink.received.try_recv().is_err(), "delivered twice");
}
