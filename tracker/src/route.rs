//! From a request to its answer.

use std::error::Error;
use std::net::IpAddr;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::body::{Body, Incoming};
use hyper::header::IF_NONE_MATCH;
use hyper::http::request::Parts;
use hyper::{Method, Response};
use tokio::time::Instant;

use crate::framing::{self, Framing};
use crate::reply::{self, Reply};
use crate::request::{Endpoint, Request, party};
use crate::stop::Stop;
use crate::watched::Standing;
use crate::{Server, snippet};

/// The largest body: a one-click POST has 26 bytes, as multipart some 150; a landing call some 200.
const BODY_BYTES_MAX: usize = 8 * 1024;

impl Server {
    /// Answers one request and counts it.
    pub(crate) async fn answer(
        &self,
        peer: IpAddr,
        request: hyper::Request<Incoming>,
        standing: &Standing,
        stop: &Stop,
    ) -> Response<Full<Bytes>> {
        let began = Instant::now();
        let age = standing.begin(began);
        let (parts, body) = request.into_parts();
        let (reply, framing) = match framing::check(&parts, standing.has_bare_lf()) {
            Ok((framing @ Framing::Empty, host)) => (Ok(self.reply(peer, &parts, host, &[], began).await), framing),
            Ok((framing @ Framing::Last, host)) => {
                // Few requests have a body; the others' futures stay small.
                let reply = match Box::pin(self.collect(body)).await {
                    Ok(body) => Ok(self.reply(peer, &parts, host, &body, began).await),
                    Err(refusal) => Err(refusal),
                };
                (reply, framing)
            }
            Err(refusal) => (Err(refusal), Framing::Last),
        };
        let reply = reply.unwrap_or_else(|refusal| {
            standing.refuse();
            self.metrics.refused(refusal.status);
            refusal
        });
        standing.end();
        let closes = framing == Framing::Last || age >= self.settings.connection_life || stop.has_fired();
        reply.into_response(parts.headers, closes)
    }

    /// Reads a body within its bounds.
    async fn collect(&self, body: Incoming) -> Result<Bytes, Reply> {
        let too_much = || reply::text(413, "Too much was sent.\n");
        if body.size_hint().lower() > BODY_BYTES_MAX as u64 {
            return Err(too_much());
        }
        let collected = Limited::new(body, BODY_BYTES_MAX).collect();
        match tokio::time::timeout(self.settings.body_timeout, collected).await {
            Ok(Ok(body)) => Ok(body.to_bytes()),
            Ok(Err(error)) if is_too_long(&*error) => Err(too_much()),
            Ok(Err(_malformed)) => Err(reply::text(400, "Not a request.\n")),
            Err(_elapsed) => Err(reply::text(408, "Too slow.\n")),
        }
    }

    /// Answers a request whose form is right. `began` is when its head was there.
    async fn reply(&self, peer: IpAddr, parts: &Parts, host: &str, body: &[u8], began: Instant) -> Reply {
        let (endpoint, token) = Endpoint::of(parts.uri.path());
        let request = Request {
            parts,
            host,
            body,
            party: party(peer, parts),
            now: self.deps.clock.now(),
        };
        let reply = if self.limit.allows(request.party) {
            self.route(endpoint, token, &request).await
        } else {
            self.metrics.limited.inc();
            reply::later(429, "1")
        };
        self.metrics.answered(endpoint, reply.status, began.elapsed());
        reply
    }

    async fn route(&self, endpoint: Endpoint, token: &str, request: &Request<'_>) -> Reply {
        let is_read = matches!(request.parts.method, Method::GET | Method::HEAD);
        let is_post = request.parts.method == Method::POST;
        match endpoint {
            Endpoint::Click if is_read => self.click(token, request),
            Endpoint::Pixel if is_read => self.pixel(token, request),
            Endpoint::Unsubscribe if is_read => self.unsubscribe_page(token, request),
            Endpoint::Unsubscribe if is_post => Box::pin(self.unsubscribe(token, request)).await,
            Endpoint::Landing if is_read => Box::pin(self.landing_image(request)).await,
            Endpoint::Landing if is_post => Box::pin(self.landing(request)).await,
            Endpoint::Snippet if is_read => snippet::reply(request.header(&IF_NONE_MATCH)),
            Endpoint::Robots if is_read => reply::text(200, "User-agent: *\nDisallow: /\n"),
            Endpoint::Unsubscribe | Endpoint::Landing => reply::not_allowed("GET, HEAD, POST"),
            Endpoint::Click | Endpoint::Pixel | Endpoint::Snippet | Endpoint::Robots => reply::not_allowed("GET, HEAD"),
            Endpoint::Other => reply::gone(),
        }
    }
}

fn is_too_long(error: &(dyn Error + Send + Sync + 'static)) -> bool {
    error.is::<LengthLimitError>()
}
