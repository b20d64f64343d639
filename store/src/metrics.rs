//! What the store tells Prometheus.

use prometheus::core::Collector;
use prometheus::{Histogram, HistogramOpts, IntCounter, IntGauge, Registry};

/// The store's metrics.
#[derive(Clone, Debug)]
pub(crate) struct Metrics {
    /// Seconds from a commit round's start to its end: writing, syncing both files, publishing.
    ///
    /// Healthy: the disk's sync time. Rising at an even load: the disk is shared or dying.
    pub(crate) commit_seconds: Histogram,
    /// Records of one commit round.
    ///
    /// Near 1: the load is light. In the hundreds: the disk's syncs are what everyone waits for, and share well.
    pub(crate) commit_records: Histogram,
    /// Bytes of journal frames that were synced.
    pub(crate) journal_synced_bytes: IntCounter,
    /// Bytes of spool frames that were synced.
    pub(crate) spool_synced_bytes: IntCounter,
    /// Bytes of frames that waited for the commit thread when its last round began. At its bound, runners wait.
    pub(crate) pending_bytes: IntGauge,
    /// Journal segments kept for recovery and explanations.
    pub(crate) journal_segments: IntGauge,
    /// Journal segments older than the retention that are kept until Redis has what is in them.
    ///
    /// Healthy: 0. Rising: Redis is away; at `journal_size_max` they go, and its streams will miss what was in them.
    pub(crate) journal_held: IntGauge,
    /// Followers of the journal: the projector, subscribers, terminals. Rising without end: someone leaks them.
    pub(crate) tails: IntGauge,
    /// Spool segments with at least one live message, and the one being filled.
    pub(crate) spool_segments: IntGauge,
    /// Messages in the spool that are not terminal.
    pub(crate) spool_messages: IntGauge,
    /// Bytes of those messages, estimated by each segment's share of live ones.
    pub(crate) spool_live_bytes: IntGauge,
    /// Spool records that were found damaged. Anything but 0: look at the disk; the messages are rendered again.
    pub(crate) spool_damaged: IntCounter,
    /// Durable records that state has not taken yet. Healthy: returns to 0 within a second of a burst.
    pub(crate) state_lag: IntGauge,
    /// Seconds that one batch of turns took to write to state.
    pub(crate) state_batch_seconds: Histogram,
    /// Rounds of the keeper: state synced, the journal reclaimed, what is too old swept.
    ///
    /// Healthy: one each `checkpoint_interval`. Standing still: a sync of state hangs, or a first sweep is long.
    pub(crate) keeper_rounds: IntCounter,
    /// Rows of histories, and mails, removed because they are older than `history_kept`.
    ///
    /// Healthy: 0 until the service is that old; from then on, as many as come in.
    pub(crate) history_swept: IntCounter,
    /// Checkpoint copies written.
    pub(crate) checkpoints: IntCounter,
    /// Bytes free on the data directory's file system. Below the floor, new work is refused with 507.
    pub(crate) disk_free_bytes: IntGauge,
    /// Mails between accept and spool. At the bound, accepts are answered 503: rendering or signing is the bottleneck.
    pub(crate) admissions: IntGauge,
    /// 1 once a write or sync has failed: nothing is accepted until the restart. Healthy: 0.
    pub(crate) failed: IntGauge,
}

impl Metrics {
    /// Registers all metrics. Err: a name is taken, the registry has seen a store before.
    pub(crate) fn register(registry: &Registry) -> prometheus::Result<Self> {
        let seconds = vec![
            0.000_05, 0.000_1, 0.000_2, 0.000_5, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0,
        ];
        let histogram = |name: &str, help: &str, buckets: Vec<f64>| {
            let options = HistogramOpts::new(name, help).buckets(buckets);
            registered(registry, Histogram::with_opts(options))
        };
        let counter = |name: &str, help: &str| registered(registry, IntCounter::new(name, help));
        let gauge = |name: &str, help: &str| registered(registry, IntGauge::new(name, help));
        Ok(Self {
            commit_seconds: histogram(
                "store_commit_seconds",
                "Seconds of a commit round, both syncs included",
                seconds.clone(),
            )?,
            commit_records: histogram(
                "store_commit_records",
                "Records of a commit round",
                vec![1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1000.0, 5000.0],
            )?,
            journal_synced_bytes: counter("store_journal_synced_bytes_total", "Bytes of journal frames synced")?,
            spool_synced_bytes: counter("store_spool_synced_bytes_total", "Bytes of spool frames synced")?,
            pending_bytes: gauge("store_pending_bytes", "Bytes of frames that wait for the commit thread")?,
            journal_segments: gauge("store_journal_segments", "Journal segments kept")?,
            journal_held: gauge(
                "store_journal_held_segments",
                "Journal segments kept beyond the retention until Redis has them",
            )?,
            tails: gauge("store_tails", "Followers of the journal")?,
            spool_segments: gauge("store_spool_segments", "Spool segments in use")?,
            spool_messages: gauge("store_spool_messages", "Live messages in the spool")?,
            spool_live_bytes: gauge(
                "store_spool_live_bytes",
                "Estimated bytes of live messages in the spool",
            )?,
            spool_damaged: counter("store_spool_damaged_total", "Spool records found damaged")?,
            state_lag: gauge(
                "store_state_lag_records",
                "Durable records that state has not taken yet",
            )?,
            state_batch_seconds: histogram(
                "store_state_batch_seconds",
                "Seconds to write one batch of turns to state",
                seconds,
            )?,
            keeper_rounds: counter("store_keeper_rounds_total", "Rounds of the keeper")?,
            history_swept: counter(
                "store_history_swept_total",
                "Rows of histories, and mails, removed for their age",
            )?,
            checkpoints: counter("store_checkpoints_total", "Checkpoint copies written")?,
            disk_free_bytes: gauge(
                "store_disk_free_bytes",
                "Bytes free on the data directory's file system",
            )?,
            admissions: gauge("store_admissions", "Mails between accept and spool")?,
            failed: gauge("store_failed", "1 once a write or sync has failed")?,
        })
    }
}

/// Registers a metric that was just made. Err: it could not be made, or its name is taken.
pub(crate) fn registered<M: Collector + Clone + 'static>(
    registry: &Registry,
    metric: prometheus::Result<M>,
) -> prometheus::Result<M> {
    let metric = metric?;
    registry.register(Box::new(metric.clone()))?;
    Ok(metric)
}
