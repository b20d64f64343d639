//! The accept loop that both listeners share.
//!
//! We run our own instead of `axum::serve`, which has no limits at all: here every connection has deadlines (see
//! [`crate::connection`]), their number has a cap, a process out of file descriptors waits instead of spinning, and a
//! stop ends idle connections at once and busy ones after their answer. HTTP/1.1 only: the callers are a few upstream
//! apps behind our own network's edge, and HTTP/2 would add flood surface for nothing (`docs/adr/0003`).
//!
//! A head that cannot be read, or is too large, is answered by hyper itself, which lets nobody write that answer: 400 or 431
//! with an empty body. All other refusals are problems (see [`crate::problem`]).

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::FromRequestParts;
use bytes::Bytes;
use hyper::Request;
use hyper::body::{Frame, Incoming};
use hyper::http::request::Parts;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use pin_project_lite::pin_project;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::Service;

use crate::app::App;
use crate::auth::Peer;
use crate::connection::{Standing, Watched};
use crate::metrics::Listener;
use crate::settings::Settings;

/// The longest wait after a failed accept.
const BACKOFF_MAX: Duration = Duration::from_secs(1);
/// The largest request head, and what a connection holds of a body that is not read yet. Heads are some 500 bytes.
const HEAD_BYTES_MAX: usize = 32 * 1024;

/// Serves `router` on `listener` until `stop`, then lets requests in flight end, for at most the drain's grace.
pub(crate) async fn serve(
    listener: TcpListener,
    router: Router,
    settings: Arc<Settings>,
    metrics: Listener,
    stop: CancellationToken,
) {
    let places = Arc::new(Semaphore::new(settings.connections_max));
    let connections = TaskTracker::new();
    let cut = CancellationToken::new();
    while let Some((stream, peer, place)) = next(&listener, &places, &metrics, &stop).await {
        let connection = Connection {
            router: router.clone(),
            settings: Arc::clone(&settings),
            metrics: metrics.clone(),
            stop: stop.clone(),
            cut: cut.clone(),
        };
        connections.spawn(connection.run(stream, peer, place));
    }
    drop(listener);
    connections.close();
    if tokio::time::timeout(settings.drain_grace, connections.wait())
        .await
        .is_err()
    {
        tracing::warn!(
            connections = connections.len(),
            "connections still open after the drain's grace are cut"
        );
        cut.cancel();
        connections.wait().await;
    }
}

/// Returns the next connection and its place among them, or `None` when stopped.
async fn next(
    listener: &TcpListener,
    places: &Arc<Semaphore>,
    metrics: &Listener,
    stop: &CancellationToken,
) -> Option<(TcpStream, SocketAddr, OwnedSemaphorePermit)> {
    let accepted = async {
        let place = Arc::clone(places).acquire_owned().await.ok()?;
        let mut backoff = Duration::from_millis(5);
        loop {
            match listener.accept().await {
                Ok((stream, peer)) => return Some((stream, peer, place)),
                Err(error) if is_the_peers(&error) => {}
                Err(error) => {
                    // Out of file descriptors or memory (EMFILE, ENFILE, ENOBUFS): trying at once would only spin.
                    metrics.accept_errors.inc();
                    tracing::warn!(%error, wait = ?backoff, "accepting a connection failed");
                    tokio::time::sleep(backoff).await;
                    backoff = (backoff * 2).min(BACKOFF_MAX);
                }
            }
        }
    };
    tokio::select! {
        biased;
        () = stop.cancelled() => None,
        accepted = accepted => accepted,
    }
}

/// Whether an accept failed because that one peer went away.
fn is_the_peers(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset | io::ErrorKind::ConnectionRefused
    )
}

/// Fires when the listener stops: answers without an end must find one. In each request's extensions.
#[derive(Clone, Debug)]
pub(crate) struct Stopping(pub(crate) CancellationToken);

impl FromRequestParts<App> for Stopping {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &App) -> Result<Self, Infallible> {
        Ok(parts
            .extensions
            .get()
            .cloned()
            .unwrap_or_else(|| Self(CancellationToken::new())))
    }
}

/// In the extensions of an answer whose body goes on for long: the request is at work until it ends.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Streamed;

pin_project! {
    /// A body that keeps its request at work.
    struct AtWork {
        #[pin]
        body: Body,
        standing: EndsWork,
    }
}

/// Ends a request's work when it is dropped.
struct EndsWork(Standing);

impl Drop for EndsWork {
    fn drop(&mut self) {
        self.0.end();
    }
}

impl hyper::body::Body for AtWork {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        self.project().body.poll_frame(cx)
    }
}

/// What a connection's task needs.
struct Connection {
    router: Router,
    settings: Arc<Settings>,
    metrics: Listener,
    stop: CancellationToken,
    cut: CancellationToken,
}

impl Connection {
    /// Answers the connection's requests one after the other. `_place` is held until it ends.
    async fn run(self, stream: TcpStream, peer: SocketAddr, _place: OwnedSemaphorePermit) {
        let _open = self.metrics.open();
        // An answer is one write; waiting for more would only delay it.
        if stream.set_nodelay(true).is_err() {
            return;
        }
        let standing = Standing::default();
        let io = TokioIo::new(Watched::new(
            stream,
            standing.clone(),
            &self.settings,
            self.metrics.clone(),
        ));
        let (router, stopping) = (self.router, Stopping(self.stop.clone()));
        let service = service_fn(move |request: Request<Incoming>| {
            standing.begin();
            let standing = standing.clone();
            let mut request = request.map(Body::new);
            request.extensions_mut().insert(Peer(peer.ip()));
            request.extensions_mut().insert(stopping.clone());
            let answer = router.clone().call(request);
            async move {
                let answer = answer.await.map_err(|never: Infallible| never)?;
                if answer.extensions().get::<Streamed>().is_none() {
                    standing.end();
                    return Ok::<_, Infallible>(answer);
                }
                let standing = EndsWork(standing);
                Ok(answer.map(|body| Body::new(AtWork { body, standing })))
            }
        });
        // `Watched` ends slow heads and idle connections; hyper's own head timer is the second fence behind it.
        let fence = self.settings.header_timeout.max(self.settings.idle_timeout) + Duration::from_secs(5);
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(fence)
            .max_headers(64)
            .max_buf_size(HEAD_BYTES_MAX)
            .serve_connection(io, service);
        let mut connection = pin!(connection);
        let ended = tokio::select! {
            biased;
            ended = connection.as_mut() => ended,
            () = self.stop.cancelled() => {
                connection.as_mut().graceful_shutdown();
                tokio::select! {
                    ended = connection.as_mut() => ended,
                    () = self.cut.cancelled() => return,
                }
            }
        };
        if let Err(error) = ended {
            tracing::debug!(%error, "a connection ended with an error");
        }
    }
}
