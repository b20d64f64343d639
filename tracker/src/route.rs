//! From a request to its answer.

use std::net::IpAddr;
use std::time::Instant;

use hyper::body::Incoming;
use hyper::{Method, Request, StatusCode};

use crate::Tracker;
use crate::reply::{self, Reply};
use crate::request::{self, Endpoint, Visit};

impl Tracker {
    /// Answers one request and counts it.
    pub(crate) async fn answer(&self, peer: IpAddr, request: Request<Incoming>) -> Reply {
        let start = Instant::now();
        let (endpoint, _) = Endpoint::of(request.uri().path());
        let reply = if self.limit.allows(request::party(peer, request.headers())) {
            self.route(request).await
        } else {
            self.metrics.limited.inc();
            reply::later(StatusCode::TOO_MANY_REQUESTS, "1")
        };
        let seconds = start.elapsed().as_secs_f64();
        self.metrics.duration(endpoint).observe(seconds);
        let status = reply.status();
        let labels = [endpoint.as_str(), status.as_str()];
        self.metrics.requests.with_label_values(&labels).inc();
        reply
    }

    async fn route(&self, request: Request<Incoming>) -> Reply {
        let (request, body) = request.into_parts();
        let (method, headers) = (&request.method, &request.headers);
        let (endpoint, token) = Endpoint::of(request.uri.path());
        let host = request::host(&request.uri, headers);
        let is_read = method == Method::GET || method == Method::HEAD;
        match endpoint {
            Endpoint::Click if is_read => self.click(host, token, Visit::of(method, headers)),
            Endpoint::Pixel if is_read => self.pixel(host, token, Visit::of(method, headers)),
            Endpoint::Unsubscribe if is_read => self.unsubscribe_page(host, token, headers),
            Endpoint::Unsubscribe if method == Method::POST => self.unsubscribe(host, token, headers, body).await,
            Endpoint::Robots if is_read => reply::text(StatusCode::OK, "User-agent: *\nDisallow: /\n"),
            Endpoint::Unsubscribe => reply::not_allowed("GET, HEAD, POST"),
            Endpoint::Click | Endpoint::Pixel | Endpoint::Robots => reply::not_allowed("GET, HEAD"),
            Endpoint::Other => reply::gone(),
        }
    }
}
