//! The settings file: as written ([`Config`]) and as meant ([`Settings`]).
//!
//! One TOML file; every key has a default; each crate owns its section. A fault is told with its key, and all faults are
//! told at once, before a port is bound.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use scheduler::InDoubt;
use serde::Deserialize;
use types::setting::duration_or;

/// What the service goes by.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where the listeners listen.
    pub listen: Listen,
    /// How long a drain may take before what is under way is cut.
    pub drain_grace: Duration,
    /// Where data is, and how it is kept.
    pub store: store::Settings,
    /// The projection to Redis, if there is to be one.
    pub redis: Option<projection::Settings>,
    /// The API and admin listeners.
    pub api: api::Settings,
    /// The public listener.
    pub tracker: tracker::Settings,
    /// Making mails.
    pub submit: mta::submit::Settings,
    /// Delivering them.
    pub delivery: mta::Settings,
    /// Calling shops' pages.
    pub webhooks: mta::webhook::Settings,
    /// Deciding.
    pub scheduler: scheduler::Settings,
}

/// Where the listeners listen.
#[derive(Clone, Debug)]
pub struct Listen {
    /// `/v1`, for shops.
    pub api: SocketAddr,
    /// Pixels, links and unsubscription, for recipients.
    pub tracker: SocketAddr,
    /// The same over TLS, without a proxy; `None`: not at all.
    pub tracker_tls: Option<SocketAddr>,
    /// Metrics, health and `/admin/v1`, for operators.
    pub admin: SocketAddr,
}

impl Default for Listen {
    fn default() -> Self {
        let loopback = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        Self {
            api: loopback(8025),
            tracker: loopback(8026),
            tracker_tls: None,
            admin: loopback(8027),
        }
    }
}

/// The file as it is written.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    listen: ListenConfig,
    drain_grace: Option<String>,
    store: store::Config,
    api: api::Config,
    tracker: tracker::Config,
    submit: mta::submit::Config,
    delivery: mta::Config,
    webhooks: mta::webhook::Config,
    policy: policy::Config,
    redis: projection::Config,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct ListenConfig {
    api: Option<String>,
    tracker: Option<String>,
    tracker_tls: Option<String>,
    admin: Option<String>,
}

/// Everything that is wrong with a settings file.
#[derive(Debug, thiserror::Error)]
#[error("{} in {}:\n{}", count(.faults.len()), .file.display(), .faults.iter().map(|fault| format!("  - {fault}")).collect::<Vec<_>>().join("\n"))]
pub struct Faults {
    file: PathBuf,
    /// Each with its key.
    pub faults: Vec<String>,
}

fn count(faults: usize) -> String {
    if faults == 1 {
        "1 fault".to_owned()
    } else {
        format!("{faults} faults")
    }
}

impl Settings {
    /// Reads a settings file; without one, the defaults.
    pub fn read(file: Option<&Path>) -> Result<Self, Faults> {
        let Some(file) = file else {
            return Self::parse(Path::new("defaults"), "");
        };
        match std::fs::read_to_string(file) {
            Ok(text) => Self::parse(file, &text),
            Err(error) => Err(Faults {
                file: file.to_owned(),
                faults: vec![format!("cannot be read: {error}")],
            }),
        }
    }

    fn parse(file: &Path, text: &str) -> Result<Self, Faults> {
        let refused = |faults| Faults {
            file: file.to_owned(),
            faults,
        };
        // Key by key: a fault of form in one does not hide the faults of the others.
        let mut faults = Vec::new();
        let config = sections(text, &mut faults);
        let settings = config.resolve(&mut faults);
        if faults.is_empty() {
            Ok(settings)
        } else {
            Err(refused(faults))
        }
    }
}

/// Reads each key of each section on its own, so that every fault of form is told.
fn sections(text: &str, faults: &mut Vec<String>) -> Config {
    let table = match text.parse::<toml::Table>() {
        Ok(table) => table,
        Err(error) => {
            faults.push(format!("not TOML: {}", error.to_string().trim_end()));
            return Config::default();
        }
    };
    let mut sound = toml::Table::new();
    for (name, value) in table {
        let toml::Value::Table(section) = value else {
            match alone(&name, value.clone()) {
                Ok(()) => drop(sound.insert(name, value)),
                Err(fault) => faults.push(format!("{name}: {fault}")),
            }
            continue;
        };
        // An unknown section is one fault, however many keys it has.
        if let Err(fault) = alone(&name, toml::Table::new().into()) {
            faults.push(format!("{name}: {fault}"));
            continue;
        }
        let mut kept = toml::Table::new();
        for (key, value) in section {
            match alone(&name, toml::Table::from_iter([(key.clone(), value.clone())]).into()) {
                Ok(()) => drop(kept.insert(key, value)),
                Err(fault) => faults.push(format!("{name}.{key}: {fault}")),
            }
        }
        sound.insert(name, kept.into());
    }
    sound.try_into().unwrap_or_default()
}

/// Returns what is wrong with a file of this one key, as one line.
fn alone(name: &str, value: toml::Value) -> Result<(), String> {
    let file = toml::Table::from_iter([(name.to_owned(), value)]);
    match file.try_into::<Config>() {
        Ok(_) => Ok(()),
        Err(error) => Err(error.to_string().trim_end().replace('\n', "; ")),
    }
}

impl Config {
    /// Checks what was written; every fault goes to `faults`, and the default stands in.
    fn resolve(self, faults: &mut Vec<String>) -> Settings {
        let default = Listen::default();
        let listen = Listen {
            api: address("listen.api", self.listen.api, default.api, faults),
            tracker: address("listen.tracker", self.listen.tracker, default.tracker, faults),
            tracker_tls: self
                .listen
                .tracker_tls
                .map(|text| address("listen.tracker_tls", Some(text), default.tracker, faults)),
            admin: address("listen.admin", self.listen.admin, default.admin, faults),
        };
        let tracker = section("tracker", faults, |faults| self.tracker.resolve(faults));
        if listen.tracker_tls.is_some() && tracker.certificates.is_none() {
            faults.push("tracker.certificates: is missing: listen.tracker_tls needs certificates".to_owned());
        }
        let store = section("store", faults, |faults| self.store.resolve(faults));
        let redis = section("redis", faults, |faults| self.redis.resolve(faults));
        let delivery = section("delivery", faults, |faults| self.delivery.resolve(faults));
        let scheduler = scheduler::Settings {
            policy: section("policy", faults, |faults| self.policy.resolve(faults)),
            in_doubt: if delivery.retry_in_doubt_offers {
                InDoubt::Retry
            } else {
                InDoubt::Hold
            },
            in_doubt_wait: delivery.retry.in_doubt(),
            ..scheduler::Settings::default()
        };
        Settings {
            listen,
            drain_grace: duration_or(
                "drain_grace",
                self.drain_grace.as_deref(),
                Duration::from_secs(30),
                faults,
            ),
            store,
            redis,
            api: section("api", faults, |faults| self.api.resolve(faults)),
            tracker,
            submit: section("submit", faults, |faults| self.submit.resolve(faults)),
            delivery,
            webhooks: section("webhooks", faults, |faults| self.webhooks.resolve(faults)),
            scheduler,
        }
    }
}

/// Resolves one section; its faults are told with the section's name before their key.
fn section<T>(name: &str, faults: &mut Vec<String>, resolve: impl FnOnce(&mut Vec<String>) -> T) -> T {
    let mut own = Vec::new();
    let resolved = resolve(&mut own);
    let prefix = format!("{name}.");
    faults.extend(own.into_iter().map(|fault| {
        if fault.starts_with(&prefix) {
            fault
        } else {
            prefix.clone() + &fault
        }
    }));
    resolved
}

fn address(key: &str, written: Option<String>, default: SocketAddr, faults: &mut Vec<String>) -> SocketAddr {
    let Some(text) = written else { return default };
    text.parse().unwrap_or_else(|_| {
        faults.push(format!(
            "{key}: `{text}` is not an address and port such as \"127.0.0.1:8025\""
        ));
        default
    })
}
