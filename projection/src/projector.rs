//! The projector's thread: one session after another, and the waits between them.

use std::io;
use std::panic::{self, AssertUnwindSafe};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use prometheus::Registry;
use store::{Store, TailError};
use tokio::sync::watch;
use tokio::time::sleep;
use types::catalogue::Catalogue;
use types::id::Slot;
use types::port::Health;
use types::time::{Clock, Timestamp};

use crate::changes::Changes;
use crate::fault::Fault;
use crate::keys::Naming;
use crate::link::Eviction;
use crate::lock;
use crate::metrics::Metrics;
use crate::session::{Passed, Session};
use crate::settings::Settings;

/// The first wait after a failure; it doubles up to the setting `retry_max`.
const RETRY_MIN: Duration = Duration::from_millis(50);
/// How long the end of the store waits for what Redis takes at that moment.
const DRAIN: Duration = Duration::from_secs(1);

/// How long it is told that another node was seen at the same Redis; the two meet about each time that one waits.
const SHARED_TOLD: Duration = Duration::from_mins(10);

/// The projector. Dropped, it ends as soon as it may.
#[derive(Debug)]
pub struct Projector {
    findings: Arc<Mutex<Findings>>,
    stop: watch::Sender<bool>,
    thread: JoinHandle<()>,
}

/// What an operator must change in the settings of Redis, or in ours.
#[derive(Debug, Default)]
struct Findings {
    eviction: Option<String>,
    /// When another node was last seen to write to this Redis.
    shared: Option<Instant>,
}

/// What outlives sessions.
pub(crate) struct Projection {
    pub(crate) store: Store,
    clock: Arc<dyn Clock>,
    pub(crate) settings: Settings,
    pub(crate) metrics: Metrics,
    pub(crate) changes: Arc<Changes>,
    findings: Arc<Mutex<Findings>>,
    /// Slots that hold something of others, to be emptied.
    pub(crate) foreign: Vec<Slot>,
    /// Whether something of all slots was evicted, so that they are to be sent again.
    pub(crate) evicted: bool,
    /// Keys that Redis had evicted when it was last asked, and whether some went under an evicting policy.
    evicted_seen: Option<u64>,
    tainted: bool,
    /// The last record that Redis has confirmed, or was found with.
    confirmed: Option<Passed>,
    /// When Redis last had all there was.
    caught_up: Instant,
}

impl Projector {
    /// Starts the thread, which ships what a store makes durable from now on, and what Redis lacks of what it holds. Err: the
    /// metrics' names are taken, or the system makes no thread.
    ///
    /// # Panics
    ///
    /// When the store has an observer already: a store has one projector.
    pub fn start(settings: Settings, store: Store, clock: Arc<dyn Clock>, registry: &Registry) -> io::Result<Self> {
        let changes = Arc::<Changes>::default();
        store.observe(Arc::clone(&changes) as Arc<dyn store::Observer>);
        let metrics = Metrics::register(registry).map_err(io::Error::other)?;
        // The client takes the process's provider. Whoever has chosen one before has chosen the same.
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let (stop, stopped) = watch::channel(false);
        let findings = Arc::<Mutex<Findings>>::default();
        let mut projection = Projection {
            store,
            clock,
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
        let thread = thread::Builder::new().name("projection".to_owned()).spawn(run)?;
        Ok(Self { findings, stop, thread })
    }

    /// Ends the thread: soon if Redis takes what is left, or at once if it takes nothing. Blocks; the store is closed before.
    pub fn close(self) {
        self.stop.send_replace(true);
        if self.thread.join().is_err() {
            tracing::error!("the projector's thread panicked");
        }
    }

    /// Returns what an operator is to be told of it, for as long as it runs.
    pub fn health(&self) -> Arc<dyn Health> {
        Arc::new(Told(Arc::clone(&self.findings)))
    }
}

/// What an operator is told.
struct Told(Arc<Mutex<Findings>>);

impl Health for Told {
    fn findings(&self) -> Vec<(&'static str, String)> {
        let findings = lock(&self.0);
        let finding = if findings.is_shared() {
            let what = "another node ships to the same redis, and each undoes what the other did; set a url of its own";
            Some(what.to_owned())
        } else {
            findings.eviction.clone()
        };
        finding.map(|finding| ("redis", finding)).into_iter().collect()
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
    pub(crate) fn found(&mut self, position: u64) {
        if let Some(confirmed) = &mut self.confirmed {
            self.metrics.lost.inc_by(confirmed.position.saturating_sub(position));
            confirmed.position = position;
        } else {
            let wall = self.clock.now();
            self.confirmed = Some(Passed {
                records: 0,
                position,
                wall,
            });
        }
        self.observe();
    }

    /// Takes note of another data directory's watermark. At the first start with a Redis it is what an older one left.
    pub(crate) fn found_another(&mut self) {
        if self.confirmed.is_some() {
            lock(&self.findings).shared = Some(Instant::now());
        }
    }

    /// Takes note of what has arrived.
    pub(crate) fn confirmed(&mut self, passed: Passed) {
        self.metrics.records.inc_by(passed.records);
        self.metrics.up.set(1);
        self.confirmed = Some(passed);
    }

    /// Tells how far Redis is behind.
    pub(crate) fn observe(&mut self) {
        let durable = self.store.journal().durable().borrow().0;
        let Some(confirmed) = self.confirmed else { return };
        let lag = durable.saturating_sub(confirmed.position);
        self.metrics.lag_records.set(i64::try_from(lag).unwrap_or(i64::MAX));
        if lag == 0 {
            self.caught_up = Instant::now();
        }
        // After a quiet hour the newest record that Redis has is old, and Redis is not behind.
        let age = self.clock.now().since(confirmed.wall);
        self.metrics
            .lag_seconds
            .set(age.min(self.caught_up.elapsed()).as_secs_f64());
    }

    /// Takes note of what nodes say about eviction. True: keys were evicted, and are not any more.
    pub(crate) fn evictions(&mut self, nodes: &[Eviction]) -> bool {
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

    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    pub(crate) fn naming<'a>(&self, catalogue: &'a Catalogue) -> Naming<'a> {
        Naming {
            catalogue,
            now: self.clock.now(),
            kept: self.settings.counts_kept,
        }
    }
}

impl Findings {
    fn is_shared(&self) -> bool {
        self.shared.is_some_and(|seen| seen.elapsed() < SHARED_TOLD)
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
