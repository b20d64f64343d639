//! Settings of making mails.

use std::num::NonZeroUsize;
use std::time::Duration;

use serde::Deserialize;
use types::address::ascii_domain;
use types::setting::duration_or;

use super::dkim::Selectors;

/// How mails are made, as meant.
#[derive(Clone, Debug)]
pub struct Settings {
    /// How many threads render and sign. An RSA signature keeps one busy for half a millisecond.
    pub threads: NonZeroUsize,
    /// The host of links and pixels where a shop has none of its own.
    pub tracking_host: String,
    /// Under which selectors keys are published.
    pub selectors: Selectors,
    /// How long a signature is good for, `x=`.
    pub signature_life: Duration,
    /// The sender id at the end of `Feedback-ID`, 5 to 15 characters: the whole service's, for Gmail's postmaster tools.
    pub feedback_sender: String,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            threads: std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN),
            tracking_host: "track.localhost".to_owned(),
            selectors: Selectors::default(),
            signature_life: Duration::from_hours(30 * 24),
            feedback_sender: "staffetta".to_owned(),
        }
    }
}

/// How mails are made, as written: section `[submit]`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// 1 to 256. Default: one per core.
    pub threads: Option<usize>,
    /// A host name. Default: `track.localhost`.
    pub tracking_host: Option<String>,
    /// A DNS label. Default: `s1`.
    pub dkim_selector_rsa: Option<String>,
    /// A DNS label, other than the RSA one. Default: `s1e`.
    pub dkim_selector_ed25519: Option<String>,
    /// `1d` to `365d`. Default: `30d`.
    pub dkim_signature_life: Option<String>,
    /// 5 to 15 letters, digits or hyphens. Default: `staffetta`.
    pub feedback_sender: Option<String>,
}

impl Config {
    /// Checks everything; what is at fault is added to `faults`, and the default stands in.
    pub fn resolve(self, faults: &mut Vec<String>) -> Settings {
        let default = Settings::default();
        let mut fault = |key: &str, text: &str, what: &str| faults.push(format!("submit.{key}: `{text}` {what}"));
        let threads = self.threads.map_or(default.threads, |threads| {
            NonZeroUsize::new(threads)
                .filter(|threads| threads.get() <= 256)
                .unwrap_or_else(|| {
                    fault("threads", &threads.to_string(), "is not between 1 and 256");
                    default.threads
                })
        });
        let tracking_host = self.tracking_host.map_or(default.tracking_host.clone(), |host| {
            ascii_domain(&host).unwrap_or_else(|| {
                fault("tracking_host", &host, "is not a host name");
                default.tracking_host
            })
        });
        let mut label = |key: &str, written: Option<String>, default: String| match written {
            Some(text) if !is_selector(&text) => {
                fault(key, &text, "is not a name of labels of letters, digits and hyphens");
                default
            }
            Some(text) => text,
            None => default,
        };
        let selectors = Selectors {
            rsa: label("dkim_selector_rsa", self.dkim_selector_rsa, default.selectors.rsa),
            ed25519: label(
                "dkim_selector_ed25519",
                self.dkim_selector_ed25519,
                default.selectors.ed25519,
            ),
        };
        if selectors.rsa == selectors.ed25519 {
            fault(
                "dkim_selector_ed25519",
                &selectors.ed25519,
                "is also the RSA selector: they need two names",
            );
        }
        let feedback_sender = self.feedback_sender.map_or(default.feedback_sender.clone(), |sender| {
            if (5..=15).contains(&sender.len()) && is_selector(&sender) {
                sender
            } else {
                fault("feedback_sender", &sender, "is not 5 to 15 letters, digits or hyphens");
                default.feedback_sender
            }
        });
        let key = "submit.dkim_signature_life";
        let mut signature_life = duration_or(key, self.dkim_signature_life.as_deref(), default.signature_life, faults);
        let day = Duration::from_hours(24);
        if !(day..=365 * day).contains(&signature_life) {
            faults.push(format!("{key}: is not between 1d and 365d"));
            signature_life = default.signature_life;
        }
        Settings {
            threads,
            tracking_host,
            selectors,
            signature_life,
            feedback_sender,
        }
    }
}

/// Whether a text is a selector: labels of letters, digits and hyphens (RFC 6376 §3.1).
fn is_selector(text: &str) -> bool {
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    text.len() <= 128 && text.split('.').all(label)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_fault_is_told() {
        let config: Config = serde_json::from_str(
            r#"{"threads": 0, "tracking_host": "a b", "dkim_selector_rsa": "s_1", "dkim_selector_ed25519": "s1",
                "dkim_signature_life": "1s", "feedback_sender": "abc"}"#,
        )
        .unwrap();
        let mut faults = Vec::new();
        config.resolve(&mut faults);
        assert_eq!(faults.len(), 6, "{faults:#?}");
        let mut faults = Vec::new();
        Config::default().resolve(&mut faults);
        assert!(faults.is_empty());
    }
}
