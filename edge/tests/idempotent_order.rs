//! One order, however often it is sent, is one mail; and a restart does not forget it.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "tests state expectations by unwrapping"
)]

mod support;

use edge::clock::SystemClock;
use edge::demo::sink::Sink;
use edge::demo::world;
use hyper::Method;
use support::{Plan, accepted, buyers_dns, furnish, in_state, post};
use tokio::task::JoinSet;
use types::time::Clock;

#[tokio::test(flavor = "multi_thread")]
async fn five_copies_at_once_and_one_after_a_restart_mail_once() {
    let mut sink = Sink::start().await.unwrap();
    let (dns, _) = buyers_dns().await;
    let folder = tempfile::tempdir().unwrap();
    let mut plan = Plan::new(folder.path(), dns.address, sink.address.port());
    let node = plan.start();
    let key = furnish(&node).await;
    let shop = node.shop(&key);

    let order = world::order("7", "mario@example.it", SystemClock.now());
    let mut copies = JoinSet::new();
    for _ in 0..5 {
        let (shop, order) = (shop.clone(), order.clone());
        copies.spawn(async move {
            shop.json(Method::POST, "/v1/orders", &order)
                .await
                .unwrap()
                .success()
                .unwrap()
        });
    }
    let answers = copies.join_all().await;
    assert!(answers.iter().all(|answer| answer == &answers[0]), "{answers:?}");
    in_state(&shop, "7", "delivered").await;
    node.stop();

    let node = plan.start();
    let shop = node.shop(&key);
    let replayed = shop.json(Method::POST, "/v1/orders", &order).await.unwrap();
    assert_eq!(replayed.success().unwrap(), answers[0]);
    let other = post(&shop, "7", "anna@example.it").await.unwrap();
    assert_eq!(other.status, 409, "another body under the same order id");
    accepted(&shop, "8", "anna@example.it").await;
    in_state(&shop, "8", "delivered").await;

    assert!(sink.received.try_recv().is_ok());
    assert_eq!(sink.received.try_recv().unwrap().envelope.to, ["anna@example.it"]);
    assert!(sink.received.try_recv().is_err(), "a mail too many");
}
