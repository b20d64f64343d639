//! The commit round: where everything that must survive is written and synced, for all who wait at once.
//!
//! Appending puts frames into one pending buffer under a short lock. The commit thread takes all that is pending, spool
//! frames and journal frames together, writes both, and syncs both at the same time, the spool on a second thread, so
//! that a slow disk costs one flush. Then it publishes the durable [`Position`] and calls those who waited. While it
//! syncs, the next round gathers; so rounds grow with the load, and an idle store syncs nothing.
//!
//! Because a round takes both kinds under one lock, a journal record's commit covers every spool append made before the
//! record's own. The first error is final: all who wait are told, all who come are refused, until a restart recovers.

mod committer;

use std::collections::HashMap;
use std::fmt;
use std::sync::{Condvar, Mutex};
use std::time::Duration;

use foldhash::fast::FixedState;
use tokio::sync::watch;
use types::id::{MessageId, PartitionId};

use crate::journal::{Closed, CommitFailed, Position};
use crate::metrics::Metrics;
use crate::sync::{lock, wait, wait_for};

pub(crate) use committer::{Committer, Syncer, Track};

/// What is called when a round has ended.
pub(crate) type Callback = Box<dyn FnOnce(Result<Position, CommitFailed>) + Send>;

/// Buffers above this are given back to the allocator after a round, so that a burst is not held for ever.
const BUFFER_KEPT: usize = 4 << 20;

/// What waits for the commit thread, and how far it has come.
pub(crate) struct Commits {
    pending: Mutex<Pending>,
    /// The commit thread waits here for work.
    work: Condvar,
    /// Those who append wait here for space, those who read for a frame's place.
    moved: Condvar,
    progress: Mutex<Progress>,
    advanced: Condvar,
    durable: watch::Sender<Position>,
    failed: watch::Sender<bool>,
    bytes_max: usize,
    metrics: Metrics,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Gate {
    Open,
    /// No more appends; what is pending is still committed.
    Draining,
    /// A write or sync failed.
    Failed,
}

struct Pending {
    journal: Vec<u8>,
    records: u64,
    spool: Vec<u8>,
    callbacks: Vec<(Position, Callback)>,
    /// Messages appended and not yet placed in a segment; true once released again.
    unplaced: HashMap<MessageId, bool, FixedState>,
    next: u64,
    /// The last position of each partition.
    last: Vec<u64>,
    gate: Gate,
    sleeping: bool,
    /// Nothing is taken, but to end.
    held: bool,
}

struct Progress {
    durable: u64,
    ended: bool,
}

/// What one round commits.
#[derive(Default)]
struct Round {
    journal: Vec<u8>,
    records: u64,
    spool: Vec<u8>,
    callbacks: Vec<(Position, Callback)>,
    /// The position of the first record.
    first: u64,
}

impl fmt::Debug for Commits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Commits")
            .field("durable", &*self.durable.borrow())
            .finish_non_exhaustive()
    }
}

impl Commits {
    /// Continues after position `last`, which is durable; `partitions` holds the last position of each partition.
    pub(crate) fn new(last: u64, partitions: Vec<u64>, bytes_max: usize, metrics: Metrics) -> Self {
        Self {
            pending: Mutex::new(Pending {
                journal: Vec::new(),
                records: 0,
                spool: Vec::new(),
                callbacks: Vec::new(),
                unplaced: HashMap::default(),
                next: last + 1,
                last: partitions,
                gate: Gate::Open,
                sleeping: false,
                held: false,
            }),
            work: Condvar::new(),
            moved: Condvar::new(),
            progress: Mutex::new(Progress {
                durable: last,
                ended: false,
            }),
            advanced: Condvar::new(),
            durable: watch::Sender::new(Position(last)),
            failed: watch::Sender::new(false),
            bytes_max,
            metrics,
        }
    }

    /// Takes frames of journal records, in order. Waits only while the buffer is over its bound.
    pub(crate) fn append(
        &self,
        frames: &[u8],
        partitions: &[PartitionId],
        callbacks: Vec<Callback>,
    ) -> Result<Position, Closed> {
        let mut pending = lock(&self.pending);
        while pending.gate == Gate::Open && pending.journal.len() + pending.spool.len() > self.bytes_max {
            pending = wait(&self.moved, pending);
        }
        if pending.gate != Gate::Open {
            drop(pending);
            for callback in callbacks {
                callback(Err(CommitFailed));
            }
            return Err(Closed);
        }
        pending.journal.extend_from_slice(frames);
        for partition in partitions {
            let position = pending.next;
            if let Some(last) = pending.last.get_mut(usize::from(partition.number())) {
                *last = position;
            }
            pending.next += 1;
        }
        pending.records += partitions.len() as u64;
        let position = Position(pending.next - 1);
        pending
            .callbacks
            .extend(callbacks.into_iter().map(|callback| (position, callback)));
        let wake = pending.sleeping;
        drop(pending);
        if wake {
            self.work.notify_one();
        }
        Ok(position)
    }

    /// Takes one spool frame, which the next journal append's round covers. `message` is `None` for a copy of a message
    /// that is found where it was until then.
    pub(crate) fn append_spool(&self, message: Option<MessageId>, frame: &[u8]) -> Result<(), Closed> {
        let mut pending = lock(&self.pending);
        while pending.gate == Gate::Open && pending.journal.len() + pending.spool.len() > self.bytes_max {
            pending = wait(&self.moved, pending);
        }
        if pending.gate != Gate::Open {
            return Err(Closed);
        }
        pending.spool.extend_from_slice(frame);
        if let Some(message) = message {
            pending.unplaced.insert(message, false);
        }
        let wake = pending.sleeping;
        drop(pending);
        if wake {
            self.work.notify_one();
        }
        Ok(())
    }

    /// Has what is appended gather, until it is let go as one round.
    pub(crate) fn hold(&self, held: bool) {
        lock(&self.pending).held = held;
        self.work.notify_all();
    }

    /// Returns whether nothing waits to be committed, and whoever waited was called.
    pub(crate) fn is_idle(&self) -> bool {
        let pending = lock(&self.pending);
        let nothing = pending.journal.is_empty() && pending.spool.is_empty() && pending.callbacks.is_empty();
        pending.gate == Gate::Failed || pending.sleeping && nothing
    }

    /// Waits until a message that is on its way to a segment has got there. False if it is not on its way.
    pub(crate) fn await_placed(&self, message: MessageId) -> bool {
        let mut pending = lock(&self.pending);
        let mut found = false;
        while pending.gate != Gate::Failed && pending.unplaced.contains_key(&message) {
            found = true;
            pending = wait(&self.moved, pending);
        }
        found
    }

    /// Returns whether a message is on its way to a segment.
    pub(crate) fn is_unplaced(&self, message: MessageId) -> bool {
        lock(&self.pending).unplaced.contains_key(&message)
    }

    /// Marks a message that is on its way as not needed. False if it is not on its way.
    pub(crate) fn release_unplaced(&self, message: MessageId) -> bool {
        lock(&self.pending)
            .unplaced
            .get_mut(&message)
            .map(|released| *released = true)
            .is_some()
    }

    /// Returns the durable position.
    pub(crate) fn durable(&self) -> watch::Receiver<Position> {
        self.durable.subscribe()
    }

    /// Returns whether a write or sync has failed.
    pub(crate) fn failed(&self) -> watch::Receiver<bool> {
        self.failed.subscribe()
    }

    /// Returns the durable position and the last position of each partition, which may lie beyond it.
    pub(crate) fn heads(&self) -> (u64, Vec<u64>) {
        // Durable first: a record appended in between is then in the second, which errs on the safe side.
        let durable = lock(&self.progress).durable;
        (durable, lock(&self.pending).last.clone())
    }

    /// Waits until `target` is durable, the commits have ended, or `limit` is over. Returns the durable position, and
    /// whether it will never rise again.
    pub(crate) fn wait_durable(&self, target: u64, limit: Duration) -> (u64, bool) {
        let mut progress = lock(&self.progress);
        if progress.durable < target && !progress.ended {
            progress = wait_for(&self.advanced, progress, limit);
        }
        (progress.durable, progress.ended)
    }

    /// Returns whether the durable position will never rise again.
    pub(crate) fn ended(&self) -> bool {
        lock(&self.progress).ended
    }

    /// Refuses appends from now on; what is pending is committed, then the commit thread ends.
    pub(crate) fn drain(&self) {
        let mut pending = lock(&self.pending);
        if pending.gate == Gate::Open {
            pending.gate = Gate::Draining;
        }
        drop(pending);
        self.work.notify_all();
        self.moved.notify_all();
    }

    /// Fails for good: who waits is told, who comes is refused.
    pub(crate) fn fail(&self, what: &str, error: &dyn fmt::Display) {
        let callbacks = {
            let mut pending = lock(&self.pending);
            if pending.gate != Gate::Failed {
                tracing::error!(%error, "{what} failed: nothing more is accepted until a restart has recovered");
            }
            pending.gate = Gate::Failed;
            pending.journal = Vec::new();
            pending.spool = Vec::new();
            std::mem::take(&mut pending.callbacks)
        };
        self.metrics.failed.set(1);
        self.failed.send_replace(true);
        self.end();
        self.work.notify_all();
        self.moved.notify_all();
        for (_, callback) in callbacks {
            callback(Err(CommitFailed));
        }
    }

    /// Takes all that is pending, leaving `round`'s emptied buffers in its place; waits for something. False at the end.
    fn take(&self, round: &mut Round) -> bool {
        let mut pending = lock(&self.pending);
        loop {
            if pending.gate == Gate::Failed {
                return false;
            }
            let waits = !pending.journal.is_empty() || !pending.spool.is_empty() || !pending.callbacks.is_empty();
            if waits && (!pending.held || pending.gate == Gate::Draining) {
                break;
            }
            if pending.gate == Gate::Draining {
                return false;
            }
            pending.sleeping = true;
            pending = wait(&self.work, pending);
            pending.sleeping = false;
        }
        self.metrics
            .pending_bytes
            .set(i64::try_from(pending.journal.len() + pending.spool.len()).unwrap_or(i64::MAX));
        std::mem::swap(&mut pending.journal, &mut round.journal);
        std::mem::swap(&mut pending.spool, &mut round.spool);
        std::mem::swap(&mut pending.callbacks, &mut round.callbacks);
        round.records = std::mem::take(&mut pending.records);
        round.first = pending.next - round.records;
        drop(pending);
        self.moved.notify_all();
        true
    }

    /// Takes messages off the way; returns those that were released meanwhile.
    fn placed(&self, messages: &[MessageId]) -> Vec<MessageId> {
        let mut pending = lock(&self.pending);
        let released = messages
            .iter()
            .filter(|message| pending.unplaced.remove(message) == Some(true))
            .copied()
            .collect();
        drop(pending);
        self.moved.notify_all();
        released
    }

    fn publish(&self, position: u64) {
        lock(&self.progress).durable = position;
        self.advanced.notify_all();
        self.durable.send_if_modified(|durable| {
            let rises = durable.0 < position;
            durable.0 = durable.0.max(position);
            rises
        });
    }

    /// The durable position rises no more: those who wait for it are woken once more.
    fn end(&self) {
        lock(&self.progress).ended = true;
        self.advanced.notify_all();
        self.durable.send_modify(|_| {});
    }
}
