//! Whole runs of the program against a real service: what a report says of a service that is killed, and of a receiver that forgets.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "tests state expectations by unwrapping"
)]

use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

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

/// Returns the ids of processes that were started with something in this folder as an argument.
fn of_folder(folder: &Path) -> Vec<u32> {
    let folder = folder.to_str().unwrap();
    let all = std::fs::read_dir("/proc").unwrap().flatten();
    all.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter(|pid| {
            let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            let line = String::from_utf8_lossy(&line).into_owned();
            line.contains("staffetta.toml") && line.contains(folder)
        })
        .collect()
}

/// A run that would last a minute.
struct Long {
    child: std::process::Child,
    service: u32,
}

impl Long {
    /// Starts it, and returns once its service is at work.
    fn begin(folder: &Path) -> Self {
        let file = folder.join("scenario.toml");
        std::fs::write(&file, "title = \"Long\"\n[[load]]\nsend = \"orders\"\nrate = 20.0\n").unwrap();
        let mut long = Self {
            child: Command::new(env!("CARGO_BIN_EXE_loadtest"))
                .arg("run")
                .arg(&file)
                .arg("--folder")
                .arg(folder)
                .arg("--report")
                .arg(folder.join("report"))
                .stdout(Stdio::piped())
                .stderr(Stdio::piped())
                .spawn()
                .unwrap(),
            service: 0,
        };
        let end = Instant::now() + Duration::from_mins(1);
        let is_ready = || {
            let folders = std::fs::read_dir(folder).unwrap().flatten();
            folders
                .filter_map(|entry| std::fs::read_to_string(entry.path().join("service/staffetta.log")).ok())
                .any(|log| log.contains("\"ready\""))
        };
        while !is_ready() {
            assert!(Instant::now() < end, "no service was started");
            std::thread::sleep(Duration::from_millis(50));
        }
        long.service = of_folder(folder)[0];
        std::thread::sleep(Duration::from_secs(4));
        long
    }

    /// Waits for its end.
    fn end(mut self) -> Output {
        use std::io::Read;
        let status = self.child.wait().unwrap();
        let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
        self.child.stdout.take().unwrap().read_to_end(&mut stdout).unwrap();
        self.child.stderr.take().unwrap().read_to_end(&mut stderr).unwrap();
        Output { status, stdout, stderr }
    }
}

impl Drop for Long {
    fn drop(&mut self) {
        if self.child.try_wait().unwrap().is_none() {
            signal(self.child.id(), "-INT");
            self.child.wait().unwrap();
        }
    }
}

fn signal(pid: u32, signal: &str) {
    assert!(
        Command::new("kill")
            .args([signal, &pid.to_string()])
            .status()
            .unwrap()
            .success()
    );
}

#[test]
fn an_interrupted_run_ends_its_service_and_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let long = Long::begin(folder.path());
    let service = long.service;
    signal(long.child.id(), "-INT");
    let output = long.end();
    assert_eq!(output.status.code(), Some(130), "{output:?}");
    // Whose parent has ended is reaped by another, a moment later.
    let began = Instant::now();
    while Path::new(&format!("/proc/{service}")).exists() {
        assert!(began.elapsed() < Duration::from_secs(10), "the service outlived it");
        std::thread::sleep(Duration::from_millis(10));
    }
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("interrupted: the service was ended"), "{said}");
    let left: Vec<_> = std::fs::read_dir(folder.path()).unwrap().flatten().collect();
    assert_eq!(left.len(), 1, "more than the scenario is left: {left:?}");
}

#[test]
fn a_service_that_ends_by_itself_is_what_the_report_says() {
    let folder = tempfile::tempdir().unwrap();
    let long = Long::begin(folder.path());
    signal(long.service, "-KILL");
    let output = long.end();
    assert!(!output.status.success(), "{output:?}");
    let report = std::fs::read(folder.path().join("report/report.json"));
    let report = report.unwrap_or_else(|_| panic!("no report: {}", String::from_utf8_lossy(&output.stderr)));
    let report: Value = serde_json::from_slice(&report).unwrap();
    let verdict = report["verdict"].as_str().unwrap();
    assert!(verdict.starts_with("the service ended by itself"), "{verdict}");
    assert_eq!(report["intact"], false);
}
