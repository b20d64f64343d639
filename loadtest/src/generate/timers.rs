//! Waits of workflows: an event starts one, and behind it a mail goes out.
//!
//! Workflows count in minutes. An event says when it happened, though, and the wait counts from there: one that happened 55 seconds ago
//! ends a wait of a minute in five. So the moment at which a mail is due is known to the millisecond by the shop's own clock, however
//! long the event took to be accepted.

use std::sync::Arc;
use std::time::Duration;

use super::lane::{Made, Make, Maker};
use super::pacer::Tick;
use super::people::People;
use super::{Origin, Target};
use crate::http;
use crate::ledger::{Kind, Tag};
use crate::scenario::{Arrivals, Load};

/// Makes the requests of `POST /v1/events`.
#[derive(Debug)]
pub(super) struct Timers {
    first: u32,
    lane: usize,
    arrivals: Arrivals,
    wait_seconds: u32,
    people: Arc<People>,
    origin: Origin,
    host: String,
    headers: String,
}

impl Timers {
    pub(super) fn new(target: &Target, lane: usize, load: &Load, people: Arc<People>, origin: Origin) -> Self {
        Self {
            first: load.first,
            lane,
            arrivals: load.arrivals,
            wait_seconds: load.wait_seconds,
            people,
            origin,
            host: target.addresses.api.to_string(),
            headers: http::json_headers(&target.key),
        }
    }
}

/// Returns the workflow's wait, in minutes.
pub(super) fn wait_minutes(wait_seconds: u32) -> u32 {
    wait_seconds.div_ceil(60)
}

/// Returns the name of the event that starts a load's workflow, which is the workflow's id too.
pub(super) fn event_name(lane: usize) -> String {
    format!("load-{lane}")
}

impl Maker for Timers {
    fn make(&self, tick: &Tick) -> Make {
        let tag = Tag {
            kind: Kind::Timer,
            number: self.first + tick.number,
        };
        let due = self
            .origin
            .instant(self.arrivals.caused(tick.number, self.wait_seconds));
        // Moments on the wire have whole milliseconds; rounded up, so that none is due before it is.
        let wall = self.origin.wall_of(due) + Duration::from_millis(1);
        let at = wall - Duration::from_mins(u64::from(wait_minutes(self.wait_seconds)));
        let body = format!(
            r#"{{"id":"load-{tag}","email":"{email}","name":"{name}","at":"{at}"}}"#,
            email = self.people.address(tag),
            name = event_name(self.lane),
        );
        Make::Request(Made {
            bytes: http::request("POST", "/v1/events", &self.host, &self.headers, body.as_bytes()),
            mail: Some((tag, due)),
        })
    }
}
