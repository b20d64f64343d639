//! What a shop makes us compute runs on few threads, and shops take turns on them.
//!
//! # The rule
//!
//! Templates, filters and walks through a shop's contacts and carts cost what their author wants them to cost, up to some tenths of a
//! second apiece. Such a piece of work runs on a thread that may block, never on those that serve connections, and as many at once
//! as there are processors, two at least. A shop has one thread at a time. So a single shop, whatever it sends, leaves the other threads
//! to the others, and whoever reads state or sends an order does not wait here at all.
//!
//! A shop's pieces go in the order in which they came. Among shops whose work waits, the one goes next whose turn is longest ago.
//! A request with much to compute asks for a turn for each piece, so that another shop's piece goes in between.
//!
//! # Bounds
//!
//! | waiting | bound | beyond it |
//! |---|---|---|
//! | pieces of one shop | 256, and 32 MiB that nobody else counts | 429 with Retry-After |
//! | pieces of all shops | 4,096, and 256 MiB | 503 with Retry-After |
//!
//! Work whose client hangs up while it waits is dropped and gives its place back at once. Work that runs is not stopped; its thread is
//! free when it ends, or panics.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::available_parallelism;
use std::time::Duration;

use prometheus::IntGauge;
use tokio::sync::oneshot;
use types::id::ShopNumber;

use crate::app::internal;
use crate::problem::{Kind, Problem};

/// When it is worth asking again for a place that was not there.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// The threads for what shops make us compute, and the line in front of them. A handle, cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Turns {
    line: Arc<Mutex<Line>>,
    /// How many pieces wait.
    waiting: IntGauge,
}

/// How much may wait.
#[derive(Clone, Copy, Debug)]
struct Bound {
    pieces: usize,
    bytes: usize,
}

impl Bound {
    const SHOP: Self = Self {
        pieces: 256,
        bytes: 32 << 20,
    };
    const ALL: Self = Self {
        pieces: 4096,
        bytes: 256 << 20,
    };
}

/// How much waits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Load {
    pieces: usize,
    bytes: usize,
}

impl Load {
    /// Returns whether another piece has a place. The first always has one, however large it is.
    const fn admits(self, bytes: usize, bound: Bound) -> bool {
        self.pieces == 0 || (self.pieces < bound.pieces && self.bytes.saturating_add(bytes) <= bound.bytes)
    }

    const fn add(&mut self, bytes: usize) {
        self.pieces += 1;
        self.bytes = self.bytes.saturating_add(bytes);
    }

    const fn take(&mut self, bytes: usize) {
        self.pieces = self.pieces.saturating_sub(1);
        self.bytes = self.bytes.saturating_sub(bytes);
    }
}

#[derive(Debug)]
struct Line {
    /// Threads that nobody has.
    free: usize,
    /// The shops that have a thread or wait for one.
    shops: HashMap<ShopNumber, Lane>,
    /// The shops that wait and have no thread, the one whose turn is next first. Each is there once.
    next: VecDeque<ShopNumber>,
    waiting: Load,
    /// Tells the pieces that wait apart.
    arrivals: u64,
}

/// One shop's work.
#[derive(Debug, Default)]
struct Lane {
    runs: bool,
    waiting: VecDeque<Waiting>,
    load: Load,
}

/// A piece of work that waits.
#[derive(Debug)]
struct Waiting {
    arrival: u64,
    bytes: usize,
    wake: oneshot::Sender<Turn>,
}

/// A thread's time for one piece of a shop's work. Dropped, it goes to who is next.
#[derive(Debug)]
struct Turn {
    turns: Turns,
    shop: ShopNumber,
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.turns.end(self.shop);
    }
}

/// A place in the line. Dropped, it is free again.
struct Place {
    turns: Turns,
    shop: ShopNumber,
    arrival: u64,
    woken: oneshot::Receiver<Turn>,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.turns.lock().leave(self.shop, self.arrival);
        self.turns.waiting.dec();
    }
}

impl Turns {
    /// Makes the line; `waiting` counts the pieces in it.
    pub(crate) fn new(waiting: IntGauge) -> Self {
        let processors = available_parallelism().map_or(1, usize::from);
        Self::with_threads(processors.max(2), waiting)
    }

    fn with_threads(threads: usize, waiting: IntGauge) -> Self {
        let line = Line {
            free: threads,
            shops: HashMap::new(),
            next: VecDeque::new(),
            waiting: Load::default(),
            arrivals: 0,
        };
        Self {
            line: Arc::new(Mutex::new(line)),
            waiting,
        }
    }

    /// Runs a piece of a shop's work on a thread that may block, when it is the shop's turn.
    ///
    /// `bytes` is what the work keeps in memory while it waits and no other bound counts. Fails at once if there is no place to wait.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        shop: ShopNumber,
        bytes: usize,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Problem> {
        let mut place = self.enter(shop, bytes)?;
        let turn = (&mut place.woken).await;
        drop(place);
        let turn = turn.map_err(|error| internal("waiting for a turn", &error))?;
        // The turn goes with the work: a client that hangs up now does not free a thread that is busy.
        let done = tokio::task::spawn_blocking(move || {
            let _turn = turn;
            work()
        });
        done.await.map_err(|error| internal("working on a request", &error))
    }

    /// Takes a place in the line, which may be at its very front.
    fn enter(&self, shop: ShopNumber, bytes: usize) -> Result<Place, Problem> {
        let (arrival, woken) = self.lock().push(shop, bytes)?;
        self.waiting.inc();
        let place = Place {
            turns: self.clone(),
            shop,
            arrival,
            woken,
        };
        self.wake();
        Ok(place)
    }

    /// Takes a shop's thread back.
    fn end(&self, shop: ShopNumber) {
        self.lock().end(shop);
        self.wake();
    }

    /// Gives free threads to who is next.
    fn wake(&self) {
        loop {
            let next = self.lock().pop();
            let Some((shop, wake)) = next else { return };
            let turn = Turn {
                turns: self.clone(),
                shop,
            };
            // If its client has just hung up, the turn comes back and is dropped: not under the lock, which it takes.
            drop(wake.send(turn));
        }
    }

    fn lock(&self) -> MutexGuard<'_, Line> {
        self.line.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Line {
    fn push(&mut self, shop: ShopNumber, bytes: usize) -> Result<(u64, oneshot::Receiver<Turn>), Problem> {
        let load = self.shops.get(&shop).map(|lane| lane.load).unwrap_or_default();
        if !load.admits(bytes, Bound::SHOP) {
            let detail = "too much of the shop's work waits: send fewer requests with templates or filters at once";
            return Err(Problem::new(Kind::Limited, detail).retry_after(RETRY_AFTER));
        }
        if !self.waiting.admits(bytes, Bound::ALL) {
            let detail = "too many requests with templates or filters wait";
            return Err(Problem::new(Kind::Busy, detail).retry_after(RETRY_AFTER));
        }
        let (wake, woken) = oneshot::channel();
        let arrival = self.arrivals;
        self.arrivals += 1;
        self.waiting.add(bytes);
        let lane = self.shops.entry(shop).or_default();
        if !lane.runs && lane.waiting.is_empty() {
            self.next.push_back(shop);
        }
        lane.load.add(bytes);
        lane.waiting.push_back(Waiting { arrival, bytes, wake });
        Ok((arrival, woken))
    }

    /// Takes the first of the shop whose turn it is, if a thread is free. [`Line::end`] must follow.
    fn pop(&mut self) -> Option<(ShopNumber, oneshot::Sender<Turn>)> {
        if self.free == 0 {
            return None;
        }
        let shop = self.next.pop_front()?;
        let lane = self.shops.get_mut(&shop)?;
        let Waiting { bytes, wake, .. } = lane.waiting.pop_front()?;
        lane.runs = true;
        lane.load.take(bytes);
        self.waiting.take(bytes);
        self.free -= 1;
        Some((shop, wake))
    }

    /// Takes note that a shop's work has ended. Its next piece goes behind those of the others.
    fn end(&mut self, shop: ShopNumber) {
        self.free += 1;
        let Some(lane) = self.shops.get_mut(&shop) else { return };
        lane.runs = false;
        if lane.waiting.is_empty() {
            self.shops.remove(&shop);
        } else {
            self.next.push_back(shop);
        }
    }

    /// Forgets a piece that still waits. One that does not is no longer the line's business.
    fn leave(&mut self, shop: ShopNumber, arrival: u64) {
        let Some(lane) = self.shops.get_mut(&shop) else { return };
        let Ok(at) = lane.waiting.binary_search_by_key(&arrival, |waiting| waiting.arrival) else {
            return;
        };
        let Some(left) = lane.waiting.remove(at) else { return };
        lane.load.take(left.bytes);
        self.waiting.take(left.bytes);
        if lane.waiting.is_empty() && !lane.runs {
            self.next.retain(|next| *next != shop);
            self.shops.remove(&shop);
        }
    }
}

#[cfg(test)]
mod tests;
