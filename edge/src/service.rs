//! The service: built part by part in the order of dependence, run, and drained with the flow.

use std::net::SocketAddr;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context;
use prometheus::Registry;
use store::Store;
use tokio::net::TcpListener;
use tokio::runtime::Handle;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};
use tokio_util::sync::CancellationToken;
use types::catalogue::ShopSpec;
use types::port::{Health, Queues};
use types::time::Clock;
use types::token::{TokenKeys, VerpKey};
use types::withdrawals::Withdrawals;

use crate::clock::SystemClock;
use crate::metrics;
use crate::settings::{Listen, Settings};

/// Where a running service listens.
#[derive(Clone, Copy, Debug)]
pub struct Addresses {
    /// `/v1`.
    pub api: SocketAddr,
    /// Pixels, links, unsubscription.
    pub tracker: SocketAddr,
    /// The same over TLS, if it is served.
    pub tracker_tls: Option<SocketAddr>,
    /// Metrics, health, `/admin/v1`.
    pub admin: SocketAddr,
}

/// A running service.
pub struct Service {
    /// Where it listens.
    pub addresses: Addresses,
    /// The operator key, if this start made it; it is not kept.
    pub operator_key: Option<String>,
    settings: Settings,
    store: Store,
    projector: Option<projection::Projector>,
    mta: mta::Mta,
    scheduler: scheduler::Scheduler,
    ready: watch::Sender<bool>,
    stop: CancellationToken,
    listeners: JoinSet<()>,
    stop_admin: CancellationToken,
    admin: JoinHandle<()>,
}

impl std::fmt::Debug for Service {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Service")
            .field("addresses", &self.addresses)
            .finish_non_exhaustive()
    }
}

/// Returns the runtime that everything asynchronous shares.
pub fn runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .thread_name("tokio")
        // The API checks shops' templates and filters on these threads, of both kinds.
        .thread_stack_size(policy::STACK_BYTES)
        .build()
        .context("starting the runtime")
}

/// Runs the service on a settings file, or on defaults, until it is told to stop; then drains.
pub fn serve(file: Option<&Path>) -> anyhow::Result<ExitCode> {
    let settings = Settings::read(file)?;
    let runtime = runtime()?;
    let service = runtime.block_on(Service::start(settings, Arc::new(SystemClock), runtime.handle()))?;
    if let Some(key) = &service.operator_key {
        // Printed, not logged: logs are kept and read by many.
        println!("operator key, shown this once: {key}");
    }
    let failed = runtime.block_on(async {
        let mut failed = service.store.failed();
        tokio::select! {
            () = stop_signal() => false,
            _ = failed.wait_for(|failed| *failed) => true,
        }
    });
    if failed {
        // What is durable is known; nothing may be written any more. The supervisor's restart recovers.
        tracing::error!("the store failed: exiting to restart into recovery");
        // Nothing is waited for: a thread may hang on the disk that failed.
        std::process::exit(1);
    }
    runtime.block_on(async {
        tokio::select! {
            () = service.drain() => {}
            () = stop_signal() => tracing::warn!("a second signal: exiting without waiting; what is unfinished stays spooled"),
        }
    });
    // What the grace period or a second signal cut off is not waited for.
    runtime.shutdown_background();
    Ok(ExitCode::SUCCESS)
}

fn start_mta(
    settings: &Settings,
    store: &Store,
    tokens: &Arc<TokenKeys>,
    clock: &Arc<dyn Clock>,
    registry: &Registry,
    runtime: &Handle,
) -> Result<mta::Mta, mta::StartError> {
    mta::Mta::start(mta::Deps {
        settings: settings.delivery.clone(),
        submit: settings.submit.clone(),
        webhooks: settings.webhooks.clone(),
        store: store.clone(),
        tokens: Arc::clone(tokens),
        verp: Arc::new(VerpKey::new(&store.secrets().verp_secret())),
        clock: Arc::clone(clock),
        registry: registry.clone(),
        runtime: runtime.clone(),
        world: mta::world::World::default(),
    })
}

/// Waits for SIGTERM or Ctrl-C.
pub async fn stop_signal() {
    let terminated = async {
        match signal(SignalKind::terminate()) {
            Ok(mut terminated) => {
                terminated.recv().await;
            }
            Err(error) => {
                tracing::error!(%error, "SIGTERM cannot be caught; use Ctrl-C");
                std::future::pending::<()>().await;
            }
        }
    };
    tokio::select! {
        () = terminated => {}
        caught = tokio::signal::ctrl_c() => if let Err(error) = caught {
            tracing::error!(%error, "Ctrl-C cannot be caught; use SIGTERM");
            std::future::pending::<()>().await;
        }
    }
}

impl Service {
    /// Recovers and starts every part; returns when the listeners accept. `clock` is the real one, but for tests.
    pub async fn start(settings: Settings, clock: Arc<dyn Clock>, runtime: &Handle) -> anyhow::Result<Self> {
        let registry = Registry::new();
        metrics::register(&registry).context("registering the metrics of the process")?;

        let opening = (settings.store.clone(), Arc::clone(&clock), registry.clone());
        let opened = tokio::task::spawn_blocking(move || store::open(opening.0, opening.1, &opening.2)).await?;
        let (store, replay) =
            opened.with_context(|| format!("opening the data in {}", settings.store.data_dir.display()))?;
        let projector = project(&settings, &store, &clock, &registry)?;
        let operator_key = api::auth::ensure_operator_key(store.secrets())?;
        let tokens = TokenKeys::new(&store.secrets().token_secrets()).distrust(store.secrets().distrusted_tokens());
        let tokens = Arc::new(tokens);
        let withdrawals = Arc::new(Withdrawals::default());

        let mta = start_mta(&settings, &store, &tokens, &clock, &registry, runtime)?;
        let queues: Arc<dyn Queues> = Arc::new(mta.clone());

        let deps = scheduler::Deps {
            store: store.clone(),
            outbox: Arc::new(mta.clone()),
            webhooks: Arc::new(mta.clone()),
            withdrawals: Arc::clone(&withdrawals),
            clock: Arc::clone(&clock),
            registry: registry.clone(),
            runtime: runtime.clone(),
            place: scheduler::Place::Threads,
            seed: rand::random(),
        };
        let rules = settings.scheduler.clone();
        let (scheduler, survivors) =
            tokio::task::spawn_blocking(move || scheduler::Scheduler::start(&rules, deps, replay)).await??;
        mta.resume(survivors);

        let (ready, readiness) = watch::channel(false);
        let (stop, stop_admin) = (CancellationToken::new(), CancellationToken::new());
        let mut listeners = JoinSet::new();
        let api = api::Api::new(
            settings.api.clone(),
            api::Deps {
                store: store.clone(),
                tokens: Arc::clone(&tokens),
                tracking_host: settings.submit.tracking_host.clone(),
                clock: Arc::clone(&clock),
                registry: registry.clone(),
                shop_hook: dns_records(&settings, &store),
                queues,
                health: std::iter::once(Arc::new(store.clone()) as Arc<dyn Health>)
                    .chain(projector.as_ref().map(projection::Projector::health))
                    .collect(),
                ready: readiness,
            },
        );
        let tracker = tracker::Tracker::new(
            settings.tracker.clone(),
            tracker::Deps {
                store: store.clone(),
                tokens,
                withdrawals,
                clock,
                registry,
            },
        );
        let sockets = Sockets::bind(&settings.listen).await?;
        let addresses = sockets.addresses()?;
        listeners.spawn(api.clone().serve_api(sockets.api, stop.clone()));
        if let Some(listener) = sockets.tracker_tls {
            listeners.spawn(tracker.clone().serve_tls(listener, stop.clone()));
        }
        listeners.spawn(tracker.serve(sockets.tracker, stop.clone()));
        // The admin listener outlives the drain: whoever watches sees it end.
        let admin = tokio::spawn(api.serve_admin(sockets.admin, stop_admin.clone()));
        ready.send_replace(true);
        tracing::info!(
            api = %addresses.api,
            tracker = %addresses.tracker,
            tracker_tls = addresses.tracker_tls.map(tracing::field::display),
            admin = %addresses.admin,
            "ready"
        );
        Ok(Self {
            addresses,
            operator_key,
            settings,
            store,
            projector,
            mta,
            scheduler,
            ready,
            stop,
            listeners,
            stop_admin,
            admin,
        })
    }

    /// Drains with the flow: listeners, sessions, runners (which take the sessions' outcomes), store. What does not finish
    /// in time stays spooled.
    pub async fn drain(self) {
        let Self {
            settings,
            store,
            projector,
            mta,
            scheduler,
            ready,
            stop,
            mut listeners,
            stop_admin,
            admin,
            ..
        } = self;
        tracing::info!("draining");
        ready.send_replace(false);
        stop.cancel();
        let deadline = tokio::time::Instant::now() + settings.drain_grace;
        let drained = tokio::time::timeout_at(deadline, async {
            while listeners.join_next().await.is_some() {}
            mta.drain(deadline).await;
            let runners = tokio::task::spawn_blocking(move || scheduler.drain()).await;
            if let Err(error) = runners {
                tracing::error!(%error, "the runners could not be drained");
            }
            store.close().await;
            // The journal has ended: what Redis takes at once still goes there.
            let shipped = tokio::task::spawn_blocking(|| projector.map(projection::Projector::close)).await;
            if let Err(error) = shipped {
                tracing::error!(%error, "the projection to Redis could not be ended");
            }
            stop_admin.cancel();
            if let Err(error) = admin.await {
                tracing::error!(%error, "the admin listener ended badly");
            }
        });
        if drained.await.is_ok() {
            tracing::info!("drained");
        } else {
            tracing::warn!("the drain took longer than its grace; what is unfinished stays spooled");
        }
    }
}

/// Starts the projection to Redis, if there is to be one.
fn project(
    settings: &Settings,
    store: &Store,
    clock: &Arc<dyn Clock>,
    registry: &Registry,
) -> anyhow::Result<Option<projection::Projector>> {
    let started = settings
        .redis
        .clone()
        .map(|redis| projection::Projector::start(redis, store.clone(), Arc::clone(clock), registry));
    started.transpose().context("starting the projection to Redis")
}

/// The listeners' sockets, bound.
struct Sockets {
    api: TcpListener,
    tracker: TcpListener,
    tracker_tls: Option<TcpListener>,
    admin: TcpListener,
}

impl Sockets {
    async fn bind(listen: &Listen) -> anyhow::Result<Self> {
        Ok(Self {
            api: bind(listen.api).await?,
            tracker: bind(listen.tracker).await?,
            tracker_tls: match listen.tracker_tls {
                Some(address) => Some(bind(address).await?),
                None => None,
            },
            admin: bind(listen.admin).await?,
        })
    }

    fn addresses(&self) -> std::io::Result<Addresses> {
        Ok(Addresses {
            api: self.api.local_addr()?,
            tracker: self.tracker.local_addr()?,
            tracker_tls: self.tracker_tls.as_ref().map(TcpListener::local_addr).transpose()?,
            admin: self.admin.local_addr()?,
        })
    }
}

async fn bind(address: SocketAddr) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address)
        .await
        .with_context(|| format!("listening on {address}"))
}

/// Returns what makes a shop's DKIM keys, unless it has them, and tells the DNS records to publish.
fn dns_records(settings: &Settings, store: &Store) -> api::ShopHook {
    let (mail, secrets) = (settings.submit.clone(), store.secrets().clone());
    Arc::new(move |shop: &ShopSpec| {
        let senders = std::iter::once(&shop.promotional).chain(&shop.transactional);
        let mut records = Vec::new();
        for sender in senders {
            for record in mta::submit::dkim_records(&mail, &secrets, sender.address.domain())? {
                records.push(api::DnsRecord {
                    name: record.name,
                    value: record.value,
                });
            }
        }
        Ok(records)
    })
}
