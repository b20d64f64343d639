//! The demo is a promise: one command, no settings, and an order becomes a mail.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "tests state expectations by unwrapping"
)]

use std::process::Command;

#[test]
fn the_demo_relays_an_order_and_explains_it() {
    let ended = Command::new(env!("CARGO_BIN_EXE_staffetta"))
        .args(["demo", "--once"])
        .output()
        .unwrap();
    let printed = String::from_utf8_lossy(&ended.stdout);
    assert!(
        ended.status.success(),
        "{printed}\n{}",
        String::from_utf8_lossy(&ended.stderr)
    );
    for expected in [
        "POST /v1/orders: 202",
        "DKIM rsa-sha256",
        "DKIM ed25519-sha256",
        "List-Unsubscribe-Post: List-Unsubscribe=One-Click",
        "mail.eml",
    ] {
        assert!(printed.contains(expected), "{expected} is missing:\n{printed}");
    }
}
