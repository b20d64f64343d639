//! The whole service behind its own description: schemathesis sends what `/openapi.json` allows, and what it does not, and
//! finds no 5xx and no answer that is not described.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "tests state expectations by unwrapping"
)]

mod support;

use std::path::{Path, PathBuf};
use std::process::Command;

use edge::demo::sink::Sink;
use support::{Plan, buyers_dns, furnish};

#[tokio::test(flavor = "multi_thread")]
async fn schemathesis_finds_no_answer_that_is_not_described() {
    let sink = Sink::start().await.unwrap();
    let (dns, _) = buyers_dns().await;
    let folder = tempfile::tempdir().unwrap();
    let node = Plan::new(folder.path(), dns.address, sink.address.port()).start();
    furnish(&node).await;
    let report = Command::new(python())
        .args([
            "-m",
            "schemathesis.cli",
            "run",
            "--checks",
            "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance",
        ])
        .args([
            "--max-examples",
            "15",
            "--seed",
            "7",
            // One: Python 3.11 loses count of its recursion when two threads parse source at once, as hypothesis does.
            "--workers",
            "1",
            "--request-timeout",
            "30",
            "--suppress-health-check",
            "all",
        ])
        // Its answer has no end.
        .args(["--exclude-operation-id", "streamEvents"])
        // It takes files, of which the tool writes none.
        .args(["--exclude-operation-id", "postImport"])
        .args(["--header", &format!("Authorization: Bearer {}", node.operator_key)])
        .arg(format!("http://{}/openapi.json", node.api))
        .current_dir(folder.path())
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&report.stdout);
    assert!(
        report.status.success(),
        "{told}\n{}",
        String::from_utf8_lossy(&report.stderr)
    );
}

/// The interpreter that `make setup` prepared.
fn python() -> PathBuf {
    if let Some(told) = std::env::var_os("STAFFETTA_PYTHON") {
        return told.into();
    }
    let prepared = Path::new(env!("CARGO_MANIFEST_DIR")).join("../.venv/bin/python3");
    if prepared.exists() { prepared } else { "python3".into() }
}
