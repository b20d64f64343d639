//! Connections: accepted, bounded in number and time, and drained.
//!
//! What one connection may take: a first byte within `first_byte_timeout`; a request's head, or the idle time before it,
//! within `header_timeout`; a POST's body within `body_timeout`; and `connection_life` for everything, which also ends
//! clients that never read their answers. Each is one of at most `connections_max`; beyond that, connections wait in the
//! kernel's queue, where they cost us nothing.

use std::convert::Infallible;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::Tracker;

/// How long accepting pauses when the process has no file descriptor left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// The largest request head: a token and a browser's headers are some 1 KiB.
const HEAD_BYTES_MAX: usize = 16 * 1024;
/// The most header lines of a request.
const HEADERS_MAX: usize = 64;

/// Serves connections until `stop` fires, then lets running requests end, for at most the drain time.
pub(crate) async fn serve(tracker: Arc<Tracker>, listener: TcpListener, stop: CancellationToken) {
    let places = Arc::new(Semaphore::new(tracker.settings.connections_max));
    let connections = TaskTracker::new();
    while let Some(place) = before(&stop, Arc::clone(&places).acquire_owned()).await {
        let (stream, peer) = match before(&stop, listener.accept()).await {
            None => break,
            Some(Ok(accepted)) => accepted,
            Some(Err(error)) => {
                on_accept_error(&error).await;
                continue;
            }
        };
        let (tracker, stop) = (Arc::clone(&tracker), stop.clone());
        connections.spawn(async move {
            let _place = place;
            tracker.metrics.accepted.inc();
            tracker.metrics.connections.inc();
            tracker.connection(stream, peer, &stop).await;
            tracker.metrics.connections.dec();
        });
    }
    drop(listener);
    connections.close();
    if tokio::time::timeout(tracker.settings.drain, connections.wait())
        .await
        .is_err()
    {
        tracing::warn!(
            connections = connections.len(),
            "tracker: requests still running at the end of the drain"
        );
    }
}

/// Waits for `future` unless `stop` fires first.
async fn before<T>(stop: &CancellationToken, future: impl Future<Output = T>) -> Option<T> {
    tokio::select! {
        biased;
        () = stop.cancelled() => None,
        value = future => Some(value),
    }
}

/// A connection that died in the queue is no news; anything else is a shortage, which a pause lets pass.
async fn on_accept_error(error: &io::Error) {
    match error.kind() {
        io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset | io::ErrorKind::Interrupted => {}
        _ => {
            tracing::warn!(%error, "tracker: accepting a connection failed");
            tokio::time::sleep(ACCEPT_PAUSE).await;
        }
    }
}

impl Tracker {
    /// Serves one connection until it ends, its time is over, or `stop` fires and its running request is answered.
    async fn connection(self: &Arc<Self>, stream: TcpStream, peer: SocketAddr, stop: &CancellationToken) {
        // An answer is one small write: nothing is gained by waiting to fill a packet.
        let _ = stream.set_nodelay(true);
        let mut byte = [0];
        let first_byte = tokio::time::timeout(self.settings.first_byte_timeout, stream.peek(&mut byte));
        match before(stop, first_byte).await {
            Some(Ok(Ok(1..))) => {}
            Some(Err(_silent)) => return self.metrics.silent.inc(),
            None | Some(Ok(Ok(0) | Err(_))) => return,
        }
        let peer: IpAddr = peer.ip();
        let service = service_fn(|request| {
            let tracker = Arc::clone(self);
            async move { Ok::<_, Infallible>(tracker.answer(peer, request).await) }
        });
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(self.settings.header_timeout)
            .max_headers(HEADERS_MAX)
            .max_buf_size(HEAD_BYTES_MAX)
            .serve_connection(TokioIo::new(stream), service);
        let mut connection = pin!(connection);
        let life = tokio::time::sleep(self.settings.connection_life);
        // Errors are the client's: it went away, was too slow, or does not speak HTTP. hyper has answered what it can.
        tokio::select! {
            _ = connection.as_mut() => return,
            () = life => {}
            () = stop.cancelled() => {}
        }
        connection.as_mut().graceful_shutdown();
        let _ = tokio::time::timeout(self.settings.drain, connection).await;
    }
}
