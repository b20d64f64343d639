//! Runs the Python programs that judge mails.

use std::ffi::OsString;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

/// Runs a script of `tests/python` with JSON in and JSON out.
///
/// The interpreter is `STAFFETTA_PYTHON`, else the one that `make setup` made, else `python3`.
pub fn run(script: &str, input: &serde_json::Value) -> serde_json::Value {
    let crate_dir = Path::new(env!("CARGO_MANIFEST_DIR"));
    let made = crate_dir.join("../.venv/bin/python3");
    let python = std::env::var_os("STAFFETTA_PYTHON")
        .filter(|python| Path::new(python).exists())
        .or_else(|| made.exists().then(|| made.into_os_string()))
        .unwrap_or_else(|| OsString::from("python3"));
    let mut child = Command::new(&python)
        .arg(crate_dir.join("tests/python").join(script))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("starting {}: {error}", python.display()));
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(input.to_string().as_bytes()).unwrap();
    drop(stdin);
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{script} failed: is `make setup` done?");
    serde_json::from_slice(&output.stdout).unwrap()
}
