//! One connection: hyper reads and writes, [`Watched`] keeps the deadlines, and the answers come from [`Server::answer`].
//!
//! hyper's own timers are not installed: they would be one more allocation and timer for each request.

use std::convert::Infallible;
use std::net::IpAddr;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};

use crate::Server;
use crate::stop::Stop;
use crate::watched::{Standing, Watched};

/// The largest request head: a token and a browser's headers are some 1 KiB.
const HEAD_BYTES_MAX: usize = 16 * 1024;
/// The most header lines of a request: browsers send some twenty.
const HEAD_LINES_MAX: usize = 64;

/// Serves requests until the client, a deadline or the stop ends it.
pub(crate) async fn serve<S: AsyncRead + AsyncWrite + Unpin>(server: &Server, stream: S, peer: IpAddr, stop: &Stop) {
    let standing = &Standing::new();
    let mut stream = Watched::new(stream, standing, &server.settings, stop);
    let service = service_fn(async |request| Ok::<_, Infallible>(server.answer(peer, request, standing, stop).await));
    // An answer is one small write, and a client that has sent all it will is still there to be answered.
    let ended = http1::Builder::new()
        .max_headers(HEAD_LINES_MAX)
        .max_buf_size(HEAD_BYTES_MAX)
        .writev(false)
        .half_close(true)
        .serve_connection(TokioIo::new(&mut stream), service)
        .await;
    let refused = match ended {
        Err(error) if error.is_parse_too_large() => Some(431),
        Err(error) if error.is_parse() => Some(400),
        _ if standing.was_slow() => Some(408),
        _ => None,
    };
    if let Some(status) = refused {
        server.metrics.refused(status);
    }
    if refused.is_some() || standing.was_refused() {
        stream.linger().await;
    }
}
