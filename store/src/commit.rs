//! The commit round: where everything that must survive is written and synced, for all who wait at once.
//!
//! Appending puts frames into one pending buffer under a short lock. The commit thread takes all that is pending, spool
//! frames and journal frames together, writes both, and syncs both at the same time, the spool on a second thread, so
//! that a slow disk costs one flush. Then it publishes the durable [`Position`] and calls those who waited. While it
//! syncs, the next round gathers; so rounds grow with the load, and an idle store syncs nothing.
//!
//! Because a round takes both kinds under one lock, a journal record's commit covers every spool append made before the
//! record's own. The first error is final: all who wait are told, all who come are refused, until a restart recovers.

use std::collections::HashMap;
use std::fmt;
use std::fs::File;
use std::io;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use foldhash::fast::FixedState;
use tokio::sync::watch;
use types::id::{MessageId, PartitionId};
use types::time::Clock;

use crate::frame;
use crate::journal::{Closed, CommitFailed, Position, Segments};
use crate::metrics::Metrics;
use crate::segment::{Header, Maker, SEGMENT_HEADER};
use crate::spool::{Outline, Shelf, outline, seal_spool_frame};
use crate::sync::{lock, wait, wait_for};

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
        lock(&self.progress).ended = true;
        self.failed.send_replace(true);
        self.work.notify_all();
        self.moved.notify_all();
        self.advanced.notify_all();
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
            if !pending.journal.is_empty() || !pending.spool.is_empty() || !pending.callbacks.is_empty() {
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

    fn end(&self) {
        lock(&self.progress).ended = true;
        self.advanced.notify_all();
    }
}

/// The segment of one kind that is being filled.
pub(crate) struct Track {
    pub(crate) maker: Arc<Maker>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) incarnation: [u8; 16],
    pub(crate) file: Arc<File>,
    pub(crate) id: u64,
    pub(crate) capacity: u64,
    /// Where the next frame goes.
    pub(crate) at: u64,
}

impl Track {
    fn has_room(&self, bytes: usize) -> bool {
        self.at + bytes as u64 <= self.capacity
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        if !bytes.is_empty() {
            self.maker.medium().write_at(&self.file, bytes, self.at)?;
            self.at += bytes.len() as u64;
        }
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        self.maker.medium().sync(&self.file)
    }

    /// Goes on in a new segment, whose first record is at `first` and takes `bytes`. The old one is synced before.
    fn rotate(&mut self, first: u64, bytes: usize) -> io::Result<()> {
        self.sync()?;
        let fresh = self.maker.take((SEGMENT_HEADER + bytes) as u64)?;
        let header = Header {
            kind: self.maker.kind(),
            incarnation: self.incarnation,
            id: fresh.id,
            first,
            begun: self.clock.now(),
        };
        self.maker.medium().write_at(&fresh.file, &header.encode(), 0)?;
        self.file = fresh.file;
        self.id = fresh.id;
        self.capacity = fresh.capacity;
        self.at = SEGMENT_HEADER as u64;
        Ok(())
    }
}

/// The commit thread.
pub(crate) struct Committer {
    pub(crate) commits: Arc<Commits>,
    pub(crate) journal: Track,
    pub(crate) spool: Track,
    pub(crate) segments: Arc<Segments>,
    pub(crate) shelf: Arc<Shelf>,
    pub(crate) syncer: Syncer,
}

impl Committer {
    /// Commits rounds until drained or failed.
    pub(crate) fn run(mut self) {
        let commits = Arc::clone(&self.commits);
        let mut round = Round::default();
        while commits.take(&mut round) {
            let began = now();
            let result = self.commit(&mut round);
            match result {
                Ok(()) => {
                    commits.publish(round.first + round.records - 1);
                    for (position, callback) in round.callbacks.drain(..) {
                        callback(Ok(position));
                    }
                }
                Err(error) => {
                    commits.fail("committing to journal and spool", &error);
                    for (_, callback) in round.callbacks.drain(..) {
                        callback(Err(CommitFailed));
                    }
                    return;
                }
            }
            let metrics = &commits.metrics;
            metrics.commit_seconds.observe(began.elapsed().as_secs_f64());
            metrics
                .commit_records
                .observe(f64::from(u32::try_from(round.records).unwrap_or(u32::MAX)));
            metrics.journal_synced_bytes.inc_by(round.journal.len() as u64);
            metrics.spool_synced_bytes.inc_by(round.spool.len() as u64);
            for buffer in [&mut round.journal, &mut round.spool] {
                buffer.clear();
                buffer.shrink_to(BUFFER_KEPT);
            }
        }
        commits.end();
    }

    fn commit(&mut self, round: &mut Round) -> io::Result<()> {
        let spooled = !round.spool.is_empty();
        let mut left = Vec::new();
        if spooled {
            left = self.place_spool(&mut round.spool)?;
            self.syncer.start(&self.spool.file)?;
        }
        let mut result = Ok(());
        if !round.journal.is_empty() {
            result = self
                .place_journal(&mut round.journal, round.first)
                .and_then(|()| self.journal.sync());
        }
        if spooled {
            // Waited for in any case: the thread must be idle for the next round.
            self.syncer.finish()?;
        }
        result?;
        // Copies are durable now, so their origins may go.
        for segment in left {
            self.shelf.leave(segment);
        }
        Ok(())
    }

    fn place_journal(&mut self, bytes: &mut [u8], first: u64) -> io::Result<()> {
        let mut position = first;
        let mut barrier = true;
        let (mut start, mut cursor) = (0, 0);
        while let Some(len) = bytes.get(cursor..).and_then(frame::total_len) {
            if !self.journal.has_room(cursor - start + len) {
                self.journal.write(bytes.get(start..cursor).unwrap_or_default())?;
                start = cursor;
                self.journal.rotate(position, len)?;
                self.segments.begin(
                    self.journal.id,
                    position,
                    self.journal.capacity,
                    self.journal.clock.now(),
                );
                barrier = true;
            }
            frame::seal(bytes.get_mut(cursor..).unwrap_or_default(), self.journal.id, barrier);
            barrier = false;
            cursor += len;
            position += 1;
        }
        self.journal.write(bytes.get(start..).unwrap_or_default())
    }

    /// Writes spool frames; returns the segments of older copies, one for each.
    fn place_spool(&mut self, bytes: &mut [u8]) -> io::Result<Vec<u32>> {
        let (mut start, mut cursor) = (0, 0);
        let mut placed: Vec<(Outline, u64)> = Vec::new();
        let mut left = Vec::new();
        while let Some(outline) = bytes.get(cursor..).and_then(outline) {
            if !self.spool.has_room(cursor - start + outline.len) {
                self.spool.write(bytes.get(start..cursor).unwrap_or_default())?;
                start = cursor;
                // Counted before the next segment begins: a full segment without live messages is freed.
                self.shelve(&mut placed, &mut left);
                self.spool.rotate(0, outline.len)?;
                self.shelf.begin(self.spool.id, Arc::clone(&self.spool.file));
            }
            seal_spool_frame(bytes.get_mut(cursor..).unwrap_or_default(), self.spool.id);
            placed.push((outline, self.spool.at + (cursor - start) as u64));
            cursor += outline.len;
        }
        self.spool.write(bytes.get(start..).unwrap_or_default())?;
        self.shelve(&mut placed, &mut left);
        Ok(left)
    }

    /// Says where frames lie that were written to the current segment.
    fn shelve(&self, placed: &mut Vec<(Outline, u64)>, left: &mut Vec<u32>) {
        for (outline, offset) in placed.iter() {
            left.extend(self.shelf.put(*outline, self.spool.id, *offset));
        }
        let messages: Vec<_> = placed.drain(..).map(|(outline, _)| outline.message).collect();
        for message in self.commits.placed(&messages) {
            self.shelf.remove(message);
        }
    }
}

/// Syncs spool files on a thread of its own, while the commit thread syncs the journal.
pub(crate) struct Syncer {
    files: SyncSender<Arc<File>>,
    results: Receiver<io::Result<()>>,
}

impl Syncer {
    /// Returns the commit thread's end, and what the other thread runs.
    pub(crate) fn new(maker: Arc<Maker>) -> (Self, impl FnOnce() + Send) {
        let (files, inbox) = sync_channel::<Arc<File>>(1);
        let (outbox, results) = sync_channel(1);
        let run = move || {
            while let Ok(file) = inbox.recv() {
                if outbox.send(maker.medium().sync(&file)).is_err() {
                    return;
                }
            }
        };
        (Self { files, results }, run)
    }

    fn start(&self, file: &Arc<File>) -> io::Result<()> {
        self.files.send(Arc::clone(file)).map_err(|_| gone())
    }

    fn finish(&self) -> io::Result<()> {
        self.results.recv().map_err(|_| gone())?
    }
}

fn gone() -> io::Error {
    io::Error::other("the spool's sync thread is gone")
}

fn now() -> Instant {
    Instant::now()
}
