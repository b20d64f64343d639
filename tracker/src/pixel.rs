//! `/o/{token}.gif`: a mail was opened. Whatever the token, there is an image: a broken one would only puzzle the reader.

use types::event::{Event, Opened};
use types::token::{BadToken, Kind};

use crate::Tracker;
use crate::metrics::Fate;
use crate::reply::{self, Reply};
use crate::request::{Endpoint, Visit};

impl Tracker {
    /// Answers a pixel. Waits for nothing.
    pub(crate) fn pixel(&self, host: &str, token: &str, visit: Visit) -> Reply {
        match self.record_open(host, token, visit) {
            Ok(fate) => self.metrics.event("opened", fate),
            Err(reason) => self.metrics.bad_token(Endpoint::Pixel, reason),
        }
        reply::pixel()
    }

    fn record_open(&self, host: &str, token: &str, visit: Visit) -> Result<Fate, BadToken> {
        let keys = &self.deps.tokens;
        let individual = if Kind::claimed(token) == Some(Kind::AggregatePixel) {
            keys.verify_aggregate_pixel(host, token)?;
            None
        } else {
            Some(keys.verify_pixel(host, token)?)
        };
        let Visit::Real(agent) = visit else {
            return Ok(Fate::Prefetched);
        };
        let Some(token) = individual else {
            return Ok(Fate::Aggregate);
        };
        if self.deps.withdrawals.contains(token.message) {
            return Ok(Fate::Withdrawn);
        }
        let opened = Opened {
            message: token.message,
            shop: token.shop,
            agent,
            network: None,
            visit: types::event::Visit::Real,
            suspect: false,
        };
        Ok(self.offer(token.partition, Event::Opened(opened)))
    }
}
