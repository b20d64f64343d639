//! The keeper: syncs state now and then, and takes away what nobody needs any more.
//!
//! A journal segment goes when it is older than the retention, or when all segments together are above their bound, which
//! wins over the retention. In both cases only after state has synced all its records *and* a checkpoint copy covers them:
//! that wins over both, so the bound is exceeded rather than a record lost. Whoever ships the journal elsewhere may hold back
//! what is older than the retention ([`Segments::hold_after`]), but not what is above the bound.
//!
//! Claims and histories leave state by their age. They are swept a few partitions at a time, so that a round stays
//! short; imports that are done go with the journal's retention; first visits, leads, statistics, suppressions and persons are not swept.

mod copies;
mod sweep;
#[cfg(test)]
mod tests;

use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use types::time::Clock;

use crate::commit::Commits;
use crate::imports::Imports;
use crate::journal::Segments;
use crate::metrics::Metrics;
use crate::spool::Spool;
use crate::state::Tables;
use crate::state::table::Read;
use crate::sync::{lock, wait_for};

pub(crate) use copies::Copies;
pub(crate) use sweep::Sweep;

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

/// How much of the journal is kept.
pub(crate) struct Retention {
    /// For so long, unless it has too many bytes.
    pub(crate) age: Duration,
    /// All segments together.
    pub(crate) bytes_max: u64,
}

/// The keeper's thread.
pub(crate) struct Keeper {
    pub(crate) tables: Arc<Tables>,
    pub(crate) commits: Arc<Commits>,
    pub(crate) segments: Arc<Segments>,
    pub(crate) spool: Arc<Spool>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) metrics: Metrics,
    pub(crate) bell: Arc<Bell>,
    pub(crate) interval: Duration,
    pub(crate) retention: Retention,
    pub(crate) copies: Copies,
    pub(crate) sweep: Sweep,
    pub(crate) imports: Imports,
}

impl Keeper {
    /// Goes round until stopped.
    pub(crate) fn run(mut self) {
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

    fn round(&mut self) -> Read<()> {
        // Read before the sync: so much is synced after it.
        let through = self.tables.through()?;
        self.tables.sync()?;
        self.reclaim(through)?;
        let swept = self.sweep.go_on(&self.tables, self.clock.now())?;
        self.metrics.history_swept.inc_by(swept as u64);
        self.imports.sweep(self.clock.now() - self.retention.age)?;
        self.spool.move_stragglers(SPOOL_SEGMENTS_MIN);
        self.metrics.keeper_rounds.inc();
        Ok(())
    }

    /// Writes a checkpoint copy if one is due, then frees journal segments.
    fn reclaim(&self, through: u64) -> Read<()> {
        let segments = self.segments.list();
        let mut bytes: u64 = segments.iter().map(|segment| segment.bytes).sum();
        let now = self.clock.now();
        let held_after = self.segments.held_after();
        let mut count = 0;
        let mut needed = 0;
        for (segment, next) in segments.iter().zip(segments.iter().skip(1)) {
            // A segment's last record is older than the next segment's first.
            let old = now.since(next.begun) > self.retention.age;
            let last = next.first - 1;
            if last > through || !(old && last <= held_after || bytes > self.retention.bytes_max) {
                break;
            }
            bytes -= segment.bytes;
            count += 1;
            needed = last;
        }
        let held = segments.iter().skip(count + 1);
        let held = held.take_while(|next| now.since(next.begun) > self.retention.age && next.first - 1 > held_after);
        self.metrics
            .journal_held
            .set(i64::try_from(held.count()).unwrap_or(i64::MAX));
        let newest = self.copies.newest()?;
        let covered = newest.as_ref().map_or(0, |copy| copy.through);
        // Bytes of journal that a rebuild would read beyond the copy. A copy costs as much as it is long, so one is written
        // when the journal has grown by as much: at most one byte more for each byte of journal.
        let beyond: u64 = segments
            .iter()
            .filter(|segment| segment.first > covered)
            .map(|segment| segment.bytes)
            .sum();
        let copy_bytes = newest.map_or(0, |copy| copy.bytes);
        let grown = beyond > copy_bytes.max(REBUILD_BYTES_MIN) && through > covered;
        if covered < needed || grown {
            let covered = self.copies.write(&self.tables)?;
            self.metrics.checkpoints.inc();
            tracing::info!(covered, "checkpoint copy written");
        }
        if count > 0 {
            self.segments.free(count);
        }
        Ok(())
    }
}
