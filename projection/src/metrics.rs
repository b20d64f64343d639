//! What the projector tells Prometheus.

use prometheus::core::Collector;
use prometheus::{Gauge, IntCounter, IntCounterVec, IntGauge, Opts, Registry};

use crate::fault::LABELS;

/// The projector's metrics.
#[derive(Clone, Debug)]
pub(crate) struct Metrics {
    /// Whether Redis takes what is sent. Healthy: 1. At 0, only readers of Redis notice: `projection_retries_total` says why.
    pub(crate) up: IntGauge,
    /// Durable records that Redis is not known to have. Healthy: a few thousand at most under load, 0 at rest.
    pub(crate) lag_records: IntGauge,
    /// How old the newest record is that Redis has, while there are newer ones. Healthy: below 1; Redis's own round trip more.
    pub(crate) lag_seconds: Gauge,
    /// Records whose events and counts Redis has confirmed, repeated ones included.
    pub(crate) records: IntCounter,
    /// Batches of one slot that Redis has confirmed.
    pub(crate) batches: IntCounter,
    /// Bytes of batches on their way. At the setting `window`, Redis is what is waited for.
    pub(crate) in_flight_bytes: IntGauge,
    /// Sessions that ended and were begun again, by kind. Healthy: rises only when Redis was restarted or failed over.
    pub(crate) retries: IntCounterVec,
    /// Slots whose counts were all sent again. Healthy: 64 at the first start, and after a FLUSHALL.
    pub(crate) rebuilds: IntCounter,
    /// Records that Redis lost after it had confirmed them, as seen at the beginning of a session. Healthy: rises at most by
    /// what fails over within a second; more: see to `appendfsync` and to the replica's lag.
    pub(crate) lost: IntCounter,
}

impl Metrics {
    /// Registers all metrics. Err: a name is taken.
    pub(crate) fn register(registry: &Registry) -> prometheus::Result<Self> {
        let gauge = |name: &str, help: &str| registered(registry, IntGauge::new(name, help));
        let counter = |name: &str, help: &str| registered(registry, IntCounter::new(name, help));
        let lag_seconds = Gauge::new(
            "projection_lag_seconds",
            "Age of the newest record that Redis has, while there are newer ones",
        );
        let lag_seconds = registered(registry, lag_seconds)?;
        let retries = Opts::new(
            "projection_retries_total",
            "Sessions begun again, by what ended the last",
        );
        let retries = registered(registry, IntCounterVec::new(retries, &["kind"]))?;
        for label in LABELS {
            retries.with_label_values(&[label]);
        }
        Ok(Self {
            up: gauge("projection_up", "Whether Redis takes what is sent")?,
            lag_records: gauge(
                "projection_lag_records",
                "Durable records that Redis is not known to have",
            )?,
            lag_seconds,
            records: counter("projection_records_total", "Records that Redis has confirmed")?,
            batches: counter("projection_batches_total", "Batches that Redis has confirmed")?,
            in_flight_bytes: gauge("projection_in_flight_bytes", "Bytes of batches on their way")?,
            retries,
            rebuilds: counter("projection_rebuilds_total", "Slots whose counts were all sent again")?,
            lost: counter(
                "projection_lost_records_total",
                "Records that Redis lost after it had confirmed them",
            )?,
        })
    }
}

/// Registers a metric that was just made. Err: it could not be made, or its name is taken.
fn registered<M: Collector + Clone + 'static>(
    registry: &Registry,
    metric: prometheus::Result<M>,
) -> prometheus::Result<M> {
    let metric = metric?;
    registry.register(Box::new(metric.clone()))?;
    Ok(metric)
}
