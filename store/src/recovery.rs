//! What is made of the journal at a start: the end is found, what state lacks is read, the tail is copied.
//!
//! Only the last segment may end in the middle of a record: it is cut before its first bad one. But a bad record with one
//! of a later commit round behind it had been synced, so it is damage, not a torn write, and the start is refused. A bad
//! record in an older segment likewise, if state has not applied it yet; otherwise nobody needs it and it is not read.
//!
//! Records that one append wrote together stand or fall together: if the last one is missing at the end, all are cut. So whatever was
//! recorded with its cause is never found without it, nor the cause alone.
//!
//! The last segment's records are then copied into a new, synced segment. After a failed sync the page cache may hold what
//! the disk does not, and no later sync of the same file would say so; the copy makes what was read durable.

use std::collections::HashSet;
use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use types::event::{Claim, Event, Life};
use types::id::{EventId, MessageId, PartitionId, PublicId};

use crate::error::{Doing, OpenError, ReplayError};
use crate::frame::{self, Frame};
use crate::journal::{Position, Record};
use crate::segment::{Header, Kind, SEGMENT_HEADER, Start};

/// A segment that was begun.
#[derive(Clone, Debug)]
pub(crate) struct Found {
    pub(crate) header: Header,
    pub(crate) path: PathBuf,
}

/// The segment files of a directory.
#[derive(Debug)]
pub(crate) struct Files {
    /// Begun, by id.
    pub(crate) begun: Vec<Found>,
    /// Never begun, or superseded by a recovery's copy.
    pub(crate) unused: Vec<PathBuf>,
    /// The id after all there are.
    pub(crate) next_id: u64,
}

impl Files {
    /// Reads the headers of all segments in `dir`. `incarnation` is the data directory's, if it is known.
    pub(crate) fn read(kind: Kind, dir: &Path, incarnation: Option<[u8; 16]>) -> Result<Self, OpenError> {
        let mut files = Self {
            begun: Vec::new(),
            unused: Vec::new(),
            next_id: 1,
        };
        let reading = || format!("reading {}", dir.display());
        for (id, path) in kind.list(dir).doing(reading)? {
            files.next_id = id + 1;
            let start = read_start(&path).doing(|| format!("reading {}", path.display()))?;
            match Header::decode(kind, id, &start) {
                Start::Unused => files.unused.push(path),
                Start::Newer(version) => return Err(OpenError::Newer { path, version }),
                Start::Begun(header) if incarnation.is_some_and(|own| own != header.incarnation) => {
                    return Err(OpenError::Foreign(path));
                }
                Start::Begun(header) => {
                    if kind == Kind::Journal {
                        // A recovery's copy starts where its origin does, and a crash may have left both.
                        while files.begun.last().is_some_and(|last| last.header.first >= header.first) {
                            files.unused.extend(files.begun.pop().map(|last| last.path));
                        }
                    }
                    files.begun.push(Found { header, path });
                }
            }
        }
        Ok(files)
    }
}

fn read_start(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; SEGMENT_HEADER];
    let read = crate::spool::read_up_to(&fs::File::open(path)?, &mut bytes, 0)?;
    bytes.truncate(read);
    Ok(bytes)
}

/// What the journal holds beyond state.
#[derive(Debug)]
pub(crate) struct Tail {
    /// The last position in the journal; 0 if there is none.
    pub(crate) last: u64,
    /// The last segment's valid records, to be copied, and the position of the first.
    pub(crate) open_end: Option<(u64, Vec<OwnedFrame>)>,
    /// The last position of each partition beyond `applied`.
    pub(crate) partitions: Vec<u64>,
    /// The highest id in the records that were read.
    pub(crate) last_id: Option<EventId>,
    /// Messages decided and not ended in the records that were read.
    pub(crate) decided: HashSet<MessageId>,
    /// Messages ended in them.
    pub(crate) ended: HashSet<MessageId>,
    /// Names claimed in them.
    pub(crate) claims: Vec<(Claim, PublicId)>,
}

/// A record of the open end, as it will be written again.
#[derive(Debug)]
pub(crate) struct OwnedFrame {
    pub(crate) bytes: Vec<u8>,
}

/// Reads the journal beyond what state has: `through` is applied for all, `applied` for each partition.
pub(crate) fn read_tail(segments: &[Found], through: u64, applied: &[u64]) -> Result<Tail, OpenError> {
    let mut tail = Tail {
        last: 0,
        open_end: None,
        partitions: vec![0; PartitionId::COUNT],
        last_id: None,
        decided: HashSet::new(),
        ended: HashSet::new(),
        claims: Vec::new(),
    };
    let first = segments.first().map_or(1, |found| found.header.first);
    if first > through + 1 {
        return Err(OpenError::Gap {
            from: through + 1,
            to: first - 1,
        });
    }
    tail.last = first - 1;
    for (i, found) in segments.iter().enumerate() {
        let next = segments.get(i + 1).map(|next| next.header.first);
        if let Some(next) = next.filter(|next| *next <= through + 1) {
            tail.last = next - 1;
            continue;
        }
        let bytes = fs::read(&found.path).doing(|| format!("reading {}", found.path.display()))?;
        let mut position = found.header.first;
        let mut open_end = Vec::new();
        // Records of an append whose last one was not read yet.
        let mut append = Vec::new();
        let mut offset = SEGMENT_HEADER;
        while next.is_none_or(|next| position < next) {
            let rest = bytes.get(offset..).unwrap_or_default();
            let Some(frame) = frame::parse(rest, found.header.id) else {
                let damaged = next.is_some() || frame::later_barrier(rest, found.header.id).is_some();
                // State knows what is damaged here; what lies behind it may be needed all the same.
                if damaged {
                    return Err(OpenError::Damaged {
                        segment: found.header.id,
                        offset: offset as u64,
                        position,
                    });
                }
                break;
            };
            offset += frame.len();
            position += 1;
            append.push((frame, rest));
            if frame.more {
                continue;
            }
            let first = position - append.len() as u64;
            for ((frame, rest), position) in append.drain(..).zip(first..) {
                if next.is_none() {
                    open_end.push(OwnedFrame {
                        bytes: rest.get(..frame.len()).unwrap_or_default().to_vec(),
                    });
                }
                tail.take(&frame, position, through, applied)?;
            }
        }
        tail.last = position - 1 - append.len() as u64;
        if next.is_none() {
            tail.open_end = Some((found.header.first, open_end));
        }
    }
    Ok(tail)
}

impl Tail {
    fn take(&mut self, frame: &Frame<'_>, position: u64, through: u64, applied: &[u64]) -> Result<(), OpenError> {
        self.last_id = self.last_id.max(Some(frame.id));
        if position <= through {
            return Ok(());
        }
        let record = record(frame, position, Bytes::copy_from_slice(frame.payload))?;
        if let Some(Life::Begins(message)) = record.event.life() {
            self.last_id = self.last_id.max(Some(message.event()));
        }
        let partition = usize::from(record.partition.number());
        if applied.get(partition).is_some_and(|applied| position <= *applied) {
            return Ok(());
        }
        if let Some(last) = self.partitions.get_mut(partition) {
            *last = position;
        }
        let id = PublicId {
            partition: record.partition,
            event: record.id,
        };
        self.claims
            .extend(record.event.claims().iter().map(|claim| (*claim, id)));
        match record.event.life() {
            Some(Life::Begins(message)) => {
                self.decided.insert(message);
            }
            Some(Life::Ends(message)) => {
                self.decided.remove(&message);
                self.ended.insert(message);
            }
            None => {}
        }
        Ok(())
    }
}

/// Reads what a frame means. Err: this version does not know it, which must stop the start.
fn record(frame: &Frame<'_>, position: u64, payload: Bytes) -> Result<Record, OpenError> {
    if frame.version != frame::VERSION {
        return Err(OpenError::NewerRecord {
            position,
            version: frame.version,
        });
    }
    let partition = PartitionId::new(frame.partition).ok_or(OpenError::NewerRecord {
        position,
        version: frame.version,
    })?;
    let event = Event::decode(frame.kind, &payload).map_err(|source| OpenError::Event { position, source })?;
    Ok(Record {
        position: Position(position),
        id: frame.id,
        partition,
        wall: frame.wall,
        event,
        payload,
        kind: frame.kind,
    })
}

/// The records that state lacks, in the order of the journal. Each is to be folded again; nothing else may be appended
/// about a partition before that.
pub struct Replay {
    segments: std::vec::IntoIter<Found>,
    applied: Vec<u64>,
    last: u64,
    current: Option<Reading>,
}

impl fmt::Debug for Replay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Replay")
            .field("last", &self.last)
            .finish_non_exhaustive()
    }
}

struct Reading {
    id: u64,
    bytes: Bytes,
    offset: usize,
    position: u64,
}

impl Replay {
    /// Replays `segments` up to `last`, but for what is `applied` in each partition.
    pub(crate) fn new(segments: Vec<Found>, applied: Vec<u64>, through: u64, last: u64) -> Self {
        let needed = segments
            .iter()
            .rposition(|found| found.header.first <= through + 1)
            .unwrap_or(0);
        Self {
            segments: segments.into_iter().skip(needed).collect::<Vec<_>>().into_iter(),
            applied,
            last,
            current: None,
        }
    }

    /// Returns the last position that it goes to.
    pub const fn last(&self) -> Position {
        Position(self.last)
    }

    fn read(&mut self) -> Result<Option<Record>, OpenError> {
        loop {
            let Some(reading) = &mut self.current else {
                let Some(found) = self.segments.next() else {
                    return Ok(None);
                };
                let bytes = fs::read(&found.path).doing(|| format!("reading {}", found.path.display()))?;
                self.current = Some(Reading {
                    id: found.header.id,
                    bytes: bytes.into(),
                    offset: SEGMENT_HEADER,
                    position: found.header.first,
                });
                continue;
            };
            let ends = self
                .segments
                .as_slice()
                .first()
                .map_or(self.last, |next| next.header.first - 1);
            if reading.position > ends.min(self.last) {
                self.current = None;
                continue;
            }
            let rest = reading.bytes.get(reading.offset..).unwrap_or_default();
            let Some(frame) = frame::parse(rest, reading.id) else {
                return Err(OpenError::Damaged {
                    segment: reading.id,
                    offset: reading.offset as u64,
                    position: reading.position,
                });
            };
            let payload_at = reading.offset + frame::HEADER;
            let payload = reading.bytes.slice(payload_at..payload_at + frame.payload.len());
            let position = reading.position;
            let applied = self.applied.get(usize::from(frame.partition)).copied().unwrap_or(0);
            let result = (position > applied)
                .then(|| record(&frame, position, payload))
                .transpose();
            reading.offset += frame.len();
            reading.position += 1;
            if let Some(record) = result? {
                return Ok(Some(record));
            }
        }
    }
}

impl Iterator for Replay {
    type Item = Result<Record, ReplayError>;

    /// Reads the next record. Err: the disk fails now where it did not a moment ago, when the store was opened.
    fn next(&mut self) -> Option<Self::Item> {
        let result = self.read().transpose();
        if matches!(result, Some(Err(_))) {
            self.segments = Vec::new().into_iter();
            self.current = None;
        }
        result
    }
}
