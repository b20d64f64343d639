//! What queues, sessions and look-ups share: the queues behind their lock, and how their effects are carried out.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::Notify;
use tokio_rustls::TlsConnector;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use types::event::AttemptEnded;
use types::id::PartitionId;
use types::time::{Clock, Timestamp};

use crate::chance::Chance;
use crate::hosts::Hosts;
use crate::ledger::Ledger;
use crate::metrics::Metrics;
use crate::queue::{DomainFault, DomainId, Effect, Queue};
use crate::resolver::Resolver;
use crate::session;
use crate::settings::Settings;
use crate::world::{Place, World};
use types::provider::Provider;

/// The longest that the keeper sleeps: the sweep goes on, and a wall clock that was set is noticed.
const KEEPER_TICK: Duration = Duration::from_millis(200);
/// How often the gauges are set.
const GAUGE_TICKS: u32 = 10;

/// Everything that delivery works with.
pub(crate) struct Shared {
    pub(crate) settings: Settings,
    pub(crate) ledger: Arc<dyn Ledger>,
    pub(crate) world: World,
    pub(crate) resolver: Resolver,
    pub(crate) hosts: Hosts,
    pub(crate) tls: TlsConnector,
    pub(crate) metrics: Metrics,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) chance: Chance,
    pub(crate) tasks: Tasks,
    pub(crate) keeper: Notify,
    pub(crate) queue: Mutex<Queue>,
}

/// What runs: sessions and look-ups, until they are stopped.
pub(crate) struct Tasks {
    pub(crate) runtime: Handle,
    pub(crate) tracker: TaskTracker,
    /// Nothing starts any more; idle sessions say QUIT.
    pub(crate) stop: CancellationToken,
    /// Sessions drop what they do.
    pub(crate) abort: CancellationToken,
}

impl Tasks {
    pub(crate) fn new(runtime: Handle) -> Self {
        Self {
            runtime,
            tracker: TaskTracker::new(),
            stop: CancellationToken::new(),
            abort: CancellationToken::new(),
        }
    }

    pub(crate) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.tracker.spawn_on(task, &self.runtime);
    }
}

impl Shared {
    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Works on the queues, then carries out what that caused. The lock is held for `work` alone.
    pub(crate) fn with<T>(self: &Arc<Self>, work: impl FnOnce(&mut Queue, Timestamp) -> T) -> T {
        let now = self.now();
        let (result, effects) = {
            let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
            let result = work(&mut queue, now);
            (result, queue.take_effects())
        };
        for effect in effects {
            self.carry_out(effect);
        }
        result
    }

    /// Records how an attempt ended.
    pub(crate) async fn tell(&self, partition: PartitionId, provider: Provider, ended: AttemptEnded) {
        self.metrics.ended(provider, ended.outcome);
        self.ledger.tell(partition, ended).await;
    }

    fn carry_out(self: &Arc<Self>, effect: Effect) {
        match effect {
            Effect::Wake(session) => session.notify_one(),
            Effect::Keep => self.keeper.notify_one(),
            Effect::Open(site) => {
                let shared = Arc::clone(self);
                self.tasks.spawn(session::run(shared, site));
            }
            Effect::Resolve(domain, name) => {
                // A route of the settings needs no task, and a message to it no detour.
                if let Some(route) = self.resolver.fixed(&name) {
                    return self.with(|queue, now| queue.resolved(domain, &name, Ok(route), now, 0));
                }
                let shared = Arc::clone(self);
                self.tasks.spawn(async move { shared.resolve(domain, &name).await });
            }
        }
    }

    async fn resolve(self: &Arc<Self>, domain: DomainId, name: &str) {
        let found = tokio::select! {
            biased;
            found = self.resolver.route(name) => found,
            () = self.tasks.stop.cancelled() => return,
        };
        let result = match &found {
            Ok(_) => "ok",
            Err(DomainFault::NullMx) => "null_mx",
            Err(DomainFault::NoSuchDomain | DomainFault::NoAddress) => "missing",
            Err(DomainFault::Unanswered(_)) => "unanswered",
        };
        self.metrics.lookups.with_label_values(&[result]).inc();
        let random = self.chance.draw();
        self.with(|queue, now| queue.resolved(domain, name, found, now, random));
    }

    /// Does what blocks on the disk, off the runtime's threads.
    pub(crate) async fn block_on_disk<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Option<T> {
        match self.world.place {
            Place::Threads => tokio::task::spawn_blocking(work).await.ok(),
            Place::Caller => Some(work()),
        }
    }

    /// Does what is due in the queues, until they are drained.
    pub(crate) async fn keep(self: Arc<Self>) {
        let mut ticks = 0;
        loop {
            let (ended, next) = self.with(Queue::keep);
            let idle = ended.is_empty();
            for (partition, provider, ended) in ended {
                self.tell(partition, provider, ended).await;
            }
            if ticks == 0 {
                self.gauge();
            }
            ticks = (ticks + 1) % GAUGE_TICKS;
            if self.tasks.stop.is_cancelled() && idle {
                return;
            }
            let wait = next.since(self.now()).min(KEEPER_TICK);
            tokio::select! {
                biased;
                () = self.keeper.notified() => {}
                () = tokio::time::sleep(wait) => {}
                () = self.tasks.stop.cancelled() => {}
            }
        }
    }

    fn gauge(self: &Arc<Self>) {
        let (sums, (queued, in_flight), oldest) = self.with(|queue, _| {
            let view = queue.view();
            (view.by_provider(), view.counts(), view.oldest_ready())
        });
        let number = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
        for (provider, (ready, deferred, sessions)) in Provider::ALL.into_iter().zip(sums) {
            let label = [provider.as_str()];
            self.metrics.ready.with_label_values(&label).set(number(ready));
            self.metrics.deferred.with_label_values(&label).set(number(deferred));
            self.metrics.sessions.with_label_values(&label).set(i64::from(sessions));
        }
        self.metrics.queued.set(number(queued));
        self.metrics.in_flight.set(number(in_flight));
        self.metrics
            .oldest_ready
            .set(oldest.map_or(0.0, |at| self.now().since(at).as_secs_f64()));
    }
}
