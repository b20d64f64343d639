//! The runners' metrics.
//!
//! Counters of closed sets begin at zero for each of their labels: a rate sees the first event, and a board shows a line at zero rather
//! than nothing.

mod automation;
mod leads;
mod own;

use std::time::Duration;

pub(crate) use automation::Automation;
use leads::Leads;
pub(crate) use own::{Own, PerRunner};
use prometheus::{Histogram, HistogramOpts, IntCounter, IntCounterVec, Opts, Registry};
use types::event::{HitClass, HitKind, LeadOutcome, LeadVerdict, Refusal, Verdict};
use types::money::Money;
use types::order::Stream;

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
    /// 1 or 2 when idle. Always at the maximum (128, and 512 opens and clicks): the runners are the bottleneck.
    pub(crate) turn_submissions: Histogram,
    /// Events refused because state could not be read.
    ///
    /// Anything but 0 means that the state folder is damaged: see the log, and rebuild from a checkpoint.
    pub(crate) state_errors: IntCounter,
    /// Opens and clicks by kind and by the class of their final verdict.
    ///
    /// Each mailbox provider has its own mix, and it changes slowly. `scanner` jumping up among clicks: a gateway has changed its
    /// habits, or someone floods links; `human` jumping up without landings: a scanner that the rules do not know.
    hits: IntCounterVec,
    /// Those of leads.
    leads: Leads,
    /// Opens, clicks and landings that were not recorded: the mail is unknown or erased, or its person withdrew.
    ///
    /// Few: the tracker's own memory holds back most. Rising after a restart is normal, since that memory starts empty.
    pub(crate) guarded: IntCounter,
    /// Those that each runner has of its own.
    pub(crate) per_runner: PerRunner,
    /// Those of timers, workflows and reminders.
    pub(crate) automation: Automation,
}

impl Metrics {
    pub(crate) fn register(registry: &Registry) -> Self {
        let seconds = vec![
            0.000_05, 0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.1, 1.0,
        ];
        let sizes = vec![1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0];
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
            state_errors: IntCounter::new(
                "scheduler_state_errors_total",
                "Events refused because state could not be read.",
            )
            .expect(VALID),
            hits: IntCounterVec::new(
                Opts::new("scheduler_hits_total", "Opens and clicks by their final verdict."),
                &["kind", "class"],
            )
            .expect(VALID),
            leads: Leads::register(registry),
            guarded: IntCounter::new(
                "scheduler_hits_guarded_total",
                "Opens, clicks and landings that must not be recorded.",
            )
            .expect(VALID),
            per_runner: PerRunner::register(registry),
            automation: Automation::register(registry),
        };
        for collector in [
            Box::new(metrics.sends.clone()) as Box<dyn prometheus::core::Collector>,
            Box::new(metrics.refusals.clone()),
            Box::new(metrics.late.clone()),
            Box::new(metrics.turn_seconds.clone()),
            Box::new(metrics.turn_submissions.clone()),
            Box::new(metrics.state_errors.clone()),
            Box::new(metrics.hits.clone()),
            Box::new(metrics.guarded.clone()),
        ] {
            registry.register(collector).expect("each name is registered once");
        }
        for stream in [Stream::Transactional, Stream::Promotional] {
            metrics.sends.with_label_values(&[stream.as_str()]);
        }
        for refusal in Refusal::ALL {
            metrics.refusals.with_label_values(&[refusal.code()]);
        }
        for class in HitClass::ALL {
            for kind in ["open", "click"] {
                metrics.hits.with_label_values(&[kind, class.as_str()]);
            }
        }
        metrics
    }

    /// Counts a final verdict.
    pub(crate) fn count_hit(&self, kind: HitKind, class: HitClass) {
        let kind = match kind {
            HitKind::Open => "open",
            HitKind::Click => "click",
            HitKind::Landing => "landing",
        };
        self.hits.with_label_values(&[kind, class.as_str()]).inc();
    }

    /// Counts a decision on a landing.
    pub(crate) fn count_lead(&self, verdict: &LeadVerdict) {
        self.leads.decided(verdict);
    }

    /// Counts the settlement of a lead of this price, so long after it was due.
    pub(crate) fn count_settlement(&self, outcome: LeadOutcome, price: Option<Money>, late: Option<Duration>) {
        self.leads.settled(outcome, price, late);
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
