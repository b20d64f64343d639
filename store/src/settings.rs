//! The store's settings: as written in the file, and as meant.

use std::path::PathBuf;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use serde::Deserialize;
use types::setting::{bytes_or, duration_or};

use crate::medium::{Medium, RealMedium};

/// The smallest segment that makes sense; smaller ones are for tests of rotation.
const SEGMENT_BYTES_MIN: u64 = 4 << 10;
/// Claims are promised for 72 hours, so no setting goes below.
const CLAIMS_KEPT_MIN: Duration = Duration::from_hours(72);
/// Mails are opened, clicked and withdrawn from for weeks; with their history gone, none of that would be known.
const HISTORY_KEPT_MIN: Duration = Duration::from_hours(30 * 24);

/// The store's settings as meant.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where everything is kept. Made if missing.
    pub data_dir: PathBuf,
    /// The node's number in event ids, below 1,024.
    pub node: u16,
    /// How many runners share the person partitions. May differ from one start to the next.
    pub runners: usize,
    /// Size of a journal or spool segment. One more of each is kept ready, so four times this is the least disk in use.
    pub segment_bytes: u64,
    /// How long journal segments are kept for explanations and rebuilds. Erased data lingers up to a quarter longer.
    pub journal_retention: Duration,
    /// Bytes of journal segments above which the oldest go even within their retention, once a checkpoint covers them.
    pub journal_bytes_max: u64,
    /// How often state is synced, and checked for what can be reclaimed.
    pub checkpoint_interval: Duration,
    /// Free bytes of the file system below which new work is refused.
    pub disk_floor_bytes: u64,
    /// How often free space is looked at.
    pub disk_poll: Duration,
    /// Bytes of frames that wait for the commit thread before `append` waits. Two such buffers exist.
    pub pending_bytes_max: usize,
    /// Bytes of turns that wait for the state writer before `State::submit` waits.
    pub state_pending_bytes_max: usize,
    /// Bytes of state's block cache.
    pub state_cache_bytes: u64,
    /// Submissions that wait in each runner's inbox.
    pub inbox_len: usize,
    /// Opens and clicks that wait in each runner's inbox; more are answered, dropped and counted.
    pub tracked_len: usize,
    /// Mails at once between accept and spool; one more accept is answered `Busy`.
    pub admissions_max: usize,
    /// How long claimed names are kept; at least 72 hours.
    pub claims_kept: Duration,
    /// How long the histories of orders and mails are kept, and how mails stand with their recipients; at least 30 days.
    pub history_kept: Duration,
    /// Claims at once whose accept is under way or not yet in state.
    pub claims_pending_max: usize,
    /// Where bytes go; tests put a failing medium here.
    pub medium: Arc<dyn Medium>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            data_dir: PathBuf::from("staffetta-data"),
            node: 0,
            runners: thread::available_parallelism().map_or(1, std::num::NonZero::get),
            segment_bytes: 64 << 20,
            journal_retention: Duration::from_hours(30 * 24),
            journal_bytes_max: 64 << 30,
            checkpoint_interval: Duration::from_secs(30),
            disk_floor_bytes: 512 << 20,
            disk_poll: Duration::from_millis(250),
            pending_bytes_max: 16 << 20,
            state_pending_bytes_max: 64 << 20,
            state_cache_bytes: 64 << 20,
            inbox_len: 4096,
            tracked_len: 65_536,
            admissions_max: 8192,
            claims_kept: CLAIMS_KEPT_MIN,
            history_kept: Duration::from_hours(400 * 24),
            claims_pending_max: 262_144,
            medium: Arc::new(RealMedium),
        }
    }
}

/// The section `[store]` of the settings file, as written.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Where everything is kept. Default: `staffetta-data`.
    pub data_dir: Option<PathBuf>,
    /// The node's number, 0 to 1,023. Default: 0.
    pub node: Option<u16>,
    /// Runners, 1 to 64. Default: one per core.
    pub runners: Option<usize>,
    /// Size of a segment, 4KiB to 1GiB. Default: 64MiB.
    pub segment_size: Option<String>,
    /// How long the journal is kept, at least 1h. Default: 30d.
    pub journal_retention: Option<String>,
    /// How much journal is kept at most; wins over the retention. At least four segments. Default: 64GiB.
    pub journal_size_max: Option<String>,
    /// How often state is synced, 1s to 1h. Default: 30s.
    pub checkpoint_interval: Option<String>,
    /// Free space below which new work is refused with 507. Default: 512MiB.
    pub disk_floor: Option<String>,
    /// Size of state's cache. Default: 64MiB.
    pub state_cache: Option<String>,
    /// Submissions waiting per runner, 1 to 1,048,576. Default: 4,096.
    pub inbox_len: Option<usize>,
    /// Opens and clicks waiting per runner, 1 to 1,048,576. Default: 65,536.
    pub tracked_len: Option<usize>,
    /// Mails between accept and spool, 1 to 1,048,576. Default: 8,192.
    pub admissions_max: Option<usize>,
    /// How long order ids and idempotency keys are kept, at least 72h. Default: 72h.
    pub claims_kept: Option<String>,
    /// How long the histories of orders and mails are kept, at least 30d. Default: 400d.
    pub history_kept: Option<String>,
}

impl Config {
    /// Checks every key and returns what is meant; each fault is pushed to `faults` as `key: fault`, and the default
    /// stands in for it.
    pub fn resolve(self, faults: &mut Vec<String>) -> Settings {
        let default = Settings::default();
        let mut size = |key: &str, written: Option<&str>, default| bytes_or(key, written, default, faults);
        let segment_bytes = size(
            "store.segment_size",
            self.segment_size.as_deref(),
            default.segment_bytes,
        );
        let journal_bytes_max = size(
            "store.journal_size_max",
            self.journal_size_max.as_deref(),
            default.journal_bytes_max,
        );
        let disk_floor_bytes = size("store.disk_floor", self.disk_floor.as_deref(), default.disk_floor_bytes);
        let state_cache_bytes = size(
            "store.state_cache",
            self.state_cache.as_deref(),
            default.state_cache_bytes,
        );
        let mut time = |key: &str, written: Option<&str>, default| duration_or(key, written, default, faults);
        let journal_retention = time(
            "store.journal_retention",
            self.journal_retention.as_deref(),
            default.journal_retention,
        );
        let checkpoint_interval = time(
            "store.checkpoint_interval",
            self.checkpoint_interval.as_deref(),
            default.checkpoint_interval,
        );
        let claims_kept = time("store.claims_kept", self.claims_kept.as_deref(), default.claims_kept);
        let history_kept = time("store.history_kept", self.history_kept.as_deref(), default.history_kept);
        let settings = Settings {
            data_dir: self.data_dir.unwrap_or(default.data_dir),
            node: self.node.unwrap_or(default.node),
            runners: self.runners.unwrap_or(default.runners),
            segment_bytes,
            journal_retention,
            journal_bytes_max,
            checkpoint_interval,
            disk_floor_bytes,
            state_cache_bytes,
            inbox_len: self.inbox_len.unwrap_or(default.inbox_len),
            tracked_len: self.tracked_len.unwrap_or(default.tracked_len),
            admissions_max: self.admissions_max.unwrap_or(default.admissions_max),
            claims_kept,
            history_kept,
            ..Settings::default()
        };
        settings.check_ranges(faults);
        settings
    }
}

impl Settings {
    /// Pushes a fault for each value out of its range.
    fn check_ranges(&self, faults: &mut Vec<String>) {
        let mut checked = |ok: bool, fault: &str| {
            if !ok {
                faults.push(fault.to_owned());
            }
        };
        checked(self.node < 1024, "store.node: must be below 1024");
        checked((1..=64).contains(&self.runners), "store.runners: must be 1 to 64");
        checked(
            (1..=1 << 20).contains(&self.inbox_len),
            "store.inbox_len: must be 1 to 1048576",
        );
        checked(
            (1..=1 << 20).contains(&self.tracked_len),
            "store.tracked_len: must be 1 to 1048576",
        );
        checked(
            (1..=1 << 20).contains(&self.admissions_max),
            "store.admissions_max: must be 1 to 1048576",
        );
        checked(
            (SEGMENT_BYTES_MIN..=1 << 30).contains(&self.segment_bytes),
            "store.segment_size: must be 4KiB to 1GiB",
        );
        checked(
            self.journal_bytes_max >= self.segment_bytes.saturating_mul(4),
            "store.journal_size_max: must hold four segments",
        );
        checked(
            self.journal_retention >= Duration::from_hours(1),
            "store.journal_retention: must be at least 1h",
        );
        checked(
            (Duration::from_secs(1)..=Duration::from_hours(1)).contains(&self.checkpoint_interval),
            "store.checkpoint_interval: must be 1s to 1h",
        );
        checked(
            self.claims_kept >= CLAIMS_KEPT_MIN,
            "store.claims_kept: must be at least 72h",
        );
        checked(
            self.history_kept >= HISTORY_KEPT_MIN,
            "store.history_kept: must be at least 30d",
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_section_means_the_defaults_and_has_no_fault() {
        let mut faults = Vec::new();
        let settings = Config::default().resolve(&mut faults);
        assert!(faults.is_empty(), "{faults:?}");
        assert_eq!(settings.segment_bytes, 64 << 20);
    }

    #[test]
    fn every_fault_is_reported_with_its_key() {
        let config = Config {
            node: Some(1024),
            runners: Some(0),
            segment_size: Some("1KiB".to_owned()),
            claims_kept: Some("1h".to_owned()),
            history_kept: Some("29d".to_owned()),
            disk_floor: Some("many".to_owned()),
            ..Config::default()
        };
        let mut faults = Vec::new();
        config.resolve(&mut faults);
        for key in [
            "store.node",
            "store.runners",
            "store.segment_size",
            "store.claims_kept",
            "store.history_kept",
            "store.disk_floor",
        ] {
            assert!(faults.iter().any(|fault| fault.starts_with(key)), "{key}: {faults:?}");
        }
    }
}
