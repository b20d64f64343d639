//! What the tests share: servers, a load, and the comparison.

mod compare;
mod faulty;
mod load;
mod proxy;
mod server;

use std::fmt::Display;
use std::sync::Arc;
use std::time::Duration;

use prometheus::Registry;
use store::{OpenError, Settings, Store};
use tempfile::TempDir;

pub use compare::Exact;
pub use faulty::{Faulty, Reply};
pub use load::Load;
pub use proxy::Proxy;
pub use server::{Server, sentinel};

use types::time::Clock;

use crate::common::{self, SetClock};

/// A store with a projector, and who loads it.
pub struct Rig {
    pub dir: TempDir,
    pub load: Load,
    pub registry: Registry,
    section: store::redis::Config,
    url: String,
}

impl Rig {
    /// Opens a store whose projector ships to `url`.
    pub fn open(url: impl Display) -> Self {
        Self::open_with(url, store::redis::Config::default())
    }

    /// The same, with other settings.
    pub fn open_with(url: impl Display, section: store::redis::Config) -> Self {
        let dir = common::scratch();
        let section = self::section(section);
        let clock = load::clock();
        let (store, registry) = open(&dir, &url.to_string(), &section, &clock);
        Self {
            load: Load::new(store, clock),
            dir,
            registry,
            section,
            url: url.to_string(),
        }
    }

    pub fn store(&self) -> &Store {
        self.load.store()
    }

    /// The same, with a store that keeps little of its journal.
    pub fn open_small(url: impl Display) -> Self {
        let dir = common::scratch();
        let section = section(store::redis::Config::default());
        let clock = load::clock();
        let mut settings = settings(&dir, &url.to_string(), &section);
        settings.segment_bytes = 64 << 10;
        settings.journal_bytes_max = 256 << 10;
        settings.checkpoint_interval = Duration::from_millis(50);
        let registry = Registry::new();
        let (store, _) = store::open(settings, Arc::clone(&clock) as Arc<dyn Clock>, &registry).unwrap();
        Self {
            load: Load::new(store, clock),
            dir,
            registry,
            section,
            url: url.to_string(),
        }
    }

    /// Returns the number of the first journal segment that is still there.
    pub fn journal_begins_at(&self) -> u64 {
        let files = std::fs::read_dir(self.dir.path().join("journal")).unwrap();
        let ids = files.filter_map(|file| file.unwrap().file_name().to_str()?.split('.').next()?.parse().ok());
        ids.min().unwrap_or(0)
    }

    /// Closes the store and opens it again; what state lacks is folded again.
    pub async fn reopen(&mut self) {
        self.load.folded().await;
        self.load.store.take().unwrap().close().await;
        let (store, registry) = open(&self.dir, &self.url, &self.section, &self.load.clock);
        self.load.adopt(store);
        self.registry = registry;
    }

    /// Returns the value of a metric without labels, or the sum over its labels.
    pub fn metric(&self, name: &str) -> f64 {
        let families = self.registry.gather();
        let family = families.iter().find(|family| family.name() == name).unwrap();
        let value =
            |metric: &prometheus::proto::Metric| metric.get_gauge().get_value() + metric.get_counter().get_value();
        family.get_metric().iter().map(value).sum()
    }

    /// Returns how often sessions ended for a reason.
    pub fn retries(&self, kind: &str) -> f64 {
        let families = self.registry.gather();
        let family = families
            .iter()
            .find(|family| family.name() == "store_redis_retries_total")
            .unwrap();
        let of_kind = |metric: &&prometheus::proto::Metric| metric.get_label()[0].value() == kind;
        family
            .get_metric()
            .iter()
            .find(of_kind)
            .map_or(0.0, |metric| metric.get_counter().get_value())
    }
}

/// Fills in what makes tests short. The streams hold all that a test appends.
fn section(section: store::redis::Config) -> store::redis::Config {
    store::redis::Config {
        timeout: Some(section.timeout.unwrap_or("1s".to_owned())),
        retry_max: Some("300ms".to_owned()),
        stream_len: Some(section.stream_len.unwrap_or(1_000_000)),
        ..section
    }
}

fn settings(dir: &TempDir, url: &str, section: &store::redis::Config) -> Settings {
    let mut faults = Vec::new();
    let section = store::redis::Config {
        url: Some(url.to_owned()),
        ..section.clone()
    };
    let redis = section.resolve(&mut faults);
    assert!(faults.is_empty(), "{faults:?}");
    Settings {
        redis,
        segment_bytes: 4 << 20,
        ..common::settings(dir.path())
    }
}

fn open(dir: &TempDir, url: &str, section: &store::redis::Config, clock: &Arc<SetClock>) -> (Store, Registry) {
    loop {
        let registry = Registry::new();
        match store::open(
            settings(dir, url, section),
            Arc::clone(clock) as Arc<dyn Clock>,
            &registry,
        ) {
            Ok((store, replay)) => {
                // The load's turns are in state before the store is closed.
                assert_eq!(replay.count(), 0);
                return (store, registry);
            }
            // A process that another test starts has our files, and the lock with them, until it is what it is to be.
            Err(OpenError::Locked(_)) => std::thread::sleep(Duration::from_millis(5)),
            Err(error) => panic!("{error}"),
        }
    }
}

/// Waits until something is so.
pub async fn until(what: &str, mut so: impl FnMut() -> bool) {
    let limit = tokio::time::Instant::now() + Duration::from_mins(1);
    while !so() {
        assert!(tokio::time::Instant::now() < limit, "{what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Returns a number from the environment.
pub fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().unwrap())
}
