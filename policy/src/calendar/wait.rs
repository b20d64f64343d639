//! From an event and a wait to the instant at which the wait is over.

use std::time::Duration;

use jiff::ToSpan;
use types::calendar::Wait;
use types::time::Timestamp;

use super::zone::{ResolvedZone, instant, timestamp};

/// Returns when a wait that began with an event is over.
///
/// `base` is when the event happened, as it was stamped, and not when it was worked on. Minutes, hours and blocks of
/// 24 hours are time that passed. Days are days on the zone's calendar, at the same clock time: a day is 23 or 25 hours
/// long where the clocks are changed. The result may lie in the past: see [`ready_at`].
pub fn add_wait(base: Timestamp, wait: &Wait, zone: &ResolvedZone) -> Timestamp {
    let elapsed = base + Duration::from_secs(wait.nominal_seconds());
    // No day at all is no way through the calendar: the second copy of a repeated hour would become the first.
    if wait.elapsed_seconds().is_some() || wait.amount() == 0 {
        return elapsed;
    }
    let shown = zone.local(instant(base)).shows;
    let days = i32::try_from(wait.amount()).unwrap_or(i32::MAX);
    // At the end of the year 9999 the calendar ends, and a day is 24 hours.
    shown
        .checked_add(days.days())
        .ok()
        .and_then(|time| zone.instant(time))
        .map_or(elapsed, timestamp)
}

/// Returns when a message that waits for an event is ready, seen from `now`: an event older than the wait is over now.
pub fn ready_at(base: Timestamp, wait: &Wait, zone: &ResolvedZone, now: Timestamp) -> Timestamp {
    add_wait(base, wait, zone).max(now)
}
