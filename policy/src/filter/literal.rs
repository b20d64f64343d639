//! Times and durations as filters spell them.

use types::calendar::CivilDate;

/// Reads an RFC 3339 time, or a day of the calendar for its midnight in UTC. Milliseconds since 1970; earlier ones are negative.
pub(super) fn time(text: &str) -> Option<i64> {
    if let Ok(date) = text.parse::<CivilDate>() {
        return Some(midnight(date));
    }
    text.parse::<jiff::Timestamp>()
        .ok()
        .map(jiff::Timestamp::as_millisecond)
}

/// Returns the first moment of this day in UTC, in milliseconds since 1970.
pub(super) fn midnight(date: CivilDate) -> i64 {
    let days = jiff::civil::Date::from(date).since(jiff::civil::date(1970, 1, 1));
    let days = days.map_or(0, |span| i64::from(span.get_days()));
    days * 86_400_000
}

/// Reads a duration: numbers with units `d` (24 hours), `h`, `m`, `s` or `ms`, such as `36h`, `1h30m` or `-1.5h`. Milliseconds.
pub(super) fn span(text: &str) -> Option<i64> {
    let (sign, mut rest) = match text.strip_prefix('-') {
        Some(rest) => (-1, rest),
        None => (1, text),
    };
    if rest.is_empty() {
        return None;
    }
    let mut total: i64 = 0;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (number, after) = rest.split_at(digits);
        let letters = after.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(after.len());
        let (unit, after) = after.split_at(letters);
        let unit = match unit {
            "d" => 86_400_000,
            "h" => 3_600_000,
            "m" => 60_000,
            "s" => 1_000,
            "ms" => 1,
            _ => return None,
        };
        total = total.checked_add(scaled(number, unit)?)?;
        rest = after;
    }
    Some(sign * total)
}

/// Multiplies a decimal number by a unit; fractions of a millisecond are cut off.
fn scaled(number: &str, unit: i64) -> Option<i64> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
    // Nine decimals are finer than a millisecond of any unit.
    if fraction.is_empty() || fraction.len() > 9 || !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let tenths = 10_i64.pow(u32::try_from(fraction.len()).ok()?);
    let fraction: i64 = fraction.parse().ok()?;
    let whole: i64 = whole.parse().ok()?;
    whole
        .checked_mul(unit)?
        .checked_add(fraction.checked_mul(unit)? / tenths)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_to_the_millisecond() {
        for (text, expected) in [
            ("30d", Some(30 * 86_400_000)),
            ("1h30m", Some(5_400_000)),
            ("-1.5h", Some(-5_400_000)),
            ("250ms", Some(250)),
            ("0.25d", Some(21_600_000)),
            ("", None),
            ("-", None),
            ("5", None),
            ("h", None),
            (".5h", None),
            ("5w", None),
            ("1..5h", None),
            ("99999999999999999999d", None),
            ("9223372036854775807d", None),
            ("1h -5m", None),
        ] {
            assert_eq!(span(text), expected, "{text}");
        }
    }

    #[test]
    fn times_are_read_with_an_offset_or_as_a_day() {
        for (text, expected) in [
            ("1970-01-02", Some(86_400_000)),
            ("1969-12-31", Some(-86_400_000)),
            ("1970-01-01T01:00:00+01:00", Some(0)),
            ("2026-11-22T10:00:00", None),
            ("2026-02-29", None),
            ("tomorrow", None),
        ] {
            assert_eq!(time(text), expected, "{text}");
        }
        assert_eq!(time("0001-01-01"), Some(-62_135_596_800_000));
        assert_eq!(time("9999-12-31"), Some(253_402_214_400_000));
    }
}
