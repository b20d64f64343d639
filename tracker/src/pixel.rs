//! `/o/{token}.gif`: a mail was opened. Whatever the token, there is an image: a broken one would only puzzle the reader.

use types::event::{Event, HitKind, Opened};
use types::token::{BadToken, Kind};

use crate::Server;
use crate::metrics::{Fate, Tracked};
use crate::reply::{self, Reply};
use crate::request::{Endpoint, Request};

impl Server {
    /// Answers a pixel. Waits for nothing.
    pub(crate) fn pixel(&self, token: &str, request: &Request<'_>) -> Reply {
        match self.record_open(token, request) {
            Ok(fate) => self.metrics.event(Tracked::Opened, fate),
            Err(reason) => self.bad_token(Endpoint::Pixel, reason, request),
        }
        reply::pixel()
    }

    fn record_open(&self, text: &str, request: &Request<'_>) -> Result<Fate, BadToken> {
        let (keys, host) = (&self.deps.tokens, request.host);
        if Kind::claimed(text) == Some(Kind::AggregatePixel) {
            let token = keys.verify_aggregate_pixel(host, text)?;
            return Ok(if keys.trusts(text) {
                self.count(token.shop, None, HitKind::Open, request.visitor())
            } else {
                Fate::Untrusted
            });
        }
        let token = keys.verify_pixel(host, text)?;
        // Unlike a click it leads nowhere, so nothing is left of one that counts for nothing.
        if !keys.trusts(text) {
            return Ok(Fate::Untrusted);
        }
        if self.deps.withdrawals.contains(token.message) {
            return Ok(Fate::Withdrawn);
        }
        let visitor = request.visitor();
        let opened = Opened {
            message: token.message,
            shop: token.shop,
            agent: visitor.agent,
            network: Some(visitor.network),
            visit: visitor.visit,
            suspect: self.suspects.contains(visitor.network, request.now),
        };
        Ok(self.offer(token.partition, Event::Opened(opened), visitor))
    }
}
