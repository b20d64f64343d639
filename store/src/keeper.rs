//! The keeper: syncs state now and then, and takes away what nobody needs any more.
//!
//! A journal segment goes when it is older than the retention, or when all segments together are above their bound, which
//! wins over the retention. In both cases only after state has synced all its records *and* a checkpoint copy covers them:
//! that wins over both, so the bound is exceeded rather than a record lost.

use std::fs;
use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use types::time::Clock;

use crate::checkpoint;
use crate::commit::Commits;
use crate::journal::Segments;
use crate::metrics::Metrics;
use crate::segment::Maker;
use crate::spool::Spool;
use crate::state::Tables;
use crate::sync::{lock, wait_for};

/// Claims removed in one go.
const SWEPT_MAX: usize = 10_000;
/// Spool segments from which on nearly dead ones are emptied.
const SPOOL_SEGMENTS_MIN: usize = 4;
/// Bytes of journal that a rebuild of state may always read: seconds of work.
const REBUILD_BYTES_MIN: u64 = 1 << 30;

/// Lets the keeper be woken and stopped.
#[derive(Debug, Default)]
pub(crate) struct Bell {
    rung: Mutex<(bool, bool)>,
    changed: Condvar,
}

impl Bell {
    pub(crate) fn stop(&self) {
        lock(&self.rung).1 = true;
        self.changed.notify_all();
    }

    /// Waits for the next round's time. False when stopped.
    fn wait(&self, limit: Duration) -> bool {
        let mut rung = lock(&self.rung);
        if !rung.1 && !rung.0 {
            rung = wait_for(&self.changed, rung, limit);
        }
        rung.0 = false;
        !rung.1
    }
}

/// The keeper's thread.
pub(crate) struct Keeper {
    pub(crate) tables: Arc<Tables>,
    pub(crate) commits: Arc<Commits>,
    pub(crate) segments: Arc<Segments>,
    pub(crate) spool: Arc<Spool>,
    pub(crate) maker: Arc<Maker>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) metrics: Metrics,
    pub(crate) bell: Arc<Bell>,
    pub(crate) incarnation: [u8; 16],
    pub(crate) copies: PathBuf,
    pub(crate) interval: Duration,
    pub(crate) retention: Duration,
    pub(crate) journal_bytes_max: u64,
    pub(crate) claims_kept: Duration,
}

impl Keeper {
    /// Goes round until stopped.
    pub(crate) fn run(self) {
        while self.bell.wait(self.interval) {
            if *self.commits.failed().borrow() {
                return;
            }
            if let Err(error) = self.round() {
                self.commits.fail("syncing state or writing a checkpoint", &error);
                return;
            }
        }
    }

    fn round(&self) -> fjall::Result<()> {
        // Read before the sync: so much is synced after it.
        let through = self.tables.through()?;
        self.tables.sync()?;
        self.reclaim(through)?;
        let cutoff = self.clock.now() - self.claims_kept;
        while self.tables.sweep_claims(cutoff, SWEPT_MAX)? == SWEPT_MAX {}
        self.spool.move_stragglers(SPOOL_SEGMENTS_MIN);
        Ok(())
    }

    /// Writes a checkpoint copy if one is due, then frees journal segments.
    fn reclaim(&self, through: u64) -> fjall::Result<()> {
        let segments = self.segments.list();
        let mut bytes: u64 = segments.iter().map(|segment| segment.bytes).sum();
        let now = self.clock.now();
        let mut count = 0;
        let mut needed = 0;
        for (segment, next) in segments.iter().zip(segments.iter().skip(1)) {
            // A segment's last record is older than the next segment's first.
            let old = now.since(next.begun) > self.retention;
            if next.first - 1 > through || !(old || bytes > self.journal_bytes_max) {
                break;
            }
            bytes -= segment.bytes;
            count += 1;
            needed = next.first - 1;
        }
        let newest = checkpoint::list(&self.copies)?.into_iter().next();
        let covered = newest.as_ref().map_or(0, |(through, _)| *through);
        // Bytes of journal that a rebuild would read beyond the copy. A copy costs as much as it is long, so one is written
        // when the journal has grown by as much: at most one byte more for each byte of journal.
        let beyond: u64 = segments
            .iter()
            .filter(|segment| segment.first > covered)
            .map(|segment| segment.bytes)
            .sum();
        let copy_bytes = match &newest {
            Some((_, path)) => fs::metadata(path)?.len(),
            None => 0,
        };
        let grown = beyond > copy_bytes.max(REBUILD_BYTES_MIN) && through > covered;
        if covered < needed || grown {
            let covered = checkpoint::write(self.maker.medium(), &self.copies, &self.tables, self.incarnation)?;
            checkpoint::remove_older(&self.copies)?;
            self.metrics.checkpoints.inc();
            tracing::info!(covered, "checkpoint copy written");
        }
        if count > 0 {
            self.segments.free(count);
        }
        Ok(())
    }
}
