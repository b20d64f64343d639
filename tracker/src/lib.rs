//! The public listener: what recipients' mail clients fetch and follow.
//!
//! | path | answer |
//! |---|---|
//! | `GET /c/{token}` | 302 to the campaign's landing page |
//! | `GET /o/{token}.gif` | a transparent pixel of 43 bytes |
//! | `GET /u/{token}` | a page with a button; it changes nothing |
//! | `POST /u/{token}` | unsubscribes: RFC 8058 one-click, or the page's button |
//! | `GET /robots.txt` | keeps crawlers out |
//!
//! No disk, no DNS and no store stands between a click and its redirect: the token says what is meant, the catalogue's
//! snapshot in memory says where it leads, and the event is *offered* to the runner's inbox, which never waits. If that
//! inbox is full the visitor is answered all the same and the event is counted as dropped. Unsubscribing is the other
//! way round: it is answered only once it is durable.
//!
//! Nothing is recorded for tokens that name nobody (they are only counted), for people who withdrew, for HEAD requests and
//! for prefetches. Whatever is wrong with a token, the visitor sees the shop's own page and learns nothing.
//!
//! TLS is terminated in front of this listener, by a proxy that passes `Host` on and says in `X-Forwarded-For` who asks.

mod agent;
mod click;
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
mod unsubscribe;

use std::sync::Arc;

use prometheus::Registry;
use store::Store;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use types::time::Clock;
use types::token::TokenKeys;
use types::withdrawals::Withdrawals;

pub use settings::{Config, Settings};

use limit::Limit;
use metrics::Metrics;
use safe_page::SafePages;

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

/// The public listener's state, shared by its connections.
pub struct Tracker {
    settings: Settings,
    deps: Deps,
    safe_pages: SafePages,
    limit: Limit,
    metrics: Metrics,
}

impl Tracker {
    /// Makes a tracker and registers its metrics.
    ///
    /// # Panics
    ///
    /// If the registry has metrics of the same names: one registry takes one tracker.
    pub fn new(settings: Settings, deps: Deps) -> Self {
        Self {
            limit: Limit::new(&settings),
            safe_pages: SafePages::default(),
            metrics: Metrics::new(&deps.registry).expect("one registry takes one tracker"),
            settings,
            deps,
        }
    }

    /// Serves connections until `stop` fires, then lets running requests end, for at most the settings' drain time.
    pub async fn serve(self, listener: TcpListener, stop: CancellationToken) {
        listener::serve(Arc::new(self), listener, stop).await;
    }
}
