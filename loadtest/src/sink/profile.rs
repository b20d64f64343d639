//! How each provider behaves, as data: `providers.toml`, and what a scenario changes of it.

use std::time::Duration;

use anyhow::{Context, bail, ensure};
use serde::Deserialize;
use types::provider::Provider;

use crate::service::overlay;

const TEXT: &str = include_str!("../../providers.toml");

/// How one provider behaves.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Profile {
    pub(super) domains: Vec<String>,
    pub(super) exchangers: Vec<String>,
    pub(super) hostname: String,
    pub(super) banner: String,
    pub(super) size_max_mib: usize,
    #[serde(default = "yes")]
    pub(super) pipelining: bool,
    pub(super) reply_ms: Spread,
    pub(super) connections: Limit,
    pub(super) messages: Messages,
    pub(super) rate: Option<Rate>,
    pub(super) unknown: Option<Lot>,
    pub(super) full: Option<Lot>,
    pub(super) greylist: Option<Lot>,
    pub(super) storm: Option<Storm>,
}

/// A log-normal distribution, by two of its percentiles in milliseconds.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Spread {
    p50: f64,
    p99: f64,
}

impl Spread {
    /// Returns the value at which a standard normal variable has this value.
    pub(super) fn at(self, normal: f64) -> Duration {
        /// The standard normal variable at its 99th percentile.
        const NORMAL_P99: f64 = 2.326;
        let sigma = (self.p99 / self.p50).ln() / NORMAL_P99;
        Duration::from_secs_f64(self.p50 / 1000.0 * (sigma * normal).exp())
    }
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Limit {
    pub(super) max: u32,
    pub(super) reply: Reply,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Messages {
    pub(super) max: u32,
    /// None: the connection is closed without a word.
    pub(super) reply: Option<Reply>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Rate {
    pub(super) per_minute: f64,
    pub(super) burst: f64,
    pub(super) reply: Reply,
}

/// What befalls a share of recipients, or of domains, and for how long; for ever, if nothing is said.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Lot {
    pub(super) share: f64,
    pub(super) seconds: Option<f64>,
    pub(super) reply: Reply,
}

impl Lot {
    /// Returns whether it is over, so long after it began.
    pub(super) fn is_over(&self, after: Duration) -> bool {
        self.seconds.is_some_and(|seconds| after.as_secs_f64() >= seconds)
    }
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Storm {
    pub(super) every_seconds: f64,
    pub(super) seconds: f64,
    pub(super) share: f64,
    pub(super) reply: Reply,
}

/// A refusal: its code and what follows.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub(super) struct Reply {
    pub(super) code: u16,
    pub(super) text: String,
}

impl TryFrom<String> for Reply {
    type Error = String;

    fn try_from(line: String) -> Result<Self, String> {
        let parts = line.split_once(' ');
        let code = parts.and_then(|(code, _)| code.parse().ok());
        match (code, parts) {
            (Some(code @ 400..600), Some((_, text))) if !text.is_empty() && text.is_ascii() => Ok(Self {
                code,
                text: text.to_owned(),
            }),
            _ => Err(format!("{line:?} is not a refusal: a code from 400 to 599 and a text")),
        }
    }
}

const fn yes() -> bool {
    true
}

/// Reads the profiles, in the order of [`Provider::ALL`], with a scenario's changes over them.
pub(super) fn profiles(changes: &toml::Table) -> anyhow::Result<Vec<Profile>> {
    let mut table: toml::Table = toml::from_str(TEXT).context("providers.toml")?;
    for name in changes.keys() {
        ensure!(
            table.contains_key(name),
            "sink.providers.{name}: there is no such provider"
        );
    }
    overlay(&mut table, changes);
    let profile = |provider: Provider| {
        let name = provider.as_str();
        let value = table.get(name).with_context(|| format!("no provider {name}"))?;
        let profile: Profile = serde_path_to_error::deserialize(value.clone())
            .map_err(|error| anyhow::anyhow!("sink.providers.{name}.{}: {}", error.path(), error.inner()))?;
        check(&profile).with_context(|| format!("sink.providers.{name}"))?;
        Ok(profile)
    };
    Provider::ALL.into_iter().map(profile).collect()
}

fn check(profile: &Profile) -> anyhow::Result<()> {
    let spread = profile.reply_ms;
    ensure!(
        spread.p50 > 0.0 && spread.p99 >= spread.p50 && spread.p99 < 600_000.0,
        "reply_ms: p50 must be above 0, p99 not below it, and below ten minutes"
    );
    ensure!(!profile.exchangers.is_empty(), "exchangers: there must be one");
    ensure!(
        profile.messages.max > 0 && profile.connections.max > 0,
        "connections and messages: max must be 1 or more"
    );
    if let Some(rate) = &profile.rate {
        ensure!(
            rate.per_minute > 0.0 && rate.burst >= 1.0,
            "rate: per_minute must be above 0, burst 1 or more"
        );
    }
    let shares = [&profile.unknown, &profile.full, &profile.greylist];
    let shares = shares.into_iter().flatten().map(|share| share.share);
    for share in shares.chain(profile.storm.as_ref().map(|storm| storm.share)) {
        if !(0.0..=1.0).contains(&share) {
            bail!("share: {share} is not in 0 to 1");
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_provider_has_a_profile_whose_names_tell_who_it_is() {
        let profiles = profiles(&toml::Table::new()).unwrap();
        for (provider, profile) in Provider::ALL.into_iter().zip(profiles) {
            for name in profile.exchangers {
                let name = name.replace("{domain}", "x.test").replace("{dashed}", "x-test");
                assert_eq!(Provider::of_host(&name), provider, "{name}");
            }
            assert!(profile.banner.starts_with(&profile.hostname) || provider == Provider::Apple);
            if let Some(unknown) = profile.unknown {
                assert!(unknown.reply.code >= 500, "{unknown:?}");
            }
        }
    }

    #[test]
    fn a_scenario_changes_single_values_and_faults_name_their_place() {
        let read = |text: &str| profiles(&toml::from_str(text).unwrap());
        let changed = read("[other.greylist]\nseconds = 1.5\n[google.rate]\nburst = 7").unwrap();
        assert_eq!(changed[7].greylist.as_ref().unwrap().seconds, Some(1.5));
        assert!((changed[0].rate.as_ref().unwrap().burst - 7.0).abs() < 1e-9);
        for (text, fault) in [
            ("[gogle]\nbanner = 'x'", "sink.providers.gogle"),
            ("[google]\nbaner = 'x'", "sink.providers.google.baner: unknown field"),
            ("[yahoo.unknown]\nshare = 1.5", "sink.providers.yahoo"),
            (
                "[yahoo.unknown]\nreply = '250 ok'",
                "sink.providers.yahoo.unknown.reply",
            ),
            ("[tim.reply_ms]\np50 = 0", "sink.providers.tim"),
        ] {
            let told = format!("{:#}", read(text).unwrap_err());
            assert!(told.starts_with(fault), "{told}");
        }
    }

    #[test]
    fn a_spread_has_its_percentiles() {
        let spread = Spread { p50: 100.0, p99: 900.0 };
        assert_eq!(spread.at(0.0), Duration::from_millis(100));
        assert!((spread.at(2.326).as_secs_f64() - 0.9).abs() < 1e-6);
    }
}
