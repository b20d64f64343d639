//! Messages that became due together, spread over the time that follows.

use jiff::SignedDuration;
use jiff::civil::DateTime;
use types::calendar::SendRules;
use types::time::Timestamp;

use super::slot::{active_range, clock, forbidden, midnight_after};
use super::zone::{ResolvedZone, instant, timestamp};

/// Moves a resolved instant on by a share of `rules.spread` that depends on `key` alone.
///
/// `at` comes from [`super::resolve`] with the same rules. Keys that are evenly spread (a hash of the message's id) give
/// instants that are. No instant moves past the next moment that the rules forbid: the time until then is spread over.
/// The same key gives the same instant, so a message that is resolved again does not wander.
pub fn spread(
    at: Timestamp,
    key: u64,
    rules: &SendRules,
    zone: &ResolvedZone,
    account_zone: &ResolvedZone,
) -> Timestamp {
    let Some(wait) = rules.spread else { return at };
    let start = instant(at);
    let seconds = i64::try_from(wait.nominal_seconds()).unwrap_or(i64::MAX);
    let Ok(end) = start.checked_add(SignedDuration::from_secs(seconds)) else {
        return at;
    };
    let (_, active_to) = active_range(rules, account_zone);
    let end = active_to.map_or(end, |to| to.min(end));
    let room = timestamp(allowed_until(start, end, rules, zone)).since(at).as_millis();
    // The key as a share of its range, so that keys near each other go near each other.
    let share = (room * u128::from(key)) >> u64::BITS;
    Timestamp::from_millis(at.as_millis() + u64::try_from(share).unwrap_or(0))
}

/// Returns the first instant from `start` on that the rules forbid, or `end` if that is earlier.
fn allowed_until(
    start: jiff::Timestamp,
    end: jiff::Timestamp,
    rules: &SendRules,
    zone: &ResolvedZone,
) -> jiff::Timestamp {
    let mut at = start;
    while at < end {
        let local = zone.local(at);
        if forbidden(local.shows, rules).is_some() {
            return at;
        }
        let Some(next) = zone.runs_until(local, next_border(local.shows, rules)) else {
            return end;
        };
        at = next;
    }
    end
}

/// Returns what the clocks show when a rule can next begin to forbid.
fn next_border(shows: DateTime, rules: &SendRules) -> DateTime {
    let midnight = midnight_after(shows);
    let Some(quiet) = rules.quiet else { return midnight };
    let quiet_from = shows.date().to_datetime(clock(quiet.from));
    if quiet_from > shows {
        quiet_from.min(midnight)
    } else {
        midnight
    }
}
