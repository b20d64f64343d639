//! The journal: the one record of what happened, from which everything else can be made again.
//!
//! Runners append batches of records; the commit thread makes them durable (`commit.rs`). A record's [`Position`]
//! is its ordinal in this data directory, from 1, without gaps; segments tell the position of their first record.
//! `docs/formats/journal.md` draws the bytes and says what a crash may leave and what is made of it.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use tokio::sync::watch;
use types::event::Event;
use types::id::{EventId, IdMint, PartitionId, PublicId};
use types::time::{Clock, Timestamp};

use crate::commit::{Callback, Commits};
use crate::frame;
use crate::metrics::Metrics;
use crate::segment::{Kind, Maker};
use crate::sync::lock;

/// The ordinal of a record in the journal, from 1; 0 is before the first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position(pub u64);

/// Nothing is taken any more: the store drains, or a write has failed ([`crate::Store::failed`] tells which).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the store takes nothing more")]
pub struct Closed;

/// The round that held a batch could not be written or synced; whether the batch survives is open until recovery.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the commit failed")]
pub struct CommitFailed;

/// One record as it was journaled.
#[derive(Clone, Debug)]
pub struct Record {
    /// Where it stands.
    pub position: Position,
    /// The event's id.
    pub id: EventId,
    /// Whose state it belongs to.
    pub partition: PartitionId,
    /// The wall time at which it was appended.
    pub wall: Timestamp,
    /// What happened.
    pub event: Event,
    /// The event's payload as it was written, fields from the future included.
    pub payload: Bytes,
    /// The event's kind number.
    pub kind: u16,
}

impl Record {
    /// Returns the event's id with its partition, as the outside names it.
    pub const fn public_id(&self) -> PublicId {
        PublicId {
            partition: self.partition,
            event: self.id,
        }
    }
}

/// Records that are appended together, and who waits for them.
#[derive(Default)]
pub struct Batch {
    frames: Vec<u8>,
    /// Where the last frame begins.
    last: usize,
    partitions: Vec<PartitionId>,
    callbacks: Vec<Callback>,
}

impl Batch {
    /// Makes an empty batch.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a record, and returns its payload as it is journaled. `id` comes from [`Journal::mint`].
    pub fn push(&mut self, id: EventId, partition: PartitionId, wall: Timestamp, event: &Event) -> Bytes {
        if !self.partitions.is_empty() {
            frame::join(self.frames.get_mut(self.last..).unwrap_or_default());
        }
        self.last = self.frames.len();
        let start = self.last + frame::HEADER;
        frame::encode(&mut self.frames, event.kind(), partition, id, wall, |out| {
            event.encode(out);
        });
        self.partitions.push(partition);
        Bytes::copy_from_slice(self.frames.get(start..).unwrap_or_default())
    }

    /// Adds what is called once the batch is durable, with the position of its last record, or once it will never be known
    /// to be. It runs on the commit thread, which everyone waits for: it sends to a channel and returns.
    pub fn on_durable(&mut self, f: impl FnOnce(Result<Position, CommitFailed>) + Send + 'static) {
        self.callbacks.push(Box::new(f));
    }

    /// Returns whether no record was added.
    pub fn is_empty(&self) -> bool {
        self.partitions.is_empty()
    }

    /// Returns how many records were added.
    pub fn len(&self) -> usize {
        self.partitions.len()
    }
}

impl fmt::Debug for Batch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Batch")
            .field("records", &self.partitions.len())
            .field("bytes", &self.frames.len())
            .finish_non_exhaustive()
    }
}

/// The journal's writing end.
pub struct Journal {
    pub(crate) commits: Arc<Commits>,
    pub(crate) mint: IdMint,
    pub(crate) clock: Arc<dyn Clock>,
}

impl fmt::Debug for Journal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Journal")
            .field("commits", &self.commits)
            .finish_non_exhaustive()
    }
}

impl Journal {
    /// Mints an id for an event or a message: rising, never repeated, also over restarts and when the clock steps back.
    pub fn mint(&self) -> EventId {
        self.mint.mint(self.clock.now())
    }

    /// Returns the last id that was minted, in this run or before.
    pub(crate) fn last_minted(&self) -> EventId {
        self.mint.last()
    }

    /// Appends a batch and returns the position of its last record (of the journal, if the batch is empty).
    ///
    /// Nothing is durable on return: the batch's callbacks tell, and [`Journal::durable`]. Never waits for the disk,
    /// except while the pending buffer is over its bound. Err: nothing was taken; the callbacks have been told.
    pub fn append(&self, batch: Batch) -> Result<Position, Closed> {
        self.commits.append(&batch.frames, &batch.partitions, batch.callbacks)
    }

    /// Returns the durable position: all records up to it survive whatever happens to process and power.
    pub fn durable(&self) -> watch::Receiver<Position> {
        self.commits.durable()
    }
}

/// Which journal segments exist, oldest first; the last is being filled.
#[derive(Debug)]
pub(crate) struct Segments {
    list: Mutex<Vec<SegmentInfo>>,
    /// The last position that nobody follows up: later records are kept beyond the retention.
    passed: AtomicU64,
    maker: Arc<Maker>,
    metrics: Metrics,
}

/// A journal segment in use.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SegmentInfo {
    pub(crate) id: u64,
    /// The position of its first record.
    pub(crate) first: u64,
    pub(crate) bytes: u64,
    /// When it was begun.
    pub(crate) begun: Timestamp,
}

impl Segments {
    pub(crate) fn new(list: Vec<SegmentInfo>, maker: Arc<Maker>, metrics: Metrics) -> Self {
        let segments = Self {
            list: Mutex::new(list),
            passed: AtomicU64::new(u64::MAX),
            maker,
            metrics,
        };
        segments.gauge();
        segments
    }

    pub(crate) fn begin(&self, id: u64, first: u64, bytes: u64, begun: Timestamp) {
        lock(&self.list).push(SegmentInfo {
            id,
            first,
            bytes,
            begun,
        });
        self.gauge();
    }

    pub(crate) fn list(&self) -> Vec<SegmentInfo> {
        lock(&self.list).clone()
    }

    pub(crate) fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    pub(crate) fn dir(&self) -> &Path {
        self.maker.dir()
    }

    /// Returns the position of the oldest record that is still held, or of the first to come.
    pub(crate) fn first(&self) -> u64 {
        lock(&self.list).first().map_or(1, |segment| segment.first)
    }

    /// Returns the segment with this position, as id and first position, and the first position of the one after it.
    /// `None` if it was freed.
    pub(crate) fn holding(&self, position: u64) -> Option<(u64, u64, Option<u64>)> {
        let list = lock(&self.list);
        let after = list.partition_point(|segment| segment.first <= position);
        let segment = list.get(after.checked_sub(1)?)?;
        Some((segment.id, segment.first, list.get(after).map(|next| next.first)))
    }

    /// Asks that records after `position` be kept beyond their retention, though not beyond the bound of all segments. 0
    /// keeps all; [`u64::MAX`], which it is at first, none.
    pub(crate) fn hold_after(&self, position: u64) {
        self.passed.store(position, Ordering::Relaxed);
    }

    /// Returns the position after which records are asked for.
    pub(crate) fn held_after(&self) -> u64 {
        self.passed.load(Ordering::Relaxed)
    }

    /// Returns whether a segment is still held.
    pub(crate) fn holds(&self, id: u64) -> bool {
        lock(&self.list).iter().any(|segment| segment.id == id)
    }

    /// Returns the first position of the last segment that was begun before a time, or of the oldest.
    pub(crate) fn begun_before(&self, at: Timestamp) -> u64 {
        let list = lock(&self.list);
        let before = list.iter().rev().find(|segment| segment.begun < at);
        before.or(list.first()).map_or(1, |segment| segment.first)
    }

    /// Gives up the oldest `count` segments; their files become later segments or are removed.
    pub(crate) fn free(&self, count: usize) {
        let freed: Vec<SegmentInfo> = lock(&self.list).drain(..count).collect();
        for segment in freed {
            let path: PathBuf = Kind::Journal.path(self.maker.dir(), segment.id);
            self.maker.recycle(path);
        }
        self.gauge();
    }

    fn gauge(&self) {
        let count = lock(&self.list).len();
        self.metrics
            .journal_segments
            .set(i64::try_from(count).unwrap_or(i64::MAX));
    }
}
