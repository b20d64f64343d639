//! The state writer: takes turns whose position is durable and writes them, several as one batch.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, OnceLock};
use std::time::{Duration, Instant};

use super::table::Read;
use super::turn::{Put, Turn};
use super::{Applied, Tables};
use crate::claims::Claims;
use crate::commit::Commits;
use crate::journal::Journal;
use crate::metrics::Metrics;
use crate::spool::Spool;
use crate::sync::{lock, wait};

/// Sees each batch of turns after it is in state, and before state says so: whoever waits for that finds it seen.
///
/// It is called on the state writer's thread, which everyone's state waits for: it must not wait.
pub trait Observer: Send + Sync {
    /// Takes note of turns that were written.
    fn written(&self, turns: &[Turn]);
}

/// Turns of one batch. More would make one slow write of many.
const TURNS_MAX: usize = 256;
/// Bytes of one batch.
const BATCH_BYTES_MAX: usize = 4 << 20;

/// Turns that wait to be written.
#[derive(Debug)]
pub(crate) struct Turns {
    queue: Mutex<Queue>,
    changed: Condvar,
    bytes_max: usize,
}

#[derive(Debug, Default)]
struct Queue {
    turns: VecDeque<Turn>,
    bytes: usize,
    closed: bool,
    /// The writer waits for the next turn.
    is_idle: bool,
}

impl Turns {
    pub(crate) fn new(bytes_max: usize) -> Self {
        Self {
            queue: Mutex::default(),
            changed: Condvar::new(),
            bytes_max,
        }
    }

    pub(crate) fn submit(&self, turn: Turn) {
        let mut queue = lock(&self.queue);
        while queue.bytes > self.bytes_max && !queue.closed {
            queue = wait(&self.changed, queue);
        }
        if !queue.closed {
            queue.bytes += turn.bytes();
            queue.turns.push_back(turn);
            drop(queue);
            self.changed.notify_all();
        }
    }

    /// Returns how many bytes wait.
    pub(crate) fn waiting_bytes(&self) -> usize {
        lock(&self.queue).bytes
    }

    /// Returns whether all that was handed in is in state.
    pub(crate) fn is_idle(&self) -> bool {
        let queue = lock(&self.queue);
        queue.closed || queue.is_idle && queue.turns.is_empty()
    }

    /// Lets the writer end once it has written what waits; later turns are dropped.
    pub(crate) fn close(&self) {
        lock(&self.queue).closed = true;
        self.changed.notify_all();
    }

    /// Waits for a turn and returns the position of the first, or `None` at the end.
    fn first(&self) -> Option<u64> {
        let mut queue = lock(&self.queue);
        loop {
            if let Some(turn) = queue.turns.front() {
                return Some(turn.position.0);
            }
            if queue.closed {
                return None;
            }
            queue.is_idle = true;
            queue = wait(&self.changed, queue);
            queue.is_idle = false;
        }
    }

    /// Takes the turns at the front that are durable, as many as make a batch.
    fn take(&self, durable: u64) -> Vec<Turn> {
        let mut queue = lock(&self.queue);
        let mut taken = Vec::new();
        let mut bytes = 0;
        while taken.len() < TURNS_MAX && bytes < BATCH_BYTES_MAX {
            // What is erased must be written before: such a turn is a batch of its own.
            let alone = queue.turns.front().is_some_and(Turn::erases);
            if alone && !taken.is_empty() {
                break;
            }
            let Some(turn) = queue.turns.pop_front_if(|turn| turn.position.0 <= durable) else {
                break;
            };
            bytes += turn.bytes();
            taken.push(turn);
            if alone {
                break;
            }
        }
        queue.bytes -= bytes;
        drop(queue);
        self.changed.notify_all();
        taken
    }
}

/// The state writer's thread.
pub(crate) struct Writer {
    pub(crate) tables: Arc<Tables>,
    pub(crate) turns: Arc<Turns>,
    pub(crate) commits: Arc<Commits>,
    pub(crate) applied: Arc<Applied>,
    pub(crate) journal: Arc<Journal>,
    pub(crate) spool: Arc<Spool>,
    pub(crate) claims: Claims,
    /// Sees what changed, if anyone wants to know.
    pub(crate) observer: Arc<OnceLock<Arc<dyn Observer>>>,
    pub(crate) metrics: Metrics,
}

impl Writer {
    /// Writes turns until they are closed, or until none that waits can become durable any more.
    pub(crate) fn run(self) {
        while let Some(first) = self.turns.first() {
            let (durable, ended) = self.commits.wait_durable(first, Duration::from_secs(1));
            if durable < first {
                if ended {
                    break;
                }
                continue;
            }
            let turns = self.turns.take(durable);
            if let Err(error) = self.write(&turns) {
                self.commits.fail("writing state", &error);
                break;
            }
        }
        // Nobody takes turns any more: those who hand them in must not wait.
        self.turns.close();
    }

    fn write(&self, turns: &[Turn]) -> Read<()> {
        let began = Instant::now();
        let mut batch = self.tables.db.batch();
        for turn in turns {
            self.tables.add(&mut batch, turn)?;
        }
        let (durable, last) = self.commits.heads();
        let through = self.applied.through_with(turns, durable, &last);
        // Those of messages included, which are in no record of their own.
        self.tables.add_through(&mut batch, through, self.journal.last_minted());
        batch.commit()?;
        self.metrics.state_batch_seconds.observe(began.elapsed().as_secs_f64());
        self.metrics
            .state_lag
            .set(i64::try_from(durable.saturating_sub(through)).unwrap_or(i64::MAX));
        for message in turns.iter().flat_map(|turn| &turn.released) {
            self.spool.release(*message);
        }
        let puts = turns.iter().flat_map(|turn| &turn.puts);
        self.claims.stored(puts.filter_map(|put| match put {
            Put::Claim(put) => Some(&put.claim.name),
            _ => None,
        }));
        // Before it is said that they are in state: whoever waits for that finds them noted.
        if let Some(observer) = self.observer.get() {
            observer.written(turns);
        }
        self.applied.raise(turns);
        Ok(())
    }
}
