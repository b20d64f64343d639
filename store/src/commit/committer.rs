//! The commit thread, and the thread that syncs the spool beside it.

use std::fs::File;
use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::{Duration, Instant};

use types::time::{Clock, Timestamp};

use super::{BUFFER_KEPT, Commits, Round};
use crate::frame;
use crate::journal::{CommitFailed, Segments};
use crate::segment::{Header, Maker, SEGMENT_HEADER};
use crate::spool::{Outline, Shelf, outline, seal_spool_frame};

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
    /// When the segment was begun.
    pub(crate) begun: Timestamp,
}

impl Track {
    fn has_room(&self, bytes: usize) -> bool {
        self.at + bytes as u64 <= self.capacity
    }

    /// Returns whether the segment has been filled for long enough. What is old is freed by the segment, also where little happens.
    fn is_over(&self, life: Duration) -> bool {
        self.at > SEGMENT_HEADER as u64 && self.clock.now().since(self.begun) > life
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
        self.begun = header.begun;
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
    /// How long one segment is filled at most.
    pub(crate) segment_life: Duration,
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
        let mut over = self.journal.is_over(self.segment_life);
        let (mut start, mut cursor) = (0, 0);
        // Where the append ends that the record at the cursor is of: no append crosses a segment's end.
        let mut append_end = 0;
        while let Some(len) = bytes.get(cursor..).and_then(frame::total_len) {
            let begins = cursor >= append_end;
            if begins {
                append_end = cursor + bytes.get(cursor..).and_then(frame::append_len).unwrap_or(len);
            }
            if begins && (std::mem::take(&mut over) || !self.journal.has_room(append_end - start)) {
                self.journal.write(bytes.get(start..cursor).unwrap_or_default())?;
                start = cursor;
                self.journal.rotate(position, append_end - cursor)?;
                let Track {
                    id, capacity, begun, ..
                } = self.journal;
                self.segments.begin(id, position, capacity, begun);
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
        let mut over = self.spool.is_over(self.segment_life);
        let mut placed: Vec<(Outline, u64)> = Vec::new();
        let mut left = Vec::new();
        while let Some(outline) = bytes.get(cursor..).and_then(outline) {
            if std::mem::take(&mut over) || !self.spool.has_room(cursor - start + outline.len) {
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
