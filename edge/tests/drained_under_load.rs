//! SIGTERM under load: whoever was told 202 gets the mail, whoever was not may post again; the node ends well and soon.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "tests state expectations by unwrapping"
)]

mod support;

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use edge::demo::sink::{Manner, Sink};
use smtp::server::Event;
use support::{PATIENCE, Plan, accepted, buyers_dns, furnish, in_state, post};
use tokio::task::JoinSet;

#[tokio::test(flavor = "multi_thread")]
async fn a_drain_loses_nothing_and_ends_by_itself() {
    let sink = Sink::start().await.unwrap();
    let (dns, _) = buyers_dns().await;
    let folder = tempfile::tempdir().unwrap();
    let mut plan = Plan::new(folder.path(), dns.address, sink.address.port());
    let node = plan.start();
    let key = furnish(&node).await;
    let acknowledged = Arc::new(Mutex::new(Vec::new()));
    let mut clients = JoinSet::new();
    for client in 0..8 {
        let (shop, acknowledged) = (node.shop(&key), Arc::clone(&acknowledged));
        clients.spawn(async move {
            for number in 0.. {
                let order = format!("{client}-{number}");
                match post(&shop, &order, &format!("b{order}@example.it")).await {
                    Ok(answer) if answer.status == 202 => acknowledged.lock().unwrap().push(order),
                    _ => return,
                }
            }
        });
    }
    while acknowledged.lock().unwrap().len() < 50 {
        tokio::task::yield_now().await;
    }
    assert!(node.stop().success);
    clients.join_all().await;

    let node = plan.start();
    let shop = node.shop(&key);
    let acknowledged = acknowledged.lock().unwrap().clone();
    for order in &acknowledged {
        in_state(&shop, order, "delivered").await;
    }
    drop(node);
    let mut sink = sink;
    let mut mails = 0;
    while sink.received.try_recv().is_ok() {
        mails += 1;
    }
    assert!(
        mails >= acknowledged.len(),
        "{mails} mails for {} orders",
        acknowledged.len()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_watches_sees_the_drain() {
    let slow = |event: &Event| match event {
        Event::Data => Manner::Slowly(Duration::from_secs(3)),
        _ => Manner::Accept,
    };
    let mut sink = Sink::scripted(Arc::new(slow)).await.unwrap();
    let (dns, _) = buyers_dns().await;
    let folder = tempfile::tempdir().unwrap();
    let mut node = Plan::new(folder.path(), dns.address, sink.address.port()).start();
    let shop = node.shop(&furnish(&node).await);
    accepted(&shop, "1", "mario@example.it").await;
    let end = Instant::now() + PATIENCE;
    while node.metric("mta_in_flight_messages").await < 1.0 {
        assert!(Instant::now() < end, "no session took the mail");
    }

    node.terminate();
    while node.admin().get("/readyz").await.unwrap().status != 503 {
        assert!(Instant::now() < end, "the node is still ready");
    }
    assert!(node.metric("mta_in_flight_messages").await >= 1.0);
    assert!(node.wait(), "the transaction under way ends, and the drain with it");
    assert!(sink.received.recv().await.is_some());
}
