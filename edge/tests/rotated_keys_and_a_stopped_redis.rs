//! Links live on: over rotations of the token keys and restarts, and while Redis does not answer.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "tests state expectations by unwrapping"
)]

mod support;

use std::process::Command;
use std::time::{Duration, Instant};

use edge::client::Client;
use edge::demo::sink::Sink;
use edge::demo::world::TRACKING_HOST;
use hyper::Method;
use support::redis::Redis;
use support::stage::Links;
use support::{Node, PATIENCE, Plan, accepted, ask, buyers_dns, furnish, in_state, kinds, told};

fn tracker(node: &Node) -> Client {
    Client::new(node.tracker.to_string(), None).speaking_of(TRACKING_HOST)
}

/// Rotates the token keys of a stopped node.
fn rotate(folder: &std::path::Path, arguments: &[&str]) {
    let done = Command::new(env!("CARGO_BIN_EXE_staffetta"))
        .args(["keygen", "token", "--settings"])
        .arg(folder.join("staffetta.toml"))
        .args(arguments)
        .output()
        .unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
}

#[tokio::test(flavor = "multi_thread")]
async fn old_links_work_over_two_rotations_and_a_distrusted_key_only_leads_on() {
    let mut sink = Sink::start().await.unwrap();
    let (dns, _) = buyers_dns().await;
    let folder = tempfile::tempdir().unwrap();
    let mut plan = Plan::new(folder.path(), dns.address, sink.address.port())
        .with(&format!("[submit]\ntracking_host = \"{TRACKING_HOST}\""));
    let mut node = plan.start();
    let key = furnish(&node).await;
    let mut links = Vec::new();
    for order in ["1", "2", "3"] {
        let shop = node.shop(&key);
        accepted(&shop, order, &format!("buyer{order}@example.it")).await;
        in_state(&shop, order, "delivered").await;
        links.push(Links::of(sink.received.recv().await.unwrap()));
        for link in &links {
            assert_eq!(
                ask(&tracker(&node), Method::GET, &link.clicks[0]).await.status,
                302,
                "after order {order}"
            );
        }
        assert!(node.stop().success);
        rotate(folder.path(), &[]);
        node = plan.start();
    }
    let first = |links: &Links| links.clicks[0].get(3..7).unwrap().to_owned();
    assert_ne!(first(&links[0]), first(&links[1]), "the keys' ids are in the links");
    assert!(node.stop().success);

    rotate(folder.path(), &["--distrust", "1"]);
    let node = plan.start();
    let shop = node.shop(&key);
    let before = told(&shop, "1", "told", |_| true).await;
    for link in &links {
        assert_eq!(ask(&tracker(&node), Method::GET, &link.clicks[1]).await.status, 302);
    }
    // Those of the other keys are recorded as before; that of the distrusted one as evidence of a machine.
    told(&shop, "3", "clicked again", |story| {
        kinds(story).iter().filter(|kind| *kind == "clicked").count() == 2
    })
    .await;
    let after = told(&shop, "1", "told", |story| kinds(story).len() > kinds(&before).len()).await;
    assert!(kinds(&after).iter().all(|kind| !kind.starts_with("lead.")));
    assert!(node.stop().success);
}

#[tokio::test(flavor = "multi_thread")]
async fn redirects_do_not_notice_that_redis_is_stopped() {
    let redis = Redis::start();
    let mut sink = Sink::start().await.unwrap();
    let (dns, _) = buyers_dns().await;
    let folder = tempfile::tempdir().unwrap();
    let node = Plan::new(folder.path(), dns.address, sink.address.port())
        .with(&format!(
            "[submit]\ntracking_host = \"{TRACKING_HOST}\"\n[redis]\nurl = \"{}\"",
            redis.url()
        ))
        .start();
    let shop = node.shop(&furnish(&node).await);
    accepted(&shop, "1", "mario@example.it").await;
    in_state(&shop, "1", "delivered").await;
    let link = Links::of(sink.received.recv().await.unwrap());
    let end = Instant::now() + PATIENCE;
    while redis.events("message.delivered") < 1 {
        assert!(Instant::now() < end, "nothing comes to Redis");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    redis.signal("STOP");
    let tracker = tracker(&node);
    let mut slowest = Duration::ZERO;
    for _ in 0..300 {
        let asked = Instant::now();
        assert_eq!(ask(&tracker, Method::GET, &link.clicks[0]).await.status, 302);
        slowest = slowest.max(asked.elapsed());
    }
    // A projector that somebody waited for would cost its timeout of five seconds.
    assert!(slowest < Duration::from_secs(2), "{slowest:?}");
    let clicked = |story: &serde_json::Value| kinds(story).iter().filter(|kind| *kind == "clicked").count() == 300;
    told(&shop, "1", "clicked 300 times, with Redis stopped", clicked).await;
    redis.signal("CONT");
    let end = Instant::now() + PATIENCE;
    while redis.events("clicked") != 300 || redis.sum("*:shop:scarpe-roma:*", "clicks_raw") != 300 {
        assert!(Instant::now() < end, "Redis has {} clicks", redis.events("clicked"));
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert!(node.stop().success);
}
