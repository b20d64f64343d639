//! What the projector tells Prometheus.

use prometheus::{Gauge, IntCounter, IntCounterVec, IntGauge, Opts, Registry};

use super::fault::LABELS;
use crate::metrics::registered;

/// The projector's metrics.
#[derive(Clone, Debug)]
pub(super) struct Metrics {
    /// Whether Redis takes what is sent. Healthy: 1. At 0, only readers of Redis notice: `store_redis_retries_total` says why.
    pub(super) up: IntGauge,
    /// Durable records that Redis is not known to have. Healthy: a few thousand at most under load, 0 at rest.
    pub(super) lag_records: IntGauge,
    /// How old the newest record is that Redis has, while there are newer ones. Healthy: below 1; Redis's own round trip more.
    pub(super) lag_seconds: Gauge,
    /// Records whose events and counts Redis has confirmed, repeated ones included.
    pub(super) records: IntCounter,
    /// Batches of one slot that Redis has confirmed.
    pub(super) batches: IntCounter,
    /// Bytes of batches on their way. At the setting `window`, Redis is what is waited for.
    pub(super) in_flight_bytes: IntGauge,
    /// Sessions that ended and were begun again, by kind. Healthy: rises only when Redis was restarted or failed over.
    pub(super) retries: IntCounterVec,
    /// Slots whose counts were all sent again. Healthy: 64 at the first start, and after a FLUSHALL.
    pub(super) rebuilds: IntCounter,
    /// Records that Redis lost after it had confirmed them, as seen at the beginning of a session. Healthy: rises at most by
    /// what fails over within a second; more: see to `appendfsync` and to the replica's lag.
    pub(super) lost: IntCounter,
}

impl Metrics {
    /// Registers all metrics. Err: a name is taken.
    pub(super) fn register(registry: &Registry) -> prometheus::Result<Self> {
        let gauge = |name: &str, help: &str| registered(registry, IntGauge::new(name, help));
        let counter = |name: &str, help: &str| registered(registry, IntCounter::new(name, help));
        let lag_seconds = Gauge::new(
            "store_redis_lag_seconds",
            "Age of the newest record that Redis has, while there are newer ones",
        );
        let lag_seconds = registered(registry, lag_seconds)?;
        let retries = Opts::new(
            "store_redis_retries_total",
            "Sessions begun again, by what ended the last",
        );
        let retries = registered(registry, IntCounterVec::new(retries, &["kind"]))?;
        for label in LABELS {
            retries.with_label_values(&[label]);
        }
        Ok(Self {
            up: gauge("store_redis_up", "Whether Redis takes what is sent")?,
            lag_records: gauge(
                "store_redis_lag_records",
                "Durable records that Redis is not known to have",
            )?,
            lag_seconds,
            records: counter("store_redis_records_total", "Records that Redis has confirmed")?,
            batches: counter("store_redis_batches_total", "Batches that Redis has confirmed")?,
            in_flight_bytes: gauge("store_redis_in_flight_bytes", "Bytes of batches on their way")?,
            retries,
            rebuilds: counter("store_redis_rebuilds_total", "Slots whose counts were all sent again")?,
            lost: counter(
                "store_redis_lost_records_total",
                "Records that Redis lost after it had confirmed them",
            )?,
        })
    }
}
