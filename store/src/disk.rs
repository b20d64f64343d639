//! The disk's free space, and the floor below which new work is refused.
//!
//! The floor is the reserve in which results of work under way are still recorded, together with the segment files that
//! lie ready. Space is looked at on a thread of its own, so that asking costs one atomic load.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use crate::medium::Medium;
use crate::metrics::Metrics;
use crate::sync::{lock, wait_for};

/// Watches the free space of the data directory's file system.
#[derive(Debug)]
pub struct Disk {
    dir: PathBuf,
    medium: Arc<dyn Medium>,
    floor_bytes: u64,
    free_bytes: AtomicU64,
    above_floor: AtomicBool,
    metrics: Metrics,
    stopped: Mutex<bool>,
    wake: Condvar,
}

impl Disk {
    pub(crate) fn new(dir: PathBuf, medium: Arc<dyn Medium>, floor_bytes: u64, metrics: Metrics) -> Self {
        let disk = Self {
            dir,
            medium,
            floor_bytes,
            free_bytes: AtomicU64::new(0),
            above_floor: AtomicBool::new(true),
            metrics,
            stopped: Mutex::new(false),
            wake: Condvar::new(),
        };
        disk.look();
        disk
    }

    /// Returns whether new work may be taken: there is more free space than the floor.
    pub fn accepts(&self) -> bool {
        self.above_floor.load(Ordering::Relaxed)
    }

    /// Returns the free bytes when they were last looked at.
    pub fn free_bytes(&self) -> u64 {
        self.free_bytes.load(Ordering::Relaxed)
    }

    /// Looks at the free space again and again until stopped.
    pub(crate) fn run(&self, every: Duration) {
        let mut stopped = lock(&self.stopped);
        while !*stopped {
            stopped = wait_for(&self.wake, stopped, every);
            self.look();
        }
    }

    pub(crate) fn stop(&self) {
        *lock(&self.stopped) = true;
        self.wake.notify_all();
    }

    fn look(&self) {
        // A file system that does not answer is about to fail a write as well; that decides, not this.
        let Ok(free) = self.medium.free_bytes(&self.dir) else {
            return;
        };
        self.free_bytes.store(free, Ordering::Relaxed);
        self.metrics
            .disk_free_bytes
            .set(i64::try_from(free).unwrap_or(i64::MAX));
        let above = free > self.floor_bytes;
        if self.above_floor.swap(above, Ordering::Relaxed) != above {
            if above {
                tracing::info!(
                    free,
                    floor = self.floor_bytes,
                    "disk above its floor again: taking new work"
                );
            } else {
                tracing::warn!(
                    free,
                    floor = self.floor_bytes,
                    "disk below its floor: new work is refused"
                );
            }
        }
    }
}
