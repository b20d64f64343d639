//! A sync that fails (EIO, injected by strace at the n-th fdatasync): no order is acknowledged by it, the node ends
//! with a failure, and the next start has all that was acknowledged.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "tests state expectations by unwrapping"
)]

mod support;

use edge::demo::sink::Sink;
use support::{Plan, buyers_dns, furnish, post, told};

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_sync_acknowledges_nothing_and_ends_the_node() {
    for nth in [1, 2, 7, 20] {
        let sink = Sink::start().await.unwrap();
        let (dns, _) = buyers_dns().await;
        let folder = tempfile::tempdir().unwrap();
        let mut plan = Plan::new(folder.path(), dns.address, sink.address.port());
        let node = plan.start();
        let key = furnish(&node).await;
        node.stop();

        let under = format!(
            "strace -f -qq -o /dev/null -e trace=fdatasync -e inject=fdatasync:error=EIO:when={}+",
            nth + 3
        );
        plan.under = under.split(' ').map(str::to_owned).collect();
        let mut acknowledged = Vec::new();
        match plan.spawn() {
            Ok(mut node) => {
                let shop = node.shop(&key);
                for number in 0..200 {
                    match post(&shop, &format!("{number}"), "mario@example.it").await {
                        Ok(answer) if answer.status == 202 => acknowledged.push(number),
                        _ => break,
                    }
                }
                assert!(acknowledged.len() < 200, "no sync failed: the injection did not work");
                assert!(!node.wait(), "the node ended as if all were well");
            }
            // The sync failed while the node started: it must not have become ready.
            Err(log) => assert!(!log.is_empty()),
        }

        plan.under.clear();
        let node = plan.start();
        let shop = node.shop(&key);
        for number in acknowledged {
            told(&shop, &number.to_string(), "known", |_| true).await;
        }
    }
}
