//! What every handler sees.

use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use prometheus::Registry;
use store::{State, StateError, Store};
use tokio::sync::{Notify, watch};
use tokio_util::task::TaskTracker;
use types::catalogue::Catalogue;
use types::id::ShopNumber;
use types::port::{Health, Queues};
use types::time::{Clock, Timestamp};
use types::token::TokenKeys;

use crate::admission::Admission;
use crate::auth::Limits;
use crate::catalogue::publication::{Publication, ShopHook};
use crate::keyring::Keyring;
use crate::metrics::Metrics;
use crate::ports::Ports;
use crate::problem::{Kind, Problem};
use crate::settings::Settings;

/// How long a GET waits for state to reach what was durable when it arrived.
const FOLD_WAIT: Duration = Duration::from_secs(1);

/// What the API works with; the binary makes them.
pub struct Deps {
    /// Where everything is kept.
    pub store: Store,
    /// The keys that click ids and landing secrets are made with.
    pub tokens: Arc<TokenKeys>,
    /// The host of tracking links of shops without one of their own; snippets of landing pages name it.
    pub tracking_host: String,
    /// Tells the time.
    pub clock: Arc<dyn Clock>,
    /// Where the metrics are registered, and read from by `/metrics`.
    pub registry: Registry,
    /// Makes a shop's signing keys.
    pub shop_hook: ShopHook,
    /// The mail engine's queues.
    pub queues: Arc<dyn Queues>,
    /// Every part that knows whether it is well; `/healthz` answers from them.
    pub health: Vec<Arc<dyn Health>>,
    /// Whether the service is ready; `/readyz` answers from it.
    pub ready: watch::Receiver<bool>,
}

/// The state of the routers: a handle, cheap to clone.
#[derive(Clone)]
pub(crate) struct App(Arc<Shared>);

/// What [`App`] is a handle of.
pub(crate) struct Shared {
    pub(crate) settings: Arc<Settings>,
    pub(crate) store: Store,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) metrics: Arc<Metrics>,
    /// How often keys may ask, and addresses fail.
    pub(crate) limits: Limits,
    /// How much is worked on at once.
    pub(crate) admission: Admission,
    pub(crate) keyring: Keyring,
    /// What shops' owners publish.
    pub(crate) publication: Publication,
    /// The rest of the service.
    pub(crate) ports: Ports,
    /// Told when an import was handed in.
    pub(crate) imports: Notify,
    /// Work that goes on when its client hangs up.
    pub(crate) tasks: TaskTracker,
    /// The API's description, written out once.
    pub(crate) description: Bytes,
}

impl Deref for App {
    type Target = Shared;

    fn deref(&self) -> &Shared {
        &self.0
    }
}

impl App {
    /// Puts everything together and registers the metrics.
    pub(crate) fn new(settings: Settings, deps: Deps) -> Self {
        let metrics = Metrics::register(&deps.registry).expect("the names are ours alone, and registered once");
        Self(Arc::new(Shared {
            limits: Limits::new(&settings),
            admission: Admission::new(&settings, &metrics),
            keyring: Keyring::new(deps.store.secrets(), deps.tokens),
            publication: Publication::new(deps.shop_hook, deps.tracking_host),
            ports: Ports::new(deps.queues, deps.registry, deps.health, deps.ready),
            imports: Notify::new(),
            tasks: TaskTracker::new(),
            description: crate::openapi::description(),
            metrics: Arc::new(metrics),
            settings: Arc::new(settings),
            store: deps.store,
            clock: deps.clock,
        }))
    }

    /// Returns the time.
    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Returns the catalogue as it is now.
    pub(crate) fn catalogue(&self) -> Arc<Catalogue> {
        self.store.catalogue().load()
    }

    /// Waits until state has what was durable just now. After a second, what state has is answered all the same.
    pub(crate) async fn fold(&self) {
        if !self.store.fold_reached(FOLD_WAIT).await {
            tracing::debug!("state is more than a second behind the journal");
        }
    }

    /// Works on a thread that may wait for the disk. What a shop can make last long goes by [`App::in_turn`].
    pub(crate) async fn apart<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Self) -> T + Send + 'static,
    ) -> Result<T, Problem> {
        let app = self.clone();
        let done = tokio::task::spawn_blocking(move || work(&app)).await;
        done.map_err(|error| internal("working on a request", &error))
    }

    /// Computes what a shop asked for on one of the threads for that, when it is the shop's turn.
    ///
    /// `bytes` is what the work keeps in memory while it waits and no other bound counts.
    pub(crate) async fn in_turn<T: Send + 'static>(
        &self,
        shop: ShopNumber,
        bytes: usize,
        work: impl FnOnce(&Self) -> T + Send + 'static,
    ) -> Result<T, Problem> {
        let app = self.clone();
        self.admission.turns.run(shop, bytes, move || work(&app)).await
    }

    /// Reads state on a thread that may wait for the disk.
    pub(crate) async fn reading<T: Send + 'static>(
        &self,
        read: impl FnOnce(&State) -> Result<T, StateError> + Send + 'static,
    ) -> Result<T, Problem> {
        let read = self.apart(move |app| read(app.store.state())).await?;
        read.map_err(|error| internal("reading state", &error))
    }
}

/// Logs what failed on our side, and answers that something did.
pub(crate) fn internal(doing: &'static str, error: &dyn std::fmt::Display) -> Problem {
    tracing::error!(%error, "{doing} failed");
    Problem::new(Kind::Internal, "it is in our log; trying again may help")
}
