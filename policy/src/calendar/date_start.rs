//! Starts that a date of the contact sets: birthdays, renewals, so many days before or after.

use jiff::ToSpan;
use jiff::civil::Date;
use types::calendar::{CivilDate, TimeOfDay};
use types::time::Timestamp;
use types::workflow::Yearly;

use super::slot::clock;
use super::zone::{ResolvedZone, instant, timestamp};

/// Returns the first time later than `after` that a date comes, moved by so many days, at a local time.
///
/// A yearly date comes once for each year from its own on, and the days are counted from that year's date. 29 February
/// is itself in leap years, and in others the day that `yearly` tells: never both. `None` if it does not come again,
/// or if `offset_days` is more than [`OFFSET_DAYS_MAX`] either way.
///
/// To go on from one time to the next, pass the one that came as `after`.
pub fn next_date(
    field_date: CivilDate,
    offset_days: i32,
    at: TimeOfDay,
    yearly: Yearly,
    zone: &ResolvedZone,
    after: Timestamp,
) -> Option<Timestamp> {
    if offset_days.abs() > OFFSET_DAYS_MAX {
        return None;
    }
    let after = instant(after);
    let comes = |date: Date| {
        let date = date.checked_add(offset_days.days()).ok()?;
        let instant = zone.instant(date.to_datetime(clock(at)))?;
        (instant > after && instant.as_millisecond() >= 0).then(|| timestamp(instant))
    };
    let first = field_date.year();
    match yearly {
        Yearly::No => comes(field_date.into()),
        Yearly::Feb28 | Yearly::Mar01 => {
            // Moved by up to 400 days, the date of two years ago may still come, and that of two years hence may be
            // the first that does.
            let year = zone.local(after).shows.year();
            (year.saturating_sub(2).max(first)..=year.saturating_add(3).max(first))
                .find_map(|year| comes(in_year(field_date, year, yearly)?))
        }
    }
}

/// How many days before or after its date a start may lie.
pub const OFFSET_DAYS_MAX: i32 = 400;

fn in_year(date: CivilDate, year: i16, yearly: Yearly) -> Option<Date> {
    let part = |part: u8| i8::try_from(part).ok();
    Date::new(year, part(date.month())?, part(date.day())?)
        .ok()
        // Only 29 February is not in every year.
        .or_else(|| match yearly {
            Yearly::Mar01 => Date::new(year, 3, 1).ok(),
            Yearly::Feb28 | Yearly::No => Date::new(year, 2, 28).ok(),
        })
}

#[cfg(test)]
mod tests {
    use types::calendar::Zone;

    use super::*;

    fn check(date: &str, offset_days: i32, yearly: Yearly, after: &str, expected: &[&str]) {
        let zone = ResolvedZone::of("Europe/Rome".parse::<Zone>().unwrap());
        let at = TimeOfDay::new(9, 0).unwrap();
        let mut after: Timestamp = after.parse().unwrap();
        for expected in expected {
            let next = next_date(date.parse().unwrap(), offset_days, at, yearly, &zone, after);
            let written = next.map_or("never".to_owned(), |next| next.to_string());
            assert_eq!(written, *expected, "{date} {offset_days:+} {yearly:?} after {after}");
            after = next.unwrap_or(after);
        }
    }

    #[test]
    fn a_birthday_comes_once_a_year() {
        let birthdays = [
            "2026-12-24T08:00:00.000Z",
            "2027-12-24T08:00:00.000Z",
            "2028-12-24T08:00:00.000Z",
        ];
        check("1980-12-24", 0, Yearly::Feb28, "2026-01-01T00:00:00Z", &birthdays);
        check("1980-12-24", 0, Yearly::Mar01, "2026-12-24T07:59:59.999Z", &birthdays);
        check("1980-12-24", 0, Yearly::Feb28, "2026-12-24T08:00:00Z", &birthdays[1..]);
    }

    #[test]
    fn a_leap_day_comes_on_one_day_of_each_year() {
        check(
            "2000-02-29",
            0,
            Yearly::Feb28,
            "2026-01-01T00:00:00Z",
            &[
                "2026-02-28T08:00:00.000Z",
                "2027-02-28T08:00:00.000Z",
                "2028-02-29T08:00:00.000Z",
                "2029-02-28T08:00:00.000Z",
            ],
        );
        check(
            "2000-02-29",
            0,
            Yearly::Mar01,
            "2026-02-28T12:00:00Z",
            &[
                "2026-03-01T08:00:00.000Z",
                "2027-03-01T08:00:00.000Z",
                "2028-02-29T08:00:00.000Z",
                "2029-03-01T08:00:00.000Z",
            ],
        );
        check(
            "2000-02-29",
            0,
            Yearly::Feb28,
            "2099-06-01T00:00:00Z",
            &["2100-02-28T08:00:00.000Z"],
        );
    }

    #[test]
    fn days_before_and_after_are_counted_on_the_calendar() {
        // The clocks change on 29 March 2026: the hour on them stays.
        check(
            "2026-03-30",
            -3,
            Yearly::No,
            "2026-01-01T00:00:00Z",
            &["2026-03-27T08:00:00.000Z", "never"],
        );
        check(
            "2026-03-27",
            3,
            Yearly::No,
            "2026-01-01T00:00:00Z",
            &["2026-03-30T07:00:00.000Z", "never"],
        );
        check(
            "1980-01-02",
            -7,
            Yearly::Feb28,
            "2026-12-20T00:00:00Z",
            &["2026-12-26T08:00:00.000Z", "2027-12-26T08:00:00.000Z"],
        );
        check(
            "1980-12-30",
            400,
            Yearly::Feb28,
            "2026-12-20T00:00:00Z",
            &["2027-02-03T08:00:00.000Z", "2028-02-03T08:00:00.000Z"],
        );
        check(
            "1980-01-02",
            -400,
            Yearly::Feb28,
            "2026-12-20T00:00:00Z",
            &["2027-11-29T08:00:00.000Z"],
        );
    }

    #[test]
    fn a_date_does_not_come_before_its_own_year() {
        check(
            "2031-05-01",
            0,
            Yearly::Feb28,
            "2026-01-01T00:00:00Z",
            &["2031-05-01T07:00:00.000Z", "2032-05-01T07:00:00.000Z"],
        );
        check("1960-05-01", 0, Yearly::No, "1970-01-01T00:00:00Z", &["never"]);
        check("2026-05-01", 401, Yearly::Feb28, "2026-01-01T00:00:00Z", &["never"]);
        check("9999-12-31", 1, Yearly::Feb28, "2026-01-01T00:00:00Z", &["never"]);
    }
}
