//! A small delivery through the real programs: exact accounts, nothing timed.

#![allow(clippy::unwrap_used, reason = "tests state expectations by unwrapping")]

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use super::bench::Flush;
use super::relay::{Mails, Signed};
use super::*;

/// The service's program as the tests build it.
fn binary() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let binary = test.parent().and_then(Path::parent).unwrap().join("staffetta");
    assert!(
        binary.is_file(),
        "{} is not there: cargo build -p edge",
        binary.display()
    );
    binary
}

fn arguments() -> Arguments {
    Arguments {
        only: Vec::new(),
        peers: Vec::new(),
        rounds: 1,
        quick: false,
        scale: 1.0,
        sessions: 16,
        connections: 16,
        slow_flush_ms: 2,
        report: PathBuf::new(),
        binary: Some(binary()),
        tools: PathBuf::from(".tools/peers"),
        folder: PathBuf::from("/var/tmp"),
    }
}

#[test]
fn forty_mails_come_once_and_whole_from_the_service_and_from_postfix() {
    let scratch = tempfile::Builder::new()
        .permissions(fs::Permissions::from_mode(0o755))
        .tempdir_in("/var/tmp")
        .unwrap();
    let bench = bench(&arguments(), scratch.path()).unwrap();
    let sample = bench.sample().unwrap();
    let mails = Mails {
        warm_up: 8,
        measured: 40,
        a_second: 1.0,
        sessions_max: usize::MAX,
    };
    let mut contenders = vec![Contender::Orders, Contender::Messages];
    // Postfix changes to users of its own, which takes root.
    for signed in [Signed::Rsa, Signed::No] {
        let postfix = Contender::Relay(Box::new(postfix::Postfix(signed)));
        match postfix.version(&bench.tools) {
            Ok(_) => contenders.push(postfix),
            Err(why) => eprintln!("left out: {}: {why}", postfix.name()),
        }
    }
    for contender in contenders {
        for flush in [Flush::AsItIs, Flush::Slower] {
            // Err: a mail is missing, came twice, is damaged or not signed, or the flush was not slower.
            let run = delivery::measure(&bench, &contender, mails, flush, &sample).unwrap();
            assert_eq!(run.mails, 40);
            assert!(run.cpu_seconds > 0.0, "{}: {run:?}", contender.name());
            assert!(run.bytes > 5000.0, "{}: {run:?}", contender.name());
            let flushes = run.flushes.map(|flushes| flushes.count);
            assert_eq!(flushes.is_some(), flush == Flush::Slower, "{}", contender.name());
            assert!(
                flushes.is_none_or(|flushes| flushes > 0),
                "{}: {run:?}",
                contender.name()
            );
        }
    }
}

#[test]
fn a_peer_that_does_not_exist_is_refused_by_name() {
    let scratch = tempfile::tempdir().unwrap();
    let mut arguments = arguments();
    arguments.peers = vec!["sendmail".to_owned()];
    let bench = bench(&arguments, scratch.path()).unwrap();
    let Err(error) = contenders(&arguments, &bench, &mut Found::default()) else {
        panic!("sendmail is no peer here");
    };
    assert!(error.to_string().contains("there is no peer `sendmail`"), "{error}");
}

#[test]
fn what_is_not_installed_is_told_and_the_rest_takes_part() {
    let scratch = tempfile::tempdir().unwrap();
    let mut arguments = arguments();
    arguments.tools = scratch.path().join("nothing");
    let bench = bench(&arguments, scratch.path()).unwrap();
    let mut found = Found::default();
    let here = contenders(&arguments, &bench, &mut found).unwrap();
    assert!(here.iter().any(|contender| matches!(contender, Contender::Orders)));
    assert!(
        found
            .missing
            .iter()
            .any(|(who, why)| who == "Haraka" && why == "Haraka is not installed"),
        "{:?}",
        found.missing
    );
}
