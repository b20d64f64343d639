//! How far one slot of Redis has come, as Redis itself keeps it.
//!
//! ```text
//! {s07}:watermark = "9f86…0a08 184467 1795291200000 184467 5c1b77e0.12"
//!                    incarnation position wall      counts  batch
//! ```
//!
//! The batch makes every watermark differ from all others that were ever written, so a batch of an earlier session that
//! arrives late never finds what it expects.

use std::fmt;
use std::str::FromStr;

use data_encoding::HEXLOWER;
use types::time::Timestamp;

/// A slot's watermark.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Watermark {
    /// Which data directory's journal.
    pub(crate) incarnation: [u8; 16],
    /// The last record of the journal whose event is in the stream, if it is of this slot.
    pub(crate) position: u64,
    /// When that record was appended.
    pub(crate) wall: Timestamp,
    /// The last record whose effect on counts is in Redis; `None` while they are built.
    pub(crate) counts: Option<u64>,
    /// The session that wrote it.
    pub(crate) session: u64,
    /// Its batches of this slot, this one included.
    pub(crate) batch: u64,
}

impl fmt::Display for Watermark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let incarnation = HEXLOWER.encode(&self.incarnation);
        write!(f, "{incarnation} {} {} ", self.position, self.wall.as_millis())?;
        match self.counts {
            Some(counts) => write!(f, "{counts}")?,
            None => f.write_str("-")?,
        }
        write!(f, " {:x}.{}", self.session, self.batch)
    }
}

/// The text is not a watermark: whatever the slot holds, it is not known what it is.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct NotAWatermark;

impl FromStr for Watermark {
    type Err = NotAWatermark;

    fn from_str(text: &str) -> Result<Self, NotAWatermark> {
        let read = || {
            let mut fields = text.split(' ');
            let mut next = || fields.next();
            let incarnation = HEXLOWER.decode(next()?.as_bytes()).ok()?.try_into().ok()?;
            let position = next()?.parse().ok()?;
            let wall = Timestamp::from_millis(next()?.parse().ok()?);
            let counts = match next()? {
                "-" => None,
                counts => Some(counts.parse().ok()?),
            };
            let (session, batch) = next()?.split_once('.')?;
            let watermark = Self {
                incarnation,
                position,
                wall,
                counts,
                session: u64::from_str_radix(session, 16).ok()?,
                batch: batch.parse().ok()?,
            };
            next().is_none().then_some(watermark)
        };
        read().ok_or(NotAWatermark)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn watermarks_survive_a_round_trip() {
        for counts in [None, Some(17)] {
            let watermark = Watermark {
                incarnation: [0x9f; 16],
                position: 184_467,
                wall: Timestamp::from_millis(1_795_291_200_000),
                counts,
                session: 0x5c1b_77e0,
                batch: 12,
            };
            assert_eq!(watermark.to_string().parse(), Ok(watermark));
        }
        for bad in ["", "x 1 2 3 4.5", "9f 1 2 3 4.5", "9f86 1 2"] {
            assert_eq!(bad.parse::<Watermark>(), Err(NotAWatermark), "{bad}");
        }
    }
}
