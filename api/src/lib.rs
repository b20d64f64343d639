//! The authenticated listeners: the API for upstream apps, and the admin listener for those who run the service.
//!
//! What comes in is parsed into the types of `types`, checked, claimed and handed to the store's intake; a 2xx is given
//! once it is durable. What is asked is answered from folded state. The crate decides nothing about mail and keeps no
//! data of its own: limits and metrics are all its memory.
//!
//! ```text
//! listener ─► connection (deadlines) ─► router ─► measure ─► auth ─► body ─► json ─► check ─► once ─► store
//!                                                                                      story ◄─────── state
//! ```
//!
//! Deliberately absent: TLS (a proxy's business; the listeners bind to loopback by default), HTTP/2, CORS, sessions.

mod admin;
mod admission;
mod app;
mod aside;
pub mod auth;
mod batch;
mod body;
mod carts;
mod catalogue;
mod check;
mod connection;
mod contacts;
mod events;
mod extract;
mod imports;
mod json;
mod keyring;
mod listener;
mod measure;
mod messages;
mod metrics;
mod once;
mod openapi;
mod orders;
mod persons;
mod ports;
mod problem;
mod router;
mod settings;
mod stats;
mod story;
mod stream;
mod suppressions;
mod turns;
mod verdicts;
mod workflows;

use std::sync::Arc;

use axum::Router;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

pub use app::Deps;
pub use catalogue::publication::{DnsRecord, ShopHook};
pub use settings::{Config, Settings};

use app::App;

/// The API and the admin listener, ready to serve. A handle, cheap to clone.
#[derive(Clone)]
pub struct Api {
    app: App,
}

impl Api {
    /// Puts the API together and registers its metrics: once on each registry.
    pub fn new(settings: Settings, deps: Deps) -> Self {
        Self {
            app: App::new(settings, deps),
        }
    }

    /// Serves the API on `listener`, and works imports through, until `stop`; within a runtime. Returns when requests in flight have ended, or the drain's grace is
    /// over. Accepted work whose client went away has been handed to the store by then.
    pub fn serve_api(&self, listener: TcpListener, stop: CancellationToken) -> impl Future<Output = ()> + Send + use<> {
        self.app.tasks.spawn(imports::work(self.app.clone(), stop.clone()));
        self.serve("api", router::router(&self.app), listener, stop)
    }

    /// Serves metrics, health and the operator's requests on `listener` until `stop`, like [`Api::serve_api`].
    pub fn serve_admin(
        &self,
        listener: TcpListener,
        stop: CancellationToken,
    ) -> impl Future<Output = ()> + Send + use<> {
        self.serve("admin", admin::router(&self.app), listener, stop)
    }

    /// Returns the API's description in `OpenAPI` 3.1, as `/openapi.json` gives it.
    pub fn description(&self) -> bytes::Bytes {
        self.app.description.clone()
    }

    fn serve(
        &self,
        name: &'static str,
        router: Router,
        listener: TcpListener,
        stop: CancellationToken,
    ) -> impl Future<Output = ()> + Send + use<> {
        let (settings, metrics) = (Arc::clone(&self.app.settings), self.app.metrics.listener(name));
        let tasks = self.app.tasks.clone();
        async move {
            listener::serve(listener, router, settings, metrics, stop).await;
            tasks.close();
            tasks.wait().await;
        }
    }
}
