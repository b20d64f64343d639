//! How much is worked on at once.
//!
//! What a request holds beside its connection is bounded here: the memory of its body, threads that add up or compute, an open
//! stream. Whatever is taken is a value; dropped, it gives its place back. How often a key may ask is a limit of [`crate::auth`].

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, SemaphorePermit};

use crate::metrics::Metrics;
use crate::problem::{Kind, Problem};
use crate::settings::Settings;
use crate::turns::Turns;

/// How many statistics are added up at once; more wait for their turn. Each holds a thread, and some MB at most.
const STATS_AT_ONCE: usize = 2;
/// The unit in which memory for bodies is reserved.
const PLACE_BYTES: usize = 1024;

/// What is left of each bound.
pub(crate) struct Admission {
    /// Memory for bodies, in KiB.
    bodies: Arc<Semaphore>,
    /// Statistics that may be added up at once.
    stats: Semaphore,
    /// Streams of events that may be open at once.
    streams: Arc<Semaphore>,
    /// The threads for what shops make us compute.
    pub(crate) turns: Turns,
}

impl Admission {
    /// Starts with nothing taken.
    pub(crate) fn new(settings: &Settings, metrics: &Metrics) -> Self {
        Self {
            bodies: Arc::new(Semaphore::new(places(settings.bodies_bytes_max))),
            stats: Semaphore::new(STATS_AT_ONCE),
            streams: Arc::new(Semaphore::new(settings.streams_max)),
            turns: Turns::new(metrics.turns.clone()),
        }
    }

    /// Takes the memory for a body of so many bytes. `Busy` if too much of it is taken.
    pub(crate) fn body(&self, bytes: usize) -> Result<OwnedSemaphorePermit, Problem> {
        let places = u32::try_from(places(bytes)).unwrap_or(u32::MAX);
        let taken = Arc::clone(&self.bodies).try_acquire_many_owned(places);
        taken.map_err(|_| {
            let problem = Problem::new(Kind::Busy, "too many bodies are being read at once");
            problem.retry_after(Duration::from_secs(1))
        })
    }

    /// Waits until statistics may be added up.
    pub(crate) async fn statistics(&self) -> Result<SemaphorePermit<'_>, Problem> {
        let taken = self.stats.acquire().await;
        taken.map_err(|_| Problem::new(Kind::Closed, "the service is shutting down"))
    }

    /// Takes the place of a stream. `Busy` if there is none.
    pub(crate) fn stream(&self) -> Result<OwnedSemaphorePermit, Problem> {
        let taken = Arc::clone(&self.streams).try_acquire_owned();
        taken.map_err(|_| {
            Problem::new(Kind::Busy, "as many streams are open as may be").retry_after(Duration::from_secs(30))
        })
    }
}

/// Returns the number of places that bodies of so many bytes need together.
const fn places(bytes: usize) -> usize {
    bytes.div_ceil(PLACE_BYTES)
}
