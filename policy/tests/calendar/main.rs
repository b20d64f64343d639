//! The calendar against an independent reckoning, against a minute-by-minute search, and against what others got wrong.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "fixtures of tests state expectations by unwrapping, too"
)]

mod cost;
mod known_defects;
mod minute_by_minute;
mod summer_time;
mod zoneinfo;

use policy::calendar::{ResolvedZone, Slot, is_allowed, resolve};
use types::calendar::{Rule, SendRules};
use types::time::Timestamp;

fn zone(name: &str) -> ResolvedZone {
    ResolvedZone::of(name.parse().unwrap_or_else(|error| panic!("{error}")))
}

fn time(text: &str) -> Timestamp {
    text.parse().unwrap_or_else(|error| panic!("{text}: {error}"))
}

fn rules(json: &str) -> SendRules {
    serde_json::from_str(json).unwrap_or_else(|error| panic!("{json}: {error}"))
}

/// A message that is ready at one time leaves at the other, in a zone that is the account's, too, moved by these rules.
#[track_caller]
fn check(zone_name: &str, written: &str, ready: &str, leaves: &str, trace: &[Rule]) {
    let (zone, rules) = (zone(zone_name), rules(written));
    let slot = resolve(time(ready), &rules, &zone, &zone);
    let at = slot
        .at()
        .unwrap_or_else(|| panic!("{written}: no slot, {:?}", slot.trace()));
    assert_eq!(at, time(leaves), "{zone_name}, {written}, ready {ready}: {slot:?}");
    assert_eq!(slot.trace(), trace, "{zone_name}, {written}, ready {ready}");
    assert_eq!(is_allowed(at, &rules, &zone, &zone), Ok(()));
}

/// A message that is ready then never leaves.
#[track_caller]
fn check_none(zone_name: &str, written: &str, ready: &str, trace: &[Rule]) {
    let zone = zone(zone_name);
    let slot = resolve(time(ready), &rules(written), &zone, &zone);
    let expected = Slot::None { trace: trace.to_vec() };
    assert_eq!(slot, expected, "{zone_name}, {written}, ready {ready}");
}
