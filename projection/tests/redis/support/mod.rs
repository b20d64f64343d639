//! What the tests share: servers, a load, and the comparison.

mod compare;
mod faulty;
mod load;
mod proxy;
mod server;

use std::fmt::Display;
use std::sync::Arc;
use std::time::Duration;

use projection::Projector;
use prometheus::Registry;
use store::{OpenError, Settings, Store};
use tempfile::TempDir;

pub use compare::Exact;
pub use faulty::{Faulty, Reply};
pub use load::Load;
pub use proxy::Proxy;
pub use server::{Server, sentinel};

use types::port::Health;
use types::time::Clock;

use crate::common::{self, SetClock};

/// A store with a projector, and who loads it.
pub struct Rig {
    pub dir: TempDir,
    pub load: Load,
    projector: Option<Projector>,
    pub registry: Registry,
    section: projection::Config,
    url: String,
}

impl Rig {
    /// Opens a store whose projector ships to `url`.
    pub fn open(url: impl Display) -> Self {
        Self::open_with(url, projection::Config::default())
    }

    /// The same, with other settings.
    pub fn open_with(url: impl Display, section: projection::Config) -> Self {
        let dir = common::scratch();
        let section = self::section(section);
        let clock = load::clock();
        let (store, registry) = open(&dir, &clock, |_| ());
        let projector = project(&store, &url.to_string(), &section, &clock, &registry);
        Self {
            load: Load::new(store, clock),
            dir,
            projector: Some(projector),
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
        let section = section(projection::Config::default());
        let clock = load::clock();
        let (store, registry) = open(&dir, &clock, |settings| {
            settings.segment_bytes = 64 << 10;
            settings.journal_bytes_max = 256 << 10;
            settings.checkpoint_interval = Duration::from_millis(50);
        });
        let projector = project(&store, &url.to_string(), &section, &clock, &registry);
        Self {
            load: Load::new(store, clock),
            dir,
            projector: Some(projector),
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
        self.close().await;
        let (store, registry) = open(&self.dir, &self.load.clock, |_| ());
        self.projector = Some(project(&store, &self.url, &self.section, &self.load.clock, &registry));
        self.load.adopt(store);
        self.registry = registry;
    }

    /// Closes the store, and the projector after it.
    pub async fn close(&mut self) {
        self.load.store.take().unwrap().close().await;
        let projector = self.projector.take().unwrap();
        tokio::task::spawn_blocking(|| projector.close()).await.unwrap();
    }

    /// Returns what an operator is told.
    pub fn health(&self) -> Vec<(&'static str, String)> {
        let mut findings = self.store().findings();
        findings.extend(
            self.projector
                .iter()
                .flat_map(|projector| projector.health().findings()),
        );
        findings
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
            .find(|family| family.name() == "projection_retries_total")
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
fn section(section: projection::Config) -> projection::Config {
    projection::Config {
        timeout: Some(section.timeout.unwrap_or("1s".to_owned())),
        retry_max: Some("300ms".to_owned()),
        stream_len: Some(section.stream_len.unwrap_or(1_000_000)),
        ..section
    }
}

fn open(dir: &TempDir, clock: &Arc<SetClock>, change: impl Fn(&mut Settings)) -> (Store, Registry) {
    loop {
        let registry = Registry::new();
        let mut settings = Settings {
            segment_bytes: 4 << 20,
            ..common::settings(dir.path())
        };
        change(&mut settings);
        match store::open(settings, Arc::clone(clock) as Arc<dyn Clock>, &registry) {
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

/// Starts a projector that ships to `url`.
fn project(
    store: &Store,
    url: &str,
    section: &projection::Config,
    clock: &Arc<SetClock>,
    registry: &Registry,
) -> Projector {
    let mut faults = Vec::new();
    let section = projection::Config {
        url: Some(url.to_owned()),
        ..section.clone()
    };
    let settings = section.resolve(&mut faults);
    assert!(faults.is_empty(), "{faults:?}");
    let clock = Arc::clone(clock) as Arc<dyn Clock>;
    Projector::start(settings.unwrap(), store.clone(), clock, registry).unwrap()
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
