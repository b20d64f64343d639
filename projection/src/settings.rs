//! The section `[redis]`: as written in the file, and as meant.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;
use types::setting::{bytes_or, duration_or};

use crate::address::Address;

/// The projector's settings as meant.
#[derive(Clone, Debug)]
pub struct Settings {
    pub(crate) address: Address,
    /// Authorities to trust, PEM; the system's if `None`.
    pub(crate) authorities: Option<Vec<u8>>,
    /// How long an answer may take.
    pub(crate) timeout: Duration,
    /// The longest wait between two tries.
    pub(crate) retry_max: Duration,
    /// Events kept in each slot's stream, about.
    pub(crate) stream_len: u64,
    /// How long counts are kept after the hour, or the mail, that they belong to.
    pub(crate) counts_kept: Duration,
    /// Bytes of batches on their way at once.
    pub(crate) window_bytes: usize,
}

/// The section `[redis]` of the settings file, as written.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Where Redis is. Without it, nothing is shipped.
    pub url: Option<String>,
    /// A file with the password, if it is not in the URL.
    pub password_file: Option<PathBuf>,
    /// A PEM file with the authorities to trust. Default: the system's.
    pub ca_file: Option<PathBuf>,
    /// How long an answer may take, 100ms to 5m. Default: 5s.
    pub timeout: Option<String>,
    /// The longest wait between two tries, 100ms to 5m. Default: 5s.
    pub retry_max: Option<String>,
    /// Events kept in each of the 64 streams, about; 1 to 100,000,000. Default: 16,384.
    pub stream_len: Option<u64>,
    /// How long counts of hours and mails are kept, 1h to 3650d. Default: 35d.
    pub counts_kept: Option<String>,
    /// Bytes of batches on their way at once, 64KiB to 1GiB. Default: 16MiB.
    pub window: Option<String>,
}

impl Config {
    /// Checks every key and reads the files it names; each fault is pushed to `faults` as `key: fault`. `None`: no Redis
    /// is meant, or there were faults.
    pub fn resolve(self, faults: &mut Vec<String>) -> Option<Settings> {
        let before = faults.len();
        let mut read = |key: &str, path: Option<PathBuf>| {
            path.and_then(|path| {
                let read = fs::read(&path);
                read.map_err(|error| faults.push(format!("{key}: reading {}: {error}", path.display())))
                    .ok()
            })
        };
        let password = read("redis.password_file", self.password_file);
        let authorities = read("redis.ca_file", self.ca_file);
        let password = password.and_then(|bytes| {
            let text =
                String::from_utf8(bytes).map_err(|_| faults.push("redis.password_file: is not UTF-8".to_owned()));
            Some(text.ok()?.trim_end_matches(['\r', '\n']).to_owned())
        });
        let default = Duration::from_secs(5);
        let timeout = duration_or("redis.timeout", self.timeout.as_deref(), default, faults);
        let retry_max = duration_or("redis.retry_max", self.retry_max.as_deref(), default, faults);
        let kept = Duration::from_hours(35 * 24);
        let counts_kept = duration_or("redis.counts_kept", self.counts_kept.as_deref(), kept, faults);
        let window = bytes_or("redis.window", self.window.as_deref(), 16 << 20, faults);
        let stream_len = self.stream_len.unwrap_or(16_384);
        let mut checked = |ok: bool, fault: &str| {
            if !ok {
                faults.push(fault.to_owned());
            }
        };
        let waits = Duration::from_millis(100)..=Duration::from_mins(5);
        checked(waits.contains(&timeout), "redis.timeout: must be 100ms to 5m");
        checked(waits.contains(&retry_max), "redis.retry_max: must be 100ms to 5m");
        checked(
            (1..=100_000_000).contains(&stream_len),
            "redis.stream_len: must be 1 to 100000000",
        );
        checked(
            (Duration::from_hours(1)..=Duration::from_hours(3650 * 24)).contains(&counts_kept),
            "redis.counts_kept: must be 1h to 3650d",
        );
        checked(
            (64 << 10..=1 << 30).contains(&window),
            "redis.window: must be 64KiB to 1GiB",
        );
        let address = self.url.and_then(|url| {
            let parsed = Address::parse(&url);
            parsed
                .map_err(|found| faults.extend(found.into_iter().map(|fault| format!("redis.url: {fault}"))))
                .ok()
        });
        let mut address = (faults.len() == before).then_some(address).flatten()?;
        match (&address.password, password) {
            (Some(_), Some(_)) => faults.push("redis.password_file: the URL has a password, too".to_owned()),
            (None, Some(password)) => address.password = Some(password),
            _ => {}
        }
        if authorities.is_some() && !address.tls {
            faults.push("redis.ca_file: the URL does not say rediss".to_owned());
        }
        let certificate = b"-----BEGIN CERTIFICATE-----";
        if (authorities.iter()).any(|pem| !pem.windows(certificate.len()).any(|found| found == certificate)) {
            faults.push("redis.ca_file: holds no certificate in PEM".to_owned());
        }
        if address.user.is_some() && address.password.is_none() {
            faults.push("redis.url: has a user without a password".to_owned());
        }
        (faults.len() == before).then_some(Settings {
            address,
            authorities,
            timeout,
            retry_max,
            stream_len,
            counts_kept,
            window_bytes: usize::try_from(window).unwrap_or(usize::MAX),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_a_url_there_is_no_redis_and_no_fault() {
        let mut faults = Vec::new();
        assert!(Config::default().resolve(&mut faults).is_none());
        assert!(faults.is_empty(), "{faults:?}");
    }

    #[test]
    fn every_fault_is_reported_with_its_key() {
        let config = Config {
            url: Some("redis://a,b:0".to_owned()),
            password_file: Some("/nowhere/password".into()),
            ca_file: Some("/nowhere/ca".into()),
            timeout: Some("1ms".to_owned()),
            retry_max: Some("soon".to_owned()),
            stream_len: Some(0),
            counts_kept: Some("1m".to_owned()),
            window: Some("1B".to_owned()),
        };
        let mut faults = Vec::new();
        assert!(config.resolve(&mut faults).is_none());
        for key in [
            "url",
            "password_file",
            "ca_file",
            "timeout",
            "retry_max",
            "stream_len",
            "counts_kept",
            "window",
        ] {
            let key = format!("redis.{key}: ");
            assert!(faults.iter().any(|fault| fault.starts_with(&key)), "{key}: {faults:?}");
        }
    }

    #[test]
    fn what_does_not_go_together_is_told() {
        let check = |config: Config, key: &str| {
            let mut faults = Vec::new();
            assert!(config.resolve(&mut faults).is_none());
            assert!(faults.iter().any(|fault| fault.starts_with(key)), "{key}: {faults:?}");
        };
        let file = tempfile::NamedTempFile::new().expect("a file");
        let config = |url: &str| Config {
            url: Some(url.to_owned()),
            ..Config::default()
        };
        check(config("redis://user@a"), "redis.url: ");
        let password_file = Some(file.path().to_owned());
        check(
            Config {
                password_file,
                ..config("redis://:x@a")
            },
            "redis.password_file: ",
        );
        let ca_file = Some(file.path().to_owned());
        check(
            Config {
                ca_file: ca_file.clone(),
                ..config("redis://a")
            },
            "redis.ca_file: the URL",
        );
        check(
            Config {
                ca_file,
                ..config("rediss://a")
            },
            "redis.ca_file: holds no",
        );
        check(config("redis://:pass/word@a"), "redis.url: has an @ after");
    }
}
