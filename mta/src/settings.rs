//! The section `[delivery]` of the settings, but for what makes mails.

use std::net::SocketAddr;
use std::time::Duration;

use policy::retry::Schedule;
use serde::Deserialize;
use types::setting;

/// How mail is delivered.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The name in EHLO: fully qualified, and what our address resolves back to.
    pub helo: String,
    /// The port of receivers.
    pub smtp_port: u16,
    /// The one name server to ask; `None` asks the system's.
    pub nameserver: Option<SocketAddr>,
    /// Where domains go without asking DNS; the first that fits wins.
    pub routes: Vec<Route>,
    /// Whether receivers on loopback, private and link-local addresses are connected to. Routes always are.
    pub allow_private_destinations: bool,
    /// Look-ups at once.
    pub lookups_max: usize,
    /// The connect limit for a host that never answered yet.
    pub connect_timeout: Duration,
    /// The connect limit for a host that has answered before.
    pub connect_timeout_known: Duration,
    /// How long a session without work is kept.
    pub idle_limit: Duration,
    /// How long a host that could not be connected to is passed over while there are others.
    pub dead_host_memory: Duration,
    /// How long a host whose TLS failed is spoken to in the clear.
    pub tls_failure_memory: Duration,
    /// How long a host that refused an envelope because it came before the reply to a final dot is sent each in its turn.
    pub ahead_refusal_memory: Duration,
    /// How long the peer may take for each step.
    pub timeouts: smtp::client::Timeouts,
    /// Connections at once to a site.
    pub connections_max: u32,
    /// Messages on one connection.
    pub messages_per_connection_max: u32,
    /// Messages a second to a site, if limited.
    pub messages_per_second_max: Option<f64>,
    /// The most messages that a session claims at once.
    pub window_max: usize,
    /// When messages are tried again.
    pub retry: Schedule,
    /// Whether offers in doubt are tried once more, as confirmations are.
    pub retry_in_doubt_offers: bool,
    /// How many bytes of messages are kept in memory for their first attempt.
    pub fresh_bytes_max: usize,
}

/// A domain, or `*` for all, and the host and port that take its mail.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Route {
    /// The domain, lower-case, or `*`.
    pub domain: String,
    /// A host name or address.
    pub host: String,
    /// Its port.
    pub port: u16,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            helo: "localhost.localdomain".into(),
            smtp_port: 25,
            nameserver: None,
            routes: Vec::new(),
            allow_private_destinations: false,
            lookups_max: 128,
            connect_timeout: Duration::from_secs(30),
            connect_timeout_known: Duration::from_secs(5),
            idle_limit: Duration::from_secs(30),
            dead_host_memory: Duration::from_mins(5),
            tls_failure_memory: Duration::from_hours(1),
            ahead_refusal_memory: Duration::from_hours(24),
            timeouts: smtp::client::Timeouts::default(),
            connections_max: 20,
            messages_per_connection_max: 100,
            messages_per_second_max: None,
            window_max: 8,
            retry: Schedule::default(),
            retry_in_doubt_offers: false,
            fresh_bytes_max: 64 << 20,
        }
    }
}

/// The section as written.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// [`Settings::helo`].
    pub helo: Option<String>,
    /// [`Settings::smtp_port`].
    pub smtp_port: Option<u16>,
    /// [`Settings::nameserver`], as `ip:port`.
    pub nameserver: Option<String>,
    /// [`Settings::routes`].
    pub routes: Vec<Route>,
    /// [`Settings::allow_private_destinations`].
    pub allow_private_destinations: Option<bool>,
    /// [`Settings::lookups_max`], 1 to 128.
    pub lookups_max: Option<usize>,
    /// [`Settings::connect_timeout`].
    pub connect_timeout: Option<String>,
    /// [`Settings::connect_timeout_known`].
    pub connect_timeout_known: Option<String>,
    /// [`Settings::idle_limit`].
    pub idle_limit: Option<String>,
    /// [`Settings::dead_host_memory`].
    pub dead_host_memory: Option<String>,
    /// [`Settings::tls_failure_memory`].
    pub tls_failure_memory: Option<String>,
    /// [`Settings::ahead_refusal_memory`].
    pub ahead_refusal_memory: Option<String>,
    /// How long the answer to the final dot may take; at least 5 minutes, as shorter means duplicates.
    pub final_reply_timeout: Option<String>,
    /// [`Settings::connections_max`], 1 to 1,000.
    pub connections_max: Option<u32>,
    /// [`Settings::messages_per_connection_max`], at least 1.
    pub messages_per_connection_max: Option<u32>,
    /// [`Settings::messages_per_second_max`], above 0.
    pub messages_per_second_max: Option<f64>,
    /// [`Settings::window_max`], 1 to 64.
    pub window_max: Option<usize>,
    /// The waits before the first, second, … retry; the last repeats. At least one, none of zero.
    pub retry_waits: Option<Vec<String>>,
    /// The least wait after greylisting.
    pub greylist_wait: Option<String>,
    /// The least wait before a message in doubt is tried once more.
    pub in_doubt_wait: Option<String>,
    /// [`Settings::retry_in_doubt_offers`].
    pub retry_in_doubt_offers: Option<bool>,
    /// [`Settings::fresh_bytes_max`].
    pub fresh_bytes_max: Option<String>,
}

impl Config {
    /// Reads what was written; each fault is added to `faults` as `key: fault`, and the default stands in.
    pub fn resolve(self, faults: &mut Vec<String>) -> Settings {
        let default = Settings::default();
        let retry = self.schedule(faults);
        let mut time = |key: &str, written: &Option<String>, default| {
            setting::duration_or(&format!("delivery.{key}"), written.as_deref(), default, faults)
        };
        let mut timeouts = default.timeouts;
        timeouts.dot = time("final_reply_timeout", &self.final_reply_timeout, timeouts.dot);
        let connect_timeout = time("connect_timeout", &self.connect_timeout, default.connect_timeout);
        let connect_timeout_known = time(
            "connect_timeout_known",
            &self.connect_timeout_known,
            default.connect_timeout_known,
        );
        let idle_limit = time("idle_limit", &self.idle_limit, default.idle_limit);
        let dead_host_memory = time("dead_host_memory", &self.dead_host_memory, default.dead_host_memory);
        let tls_failure_memory = time(
            "tls_failure_memory",
            &self.tls_failure_memory,
            default.tls_failure_memory,
        );
        let ahead_refusal_memory = time(
            "ahead_refusal_memory",
            &self.ahead_refusal_memory,
            default.ahead_refusal_memory,
        );
        let fresh_bytes_max = setting::bytes_or(
            "delivery.fresh_bytes_max",
            self.fresh_bytes_max.as_deref(),
            default.fresh_bytes_max as u64,
            faults,
        );
        if timeouts.dot < Duration::from_mins(5) {
            faults.push("delivery.final_reply_timeout: is under 5m; slow receivers would get mails twice".into());
        }
        let nameserver = self.read_nameserver(faults);
        for route in &self.routes {
            if route.domain != "*" && types::address::ascii_domain(&route.domain).as_deref() != Some(&route.domain) {
                faults.push(format!(
                    "delivery.routes: `{}` is neither a lower-case domain nor \"*\"",
                    route.domain
                ));
            }
            if route.host.is_empty() || route.port == 0 {
                faults.push(format!(
                    "delivery.routes: the route of `{}` has no host or port",
                    route.domain
                ));
            }
        }
        let helo = self.helo.unwrap_or(default.helo);
        if helo.is_empty() || !helo.bytes().all(|b| b.is_ascii_alphanumeric() || b"-.[]:".contains(&b)) {
            faults.push(format!("delivery.helo: `{helo}` is not a host name"));
        }
        if self
            .messages_per_second_max
            .is_some_and(|rate| !(rate.is_finite() && rate > 0.0))
        {
            faults.push("delivery.messages_per_second_max: must be above 0".into());
        }
        let mut within = |key: &str, value: usize, low: usize, high: usize| {
            if !(low..=high).contains(&value) {
                faults.push(format!("delivery.{key}: {value} is not from {low} to {high}"));
            }
            value.clamp(low, high)
        };
        let number = |value: usize| u32::try_from(value).unwrap_or(u32::MAX);
        let connections = self.connections_max.unwrap_or(default.connections_max) as usize;
        let per_connection = self
            .messages_per_connection_max
            .unwrap_or(default.messages_per_connection_max);
        Settings {
            helo,
            smtp_port: self.smtp_port.unwrap_or(default.smtp_port),
            nameserver,
            routes: self.routes,
            allow_private_destinations: self.allow_private_destinations.unwrap_or(false),
            lookups_max: within("lookups_max", self.lookups_max.unwrap_or(default.lookups_max), 1, 128),
            connect_timeout,
            connect_timeout_known,
            idle_limit,
            dead_host_memory,
            tls_failure_memory,
            ahead_refusal_memory,
            timeouts,
            connections_max: number(within("connections_max", connections, 1, 1000)),
            messages_per_connection_max: number(within(
                "messages_per_connection_max",
                per_connection as usize,
                1,
                1_000_000,
            )),
            messages_per_second_max: self
                .messages_per_second_max
                .filter(|rate| rate.is_finite() && *rate > 0.0),
            window_max: within("window_max", self.window_max.unwrap_or(default.window_max), 1, 64),
            retry,
            retry_in_doubt_offers: self.retry_in_doubt_offers.unwrap_or(false),
            fresh_bytes_max: usize::try_from(fresh_bytes_max).unwrap_or(usize::MAX),
        }
    }

    fn read_nameserver(&self, faults: &mut Vec<String>) -> Option<SocketAddr> {
        let text = self.nameserver.as_deref()?;
        let address = text.parse().ok();
        if address.is_none() {
            faults.push(format!(
                "delivery.nameserver: `{text}` is not an address and port such as \"127.0.0.1:53\""
            ));
        }
        address
    }

    /// Reads when messages are tried again.
    fn schedule(&self, faults: &mut Vec<String>) -> Schedule {
        let default = Schedule::default();
        let mut waits = default.waits().to_vec();
        if let Some(written) = &self.retry_waits {
            let read = |text: &String| {
                setting::duration_or("delivery.retry_waits", Some(text), Duration::from_secs(10), faults)
            };
            waits = written.iter().map(read).collect();
        }
        let mut least = |key: &str, written: &Option<String>, default| {
            setting::duration_or(&format!("delivery.{key}"), written.as_deref(), default, faults)
        };
        let greylisted = least("greylist_wait", &self.greylist_wait, default.greylisted());
        let in_doubt = least("in_doubt_wait", &self.in_doubt_wait, default.in_doubt());
        Schedule::new(waits, greylisted, in_doubt).unwrap_or_else(|| {
            faults.push("delivery.retry_waits: must have at least one wait, and none of zero".into());
            default
        })
    }
}
