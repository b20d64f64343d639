//! How fast messages go to a site.

use std::time::Duration;

use policy::pacing::{Pacer, Rate};
use types::id::EPOCH_MILLIS;
use types::time::Timestamp;

use super::book::Tick;

/// A site's pace.
#[derive(Debug, Default)]
pub(super) struct Pace {
    pacer: Pacer,
    /// When the next message may go, once one had to wait.
    until: Option<Timestamp>,
}

impl Pace {
    /// Returns whether messages may go now, as far as is known.
    pub(super) fn is_open(&self, now: Timestamp) -> bool {
        self.until.is_none_or(|until| until <= now)
    }

    /// Lets one message go, or returns when the next one may.
    pub(super) fn take(&mut self, rate: Option<Rate>, now: Timestamp) -> Result<(), Timestamp> {
        let Some(rate) = rate else { return Ok(()) };
        let since = Duration::from_millis(now.as_millis().saturating_sub(EPOCH_MILLIS));
        self.pacer.take(since, rate).map_err(|next| {
            let until = Tick::at(now + next.saturating_sub(since)).time();
            self.until = Some(until);
            until
        })
    }

    /// Forgets a wait that is over.
    pub(super) fn look(&mut self, now: Timestamp) {
        self.until = self.until.filter(|until| *until > now);
    }

    /// Forgets any wait: the rate has changed.
    pub(super) fn reset(&mut self) {
        self.until = None;
    }
}
