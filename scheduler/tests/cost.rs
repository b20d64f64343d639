//! What a click costs the runner and the state writer, in CPU time. Run by hand, optimised:
//! `cargo test --release -p scheduler --test cost -- --ignored --nocapture`.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests state expectations")]
#![cfg(target_os = "linux")]

mod fixture;

use std::collections::BTreeMap;
use std::time::Duration;

use fixture::{PUBLISHER, furnished};
use types::event::Event;
use types::tally::Measure;

const MAILS: u32 = 2_000;

/// Returns the CPU seconds of this process's threads, summed up by their names without numbers.
fn cpu() -> BTreeMap<String, f64> {
    let mut seconds = BTreeMap::new();
    for task in std::fs::read_dir("/proc/self/task").unwrap() {
        let read = |file| std::fs::read_to_string(task.as_ref().unwrap().path().join(file)).unwrap_or_default();
        let (name, schedule) = (read("comm"), read("schedstat"));
        // The first field is the time on a processor, in nanoseconds.
        let Some(on_cpu) = schedule.split(' ').next().and_then(|nanos| nanos.parse::<f64>().ok()) else {
            continue;
        };
        let name = name
            .trim_end()
            .trim_end_matches(|c: char| c.is_ascii_digit() || c == '-');
        *seconds.entry(name.to_owned()).or_insert(0.0) += on_cpu / 1e9;
    }
    seconds
}

fn print(step: &str, name: &str, seconds: f64) {
    if seconds > 1e-8 {
        println!("{step}: {name}: {:.2} µs each", seconds * 1e6);
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "a measurement, not a test"]
async fn a_click() {
    let folder = tempfile::tempdir().unwrap();
    let node = furnished(folder.path()).await;
    let mut mails = Vec::new();
    for number in 0..MAILS {
        mails.push(node.mailed(&format!("person{number}@example.it")).await);
    }
    node.clock.advance(Duration::from_hours(1));
    let mut made = 0;
    for (step, clicks) in [
        ("first clicks", MAILS),
        ("next clicks", 4 * MAILS),
        ("a flood", 40 * MAILS),
    ] {
        let before = cpu();
        for sent in mails.iter().cycle().take(clicks as usize) {
            let click = node.store.journal().mint();
            let clicked = Event::Clicked(sent.clicked(click, 0));
            // A full lane is waited for here: what counts is what each click costs.
            while node.store.intake().offer(sent.partition, clicked.clone()).is_err() {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        }
        made += clicks;
        while node.count(PUBLISHER, Measure::ClicksRaw).await < u64::from(made) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        for (name, seconds) in cpu() {
            let spent = seconds - before.get(&name).unwrap_or(&0.0);
            print(step, &name, spent / f64::from(clicks));
        }
    }
    let before = cpu();
    node.after(Duration::from_mins(2)).await;
    for (name, seconds) in cpu() {
        let spent = seconds - before.get(&name).unwrap_or(&0.0);
        print("judging a mail", &name, spent / f64::from(MAILS));
    }
    node.stop().await;
}
