//! Whole runs of the program against a real service: what a report says of a service that is killed, and of a receiver that forgets.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "tests state expectations by unwrapping"
)]

use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;

/// Runs a scenario and returns how it ended and what it found.
fn run(folder: &Path, scenario: &str) -> (Output, Value) {
    let file = folder.join("scenario.toml");
    std::fs::write(&file, scenario).unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_loadtest"))
        .arg("run")
        .arg(&file)
        .arg("--folder")
        .arg(folder)
        .arg("--report")
        .arg(folder.join("report"))
        .output()
        .unwrap();
    let report = std::fs::read(folder.join("report/report.json"));
    let report = report.unwrap_or_else(|_| panic!("no report: {}", String::from_utf8_lossy(&output.stderr)));
    (output, serde_json::from_slice(&report).unwrap())
}

/// Returns a table's cell by the name in its first column.
fn cell<'a>(report: &'a Value, table: &str, row: &str, column: &str) -> Option<&'a str> {
    let tables = report["tables"].as_array().unwrap();
    let table = tables.iter().find(|found| found["title"] == table)?;
    let columns = table["columns"].as_array().unwrap();
    let column = columns.iter().position(|name| name == column)?;
    let rows = table["rows"].as_array().unwrap();
    rows.iter().find(|found| found[0] == row)?[column].as_str()
}

#[test]
fn a_killed_service_loses_nothing_and_the_report_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let scenario = r#"
        title = "Killed"
        seconds = 8
        warm_up_seconds = 1
        settle_seconds = 60
        [service]
        kill_at_seconds = [3]
        [mails]
        prepared = 20
        [[load]]
        send = "orders"
        rate = 100.0
        [[load]]
        send = "messages"
        rate = 20.0
        [[load]]
        send = "clicks"
        rate = 20.0
        [[load]]
        send = "timers"
        rate = 10.0
        wait_seconds = 2
    "#;
    let (output, report) = run(folder.path(), scenario);
    assert_eq!(report["intact"], true, "{report:#}");
    assert!(output.status.success());
    let marks: Vec<&str> = report["marks"]
        .as_array()
        .unwrap()
        .iter()
        .map(|mark| mark["what"].as_str().unwrap())
        .collect();
    assert_eq!(marks, ["killed", "ready again"]);
    for (kind, count) in [
        ("orders", "900"),
        ("messages", "180"),
        ("timers", "90"),
        ("prepared", "20"),
    ] {
        for (column, expected) in [
            ("asked for", count),
            ("acknowledged", count),
            ("lost", "0"),
            ("twice", "0"),
        ] {
            assert_eq!(
                cell(&report, "Every mail", kind, column),
                Some(expected),
                "{kind}: {column}"
            );
        }
    }
    // What came at the moment of the kill was tried again, and waited for the service in its latency.
    let tried_again: u64 = cell(&report, "Requests", "orders", "tried again")
        .unwrap()
        .parse()
        .unwrap();
    assert!(tried_again > 0);
    for part in ["latencies", "charts", "ceilings", "figures", "method"] {
        assert!(!report[part].as_array().unwrap().is_empty(), "{part}");
    }
}

#[test]
fn a_mail_that_a_broken_receiver_drops_is_found_and_named() {
    let folder = tempfile::tempdir().unwrap();
    let scenario = r#"
        title = "A receiver that forgets"
        seconds = 4
        warm_up_seconds = 0
        settle_seconds = 3
        [sink]
        drop_one_in = 150
        [[load]]
        send = "orders"
        rate = 50.0
    "#;
    let (output, report) = run(folder.path(), scenario);
    assert!(!output.status.success(), "a lost mail fails the run");
    assert_eq!(report["intact"], false);
    assert_eq!(
        report["verdict"],
        "orders: 1 answered with 250 by the receiver and lost there"
    );
    assert_eq!(cell(&report, "Every mail", "orders", "taken"), Some("199"));
    let which = cell(
        &report,
        "Mails that did not come once and whole",
        "answered with 250 by the receiver, and not there",
        "which",
    );
    assert!(which.is_some_and(|which| which.starts_with('o')), "{which:?}");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(said.contains("lost there"), "{said}");
}
