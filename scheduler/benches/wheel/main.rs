//! What a timer costs to arm, to cancel, to fire and to hold: the wheel beside its peers, in one run.
//!
//! `cargo bench -p scheduler --bench wheel` (10 M timers, 5 rounds, some minutes; `-- --timers 1000000 --rounds 3` for less).
//!
//! Timers are due uniformly over one hour in ticks of 1 ms and carry 8 bytes. Each figure comes from a process of its own, so
//! that memory is what the process grew by while the timers were armed, allocator and slack included, and nobody runs in a heap that
//! another one left behind. Rounds are interleaved; the table shows medians. A tenth of the timers is cancelled, in random
//! order, where the peer can cancel by handle at all; then everything fires, each wheel being turned millisecond by millisecond.
//!
//! Ratios stand beside the best peer, and beside the best of those that can cancel: whether a timer was cancelled is asked in
//! memory that nobody has touched since it was armed, and that is what most of the time to fire goes into.

#![allow(clippy::disallowed_methods, reason = "what is measured here takes real time")]
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a bench is no library"
)]
#![allow(unreachable_pub, reason = "the modules of a program")]
#![allow(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    reason = "figures are shown with three digits, and ticks and counts of a bench fit 32 bits"
)]

mod figures;
mod peers;
mod redis;
mod table;

use std::process::Command;

use figures::{Figures, measure};
use peers::{Bare, CancellableQuad, Delays, Heap, Ours, Quad};
use table::{Row, print};

/// Ticks over which timers are due: an hour.
const SPAN: u32 = 3_600_000;

/// Redis gets a tenth of the timers: they cost it ten times the memory, and no figure of it depends on their number much.
const REDIS_SHARE: usize = 10;

const PEERS: [&str; 7] = [
    "wheel, 8-byte values",
    "wheel, the owner's table",
    "hierarchical_hash_wheel_timer",
    "the same, cancellable",
    "tokio-util DelayQueue",
    "std BinaryHeap",
    "Redis sorted set",
];

fn main() {
    let arguments: Vec<_> = std::env::args().collect();
    let number = |name: &str, otherwise: usize| {
        let value = arguments.iter().skip_while(|argument| *argument != name).nth(1);
        value.map_or(otherwise, |value| value.parse().expect("a number"))
    };
    let timers = number("--timers", 10_000_000);
    if let Some(peer) = arguments.iter().skip_while(|argument| *argument != "--peer").nth(1) {
        match run(peer, timers) {
            Some(figures) => println!("{figures}"),
            None => println!("absent"),
        }
        return;
    }

    // `cargo test` runs this too, to see that it runs.
    let measures = arguments.iter().any(|argument| argument == "--bench");
    let (timers, rounds) = if measures {
        (timers, number("--rounds", 5))
    } else {
        (10_000, 1)
    };
    let only = arguments.iter().skip_while(|argument| *argument != "--only").nth(1);
    let mut rows: Vec<_> = PEERS
        .iter()
        .filter(|peer| only.is_none_or(|only| peer.contains(only.as_str())))
        .map(|peer| Row::new(peer))
        .collect();
    for round in 1..=rounds {
        for row in &mut rows {
            eprintln!("round {round} of {rounds}: {}", row.peer);
            row.add(spawn(row.peer, timers));
        }
    }
    print(&rows, timers);
}

/// Measures one peer in a process of its own; `None` if it is not on this machine.
fn spawn(peer: &str, timers: usize) -> Option<Figures> {
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--peer", peer, "--timers", &timers.to_string()])
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success(),
        "{peer}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    text.trim().parse().ok()
}

fn run(peer: &str, timers: usize) -> Option<Figures> {
    Some(match PEERS.iter().position(|name| *name == peer).expect("a peer") {
        0 => measure(&mut Ours::default(), timers),
        1 => measure(&mut Bare::default(), timers),
        2 => measure(&mut Quad::default(), timers),
        3 => measure(&mut CancellableQuad::default(), timers),
        4 => measure(&mut Delays::default(), timers),
        5 => measure(&mut Heap::default(), timers),
        _ => redis::measure(timers / REDIS_SHARE)?,
    })
}
