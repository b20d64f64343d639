//! Every rule about replies fires on its own samples, and the cases of `tests/cases/replies.toml` come out as written.
#![allow(clippy::expect_used, reason = "a test says what it expects")]

use std::time::Duration;

use policy::reply::{At, Finality, Hits, Refused, Rules, classify, shipped, stated_wait};

/// Reads `rcpt 550 5.1.1 text`.
fn read(sample: &str) -> (At, u16, Option<(u8, u16, u16)>, &str) {
    let (at, rest) = sample.split_once(' ').expect("step");
    let (code, rest) = rest.split_once(' ').expect("code");
    let at = match at {
        "connect" => At::Connect,
        "hello" => At::Hello,
        "mail" => At::Mail,
        "rcpt" => At::Rcpt,
        "data" => At::Data,
        "dot" => At::Dot,
        other => panic!("no step is called {other}"),
    };
    let code = code.parse().expect("a code");
    let word = rest.split(' ').next().unwrap_or_default();
    let numbers: Vec<u16> = word.split('.').filter_map(|number| number.parse().ok()).collect();
    match numbers.as_slice() {
        [class, subject, detail] if word.split('.').count() == 3 => {
            let class = u8::try_from(*class).expect("a class");
            (
                at,
                code,
                Some((class, *subject, *detail)),
                rest[word.len()..].trim_start(),
            )
        }
        _ => (at, code, None, rest),
    }
}

fn refused(sample: &str) -> Refused<'_> {
    let (at, code, enhanced, text) = read(sample);
    Refused {
        at,
        code,
        enhanced,
        text,
    }
}

#[test]
fn every_rule_fires_and_none_shadows_another() {
    let rules = shipped();
    let mut played = 0;
    for (name, sample) in rules.samples() {
        let (fired, _) = rules.classify(&refused(sample));
        assert_eq!(fired, Some(name), "{sample}");
        played += 1;
    }
    assert!(played >= 60, "{played} samples");
}

#[derive(serde::Deserialize)]
struct Cases {
    case: Vec<Case>,
}

#[derive(serde::Deserialize)]
struct Case {
    reply: String,
    class: String,
    #[serde(rename = "final")]
    finality: bool,
    #[serde(default)]
    hits_site: bool,
    #[serde(default)]
    wait_seconds: Option<u64>,
}

#[test]
fn cases_come_out_as_written() {
    let cases: Cases = toml::from_str(include_str!("cases/replies.toml")).expect("cases");
    for case in cases.case {
        let verdict = classify(&refused(&case.reply));
        let got = (
            verdict.class.as_str(),
            verdict.finality == Finality::Permanent,
            verdict.hits == Hits::Site,
            verdict.wait,
        );
        let wait = case.wait_seconds.map(Duration::from_secs);
        assert_eq!(
            got,
            (case.class.as_str(), case.finality, case.hits_site, wait),
            "{}",
            case.reply
        );
    }
}

#[test]
fn waits_are_read_from_words() {
    for (text, seconds) in [
        ("Greylisted, please try again in 300 seconds", Some(300)),
        ("try again in 5 minutes", Some(300)),
        ("Greylisted for 10 min.", Some(600)),
        ("please wait 90s", Some(90)),
        ("retry after 1 hour", Some(3600)),
        ("try again in 99 hours", Some(6 * 3600)),
        ("try again in 4294967296 seconds", None),
        ("20 messages in 60 minutes is too much", None),
        ("try again later", None),
        ("", None),
    ] {
        assert_eq!(stated_wait(text), seconds.map(Duration::from_secs), "{text}");
    }
}

#[test]
fn rules_that_make_no_sense_are_refused() {
    let rule = |fields: &str| {
        Rules::parse(&format!("[[rule]]\nname = \"x\"\n{fields}"))
            .map(|_| ())
            .is_ok()
    };
    assert!(rule("codes = \"4xx\"\nclass = \"quota\"\nsamples = [\"rcpt 450 x\"]"));
    assert!(!rule("codes = \"4xx\"\nclass = \"quota\"\nsamples = []"));
    assert!(!rule("codes = \"4xx\"\nclass = \"bogus\"\nsamples = [\"rcpt 450 x\"]"));
    assert!(!rule("codes = \"4y\"\nclass = \"quota\"\nsamples = [\"rcpt 450 x\"]"));
    assert!(!rule(
        "codes = \"450\"\nenhanced = [\"4.1\"]\nclass = \"quota\"\nsamples = [\"rcpt 450 x\"]"
    ));
    assert!(!rule(
        "codes = \"450\"\nunknown = 1\nclass = \"quota\"\nsamples = [\"rcpt 450 x\"]"
    ));
}
