//! Connections: accepted, bounded in number and time, and drained.
//!
//! What one connection may take: a first byte within `first_byte_timeout`; a TLS handshake within `handshake_timeout`; the
//! rest as [`crate::watched`] says. Each is one of at most `connections_max` of both listeners; beyond that, connections
//! wait in the kernel's queue, where they cost us nothing.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use prometheus::IntGauge;
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::Server;
use crate::connection;
use crate::stop::Stop;
use crate::tls::Tls;

/// How long accepting pauses when the process has no file descriptor left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Serves connections until `stop` fires, then lets running requests end, for at most the drain time.
pub(crate) async fn serve(server: Arc<Server>, listener: TcpListener, tls: Option<Arc<Tls>>, stop: CancellationToken) {
    let connections = TaskTracker::new();
    let ours = Stop::default();
    while let Some(Ok(place)) = before(&stop, Arc::clone(&server.places).acquire_owned()).await {
        let (stream, peer) = match before(&stop, listener.accept()).await {
            None => break,
            Some(Ok(accepted)) => accepted,
            Some(Err(error)) => {
                on_accept_error(&error).await;
                continue;
            }
        };
        let (server, tls, ours) = (Arc::clone(&server), tls.clone(), ours.clone());
        connections.spawn(async move {
            let _place = place;
            server.metrics.accepted.inc();
            let _open = Open::new(&server.metrics.connections);
            server.connection(stream, peer, tls.as_deref(), &ours).await;
        });
    }
    drop(listener);
    ours.fire();
    connections.close();
    if tokio::time::timeout(server.settings.drain, connections.wait())
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

/// One open connection, counted until it is dropped, whatever ends it.
struct Open<'a>(&'a IntGauge);

impl<'a> Open<'a> {
    fn new(gauge: &'a IntGauge) -> Self {
        gauge.inc();
        Self(gauge)
    }
}

impl Drop for Open<'_> {
    fn drop(&mut self) {
        self.0.dec();
    }
}

impl Server {
    /// Serves one connection until it ends, its time is over, or the stop is fired and its running request is answered.
    async fn connection(&self, stream: TcpStream, peer: SocketAddr, tls: Option<&Tls>, stop: &Stop) {
        // An answer is one small write: nothing is gained by waiting to fill a packet.
        let _ = stream.set_nodelay(true);
        // Until there is something to read, a connection has no buffer.
        let mut byte = [0];
        let first_byte = tokio::select! {
            biased;
            peeked = tokio::time::timeout(self.settings.first_byte_timeout, stream.peek(&mut byte)) => peeked,
            () = stop.fired_owned() => return,
        };
        match first_byte {
            Ok(Ok(1..)) => {}
            Ok(Ok(0) | Err(_)) => return,
            Err(_silent) => return self.metrics.silent.inc(),
        }
        let peer = peer.ip();
        match tls {
            None => connection::serve(self, stream, peer, stop).await,
            Some(tls) => {
                if let Some(stream) = tls.accept(self, stream, stop).await {
                    connection::serve(self, stream, peer, stop).await;
                }
            }
        }
    }
}
