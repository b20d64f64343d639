//! What resolving costs; `cargo test --release -p policy --test calendar -- --ignored --nocapture`.

use std::time::{Duration, Instant};

use policy::calendar::{add_wait, is_allowed, resolve, spread};
use types::time::Timestamp;

use super::{rules, time, zone};

const ROUNDS: u32 = 1_000_000;

#[test]
#[ignore = "a measurement"]
fn cost_of_an_instant() {
    let start = time("2026-01-01T00:00:00Z");
    // Some eight minutes between two, so that they fall all over the day and over nineteen years.
    let ready = |n: u32| start + Duration::from_secs(u64::from(n) * 601);
    for name in [
        "Europe/Rome",
        "America/New_York",
        "Africa/Casablanca",
        "Asia/Tokyo",
        "UTC+01",
    ] {
        let zone = zone(name);
        for written in [
            "{}",
            r#"{"quiet":{"from":"22:00","to":"08:00"}}"#,
            r#"{"send_at":"09:00"}"#,
            r#"{"send_at":"09:00","quiet":{"from":"22:00","to":"08:00"},"active":{"from":"2020-01-01","to":"2060-01-01"},"except":{"dates":["2026-12-24"],"yearly":["12-25","12-26","01-01"],"weekdays":["sat","sun"]}}"#,
        ] {
            let rules = rules(written);
            measure(name, &format!("resolve {written}"), |n| {
                resolve(ready(n), &rules, &zone, &zone).at().unwrap()
            });
        }
        let rules = rules(r#"{"quiet":{"from":"22:00","to":"08:00"},"spread":"30m"}"#);
        measure(name, "is_allowed", |n| {
            Timestamp::from_millis(is_allowed(ready(n), &rules, &zone, &zone).is_ok().into())
        });
        measure(name, "spread", |n| {
            spread(ready(n), u64::from(n) << 44, &rules, &zone, &zone)
        });
        let wait = "3d".parse().unwrap();
        measure(name, "add_wait 3d", |n| add_wait(ready(n), &wait, &zone));
    }
}

fn measure(zone: &str, what: &str, of: impl Fn(u32) -> Timestamp) {
    let start = Instant::now();
    let sum = (0..ROUNDS).fold(0_u64, |sum, n| sum.wrapping_add(of(n).as_millis()));
    let each = start.elapsed() / ROUNDS;
    println!("{zone:18} {each:>8.0?}  {:.60} ({})", what, sum % 10);
}
