//! What the runners tell an operator.

use prometheus::{Histogram, HistogramOpts, IntCounter, IntCounterVec, IntGauge, Opts, Registry};
use types::event::{Refusal, Verdict};

/// The runners' metrics.
#[derive(Clone, Debug)]
pub(crate) struct Metrics {
    /// Decisions to send, by stream.
    ///
    /// Should rise with accepted orders; a gap that grows shows in `scheduler_refusals_total`.
    sends: IntCounterVec,
    /// Decisions not to send, by their weightiest reason.
    ///
    /// `no_marketing_consent` and `frequency_cap` are normal. `late` rising means that shops report too late;
    /// `no_offers` rising means that campaigns ran out of budget or match nobody.
    refusals: IntCounterVec,
    /// Orders that came later than their shop's limit, mailed or not.
    late: IntCounter,
    /// Seconds that one turn of a runner takes, from the inbox to the journal's buffer.
    ///
    /// Healthy below 5 ms at p99. Longer: the disk is behind and `append` or state waits, see `store_*`.
    pub(crate) turn_seconds: Histogram,
    /// Events a turn takes from the inbox.
    ///
    /// 1 or 2 when idle. Always at the maximum of 128: the runners are the bottleneck.
    pub(crate) turn_submissions: Histogram,
    /// Persons and outbox rows in memory that state does not have yet, of the runner that spoke last.
    ///
    /// Healthy in the thousands under load. Rising without end: the state writer is stuck.
    pub(crate) unapplied: IntGauge,
    /// Events refused because state could not be read.
    ///
    /// Anything but 0 means that the state folder is damaged: see the log, and rebuild from a checkpoint.
    pub(crate) state_errors: IntCounter,
}

impl Metrics {
    pub(crate) fn register(registry: &Registry) -> Self {
        let seconds = vec![
            0.000_05, 0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.1, 1.0,
        ];
        let sizes = vec![1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0];
        let metrics = Self {
            sends: IntCounterVec::new(
                Opts::new("scheduler_sends_total", "Decisions to send, by stream."),
                &["stream"],
            )
            .expect(VALID),
            refusals: IntCounterVec::new(
                Opts::new(
                    "scheduler_refusals_total",
                    "Decisions not to send, by weightiest reason.",
                ),
                &["reason"],
            )
            .expect(VALID),
            late: IntCounter::new(
                "scheduler_late_orders_total",
                "Orders that came later than their shop's limit.",
            )
            .expect(VALID),
            turn_seconds: Histogram::with_opts(
                HistogramOpts::new("scheduler_turn_seconds", "Duration of a runner's turn.").buckets(seconds),
            )
            .expect(VALID),
            turn_submissions: Histogram::with_opts(
                HistogramOpts::new("scheduler_turn_submissions", "Events a turn takes.").buckets(sizes),
            )
            .expect(VALID),
            unapplied: IntGauge::new(
                "scheduler_unapplied_values",
                "Values in memory that state does not have yet.",
            )
            .expect(VALID),
            state_errors: IntCounter::new(
                "scheduler_state_errors_total",
                "Events refused because state could not be read.",
            )
            .expect(VALID),
        };
        for collector in [
            Box::new(metrics.sends.clone()) as Box<dyn prometheus::core::Collector>,
            Box::new(metrics.refusals.clone()),
            Box::new(metrics.late.clone()),
            Box::new(metrics.turn_seconds.clone()),
            Box::new(metrics.turn_submissions.clone()),
            Box::new(metrics.unapplied.clone()),
            Box::new(metrics.state_errors.clone()),
        ] {
            registry.register(collector).expect("each name is registered once");
        }
        metrics
    }

    /// Counts a decision.
    pub(crate) fn count(&self, verdict: &Verdict) {
        match verdict {
            Verdict::Send(plan) => {
                self.sends.with_label_values(&[plan.stream.as_str()]).inc();
                if plan.late {
                    self.late.inc();
                }
            }
            Verdict::Refuse(reasons) => {
                if let Some(weightiest) = reasons.first() {
                    self.refusals.with_label_values(&[weightiest.code()]).inc();
                }
                if reasons.contains(&Refusal::Late) {
                    self.late.inc();
                }
            }
        }
    }
}

const VALID: &str = "names and help texts are constants of the right form";
