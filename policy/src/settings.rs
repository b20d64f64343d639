//! Settings of the decisions.

use std::ops::RangeInclusive;
use std::time::Duration;

use serde::Deserialize;
use types::setting::duration_in;

use crate::person::{COUNTED_MAX, WINDOW_MAX};

/// One, in millionths: the unit of probabilities and rates, so that nothing here is a float.
pub const MILLION: u32 = 1_000_000;

/// The settings of the decisions, as meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// How many offer mails a person gets from the whole network.
    pub frequency: FrequencyCap,
    /// The probability, in millionths, with which a slot is filled at random instead of by expected value.
    pub exploration: u32,
    /// How long an offer mail is worth sending; an offer that ends earlier shortens it.
    pub offer_life: Duration,
    /// How long a plain message is worth sending if the caller does not say.
    pub message_life: Duration,
    /// How long a plain message may be worth sending, whatever the caller says.
    pub message_life_max: Duration,
}

/// How many offer mails a person gets from the whole network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrequencyCap {
    /// How many in a window, 1 to 256.
    pub mails_max: u16,
    /// The window's length, at most 31 days; it slides.
    pub window: Duration,
    /// The shortest time between two; zero is none.
    pub gap_min: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            frequency: FrequencyCap {
                mails_max: 3,
                window: Duration::from_hours(7 * 24),
                gap_min: Duration::ZERO,
            },
            exploration: MILLION / 10,
            offer_life: Duration::from_hours(24),
            message_life: Duration::from_hours(24),
            message_life_max: Duration::from_hours(5 * 24),
        }
    }
}

/// The settings of the decisions, as written.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Offer mails per person and window, from the whole network: 1 to 256. Default 3.
    pub offers_per_person: Option<u16>,
    /// The window of that cap, at most `31d`. Default `7d`.
    pub offers_window: Option<String>,
    /// The shortest time between two offer mails to a person. Default `0s`: none.
    pub offers_gap: Option<String>,
    /// How many of a hundred slots are filled at random, to learn: 0 to 100. Default 10.
    pub exploration_percent: Option<u32>,
    /// How long an offer mail is worth sending, `1m` to `5d`. Default `24h`.
    pub offer_life: Option<String>,
    /// How long a plain message is worth sending if the caller does not say, `1m` to `5d`. Default `24h`.
    pub message_life: Option<String>,
    /// How long a plain message may be worth sending, whatever the caller says, at least `1m`. Default `5d`.
    pub message_life_max: Option<String>,
}

impl Config {
    /// Returns the settings that are meant; every fault is added to `faults` as `key: fault`.
    pub fn resolve(self, faults: &mut Vec<String>) -> Settings {
        let default = Settings::default();
        let life = Duration::from_mins(1)..=Duration::from_hours(5 * 24);
        let mails_max = self.offers_per_person.unwrap_or(default.frequency.mails_max);
        if !(1..=COUNTED_MAX).contains(&mails_max) {
            faults.push(format!("offers_per_person: {mails_max} is not in 1 to {COUNTED_MAX}"));
        }
        let percent = self.exploration_percent.unwrap_or(10);
        if percent > 100 {
            faults.push(format!("exploration_percent: {percent} is more than 100"));
        }
        let mut duration = |key: &str, written: Option<String>, default, range: RangeInclusive<Duration>| {
            duration_in(key, written.as_deref(), default, range, faults)
        };
        let window = Duration::from_secs(1)..=WINDOW_MAX;
        Settings {
            frequency: FrequencyCap {
                mails_max,
                window: duration("offers_window", self.offers_window, default.frequency.window, window),
                gap_min: duration(
                    "offers_gap",
                    self.offers_gap,
                    default.frequency.gap_min,
                    Duration::ZERO..=WINDOW_MAX,
                ),
            },
            exploration: percent.min(100) * (MILLION / 100),
            offer_life: duration("offer_life", self.offer_life, default.offer_life, life.clone()),
            message_life: duration("message_life", self.message_life, default.message_life, life.clone()),
            message_life_max: duration(
                "message_life_max",
                self.message_life_max,
                default.message_life_max,
                Duration::from_mins(1)..=Duration::from_hours(30 * 24),
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_section_means_the_defaults() {
        let mut faults = Vec::new();
        assert_eq!(Config::default().resolve(&mut faults), Settings::default());
        assert!(faults.is_empty(), "{faults:?}");
    }

    #[test]
    fn every_fault_is_reported_with_its_key() {
        let config: Config = toml::from_str(
            "offers_per_person = 0\noffers_window = '32d'\noffers_gap = 'x'\nexploration_percent = 101\noffer_life = '6d'",
        )
        .expect("well-formed");
        let mut faults = Vec::new();
        config.resolve(&mut faults);
        let keys: Vec<_> = faults.iter().filter_map(|fault| fault.split(':').next()).collect();
        let expected = [
            "offers_per_person",
            "exploration_percent",
            "offers_window",
            "offers_gap",
            "offer_life",
        ];
        assert_eq!(keys, expected);
        assert!(toml::from_str::<Config>("offers = 3").is_err());
    }
}
