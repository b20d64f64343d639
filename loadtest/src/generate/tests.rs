//! The generator against servers that answer at once, late, or not.

use std::time::{Duration, Instant};

use super::*;
use crate::generate::ceiling::{Null, Reply};
use crate::meter::Measure;

/// A target that is only written down.
pub(super) fn nowhere() -> Target {
    let nowhere = ([127, 0, 0, 1], 9).into();
    Target {
        addresses: Addresses {
            api: nowhere,
            tracker: nowhere,
            tracker_tls: None,
            admin: nowhere,
        },
        key: "key".to_owned(),
    }
}

fn scenario(text: &str) -> Scenario {
    Scenario::parse(&format!("title = \"x\"\n{text}")).unwrap()
}

fn books(scenario: &Scenario) -> Books {
    let warm_up = Duration::from_secs(u64::from(scenario.warm_up_seconds));
    Books::new(scenario.counts(), Instant::now() + warm_up + Duration::from_millis(50))
}

/// A server that takes everything but for one second, in which it answers nobody: whoever came then, on however few connections, is late
/// by the rest of that second. One that measured from when it sent would see a handful of slow requests.
#[test]
fn a_stall_of_a_second_is_late_for_everybody_who_came_meanwhile() {
    let scenario =
        scenario("seconds = 3\nwarm_up_seconds = 1\n[[load]]\nsend = \"orders\"\nrate = 200.0\nconnections_max = 4\n");
    let books = books(&scenario);
    let (from, to) = (
        books.meters.started().unwrap() + Duration::from_secs(1),
        books.meters.started().unwrap() + Duration::from_secs(2),
    );
    let server = Null::start(move |at| {
        let held = if at >= from {
            to.saturating_duration_since(at)
        } else {
            Duration::ZERO
        };
        Reply { held, ..Reply::AT_ONCE }
    })
    .unwrap();
    let generation = start(&scenario, &server.target(), &books, &Links::default()).unwrap();
    let outcome = generation.finish().unwrap();
    let load = &outcome.loads[0];
    assert_eq!((load.asked, load.answered, load.failed), (800, 800, 0), "{load:?}");
    assert_eq!(load.by_status[&202], 800);

    let micros = books.meters.read(Measure::OrderAccepted).micros;
    assert_eq!(micros.len(), 600, "the warm-up does not count");
    // A third of all came while it stalled; lateness falls from a second to nothing, evenly.
    let late = micros.len() - micros.count_between(0, 50_000);
    assert!((185..=280).contains(&late), "{late} are later than 50 ms");
    let (p75, p99) = (micros.value_at_quantile(0.75), micros.value_at_quantile(0.99));
    assert!((150_000..=450_000).contains(&p75), "p75 {p75}");
    assert!((900_000..=1_300_000).contains(&p99), "p99 {p99}");
    assert!(
        micros.value_at_quantile(0.5) < 50_000,
        "p50 {}",
        micros.value_at_quantile(0.5)
    );
    // Four found a connection, and all others waited for one.
    assert!((185..=280).contains(&load.waited), "{} waited", load.waited);
    assert_eq!(books.ledger.account(Kind::Order).acknowledged, 800);
    assert!(outcome.behind_micros.value_at_quantile(0.5) < 20_000);
}

/// Nobody listens for the first half second; then somebody does.
#[test]
fn what_is_refused_is_tried_again_and_counts_from_when_it_was_due() {
    let scenario = scenario("seconds = 1\nwarm_up_seconds = 0\n[[load]]\nsend = \"orders\"\nrate = 50.0\n");
    let books = books(&scenario);
    let held = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let mut target = nowhere();
    target.addresses.api = held.local_addr().unwrap();
    drop(held);
    let generation = start(&scenario, &target, &books, &Links::default()).unwrap();
    std::thread::sleep(Duration::from_millis(550));
    let before = generation.progress();
    assert!(
        before.asked >= 20 && before.answered == 0 && before.retried > 20,
        "{before:?}"
    );
    assert_eq!(before.in_flight, before.asked);
    let server = Null::listen(target.addresses.api, |_| Reply::AT_ONCE).unwrap();
    let outcome = generation.finish().unwrap();
    drop(server);
    let load = &outcome.loads[0];
    assert_eq!((load.asked, load.answered, load.failed), (50, 50, 0), "{load:?}");
    let micros = books.meters.read(Measure::OrderAccepted).micros;
    assert!(micros.max() > 450_000, "{}", micros.max());
}

#[test]
fn dropped_it_stops_where_it_is() {
    let scenario = scenario("seconds = 600\nwarm_up_seconds = 0\n[[load]]\nsend = \"orders\"\nrate = 10.0\n");
    let server = Null::start(|_| Reply::AT_ONCE).unwrap();
    let began = Instant::now();
    let generation = start(&scenario, &server.target(), &books(&scenario), &Links::default()).unwrap();
    while generation.progress().answered < 3 {
        assert!(began.elapsed() < Duration::from_secs(20));
        std::thread::sleep(Duration::from_millis(10));
    }
    assert!(!generation.is_finished());
    drop(generation);
    assert!(began.elapsed() < Duration::from_secs(20));
}

#[test]
fn its_ceiling_is_far_above_what_a_debug_build_sends() {
    let ceiling = ceiling().unwrap();
    assert!(ceiling > 500.0, "{ceiling} requests/s into a null server");
}

/// Says 503 to the first requests, 429 to the next, and refuses one for good; the same requests come again but for that one.
#[test]
fn busy_answers_are_tried_again_and_refusals_are_not() {
    const BUSY: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\nretry-after: 0\r\ncontent-length: 0\r\n\r\n";
    const SLOWER: &[u8] = b"HTTP/1.1 429 Too Many Requests\r\ncontent-length: 0\r\n\r\n";
    const REFUSED: &[u8] = b"HTTP/1.1 422 Unprocessable Content\r\ncontent-length: 5\r\n\r\nwrong";
    let scenario = scenario("seconds = 1\nwarm_up_seconds = 0\n[[load]]\nsend = \"orders\"\nrate = 20.0\n");
    let books = books(&scenario);
    let asked = std::cell::Cell::new(0);
    let server = Null::start(move |_| {
        asked.set(asked.get() + 1);
        let bytes = match asked.get() {
            1..=3 => BUSY,
            4 | 5 => SLOWER,
            6 => REFUSED,
            _ => Reply::AT_ONCE.bytes,
        };
        Reply {
            bytes,
            ..Reply::AT_ONCE
        }
    })
    .unwrap();
    let outcome = start(&scenario, &server.target(), &books, &Links::default())
        .unwrap()
        .finish()
        .unwrap();
    let load = &outcome.loads[0];
    assert_eq!(
        (load.asked, load.answered, load.failed, load.retried),
        (20, 19, 1, 5),
        "{load:?}"
    );
    assert_eq!(
        load.by_status,
        BTreeMap::from([(202, 19), (422, 1), (429, 2), (503, 3)])
    );
    assert_eq!(load.errors, ["answered 422: wrong"]);
    let account = books.ledger.account(Kind::Order);
    assert_eq!(
        (account.asked, account.acknowledged),
        (20, 19),
        "one was asked for and never taken"
    );
    assert_eq!(books.meters.read(Measure::OrderAccepted).micros.len(), 19);
}

#[test]
fn a_run_without_mails_to_follow_fails_and_says_so() {
    let scenario = scenario(
        "seconds = 1\nwarm_up_seconds = 0\n[mails]\nprepared = 1\n[[load]]\nsend = \"landings\"\nrate = 5.0\n",
    );
    let outcome = start(&scenario, &nowhere(), &books(&scenario), &Links::default())
        .unwrap()
        .finish()
        .unwrap();
    let load = &outcome.loads[0];
    assert_eq!((load.asked, load.failed), (10, 10), "{load:?}");
    assert!(load.errors[0].contains("no mail with links"), "{load:?}");
}
