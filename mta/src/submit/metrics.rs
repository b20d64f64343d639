//! What an operator sees of making mails.

use prometheus::{Histogram, HistogramOpts, IntCounterVec, IntGauge, Opts, Registry};

use crate::metrics::begin;

/// Handles of the signing threads' metrics.
#[derive(Clone, Debug)]
pub(super) struct Metrics {
    /// Mails that wait for a signing thread.
    ///
    /// Near 0 when healthy. Standing high with the processor busy: signing is the limit, more cores or Ed25519 alone
    /// help. Standing high with the processor idle: the journal makes `append` wait, look at its commit latency.
    pub(super) queued: IntGauge,
    /// Seconds to render one mail, tens of microseconds when healthy. A shop's own template may be slow.
    pub(super) render_seconds: Histogram,
    /// Seconds to build, sign and assemble one mail: about half a millisecond per RSA signature when the core is free.
    pub(super) sign_seconds: Histogram,
    /// Mails that could not be made and ended as failed, by `cause`: `catalogue`, `template`, `key` or `panic`.
    ///
    /// 0 when healthy; the log tells which shop and why.
    pub(super) failures: IntCounterVec,
}

impl Metrics {
    /// Registers the metrics.
    pub(super) fn register(registry: &Registry) -> prometheus::Result<Self> {
        let seconds = |name: &str, help: &str| {
            // 10 µs to 80 ms, by twos.
            let buckets = prometheus::exponential_buckets(0.000_01, 2.0, 14)?;
            Histogram::with_opts(HistogramOpts::new(name, help).buckets(buckets))
        };
        let metrics = Self {
            queued: IntGauge::new("mta_submit_queued_messages", "Mails that wait for a signing thread")?,
            render_seconds: seconds("mta_submit_render_seconds", "Time to render one mail")?,
            sign_seconds: seconds("mta_submit_sign_seconds", "Time to build and sign one mail")?,
            failures: IntCounterVec::new(
                Opts::new("mta_submit_failures_total", "Mails that could not be made"),
                &["cause"],
            )?,
        };
        begin(&metrics.failures, &["catalogue", "template", "key", "panic"]);
        registry.register(Box::new(metrics.queued.clone()))?;
        registry.register(Box::new(metrics.render_seconds.clone()))?;
        registry.register(Box::new(metrics.sign_seconds.clone()))?;
        registry.register(Box::new(metrics.failures.clone()))?;
        Ok(metrics)
    }
}
