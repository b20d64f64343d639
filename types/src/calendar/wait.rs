//! How long to wait, in the unit it was meant in.

use std::fmt;
use std::str::FromStr;

use minicbor::{Decode, Encode};
use serde::{Deserialize, Serialize};

use super::written_as_text;

/// A wait of at most [`Wait::DAYS_MAX`] days: `30m`, `2h`, `3d` or `3x24h`.
///
/// The unit is kept, since days on the calendar are not a number of hours. A wait of nothing, such as `0d`, is one.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Wait {
    amount: u32,
    unit: Unit,
}

/// What a [`Wait`] counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Encode, Decode, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
#[cbor(index_only)]
pub enum Unit {
    /// 60 seconds that passed; written `m`.
    #[n(0)]
    Minutes,
    /// 3,600 seconds that passed; written `h`.
    #[n(1)]
    Hours,
    /// Days on the calendar of the zone, at the same clock time; written `d`.
    #[n(2)]
    Days,
    /// 86,400 seconds that passed; written `x24h`.
    #[n(3)]
    Blocks,
}

impl Unit {
    /// Returns what follows the number in a written wait.
    pub const fn suffix(self) -> &'static str {
        match self {
            Self::Minutes => "m",
            Self::Hours => "h",
            Self::Days => "d",
            Self::Blocks => "x24h",
        }
    }

    const fn per_day(self) -> u32 {
        match self {
            Self::Minutes => 24 * 60,
            Self::Hours => 24,
            Self::Days | Self::Blocks => 1,
        }
    }
}

/// Why a text is not a [`Wait`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotAWait {
    /// It is not a whole number with a unit.
    #[error("`{0}` is not a wait such as 30m, 2h, 3d (days on the calendar) or 3x24h")]
    Form(String),
    /// It is longer than any wait may be.
    #[error("a wait of {amount}{} is longer than {} days", .unit.suffix(), Wait::DAYS_MAX)]
    TooLong {
        /// How many were asked for.
        amount: u32,
        /// Of what.
        unit: Unit,
    },
}

impl Wait {
    /// The longest wait, in days.
    pub const DAYS_MAX: u32 = 400;

    /// Makes a wait of so many units.
    pub fn new(amount: u32, unit: Unit) -> Result<Self, NotAWait> {
        if amount > Self::DAYS_MAX * unit.per_day() {
            return Err(NotAWait::TooLong { amount, unit });
        }
        Ok(Self { amount, unit })
    }

    /// Returns how many units it has.
    pub const fn amount(&self) -> u32 {
        self.amount
    }

    /// Returns what is counted.
    pub const fn unit(&self) -> Unit {
        self.unit
    }

    /// Returns the seconds of a wait that is elapsed time, or `None` for days on the calendar.
    pub const fn elapsed_seconds(&self) -> Option<u64> {
        match self.unit {
            Unit::Days => None,
            _ => Some(self.nominal_seconds()),
        }
    }

    /// Returns the seconds it would have if every day had 86,400: for limits and for comparing waits.
    pub const fn nominal_seconds(&self) -> u64 {
        // No cast loses anything: `From` is not const.
        self.amount as u64 * (86_400 / self.unit.per_day()) as u64
    }
}

impl FromStr for Wait {
    type Err = NotAWait;

    fn from_str(text: &str) -> Result<Self, NotAWait> {
        let form = || NotAWait::Form(text.chars().take(64).collect());
        let (number, suffix) = text.split_at(text.find(|c: char| !c.is_ascii_digit()).ok_or_else(form)?);
        let unit = [Unit::Minutes, Unit::Hours, Unit::Days, Unit::Blocks]
            .into_iter()
            .find(|unit| unit.suffix() == suffix)
            .ok_or_else(form)?;
        Self::new(number.parse().map_err(|_| form())?, unit)
    }
}

impl fmt::Display for Wait {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.amount, self.unit.suffix())
    }
}

written_as_text!(
    Wait,
    NotAWait,
    "A wait of at most 400 days: minutes, hours, days on the calendar, or blocks of 24 hours.",
    "^[0-9]+(m|h|d|x24h)$",
    "3d"
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_are_read_and_written() {
        for (text, amount, unit) in [
            ("30m", 30, Unit::Minutes),
            ("2h", 2, Unit::Hours),
            ("3d", 3, Unit::Days),
            ("3x24h", 3, Unit::Blocks),
            ("0d", 0, Unit::Days),
            ("400d", 400, Unit::Days),
            ("9600h", 9600, Unit::Hours),
            ("576000m", 576_000, Unit::Minutes),
        ] {
            let wait: Wait = text.parse().unwrap();
            assert_eq!((wait.amount(), wait.unit()), (amount, unit));
            assert_eq!(wait.to_string(), text);
            assert_eq!(
                minicbor::decode::<Wait>(&minicbor::to_vec(wait).unwrap()).unwrap(),
                wait
            );
        }
        assert_eq!("2h".parse::<Wait>().unwrap().elapsed_seconds(), Some(7200));
        assert_eq!("2d".parse::<Wait>().unwrap().elapsed_seconds(), None);
        assert_eq!("2d".parse::<Wait>().unwrap().nominal_seconds(), 172_800);
    }

    #[test]
    fn a_fault_is_named() {
        for text in [
            "",
            "3",
            "d",
            "1.5h",
            "-1d",
            "3 d",
            "3D",
            "3x",
            "3w",
            "99999999999h",
            "3è",
        ] {
            assert_eq!(text.parse::<Wait>(), Err(NotAWait::Form(text.to_owned())));
        }
        for text in ["401d", "401x24h", "9601h", "576001m", "4294967295d"] {
            let error = text.parse::<Wait>().unwrap_err().to_string();
            assert_eq!(error, format!("a wait of {text} is longer than 400 days"));
        }
    }
}
