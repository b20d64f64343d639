//! Every zone's every change of the clocks, 2024 to 2034, against Python's `datetime` and `zoneinfo`.
//!
//! The ordinary run takes one set of zones in eight and the odd ones; `STAFFETTA_ALL_ZONES=1` takes all. The interpreter
//! is `STAFFETTA_PYTHON`, else the repository's `.venv`, else `python3`; it needs the package `tzdata`
//! (`tests/requirements.txt`) of the release that is bundled here, so that no difference has to be excused.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use policy::calendar::{ResolvedZone, add_wait, local_day_start, next_date, resolve, zone_data_version};
use types::calendar::{Except, Quiet, SendRules, Unit, Wait, Zone};
use types::time::Timestamp;
use types::workflow::Yearly;

#[test]
fn python_reckons_the_same() {
    let every = std::env::var_os("STAFFETTA_ALL_ZONES").is_some();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/calendar/zoneinfo_oracle.py");
    let mut oracle = Command::new(python())
        .arg(script)
        .arg(if every { "all" } else { "sample" })
        .stdout(Stdio::piped())
        .spawn()
        .expect("Python 3 runs");
    let mut told = Told::default();
    for line in BufReader::new(oracle.stdout.take().unwrap()).lines() {
        told.take(&line.unwrap());
    }
    let status = oracle.wait().unwrap();
    assert!(
        status.success() && told.ended,
        "the oracle failed: is `make setup` done?"
    );
    println!(
        "{} names, {} changes, {} cases",
        told.names.len(),
        told.changes,
        told.cases
    );
    assert_eq!(told.wrong, Vec::<String>::new());
    assert!(told.cases > if every { 300_000 } else { 50_000 }, "{}", told.cases);
    if every {
        // The data's own word for no zone is no zone here, and UTC is an offset.
        let known: BTreeSet<String> = Zone::all_named().map(|zone| zone.to_string()).collect();
        assert_eq!(told.names, known);
    }
}

/// The resolver counts on it where it runs to the end of a stretch: two changes are never so near that a stretch of quiet
/// hours or an excepted day could hold both, and hide that the clocks went differently between.
#[test]
fn changes_of_the_clocks_lie_days_apart() {
    for zone in Zone::all_named() {
        let rules = jiff::tz::TimeZoneDatabase::bundled().get(&zone.to_string()).unwrap();
        let mut last: Option<jiff::Timestamp> = None;
        for change in rules.following("2000-01-01T00:00:00Z".parse().unwrap()) {
            let at = change.timestamp();
            if at > "2100-01-01T00:00:00Z".parse().unwrap() {
                break;
            }
            if let Some(last) = last {
                assert!(at.duration_since(last).as_hours() >= 72, "{zone}: {last}, {at}");
            }
            last = Some(at);
        }
    }
}

/// What the oracle told so far, and where we say otherwise.
#[derive(Default)]
struct Told {
    names: BTreeSet<String>,
    /// The zones of the set that is being told of.
    zones: Vec<ResolvedZone>,
    changes: usize,
    cases: u64,
    wrong: Vec<String>,
    ended: bool,
}

impl Told {
    fn take(&mut self, line: &str) {
        let (what, rest) = line.split_once(' ').unwrap_or((line, ""));
        let words: Vec<&str> = rest.split(' ').collect();
        match (what, words.as_slice()) {
            ("version", [version]) => assert_eq!(
                *version,
                zone_data_version(),
                "Python's zone data is of another release than ours: pin `tzdata` in tests/requirements.txt to it"
            ),
            ("zone", names) => {
                let places = names.iter().filter(|name| !matches!(**name, "UTC" | "Factory"));
                self.names.extend(places.clone().map(|name| (*name).to_owned()));
                self.zones = places.map(|name| super::zone(name)).collect();
            }
            ("changes", [count]) => {
                let count: usize = count.parse().unwrap();
                self.changes += count;
                for zone in &self.zones {
                    assert_eq!(changes(zone), count, "{}", zone.zone());
                }
            }
            ("end", _) => self.ended = true,
            (_, [.., expected]) => {
                let expected = seconds(expected);
                self.cases += 1;
                for zone in &self.zones {
                    let ours = answer(what, &words, zone);
                    if ours != Some(expected) && self.wrong.len() < 20 {
                        self.wrong
                            .push(format!("{}: {line}: ours is {ours:?}, not {expected}", zone.zone()));
                    }
                }
            }
            _ => panic!("the oracle said `{line}`"),
        }
    }
}

fn answer(what: &str, words: &[&str], zone: &ResolvedZone) -> Option<Timestamp> {
    match (what, words) {
        // A date that comes on this day, at this time.
        ("local", [local, _]) => {
            let (date, time) = local.split_once('T').unwrap();
            let (date, time) = (date.parse().unwrap(), time.parse().unwrap());
            next_date(date, 0, time, Yearly::No, zone, Timestamp::from_millis(0))
        }
        ("add", [base, days, _]) => {
            let wait = Wait::new(days.parse().unwrap(), Unit::Days).unwrap();
            Some(add_wait(seconds(base), &wait, zone))
        }
        ("start", [date, _]) => Some(local_day_start(date.parse().unwrap(), zone)),
        ("rules", [ready, send_at, quiet, weekdays, dates, _]) => {
            let quiet = written(quiet).map(|quiet| quiet.split_once('/').unwrap());
            let rules = SendRules {
                send_at: written(send_at).map(|time| time.parse().unwrap()),
                quiet: quiet.map(|(from, to)| Quiet {
                    from: from.parse().unwrap(),
                    to: to.parse().unwrap(),
                }),
                except: Except {
                    weekdays: list(weekdays)
                        .map(|day| serde_json::from_value(day.into()).unwrap())
                        .collect(),
                    dates: list(dates).map(|day| day.parse().unwrap()).collect(),
                    yearly: Vec::new(),
                },
                ..SendRules::default()
            };
            resolve(seconds(ready), &rules, zone, zone).at()
        }
        _ => panic!("the oracle said `{what} {words:?}`"),
    }
}

fn written<'a>(word: &&'a str) -> Option<&'a str> {
    (*word != "-").then_some(*word)
}

fn list<'a>(word: &&'a str) -> impl Iterator<Item = &'a str> {
    written(word).into_iter().flat_map(|days| days.split(','))
}

fn seconds(word: &str) -> Timestamp {
    Timestamp::from_millis(word.parse::<u64>().unwrap() * 1000)
}

/// How often the zone's offset changes in the years that the oracle looks at.
fn changes(zone: &ResolvedZone) -> usize {
    let rules = jiff::tz::TimeZoneDatabase::bundled()
        .get(&zone.zone().to_string())
        .unwrap();
    let (first, last): (jiff::Timestamp, jiff::Timestamp) = (
        "2024-01-01T00:00:00Z".parse().unwrap(),
        "2035-01-01T00:00:00Z".parse().unwrap(),
    );
    let mut offset = rules.to_offset(first);
    let changed =
        |change: jiff::tz::TimeZoneTransition<'_>| std::mem::replace(&mut offset, change.offset()) != change.offset();
    rules
        .following(first)
        .take_while(|change| change.timestamp() <= last)
        .map(changed)
        .filter(|changed| *changed)
        .count()
}

/// The interpreter that the test set-up made, or the system's.
fn python() -> PathBuf {
    let made = Path::new(env!("CARGO_MANIFEST_DIR")).join("../.venv/bin/python3");
    match std::env::var_os("STAFFETTA_PYTHON") {
        Some(named) => named.into(),
        None if made.exists() => made,
        None => "python3".into(),
    }
}
