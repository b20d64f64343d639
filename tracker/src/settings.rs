//! Settings of the public listener.

use std::num::NonZeroU32;
use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;
use types::setting::duration_in;
use types::text::HttpsUrl;

/// The settings of the public listener, as meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Where bad tokens lead under a host that is no shop's; without it they get a bland 404.
    pub safe_page: Option<HttpsUrl>,
    /// Connections at once. More wait in the kernel's queue.
    pub connections_max: usize,
    /// How long a new connection may stay silent.
    pub first_byte_timeout: Duration,
    /// How long a TLS handshake may take.
    pub handshake_timeout: Duration,
    /// The folder of certificates for TLS; `None`: there are none, and every handshake is refused.
    pub certificates: Option<PathBuf>,
    /// How long a request's head may take, and how long a kept-alive connection may stay idle.
    pub header_timeout: Duration,
    /// How long the body of a POST may take, and how long a client may leave an answer unread.
    pub body_timeout: Duration,
    /// How long an unsubscription or a landing may wait to become durable before it is answered with 503.
    pub submit_timeout: Duration,
    /// How long a connection may live, whatever it does.
    pub connection_life: Duration,
    /// How long running requests may take to end after a stop.
    pub drain: Duration,
    /// Requests a second from one IPv4 address or IPv6 /64. A proxy on this machine is not limited; those whom it names in
    /// `X-Forwarded-For` are.
    pub requests_per_second: NonZeroU32,
    /// How many requests may come at once before that rate holds.
    pub requests_burst: NonZeroU32,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            safe_page: None,
            connections_max: 10_000,
            first_byte_timeout: Duration::from_secs(5),
            handshake_timeout: Duration::from_secs(10),
            certificates: None,
            header_timeout: Duration::from_secs(10),
            body_timeout: Duration::from_secs(10),
            submit_timeout: Duration::from_secs(20),
            connection_life: Duration::from_mins(5),
            drain: Duration::from_secs(10),
            requests_per_second: const { NonZeroU32::new(100).expect("not zero") },
            requests_burst: const { NonZeroU32::new(1_000).expect("not zero") },
        }
    }
}

/// The settings of the public listener, as written.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// An `https` URL for bad tokens under hosts that are no shop's. Default: none, a 404.
    pub safe_page: Option<String>,
    /// Connections at once, from 1. Default 10000.
    pub connections_max: Option<usize>,
    /// Default `5s`.
    pub first_byte_timeout: Option<String>,
    /// Default `10s`.
    pub handshake_timeout: Option<String>,
    /// A folder of `<host>.pem`, or `<host>.crt` and `<host>.key`. Default: none.
    pub certificates: Option<PathBuf>,
    /// Default `10s`.
    pub header_timeout: Option<String>,
    /// Default `10s`.
    pub body_timeout: Option<String>,
    /// Default `20s`.
    pub submit_timeout: Option<String>,
    /// Default `5m`.
    pub connection_life: Option<String>,
    /// Default `10s`.
    pub drain: Option<String>,
    /// Requests a second from one address, from 1. Default 100.
    pub requests_per_second: Option<u32>,
    /// Requests at once from one address, from 1. Default 1000.
    pub requests_burst: Option<u32>,
}

impl Config {
    /// Returns the settings that are meant; every fault is added to `faults` as `key: fault`.
    pub fn resolve(self, faults: &mut Vec<String>) -> Settings {
        let default = Settings::default();
        let safe_page = self.safe_page.and_then(|url| match HttpsUrl::try_from(url) {
            Ok(url) => Some(url),
            Err(fault) => {
                faults.push(format!("safe_page: {fault}"));
                None
            }
        });
        if self.connections_max == Some(0) {
            faults.push("connections_max: must be at least 1".to_owned());
        }
        let mut rate = |key: &str, written: Option<u32>, default| match written.map(NonZeroU32::new) {
            None => default,
            Some(Some(rate)) => rate,
            Some(None) => {
                faults.push(format!("{key}: must be at least 1"));
                default
            }
        };
        let requests_per_second = rate(
            "requests_per_second",
            self.requests_per_second,
            default.requests_per_second,
        );
        let requests_burst = rate("requests_burst", self.requests_burst, default.requests_burst);
        // A wait of nothing would refuse everybody, and one of more than a day is a slip of the unit.
        let waits = Duration::from_millis(1)..=Duration::from_hours(24);
        let mut wait = |key: &str, written: Option<String>, default| {
            duration_in(key, written.as_deref(), default, waits.clone(), faults)
        };
        Settings {
            safe_page,
            connections_max: self.connections_max.unwrap_or(default.connections_max).max(1),
            first_byte_timeout: wait(
                "first_byte_timeout",
                self.first_byte_timeout,
                default.first_byte_timeout,
            ),
            handshake_timeout: wait("handshake_timeout", self.handshake_timeout, default.handshake_timeout),
            certificates: self.certificates,
            header_timeout: wait("header_timeout", self.header_timeout, default.header_timeout),
            body_timeout: wait("body_timeout", self.body_timeout, default.body_timeout),
            submit_timeout: wait("submit_timeout", self.submit_timeout, default.submit_timeout),
            connection_life: wait("connection_life", self.connection_life, default.connection_life),
            drain: wait("drain", self.drain, default.drain),
            requests_per_second,
            requests_burst,
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
        assert!(faults.is_empty());
    }

    #[test]
    fn every_fault_is_reported_with_its_key() {
        let config = Config {
            safe_page: Some("http://a.example/".to_owned()),
            connections_max: Some(0),
            header_timeout: Some("ten".to_owned()),
            drain: Some("0s".to_owned()),
            requests_burst: Some(0),
            ..Config::default()
        };
        let mut faults = Vec::new();
        config.resolve(&mut faults);
        let keys: Vec<_> = faults.iter().filter_map(|fault| fault.split(':').next()).collect();
        assert_eq!(
            keys,
            [
                "safe_page",
                "connections_max",
                "requests_burst",
                "header_timeout",
                "drain"
            ]
        );
    }
}
