//! Calls to shops' pages: what the webhook steps of workflows post.
//!
//! A call is one POST over TLS with a verified certificate, signed in the form of Standard Webhooks with the secret that the shop also
//! signs landing calls with, and bound by one deadline from look-up to status line. Redirects are not followed and the body of the
//! answer is not read. The answer becomes a [`WebhookEnded`] event through the intake; calling again is the runner's business, because
//! it outlives this process. The page's owner chooses what its name resolves to, so addresses outside the public Internet are not
//! connected to, except by a route of the settings.
//!
//! `webhook-id` is the same for all attempts of one step and of no other: who has seen it has done it.

use std::fmt;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt;
use http_body_util::Full;
use hyper::header::{CONTENT_TYPE, HOST, USER_AGENT};
use hyper::{Method, Request, Uri};
use hyper_util::rt::TokioIo;
use prometheus::{IntCounterVec, IntGauge, Opts, Registry};
use rustls::pki_types::ServerName;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};
use serde::Deserialize;
use store::Store;
use tokio::net::TcpStream;
use tokio::runtime::Handle;
use tokio::sync::Semaphore;
use tokio_rustls::TlsConnector;
use tokio_util::task::TaskTracker;
use types::event::{Event, WebhookEnded};
use types::id::PublicId;
use types::port::Call;
use types::setting;
use types::time::Clock;
use types::token::TokenKeys;

use crate::address::is_forbidden;
use crate::chance::Chance;
use crate::metrics::begin;
use crate::resolver::{Resolver, ResolverError};
use crate::settings::{self, Route};

/// Calls that wait for their turn at most. One more is answered without having been made.
const LINE_MAX: usize = 4096;
/// How long the runner waits for an answer, a little less: a call that cannot end within it is not begun.
const ANSWER_WITHIN: Duration = policy::workflow::ANSWER_WITHIN.saturating_sub(Duration::from_secs(2));

/// How shops' pages are called.
#[derive(Clone, Debug)]
pub struct Settings {
    /// How long a call may take, from the look-up to the status.
    pub timeout: Duration,
    /// Calls at once; more wait, as long as they can still be answered in time. What cannot is made again later.
    pub calls_max: usize,
    /// Certificates that are trusted beside the system's, PEM.
    pub ca_file: Option<std::path::PathBuf>,
    /// Where hosts are connected to without asking DNS.
    pub routes: Vec<Route>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            timeout: Duration::from_secs(10),
            calls_max: 64,
            ca_file: None,
            routes: Vec::new(),
        }
    }
}

/// The section `[webhooks]` as written.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// [`Settings::timeout`], 1 s to 25 s: the runner waits 30 s for an answer.
    pub timeout: Option<String>,
    /// [`Settings::calls_max`], 1 to 1,024.
    pub calls_max: Option<usize>,
    /// [`Settings::ca_file`].
    pub ca_file: Option<std::path::PathBuf>,
    /// [`Settings::routes`].
    pub routes: Vec<Route>,
}

impl Config {
    /// Reads what was written; each fault is added to `faults` as `key: fault`, and the default stands in.
    pub fn resolve(self, faults: &mut Vec<String>) -> Settings {
        let default = Settings::default();
        let timeout = setting::duration_or("webhooks.timeout", self.timeout.as_deref(), default.timeout, faults);
        if !(Duration::from_secs(1)..=Duration::from_secs(25)).contains(&timeout) {
            faults.push("webhooks.timeout: is not from 1s to 25s".into());
        }
        let calls_max = self.calls_max.unwrap_or(default.calls_max);
        if !(1..=1024).contains(&calls_max) {
            faults.push(format!("webhooks.calls_max: {calls_max} is not from 1 to 1024"));
        }
        if let Some(file) = &self.ca_file
            && let Err(error) = certificates(file)
        {
            faults.push(format!("webhooks.ca_file: {}: {error}", file.display()));
        }
        Settings {
            timeout,
            calls_max: calls_max.clamp(1, 1024),
            ca_file: self.ca_file,
            routes: self.routes,
        }
    }
}

/// Calling cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// DNS cannot be asked.
    #[error(transparent)]
    Resolver(#[from] ResolverError),
    /// The certificates or TLS settings are of no use.
    #[error("setting up TLS for webhooks: {0}")]
    Tls(String),
    /// A metric is registered twice.
    #[error("registering the metrics of webhooks: {0}")]
    Metrics(#[from] prometheus::Error),
}

/// Handles of the metrics of webhooks.
#[derive(Clone, Debug)]
struct Metrics {
    /// Calls by how they ended: `2xx`, `3xx`, `4xx`, `5xx`, `unanswered`, `busy`. Healthy: nearly all `2xx`. `busy`: calls come faster
    /// than shops answer; they are made again later.
    calls: IntCounterVec,
    /// Calls under way. At the limit of the settings: shops answer slowly.
    under_way: IntGauge,
}

/// What calling needs.
pub(crate) struct Deps {
    pub(crate) settings: Settings,
    pub(crate) store: Store,
    pub(crate) tokens: Arc<TokenKeys>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) runtime: Handle,
    pub(crate) registry: Registry,
    /// For what is left to chance: which address of a host is tried first.
    pub(crate) seed: u64,
}

/// What calls shops' pages.
pub(crate) struct Caller {
    settings: Settings,
    allow_private: bool,
    resolver: Resolver,
    tls: TlsConnector,
    places: Arc<Semaphore>,
    /// Calls that are made or wait for it.
    line: Arc<Semaphore>,
    tasks: TaskTracker,
    store: Store,
    tokens: Arc<TokenKeys>,
    clock: Arc<dyn Clock>,
    chance: Chance,
    runtime: Handle,
    metrics: Metrics,
}

impl fmt::Debug for Caller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Caller")
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}

impl Caller {
    pub(crate) fn start(deps: Deps, delivery: &settings::Settings) -> Result<Arc<Self>, StartError> {
        let settings = deps.settings;
        let calls = Opts::new("mta_webhook_calls_total", "Calls of shops' pages by how they ended");
        let metrics = Metrics {
            calls: IntCounterVec::new(calls, &["result"])?,
            under_way: IntGauge::new("mta_webhook_calls", "Calls of shops' pages under way")?,
        };
        begin(&metrics.calls, &["2xx", "3xx", "4xx", "5xx", "unanswered", "busy"]);
        deps.registry.register(Box::new(metrics.calls.clone()))?;
        deps.registry.register(Box::new(metrics.under_way.clone()))?;
        Ok(Arc::new(Self {
            resolver: Resolver::new(delivery)?,
            tls: verified(settings.ca_file.as_deref())?,
            places: Arc::new(Semaphore::new(settings.calls_max)),
            line: Arc::new(Semaphore::new(settings.calls_max + LINE_MAX)),
            allow_private: delivery.allow_private_destinations,
            tasks: TaskTracker::new(),
            settings,
            store: deps.store,
            tokens: deps.tokens,
            clock: deps.clock,
            chance: Chance::new(deps.seed),
            runtime: deps.runtime,
            metrics,
        }))
    }

    /// Makes a call in the background and tells its answer to the runner.
    pub(crate) fn call(self: &Arc<Self>, call: Call) {
        let in_line = Arc::clone(&self.line).try_acquire_owned();
        let caller = Arc::clone(self);
        let calling = async move {
            let status = match in_line {
                Ok(_in_line) => caller.in_turn(&call).await,
                Err(_) => caller.busy(),
            };
            let ended = WebhookEnded {
                instance: call.instance,
                epoch: call.epoch,
                status,
            };
            // A store that takes nothing more is draining or has failed: the instance's timer calls again after the restart.
            let _ = caller
                .store
                .intake()
                .tell(call.partition, Event::WebhookEnded(ended))
                .await;
        };
        self.tasks.spawn_on(calling, &self.runtime);
    }

    /// Waits for a place, makes the call, and returns its status, if it was answered.
    async fn in_turn(&self, call: &Call) -> Option<u16> {
        let patience = ANSWER_WITHIN.saturating_sub(self.settings.timeout);
        let Ok(Ok(_place)) = tokio::time::timeout(patience, self.places.acquire()).await else {
            return self.busy();
        };
        self.metrics.under_way.inc();
        // A page whose answer makes our code panic has not answered: the runner is told so like any other time.
        let posting = AssertUnwindSafe(self.post(call)).catch_unwind();
        let answer = tokio::time::timeout(self.settings.timeout, posting).await;
        self.metrics.under_way.dec();
        self.told(
            call,
            answer.map(|posted| posted.unwrap_or_else(|_| Err("calling it panicked".to_owned()))),
        )
    }

    fn busy(&self) -> Option<u16> {
        self.metrics.calls.with_label_values(&["busy"]).inc();
        None
    }

    /// Waits for the calls under way; each has a deadline of its own.
    pub(crate) async fn drain(&self) {
        self.tasks.close();
        self.tasks.wait().await;
    }

    fn told(&self, call: &Call, answer: Result<Result<u16, String>, tokio::time::error::Elapsed>) -> Option<u16> {
        let fault = match answer {
            Ok(Ok(status)) => {
                let class = match status {
                    200..=299 => "2xx",
                    300..=399 => "3xx",
                    400..=499 => "4xx",
                    _ => "5xx",
                };
                self.metrics.calls.with_label_values(&[class]).inc();
                return Some(status);
            }
            Ok(Err(fault)) => fault,
            Err(_) => format!("no answer within {:?}", self.settings.timeout),
        };
        self.metrics.calls.with_label_values(&["unanswered"]).inc();
        tracing::debug!(url = call.url.as_str(), %fault, "a webhook was not answered");
        None
    }

    /// Posts, and returns the status.
    async fn post(&self, call: &Call) -> Result<u16, String> {
        let stream = self.connect(call.url.host(), call.url.port()).await?;
        let name = ServerName::try_from(call.url.host().to_owned()).map_err(|error| error.to_string())?;
        let stream = self
            .tls
            .connect(name, stream)
            .await
            .map_err(|error| error.to_string())?;
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
            .await
            .map_err(|error| error.to_string())?;
        let request = self.request(call)?;
        let mut answer = std::pin::pin!(sender.send_request(request));
        let answer = tokio::select! {
            answer = &mut answer => answer,
            // The page may have answered and closed at once: then the answer is there already.
            _ = connection => answer.await,
        };
        answer
            .map(|answer| answer.status().as_u16())
            .map_err(|error| error.to_string())
    }

    fn request(&self, call: &Call) -> Result<Request<Full<Bytes>>, String> {
        let url: Uri = call.url.as_str().parse().map_err(|error| format!("the URL: {error}"))?;
        let path = url.path_and_query().map_or("/", hyper::http::uri::PathAndQuery::as_str);
        let host = url
            .authority()
            .map_or_else(|| call.url.host(), |authority| authority.as_str());
        let at = self.clock.now().as_millis() / 1000;
        let instance = PublicId {
            partition: call.partition,
            event: call.instance,
        };
        let id = format!("{instance}.{}", call.step);
        let signature = self.tokens.sign_call(call.shop, &id, at, call.body.as_bytes());
        Request::builder()
            .method(Method::POST)
            .uri(path)
            .header(HOST, host)
            .header(USER_AGENT, "staffetta")
            .header(CONTENT_TYPE, "application/json")
            .header("webhook-id", id)
            .header("webhook-timestamp", at)
            .header("webhook-signature", signature.unwrap_or_default())
            .body(Full::new(Bytes::from(call.body.clone())))
            .map_err(|error| error.to_string())
    }

    async fn connect(&self, host: &str, port: u16) -> Result<TcpStream, String> {
        let host = host.to_ascii_lowercase();
        let route = self.settings.routes.iter().find(|route| route.domain == host);
        let (addresses, routed) = match route {
            Some(route) => (self.resolver.addresses(&route.host, route.port, 0).await?, true),
            None => (self.resolver.addresses(&host, port, self.chance.draw()).await?, false),
        };
        let mut fault = "the host's addresses are none that may be connected to".to_owned();
        for address in addresses {
            if !routed && !self.allow_private && is_forbidden(address.ip()) {
                continue;
            }
            match TcpStream::connect(address).await {
                Ok(stream) => return Ok(stream),
                Err(error) => fault = error.to_string(),
            }
        }
        Err(fault)
    }
}

/// Returns a connector that trusts whom the system trusts, and those in `ca_file`.
fn verified(ca_file: Option<&std::path::Path>) -> Result<TlsConnector, StartError> {
    let mut roots = RootCertStore::empty();
    let system = rustls_native_certs::load_native_certs();
    roots.add_parsable_certificates(system.certs);
    if let Some(file) = ca_file {
        for certificate in certificates(file).map_err(StartError::Tls)? {
            roots
                .add(certificate)
                .map_err(|error| StartError::Tls(error.to_string()))?;
        }
    }
    if roots.is_empty() {
        tracing::warn!("the system trusts no certificate (is ca-certificates installed?): no webhook will be answered");
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| StartError::Tls(error.to_string()))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(TlsConnector::from(Arc::new(config)))
}

fn certificates(file: &std::path::Path) -> Result<Vec<rustls::pki_types::CertificateDer<'static>>, String> {
    let certificates = rustls::pki_types::CertificateDer::pem_file_iter(file).map_err(|error| error.to_string())?;
    let certificates: Vec<_> = certificates
        .collect::<Result<_, _>>()
        .map_err(|error| error.to_string())?;
    if certificates.is_empty() {
        return Err("holds no certificate".to_owned());
    }
    Ok(certificates)
}
