//! What delivery measures.

use prometheus::{
    Gauge, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry,
};
use types::event::{FailureClass, Outcome};
use types::order::Stream;
use types::provider::Provider;

use crate::queue::Taken;

/// Handles of all metrics of delivery.
#[derive(Clone, Debug)]
pub(crate) struct Metrics {
    /// From the accept to the receiver's 250, by stream, provider and attempt: *the* figure of this system.
    ///
    /// Healthy at `first`: seconds at most, and what receivers take of it (`mta_final_reply_seconds`) its larger part. `later` is what
    /// receivers and DNS made wait, by deferring the mail or by holding its site: minutes and hours there are theirs.
    pub(crate) delivered: HistogramVec,
    /// From the final dot to its reply. Rising: the receiver is slow; nothing here helps but fewer connections.
    pub(crate) final_reply: Histogram,
    /// Ends of attempts by provider, outcome and class. Healthy: nearly all `delivered`; look at the class that grows.
    ///
    /// Mail whose route is not known yet is told under what its domain's name says, mostly `other`.
    pub(crate) attempts: IntCounterVec,
    /// Messages ready and waiting for a session, by provider. Rising while sessions idle: the site throttles us.
    pub(crate) ready: IntGaugeVec,
    /// Messages waiting for their next attempt, by provider. Rising: see `mta_attempts_total` for why.
    pub(crate) deferred: IntGaugeVec,
    /// Sessions, by provider. At the cap with ready messages waiting: raise the site's connections.
    pub(crate) sessions: IntGaugeVec,
    /// Messages with a session now.
    pub(crate) in_flight: IntGauge,
    /// All messages in the queues.
    pub(crate) queued: IntGauge,
    /// Age of the oldest message that is ready and at the head of its list. Healthy: under a second.
    pub(crate) oldest_ready: Gauge,
    /// Connections by result: `ok`, `timeout`, `refused`, `other`, `forbidden`.
    pub(crate) connects: IntCounterVec,
    /// STARTTLS by result: `ok`, `failed`, `not_offered`, `skipped`. Failures are retried in the clear.
    pub(crate) tls: IntCounterVec,
    /// Look-ups of routes by result: `ok`, `null_mx`, `missing`, `unanswered`.
    pub(crate) lookups: IntCounterVec,
    /// Messages whose bytes were read from the spool for an attempt, rather than found in memory.
    pub(crate) spool_reads: IntCounter,
}

impl Metrics {
    /// Registers all metrics; the names are unique to this crate.
    pub(crate) fn new(registry: &Registry) -> prometheus::Result<Self> {
        let seconds = vec![
            0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 1800.0,
            21600.0,
        ];
        let gauge = |name: &str, help: &str| -> prometheus::Result<IntGaugeVec> {
            let gauge = IntGaugeVec::new(Opts::new(name, help), &["provider"])?;
            registry.register(Box::new(gauge.clone()))?;
            Ok(gauge)
        };
        let counter = |name: &str, help: &str, labels: &[&str]| -> prometheus::Result<IntCounterVec> {
            let counter = IntCounterVec::new(Opts::new(name, help), labels)?;
            registry.register(Box::new(counter.clone()))?;
            Ok(counter)
        };
        let delivered = HistogramVec::new(
            HistogramOpts::new("mta_delivered_seconds", "From the accept to the receiver's 250")
                .buckets(seconds.clone()),
            &["stream", "provider", "attempt"],
        )?;
        let final_reply = Histogram::with_opts(
            HistogramOpts::new("mta_final_reply_seconds", "From final dot to reply").buckets(seconds),
        )?;
        let in_flight = IntGauge::new("mta_in_flight_messages", "Messages with a session")?;
        let queued = IntGauge::new("mta_queued_messages", "Messages in the queues")?;
        let oldest_ready = Gauge::new("mta_oldest_ready_seconds", "Age of the oldest ready message")?;
        let spool_reads = IntCounter::new("mta_spool_reads_total", "Messages read from the spool for an attempt")?;
        registry.register(Box::new(delivered.clone()))?;
        registry.register(Box::new(final_reply.clone()))?;
        registry.register(Box::new(in_flight.clone()))?;
        registry.register(Box::new(queued.clone()))?;
        registry.register(Box::new(oldest_ready.clone()))?;
        registry.register(Box::new(spool_reads.clone()))?;
        let attempts = counter(
            "mta_attempts_total",
            "Ends of attempts",
            &["provider", "outcome", "class"],
        )?;
        let connects = counter("mta_connects_total", "Connections by result", &["result"])?;
        let tls = counter("mta_starttls_total", "STARTTLS by result", &["result"])?;
        let lookups = counter("mta_lookups_total", "Route look-ups by result", &["result"])?;
        begin(&connects, &["ok", "timeout", "refused", "other", "forbidden"]);
        begin(&tls, &["ok", "failed", "not_offered", "skipped"]);
        begin(&lookups, &["ok", "null_mx", "missing", "unanswered"]);
        // All 288 and 32: a rate sees the first of each, and a provider without traffic is a line at zero. With their buckets they
        // are some 90 KiB of a scrape.
        for provider in Provider::ALL {
            let started = |outcome: &str, class: &str| {
                attempts.with_label_values(&[provider.as_str(), outcome, class]);
            };
            for outcome in ["delivered", "in_doubt", "expired", "withdrawn"] {
                started(outcome, "");
            }
            for class in FailureClass::ALL {
                started("deferred", class.as_str());
                started("failed", class.as_str());
            }
            for stream in [Stream::Transactional, Stream::Promotional] {
                for attempt in ["first", "later"] {
                    delivered.with_label_values(&[stream.as_str(), provider.as_str(), attempt]);
                }
            }
        }
        Ok(Self {
            delivered,
            final_reply,
            attempts,
            ready: gauge("mta_ready_messages", "Messages waiting for a session")?,
            deferred: gauge("mta_deferred_messages", "Messages waiting for their next attempt")?,
            sessions: gauge("mta_sessions", "Open sessions")?,
            in_flight,
            queued,
            oldest_ready,
            connects,
            tls,
            lookups,
            spool_reads,
        })
    }

    pub(crate) fn ended(&self, provider: Provider, outcome: Outcome) {
        let class = match outcome {
            Outcome::Deferred { class, .. } | Outcome::Failed { class } => class.as_str(),
            Outcome::Delivered | Outcome::InDoubt { .. } | Outcome::Expired | Outcome::Withdrawn => "",
        };
        self.attempts
            .with_label_values(&[provider.as_str(), outcome.as_str(), class])
            .inc();
    }

    pub(crate) fn delivered_after(&self, seconds: f64, taken: &Taken, provider: Provider) {
        let attempt = if taken.attempts == 0 && !taken.held {
            "first"
        } else {
            "later"
        };
        self.delivered
            .with_label_values(&[taken.stream.as_str(), provider.as_str(), attempt])
            .observe(seconds);
    }
}

/// Starts counters at zero, so that a rate sees the first of each.
pub(crate) fn begin(counters: &IntCounterVec, labels: &[&str]) {
    for label in labels {
        counters.with_label_values(&[*label]);
    }
}
