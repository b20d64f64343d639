//! The `[api]` section of the settings: as written ([`Config`]) and as meant ([`Settings`]).

use std::num::NonZeroU32;
use std::time::Duration;

use serde::Deserialize;
use types::setting::{bytes_or, duration_or};

/// How the API and admin listeners behave. Addresses are the binary's business: it binds, and passes listeners.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Connections at once, per listener. Further ones wait in the kernel's backlog.
    pub connections_max: usize,
    /// How long a new connection may stay silent.
    pub first_byte_timeout: Duration,
    /// How long a request's head may take from its first byte.
    pub header_timeout: Duration,
    /// How long a request's body may take.
    pub body_timeout: Duration,
    /// How long a connection may stay open between two requests.
    pub idle_timeout: Duration,
    /// How long a client may leave an answer unread.
    pub write_timeout: Duration,
    /// How long requests in flight may go on when the service stops.
    pub drain_grace: Duration,
    /// Largest body of everything but batches and templates, in bytes.
    pub body_bytes_max: usize,
    /// Largest body of `POST /v1/messages` and of a template, in bytes.
    pub batch_bytes_max: usize,
    /// Bytes of all bodies that are being read or worked on, together. A body that finds no place is answered 503.
    pub bodies_bytes_max: usize,
    /// Requests a second that one API key may make, with a burst of as many; each item of a batch counts.
    pub requests_per_second: NonZeroU32,
    /// Failed attempts to authenticate that one address (an IPv6 /64) may make in a minute.
    pub failed_auth_per_minute: NonZeroU32,
    /// Streams of events open at once, on both listeners together; each reads the whole journal as it grows.
    pub streams_max: usize,
}

impl Default for Settings {
    fn default() -> Self {
        let per_second = |number: u32| NonZeroU32::new(number).unwrap_or(NonZeroU32::MIN);
        Self {
            connections_max: 10_000,
            first_byte_timeout: Duration::from_secs(5),
            header_timeout: Duration::from_secs(10),
            body_timeout: Duration::from_secs(30),
            idle_timeout: Duration::from_mins(1),
            write_timeout: Duration::from_secs(30),
            drain_grace: Duration::from_secs(20),
            body_bytes_max: 256 << 10,
            batch_bytes_max: 8 << 20,
            bodies_bytes_max: 256 << 20,
            requests_per_second: per_second(5_000),
            failed_auth_per_minute: per_second(30),
            streams_max: 32,
        }
    }
}

/// The section as it is written. Missing keys keep their defaults.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// See [`Settings::connections_max`]; 1 to 1,000,000.
    pub connections_max: Option<usize>,
    /// See [`Settings::first_byte_timeout`].
    pub first_byte_timeout: Option<String>,
    /// See [`Settings::header_timeout`].
    pub header_timeout: Option<String>,
    /// See [`Settings::body_timeout`].
    pub body_timeout: Option<String>,
    /// See [`Settings::idle_timeout`].
    pub idle_timeout: Option<String>,
    /// See [`Settings::write_timeout`].
    pub write_timeout: Option<String>,
    /// See [`Settings::drain_grace`].
    pub drain_grace: Option<String>,
    /// See [`Settings::body_bytes_max`]; `"1KiB"` to `"16MiB"`.
    pub body_bytes_max: Option<String>,
    /// See [`Settings::batch_bytes_max`]; `"1KiB"` to `"64MiB"`.
    pub batch_bytes_max: Option<String>,
    /// See [`Settings::bodies_bytes_max`]; at least `batch_bytes_max`.
    pub bodies_bytes_max: Option<String>,
    /// See [`Settings::requests_per_second`]; at least 500, so that a full batch fits.
    pub requests_per_second: Option<u32>,
    /// See [`Settings::failed_auth_per_minute`]; at least 1.
    pub failed_auth_per_minute: Option<u32>,
    /// See [`Settings::streams_max`]; 0 to 1,000.
    pub streams_max: Option<usize>,
}

impl Config {
    /// Checks the section; every fault is pushed as `key: fault`, and the default stands in for it.
    pub fn resolve(self, faults: &mut Vec<String>) -> Settings {
        let default = Settings::default();
        let mut time = |key: &str, written: Option<String>, default: Duration| {
            let value = duration_or(key, written.as_deref(), default, faults);
            if value.is_zero() || value > Duration::from_hours(1) {
                faults.push(format!("{key}: must be above 0 and at most 1h"));
                return default;
            }
            value
        };
        let first_byte_timeout = time(
            "api.first_byte_timeout",
            self.first_byte_timeout,
            default.first_byte_timeout,
        );
        let header_timeout = time("api.header_timeout", self.header_timeout, default.header_timeout);
        let body_timeout = time("api.body_timeout", self.body_timeout, default.body_timeout);
        let idle_timeout = time("api.idle_timeout", self.idle_timeout, default.idle_timeout);
        let write_timeout = time("api.write_timeout", self.write_timeout, default.write_timeout);
        let drain_grace = time("api.drain_grace", self.drain_grace, default.drain_grace);

        let mut size = |key: &str, written: Option<String>, default: usize, low: usize, high: usize| {
            let value = bytes_or(key, written.as_deref(), default as u64, faults);
            match usize::try_from(value) {
                Ok(value) if (low..=high).contains(&value) => value,
                _ => {
                    faults.push(format!("{key}: must be from {low}B to {high}B"));
                    default
                }
            }
        };
        let body_bytes_max = size(
            "api.body_bytes_max",
            self.body_bytes_max,
            default.body_bytes_max,
            1 << 10,
            16 << 20,
        );
        let batch_bytes_max = size(
            "api.batch_bytes_max",
            self.batch_bytes_max,
            default.batch_bytes_max,
            1 << 10,
            64 << 20,
        );
        let bodies_low = batch_bytes_max.max(body_bytes_max);
        let bodies_default = default.bodies_bytes_max.max(bodies_low);
        let bodies_bytes_max = size(
            "api.bodies_bytes_max",
            self.bodies_bytes_max,
            bodies_default,
            bodies_low,
            64 << 30,
        );

        let connections_max = self.connections_max.unwrap_or(default.connections_max);
        if !(1..=1_000_000).contains(&connections_max) {
            faults.push("api.connections_max: must be from 1 to 1000000".to_owned());
        }
        let streams_max = self.streams_max.unwrap_or(default.streams_max);
        if streams_max > 1000 {
            faults.push("api.streams_max: must be at most 1000".to_owned());
        }
        let mut rate = |key: &str, written: Option<u32>, low: u32, default: NonZeroU32| {
            let Some(value) = written else { return default };
            NonZeroU32::new(value)
                .filter(|value| value.get() >= low)
                .unwrap_or_else(|| {
                    faults.push(format!("{key}: must be at least {low}"));
                    default
                })
        };
        Settings {
            connections_max: connections_max.clamp(1, 1_000_000),
            first_byte_timeout,
            header_timeout,
            body_timeout,
            idle_timeout,
            write_timeout,
            drain_grace,
            body_bytes_max,
            batch_bytes_max,
            bodies_bytes_max,
            requests_per_second: rate(
                "api.requests_per_second",
                self.requests_per_second,
                500,
                default.requests_per_second,
            ),
            failed_auth_per_minute: rate(
                "api.failed_auth_per_minute",
                self.failed_auth_per_minute,
                1,
                default.failed_auth_per_minute,
            ),
            streams_max: streams_max.min(1000),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_fault_is_told_at_once() {
        let config = Config {
            connections_max: Some(0),
            idle_timeout: Some("60".to_owned()),
            body_timeout: Some("0s".to_owned()),
            body_bytes_max: Some("1TiB".to_owned()),
            requests_per_second: Some(10),
            ..Config::default()
        };
        let mut faults = Vec::new();
        let settings = config.resolve(&mut faults);
        assert_eq!(faults.len(), 5, "{faults:?}");
        assert!(faults.iter().all(|fault| fault.starts_with("api.")));
        assert_eq!(settings.idle_timeout, Settings::default().idle_timeout);
    }
}
