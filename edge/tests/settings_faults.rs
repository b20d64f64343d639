//! A settings file with many faults is refused with all of them, before anything starts.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "tests state expectations by unwrapping"
)]

use std::path::Path;
use std::process::Command;

#[test]
fn every_fault_is_listed_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("bad.toml");
    let text = "drain_grace = \"soon\"\nbogus = 1\n[strange]\na = 1\n[listen]\napi = \"here\"\ntracker_tls = \"127.0.0.1:0\"\n[store]\nsegment_size = \"0B\"\nnode = \"one\"\n\
         sgement_size = \"1MiB\"\n[delivery]\nconnections_max = 0\nports = [25]\n[policy]\nexploration_percent = 400\n\
         [redis]\nurl = \"http://here\"\nstream_len = 0\n[api]\nstreams_max = 5000\n";
    std::fs::write(&file, text).unwrap();
    for command in [&["check"][..], &["serve"]] {
        let ended = Command::new(env!("CARGO_BIN_EXE_staffetta"))
            .args(command)
            .arg("--settings")
            .arg(&file)
            .output()
            .unwrap();
        let told = String::from_utf8_lossy(&ended.stderr);
        assert!(!ended.status.success());
        for key in [
            "drain_grace",
            "bogus",
            "strange",
            "listen.api",
            "tracker.certificates",
            "store.segment_size",
            "store.node",
            "store.sgement_size",
            "connections_max",
            "delivery.ports",
            "exploration_percent",
            "redis.url",
            "redis.stream_len",
            "api.streams_max",
        ] {
            assert!(told.contains(key), "{key} is missing in:\n{told}");
        }
    }
}

#[test]
fn the_example_file_is_valid_and_says_what_the_defaults_are() {
    let example = concat!(env!("CARGO_MANIFEST_DIR"), "/../staffetta.example.toml");
    let ended = Command::new(env!("CARGO_BIN_EXE_staffetta"))
        .args(["check", "--settings", example])
        .output()
        .unwrap();
    assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
    let read = |file| format!("{:#?}", edge::settings::Settings::read(file).unwrap());
    assert_eq!(read(Some(Path::new(example))), read(None));
}
