//! The spool: the final bytes of messages between signing and their end.
//!
//! A message is appended once, read when it is tried again, and released when nothing more happens to it. In memory stands
//! only where each message lies: one map entry of 16 bytes, at most 40 with the map's slack, for each. A segment whose
//! messages are all released is freed; one that few messages keep alive is emptied by copying them forward.
//!
//! The spool is not the truth: a message whose bytes are missing or damaged is rendered again from its decision.
//! `docs/formats/spool.md` draws the bytes.

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use crc32fast::Hasher;
use foldhash::fast::FixedState;
use minicbor::{Decode, Encode};
use types::address::EmailAddress;
use types::id::{MessageId, PartitionId};

use crate::commit::Commits;
use crate::frame::{put, u16_at, u32_at, u64_at};
use crate::journal::Closed;
use crate::metrics::Metrics;
use crate::segment::{Kind, Maker};
use crate::sync::lock;

/// Bytes of a spool record before its envelope.
pub(crate) const SPOOL_HEADER: usize = 28;
const VERSION: u8 = 1;
/// Flag: a copy of a message that was spooled before.
const MOVED: u8 = 1;
/// Maps grow one at a time, so that doubling all of them does not need twice the memory at once.
const SHARDS: usize = 16;
/// What one read fetches at first: header, envelope and most messages.
const READ_AHEAD: usize = 16 << 10;

/// A message as it is spooled: its envelope and its final bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spooled {
    /// Its id.
    pub message: MessageId,
    /// The partition that its events go to.
    pub partition: PartitionId,
    /// The return path; `None` is the null reverse-path (RFC 5321 §4.5.5).
    pub reverse_path: Option<EmailAddress>,
    /// Who it goes to.
    pub recipient: EmailAddress,
    /// The signed RFC 5322 message with CRLF line ends, not dot-stuffed.
    pub bytes: Bytes,
}

/// Why a spooled message could not be read. Either way it can be rendered again from its decision.
#[derive(Debug, thiserror::Error)]
pub enum SpoolError {
    /// The bytes on disk are not those that were written.
    #[error("message {message:?} is damaged at offset {offset} of spool segment {segment}")]
    Damaged {
        /// Which message.
        message: MessageId,
        /// In which segment.
        segment: u32,
        /// Where its record starts.
        offset: u32,
    },
    /// The disk did not answer.
    #[error("message {message:?} could not be read")]
    Io {
        /// Which message.
        message: MessageId,
        /// What the system says.
        #[source]
        source: io::Error,
    },
}

#[derive(Encode, Decode)]
#[cbor(map)]
struct Envelope {
    #[n(0)]
    reverse_path: Option<EmailAddress>,
    #[n(1)]
    recipient: EmailAddress,
}

/// The spool.
#[derive(Debug)]
pub struct Spool {
    pub(crate) commits: Arc<Commits>,
    pub(crate) shelf: Arc<Shelf>,
}

impl Spool {
    /// Appends a message. It is durable once any journal record appended after it is, and not before.
    ///
    /// Waits only while the pending buffer is over its bound. A second append of a message replaces the first.
    pub fn append(&self, spooled: &Spooled) -> Result<(), Closed> {
        self.commits
            .append_spool(Some(spooled.message), &encode(spooled, false))
    }

    /// Reads a message, or `None` if it was never spooled, released, or lost with an unsynced tail. Blocks on the disk.
    pub fn read(&self, message: MessageId) -> Result<Option<Spooled>, SpoolError> {
        self.locate(message, |place| place.read(message, true))
    }

    /// Returns whether a message is spooled, without looking at the disk.
    pub fn contains(&self, message: MessageId) -> bool {
        self.shelf.find(message).is_some() || self.commits.is_unplaced(message)
    }

    /// Reads the domain of a message's recipient, or `None` if it is not spooled or not readable. Blocks on the disk.
    pub fn domain(&self, message: MessageId) -> Option<String> {
        let spooled = self.locate(message, |place| place.read(message, false)).ok()??;
        Some(spooled.recipient.domain().to_owned())
    }

    /// Gives a message's place back; its bytes may be overwritten from now on. Call it when the event that ended the
    /// message is durable. Unknown messages are ignored.
    pub fn release(&self, message: MessageId) {
        if !self.shelf.remove(message) && !self.commits.release_unplaced(message) {
            // It may have been placed between the two looks.
            self.shelf.remove(message);
        }
    }

    /// Returns how many messages are live.
    pub fn len(&self) -> usize {
        self.shelf.shards.iter().map(|shard| lock(shard).len()).sum()
    }

    /// Returns whether no message is live.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Copies the live messages of one nearly dead segment forward, if there are `segments_min` or more, so that it can be
    /// freed once the copies are durable.
    pub(crate) fn move_stragglers(&self, segments_min: usize) {
        let Some((segment, file)) = self.shelf.straggling(segments_min) else {
            return;
        };
        for (offset, head) in crate::spool_scan::heads(&file, u64::from(segment), crate::spool_scan::Damage::Skip) {
            if !self.shelf.lies_at(head.message, segment, offset) {
                continue;
            }
            if let Ok(Some(spooled)) = self.read(head.message)
                && self.commits.append_spool(None, &encode(&spooled, true)).is_err()
            {
                return;
            }
        }
    }

    /// Finds the message's place and reads there, again if it was moved meanwhile.
    fn locate(
        &self,
        message: MessageId,
        read: impl Fn(&Place) -> Result<Option<Spooled>, SpoolError>,
    ) -> Result<Option<Spooled>, SpoolError> {
        loop {
            let Some(place) = self.shelf.find(message) else {
                if self.commits.await_placed(message) {
                    continue;
                }
                // It may have been placed between the two looks.
                match self.shelf.find(message) {
                    Some(_) => continue,
                    None => return Ok(None),
                }
            };
            let result = read(&place);
            if matches!(result, Ok(Some(_))) {
                return result;
            }
            match self.shelf.find(message) {
                Some(now) if (now.segment, now.offset) == (place.segment, place.offset) => {
                    if result.is_err() {
                        self.shelf.metrics.spool_damaged.inc();
                    }
                    return result;
                }
                _ => {}
            }
        }
    }
}

/// Where every live message lies, and how many each segment holds.
#[derive(Debug)]
pub(crate) struct Shelf {
    shards: Vec<Mutex<HashMap<u64, Spot, FixedState>>>,
    segments: Mutex<BTreeMap<u32, Usage>>,
    maker: Arc<Maker>,
    metrics: Metrics,
}

/// Segment and offset of a message's record.
type Spot = (u32, u32);

/// What is known of a spool segment.
#[derive(Debug)]
struct Usage {
    file: Arc<File>,
    messages: u32,
    live: u32,
    bytes: u64,
    /// Whether nothing more is written to it.
    sealed: bool,
}

/// Where a message lies.
pub(crate) struct Place {
    pub(crate) segment: u32,
    pub(crate) offset: u32,
    file: Arc<File>,
}

impl Shelf {
    pub(crate) fn new(maker: Arc<Maker>, metrics: Metrics) -> Self {
        Self {
            shards: (0..SHARDS).map(|_| Mutex::default()).collect(),
            segments: Mutex::default(),
            maker,
            metrics,
        }
    }

    /// Starts counting a segment; those before it are full.
    pub(crate) fn begin(&self, id: u64, file: Arc<File>) {
        let mut segments = lock(&self.segments);
        for usage in segments.values_mut() {
            usage.sealed = true;
        }
        let usage = Usage {
            file,
            messages: 0,
            live: 0,
            bytes: 0,
            sealed: false,
        };
        segments.insert(segment_number(id), usage);
        self.sweep(&mut segments);
    }

    /// Says where a message lies from now on. Returns the segment of its older copy, which still counts it: see
    /// [`Shelf::leave`]. A `moved` message that was released meanwhile stays forgotten.
    pub(crate) fn put(&self, outline: Outline, segment: u64, offset: u64) -> Option<u32> {
        let segment = segment_number(segment);
        let offset = u32::try_from(offset).expect("segments are at most 4 GiB: checked when they are made");
        let mut shard = lock(self.shard(outline.message)?);
        if outline.moved && !shard.contains_key(&outline.message.raw()) {
            return None;
        }
        if let Some(usage) = lock(&self.segments).get_mut(&segment) {
            usage.messages += 1;
            usage.live += 1;
            usage.bytes += outline.len as u64;
        }
        self.metrics.spool_messages.inc();
        shard
            .insert(outline.message.raw(), (segment, offset))
            .map(|(older, _)| older)
    }

    /// Counts a record that is not live, found at a start.
    pub(crate) fn count_dead(&self, segment: u64, len: u64) {
        if let Some(usage) = lock(&self.segments).get_mut(&segment_number(segment)) {
            usage.messages += 1;
            usage.bytes += len;
        }
    }

    /// Takes one message off a segment's count; frees the segment if it was the last.
    pub(crate) fn leave(&self, segment: u32) {
        let mut segments = lock(&self.segments);
        if let Some(usage) = segments.get_mut(&segment) {
            usage.live = usage.live.saturating_sub(1);
            self.metrics.spool_messages.dec();
            if usage.live == 0 && usage.sealed {
                self.sweep(&mut segments);
            }
        }
    }

    /// Forgets a message. False if it was not there.
    pub(crate) fn remove(&self, message: MessageId) -> bool {
        let removed = self.shard(message).and_then(|shard| lock(shard).remove(&message.raw()));
        if let Some((segment, _)) = removed {
            self.leave(segment);
        }
        removed.is_some()
    }

    pub(crate) fn find(&self, message: MessageId) -> Option<Place> {
        let (segment, offset) = *lock(self.shard(message)?).get(&message.raw())?;
        let file = Arc::clone(&lock(&self.segments).get(&segment)?.file);
        Some(Place { segment, offset, file })
    }

    /// Returns a full segment that at most one message in eight keeps alive, if there are `segments_min` or more.
    pub(crate) fn straggling(&self, segments_min: usize) -> Option<(u32, Arc<File>)> {
        let segments = lock(&self.segments);
        if segments.len() < segments_min {
            return None;
        }
        segments
            .iter()
            .find(|(_, usage)| usage.sealed && usage.live > 0 && usage.live <= usage.messages / 8)
            .map(|(id, usage)| (*id, Arc::clone(&usage.file)))
    }

    /// Returns whether a message still lies at that place.
    pub(crate) fn lies_at(&self, message: MessageId, segment: u32, offset: u64) -> bool {
        self.find(message)
            .is_some_and(|place| place.segment == segment && u64::from(place.offset) == offset)
    }

    fn shard(&self, message: MessageId) -> Option<&Mutex<HashMap<u64, Spot, FixedState>>> {
        // The low bits are a sequence within the millisecond, the high ones time: both spread.
        self.shards
            .get(usize::try_from((message.raw() ^ (message.raw() >> 22)) % SHARDS as u64).ok()?)
    }

    /// Frees full segments without live messages.
    fn sweep(&self, segments: &mut BTreeMap<u32, Usage>) {
        segments.retain(|id, usage| {
            let kept = usage.live > 0 || !usage.sealed;
            if !kept {
                self.maker.recycle(Kind::Spool.path(self.maker.dir(), u64::from(*id)));
            }
            kept
        });
        let live: u64 = segments
            .values()
            .map(|usage| usage.bytes * u64::from(usage.live) / u64::from(usage.messages.max(1)))
            .sum();
        self.metrics
            .spool_live_bytes
            .set(i64::try_from(live).unwrap_or(i64::MAX));
        self.metrics
            .spool_segments
            .set(i64::try_from(segments.len()).unwrap_or(i64::MAX));
    }
}

/// Spool segment ids fit 32 bits: at one segment of 64 MiB a second they last 136 years.
pub(crate) fn segment_number(id: u64) -> u32 {
    u32::try_from(id).expect("spool segment ids fit 32 bits for a century")
}

impl Place {
    /// Reads the message here; without its bytes if only the envelope is asked for. `None`: another one lies here.
    fn read(&self, message: MessageId, whole: bool) -> Result<Option<Spooled>, SpoolError> {
        let damaged = || SpoolError::Damaged {
            message,
            segment: self.segment,
            offset: self.offset,
        };
        let mut bytes = vec![0; READ_AHEAD];
        let read = read_up_to(&self.file, &mut bytes, u64::from(self.offset))
            .map_err(|source| SpoolError::Io { message, source })?;
        bytes.truncate(read);
        let head = Head::parse(&bytes, u64::from(self.segment)).ok_or_else(damaged)?;
        if head.message != message {
            return Err(damaged());
        }
        let total = SPOOL_HEADER + head.body_len;
        if whole && bytes.len() < total {
            let fetched = bytes.len();
            bytes.resize(total, 0);
            let rest = bytes.get_mut(fetched..).unwrap_or_default();
            self.file
                .read_exact_at(rest, u64::from(self.offset) + fetched as u64)
                .map_err(|source| SpoolError::Io { message, source })?;
        }
        bytes.truncate(total);
        let bytes = Bytes::from(bytes);
        let body = bytes.get(SPOOL_HEADER..).unwrap_or_default();
        if whole && crc32fast::hash(body) != head.body_crc {
            return Err(damaged());
        }
        let envelope = body.get(..head.envelope_len).ok_or_else(damaged)?;
        let envelope: Envelope = minicbor::decode(envelope).map_err(|_| damaged())?;
        Ok(Some(Spooled {
            message,
            partition: head.partition,
            reverse_path: envelope.reverse_path,
            recipient: envelope.recipient,
            bytes: if whole {
                bytes.slice(SPOOL_HEADER + head.envelope_len..)
            } else {
                Bytes::new()
            },
        }))
    }
}

/// A spool record's header.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Head {
    pub(crate) message: MessageId,
    pub(crate) partition: PartitionId,
    pub(crate) body_len: usize,
    pub(crate) body_crc: u32,
    envelope_len: usize,
}

impl Head {
    /// Reads the header at the start of `bytes`, or `None` if there is no valid one of this segment.
    pub(crate) fn parse(bytes: &[u8], segment: u64) -> Option<Self> {
        let header = bytes.get(..SPOOL_HEADER)?;
        if *header.get(12)? != VERSION || header_crc(header, segment) != u32_at(header, 4)? {
            return None;
        }
        Some(Self {
            message: MessageId::from_raw(u64_at(header, 16)?),
            partition: PartitionId::new(u16_at(header, 14)?)?,
            body_len: usize::try_from(u32_at(header, 0)?).ok()?,
            body_crc: u32_at(header, 8)?,
            envelope_len: usize::from(u16_at(header, 24)?),
        })
    }
}

/// Encodes a record; its header's checksum is left for [`seal_spool_frame`].
pub(crate) fn encode(spooled: &Spooled, moved: bool) -> Vec<u8> {
    let mut frame = Vec::with_capacity(SPOOL_HEADER + 128 + spooled.bytes.len());
    frame.resize(SPOOL_HEADER, 0);
    let envelope = Envelope {
        reverse_path: spooled.reverse_path.clone(),
        recipient: spooled.recipient.clone(),
    };
    minicbor::encode(&envelope, &mut frame).expect("writing CBOR to a vector cannot fail");
    let envelope_len = u16::try_from(frame.len() - SPOOL_HEADER).expect("two addresses are far below 64 KiB");
    frame.extend_from_slice(&spooled.bytes);
    let body = frame.get(SPOOL_HEADER..).unwrap_or_default();
    let body_len = u32::try_from(body.len()).expect("messages are far below 4 GiB");
    let body_crc = crc32fast::hash(body);
    put(&mut frame, 0, &body_len.to_le_bytes());
    put(&mut frame, 8, &body_crc.to_le_bytes());
    put(&mut frame, 12, &[VERSION, if moved { MOVED } else { 0 }]);
    put(&mut frame, 14, &spooled.partition.number().to_le_bytes());
    put(&mut frame, 16, &spooled.message.raw().to_le_bytes());
    put(&mut frame, 24, &envelope_len.to_le_bytes());
    frame
}

/// Writes the header's checksum of the first frame in `bytes`, for the segment it goes to.
pub(crate) fn seal_spool_frame(bytes: &mut [u8], segment: u64) {
    let crc = header_crc(bytes.get(..SPOOL_HEADER).unwrap_or_default(), segment).to_le_bytes();
    put(bytes, 4, &crc);
}

/// A frame on its way to a segment.
#[derive(Clone, Copy)]
pub(crate) struct Outline {
    pub(crate) message: MessageId,
    pub(crate) len: usize,
    /// Whether it is a copy of a live message, which counts only while the message lives.
    pub(crate) moved: bool,
}

/// Returns what the first frame in `bytes` says of itself. Nothing is checked.
pub(crate) fn outline(bytes: &[u8]) -> Option<Outline> {
    Some(Outline {
        message: MessageId::from_raw(u64_at(bytes, 16)?),
        len: SPOOL_HEADER + usize::try_from(u32_at(bytes, 0)?).ok()?,
        moved: bytes.get(13)? & MOVED != 0,
    })
}

fn header_crc(header: &[u8], segment: u64) -> u32 {
    let mut hasher = Hasher::new();
    hasher.update(header.get(..4).unwrap_or_default());
    hasher.update(header.get(8..SPOOL_HEADER).unwrap_or_default());
    hasher.update(&segment.to_le_bytes());
    hasher.finalize()
}

/// Reads until `bytes` is full or the file ends.
pub(crate) fn read_up_to(file: &File, bytes: &mut [u8], offset: u64) -> io::Result<usize> {
    let mut read = 0;
    while let Some(rest) = bytes.get_mut(read..).filter(|rest| !rest.is_empty()) {
        match file.read_at(rest, offset + read as u64) {
            Ok(0) => break,
            Ok(some) => read += some,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(read)
}
