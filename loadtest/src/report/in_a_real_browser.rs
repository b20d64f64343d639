//! A real browser reads a report: on a desktop and a phone, light and dark, on paper and without scripts.
//!
//! Pictures go to the folder that `STAFFETTA_PICTURES` names, such as `docs/images`, else to a temporary one.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::sample::sample;
use super::write;

#[test]
fn a_report_is_read_at_a_desk_and_on_a_phone_by_day_and_by_night() {
    let folder = tempfile::tempdir().unwrap();
    let paths = write(&sample(), folder.path()).unwrap();
    let named = std::env::var_os("STAFFETTA_PICTURES").map(|named| root().join(named));
    let pictures = named.unwrap_or_else(|| folder.path().join("pictures"));
    std::fs::create_dir_all(&pictures).unwrap();
    let read = Command::new(python())
        .arg(root().join("tests/report.py"))
        .arg("--page")
        .arg(&paths.html)
        .arg("--pictures")
        .arg(&pictures)
        .output()
        .expect("python runs");
    assert!(read.status.success(), "{}", String::from_utf8_lossy(&read.stderr));
    for picture in [
        "desktop-light",
        "desktop-dark",
        "phone-light",
        "phone-dark",
        "without-scripts",
    ] {
        let size = std::fs::metadata(pictures.join(format!("report-{picture}.png")))
            .unwrap()
            .len();
        assert!(size > 50_000, "{picture} has {size} bytes");
    }
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// The interpreter that `make setup` prepared.
fn python() -> PathBuf {
    if let Some(told) = std::env::var_os("STAFFETTA_PYTHON") {
        return told.into();
    }
    let prepared = root().join(".venv/bin/python3");
    if prepared.exists() { prepared } else { "python3".into() }
}
