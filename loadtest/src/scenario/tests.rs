//! What scenarios are read as, and what is said of those that are wrong.

use std::path::Path;

use super::*;

const LEAST: &str = "title = \"x\"\n[[load]]\nsend = \"orders\"\nrate = 10.0\n";

fn faults(text: &str) -> Vec<String> {
    Scenario::parse(text).unwrap_err().0
}

#[test]
fn every_scenario_that_comes_with_it_is_read() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios");
    let mut names = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let scenario = Scenario::read(&path).unwrap_or_else(|error| panic!("{error:#}"));
        assert!(scenario.about.len() > 20, "{} says nothing", path.display());
        assert!(!scenario.loads.is_empty());
        names.push(path.file_stem().unwrap().to_str().unwrap().to_owned());
    }
    names.sort();
    let expected = [
        "broken-sink",
        "busy-evening",
        "dead-site",
        "killed",
        "many-domains",
        "midnight-batch",
        "ramp",
        "slow-flush",
        "steady",
        "tv-spot",
    ];
    assert_eq!(names, expected);
}

#[test]
fn what_is_not_said_has_its_default() {
    let scenario = Scenario::parse(LEAST).unwrap();
    assert_eq!(
        (scenario.seconds, scenario.warm_up_seconds, scenario.settle_seconds),
        (60, 5, 30)
    );
    assert_eq!(scenario.service.dkim, Dkim::Rsa);
    assert_eq!(scenario.service.scrape_every_ms, 1000);
    assert_eq!(scenario.mails.domains["gmail.com"], 40);
    assert_eq!(scenario.loads[0].connections_max, 256);
    assert_eq!(scenario.counts(), [650, 0, 0, 0]);
    assert_eq!(scenario.text, LEAST);
}

#[test]
fn loads_of_one_kind_share_its_numbers() {
    let text = "title = \"x\"\nseconds = 10\nwarm_up_seconds = 0\n[mails]\nprepared = 7\n\
        [[load]]\nsend = \"orders\"\nrate = 3\n[[load]]\nsend = \"messages\"\nrate = 1\n[[load]]\nsend = \"opens\"\nrate = 1000\n\
        [[load]]\nsend = \"orders\"\ncurve = { shape = \"batch\", at_seconds = 5, count = 11 }\n";
    let scenario = Scenario::parse(text).unwrap();
    assert_eq!(scenario.counts(), [41, 10, 0, 7]);
    let firsts: Vec<u32> = scenario.loads.iter().map(|load| load.first).collect();
    assert_eq!(firsts, [0, 0, 0, 30]);
}

#[test]
fn every_fault_is_told_with_its_path() {
    let text = "seconds = 4000\ncolour = \"red\"\n[service]\ndkim = \"dsa\"\nkill_at_seconds = [70, 3]\n\
        [mails]\nbytes = [[4000, 3], [9, 1]]\ndomains = { \"no domain\" = 1 }\nprepared = -1\n\
        [[load]]\nsend = \"letters\"\nrate = 10\n[[load]]\nsend = \"orders\"\nrate = 0.0\nspeed = 3\nwait_seconds = 3\n\
        [[load]]\nsend = \"timers\"\nrate = 1\nwait_seconds = 9\ncurve = { shape = \"batch\", at_seconds = 5, count = 0 }\n\
        [[load]]\nrate = 5\ncurve = { shape = \"spike\", at_seconds = 1, times = 0.5, rise_seconds = 1, fall_seconds = 0 }\n\
        [[load]]\nsend = \"clicks\"\nrate = \"fast\"\n";
    let told = faults(text);
    let expected = [
        "title: is missing",
        "seconds: 4000 is not in 1 to 3600",
        "colour: unknown field `colour`",
        "service.dkim: unknown variant `dsa`",
        "service.kill_at_seconds: does not rise",
        "mails.bytes[1][0]: 9 is not in",
        "mails.domains.no domain: is no domain",
        "mails.prepared: invalid value: integer `-1`",
        "load[0].send: unknown variant `letters`",
        "load[1].rate: 0 is not above 0",
        "load[1].speed: unknown field `speed`",
        "load[1].wait_seconds: is for timers only",
        "load[2].rate: a batch has none",
        "load[2].curve.at_seconds: is before 9 s, the wait",
        "load[2].curve.count: 0 is not in 1 to",
        "load[3].send: is missing",
        "load[3].curve.times: 0.5 is not in 1 to",
        "load[3].curve.fall_seconds: 0 is not in 0.1",
        "load[4].rate: invalid type: string \"fast\"",
        "mails.prepared: is 0, but load[4] follows",
    ];
    for fault in expected {
        assert!(
            told.iter().any(|told| told.starts_with(fault)),
            "{fault} is not in {told:#?}"
        );
    }
    assert_eq!(told.len(), expected.len(), "{told:#?}");
}

#[test]
fn what_is_no_toml_or_no_list_is_told() {
    assert!(faults("title = ")[0].starts_with("not TOML"));
    assert_eq!(
        faults("title = \"x\"\nload = 3\nsink = 1"),
        [
            "sink: is integer, not a section",
            "load: is integer, not a list: write [[load]]",
            "load: there is none: a scenario has at least one [[load]]"
        ]
    );
}

/// A key that nobody knows is answered with those that are known; the tables of the documentation have the same.
#[test]
fn the_documentation_tells_every_key_and_no_other() {
    let docs = include_str!("../../../docs/loadtest.md");
    let docs = docs
        .split_once("### Keys")
        .unwrap()
        .1
        .split_once("### Curves")
        .unwrap()
        .0;
    let backticked = |text: &str| -> Vec<String> { text.split('`').skip(1).step_by(2).map(str::to_owned).collect() };
    for (heading, section) in [
        ("", ""),
        ("`[service]`", "[service]"),
        ("`[sink]`", "[sink]"),
        ("`[mails]`", "[mails]"),
        ("`[[load]]`", "[[load]]"),
    ] {
        let told = faults(&format!("{section}\nnobody_knows = 1\n"));
        let fault = told.iter().find(|fault| fault.contains("nobody_knows")).unwrap();
        let mut known = backticked(fault.split_once("expected").unwrap().1);
        let table = docs.split_once(&format!("\n{heading}")).unwrap().1;
        let rows = table.lines().skip_while(|line| !line.starts_with("| key")).skip(2);
        let rows = rows.take_while(|line| line.starts_with('|'));
        let mut documented: Vec<String> = rows
            .map(|row| {
                let key = backticked(row).swap_remove(0);
                let key = key.trim_matches(['[', ']']);
                key.rsplit('.').next().unwrap().to_owned()
            })
            .collect();
        known.sort();
        documented.sort();
        assert_eq!(documented, known, "{heading}");
    }
}
