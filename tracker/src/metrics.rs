//! What the public listener tells about itself.

use prometheus::{Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, Opts, Registry};
use types::token::BadToken;

use crate::request::Endpoint;

/// Handles of the tracker's metrics.
pub(crate) struct Metrics {
    /// Requests by endpoint and status. Healthy: clicks are nearly all 302, pixels all 200.
    ///
    /// 503 at `unsubscribe` means that the journal does not take unsubscriptions: look at the store at once.
    pub(crate) requests: IntCounterVec,
    /// Time from a request's head to its answer. Clicks and pixels wait for nothing: above a millisecond the machine is
    /// overloaded. Unsubscriptions wait for one group commit.
    pub(crate) seconds: HistogramVec,
    /// What became of opens, clicks and unsubscriptions, see [`Fate`]. `dropped` is healthy at 0: the runners' inboxes
    /// were full, and what happened then is lost.
    pub(crate) events: IntCounterVec,
    /// Tokens refused, by reason. Scanners cause a steady few; `mac` rising is someone guessing, `unknown_key` a root
    /// secret that was retired too early.
    pub(crate) bad_tokens: IntCounterVec,
    /// Requests answered with 429. Healthy: 0, or a flood.
    pub(crate) limited: IntCounter,
    /// Open connections. At the setting's maximum, new ones wait in the kernel's queue.
    pub(crate) connections: IntGauge,
    /// Connections accepted.
    pub(crate) accepted: IntCounter,
    /// Connections closed because they stayed silent from the start. Rising: someone holds connections open.
    pub(crate) silent: IntCounter,
}

/// What became of an open, click or unsubscription.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// Handed to the runner (unsubscriptions: durable).
    Recorded,
    /// The token names nobody; this counter is all that is kept.
    Aggregate,
    /// The person withdrew.
    Withdrawn,
    /// A HEAD request or a prefetch: nobody has seen anything.
    Prefetched,
    /// The runner's inbox was full, or closed.
    Dropped,
}

impl Fate {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Recorded => "recorded",
            Self::Aggregate => "aggregate",
            Self::Withdrawn => "withdrawn",
            Self::Prefetched => "prefetched",
            Self::Dropped => "dropped",
        }
    }
}

impl Metrics {
    pub(crate) fn new(registry: &Registry) -> prometheus::Result<Self> {
        let seconds = HistogramOpts::new("tracker_request_seconds", "Time from a request's head to its answer.")
            .buckets(vec![
                0.000_05, 0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.01, 0.05, 0.25, 1.0, 5.0,
            ]);
        let metrics = Self {
            requests: IntCounterVec::new(
                Opts::new("tracker_requests_total", "Requests by endpoint and status."),
                &["endpoint", "status"],
            )?,
            seconds: HistogramVec::new(seconds, &["endpoint"])?,
            events: IntCounterVec::new(
                Opts::new(
                    "tracker_events_total",
                    "What became of opens, clicks and unsubscriptions.",
                ),
                &["event", "fate"],
            )?,
            bad_tokens: IntCounterVec::new(
                Opts::new("tracker_bad_tokens_total", "Tokens refused, by endpoint and reason."),
                &["endpoint", "reason"],
            )?,
            limited: IntCounter::new("tracker_limited_total", "Requests answered with 429.")?,
            connections: IntGauge::new("tracker_connections", "Open connections.")?,
            accepted: IntCounter::new("tracker_connections_total", "Connections accepted.")?,
            silent: IntCounter::new(
                "tracker_silent_connections_total",
                "Connections that never said a word.",
            )?,
        };
        registry.register(Box::new(metrics.requests.clone()))?;
        registry.register(Box::new(metrics.seconds.clone()))?;
        registry.register(Box::new(metrics.events.clone()))?;
        registry.register(Box::new(metrics.bad_tokens.clone()))?;
        registry.register(Box::new(metrics.limited.clone()))?;
        registry.register(Box::new(metrics.connections.clone()))?;
        registry.register(Box::new(metrics.accepted.clone()))?;
        registry.register(Box::new(metrics.silent.clone()))?;
        Ok(metrics)
    }

    pub(crate) fn bad_token(&self, endpoint: Endpoint, reason: BadToken) {
        self.bad_tokens
            .with_label_values(&[endpoint.as_str(), reason.as_str()])
            .inc();
    }

    pub(crate) fn event(&self, event: &'static str, fate: Fate) {
        self.events.with_label_values(&[event, fate.as_str()]).inc();
    }

    pub(crate) fn duration(&self, endpoint: Endpoint) -> Histogram {
        self.seconds.with_label_values(&[endpoint.as_str()])
    }
}
