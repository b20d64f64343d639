//! Following the journal: durable records in order, from any position on, for as long as someone wants to know.
//!
//! A [`Tail`] reads the segment files on the runtime's blocking threads, one bounded portion at a time, and waits for the
//! durable position where the files end for now. It holds no file back from the keeper: whoever is slower than the
//! retention is told [`TailError::Gone`]. An idle tail holds an open file and no buffer, so there may be many.
//!
//! A segment may be freed, and its file begun anew, while it is read. Checksums cover the segment's id, so what the file
//! has become can never pass for what it was; and a record that does not read is looked up again before it is called bad.

use std::fmt;
use std::fs::File;
use std::io;
use std::sync::Arc;

use bytes::Bytes;
use prometheus::IntGauge;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use types::event::Event;
use types::id::PartitionId;
use types::time::Timestamp;

use crate::commit::Commits;
use crate::frame::{self, Frame, HEADER};
use crate::journal::{Position, Record, Segments};
use crate::segment::{Kind, SEGMENT_HEADER};
use crate::spool::read_up_to;
use crate::store::Store;

/// Bytes read at once; a longer record is read in one piece.
const CHUNK: usize = 64 << 10;
/// Bytes of payload in one answer, but for a last record that passes it.
const ANSWER_BYTES: usize = 1 << 20;

/// Why records cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum TailError {
    /// The journal was reclaimed beyond what was asked for.
    #[error("the journal begins at record {} now", first.0)]
    Gone {
        /// The oldest record that there is.
        first: Position,
    },
    /// The store has closed or failed, and all that was durable has been read.
    #[error("the journal has ended")]
    Ended,
    /// A segment could not be read. Trying again may help.
    #[error("reading journal record {}", position.0)]
    Io {
        /// Which record.
        position: Position,
        /// What the system says.
        #[source]
        source: io::Error,
    },
    /// A record that had been durable is damaged. Trying again does not help.
    #[error("journal record {} is damaged: it was durable once", position.0)]
    Damaged {
        /// Which record.
        position: Position,
    },
}

/// Follows the journal from a position on.
pub struct Tail {
    commits: Arc<Commits>,
    /// How many tails there are.
    tails: IntGauge,
    durable: watch::Receiver<Position>,
    /// Lies here between reads.
    reader: Option<Reader>,
    /// A read under way; also one whose caller has gone away.
    reading: Option<JoinHandle<Portion>>,
}

/// What a read gives back: the reader, and what it has read.
type Portion = (Reader, Result<Vec<Record>, TailError>);

impl fmt::Debug for Tail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tail")
            .field("next", &self.reader.as_ref().map(|reader| reader.position))
            .finish_non_exhaustive()
    }
}

impl Store {
    /// Follows the journal: the record at `from` is the first to come, or the very first if that is 0. It may lie ahead.
    pub fn tail(&self, from: Position) -> Tail {
        Tail::new(&self.0.commits, &self.0.segments, from)
    }

    /// Returns the position of the first record that was appended at `at` or later by the wall clock: one after the last
    /// if there is none yet, the first that the journal still holds if `at` lies before it.
    ///
    /// Where the clock was set back, it is the first such record of the last segment that was begun before `at`. Reads at
    /// most one segment and a few bytes, on a blocking thread.
    pub async fn position_at(&self, at: Timestamp) -> Result<Position, TailError> {
        let (commits, segments) = (Arc::clone(&self.0.commits), Arc::clone(&self.0.segments));
        let found = tokio::task::spawn_blocking(move || {
            let durable = *commits.durable().borrow();
            loop {
                match Reader::new(&segments, segments.begun_before(at)).seek(at, durable.0) {
                    // Freed between look-up and reading.
                    Err(TailError::Gone { .. }) => {}
                    found => return found,
                }
            }
        });
        found.await.unwrap_or(Err(TailError::Ended))
    }
}

impl Tail {
    pub(crate) fn new(commits: &Arc<Commits>, segments: &Arc<Segments>, from: Position) -> Self {
        let tails = segments.metrics().tails.clone();
        tails.inc();
        Self {
            commits: Arc::clone(commits),
            tails,
            durable: commits.durable(),
            reader: Some(Reader::new(segments, from.0.max(1))),
            reading: None,
        }
    }

    /// Returns the next durable records, at least one and at most `max_records`, waiting for the first if need be.
    ///
    /// Cancel-safe: records that were read for a caller who went away come first in the next answer, whatever number it
    /// asks for. After an error the same records are asked for again.
    pub async fn next(&mut self, max_records: usize) -> Result<Vec<Record>, TailError> {
        loop {
            if let Some(reading) = &mut self.reading {
                let read = reading.await;
                self.reading = None;
                // The runtime shuts down, or the reader panicked: either way nothing more comes.
                let (reader, result) = read.map_err(|_| TailError::Ended)?;
                self.reader = Some(reader);
                return result;
            }
            // In this order: what is durable when commits have ended is all there will ever be.
            let ended = self.commits.ended();
            let durable = self.durable.borrow_and_update().0;
            let Some(mut reader) = self.reader.take_if(|reader| reader.position <= durable) else {
                if ended || self.reader.is_none() || self.durable.changed().await.is_err() {
                    return Err(TailError::Ended);
                }
                continue;
            };
            self.reading = Some(tokio::task::spawn_blocking(move || {
                let result = reader.read(durable, max_records.max(1));
                (reader, result)
            }));
        }
    }
}

impl Drop for Tail {
    fn drop(&mut self) {
        self.tails.dec();
    }
}

/// Reads segment files in order.
struct Reader {
    segments: Arc<Segments>,
    /// The record to be read next.
    position: u64,
    open: Option<Open>,
}

/// A segment file that is being read.
struct Open {
    id: u64,
    file: File,
    /// Where the record at `position` begins.
    offset: u64,
    position: u64,
}

/// What a segment held from the place on where it was read.
struct Chunk {
    bytes: Vec<u8>,
    at: usize,
}

impl Reader {
    fn new(segments: &Arc<Segments>, position: u64) -> Self {
        Self {
            segments: Arc::clone(segments),
            position,
            open: None,
        }
    }

    /// Reads up to `max_records` records, none beyond `durable`. Err: none could be read.
    fn read(&mut self, durable: u64, max_records: usize) -> Result<Vec<Record>, TailError> {
        let mut records = Vec::new();
        let mut bytes = 0;
        let result = self.walk(durable, |frame, position| {
            bytes += frame.payload.len();
            records.push(record(frame, position)?);
            Ok(records.len() < max_records && bytes < ANSWER_BYTES)
        });
        match result {
            // What was read before is passed on first; the next read meets the error again.
            Err(_) if !records.is_empty() => Ok(records),
            Err(error) => Err(error),
            Ok(()) => Ok(records),
        }
    }

    /// Returns the position of the first record from here on with this wall time or a later one.
    fn seek(mut self, at: Timestamp, durable: u64) -> Result<Position, TailError> {
        let mut found = None;
        self.walk(durable, |frame, position| {
            found = (frame.wall >= at).then_some(position);
            Ok(found.is_none())
        })?;
        Ok(Position(found.unwrap_or(self.position)))
    }

    /// Shows `visit` each record from `position` on, up to `durable`, until it says false or fails. The one that it fails
    /// at is the next to be read.
    fn walk(
        &mut self,
        durable: u64,
        mut visit: impl FnMut(&Frame<'_>, u64) -> Result<bool, TailError>,
    ) -> Result<(), TailError> {
        while self.position <= durable {
            let (id, first, after) = self.segments.holding(self.position).ok_or_else(|| TailError::Gone {
                first: Position(self.segments.first()),
            })?;
            let ends = after.map_or(durable, |after| durable.min(after - 1));
            match self.walk_segment(id, first, ends, &mut visit) {
                Ok(true) => {}
                Ok(false) => return Ok(()),
                // Freed while it was read: the next look-up says so.
                Err(_) if !self.segments.holds(id) => self.open = None,
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Walks on in one segment, up to position `ends`. False if `visit` wants no more.
    fn walk_segment(
        &mut self,
        id: u64,
        first: u64,
        ends: u64,
        visit: &mut impl FnMut(&Frame<'_>, u64) -> Result<bool, TailError>,
    ) -> Result<bool, TailError> {
        let position = Position(self.position);
        let failed = |source| TailError::Io { position, source };
        let mut open = match self.open.take() {
            Some(open) if open.id == id && open.position <= self.position => open,
            _ => Open {
                id,
                file: File::open(Kind::Journal.path(self.segments.dir(), id)).map_err(failed)?,
                offset: SEGMENT_HEADER as u64,
                position: first,
            },
        };
        let mut chunk = Chunk {
            bytes: Vec::new(),
            at: 0,
        };
        let mut more = true;
        while more && open.position <= ends {
            let Some(frame) = chunk.frame(&open, id).map_err(failed)? else {
                return Err(TailError::Damaged {
                    position: Position(open.position),
                });
            };
            if open.position >= self.position {
                more = visit(&frame, open.position)?;
                self.position = open.position + 1;
            }
            let len = frame.len();
            chunk.at += len;
            open.offset += len as u64;
            open.position += 1;
        }
        self.open = Some(open);
        Ok(more)
    }
}

impl Chunk {
    /// Returns the frame at the place that `open` has come to, reading on where it is needed.
    fn frame(&mut self, open: &Open, segment: u64) -> io::Result<Option<Frame<'_>>> {
        let rest = self.bytes.len() - self.at;
        let announced = self.bytes.get(self.at..).and_then(frame::total_len).unwrap_or(HEADER);
        if rest < announced {
            self.fill(open, CHUNK)?;
            let announced = frame::total_len(&self.bytes).unwrap_or(HEADER);
            // A damaged length must not make a buffer that no segment could fill.
            if announced > CHUNK && open.offset + announced as u64 <= open.file.metadata()?.len() {
                self.fill(open, announced)?;
            }
        }
        Ok(frame::parse(self.bytes.get(self.at..).unwrap_or_default(), segment))
    }

    fn fill(&mut self, open: &Open, len: usize) -> io::Result<()> {
        self.at = 0;
        self.bytes.resize(len, 0);
        let read = read_up_to(&open.file, &mut self.bytes, open.offset)?;
        self.bytes.truncate(read);
        Ok(())
    }
}

/// Reads what a frame means. It was written by this process or read when the store was opened, so it is known.
fn record(frame: &Frame<'_>, position: u64) -> Result<Record, TailError> {
    let damaged = || TailError::Damaged {
        position: Position(position),
    };
    Ok(Record {
        position: Position(position),
        id: frame.id,
        partition: PartitionId::new(frame.partition).ok_or_else(damaged)?,
        wall: frame.wall,
        event: Event::decode(frame.kind, frame.payload).map_err(|_| damaged())?,
        payload: Bytes::copy_from_slice(frame.payload),
        kind: frame.kind,
    })
}
