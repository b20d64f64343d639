//! Free space below the floor: new work is refused with 507, what was accepted goes on being delivered, and work is
//! accepted again when space returns, without a restart.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "tests state expectations by unwrapping"
)]

mod support;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use edge::demo::sink::{Manner, Sink};
use smtp::server::Event;
use support::{PATIENCE, Plan, accepted, buyers_dns, furnish, in_state, post};

/// Room that others who use the same file system may take or free meanwhile.
const MARGIN: u64 = 192 << 20;

#[tokio::test(flavor = "multi_thread")]
async fn below_the_floor_orders_are_refused_and_delivery_goes_on() {
    let open = Arc::new(AtomicBool::new(false));
    let gate = Arc::clone(&open);
    let sink = Sink::scripted(Arc::new(move |event| match event {
        Event::Rcpt(_) if !gate.load(Ordering::Relaxed) => {
            Manner::Say(451, "4.7.1 Greylisted, please try again in 1 seconds")
        }
        _ => Manner::Accept,
    }))
    .await
    .unwrap();
    let (dns, _) = buyers_dns().await;
    let memory = tempfile::Builder::new()
        .prefix("staffetta-")
        .tempdir_in(room())
        .unwrap();
    let floor = free_bytes(memory.path()).saturating_sub(2 * MARGIN);
    let node = Plan::new(memory.path(), dns.address, sink.address.port())
        .with(&format!(
            "retry_waits = [\"200ms\"]\ngreylist_wait = \"200ms\"\n[store]\ndisk_floor = \"{floor}B\""
        ))
        .start();
    let shop = node.shop(&furnish(&node).await);
    accepted(&shop, "before", "mario@example.it").await;
    in_state(&shop, "before", "deferred").await;

    let ballast = memory.path().join("ballast");
    let filled = Command::new("fallocate")
        .args(["-l", &(3 * MARGIN).to_string()])
        .arg(&ballast)
        .status()
        .unwrap();
    assert!(filled.success());
    let refused = refusal(&shop).await;
    assert_eq!(refused.status, 507);
    assert!(refused.headers.contains_key("retry-after"));
    let readiness = node.admin().get("/readyz").await.unwrap();
    assert!(
        readiness.status.is_success(),
        "a full disk is no reason to be restarted"
    );

    open.store(true, Ordering::Relaxed);
    in_state(&shop, "before", "delivered").await;

    std::fs::remove_file(&ballast).unwrap();
    let end = Instant::now() + PATIENCE;
    let mut number = 0;
    while post(&shop, &format!("after-{number}"), "anna@example.it")
        .await
        .unwrap()
        .status
        != 202
    {
        assert!(Instant::now() < end, "no order was accepted after space returned");
        number += 1;
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    in_state(&shop, &format!("after-{number}"), "delivered").await;
}

/// Posts until the node has noticed that space is low.
async fn refusal(shop: &edge::client::Client) -> edge::client::Answer {
    let end = Instant::now() + PATIENCE;
    for number in 0.. {
        let answer = post(shop, &format!("full-{number}"), &format!("f{number}@example.it"))
            .await
            .unwrap();
        if answer.status != 202 {
            return answer;
        }
        assert!(Instant::now() < end, "orders are accepted on a full disk");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    unreachable!("the loop returns or fails")
}

/// Returns memory, which no other process fills; containers often have too little of it, so else the disk.
fn room() -> PathBuf {
    let memory = PathBuf::from("/dev/shm");
    if memory.exists() && free_bytes(&memory) > 4 * MARGIN {
        memory
    } else {
        std::env::temp_dir()
    }
}

fn free_bytes(folder: &Path) -> u64 {
    let told = Command::new("df")
        .args(["--output=avail", "-B1"])
        .arg(folder)
        .output()
        .unwrap();
    String::from_utf8(told.stdout)
        .unwrap()
        .lines()
        .nth(1)
        .unwrap()
        .trim()
        .parse()
        .unwrap()
}
