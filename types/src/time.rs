//! Wall time as events carry it, and the port through which the binary supplies it.

use std::fmt;
use std::ops::{Add, Sub};
use std::str::FromStr;
use std::time::Duration;

use minicbor::{Decode, Encode};
use serde::{Deserialize, Serialize};

/// A moment of wall time in milliseconds since 1970, UTC. RFC 3339 in JSON.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
#[cbor(transparent)]
pub struct Timestamp(#[n(0)] u64);

impl Timestamp {
    /// Takes milliseconds since 1970.
    pub const fn from_millis(millis: u64) -> Self {
        Self(millis)
    }

    /// Returns milliseconds since 1970.
    pub const fn as_millis(self) -> u64 {
        self.0
    }

    /// Returns how long ago `earlier` was, or zero if it lies ahead.
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }

    /// Formats the moment as RFC 5322 `Date:` wants it, in UTC.
    pub fn rfc5322(self) -> String {
        let time = self.jiff();
        jiff::fmt::rfc2822::to_string(&time.to_zoned(jiff::tz::TimeZone::UTC))
            .expect("years 1970 to 9999 have an RFC 5322 form")
    }

    fn jiff(self) -> jiff::Timestamp {
        // The last second of year 9999 bounds what a parsed or added-up time can reach.
        let millis = i64::try_from(self.0).unwrap_or(i64::MAX).min(253_402_207_199_000);
        jiff::Timestamp::from_millisecond(millis).expect("bounded to jiff's range just above")
    }
}

impl Add<Duration> for Timestamp {
    type Output = Self;

    fn add(self, wait: Duration) -> Self {
        Self(
            self.0
                .saturating_add(u64::try_from(wait.as_millis()).unwrap_or(u64::MAX)),
        )
    }
}

impl Sub<Duration> for Timestamp {
    type Output = Self;

    fn sub(self, wait: Duration) -> Self {
        Self(
            self.0
                .saturating_sub(u64::try_from(wait.as_millis()).unwrap_or(u64::MAX)),
        )
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.3}", self.jiff())
    }
}

impl fmt::Debug for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Why a text is not a moment of time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not an RFC 3339 time with an offset, from 1970 on, such as 2026-11-21T20:15:00Z")]
pub struct NotATime;

impl FromStr for Timestamp {
    type Err = NotATime;

    fn from_str(text: &str) -> Result<Self, NotATime> {
        let time: jiff::Timestamp = text.parse().map_err(|_| NotATime)?;
        u64::try_from(time.as_millisecond()).map(Self).map_err(|_| NotATime)
    }
}

impl TryFrom<String> for Timestamp {
    type Error = NotATime;

    fn try_from(text: String) -> Result<Self, NotATime> {
        text.parse()
    }
}

impl From<Timestamp> for String {
    fn from(time: Timestamp) -> Self {
        time.to_string()
    }
}

/// Tells the time. The binary has the only real one; tests set theirs.
pub trait Clock: Send + Sync + 'static {
    /// Returns the current wall time.
    fn now(&self) -> Timestamp;

    /// Returns the time since a moment of its own choosing: never set back or forward, so it is what the length of a piece of work is
    /// measured by. A clock that nobody sets, as of a simulation, may leave it to the wall time.
    fn elapsed(&self) -> Duration {
        Duration::from_millis(self.now().as_millis())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rfc3339_is_read_and_written() {
        let time: Timestamp = "2026-11-21T21:15:00+01:00".parse().expect("valid");
        assert_eq!(time.to_string(), "2026-11-21T20:15:00.000Z");
        assert_eq!(time.rfc5322(), "Sat, 21 Nov 2026 20:15:00 +0000");
    }

    #[test]
    fn times_without_offset_or_before_1970_are_refused() {
        assert_eq!("2026-11-21T21:15:00".parse::<Timestamp>(), Err(NotATime));
        assert_eq!("1969-12-31T23:59:59Z".parse::<Timestamp>(), Err(NotATime));
    }

    #[test]
    fn extreme_times_do_not_panic() {
        let end = Timestamp::from_millis(u64::MAX) + Duration::from_secs(10);
        assert!(end.to_string().starts_with("9999"));
    }
}
