//! Power cuts: whatever a crash leaves on the disk, nothing that was acknowledged is lost.
//!
//! A child process runs a workload on a store under strace. The trace is a log of what was asked of the disk: writes, syncs,
//! renames, fjall's files included, and the acknowledgements between them. From it we build the disks that a power cut at
//! a random moment may leave: what was synced is there; of what was not, any subset, torn at sectors. Each such disk is
//! opened with the store. The same with a child that does not sync must lose something, or the test proves nothing.

#![allow(
    unreachable_pub,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "tests state expectations"
)]

#[path = "../common/mod.rs"]
mod common;
mod image;
mod trace;
mod workload;

use std::env;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{SystemTime, UNIX_EPOCH};

use common::scratch;
use image::{History, Random};

const CALLS: &str = "trace=openat,write,pwrite64,writev,pwritev,fsync,fdatasync,rename,renameat,renameat2,ftruncate,\
                     fallocate,unlink,unlinkat,mkdir,mkdirat,rmdir,close,lseek";

fn number_from_env(name: &str, default: u64) -> u64 {
    env::var(name).map_or(default, |text| text.parse().unwrap())
}

/// In what the child begins.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Start {
    Nothing,
    /// What the version before this one left, whose state has fewer keyspaces.
    Older,
}

/// Runs the workload under strace and returns what it asked of the disk.
fn record(seed: u64, start: Start, syncs: bool) -> History {
    let dir = scratch();
    let trace = dir.path().join("trace");
    let status = Command::new("strace")
        .args([
            "-f",
            "-y",
            "-xx",
            "-s",
            "1000000",
            "-e",
            CALLS,
            "-e",
            "signal=none",
            "-o",
        ])
        .arg(&trace)
        .arg(env::current_exe().unwrap())
        .args(["--exact", "workload::child", "--ignored", "--nocapture"])
        .env("POWER_CUT_DIR", dir.path())
        .env("POWER_CUT_SEED", seed.to_string())
        .env("POWER_CUT_SYNC", u8::from(syncs).to_string())
        .env("POWER_CUT_OLDER", u8::from(start == Start::Older).to_string())
        .stdout(Stdio::null())
        .status()
        .expect("strace is installed");
    assert!(status.success(), "the workload failed (seed {seed})");
    History::new(&trace::read(&trace), &dir.path().join("data"), &dir.path().join("acks"))
}

/// Opens `images` disks, each cut at a random moment, and returns what was lost in each that lost something.
fn cut(history: &History, start: Start, images: u64, seed: u64) -> Vec<String> {
    let next = AtomicU64::new(0);
    let run = || {
        let mut losses = Vec::new();
        loop {
            let n = next.fetch_add(1, Ordering::Relaxed);
            if n >= images {
                return losses;
            }
            let mut random = Random::new(seed ^ (n + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
            let moment = random.below(history.moments());
            let dir = scratch();
            let data: PathBuf = dir.path().join("data");
            history.build(moment, &mut random, &data);
            if let Err(loss) = workload::check(&data, &history.acknowledged(moment), start == Start::Older) {
                if env::var_os("POWER_CUT_KEEP").is_some() {
                    println!("kept: {}", dir.keep().display());
                }
                losses.push(format!("image {n}, cut at {moment} of {}: {loss}", history.moments()));
            }
        }
    };
    thread::scope(|scope| {
        let runs: Vec<_> = (0..2).map(|_| scope.spawn(run)).collect();
        runs.into_iter().flat_map(|run| run.join().unwrap()).collect()
    })
}

#[expect(clippy::disallowed_methods, reason = "a new seed for each run, printed")]
fn seed() -> u64 {
    let clock = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    number_from_env("POWER_CUT_SEED", clock.as_millis() as u64)
}

fn nothing_is_lost(start: Start) {
    let seed = seed();
    let images = number_from_env("POWER_CUT_IMAGES", 1000);
    println!("POWER_CUT_SEED={seed} POWER_CUT_IMAGES={images}");
    let history = record(seed, start, true);
    println!("{}", history.summary());
    let losses = cut(&history, start, images, seed);
    assert!(
        losses.is_empty(),
        "{} of {images} images, seed {seed}:\n{}",
        losses.len(),
        losses.join("\n")
    );
}

#[test]
fn nothing_acknowledged_is_lost() {
    nothing_is_lost(Start::Nothing);
}

#[test]
fn nothing_acknowledged_is_lost_when_a_new_version_brings_keyspaces() {
    nothing_is_lost(Start::Older);
}

#[test]
fn without_syncs_something_is_lost() {
    let seed = seed();
    println!("POWER_CUT_SEED={seed}");
    let history = record(seed, Start::Nothing, false);
    let losses = cut(&history, Start::Nothing, 60, seed);
    assert!(
        !losses.is_empty(),
        "no image lost anything without a single sync: the test proves nothing (seed {seed})"
    );
}
