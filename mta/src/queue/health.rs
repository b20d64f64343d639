//! What a site's failures mean for what is tried next: nothing for a while, or one session first.
//!
//! The wait grows with each failure in a row. Only a message that the site served ends the row. A site is throttled as a
//! whole, or, while other sessions are established, only opening further ones pauses.

use std::time::Duration;

use types::time::Timestamp;

/// The wait after a site failed for the n-th time in a row.
const WAITS: [Duration; 7] = [
    Duration::from_secs(10),
    Duration::from_secs(30),
    Duration::from_mins(1),
    Duration::from_mins(2),
    Duration::from_mins(5),
    Duration::from_mins(10),
    Duration::from_mins(15),
];
/// How many connections are tried at once before one has served a message.
const UNPROVEN_MAX: u32 = 4;

/// Where a site stands. Only `Ready` starts attempts.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum SiteState {
    Ready,
    Throttled { until: Timestamp, why: String },
    Suspended,
}

/// A site's record of failures, and where it stands for it.
#[derive(Debug)]
pub(super) struct Health {
    state: SiteState,
    /// Until when it was throttled or suspended last.
    held_until: Timestamp,
    /// Failures in a row: since a session last served its first message.
    failures: u16,
    /// A session has served a message since the site was last throttled.
    proven: bool,
    /// No further session is opened before: those that are established work on.
    opens_from: Option<Timestamp>,
}

impl Health {
    pub(super) fn new() -> Self {
        Self {
            state: SiteState::Ready,
            held_until: Timestamp::default(),
            failures: 0,
            proven: false,
            opens_from: None,
        }
    }

    pub(super) fn state(&self) -> &SiteState {
        &self.state
    }

    /// Returns whether attempts may start.
    pub(super) fn may_start(&self) -> bool {
        self.state == SiteState::Ready
    }

    /// Returns whether further sessions may be opened, as far as failures tell.
    pub(super) fn may_open(&self, now: Timestamp) -> bool {
        self.opens_from.is_none_or(|from| from <= now)
    }

    /// Returns until when the site was held last.
    pub(super) fn held_until(&self) -> Timestamp {
        self.held_until
    }

    /// Returns how many connections may be had, of `limit`.
    pub(super) fn connections(&self, limit: u32) -> u32 {
        if self.proven {
            limit
        } else if self.failures > 0 {
            1
        } else {
            limit.min(UNPROVEN_MAX)
        }
    }

    /// Notes that a session has served its first message. True if it is the first one since the site was throttled.
    pub(super) fn served(&mut self) -> bool {
        self.failures = 0;
        self.opens_from = None;
        !std::mem::replace(&mut self.proven, true)
    }

    /// Lets no further session be opened for a while, at least for `least`. Returns until when, or `None` if that was so
    /// already.
    pub(super) fn pause_opening(&mut self, least: Duration, now: Timestamp, random: u32) -> Option<Timestamp> {
        if !self.may_open(now) {
            return None;
        }
        let from = self.fail(least, now, random);
        self.opens_from = Some(from);
        Some(from)
    }

    /// Has everything wait for a while, at least for `least`. Returns until when.
    pub(super) fn throttle(&mut self, why: &str, least: Duration, now: Timestamp, random: u32) -> Timestamp {
        let until = self.fail(least, now, random);
        self.proven = false;
        self.opens_from = None;
        self.state = SiteState::Throttled { until, why: why.into() };
        self.held_until = until;
        until
    }

    /// Lets attempts start again if the site was throttled until now. False if it was not.
    pub(super) fn end_throttle(&mut self, now: Timestamp) -> bool {
        let over = matches!(self.state, SiteState::Throttled { until, .. } if until <= now);
        if over {
            self.state = SiteState::Ready;
        }
        over
    }

    /// Lets nothing start until [`Self::resume`].
    pub(super) fn suspend(&mut self) {
        self.state = SiteState::Suspended;
    }

    /// Lets attempts start and sessions be opened at once, whatever held them.
    pub(super) fn resume(&mut self, now: Timestamp) {
        if !self.may_start() {
            self.state = SiteState::Ready;
            self.held_until = now;
        }
        self.opens_from = None;
    }

    /// Counts a failure; returns until when nothing is to be tried, at least `least` from now.
    fn fail(&mut self, least: Duration, now: Timestamp, random: u32) -> Timestamp {
        let wait = WAITS
            .get(usize::from(self.failures))
            .or(WAITS.last())
            .copied()
            .unwrap_or_default();
        let jitter = 0.85 + 0.3 * (f32::from(u16::try_from(random >> 16).unwrap_or(0)) / 65_536.0);
        self.failures = self.failures.saturating_add(1);
        now + wait.mul_f32(jitter).max(least)
    }
}
