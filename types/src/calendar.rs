//! The words of local time: zones, days, clock times, waits, and the rules that say when a message may leave.
//!
//! Everything here is written as a text in JSON, and in records (minicbor) too, so what was stored reads the same when
//! the zone data changes. What the words mean for an instant is decided in `policy::calendar`, and there alone.

mod civil;
mod wait;
mod zone;

use minicbor::{Decode, Encode};
use serde::{Deserialize, Serialize};

pub use civil::{CivilDate, MonthDay, NotADate, NotAMonthDay, NotATimeOfDay, TimeOfDay, Weekday};
pub use wait::{NotAWait, Unit, Wait};
pub use zone::{NotAZone, Zone};

/// Gives a type that is written as text its conversions: serde's from and to `String`, `Debug`, minicbor's, and the
/// schema, from what it is, its pattern, and an example.
///
/// It needs `FromStr` and `Display`, where what is displayed parses to the same value.
macro_rules! written_as_text {
    ($type:ty, $error:ty, $what:literal, $pattern:literal, $example:literal) => {
        #[cfg(feature = "openapi")]
        impl utoipa::PartialSchema for $type {
            fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::schema::Schema> {
                utoipa::openapi::ObjectBuilder::new()
                    .schema_type(utoipa::openapi::schema::Type::String)
                    .description(Some($what))
                    .pattern(Some($pattern))
                    .examples([$example])
                    .into()
            }
        }

        #[cfg(feature = "openapi")]
        impl utoipa::ToSchema for $type {}

        impl TryFrom<String> for $type {
            type Error = $error;

            fn try_from(text: String) -> Result<Self, $error> {
                text.parse()
            }
        }

        impl From<$type> for String {
            fn from(value: $type) -> Self {
                value.to_string()
            }
        }

        impl std::fmt::Debug for $type {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                std::fmt::Display::fmt(self, f)
            }
        }

        impl<C> minicbor::Encode<C> for $type {
            fn encode<W: minicbor::encode::Write>(
                &self,
                e: &mut minicbor::Encoder<W>,
                _: &mut C,
            ) -> Result<(), minicbor::encode::Error<W::Error>> {
                e.str(&self.to_string())?.ok()
            }
        }

        impl<'b, C> minicbor::Decode<'b, C> for $type {
            fn decode(d: &mut minicbor::Decoder<'b>, _: &mut C) -> Result<Self, minicbor::decode::Error> {
                d.str()?.parse().map_err(minicbor::decode::Error::custom)
            }
        }
    };
}
use written_as_text;

/// When messages may leave. The default has no rule: as soon as they are ready.
///
/// What is read from JSON was checked ([`SendRules::check`]).
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(default, deny_unknown_fields, try_from = "Unchecked")]
#[cbor(map)]
pub struct SendRules {
    /// Send at this clock time only: its next occurrence at or after the moment the message is ready.
    #[n(0)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub send_at: Option<TimeOfDay>,
    /// Do not send in these hours.
    #[n(1)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub quiet: Option<Quiet>,
    /// Send within these days only; what would leave after them is dropped.
    #[n(2)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub active: Option<Active>,
    /// Do not send on these days.
    #[n(3)]
    #[cbor(default)]
    #[serde(skip_serializing_if = "Except::is_empty")]
    pub except: Except,
    /// Spread messages that become due together over this time, so that they do not leave all at once.
    #[n(4)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub spread: Option<Wait>,
}

/// Hours in which nothing is sent: from `from` on, and no longer at `to`.
///
/// They may wrap midnight (22:00 to 08:00). If both are equal there are none; it does not mean the whole day.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
#[cbor(map)]
pub struct Quiet {
    /// The first quiet minute.
    #[n(0)]
    pub from: TimeOfDay,
    /// The first minute that is no longer quiet.
    #[n(1)]
    pub to: TimeOfDay,
}

/// The days between which messages leave: from 00:00 of `from` to before 00:00 of `to`, in the account's zone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Encode, Decode, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(default, deny_unknown_fields)]
#[cbor(map)]
pub struct Active {
    /// The first day; none means since ever.
    #[n(0)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<CivilDate>,
    /// The day after the last one; none means for ever.
    #[n(1)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to: Option<CivilDate>,
}

/// Days on which nothing is sent, as the recipient's calendar shows them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(default, deny_unknown_fields)]
#[cbor(map)]
pub struct Except {
    /// Single days, at most [`Except::DATES_MAX`].
    #[n(0)]
    #[cbor(default)]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[cfg_attr(feature = "openapi", schema(max_items = 400))]
    pub dates: Vec<CivilDate>,
    /// Days of every year, at most [`Except::YEARLY_MAX`].
    #[n(1)]
    #[cbor(default)]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[cfg_attr(feature = "openapi", schema(max_items = 100))]
    pub yearly: Vec<MonthDay>,
    /// Days of every week; not all of them.
    #[n(2)]
    #[cbor(default)]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[cfg_attr(feature = "openapi", schema(max_items = 6))]
    pub weekdays: Vec<Weekday>,
}

impl Except {
    /// How many single days can be named: a year of them, and some.
    pub const DATES_MAX: usize = 400;
    /// How many yearly days can be named.
    pub const YEARLY_MAX: usize = 100;

    /// Tells whether no day is excepted.
    pub fn is_empty(&self) -> bool {
        self.dates.is_empty() && self.yearly.is_empty() && self.weekdays.is_empty()
    }
}

/// Why rules cannot be meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RulesFault {
    /// The active days end before they begin, or have no day between.
    #[error("active: no day lies from {from} to before {to}")]
    NoActiveDay {
        /// The first day.
        from: CivilDate,
        /// The day after the last one.
        to: CivilDate,
    },
    /// Every weekday is excepted.
    #[error("except.weekdays: all seven days are excepted, so nothing would ever be sent")]
    EveryWeekday,
    /// A list has more days than are kept.
    #[error("except.{list}: {count} days, at most {max} are taken")]
    TooManyDays {
        /// The list's name.
        list: &'static str,
        /// How many it has.
        count: usize,
        /// How many it may have.
        max: usize,
    },
}

impl SendRules {
    /// Finds the rules' first fault, if they have one.
    pub fn check(&self) -> Result<(), RulesFault> {
        if let Some(Active {
            from: Some(from),
            to: Some(to),
        }) = self.active
            && from >= to
        {
            return Err(RulesFault::NoActiveDay { from, to });
        }
        if Weekday::ALL.iter().all(|day| self.except.weekdays.contains(day)) {
            return Err(RulesFault::EveryWeekday);
        }
        for (list, count, max) in [
            ("dates", self.except.dates.len(), Except::DATES_MAX),
            ("yearly", self.except.yearly.len(), Except::YEARLY_MAX),
            ("weekdays", self.except.weekdays.len(), Weekday::ALL.len()),
        ] {
            if count > max {
                return Err(RulesFault::TooManyDays { list, count, max });
            }
        }
        Ok(())
    }
}

/// [`SendRules`] as written, before they are checked.
#[derive(Deserialize)]
#[serde(default, deny_unknown_fields)]
#[derive(Default)]
struct Unchecked {
    send_at: Option<TimeOfDay>,
    quiet: Option<Quiet>,
    active: Option<Active>,
    except: Except,
    spread: Option<Wait>,
}

impl TryFrom<Unchecked> for SendRules {
    type Error = RulesFault;

    fn try_from(written: Unchecked) -> Result<Self, RulesFault> {
        let Unchecked {
            send_at,
            quiet,
            active,
            except,
            spread,
        } = written;
        let rules = Self {
            send_at,
            quiet,
            active,
            except,
            spread,
        };
        rules.check()?;
        Ok(rules)
    }
}

/// A rule that moved, dropped or held back a message: the reason that is stored and explained.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Encode, Decode, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
#[cbor(index_only)]
pub enum Rule {
    /// It waits for the clock time of `send_at`.
    #[n(0)]
    SendAt,
    /// The active days have not begun.
    #[n(1)]
    ActiveFrom,
    /// The active days are over: dropped, not moved.
    #[n(2)]
    ActiveTo,
    /// The day is one of the excepted dates.
    #[n(3)]
    ExceptDate,
    /// The day is excepted every year.
    #[n(4)]
    ExceptYearly,
    /// The weekday is excepted.
    #[n(5)]
    ExceptWeekday,
    /// It is a quiet hour.
    #[n(6)]
    Quiet,
    /// No moment within the horizon satisfies all rules: dropped.
    #[n(7)]
    NoSlot,
}

#[cfg(test)]
mod tests {
    use std::str::FromStr;

    use proptest::prelude::*;

    use super::*;

    fn written_again<T: FromStr + std::fmt::Display + PartialEq + std::fmt::Debug>(text: &str) {
        if let Ok(value) = text.parse::<T>() {
            assert_eq!(value.to_string().parse::<T>().ok(), Some(value), "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_text_panics_and_what_is_read_is_written_alike(
            text in prop_oneof![any::<String>(), "[Uu][Tt][Cc][+-]?[0-9:]{0,6}", "[0-9]{1,4}[-:mhdx0-9]{0,7}"],
        ) {
            written_again::<Zone>(&text);
            written_again::<Wait>(&text);
            written_again::<TimeOfDay>(&text);
            written_again::<CivilDate>(&text);
            written_again::<MonthDay>(&text);
        }
    }

    fn read(text: &str) -> Result<SendRules, String> {
        serde_json::from_str(text).map_err(|error| error.to_string())
    }

    #[test]
    fn rules_are_read_and_written() {
        let text = r#"{"send_at":"09:00","quiet":{"from":"22:00","to":"08:00"},"active":{"from":"2026-12-01","to":"2027-01-01"},"except":{"dates":["2026-12-24"],"yearly":["12-25","02-29"],"weekdays":["sat","sun"]},"spread":"30m"}"#;
        let rules = read(text).unwrap();
        assert_eq!(serde_json::to_string(&rules).unwrap(), text);
        let stored = minicbor::to_vec(&rules).unwrap();
        assert_eq!(minicbor::decode::<SendRules>(&stored).unwrap(), rules);
        assert_eq!(read("{}").unwrap(), SendRules::default());
        assert_eq!(serde_json::to_string(&SendRules::default()).unwrap(), "{}");
    }

    #[cfg(feature = "openapi")]
    #[test]
    fn the_schema_asks_for_nothing_and_takes_nothing_else() {
        let schema = serde_json::to_value(<SendRules as utoipa::PartialSchema>::schema()).unwrap();
        assert_eq!(schema.get("required"), None, "{schema:#}");
        assert_eq!(schema["additionalProperties"], false);
        assert_eq!(schema["properties"].as_object().unwrap().len(), 5);
    }

    #[test]
    fn rules_that_cannot_be_meant_are_refused() {
        for (text, fault) in [
            (
                r#"{"active":{"from":"2026-12-01","to":"2026-12-01"}}"#,
                "active: no day lies from 2026-12-01 to before 2026-12-01",
            ),
            (
                r#"{"except":{"weekdays":["mon","tue","wed","thu","fri","sat","sun"]}}"#,
                "all seven days",
            ),
            (
                r#"{"except":{"weekdays":["mon","mon","mon","mon","mon","mon","mon","mon"]}}"#,
                "except.weekdays: 8 days, at most 7",
            ),
            (r#"{"quiet":{"from":"22:00"}}"#, "missing field `to`"),
            (r#"{"quiet":{"from":"22:00","to":"24:00"}}"#, "24:00"),
            (r#"{"sendat":"09:00"}"#, "unknown field"),
            (r#"{"active":{"until":"2026-12-01"}}"#, "unknown field"),
        ] {
            let error = read(text).unwrap_err();
            assert!(error.contains(fault), "{text}: {error}");
        }
    }
}
