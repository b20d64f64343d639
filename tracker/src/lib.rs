//! The public listener: what recipients' mail clients fetch and follow.
//!
//! | path | answer |
//! |---|---|
//! | `GET /c/{token}` | 302 to the campaign's landing page |
//! | `GET /o/{token}.gif` | a transparent pixel of 43 bytes |
//! | `GET /u/{token}` | a page with buttons; it changes nothing |
//! | `POST /u/{token}` | unsubscribes: RFC 8058 one-click, or the page's buttons |
//! | `GET /landing.js` | the script that tells of landings |
//! | `POST /l`, `GET /l` | an advertiser's site was reached |
//! | `GET /robots.txt` | keeps crawlers out |
//!
//! No disk, no DNS and no store stands between a click and its redirect: the token says what is meant, the catalogue's
//! snapshot in memory says where it leads, and the event is *offered* to the runner's inbox, which never waits. If that
//! inbox is full the visitor is answered all the same and the event is counted as dropped. Unsubscribing is the other
//! way round: it is answered only once it is durable.
//!
//! Nothing is recorded for people who withdrew. Tokens that name nobody are counted in memory and handed on four times a
//! second. HEAD requests and prefetches are handed on as evidence and counted nowhere. Whatever is wrong with a token, the
//! visitor sees the shop's own page and learns nothing.
//!
//! TLS is terminated here ([`Tracker::serve_tls`]), or in front, by a proxy on this machine that passes `Host` on and says in
//! `X-Forwarded-For` who asks.

mod aggregate;
mod click;
mod connection;
mod destination;
mod framing;
mod landing;
mod limit;
mod listener;
mod metrics;
mod page;
mod pixel;
mod reply;
mod request;
mod route;
mod safe_page;
mod settings;
mod snippet;
mod stop;
mod suspects;
mod tls;
mod unsubscribe;
mod watched;

use std::sync::Arc;

use prometheus::Registry;
use store::Store;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use types::event::Event;
use types::id::PartitionId;
use types::time::Clock;
use types::token::TokenKeys;
use types::withdrawals::Withdrawals;

pub use settings::{Config, Settings};

use aggregate::Aggregates;
use limit::Limit;
use metrics::{Fate, Metrics, Tracked};
use safe_page::SafePages;
use suspects::Suspects;
use tls::Tls;

/// What the tracker works with.
#[derive(Clone)]
pub struct Deps {
    /// The catalogue that says where links lead, and the inboxes that events go to.
    pub store: Store,
    /// The keys that tokens are verified with.
    pub tokens: Arc<TokenKeys>,
    /// Mails of people who withdrew.
    pub withdrawals: Arc<Withdrawals>,
    /// The wall clock: whether an offer ended.
    pub clock: Arc<dyn Clock>,
    /// Where the tracker's metrics are registered.
    pub registry: Registry,
}

/// The public listener; its clones are one tracker, on as many sockets.
#[derive(Clone)]
pub struct Tracker(Arc<Server>);

/// What all connections share.
struct Server {
    settings: Settings,
    deps: Deps,
    safe_pages: SafePages,
    limit: Limit,
    suspects: Suspects,
    aggregates: Aggregates,
    metrics: Metrics,
    /// One for each connection, of either listener.
    places: Arc<Semaphore>,
}

impl Tracker {
    /// Makes a tracker and registers its metrics.
    ///
    /// # Panics
    ///
    /// If the registry has metrics of the same names: one registry takes one tracker.
    pub fn new(settings: Settings, deps: Deps) -> Self {
        Self(Arc::new(Server {
            limit: Limit::new(&settings),
            safe_pages: SafePages::default(),
            suspects: Suspects::new(),
            aggregates: Aggregates::new(),
            metrics: Metrics::new(&deps.registry).expect("one registry takes one tracker"),
            places: Arc::new(Semaphore::new(settings.connections_max)),
            settings,
            deps,
        }))
    }

    /// Serves connections until `stop` fires, then lets running requests end, for at most the settings' drain time. What was
    /// counted for nobody is with the runners on return.
    pub async fn serve(self, listener: TcpListener, stop: CancellationToken) {
        self.0.serve(listener, None, stop).await;
    }

    /// As [`Tracker::serve`], over TLS with the certificates of the settings' folder.
    pub async fn serve_tls(self, listener: TcpListener, stop: CancellationToken) {
        match Tls::new(&self.0).await {
            Ok(tls) => self.0.serve(listener, Some(Arc::new(tls)), stop).await,
            Err(error) => tracing::error!(%error, "tracker: TLS cannot be set up; its listener is closed"),
        }
    }
}

impl Server {
    async fn serve(self: Arc<Self>, listener: TcpListener, tls: Option<Arc<Tls>>, stop: CancellationToken) {
        let serving = listener::serve(Arc::clone(&self), listener, tls.clone(), stop);
        let fresh = async {
            match &tls {
                Some(tls) => tls.keep_fresh(&*self.deps.clock).await,
                None => std::future::pending().await,
            }
        };
        let handing_on = async {
            loop {
                tokio::time::sleep(aggregate::INTERVAL).await;
                self.hand_on().await;
            }
        };
        tokio::select! {
            () = serving => {}
            () = fresh => {}
            () = handing_on => {}
        }
        self.hand_on().await;
    }

    /// Hands what was counted for nobody to the runners.
    async fn hand_on(&self) {
        let lost = self.aggregates.hand_on(self.deps.store.intake()).await;
        if lost > 0 {
            self.metrics.events(Tracked::Opened, Fate::Dropped, lost);
        }
    }

    /// Hands an event to its runner; returns whether it became durable in time.
    async fn submit(&self, partition: PartitionId, event: Event) -> bool {
        let submitted = self.deps.store.intake().submit(partition, event);
        let submitted = tokio::time::timeout(self.settings.submit_timeout, submitted).await;
        matches!(submitted, Ok(Ok(_receipt)))
    }
}
