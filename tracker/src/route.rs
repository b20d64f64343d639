//! From a request to its answer.

use std::net::IpAddr;

use tokio::time::Instant;

use crate::http::{Head, Method};
use crate::reply::{self, Reply};
use crate::request::{Endpoint, Request, party};
use crate::{Server, snippet};

impl Server {
    /// Answers one request and counts it. `began` is when its head was there.
    pub(crate) async fn answer(&self, peer: IpAddr, head: &Head<'_>, body: &[u8], began: Instant) -> Reply {
        let (endpoint, token) = Endpoint::of(head.path);
        let request = Request {
            head,
            body,
            party: party(peer, head),
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
        let is_read = matches!(request.head.method, Method::Get | Method::Head);
        let is_post = request.head.method == Method::Post;
        match endpoint {
            Endpoint::Click if is_read => self.click(token, request),
            Endpoint::Pixel if is_read => self.pixel(token, request),
            Endpoint::Unsubscribe if is_read => self.unsubscribe_page(token, request),
            Endpoint::Unsubscribe if is_post => self.unsubscribe(token, request).await,
            Endpoint::Landing if is_read => self.landing_image(request).await,
            Endpoint::Landing if is_post => self.landing(request).await,
            Endpoint::Snippet if is_read => snippet::reply(request.head.if_none_match),
            Endpoint::Robots if is_read => reply::text(200, "User-agent: *\nDisallow: /\n"),
            Endpoint::Unsubscribe | Endpoint::Landing => reply::not_allowed("GET, HEAD, POST"),
            Endpoint::Click | Endpoint::Pixel | Endpoint::Snippet | Endpoint::Robots => reply::not_allowed("GET, HEAD"),
            Endpoint::Other => reply::gone(),
        }
    }
}
