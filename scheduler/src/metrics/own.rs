//! Metrics that each runner has of its own, labelled with its number.
//!
//! A series for each, of at most 64: one gauge for all would be that of the runner that spoke last, and a runner that hangs would not
//! be seen beside those that go on.

use prometheus::core::Collector;
use prometheus::{Gauge, GaugeVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry};

use super::VALID;

/// The metrics of which each runner has its own.
#[derive(Clone, Debug)]
pub(crate) struct PerRunner {
    ticks: IntCounterVec,
    tracked_backlog: IntGaugeVec,
    unapplied: IntGaugeVec,
    judged_lag_seconds: GaugeVec,
    timers_window: IntGaugeVec,
    timers_overdue_seconds: GaugeVec,
}

/// Those of one runner.
#[derive(Debug)]
pub(crate) struct Own {
    /// How often it looked at what is due, about once a second.
    ///
    /// Standing still: the runner hangs, and its other gauges tell what was. Its partitions get no decisions until a restart.
    pub(crate) ticks: IntCounter,
    /// Opens and clicks that wait in its inbox.
    ///
    /// Near 0. Near its bound of 65,536: people click faster than runners fold, and hits are about to be dropped.
    pub(crate) tracked_backlog: IntGauge,
    /// Persons, mails and outbox rows in memory that state does not have yet.
    ///
    /// Healthy in the thousands under load. Rising without end: the state writer is stuck.
    pub(crate) unapplied: IntGauge,
    /// How long the mail that is due the longest has waited to be judged.
    ///
    /// Healthy up to 2 seconds. Rising: the runner cannot keep up, see `scheduler_turn_seconds`, or state lags, see `store_*`.
    pub(crate) judged_lag_seconds: Gauge,
    /// Timers in memory: those due within ten minutes.
    ///
    /// Healthy below its bound of 262,144. At the bound: more is due in the next minutes than fits, and the rest is read when it is due.
    pub(crate) timers_window: IntGauge,
    /// How long the timer that is due the longest has been due.
    ///
    /// Healthy near 0. Rising: a backlog, after a stop or at a storm; it should fall again by thousands of timers a second.
    pub(crate) timers_overdue_seconds: Gauge,
}

impl PerRunner {
    pub(super) fn register(registry: &Registry) -> Self {
        let whole = |name, help| IntGaugeVec::new(Opts::new(name, help), &["runner"]).expect(VALID);
        let seconds = |name, help| GaugeVec::new(Opts::new(name, help), &["runner"]).expect(VALID);
        let ticks = Opts::new(
            "scheduler_runner_ticks_total",
            "How often a runner looked at what is due.",
        );
        let metrics = Self {
            ticks: IntCounterVec::new(ticks, &["runner"]).expect(VALID),
            tracked_backlog: whole("scheduler_tracked_backlog", "Opens and clicks that wait in the inbox."),
            unapplied: whole(
                "scheduler_unapplied_values",
                "Values in memory that state does not have yet.",
            ),
            judged_lag_seconds: seconds(
                "scheduler_judged_lag_seconds",
                "How long the mail that is due the longest has waited.",
            ),
            timers_window: whole("scheduler_timers_window", "Timers in memory."),
            timers_overdue_seconds: seconds(
                "scheduler_timers_overdue_seconds",
                "How long the timer that is due the longest has been due.",
            ),
        };
        for collector in [
            Box::new(metrics.ticks.clone()) as Box<dyn Collector>,
            Box::new(metrics.tracked_backlog.clone()),
            Box::new(metrics.unapplied.clone()),
            Box::new(metrics.judged_lag_seconds.clone()),
            Box::new(metrics.timers_window.clone()),
            Box::new(metrics.timers_overdue_seconds.clone()),
        ] {
            registry.register(collector).expect("each name is registered once");
        }
        metrics
    }

    /// Returns those of the runner of this number, as its thread's name has it.
    pub(crate) fn of(&self, number: usize) -> Own {
        let number = number.to_string();
        let label: &[&str] = &[&number];
        Own {
            ticks: self.ticks.with_label_values(label),
            tracked_backlog: self.tracked_backlog.with_label_values(label),
            unapplied: self.unapplied.with_label_values(label),
            judged_lag_seconds: self.judged_lag_seconds.with_label_values(label),
            timers_window: self.timers_window.with_label_values(label),
            timers_overdue_seconds: self.timers_overdue_seconds.with_label_values(label),
        }
    }
}
