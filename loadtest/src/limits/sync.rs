//! The disk's own limit: overwriting a few KiB of a preallocated file, each write with its fdatasync.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use serde::Serialize;

/// Bytes of a write: a few orders' records.
const BLOCK: usize = 12_288;
/// Between writes, so that the processor idles as it does between orders.
const PAUSE: Duration = Duration::from_millis(5);

/// Milliseconds of one durable overwrite.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Syncs {
    pub(crate) p50: f64,
    pub(crate) p99: f64,
    pub(crate) max: f64,
}

/// Writes and syncs `count` times in `folder`.
pub(crate) fn syncs(folder: &Path, count: u64) -> anyhow::Result<Syncs> {
    let file = tempfile::tempfile_in(folder)?;
    let block = vec![0x5a; BLOCK];
    let length = u64::try_from(BLOCK)?;
    for slot in 0..64 {
        file.write_all_at(&block, slot * length)?;
    }
    file.sync_all()?;
    let mut micros = Histogram::<u64>::new(3)?;
    for number in 0..count {
        std::thread::sleep(PAUSE);
        micros.record(overwrite(&file, &block, number % 64 * length)?)?;
    }
    #[expect(clippy::cast_precision_loss, reason = "microseconds here stay far below 2^52")]
    let milliseconds = |micros: u64| micros as f64 / 1000.0;
    Ok(Syncs {
        p50: milliseconds(micros.value_at_quantile(0.5)),
        p99: milliseconds(micros.value_at_quantile(0.99)),
        max: milliseconds(micros.max()),
    })
}

/// Returns the microseconds that one write took until it was durable.
fn overwrite(file: &File, block: &[u8], at: u64) -> anyhow::Result<u64> {
    let began = Instant::now();
    file.write_all_at(block, at)?;
    file.sync_data()?;
    Ok(u64::try_from(began.elapsed().as_micros())?)
}
