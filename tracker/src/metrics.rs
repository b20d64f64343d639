//! What the public listener tells about itself.
//!
//! Handles of what every request touches are fetched once: looking a label up costs as much as checking a token.

use std::time::Duration;

use prometheus::{
    Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry,
};
use types::token::BadToken;

use crate::request::Endpoint;

/// Handles of the tracker's metrics.
pub(crate) struct Metrics {
    /// Requests by endpoint and status. Healthy: clicks are nearly all 302, pixels all 200.
    ///
    /// 503 at `unsubscribe` or `landing` means that the journal does not take them: look at the store at once.
    requests: IntCounterVec,
    /// The commonest of them.
    usual: [IntCounter; Endpoint::ALL.len()],
    /// Time from a request's head to its answer. Clicks and pixels wait for nothing: above a millisecond the machine is
    /// overloaded. Unsubscriptions and landings wait for one group commit.
    seconds: [Histogram; Endpoint::ALL.len()],
    /// What became of opens, clicks, landings, unsubscriptions and preferences, see [`Fate`]. `dropped` is healthy at 0:
    /// the runners' inboxes were full, and what happened then is lost.
    events: [[IntCounter; Fate::ALL.len()]; Tracked::ALL.len()],
    /// Tokens refused, by reason. Scanners cause a steady few; `mac` rising is someone guessing, `unknown_key` a root
    /// secret that was retired too early.
    bad_tokens: IntCounterVec,
    /// Requests answered with 429. Healthy: 0, or a flood.
    pub(crate) limited: IntCounter,
    /// Open connections. At the setting's maximum, new ones wait in the kernel's queue.
    pub(crate) connections: IntGauge,
    /// Connections accepted.
    pub(crate) accepted: IntCounter,
    /// Connections closed because they stayed silent from the start. Rising: someone holds connections open.
    pub(crate) silent: IntCounter,
    /// Requests that are no HTTP, too long, too slow, or could be read in two ways, by status. A steady few come from
    /// port scanners; many are someone who tries.
    refused: IntCounterVec,
    /// TLS handshakes by result. Healthy: `tls13` and some `tls12`. `unknown_host`: no certificate of that name is in the
    /// folder. `failed`: old or broken clients, and port scanners. `timeout`: someone holds connections open.
    pub(crate) handshakes: IntCounterVec,
    /// Whole days until a host's certificate ends, of at most 1,000 hosts; negative once it has ended. Renew below 15.
    pub(crate) certificate_days: IntGaugeVec,
    /// Certificate files that could not be read or do not fit their key. Healthy: not rising; the log names the file, and the
    /// certificate before it stays.
    pub(crate) certificate_faults: IntCounter,
}

/// What a recipient or an advertiser's site did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tracked {
    Opened,
    Clicked,
    Landed,
    Unsubscribed,
    PreferenceChanged,
}

impl Tracked {
    /// Every one, in the order of its number.
    const ALL: [Self; 5] = [
        Self::Opened,
        Self::Clicked,
        Self::Landed,
        Self::Unsubscribed,
        Self::PreferenceChanged,
    ];

    const fn as_str(self) -> &'static str {
        match self {
            Self::Opened => "opened",
            Self::Clicked => "clicked",
            Self::Landed => "landed",
            Self::Unsubscribed => "unsubscribed",
            Self::PreferenceChanged => "preference_changed",
        }
    }
}

/// What became of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// Handed to the runner; durable, but for opens and clicks.
    Recorded,
    /// The token names nobody: counted, and that is all that is kept.
    Aggregate,
    /// The person withdrew.
    Withdrawn,
    /// A HEAD request or a prefetch: nobody has seen anything. Handed to the runner as evidence, if it names a mail.
    Prefetched,
    /// The token's key is known to others: it leads on, and counts for nothing.
    Untrusted,
    /// The runner's inbox was full, or closed; or the map of counts was full.
    Dropped,
}

impl Fate {
    /// Every one, in the order of its number.
    const ALL: [Self; 6] = [
        Self::Recorded,
        Self::Aggregate,
        Self::Withdrawn,
        Self::Prefetched,
        Self::Untrusted,
        Self::Dropped,
    ];

    const fn as_str(self) -> &'static str {
        match self {
            Self::Recorded => "recorded",
            Self::Aggregate => "aggregate",
            Self::Withdrawn => "withdrawn",
            Self::Prefetched => "prefetched",
            Self::Untrusted => "untrusted",
            Self::Dropped => "dropped",
        }
    }
}

impl Metrics {
    pub(crate) fn new(registry: &Registry) -> prometheus::Result<Self> {
        let counters = |name: &str, help: &str, labels: &[&str]| {
            let counters = IntCounterVec::new(Opts::new(name, help), labels)?;
            registry.register(Box::new(counters.clone()))?;
            prometheus::Result::Ok(counters)
        };
        let counter = |name: &str, help: &str| {
            let counter = IntCounter::new(name, help)?;
            registry.register(Box::new(counter.clone()))?;
            prometheus::Result::Ok(counter)
        };
        let seconds = HistogramOpts::new("tracker_request_seconds", "Time from a request's head to its answer.")
            .buckets(vec![
                0.000_05, 0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.01, 0.05, 0.25, 1.0, 5.0,
            ]);
        let seconds = HistogramVec::new(seconds, &["endpoint"])?;
        registry.register(Box::new(seconds.clone()))?;
        let requests = counters(
            "tracker_requests_total",
            "Requests by endpoint and status.",
            &["endpoint", "status"],
        )?;
        let events = counters(
            "tracker_events_total",
            "What became of opens, clicks, landings, unsubscriptions and preferences.",
            &["event", "fate"],
        )?;
        let bad_tokens = counters(
            "tracker_bad_tokens_total",
            "Tokens refused, by endpoint and reason.",
            &["endpoint", "reason"],
        )?;
        let refused = counters(
            "tracker_refused_requests_total",
            "Requests that are no HTTP, too long or too slow, by status.",
            &["status"],
        )?;
        let handshakes = counters("tracker_tls_handshakes_total", "TLS handshakes by result.", &["result"])?;
        // From zero, so that a rate sees the first of each.
        for endpoint in [
            Endpoint::Click,
            Endpoint::Pixel,
            Endpoint::Unsubscribe,
            Endpoint::Landing,
        ] {
            for reason in BadToken::ALL {
                bad_tokens.with_label_values(&[endpoint.as_str(), reason.as_str()]);
            }
        }
        for status in ["400", "408", "413", "431"] {
            refused.with_label_values(&[status]);
        }
        for result in ["tls13", "tls12", "unknown_host", "failed", "timeout"] {
            handshakes.with_label_values(&[result]);
        }
        let connections = IntGauge::new("tracker_connections", "Open connections.")?;
        registry.register(Box::new(connections.clone()))?;
        let certificate_days = Opts::new(
            "tracker_certificate_days",
            "Whole days until a host's certificate ends.",
        );
        let certificate_days = IntGaugeVec::new(certificate_days, &["host"])?;
        registry.register(Box::new(certificate_days.clone()))?;
        Ok(Self {
            usual: Endpoint::ALL
                .map(|endpoint| requests.with_label_values(&[endpoint.as_str(), &usual_status(endpoint).to_string()])),
            requests,
            seconds: Endpoint::ALL.map(|endpoint| seconds.with_label_values(&[endpoint.as_str()])),
            events: Tracked::ALL
                .map(|tracked| Fate::ALL.map(|fate| events.with_label_values(&[tracked.as_str(), fate.as_str()]))),
            bad_tokens,
            limited: counter("tracker_limited_total", "Requests answered with 429.")?,
            connections,
            accepted: counter("tracker_connections_total", "Connections accepted.")?,
            silent: counter(
                "tracker_silent_connections_total",
                "Connections that never said a word.",
            )?,
            refused,
            handshakes,
            certificate_days,
            certificate_faults: counter(
                "tracker_certificate_faults_total",
                "Certificate files that could not be used.",
            )?,
        })
    }

    /// Counts an answer.
    pub(crate) fn answered(&self, endpoint: Endpoint, status: u16, took: Duration) {
        let index = endpoint as usize;
        if let Some(seconds) = self.seconds.get(index) {
            seconds.observe(took.as_secs_f64());
        }
        match self.usual.get(index) {
            Some(usual) if status == usual_status(endpoint) => usual.inc(),
            _ => {
                let labels = [endpoint.as_str(), &status.to_string()];
                self.requests.with_label_values(&labels).inc();
            }
        }
    }

    /// Counts a request that is refused for its form.
    pub(crate) fn refused(&self, status: u16) {
        self.refused.with_label_values(&[&status.to_string()]).inc();
    }

    pub(crate) fn bad_token(&self, endpoint: Endpoint, reason: BadToken) {
        self.bad_tokens
            .with_label_values(&[endpoint.as_str(), reason.as_str()])
            .inc();
    }

    pub(crate) fn event(&self, tracked: Tracked, fate: Fate) {
        self.events(tracked, fate, 1);
    }

    pub(crate) fn events(&self, tracked: Tracked, fate: Fate, count: u64) {
        let fates = self.events.get(tracked as usize);
        if let Some(counter) = fates.and_then(|fates| fates.get(fate as usize)) {
            counter.inc_by(count);
        }
    }
}

/// Returns the status that an endpoint's answers have when all is well.
const fn usual_status(endpoint: Endpoint) -> u16 {
    match endpoint {
        Endpoint::Click => 302,
        Endpoint::Landing => 204,
        Endpoint::Other => 404,
        Endpoint::Pixel | Endpoint::Unsubscribe | Endpoint::Snippet | Endpoint::Robots => 200,
    }
}
