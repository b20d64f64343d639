//! Slow DNS, no such domain, a server that fails: what defers, what fails, and what does not hold up the others.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "tests state expectations by unwrapping"
)]

mod support;

use std::time::Duration;

use edge::demo::dns::Answer;
use edge::demo::sink::Sink;
use support::{Plan, accepted, buyers_dns, furnish, in_state};

#[tokio::test(flavor = "multi_thread")]
async fn each_answer_of_dns_has_its_consequence() {
    let sink = Sink::start().await.unwrap();
    let (dns, zone) = buyers_dns().await;
    zone.add(
        "slow.example",
        Answer::Slow(
            Duration::from_millis(700),
            Box::new(Answer::Mx(vec![(10, "mx.example.it".to_owned())])),
        ),
    );
    zone.add("nomail.example", Answer::Mx(vec![(0, ".".to_owned())]));
    zone.add("fails.example", Answer::ServFail);
    zone.add("inside.example", Answer::Mx(vec![(10, "mx.inside.example".to_owned())]));
    let folder = tempfile::tempdir().unwrap();
    let node = Plan::new(folder.path(), dns.address, sink.address.port()).start();
    let shop = node.shop(&furnish(&node).await);

    accepted(&shop, "slow", "a@slow.example").await;
    accepted(&shop, "gone", "a@gone.example").await;
    accepted(&shop, "nomail", "a@nomail.example").await;
    accepted(&shop, "fails", "a@fails.example").await;
    accepted(&shop, "quick", "a@example.it").await;

    // The quick one does not wait for the slow one.
    in_state(&shop, "quick", "delivered").await;
    in_state(&shop, "slow", "delivered").await;
    let refused = in_state(&shop, "nomail", "failed").await;
    assert!(
        refused.to_string().contains("null MX") || refused.to_string().contains("accepts no mail"),
        "{refused:#}"
    );
    // One NXDOMAIN is not the end: it must be seen twice, a quarter of an hour apart.
    in_state(&shop, "gone", "deferred").await;
    in_state(&shop, "fails", "deferred").await;
}
