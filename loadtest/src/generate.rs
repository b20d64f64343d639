//! The generator: sends what a scenario says at the moments that it says, whatever becomes of it.
//!
//! The schedule is fixed before the run (open loop). A thread sleeps until the next request is due ([`pacer`]) and hands it to a
//! runtime of one thread, where each load has its own kept connections ([`lane`]). A request that finds none free waits here, and its
//! latency counts from the moment at which it was due all the same: a service that stalls is late for everybody who came meanwhile,
//! not for one (no coordinated omission).

mod ceiling;
mod lane;
mod messages;
mod orders;
mod pacer;
mod people;
mod prepare;
#[cfg(test)]
mod story;
#[cfg(test)]
mod tests;
mod timers;
mod tracking;
mod visitors;

use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context, anyhow};
use hdrhistogram::Histogram;
use tokio::sync::mpsc;
use tokio::task::LocalSet;
use types::time::Timestamp;

use crate::books::Books;
use crate::ledger::{Kind, Tag};
use crate::scenario::{Scenario, Send};
use crate::service::Addresses;
use crate::sink::Links;
pub(crate) use ceiling::Null;
use lane::{Lane, Maker, Shared};
use messages::Messages;
use orders::Orders;
use pacer::{Tick, Track};
use people::People;
use timers::Timers;
use tracking::{Landings, Visits, What};

/// How many requests may be due and not yet looked at. A batch that is larger makes the pacer late, which is told.
const TICKS: usize = 65_536;

/// What is driven.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    pub(crate) addresses: Addresses,
    /// The shop's key.
    pub(crate) key: String,
}

/// What has been done so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Progress {
    /// Requests that were due.
    pub(crate) asked: u64,
    /// Those that were answered as they are to be.
    pub(crate) answered: u64,
    /// Those that were refused, or given up.
    pub(crate) failed: u64,
    /// How often one was sent again.
    pub(crate) retried: u64,
    /// Those that were due and are neither answered nor failed: on their way, or waiting for a connection.
    pub(crate) in_flight: u64,
}

/// What was done.
#[derive(Debug)]
pub(crate) struct Outcome {
    /// Each load's, in the scenario's order.
    pub(crate) loads: Vec<LoadOutcome>,
    /// How late the pacer itself handed out what was due, in microseconds.
    pub(crate) behind_micros: Histogram<u64>,
    /// Answers in the busiest second.
    pub(crate) busiest_second: u64,
}

/// What was done of one load.
#[derive(Clone, Debug)]
pub(crate) struct LoadOutcome {
    pub(crate) send: Send,
    pub(crate) asked: u64,
    pub(crate) answered: u64,
    pub(crate) failed: u64,
    pub(crate) retried: u64,
    /// Requests that found no free connection when they were due.
    pub(crate) waited: u64,
    /// Answers by status, those that led to another try among them.
    pub(crate) by_status: BTreeMap<u16, u64>,
    /// What went wrong, the first few times.
    pub(crate) errors: Vec<String>,
}

/// Counts that are read while they grow.
#[derive(Debug, Default)]
struct Counters {
    asked: AtomicU64,
    answered: AtomicU64,
    failed: AtomicU64,
    retried: AtomicU64,
}

/// A generator at work. Dropped, it stops where it is.
#[derive(Debug)]
pub(crate) struct Generation {
    counters: Arc<Counters>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<anyhow::Result<Outcome>>>,
}

/// When a run's second 0 is, by both clocks.
#[derive(Clone, Copy, Debug)]
struct Origin {
    instant: Instant,
    wall: Timestamp,
}

impl Origin {
    fn of(instant: Instant) -> Self {
        let (now, wall) = (Instant::now(), wall_now());
        let wall = match instant.checked_duration_since(now) {
            Some(ahead) => wall + ahead,
            None => wall - now.saturating_duration_since(instant),
        };
        Self { instant, wall }
    }

    /// Returns a moment of the run, by the monotonic clock.
    fn instant(&self, seconds: f64) -> Instant {
        let apart = Duration::from_secs_f64(seconds.abs());
        if seconds < 0.0 {
            self.instant.checked_sub(apart).unwrap_or(self.instant)
        } else {
            self.instant + apart
        }
    }

    /// Returns a moment by the wall clock.
    fn wall_of(&self, instant: Instant) -> Timestamp {
        match instant.checked_duration_since(self.instant) {
            Some(after) => self.wall + after,
            None => self.wall - self.instant.saturating_duration_since(instant),
        }
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "this is the program's edge: what it sends is dated"
)]
pub(crate) fn wall_now() -> Timestamp {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    Timestamp::from_millis(u64::try_from(since.unwrap_or_default().as_millis()).unwrap_or(u64::MAX))
}

/// Makes what has to be there before a run: workflows with their contacts, and mails whose links are followed. Returns once all of them
/// have come, but for those that a receiver put off. Blocks.
pub(crate) fn prepare(scenario: &Scenario, target: &Target, books: &Books) -> anyhow::Result<()> {
    prepare::prepare(scenario, target, books)
}

/// Returns to whom a mail of a run goes.
pub(crate) fn recipient(scenario: &Scenario, tag: Tag) -> String {
    People::of(&scenario.mails).address(tag)
}

/// Starts: second 0 is when the books begin to measure, and the warm-up is before it.
pub(crate) fn start(scenario: &Scenario, target: &Target, books: &Books, links: &Links) -> anyhow::Result<Generation> {
    let origin = Origin::of(books.meters.started().context("the books have not begun")?);
    let tracks = (0..)
        .zip(&scenario.loads)
        .flat_map(|(lane, load)| Track::of(lane, load));
    let tracks = tracks.collect();
    let (target, books, links) = (target.clone(), books.clone(), links.clone());
    let (loads, mails) = (scenario.loads.clone(), scenario.mails.clone());
    launch(origin, tracks, move |shared| {
        let people = Arc::new(People::of(&mails));
        let lanes = loads.iter().enumerate().map(|(lane, load)| {
            let people = Arc::clone(&people);
            let maker: Box<dyn Maker> = match load.send {
                Send::Orders => Box::new(Orders::new(&target, Kind::Order, load.first, people, origin)),
                Send::Messages => Box::new(Messages::new(&target, load.first, people, &mails)),
                Send::Opens => Box::new(Visits::new(lane, What::Pixels, links.clone())),
                Send::Clicks => Box::new(Visits::new(lane, What::Links, links.clone())),
                Send::Landings => Box::new(Landings::new(lane, links.clone())),
                Send::Timers => Box::new(Timers::new(&target, lane, load, people, origin)),
            };
            let address = match load.send {
                Send::Orders | Send::Messages | Send::Timers => target.addresses.api,
                Send::Opens | Send::Clicks | Send::Landings => target.addresses.tracker,
            };
            Lane::new(load, address, maker, books.clone(), Rc::clone(&shared))
        });
        lanes.collect()
    })
}

/// Measures how many orders a second the generator gets answered by a server that does nothing, in a thread of this process: what it can
/// do at most on this machine. Blocks for two seconds.
pub(crate) fn ceiling() -> anyhow::Result<f64> {
    ceiling::measure()
}

/// Starts tracks into lanes that are made on the generator's own thread.
fn launch(
    origin: Origin,
    tracks: Vec<Track>,
    lanes: impl FnOnce(Rc<Shared>) -> Vec<Lane> + std::marker::Send + 'static,
) -> anyhow::Result<Generation> {
    let (counters, stop) = (Arc::<Counters>::default(), Arc::<AtomicBool>::default());
    let (due, ticks) = mpsc::channel(TICKS);
    let halt = Arc::clone(&stop);
    let pacer = std::thread::Builder::new()
        .name("pacer".to_owned())
        .spawn(move || pacer::pace(origin, tracks, &due, &halt))?;
    let (counted, halt) = (Arc::clone(&counters), Arc::clone(&stop));
    let thread = std::thread::Builder::new()
        .name("generator".to_owned())
        .spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            let shared = Rc::new(Shared::new(origin, counted, halt));
            let lanes: Vec<Rc<Lane>> = lanes(Rc::clone(&shared)).into_iter().map(Rc::new).collect();
            LocalSet::new().block_on(&runtime, serve(ticks, &lanes, &shared));
            let behind_micros = pacer.join().map_err(|_| anyhow!("the pacer panicked"))?;
            Ok(Outcome {
                loads: lanes.iter().map(|lane| lane.outcome()).collect(),
                behind_micros,
                busiest_second: shared.busiest_second(),
            })
        })?;
    Ok(Generation {
        counters,
        stop,
        thread: Some(thread),
    })
}

/// Hands each request to its lane when it is due, and returns when all are done.
async fn serve(mut ticks: mpsc::Receiver<Tick>, lanes: &[Rc<Lane>], shared: &Shared) {
    while let Some(tick) = ticks.recv().await {
        if let Some(lane) = lanes.get(tick.lane) {
            Lane::arrive(lane, tick);
        }
    }
    shared.done().await;
}

impl Generation {
    /// Returns what has been done so far.
    pub(crate) fn progress(&self) -> Progress {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let (answered, failed) = (read(&self.counters.answered), read(&self.counters.failed));
        let asked = read(&self.counters.asked);
        Progress {
            asked,
            answered,
            failed,
            retried: read(&self.counters.retried),
            in_flight: asked.saturating_sub(answered + failed),
        }
    }

    /// Returns whether every request is answered or failed.
    pub(crate) fn is_finished(&self) -> bool {
        self.thread.as_ref().is_none_or(JoinHandle::is_finished)
    }

    /// Waits until every request is answered or failed: at most a minute after the last was due. Blocks.
    pub(crate) fn finish(mut self) -> anyhow::Result<Outcome> {
        let thread = self.thread.take().context("it was finished before")?;
        thread.join().map_err(|_| anyhow!("the generator panicked"))?
    }

    /// Stops where it is: what is on its way is left alone.
    pub(crate) fn halt(&self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

impl Drop for Generation {
    fn drop(&mut self) {
        self.halt();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
