//! The projector's thread: one session after another, and the waits between them.

use std::io;
use std::panic::{self, AssertUnwindSafe};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use prometheus::Registry;
use tokio::sync::watch;
use tokio::time::sleep;
use types::catalogue::Catalogue;
use types::id::{PartitionId, Slot};
use types::time::Clock;

use super::changes::Changes;
use super::fault::Fault;
use super::keys::Naming;
use super::link::Eviction;
use super::metrics::Metrics;
use super::session::{Passed, Session};
use super::settings::Settings;
use crate::catalogue::CatalogueHandle;
use crate::commit::Commits;
use crate::journal::{Record, Segments};
use crate::state::{Applied, State, StateError};
use crate::sync::lock;
use crate::tail::TailError;

/// The first wait after a failure; it doubles up to the setting `retry_max`.
const RETRY_MIN: Duration = Duration::from_millis(50);
/// How long the end of the store waits for what Redis takes at that moment.
const DRAIN: Duration = Duration::from_secs(1);

/// How long it is told that another node was seen at the same Redis; the two meet about each time that one waits.
const SHARED_TOLD: Duration = Duration::from_mins(10);

/// The store's handle on the projector.
#[derive(Debug)]
pub(crate) struct Projector {
    findings: Arc<Mutex<Findings>>,
    stop: watch::Sender<bool>,
}

/// What an operator must change in the settings of Redis, or in ours.
#[derive(Debug, Default)]
struct Findings {
    eviction: Option<String>,
    /// When another node was last seen to write to this Redis.
    shared: Option<Instant>,
}

/// What is projected.
pub(crate) struct Sources {
    pub(crate) state: State,
    pub(crate) commits: Arc<Commits>,
    pub(crate) applied: Arc<Applied>,
    pub(crate) segments: Arc<Segments>,
    pub(crate) catalogue: Arc<CatalogueHandle>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) incarnation: [u8; 16],
}

/// What outlives sessions.
pub(super) struct Projection {
    pub(super) sources: Sources,
    pub(super) settings: Settings,
    pub(super) metrics: Metrics,
    pub(super) changes: Arc<Changes>,
    findings: Arc<Mutex<Findings>>,
    /// Slots that hold something of others, to be emptied.
    pub(super) foreign: Vec<Slot>,
    /// Whether something of all slots was evicted, so that they are to be sent again.
    pub(super) evicted: bool,
    /// Keys that Redis had evicted when it was last asked, and whether some went under an evicting policy.
    evicted_seen: Option<u64>,
    tainted: bool,
    /// The last record that Redis has confirmed, or was found with.
    confirmed: Option<Passed>,
    /// When Redis last had all there was.
    caught_up: Instant,
}

impl Projector {
    /// Starts the thread. Err: the metrics' names are taken.
    pub(crate) fn start(
        settings: Settings,
        sources: Sources,
        changes: Arc<Changes>,
        registry: &Registry,
    ) -> io::Result<(Self, JoinHandle<()>)> {
        let metrics = Metrics::register(registry).map_err(io::Error::other)?;
        // The client takes the process's provider. Whoever has chosen one before has chosen the same.
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let (stop, stopped) = watch::channel(false);
        let findings = Arc::<Mutex<Findings>>::default();
        let mut projection = Projection {
            sources,
            settings,
            metrics,
            changes,
            findings: Arc::clone(&findings),
            foreign: Vec::new(),
            evicted: false,
            evicted_seen: None,
            tainted: false,
            confirmed: None,
            caught_up: Instant::now(),
        };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let run = move || {
            // A fault of ours in here must harm nobody else: it begins anew, like any other.
            while panic::catch_unwind(AssertUnwindSafe(|| runtime.block_on(projection.run(stopped.clone())))).is_err() {
                tracing::error!("the projector panicked: it begins anew");
                projection.metrics.up.set(0);
                thread::sleep(projection.settings.retry_max);
            }
            projection.metrics.up.set(0);
        };
        let thread = thread::Builder::new().name("store-redis".to_owned()).spawn(run)?;
        let projector = Self { findings, stop };
        Ok((projector, thread))
    }

    /// Returns what an operator must change, if anything.
    pub(crate) fn finding(&self) -> Option<String> {
        let findings = lock(&self.findings);
        if findings.is_shared() {
            return Some(
                "another node ships to the same redis, and each undoes what the other did; set a url of its own"
                    .to_owned(),
            );
        }
        findings.eviction.clone()
    }

    /// Lets the thread end: soon if Redis takes what is left, or at once if it takes nothing.
    pub(crate) fn stop(&self) {
        self.stop.send_replace(true);
    }
}

impl Projection {
    /// Begins sessions until it is stopped or the journal ends.
    async fn run(&mut self, mut stopped: watch::Receiver<bool>) {
        let mut wait = RETRY_MIN;
        let mut told = "";
        loop {
            let before = self.confirmed.map(|passed| passed.position);
            let up = self.metrics.up.clone();
            let ended = tokio::select! {
                biased;
                ended = self.session() => ended,
                () = drained(&mut stopped, up) => return,
            };
            let fault = match ended {
                Ok(()) | Err(Fault::Journal(TailError::Ended)) => return,
                Err(fault) => fault,
            };
            self.metrics.retries.with_label_values(&[fault.label()]).inc();
            if self.confirmed.map(|passed| passed.position) > before {
                wait = RETRY_MIN;
                told = "";
            } else if fault.at_once() {
                wait = wait.max(RETRY_MIN * 2);
            }
            if !fault.at_once() {
                self.metrics.up.set(0);
            }
            if let Fault::Foreign { slot, .. } = fault {
                self.foreign.push(slot);
            }
            if told != fault.label() {
                told = fault.label();
                tracing::warn!(%fault, "redis does not take what is sent: it is tried again until it does");
            }
            // Whoever else writes to our keys may do so again: what is made anew for it is bounded.
            let disturbed = matches!(fault, Fault::Foreign { .. }) || lock(&self.findings).is_shared();
            if fault.at_once() && wait == RETRY_MIN && !disturbed {
                continue;
            }
            let pause = if disturbed { self.settings.retry_max } else { wait };
            tokio::select! {
                () = sleep(pause) => self.observe(),
                _ = stopped.wait_for(|stopped| *stopped) => return,
            }
            wait = (wait * 2).min(self.settings.retry_max);
        }
    }

    async fn session(&mut self) -> Result<(), Fault> {
        Session::begin(self).await?.run().await
    }

    /// Takes note of where Redis was found.
    pub(super) fn found(&mut self, position: u64) {
        if let Some(confirmed) = &mut self.confirmed {
            self.metrics.lost.inc_by(confirmed.position.saturating_sub(position));
            confirmed.position = position;
        } else {
            let wall = self.sources.clock.now();
            self.confirmed = Some(Passed {
                records: 0,
                position,
                wall,
            });
        }
        self.observe();
    }

    /// Takes note of another data directory's watermark. At the first start with a Redis it is what an older one left.
    pub(super) fn found_another(&mut self) {
        if self.confirmed.is_some() {
            lock(&self.findings).shared = Some(Instant::now());
        }
    }

    /// Takes note of what has arrived.
    pub(super) fn confirmed(&mut self, passed: Passed) {
        self.metrics.records.inc_by(passed.records);
        self.metrics.up.set(1);
        self.confirmed = Some(passed);
    }

    /// Tells how far Redis is behind.
    pub(super) fn observe(&mut self) {
        let durable = self.sources.commits.durable().borrow().0;
        let Some(confirmed) = self.confirmed else { return };
        let lag = durable.saturating_sub(confirmed.position);
        self.metrics.lag_records.set(i64::try_from(lag).unwrap_or(i64::MAX));
        if lag == 0 {
            self.caught_up = Instant::now();
        }
        // After a quiet hour the newest record that Redis has is old, and Redis is not behind.
        let age = self.sources.clock.now().since(confirmed.wall);
        self.metrics
            .lag_seconds
            .set(age.min(self.caught_up.elapsed()).as_secs_f64());
    }

    /// Takes note of what nodes say about eviction. True: keys were evicted, and are not any more.
    pub(super) fn evictions(&mut self, nodes: &[Eviction]) -> bool {
        let evicting = nodes.iter().find(|node| node.policy != "noeviction");
        lock(&self.findings).eviction = evicting.map(|node| {
            format!(
                "redis has maxmemory-policy {}: it may drop counts and events; set noeviction",
                node.policy
            )
        });
        let evicted = nodes.iter().map(|node| node.evicted).sum();
        self.tainted |= match self.evicted_seen {
            Some(seen) => evicted > seen,
            // Whether it was ours that went before we came is not known.
            None => evicting.is_some() && evicted > 0,
        };
        self.evicted_seen = Some(evicted);
        self.evicted = evicting.is_none() && std::mem::take(&mut self.tainted) || self.evicted;
        self.evicted
    }

    pub(super) fn naming<'a>(&self, catalogue: &'a Catalogue) -> Naming<'a> {
        Naming {
            catalogue,
            now: self.sources.clock.now(),
            kept: self.settings.counts_kept,
        }
    }
}

impl Findings {
    fn is_shared(&self) -> bool {
        self.shared.is_some_and(|seen| seen.elapsed() < SHARED_TOLD)
    }
}

impl Sources {
    /// Waits until state holds all that has been appended.
    pub(super) async fn folded_all(&self) {
        let (_, last) = self.commits.heads();
        self.folded_up_to(&last).await;
    }

    /// Waits until state holds some records.
    pub(super) async fn folded(&self, records: &[Record]) {
        let mut last = vec![0; PartitionId::COUNT];
        for record in records {
            if let Some(last) = last.get_mut(usize::from(record.partition.number())) {
                *last = record.position.0;
            }
        }
        self.folded_up_to(&last).await;
    }

    async fn folded_up_to(&self, last: &[u64]) {
        let mut changed = self.applied.changed();
        let partitions = || (0..=PartitionId::CATALOGUE.number()).filter_map(PartitionId::new);
        while !partitions()
            .zip(last)
            .all(|(partition, last)| self.applied.of(partition) >= *last)
        {
            if changed.changed().await.is_err() {
                return;
            }
        }
    }

    /// Fails the store, whose state cannot be read.
    pub(super) fn fail(&self, error: &StateError) -> Fault {
        self.commits.fail("reading state", error);
        Fault::State
    }
}

/// Waits until it is to stop, and for a moment longer if Redis takes what is left.
async fn drained(stopped: &mut watch::Receiver<bool>, up: prometheus::IntGauge) {
    // The sender is gone: nobody wants anything any more.
    let _ = stopped.wait_for(|stopped| *stopped).await;
    if up.get() == 1 {
        sleep(DRAIN).await;
    }
}
