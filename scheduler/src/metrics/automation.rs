//! The metrics of timers, workflows and reminders.

use std::time::Duration;

use prometheus::{Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, Opts, Registry};
use store::state::TimerClass;
use types::event::CartVerdict;

use super::VALID;
use crate::timers::NewTimers;

/// The metrics of timers, workflows and reminders.
#[derive(Clone, Debug)]
pub(crate) struct Automation {
    /// How long after its instant a timer fires, by class.
    ///
    /// Healthy: p99 below 50 ms. Seconds: a runner cannot keep up, see `scheduler_fire_seconds` and `scheduler_turn_seconds`. Minutes and
    /// hours are normal once after the service stood still, or its clock was set forward. A contact that is later than its workflow allows
    /// gets no mail.
    lateness: HistogramVec,
    /// Timers armed, by class.
    armed: IntCounterVec,
    /// Timers that fired, by class. Follows `scheduler_timers_armed_total` in the long run, less those that are stale.
    fired: IntCounterVec,
    /// Timers that meant nothing any more when they surfaced, by class: their owner had gone on, or is gone.
    ///
    /// Normal: to cancel a timer is to forget it. Far above `scheduler_timers_fired_total`: carts are touched all the time, or
    /// contacts change often; each costs a row until it surfaces.
    stale: IntCounterVec,
    /// Seconds that one turn of due timers takes, from the window to the journal's buffer.
    ///
    /// Healthy below 5 ms at p99: an order waits for one such turn at most.
    pub(crate) fire_seconds: Histogram,
    /// Seconds that the engine takes for one instance, its records included.
    ///
    /// Healthy below 0.2 ms at p99. Longer: a workflow with heavy filters, or persons with very many mails.
    pub(crate) engine_seconds: Histogram,
    /// Events of contacts that were reacted to.
    ///
    /// Follows the events of shops that have workflows or reminders. Rising alone: workflows set each other off.
    pub(crate) reactions: IntCounter,
    /// What was set aside after it could not be done.
    ///
    /// Should be 0. Each one stands in `/admin/v1/set-aside` with its fault: mend the workflow, or report the fault.
    pub(crate) set_aside: IntCounter,
    /// Entries into workflows that broke: nobody enters, and the first of each version of the catalogue is set aside.
    ///
    /// Should be 0. Rising: a start's filter names a field that is gone.
    pub(crate) entries_broken: IntCounter,
    /// How often a runner found the clock set back, and filed its timers anew.
    ///
    /// Should be 0: time is to be slewed, not stepped. Nothing fires early or twice by it; what is due waits until the clock says so.
    pub(crate) set_back: IntCounter,
    /// What became of reminders that were due and of carts that were ordered.
    ///
    /// `suppressed` is normal, its reasons are in the statistics of carts. `reminded` at 0 while the mode is live: look there.
    carts: IntCounterVec,
}

impl Automation {
    pub(super) fn register(registry: &Registry) -> Self {
        let late = vec![
            0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 30.0, 300.0, 3_600.0, 86_400.0,
        ];
        let seconds = vec![
            0.000_01, 0.000_025, 0.000_05, 0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.05,
        ];
        let counters = |name, help, label| IntCounterVec::new(Opts::new(name, help), &[label]).expect(VALID);
        let histogram =
            |name, help| Histogram::with_opts(HistogramOpts::new(name, help).buckets(seconds.clone())).expect(VALID);
        let metrics = Self {
            lateness: HistogramVec::new(
                HistogramOpts::new(
                    "scheduler_timer_lateness_seconds",
                    "How long after its instant a timer fires.",
                )
                .buckets(late),
                &["class"],
            )
            .expect(VALID),
            armed: counters("scheduler_timers_armed_total", "Timers armed.", "class"),
            fired: counters("scheduler_timers_fired_total", "Timers that fired.", "class"),
            stale: counters(
                "scheduler_timers_stale_total",
                "Timers that meant nothing any more when they surfaced.",
                "class",
            ),
            fire_seconds: histogram("scheduler_fire_seconds", "Duration of a turn of due timers."),
            engine_seconds: histogram("scheduler_engine_seconds", "What the engine takes for one instance."),
            reactions: IntCounter::new("scheduler_reactions_total", "Events of contacts that were reacted to.")
                .expect(VALID),
            set_aside: IntCounter::new("scheduler_set_aside_total", "What was set aside.").expect(VALID),
            entries_broken: IntCounter::new("scheduler_entries_broken_total", "Entries into workflows that broke.")
                .expect(VALID),
            set_back: IntCounter::new(
                "scheduler_clock_set_back_total",
                "How often the clock was found set back.",
            )
            .expect(VALID),
            carts: counters(
                "scheduler_carts_total",
                "What became of reminders and carts.",
                "verdict",
            ),
        };
        for collector in [
            Box::new(metrics.lateness.clone()) as Box<dyn prometheus::core::Collector>,
            Box::new(metrics.armed.clone()),
            Box::new(metrics.fired.clone()),
            Box::new(metrics.stale.clone()),
            Box::new(metrics.fire_seconds.clone()),
            Box::new(metrics.engine_seconds.clone()),
            Box::new(metrics.reactions.clone()),
            Box::new(metrics.set_aside.clone()),
            Box::new(metrics.entries_broken.clone()),
            Box::new(metrics.set_back.clone()),
            Box::new(metrics.carts.clone()),
        ] {
            registry.register(collector).expect("each name is registered once");
        }
        for class in TimerClass::ALL.map(TimerClass::as_str) {
            metrics.lateness.with_label_values(&[class]);
            for counters in [&metrics.armed, &metrics.fired, &metrics.stale] {
                counters.with_label_values(&[class]);
            }
        }
        for verdict in ["reminded", "suppressed", "would_remind", "ordered"] {
            metrics.carts.with_label_values(&[verdict]);
        }
        metrics
    }

    /// Counts a timer that fired, so long after its instant.
    pub(crate) fn fired(&self, class: TimerClass, late: Duration) {
        self.fired.with_label_values(&[class.as_str()]).inc();
        self.lateness
            .with_label_values(&[class.as_str()])
            .observe(late.as_secs_f64());
    }

    /// Counts a timer that meant nothing any more.
    pub(crate) fn stale(&self, class: TimerClass) {
        self.stale.with_label_values(&[class.as_str()]).inc();
    }

    /// Counts timers that were armed, by class.
    pub(crate) fn armed(&self, NewTimers { workflows, carts }: NewTimers) {
        for (class, count) in [(TimerClass::Workflow, workflows), (TimerClass::Cart, carts)] {
            if count > 0 {
                self.armed.with_label_values(&[class.as_str()]).inc_by(count);
            }
        }
    }

    /// Counts what became of a reminder or a cart.
    pub(crate) fn count_cart(&self, verdict: &CartVerdict) {
        let verdict = match verdict {
            CartVerdict::Reminded { .. } => "reminded",
            CartVerdict::Suppressed { .. } => "suppressed",
            CartVerdict::WouldRemind { .. } => "would_remind",
            CartVerdict::Ordered { .. } => "ordered",
        };
        self.carts.with_label_values(&[verdict]).inc();
    }
}
