//! A scenario as it is written. Key by key is read on its own, so that a fault in one does not hide those of the others.

use std::fmt;
use std::ops::RangeInclusive;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use toml::{Table, Value};

use crate::sink;

use super::{Arrivals, Curve, Load, Mails, Scenario, Send, ServiceSection};

/// An hour: every run is bounded in time.
const SECONDS_MAX: u32 = 3600;
/// What one machine's loopback could carry at the very most.
const RATE_MAX: f64 = 200_000.0;
/// Requests of one load. The ledger has 40 bytes for each mail.
const COUNT_MAX: u32 = 50_000_000;
/// What the service takes in a message's HTML and text, each 256 KiB, less what their JSON adds.
const MESSAGE_BYTES: RangeInclusive<u32> = 200..=250_000;

/// Everything that is wrong with a scenario.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Faults(pub(crate) Vec<String>);

impl std::error::Error for Faults {}

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = self.0.len();
        write!(f, "{count} fault{}:", if count == 1 { "" } else { "s" })?;
        self.0.iter().try_for_each(|fault| write!(f, "\n  - {fault}"))
    }
}

/// What stands before the first section.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Head {
    title: String,
    about: String,
    seconds: u32,
    warm_up_seconds: u32,
    settle_seconds: u32,
}

impl Default for Head {
    fn default() -> Self {
        Self {
            title: String::new(),
            about: String::new(),
            seconds: 60,
            warm_up_seconds: 5,
            settle_seconds: 30,
        }
    }
}

/// One `[[load]]`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct LoadSection {
    send: Option<Send>,
    rate: Option<f64>,
    curve: Curve,
    connections_max: Option<usize>,
    wait_seconds: Option<u32>,
}

/// Reads a scenario's text.
pub(super) fn read(text: &str) -> Result<Scenario, Faults> {
    let mut faults = List::default();
    let mut table = text
        .parse::<Table>()
        .map_err(|error| Faults(vec![format!("not TOML: {}", error.to_string().trim_end())]))?;
    let mut section = |name: &str, faults: &mut List| match table.remove(name) {
        None => Table::new(),
        Some(Value::Table(section)) => section,
        Some(other) => {
            faults.add(name, format!("is {}, not a section", other.type_str()));
            Table::new()
        }
    };
    let service: ServiceSection = by_key("service", section("service", &mut faults), &mut faults);
    let sink: sink::Settings = by_key("sink", section("sink", &mut faults), &mut faults);
    let mails: Mails = by_key("mails", section("mails", &mut faults), &mut faults);
    let loads = match table.remove("load") {
        None => Vec::new(),
        Some(Value::Array(loads)) => loads,
        Some(other) => {
            faults.add("load", format!("is {}, not a list: write [[load]]", other.type_str()));
            Vec::new()
        }
    };
    let head: Head = by_key("", table, &mut faults);
    check_head(&head, &mut faults);
    check_service(&service, &head, &mut faults);
    check_mails(&mails, &mut faults);
    if loads.is_empty() {
        faults.add("load", "there is none: a scenario has at least one [[load]]");
    }
    let loads = loads.into_iter().enumerate().filter_map(|(index, value)| {
        let path = format!("load[{index}]");
        let Value::Table(section) = value else {
            faults.add(&path, "is not a section");
            return None;
        };
        let section: LoadSection = by_key(&path, section, &mut faults);
        load(&path, &section, &head, &mails, &mut faults)
    });
    let loads: Vec<Load> = loads.collect();
    if !faults.0.is_empty() {
        return Err(Faults(faults.0));
    }
    Ok(Scenario {
        title: head.title,
        about: head.about,
        seconds: head.seconds,
        warm_up_seconds: head.warm_up_seconds,
        settle_seconds: head.settle_seconds,
        service,
        sink,
        mails,
        loads,
        text: text.to_owned(),
    })
}

#[derive(Default)]
struct List(Vec<String>);

impl List {
    fn add(&mut self, path: &str, fault: impl fmt::Display) {
        self.0.push(format!("{path}: {fault}"));
    }

    fn demand(&mut self, holds: bool, path: &str, fault: impl fmt::Display) {
        if !holds {
            self.add(path, fault);
        }
    }

    fn within<T: Copy + PartialOrd + fmt::Display>(&mut self, path: &str, value: T, range: RangeInclusive<T>) {
        let fault = format!("{value} is not in {} to {}", range.start(), range.end());
        self.demand(range.contains(&value), path, fault);
    }
}

/// Reads each key of a section on its own; those with faults are left at their defaults.
fn by_key<T: DeserializeOwned + Default>(path: &str, section: Table, faults: &mut List) -> T {
    let mut sound = Table::new();
    for (key, value) in section {
        let alone = Value::Table(Table::from_iter([(key.clone(), value.clone())]));
        match serde_path_to_error::deserialize::<_, T>(alone) {
            Ok(_) => drop(sound.insert(key, value)),
            Err(error) => {
                // A key that is unknown has no path of its own.
                let within = match error.path().to_string() {
                    own if own == "." => key,
                    own => own,
                };
                let path = if path.is_empty() {
                    within
                } else {
                    format!("{path}.{within}")
                };
                faults.add(&path, error.inner().to_string().trim_end().replace('\n', "; "));
            }
        }
    }
    sound.try_into().unwrap_or_default()
}

fn check_head(head: &Head, faults: &mut List) {
    faults.demand(!head.title.trim().is_empty(), "title", "is missing");
    faults.within("seconds", head.seconds, 1..=SECONDS_MAX);
    faults.within("warm_up_seconds", head.warm_up_seconds, 0..=600);
    faults.within("settle_seconds", head.settle_seconds, 0..=SECONDS_MAX);
}

fn check_service(service: &ServiceSection, head: &Head, faults: &mut List) {
    faults.within("service.slow_flush_ms", service.slow_flush_ms, 0..=1000);
    faults.within("service.scrape_every_ms", service.scrape_every_ms, 0..=60_000);
    let often = service.scrape_every_ms == 0 || service.scrape_every_ms >= 100;
    faults.demand(often, "service.scrape_every_ms", "is less than 100 ms; 0 is never");
    for (index, at) in service.kill_at_seconds.iter().enumerate() {
        let path = format!("service.kill_at_seconds[{index}]");
        faults.demand(
            *at < head.seconds,
            &path,
            format!("{at} is not before the end of the load"),
        );
    }
    let rising = service.kill_at_seconds.is_sorted_by(|one, other| one < other);
    faults.demand(rising, "service.kill_at_seconds", "does not rise");
}

fn check_mails(mails: &Mails, faults: &mut List) {
    faults.within("mails.prepared", mails.prepared, 0..=1_000_000);
    let weight: u64 = mails.domains.values().map(|weight| u64::from(*weight)).sum();
    faults.demand(
        (1..=1_000_000).contains(&weight),
        "mails.domains",
        "its weights sum up to 0, or to too much",
    );
    for name in mails.domains.keys() {
        let sound = name == "*" || types::address::EmailAddress::try_from(format!("o1@{name}").as_str()).is_ok();
        faults.demand(sound, &format!("mails.domains.{name}"), "is no domain, nor *");
    }
    faults.demand(
        mails.bytes.iter().any(|(_, weight)| *weight > 0),
        "mails.bytes",
        "has no size with a weight",
    );
    for (index, (bytes, weight)) in mails.bytes.iter().enumerate() {
        faults.within(&format!("mails.bytes[{index}][0]"), *bytes, MESSAGE_BYTES);
        faults.within(&format!("mails.bytes[{index}][1]"), *weight, 0..=1_000_000);
    }
}

fn load(path: &str, section: &LoadSection, head: &Head, mails: &Mails, faults: &mut List) -> Option<Load> {
    let field = |name: &str| format!("{path}.{name}");
    if section.send.is_none() && !faults.0.iter().any(|fault| fault.starts_with(&field("send"))) {
        faults.add(&field("send"), "is missing");
    }
    let rate = section.rate.unwrap_or_default();
    if let Curve::Batch { .. } = section.curve {
        let fault = "a batch has none: all of it is due at once";
        faults.demand(section.rate.is_none(), &field("rate"), fault);
    } else if section.rate.is_some() || !faults.0.iter().any(|fault| fault.starts_with(&field("rate"))) {
        let fault = format!("{rate} is not above 0 and at most {RATE_MAX}");
        faults.demand(rate > 0.0 && rate <= RATE_MAX, &field("rate"), fault);
    }
    check_curve(&field("curve"), section.curve, rate, head.seconds, faults);
    let connections_max = section.connections_max.unwrap_or(256);
    faults.within(&field("connections_max"), connections_max, 1..=10_000);
    let send = section.send?;
    let follows = matches!(send, Send::Opens | Send::Clicks | Send::Landings);
    faults.demand(
        !follows || mails.prepared > 0,
        "mails.prepared",
        format!("is 0, but {path} follows links of mails that were delivered before"),
    );
    let is_timer = send == Send::Timers;
    faults.demand(
        is_timer || section.wait_seconds.is_none(),
        &field("wait_seconds"),
        "is for timers only",
    );
    let wait_seconds = section.wait_seconds.unwrap_or(5);
    faults.within(&field("wait_seconds"), wait_seconds, 1..=SECONDS_MAX);
    let mut arrivals = Arrivals::new(rate, section.curve, head.seconds, head.warm_up_seconds);
    if let (Send::Timers, Curve::Batch { at_seconds, .. }) = (send, section.curve) {
        let fault = format!("is before {wait_seconds} s, the wait: the events go out before the load begins");
        faults.demand(at_seconds >= f64::from(wait_seconds), &field("curve.at_seconds"), fault);
        arrivals = arrivals.ahead(wait_seconds);
    }
    let fault = format!("{} requests are more than {COUNT_MAX}", arrivals.count());
    faults.demand(arrivals.count() <= COUNT_MAX, &field("rate"), fault);
    Some(Load {
        send,
        arrivals,
        connections_max,
        wait_seconds,
        first: 0,
    })
}

fn check_curve(path: &str, curve: Curve, rate: f64, seconds: u32, faults: &mut List) {
    let field = |name: &str| format!("{path}.{name}");
    let seconds = f64::from(seconds);
    match curve {
        Curve::Steady => {}
        Curve::Ramp { to } => {
            let fault = format!("{to} is not above 0 and at most {RATE_MAX}");
            faults.demand(to > 0.0 && to <= RATE_MAX, &field("to"), fault);
        }
        Curve::Spike {
            at_seconds,
            times,
            rise_seconds,
            fall_seconds,
        } => {
            faults.within(&field("at_seconds"), at_seconds, 0.0..=seconds);
            faults.within(&field("times"), times, 1.0..=10_000.0);
            let fault = format!("{} a second at its height is more than {RATE_MAX}", rate * times);
            faults.demand(rate * times <= RATE_MAX, &field("times"), fault);
            faults.within(&field("rise_seconds"), rise_seconds, 0.0..=seconds);
            faults.within(&field("fall_seconds"), fall_seconds, 0.1..=f64::from(SECONDS_MAX));
        }
        Curve::Batch { at_seconds, count } => {
            faults.within(&field("at_seconds"), at_seconds, 0.0..=seconds);
            faults.within(&field("count"), count, 1..=COUNT_MAX);
        }
    }
}
