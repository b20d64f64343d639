//! Going on from what a crash left: the last segments are copied or kept, and new ones begun.

use std::collections::HashSet;
use std::fs;
use std::io;
use std::path::Path;
use std::sync::Arc;

use types::id::MessageId;
use types::time::{Clock, Timestamp};

use super::Dirs;
use crate::commit::Track;
use crate::error::{Doing, OpenError};
use crate::frame;
use crate::journal::{SegmentInfo, Segments};
use crate::medium::Medium;
use crate::metrics::Metrics;
use crate::recovery::{Files, Found, OwnedFrame, Tail};
use crate::segment::{Fresh, Header, Kind, Maker, SEGMENT_HEADER};
use crate::settings::Settings;
use crate::spool::Shelf;
use crate::spool_scan;
use crate::state::Tables;

/// What both kinds of segments need to go on.
pub(super) struct Recovered<'a> {
    pub(super) settings: &'a Settings,
    pub(super) clock: &'a Arc<dyn Clock>,
    pub(super) metrics: &'a Metrics,
    pub(super) dirs: &'a Dirs,
    pub(super) incarnation: [u8; 16],
    pub(super) tail: &'a Tail,
}

impl Recovered<'_> {
    /// Copies the journal's last segment into a new one, to be filled further. Returns the segments, oldest first.
    pub(super) fn journal(&self, files: Files) -> Result<(Track, Arc<Segments>, Vec<Found>), OpenError> {
        let maker = Arc::new(self.maker(Kind::Journal, &self.dirs.journal, files.next_id));
        let mut begun = files.begun;
        let origin = begun.pop();
        let none = Vec::new();
        let (first, frames) = self
            .tail
            .open_end
            .as_ref()
            .map_or((self.tail.last + 1, &none), |(first, frames)| (*first, frames));
        let bytes: usize = frames.iter().map(|frame| frame.bytes.len()).sum();
        let fresh = maker
            .make_now((SEGMENT_HEADER + bytes) as u64)
            .doing(|| "making a journal segment".to_owned())?;
        let mut header = self.header(Kind::Journal, fresh.id, first);
        if let Some(origin) = &origin {
            // Its records are as old as they were.
            header.begun = origin.header.begun;
        }
        let end = copy_frames(maker.medium(), &fresh, &header, frames);
        let end = end.doing(|| format!("writing journal segment {}", fresh.id))?;
        begun.push(Found {
            header,
            path: Kind::Journal.path(&self.dirs.journal, fresh.id),
        });
        for unused in files.unused.into_iter().chain(origin.map(|origin| origin.path)) {
            maker.recycle(unused);
        }
        let list = begun
            .iter()
            .map(|found| SegmentInfo {
                id: found.header.id,
                first: found.header.first,
                bytes: fs::metadata(&found.path).map_or(0, |metadata| metadata.len()),
                begun: found.header.begun,
            })
            .collect();
        let segments = Segments::new(list, Arc::clone(&maker), self.metrics.clone());
        let track = self.track(maker, fresh, end, header.begun);
        Ok((track, Arc::new(segments), begun))
    }

    /// Finds the live messages again.
    pub(super) fn spool(&self, files: Files, tables: &Arc<Tables>) -> Result<(Track, Arc<Shelf>), OpenError> {
        let maker = Arc::new(self.maker(Kind::Spool, &self.dirs.spool, files.next_id));
        let places = Arc::new(Shelf::new(Arc::clone(&maker), self.metrics.clone()));
        let live = self.live(tables)?;
        let (fresh, end) = spool_scan::recover(&files.begun, &live, &places, &maker, |id| {
            self.header(Kind::Spool, id, 0)
        })?;
        let origin = files.begun.last().map(|found| found.path.clone());
        for unused in files.unused.into_iter().chain(origin) {
            maker.recycle(unused);
        }
        let begun = self.clock.now();
        Ok((self.track(maker, fresh, end, begun), places))
    }

    /// Returns the messages that are not terminal: those in state's outbox, and what the journal says beyond it.
    fn live(&self, tables: &Tables) -> Result<HashSet<MessageId>, OpenError> {
        let mut live = self.tail.decided.clone();
        for message in tables.outbox() {
            live.insert(message?);
        }
        live.retain(|message| !self.tail.ended.contains(message));
        Ok(live)
    }

    fn maker(&self, kind: Kind, dir: &Path, next_id: u64) -> Maker {
        let medium = Arc::clone(&self.settings.medium);
        Maker::new(kind, dir.to_owned(), medium, self.settings.segment_bytes, next_id)
    }

    fn header(&self, kind: Kind, id: u64, first: u64) -> Header {
        Header {
            kind,
            incarnation: self.incarnation,
            id,
            first,
            begun: self.clock.now(),
        }
    }

    fn track(&self, maker: Arc<Maker>, fresh: Fresh, at: u64, begun: Timestamp) -> Track {
        Track {
            maker,
            clock: Arc::clone(self.clock),
            incarnation: self.incarnation,
            file: fresh.file,
            id: fresh.id,
            capacity: fresh.capacity,
            at,
            begun,
        }
    }
}

/// Writes and syncs the copy of a journal segment. Returns the offset after its last record.
///
/// The header is written when the records are synced: a segment that has one supersedes its origin.
fn copy_frames(medium: &dyn Medium, fresh: &Fresh, header: &Header, frames: &[OwnedFrame]) -> io::Result<u64> {
    let mut bytes = Vec::new();
    for (i, frame) in frames.iter().enumerate() {
        let start = bytes.len();
        bytes.extend_from_slice(&frame.bytes);
        frame::reseal(bytes.get_mut(start..).unwrap_or_default(), fresh.id, i == 0);
    }
    if !bytes.is_empty() {
        medium.write_at(&fresh.file, &bytes, SEGMENT_HEADER as u64)?;
        medium.sync(&fresh.file)?;
    }
    medium.write_at(&fresh.file, &header.encode(), 0)?;
    medium.sync(&fresh.file)?;
    Ok((SEGMENT_HEADER + bytes.len()) as u64)
}
