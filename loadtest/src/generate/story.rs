//! A real service and the sink: each of the six kinds comes to its end, and what is read of it is true.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use super::*;
use crate::meter::Measure;
use crate::service::{Setup, Staffetta, metric};
use crate::sink::Sink;

const SCENARIO: &str = r#"
title = "All six"
seconds = 4
warm_up_seconds = 1
[mails]
prepared = 20
domains = { "gmail.com" = 1, "*" = 1 }
bytes = [[2000, 1], [30000, 1]]
[[load]]
send = "orders"
rate = 20
[[load]]
send = "messages"
rate = 10
[[load]]
send = "opens"
rate = 20
[[load]]
send = "clicks"
rate = 10
[[load]]
send = "landings"
rate = 5
[[load]]
send = "timers"
rate = 10
wait_seconds = 2
[[load]]
send = "timers"
curve = { shape = "batch", at_seconds = 3, count = 15 }
wait_seconds = 2
"#;

/// The service's binary of the same build: `cargo test --workspace` makes it.
fn binary() -> PathBuf {
    let tests = std::env::current_exe().unwrap();
    let path = tests
        .parent()
        .and_then(std::path::Path::parent)
        .unwrap()
        .join("staffetta");
    assert!(path.is_file(), "{} is not there: cargo build -p edge", path.display());
    path
}

async fn until(what: &str, condition: impl Fn() -> bool) {
    let end = Instant::now() + Duration::from_mins(1);
    while !condition() {
        assert!(Instant::now() < end, "{what}: not after a minute");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn each_of_the_six_kinds_comes_to_its_end() {
    let folder = tempfile::tempdir().unwrap();
    let scenario = Scenario::parse(SCENARIO).unwrap();
    assert_eq!(scenario.counts(), [100, 50, 65, 20]);
    let books = Books::waiting(scenario.counts());
    let sink = Sink::start(&scenario.sink, books.clone()).unwrap();
    let mut service = Staffetta::start(Setup {
        binary: binary(),
        folder: folder.path().to_owned(),
        route: sink.route(),
        dkim: scenario.service.dkim,
        settings: scenario.service.settings.clone(),
        environment: Vec::new(),
    })
    .await
    .unwrap();
    let target = Target {
        addresses: service.addresses(),
        key: service.shop_key().to_owned(),
    };
    prepare(&scenario, &target, &books).unwrap();
    let [opens, clicks] = sink.links().counts();
    assert_eq!((opens, clicks), (20, 60), "a pixel and three offers each");

    let warm_up = Duration::from_secs(scenario.warm_up_seconds.into());
    books
        .meters
        .begin(Instant::now() + warm_up + Duration::from_millis(1200));
    let generation = start(&scenario, &target, &books, &sink.links()).unwrap();
    until("the generator's end", || generation.is_finished()).await;
    let outcome = generation.finish().unwrap();
    for load in &outcome.loads {
        assert_eq!((load.asked, load.failed), (load.answered, 0), "{load:#?}");
        assert_eq!(load.retried, 0, "{load:#?}");
    }
    let asked: Vec<u64> = outcome.loads.iter().map(|load| load.asked).collect();
    // Landings are two requests each.
    assert_eq!(asked, [100, 50, 100, 50, 50, 50, 15]);
    assert!(outcome.busiest_second >= 60, "{}", outcome.busiest_second);
    until("all mails", || {
        Kind::ALL.iter().all(|kind| books.ledger.outstanding(*kind) == 0)
    })
    .await;
    for (kind, count) in Kind::ALL.into_iter().zip(scenario.counts()) {
        let account = books.ledger.account(kind);
        let expected = crate::ledger::Account {
            asked: count.into(),
            acknowledged: count.into(),
            taken: count.into(),
            ..crate::ledger::Account::default()
        };
        assert_eq!(account, expected, "{kind:?}");
    }

    // What came in the warm-up is no figure: a second of five.
    let count = |measure| books.meters.read(measure).micros.len();
    assert_eq!(
        (count(Measure::OrderAccepted), count(Measure::MessageAccepted)),
        (80, 40)
    );
    assert_eq!((count(Measure::Open), count(Measure::Landing)), (80, 20));
    assert_eq!(
        count(Measure::Click),
        55,
        "those of landings a second ahead are clicks too"
    );
    assert_eq!(count(Measure::TimerArmed), 55);
    // The sink notes by when a mail came. A wait that ended two seconds after its event, not after a minute, and not early.
    let fired = books.meters.read(Measure::TimerFired).micros;
    assert!((55..=65).contains(&fired.len()), "{}", fired.len());
    assert!(
        fired.min() > 0 && fired.value_at_quantile(0.5) < 1_000_000,
        "{}",
        fired.value_at_quantile(0.5)
    );
    // The service counts the same.
    let metrics = service.metrics().await.unwrap();
    for (name, label, count) in [
        ("api_orders_accepted_total", "", 120.0),
        ("api_messages_accepted_total", "", 50.0),
    ] {
        let counted = metric(&metrics, name, label);
        assert!((counted - count).abs() < 0.5, "{name} {counted}");
    }
    service.stop().unwrap();
}
