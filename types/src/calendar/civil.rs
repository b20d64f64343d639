//! Days and clock times without a zone.

use std::fmt;
use std::str::FromStr;

use minicbor::{Decode, Encode};
use serde::{Deserialize, Serialize};

use super::written_as_text;

/// A time on the clock, to the minute: `00:00` to `23:59`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TimeOfDay {
    hour: u8,
    minute: u8,
}

/// Why a text is not a [`TimeOfDay`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a time of the day from 00:00 to 23:59")]
pub struct NotATimeOfDay(String);

impl TimeOfDay {
    /// The first minute of a day.
    pub const MIDNIGHT: Self = Self { hour: 0, minute: 0 };

    /// Makes the time; `None` if the clock has no such hour or minute.
    pub const fn new(hour: u8, minute: u8) -> Option<Self> {
        if hour < 24 && minute < 60 {
            Some(Self { hour, minute })
        } else {
            None
        }
    }

    /// Returns the hour, 0 to 23.
    pub const fn hour(self) -> u8 {
        self.hour
    }

    /// Returns the minute, 0 to 59.
    pub const fn minute(self) -> u8 {
        self.minute
    }
}

impl FromStr for TimeOfDay {
    type Err = NotATimeOfDay;

    fn from_str(text: &str) -> Result<Self, NotATimeOfDay> {
        let read = || {
            let (hour, minute) = text.split_once(':')?;
            Self::new(two_digits(hour)?, two_digits(minute)?)
        };
        read().ok_or_else(|| NotATimeOfDay(shown(text)))
    }
}

impl fmt::Display for TimeOfDay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:02}:{:02}", self.hour, self.minute)
    }
}

written_as_text!(
    TimeOfDay,
    NotATimeOfDay,
    "A time on the clock, to the minute.",
    "^([01][0-9]|2[0-3]):[0-5][0-9]$",
    "09:00"
);

/// A day of the week.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Encode, Decode, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
#[cbor(index_only)]
pub enum Weekday {
    /// Monday.
    #[n(0)]
    Mon,
    /// Tuesday.
    #[n(1)]
    Tue,
    /// Wednesday.
    #[n(2)]
    Wed,
    /// Thursday.
    #[n(3)]
    Thu,
    /// Friday.
    #[n(4)]
    Fri,
    /// Saturday.
    #[n(5)]
    Sat,
    /// Sunday.
    #[n(6)]
    Sun,
}

impl Weekday {
    /// Every weekday, Monday first.
    pub const ALL: [Self; 7] = [
        Self::Mon,
        Self::Tue,
        Self::Wed,
        Self::Thu,
        Self::Fri,
        Self::Sat,
        Self::Sun,
    ];

    /// Returns the weekday of a date.
    pub fn of(date: CivilDate) -> Self {
        use jiff::civil::Weekday as W;
        match date.0.weekday() {
            W::Monday => Self::Mon,
            W::Tuesday => Self::Tue,
            W::Wednesday => Self::Wed,
            W::Thursday => Self::Thu,
            W::Friday => Self::Fri,
            W::Saturday => Self::Sat,
            W::Sunday => Self::Sun,
        }
    }
}

/// A day on the calendar of the years 1 to 9999: `2026-12-24`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct CivilDate(jiff::civil::Date);

/// Why a text is not a [`CivilDate`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a day of the calendar such as 2026-12-24")]
pub struct NotADate(String);

impl CivilDate {
    /// Makes the day; `None` if the calendar has none such.
    pub fn new(year: i16, month: u8, day: u8) -> Option<Self> {
        let (month, day) = (i8::try_from(month).ok()?, i8::try_from(day).ok()?);
        Self::try_from(jiff::civil::Date::new(year, month, day).ok()?).ok()
    }

    /// Returns the year, 1 to 9999.
    pub fn year(self) -> i16 {
        self.0.year()
    }

    /// Returns the month, 1 to 12.
    pub fn month(self) -> u8 {
        self.0.month().unsigned_abs()
    }

    /// Returns the day of the month, 1 to 31.
    pub fn day(self) -> u8 {
        self.0.day().unsigned_abs()
    }

    /// Returns the month and day.
    pub fn month_day(self) -> MonthDay {
        MonthDay {
            month: self.month(),
            day: self.day(),
        }
    }
}

impl TryFrom<jiff::civil::Date> for CivilDate {
    type Error = NotADate;

    fn try_from(date: jiff::civil::Date) -> Result<Self, NotADate> {
        if date.year() < 1 {
            return Err(NotADate(date.to_string()));
        }
        Ok(Self(date))
    }
}

impl From<CivilDate> for jiff::civil::Date {
    fn from(date: CivilDate) -> Self {
        date.0
    }
}

impl FromStr for CivilDate {
    type Err = NotADate;

    fn from_str(text: &str) -> Result<Self, NotADate> {
        let read = || {
            let (year, rest) = text.split_once('-')?;
            let (month, day) = rest.split_once('-')?;
            if year.len() != 4 || !year.bytes().all(|b| b.is_ascii_digit()) {
                return None;
            }
            Self::new(year.parse().ok()?, two_digits(month)?, two_digits(day)?)
        };
        read().ok_or_else(|| NotADate(shown(text)))
    }
}

impl fmt::Display for CivilDate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04}-{:02}-{:02}", self.year(), self.month(), self.day())
    }
}

written_as_text!(
    CivilDate,
    NotADate,
    "A day on the calendar.",
    "^[0-9]{4}-[01][0-9]-[0-3][0-9]$",
    "2026-12-24"
);

/// A day of every year: `12-25`. `02-29` is one, and comes in leap years.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct MonthDay {
    month: u8,
    day: u8,
}

/// Why a text is not a [`MonthDay`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a month and a day of it such as 12-25")]
pub struct NotAMonthDay(String);

impl MonthDay {
    /// 29 February, which most years do not have.
    pub const LEAP_DAY: Self = Self { month: 2, day: 29 };

    /// Makes the day; `None` if no year has it.
    pub const fn new(month: u8, day: u8) -> Option<Self> {
        let days = match month {
            1 | 3 | 5 | 7 | 8 | 10 | 12 => 31,
            4 | 6 | 9 | 11 => 30,
            2 => 29,
            _ => 0,
        };
        if day >= 1 && day <= days {
            Some(Self { month, day })
        } else {
            None
        }
    }

    /// Returns the month, 1 to 12.
    pub const fn month(self) -> u8 {
        self.month
    }

    /// Returns the day of the month, 1 to 31.
    pub const fn day(self) -> u8 {
        self.day
    }
}

impl FromStr for MonthDay {
    type Err = NotAMonthDay;

    fn from_str(text: &str) -> Result<Self, NotAMonthDay> {
        let read = || {
            let (month, day) = text.split_once('-')?;
            Self::new(two_digits(month)?, two_digits(day)?)
        };
        read().ok_or_else(|| NotAMonthDay(shown(text)))
    }
}

impl fmt::Display for MonthDay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:02}-{:02}", self.month, self.day)
    }
}

written_as_text!(
    MonthDay,
    NotAMonthDay,
    "A day of every year: month and day.",
    "^[01][0-9]-[0-3][0-9]$",
    "12-25"
);

fn two_digits(text: &str) -> Option<u8> {
    let both = text.len() == 2 && text.bytes().all(|b| b.is_ascii_digit());
    both.then(|| text.parse().ok()).flatten()
}

/// What is echoed in an answer or a log is bounded.
fn shown(text: &str) -> String {
    text.chars().take(64).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check<T: FromStr + fmt::Display>(good: &[&str], bad: &[&str])
    where
        T::Err: fmt::Display,
    {
        for text in good {
            let value: T = text.parse().unwrap_or_else(|error: T::Err| panic!("{error}"));
            assert_eq!(value.to_string(), *text);
        }
        for text in bad {
            let error = text.parse::<T>().map(|value| value.to_string());
            let error = error.map_err(|error| error.to_string()).unwrap_err();
            assert!(error.starts_with(&format!("`{text}` is not a")), "{error}");
        }
    }

    #[test]
    fn times_of_the_day() {
        let bad = [
            "", "9:00", "24:00", "09:60", "09:5", "09-00", "0900", "+9:00", "09:00:00", "09:0è",
        ];
        check::<TimeOfDay>(&["00:00", "09:05", "23:59"], &bad);
    }

    #[test]
    fn dates() {
        let bad = [
            "",
            "2026-02-29",
            "2026-13-01",
            "2026-1-1",
            "26-01-01",
            "0000-01-01",
            "2026-01-01T00:00",
            "2026-00-10",
            "+026-01-01",
        ];
        check::<CivilDate>(&["2026-12-24", "2028-02-29", "0001-01-01", "9999-12-31"], &bad);
        assert_eq!(Weekday::of("2026-12-24".parse().unwrap()), Weekday::Thu);
    }

    #[test]
    fn days_of_every_year() {
        check::<MonthDay>(
            &["12-25", "02-29", "01-31"],
            &["", "02-30", "04-31", "13-01", "00-10", "1-1", "12-00"],
        );
        assert_eq!(
            "2028-02-29".parse::<CivilDate>().unwrap().month_day(),
            MonthDay::LEAP_DAY
        );
    }
}
