//! A session that panicked: by what a message holds, or by what a peer says.
//!
//! It gives back its place at the site, which others need, and its messages, which nobody else would end. A message whose
//! dot was freed is in doubt. The others that were begun wait as after a failure of the disk, for any of them may be the
//! cause; the rest are as if they had not been taken. The site waits, so that what panics each time does not do so all the time.

use std::time::Duration;

use futures_util::stream::FuturesUnordered;
use smtp::client::End;
use types::event::FailureClass;

use super::Session;
use super::outcome::{Evidence, Lost};
use crate::queue::Settled;

/// What is told of messages and sites whose session panicked.
pub(super) const WHY: &str = "the session ended by a fault of ours";

impl Session {
    /// Gives back what the session has. Its connection is not used any more.
    pub(super) async fn broke(&mut self) {
        tracing::error!(peer = %self.link.peer, messages = self.messages.len(), "a session panicked");
        self.last = true;
        // Claims that are not yet handed over are never recorded; those that are come before what is told now.
        self.claims = FuturesUnordered::new();
        let site = self.site.id;
        let (class, random) = (FailureClass::Internal, self.shared.chance.draw());
        self.shared.with(|queue, now| {
            queue.at(site).throttle(class, WHY, Duration::ZERO, now, random);
            for taken in self.batch.drain(..) {
                queue.settle(taken.slot, Settled::Again, now);
            }
        });
        for (_, in_flight) in std::mem::take(&mut self.messages) {
            if in_flight.freed_at.is_some() {
                let lost = Lost {
                    closing: None,
                    proven: self.evidence == Evidence::Served,
                    first: false,
                    held_until: None,
                };
                self.on_end(in_flight, End::InDoubt, &lost).await;
            } else {
                self.defer(in_flight.taken, WHY).await;
            }
        }
    }
}
