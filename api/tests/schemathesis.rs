//! schemathesis (`PyPI`) against a running API: data that fits the description and data that does not, and no answer that
//! is a 5xx, has an undocumented status or content type, or breaks its documented schema.
//!
//! The interpreter is `STAFFETTA_PYTHON`, else the repository's `.venv`, else `python3`. The run is seeded; its budget is
//! `STAFFETTA_SCHEMATHESIS_SECONDS` for each of its two passes, else 40.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "tests state expectations by unwrapping"
)]

mod support;

use std::path::PathBuf;
use std::process::Command;

use serde_json::json;
use support::{World, campaign, order, template};

/// The seed of the generated data; a failing run is repeated with it.
const SEED: &str = "20261121";

/// What is held against each answer. Not `positive_data_acceptance`: the description cannot say what holds between
/// fields, such as that a start lies before its end.
const CHECKS: &str = "not_a_server_error,status_code_conformance,content_type_conformance,\
    response_headers_conformance,response_schema_conformance,negative_data_rejection";

/// A batch with bad items is answered all the same: each item's own result refuses it.
const BATCHES: &str = r#"
[[operations]]
include-name = ["POST /v1/orders", "POST /v1/messages", "POST /v1/events"]
checks.negative_data_rejection.expected-statuses = ["207", "400", "401", "403", "404", "409", "413", "415", "422", "429", "503"]
"#;

#[tokio::test(flavor = "multi_thread")]
async fn no_answer_is_a_5xx_or_undocumented() {
    let seconds = std::env::var("STAFFETTA_SCHEMATHESIS_SECONDS").unwrap_or_else(|_| "40".to_owned());
    let world = World::start().await;
    // Something to find behind the identifiers that are likely to be tried.
    let caller = world.shop("0").await;
    caller.post("/v1/orders", &order("0")).await;
    caller.put("/v1/campaigns/0", &campaign("0")).await;
    caller.put("/v1/templates/0", &template()).await;
    caller.put("/v1/fields/0", &json!({ "type": "number" })).await;
    caller.put("/v1/groups/0", &json!({ "name": "0" })).await;
    caller
        .put(
            "/v1/workflows/0",
            &json!({ "name": "0", "start": { "on": "group", "group": "0" } }),
        )
        .await;

    // As a shop, which may do nearly everything, and as the operator, who names the shop.
    for key in [caller.key(), world.operator.key()] {
        // It keeps notes where it runs.
        let notes = tempfile::tempdir().unwrap();
        std::fs::write(notes.path().join("schemathesis.toml"), BATCHES).unwrap();
        let mut run = Command::new(python());
        run.current_dir(notes.path());
        run.args(["-c", "from schemathesis.cli import schemathesis; schemathesis()", "run"])
            .arg(format!("http://{}/openapi.json", world.api))
            .args(["--header", &format!("Authorization: Bearer {}", key.unwrap())])
            .args(["--checks", CHECKS])
            // Its answer has no end; `streams.rs` proves it.
            .args(["--exclude-operation-id", "streamEvents"])
            // It takes files, of which the tool writes none; `imports.rs` proves it.
            .args(["--exclude-operation-id", "postImport"])
            .args(["--mode", "all", "--phases", "examples,coverage,fuzzing"])
            .args(["--seed", SEED, "--max-examples", "1000", "--max-time", &seconds])
            // One: Python 3.11 loses count of its recursion when two threads parse source at once, as hypothesis does.
            .args([
                "--workers",
                "1",
                "--continue-on-failure",
                "--generation-database",
                "none",
            ])
            .env("PYTHONUTF8", "1")
            .env("NO_COLOR", "1");
        let done = tokio::task::spawn_blocking(move || run.output())
            .await
            .unwrap()
            .expect("python runs");
        let (said, complained) = (
            String::from_utf8_lossy(&done.stdout),
            String::from_utf8_lossy(&done.stderr),
        );
        assert!(done.status.success(), "{said}\n{complained}");
        println!("{said}");
    }
}

fn python() -> PathBuf {
    if let Some(path) = std::env::var_os("STAFFETTA_PYTHON") {
        return path.into();
    }
    let own = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../.venv/bin/python3");
    if own.exists() { own } else { "python3".into() }
}
