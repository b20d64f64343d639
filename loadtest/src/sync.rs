//! The disk's own limit: overwriting a few KiB of a preallocated file, each write with its fdatasync.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use clap::Args;
use hdrhistogram::Histogram;
use serde_json::json;

use crate::throughput::percentiles;

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// The folder of the file; use the file system that holds the journal.
    #[arg(long)]
    folder: PathBuf,
    /// Bytes a write.
    #[arg(long, default_value_t = 12_288)]
    size: usize,
    /// How many writes.
    #[arg(long, default_value_t = 1000)]
    count: u64,
    /// Writes a second, so that the processor idles between them as it does between orders.
    #[arg(long, default_value_t = 50.0)]
    rate: f64,
}

/// Writes, syncs, and returns the latencies.
pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<serde_json::Value> {
    let path = arguments.folder.join("sync-probe");
    let file = File::options().create(true).truncate(true).write(true).open(&path)?;
    let block = vec![0x5a; arguments.size];
    let region = 64 * u64::try_from(arguments.size)?;
    for slot in 0..64 {
        file.write_all_at(&block, slot * u64::try_from(arguments.size)?)?;
    }
    file.sync_all()?;
    let mut latencies = Histogram::<u64>::new(3)?;
    let pause = Duration::from_secs_f64(1.0 / arguments.rate);
    for number in 0..arguments.count {
        std::thread::sleep(pause);
        let started = Instant::now();
        file.write_all_at(&block, number * u64::try_from(arguments.size)? % region)?;
        file.sync_data()?;
        latencies.record(u64::try_from(started.elapsed().as_micros())?)?;
    }
    std::fs::remove_file(&path)?;
    Ok(json!({ "syncs": latencies.len(), "bytes": arguments.size, "sync_ms": percentiles(&latencies) }))
}
