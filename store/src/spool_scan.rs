//! What is made of the spool at a start: live messages are found again, those of the last segment are copied.

use std::collections::HashSet;
use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use types::id::MessageId;

use crate::error::{Doing, OpenError};
use crate::medium::Medium;
use crate::recovery::Found;
use crate::segment::{Fresh, Header, Kind, Maker, SEGMENT_HEADER};
use crate::spool::{Head, Outline, SPOOL_HEADER, Shelf, read_up_to, seal_spool_frame};

/// What is done where no valid record header is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Damage {
    /// The segment ends here: a torn tail.
    Cut,
    /// A later header is looked for: the segment was synced whole.
    Skip,
}

/// Returns offset and header of the records in a segment file, in order. Bodies are not looked at.
pub(crate) fn heads(file: &File, segment: u64, damage: Damage) -> Vec<(u64, Head)> {
    let mut found = Vec::new();
    let mut offset = SEGMENT_HEADER as u64;
    let mut bytes = [0; SPOOL_HEADER];
    while read_up_to(file, &mut bytes, offset).is_ok_and(|read| read == SPOOL_HEADER) {
        if let Some(head) = Head::parse(&bytes, segment) {
            found.push((offset, head));
            offset += (SPOOL_HEADER + head.body_len) as u64;
            continue;
        }
        match damage {
            Damage::Skip => match next_head(file, segment, offset + 1) {
                Some(next) => offset = next,
                None => break,
            },
            Damage::Cut => break,
        }
    }
    found
}

/// Looks for the next valid header from `offset` on.
fn next_head(file: &File, segment: u64, offset: u64) -> Option<u64> {
    let mut window = vec![0; 64 << 10];
    let mut at = offset;
    loop {
        let read = read_up_to(file, &mut window, at).ok()?;
        let starts = (read + 1).checked_sub(SPOOL_HEADER)?;
        let hit = (0..starts).find(|start| {
            window
                .get(*start..read)
                .is_some_and(|rest| Head::parse(rest, segment).is_some())
        });
        if let Some(start) = hit {
            return Some(at + start as u64);
        }
        if starts == 0 {
            return None;
        }
        at += starts as u64;
    }
}

/// Fills `shelf` with the live messages of `segments`; those of the last segment are copied into a new one, which is
/// synced and returned with the offset after its last record. The last segment's file may go then.
pub(crate) fn recover(
    segments: &[Found],
    live: &HashSet<MessageId>,
    shelf: &Shelf,
    maker: &Maker,
    header: impl FnOnce(u64) -> Header,
) -> Result<(Fresh, u64), OpenError> {
    debug_assert_eq!(maker.kind(), Kind::Spool, "the spool's own maker");
    let mut copies = Vec::new();
    for (i, found) in segments.iter().enumerate() {
        let id = found.header.id;
        let last = i + 1 == segments.len();
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .open(&found.path)
            .doing(|| format!("opening {}", found.path.display()))?;
        let file = Arc::new(file);
        if !last {
            shelf.begin(id, Arc::clone(&file));
        }
        for (offset, head) in heads(&file, id, if last { Damage::Cut } else { Damage::Skip }) {
            let len = SPOOL_HEADER + head.body_len;
            let outline = Outline {
                message: head.message,
                len,
                moved: false,
            };
            if !live.contains(&head.message) {
                shelf.count_dead(id, len as u64);
            } else if !last {
                if let Some(older) = shelf.put(outline, id, offset) {
                    shelf.leave(older);
                }
            } else if let Some(bytes) = whole(&file, offset, len, head.body_crc) {
                copies.push((outline, bytes));
            }
        }
    }
    let bytes: usize = copies.iter().map(|(outline, _)| outline.len).sum();
    let fresh = maker
        .make_now((SEGMENT_HEADER + bytes) as u64)
        .doing(|| "making a spool segment".to_owned())?;
    let written = write(maker.medium(), &fresh, &header(fresh.id), &mut copies);
    let end = written.doing(|| format!("writing spool segment {}", fresh.id))?;
    shelf.begin(fresh.id, Arc::clone(&fresh.file));
    let mut offset = SEGMENT_HEADER as u64;
    for (outline, _) in copies {
        if let Some(older) = shelf.put(outline, fresh.id, offset) {
            shelf.leave(older);
        }
        offset += outline.len as u64;
    }
    Ok((fresh, end))
}

fn write(
    medium: &dyn Medium,
    fresh: &Fresh,
    header: &Header,
    copies: &mut [(Outline, Vec<u8>)],
) -> std::io::Result<u64> {
    let mut at = SEGMENT_HEADER as u64;
    for (_, bytes) in copies {
        seal_spool_frame(bytes, fresh.id);
        medium.write_at(&fresh.file, bytes, at)?;
        at += bytes.len() as u64;
    }
    if at > SEGMENT_HEADER as u64 {
        medium.sync(&fresh.file)?;
    }
    // The header comes last: a segment that has one is taken for whole.
    medium.write_at(&fresh.file, &header.encode(), 0)?;
    medium.sync(&fresh.file)?;
    Ok(at)
}

fn whole(file: &File, offset: u64, len: usize, body_crc: u32) -> Option<Vec<u8>> {
    let mut bytes = vec![0; len];
    file.read_exact_at(&mut bytes, offset).ok()?;
    (crc32fast::hash(bytes.get(SPOOL_HEADER..)?) == body_crc).then_some(bytes)
}
