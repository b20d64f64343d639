//! How one journal record lies in a segment. `docs/formats/journal.md` draws the bytes.
//!
//! The checksum is made in two steps: whoever appends computes it over payload and header, the commit thread continues it
//! over flags and segment id once it knows where the frame goes. So the thread that everyone waits for touches a few
//! bytes per record, and a stale record in a recycled file can never pass for one of the file's new life.

use crc32fast::Hasher;
use types::id::{EventId, PartitionId};
use types::time::Timestamp;

/// Bytes of a record before its payload.
pub(crate) const HEADER: usize = 30;
/// The version of the record format that this code writes.
pub(crate) const VERSION: u8 = 1;
/// Flag: everything before this record was synced before this record was written.
pub(crate) const BARRIER: u8 = 1;
/// Flag: the next record is of the same append. An append whose last record is missing at the journal's end was told to nobody, and is
/// cut whole.
pub(crate) const MORE: u8 = 2;
/// Payloads are bounded far below what a length can say, so that a damaged length is seen as such.
pub(crate) const PAYLOAD_MAX: usize = 256 << 20;

/// One valid record, borrowed from a segment's bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Frame<'a> {
    pub(crate) kind: u16,
    pub(crate) version: u8,
    pub(crate) partition: u16,
    pub(crate) id: EventId,
    pub(crate) wall: Timestamp,
    /// Whether the next record is of the same append.
    pub(crate) more: bool,
    pub(crate) payload: &'a [u8],
}

impl Frame<'_> {
    /// Returns how many bytes the record takes in its segment.
    pub(crate) const fn len(&self) -> usize {
        HEADER + self.payload.len()
    }
}

/// Appends a record to `out`, its checksum begun but not finished. `write` appends the payload.
pub(crate) fn encode(
    out: &mut Vec<u8>,
    kind: u16,
    partition: PartitionId,
    id: EventId,
    wall: Timestamp,
    write: impl FnOnce(&mut Vec<u8>),
) {
    let start = out.len();
    out.extend_from_slice(&[0; 8]);
    out.extend_from_slice(&kind.to_le_bytes());
    out.push(VERSION);
    out.push(0);
    out.extend_from_slice(&partition.number().to_le_bytes());
    out.extend_from_slice(&id.raw().to_le_bytes());
    out.extend_from_slice(&wall.as_millis().to_le_bytes());
    write(out);
    let Some((header, payload)) = out
        .get_mut(start..)
        .and_then(|frame| frame.split_at_mut_checked(HEADER))
    else {
        unreachable!("the header was appended just above")
    };
    let length = u32::try_from(payload.len()).unwrap_or(u32::MAX).to_le_bytes();
    put(header, 0, &length);
    let begun = begin(header, payload).to_le_bytes();
    put(header, 4, &begun);
}

/// Finishes the checksum of the first frame in `bytes` for the segment it is written to.
pub(crate) fn seal(bytes: &mut [u8], segment: u64, barrier: bool) {
    let more = bytes.get(11).copied().unwrap_or_default() & MORE;
    let flags = if barrier { BARRIER | more } else { more };
    let crc = finish(u32_at(bytes, 4).unwrap_or(0), flags, segment).to_le_bytes();
    put(bytes, 4, &crc);
    put(bytes, 11, &[flags]);
}

/// Says of the first frame in `bytes`, which is not sealed yet, that the next one is of the same append.
pub(crate) fn join(bytes: &mut [u8]) {
    put(bytes, 11, &[MORE]);
}

/// Returns how many bytes the append takes that begins with the first frame in `bytes`, or `None` if there is no header.
pub(crate) fn append_len(bytes: &[u8]) -> Option<usize> {
    let mut len = 0;
    loop {
        let rest = bytes.get(len..).unwrap_or_default();
        len += total_len(rest)?;
        if rest.get(11).copied().unwrap_or_default() & MORE == 0 {
            return Some(len);
        }
    }
}

/// Makes the whole checksum of one valid frame anew, for the segment it is copied to.
pub(crate) fn reseal(bytes: &mut [u8], segment: u64, barrier: bool) {
    let begun = bytes
        .split_at_checked(HEADER)
        .map_or(0, |(header, payload)| begin(header, payload));
    put(bytes, 4, &begun.to_le_bytes());
    seal(bytes, segment, barrier);
}

/// Returns how many bytes the first frame in `bytes` takes, if its header is there. Nothing is checked.
pub(crate) fn total_len(bytes: &[u8]) -> Option<usize> {
    Some(HEADER + usize::try_from(u32_at(bytes, 0)?).ok()?)
}

/// Reads the record at the start of `bytes`, or `None` if there is no valid one of this segment.
pub(crate) fn parse(bytes: &[u8], segment: u64) -> Option<Frame<'_>> {
    let (header, rest) = bytes.split_at_checked(HEADER)?;
    let length = usize::try_from(u32_at(header, 0)?).ok()?;
    if length == 0 || length > PAYLOAD_MAX {
        return None;
    }
    let payload = rest.get(..length)?;
    let flags = *header.get(11)?;
    if finish(begin(header, payload), flags, segment) != u32_at(header, 4)? {
        return None;
    }
    Some(Frame {
        kind: u16_at(header, 8)?,
        version: *header.get(10)?,
        partition: u16_at(header, 12)?,
        id: EventId::from_raw(u64_at(header, 14)?),
        wall: Timestamp::from_millis(u64_at(header, 22)?),
        more: flags & MORE != 0,
        payload,
    })
}

/// Looks behind a bad record for a valid one that was written after a later sync, and returns its offset.
///
/// A torn write leaves none: records of a round are written only when the round before is synced. So if there is one, the
/// bad record had been durable and was damaged since.
pub(crate) fn later_barrier(bytes: &[u8], segment: u64) -> Option<usize> {
    (1..bytes.len().saturating_sub(HEADER)).find(|offset| {
        let Some(rest) = bytes.get(*offset..) else {
            return false;
        };
        // Cheap tests first: nearly all offsets fail here, without a checksum.
        rest.get(10) == Some(&VERSION)
            && rest.get(11).is_some_and(|flags| flags & !MORE == BARRIER)
            && parse(rest, segment).is_some_and(|frame| PartitionId::new(frame.partition).is_some())
    })
}

fn begin(header: &[u8], payload: &[u8]) -> u32 {
    let mut hasher = Hasher::new();
    hasher.update(payload);
    for part in [0..4, 8..11, 12..HEADER] {
        hasher.update(header.get(part).unwrap_or_default());
    }
    hasher.finalize()
}

fn finish(begun: u32, flags: u8, segment: u64) -> u32 {
    let mut hasher = Hasher::new_with_initial(begun);
    hasher.update(&[flags]);
    hasher.update(&segment.to_le_bytes());
    hasher.finalize()
}

/// Overwrites `bytes` from `offset` on; what does not fit is left out.
pub(crate) fn put(bytes: &mut [u8], offset: usize, value: &[u8]) {
    if let Some(place) = bytes.get_mut(offset..offset + value.len()) {
        place.copy_from_slice(value);
    }
}

/// Reads a little-endian number.
pub(crate) fn u16_at(bytes: &[u8], offset: usize) -> Option<u16> {
    Some(u16::from_le_bytes(bytes.get(offset..offset + 2)?.try_into().ok()?))
}

/// Reads a little-endian number.
pub(crate) fn u32_at(bytes: &[u8], offset: usize) -> Option<u32> {
    Some(u32::from_le_bytes(bytes.get(offset..offset + 4)?.try_into().ok()?))
}

/// Reads a little-endian number.
pub(crate) fn u64_at(bytes: &[u8], offset: usize) -> Option<u64> {
    Some(u64::from_le_bytes(bytes.get(offset..offset + 8)?.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(payload: &[u8], segment: u64, barrier: bool) -> Vec<u8> {
        let mut out = Vec::new();
        encode(
            &mut out,
            7,
            PartitionId::CATALOGUE,
            EventId::from_raw(42),
            Timestamp::from_millis(99),
            |out| out.extend_from_slice(payload),
        );
        seal(&mut out, segment, barrier);
        out
    }

    #[test]
    fn a_record_survives_a_round_trip() {
        let bytes = frame(b"payload", 3, true);
        let read = parse(&bytes, 3).expect("valid");
        assert_eq!(
            (read.kind, read.version, read.partition, read.payload),
            (7, 1, 1024, &b"payload"[..])
        );
        assert_eq!(read.len(), bytes.len());
    }

    #[test]
    fn a_record_of_another_segment_is_none() {
        assert!(parse(&frame(b"payload", 3, false), 4).is_none());
    }

    #[test]
    fn any_flipped_bit_is_seen() {
        let bytes = frame(b"payload", 3, false);
        for bit in 0..bytes.len() * 8 {
            let mut bytes = bytes.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert!(parse(&bytes, 3).is_none(), "bit {bit}");
        }
    }

    #[test]
    fn a_later_round_behind_a_bad_record_is_found_and_the_same_round_is_not() {
        let mut log = frame(b"first", 3, true);
        let second = log.len();
        log.extend(frame(b"second", 3, false));
        log.extend(frame(b"third", 3, false));
        log[second + HEADER] ^= 1;
        assert_eq!(later_barrier(&log[second..], 3), None);
        log.extend(frame(b"fourth", 3, true));
        assert!(later_barrier(&log[second..], 3).is_some());
    }
}
