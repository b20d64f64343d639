//! Latencies and counts of a run, whole and in slices of a second, so that a report shows when it was slow and not only that it was.

use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;

/// What a latency counts as at most: no run lasts longer.
const LATENCY_MAX: Duration = Duration::from_hours(2);

/// What is measured. Every latency counts from the moment that the request was due, whoever was late.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Measure {
    /// POST of an order to its 202.
    OrderAccepted,
    /// POST of an order to the sink's 250.
    OrderDelivered,
    /// POST of a message to its 202.
    MessageAccepted,
    /// POST of a message to the sink's 250.
    MessageDelivered,
    /// An open to its answer.
    Open,
    /// A click to its answer.
    Click,
    /// A landing to its answer.
    Landing,
    /// An event that starts a workflow to its 202.
    TimerArmed,
    /// The end of a wait to the sink's 250 for the mail behind it.
    TimerFired,
}

impl Measure {
    /// Every one, in the order of its number.
    pub(crate) const ALL: [Self; 9] = [
        Self::OrderAccepted,
        Self::OrderDelivered,
        Self::MessageAccepted,
        Self::MessageDelivered,
        Self::Open,
        Self::Click,
        Self::Landing,
        Self::TimerArmed,
        Self::TimerFired,
    ];

    /// Returns its name in reports.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::OrderAccepted => "order: POST to 202",
            Self::OrderDelivered => "order: POST to the receiver's 250",
            Self::MessageAccepted => "message: POST to 202",
            Self::MessageDelivered => "message: POST to the receiver's 250",
            Self::Open => "open: pixel answered",
            Self::Click => "click: redirect answered",
            Self::Landing => "landing: answered, durable",
            Self::TimerArmed => "event: POST to 202, its wait armed",
            Self::TimerFired => "wait over to the receiver's 250",
        }
    }

    const fn index(self) -> usize {
        self as usize
    }
}

/// One second of one measure.
#[derive(Clone, Debug)]
pub(crate) struct Slice {
    /// Of microseconds.
    pub(crate) micros: Histogram<u64>,
}

/// One measure.
#[derive(Clone, Debug)]
pub(crate) struct Meter {
    /// All of it, in microseconds, to three digits.
    pub(crate) micros: Histogram<u64>,
    /// By the second in which it was noted, to two digits.
    pub(crate) slices: Vec<Option<Slice>>,
}

impl Default for Meter {
    fn default() -> Self {
        Self {
            micros: Histogram::new(3).expect("three digits are allowed"),
            slices: Vec::new(),
        }
    }
}

/// All measures of a run. Until it has begun nothing is noted.
#[derive(Debug, Default)]
pub(crate) struct Meters {
    started: OnceLock<Instant>,
    meters: [Mutex<Meter>; Measure::ALL.len()],
}

impl Meters {
    /// Begins: slices count from `started`, and what is noted before it is left out, as are warm-ups.
    #[cfg(test)]
    pub(crate) fn new(started: Instant) -> Self {
        let meters = Self::default();
        meters.begin(started);
        meters
    }

    /// Returns when slices begin to count. None: it has not begun.
    pub(crate) fn started(&self) -> Option<Instant> {
        self.started.get().copied()
    }

    /// Returns a copy of one second of a measure, if anything was noted in it.
    pub(crate) fn slice(&self, measure: Measure, second: usize) -> Option<Slice> {
        self.meter(measure).slices.get(second)?.clone()
    }

    /// Begins, if it has not begun yet.
    pub(crate) fn begin(&self, started: Instant) {
        self.started.get_or_init(|| started);
    }

    /// Notes a latency at the moment `at`.
    pub(crate) fn note(&self, measure: Measure, at: Instant, latency: Duration) {
        let since = self
            .started
            .get()
            .and_then(|started| at.checked_duration_since(*started));
        let Some(since) = since else {
            return;
        };
        let micros = latency.min(LATENCY_MAX).as_micros();
        let micros = u64::try_from(micros).unwrap_or(u64::MAX).max(1);
        let mut meter = self.meter(measure);
        // `saturating_record` would cut off at what the histogram has room for so far instead of growing.
        meter.micros.record(micros).expect("it grows");
        let second = usize::try_from(since.as_secs()).unwrap_or(usize::MAX);
        if second >= meter.slices.len() {
            meter.slices.resize(second + 1, None);
        }
        if let Some(slice) = meter.slices.get_mut(second) {
            let slice = slice.get_or_insert_with(|| Slice {
                micros: Histogram::new(2).expect("two digits are allowed"),
            });
            slice.micros.record(micros).expect("it grows");
        }
    }

    /// Returns a copy of one measure.
    pub(crate) fn read(&self, measure: Measure) -> Meter {
        self.meter(measure).clone()
    }

    fn meter(&self, measure: Measure) -> MutexGuard<'_, Meter> {
        self.meters
            .get(measure.index())
            .expect("a meter for each measure")
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slices_are_seconds_and_warm_ups_are_left_out() {
        let started = Instant::now() + Duration::from_secs(1);
        let meters = Meters::new(started);
        meters.note(
            Measure::Open,
            started.checked_sub(Duration::from_millis(1)).unwrap(),
            Duration::from_secs(9),
        );
        meters.note(Measure::Open, started, Duration::from_millis(3));
        meters.note(
            Measure::Open,
            started + Duration::from_millis(2500),
            Duration::from_millis(5),
        );
        let read = meters.read(Measure::Open);
        assert_eq!(read.micros.len(), 2);
        assert!((4990..=5010).contains(&read.micros.max()), "{}", read.micros.max());
        assert_eq!(
            read.slices
                .iter()
                .map(|slice| slice.as_ref().map_or(0, |slice| slice.micros.len()))
                .collect::<Vec<_>>(),
            [1, 0, 1]
        );
        assert!(
            Measure::ALL
                .iter()
                .enumerate()
                .all(|(index, measure)| measure.index() == index)
        );
    }
}
