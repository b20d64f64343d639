//! What a run does, as a TOML file says it: how much of what is sent when, what the service is told, how the other side behaves.
//!
//! `docs/loadtest.md` tells every key. A file is refused with all its faults at once, each with its path ([`written`]); what was read
//! is taken as it is. Arrivals are fixed before the run ([`curve`]), so counts are known in advance and nothing waits for answers.

mod curve;
#[cfg(test)]
mod tests;
mod written;

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::Context;
use serde::Deserialize;

use crate::ledger::Kind;
use crate::service::Dkim;
use crate::sink;

pub(crate) use curve::{Arrivals, Curve};
pub(crate) use written::Faults;

/// A scenario whose every value was checked.
#[derive(Clone, Debug)]
pub(crate) struct Scenario {
    pub(crate) title: String,
    pub(crate) about: String,
    /// Of load, after the warm-up.
    pub(crate) seconds: u32,
    /// At each load's first rate, before what is measured.
    pub(crate) warm_up_seconds: u32,
    /// How long what is outstanding at the end may take to come.
    pub(crate) settle_seconds: u32,
    pub(crate) service: ServiceSection,
    pub(crate) sink: sink::Settings,
    pub(crate) mails: Mails,
    pub(crate) loads: Vec<Load>,
    /// The file as it was read.
    pub(crate) text: String,
}

/// The `[service]` section.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct ServiceSection {
    /// Which keys its shops sign with.
    pub(crate) dkim: Dkim,
    /// By how much every flush is slower, in milliseconds.
    pub(crate) slow_flush_ms: u32,
    /// When it is killed and started again, in seconds since the load began.
    pub(crate) kill_at_seconds: Vec<u32>,
    /// How often `/metrics` is read; 0: at the beginning and the end only.
    pub(crate) scrape_every_ms: u32,
    /// Of its settings file; wins over ours.
    pub(crate) settings: toml::Table,
}

impl Default for ServiceSection {
    fn default() -> Self {
        Self {
            dkim: Dkim::Rsa,
            slow_flush_ms: 0,
            kill_at_seconds: Vec::new(),
            scrape_every_ms: 1000,
            settings: toml::Table::new(),
        }
    }
}

/// The `[mails]` section: to whom, and how large.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Mails {
    /// Mails delivered before the run, whose links opens, clicks and landings follow.
    pub(crate) prepared: u32,
    /// Recipients' domains with their weights; `*` stands for small domains.
    pub(crate) domains: BTreeMap<String, u32>,
    /// Whether every recipient has a domain of its own.
    pub(crate) domains_each_its_own: bool,
    /// Sizes of messages in bytes, with their weights.
    pub(crate) bytes: Vec<(u32, u32)>,
}

impl Default for Mails {
    fn default() -> Self {
        let domains = [("gmail.com", 40), ("outlook.it", 20), ("libero.it", 15), ("*", 25)];
        Self {
            prepared: 0,
            domains: domains.map(|(name, weight)| (name.to_owned(), weight)).into(),
            domains_each_its_own: false,
            bytes: vec![(4000, 3), (12_000, 5), (60_000, 1)],
        }
    }
}

/// What a load sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Send {
    /// `POST /v1/orders`.
    Orders,
    /// `POST /v1/messages`.
    Messages,
    /// Pixels.
    Opens,
    /// Links.
    Clicks,
    /// Links, and a second later what the page behind them reports.
    Landings,
    /// `POST /v1/events` that start a workflow's wait, behind which a mail goes out.
    Timers,
}

impl Send {
    /// Returns its name, as in scenarios and reports.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Orders => "orders",
            Self::Messages => "messages",
            Self::Opens => "opens",
            Self::Clicks => "clicks",
            Self::Landings => "landings",
            Self::Timers => "timers",
        }
    }

    /// Returns what kind of mail each request causes, if any.
    pub(crate) const fn mails(self) -> Option<Kind> {
        match self {
            Self::Orders => Some(Kind::Order),
            Self::Messages => Some(Kind::Message),
            Self::Timers => Some(Kind::Timer),
            Self::Opens | Self::Clicks | Self::Landings => None,
        }
    }
}

/// One `[[load]]`.
#[derive(Clone, Debug)]
pub(crate) struct Load {
    pub(crate) send: Send,
    /// When its requests are due.
    pub(crate) arrivals: Arrivals,
    pub(crate) connections_max: usize,
    /// How long the workflow waits between event and mail. Of timers only.
    pub(crate) wait_seconds: u32,
    /// The number of its first mail: loads of one kind share the ledger's column.
    pub(crate) first: u32,
}

impl Scenario {
    /// Reads a file. Err: every fault that it has, each with its path.
    pub(crate) fn read(path: &Path) -> anyhow::Result<Self> {
        let text = std::fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))?;
        Self::parse(&text).with_context(|| format!("{} is no scenario", path.display()))
    }

    /// Reads a file's text.
    pub(crate) fn parse(text: &str) -> Result<Self, Faults> {
        let mut scenario = written::read(text)?;
        let mut next: BTreeMap<Kind, u32> = BTreeMap::new();
        for load in &mut scenario.loads {
            if let Some(kind) = load.send.mails() {
                let next = next.entry(kind).or_default();
                load.first = *next;
                *next = next.saturating_add(load.arrivals.count());
            }
        }
        Ok(scenario)
    }

    /// Returns how many mails of each kind will be asked for, in the order of [`Kind::ALL`], warm-up included.
    pub(crate) fn counts(&self) -> [u32; Kind::ALL.len()] {
        Kind::ALL.map(|kind| {
            if kind == Kind::Prepared {
                return self.mails.prepared;
            }
            let of_kind = self.loads.iter().filter(|load| load.send.mails() == Some(kind));
            of_kind.map(|load| load.arrivals.count()).sum()
        })
    }
}
