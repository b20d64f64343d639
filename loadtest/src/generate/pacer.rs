//! The pacer: a thread that sleeps until the next request is due. A runtime's timer would round up to milliseconds; a thread that
//! sleeps wakes within tens of microseconds.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use tokio::sync::mpsc;

use super::Origin;
use crate::scenario::{Arrivals, Load, Send};

/// How long before a landing the click is due that leads to it: a page that loads.
pub(super) const CLICK_AHEAD_SECONDS: f64 = 1.0;
/// How long it sleeps at most before it looks whether it is to stop.
const NAP: Duration = Duration::from_millis(100);

/// What lateness counts as at most.
const LATE_MAX: Duration = Duration::from_hours(2);

/// A request that is due.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tick {
    /// Whose.
    pub(super) lane: usize,
    pub(super) number: u32,
    pub(super) due: Instant,
    pub(super) leg: Leg,
}

/// Which of a lane's requests of one number it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Leg {
    /// The one that the load is named after.
    Main,
    /// The click before a landing.
    Click,
}

/// Arrivals of one lane, in their order.
#[derive(Clone, Debug)]
pub(super) struct Track {
    lane: usize,
    arrivals: Arrivals,
    leg: Leg,
    next: u32,
}

impl Track {
    pub(super) fn new(lane: usize, arrivals: Arrivals, leg: Leg) -> Self {
        Self {
            lane,
            arrivals,
            leg,
            next: 0,
        }
    }

    /// Returns the tracks of a load: one, and for landings that of their clicks.
    pub(super) fn of(lane: usize, load: &Load) -> Vec<Self> {
        let mut tracks = vec![Self::new(lane, load.arrivals, Leg::Main)];
        if load.send == Send::Landings {
            tracks.push(Self::new(lane, load.arrivals, Leg::Click));
        }
        tracks
    }

    /// Returns when its next request is due, in seconds of the run.
    fn due(&self) -> Option<f64> {
        (self.next < self.arrivals.count()).then(|| {
            let due = self.arrivals.due(self.next);
            match self.leg {
                Leg::Main => due,
                Leg::Click => due - CLICK_AHEAD_SECONDS,
            }
        })
    }
}

/// Hands out all requests, each when it is due. Returns how late each was handed out, in microseconds.
pub(super) fn pace(
    origin: Origin,
    mut tracks: Vec<Track>,
    ticks: &mpsc::Sender<Tick>,
    stop: &AtomicBool,
) -> Histogram<u64> {
    let mut behind = Histogram::new(3).expect("three digits are allowed");
    let mut dues: Vec<Option<f64>> = tracks.iter().map(Track::due).collect();
    loop {
        let pending = tracks
            .iter_mut()
            .zip(&mut dues)
            .filter_map(|(track, due)| Some((track, (*due)?, due)));
        let Some((track, seconds, due)) = pending.min_by(|(_, one, _), (_, other, _)| one.total_cmp(other)) else {
            return behind;
        };
        let at = origin.instant(seconds);
        if !slept_until(at, stop) {
            return behind;
        }
        let tick = Tick {
            lane: track.lane,
            number: track.next,
            due: at,
            leg: track.leg,
        };
        if ticks.blocking_send(tick).is_err() {
            return behind;
        }
        let late = Instant::now().saturating_duration_since(at).min(LATE_MAX).as_micros();
        behind
            .record(u64::try_from(late).unwrap_or(u64::MAX).max(1))
            .expect("it grows");
        track.next += 1;
        *due = track.due();
    }
}

/// Sleeps; false: it is to stop.
fn slept_until(at: Instant, stop: &AtomicBool) -> bool {
    loop {
        if stop.load(Ordering::Relaxed) {
            return false;
        }
        let left = at.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return true;
        }
        std::thread::sleep(left.min(NAP));
    }
}
