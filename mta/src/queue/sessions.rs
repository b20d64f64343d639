//! The sessions of a site: how many there are, which of them wait for work, and how many there may be.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;
use types::time::Timestamp;

/// How long a connection limit that the receiver made us feel is kept to.
const LEARNED_FOR: Duration = Duration::from_mins(10);

/// A site's sessions.
#[derive(Debug, Default)]
pub(super) struct Sessions {
    /// Opening ones included.
    count: u32,
    opening: u32,
    /// Sessions that will ask for messages in a moment, so that none need be opened for the first ones.
    coming: usize,
    /// Sessions that wait for work, the last used last.
    idle: Vec<Arc<Notify>>,
    /// A lower limit of connections that the receiver made us feel, and until when it is kept to.
    learned: Option<(u32, Timestamp)>,
}

impl Sessions {
    /// Returns how many there are, opening ones included.
    pub(super) fn count(&self) -> u32 {
        self.count
    }

    pub(super) fn established(&self) -> u32 {
        self.count.saturating_sub(self.opening)
    }

    /// Returns whether those that are opening, or come back for more, are enough for so many messages.
    pub(super) fn suffice(&self, messages: usize) -> bool {
        let messages = u32::try_from(messages).unwrap_or(u32::MAX);
        let coming = u32::try_from(self.coming).unwrap_or(u32::MAX);
        self.opening.saturating_add(coming) >= messages
    }

    /// Returns the limit of connections: the settings', or a lower one that the receiver made us feel.
    pub(super) fn limit(&self, limit: u32, now: Timestamp) -> u32 {
        match self.learned {
            Some((learned, until)) if until > now => learned.min(limit),
            _ => limit,
        }
    }

    /// Keeps to as many sessions as there are now, for some minutes: the receiver takes no more.
    pub(super) fn learn_limit(&mut self, now: Timestamp) {
        self.learned = Some((self.count, now + LEARNED_FOR));
    }

    /// Counts a session that begins to open.
    pub(super) fn open(&mut self) {
        self.count += 1;
        self.opening += 1;
    }

    /// Notes that a session is established, and will ask for messages.
    pub(super) fn opened(&mut self) {
        self.opening = self.opening.saturating_sub(1);
        self.coming += 1;
    }

    /// Notes that a session could not be established.
    pub(super) fn open_failed(&mut self) {
        self.opening = self.opening.saturating_sub(1);
        self.count = self.count.saturating_sub(1);
    }

    /// Notes that an established session is over. `coming` tells that it was counted on to ask for messages.
    pub(super) fn closed(&mut self, session: &Arc<Notify>, coming: bool) {
        self.count = self.count.saturating_sub(1);
        self.coming = self.coming.saturating_sub(usize::from(coming));
        self.idle.retain(|idle| !Arc::ptr_eq(idle, session));
    }

    /// Notes that a session will ask for more messages in a moment.
    pub(super) fn comes_back(&mut self) {
        self.coming += 1;
    }

    /// Notes that a session that was counted on has asked for messages.
    pub(super) fn came(&mut self) {
        self.coming = self.coming.saturating_sub(1);
    }

    /// Notes that a session waits for work.
    pub(super) fn wait(&mut self, session: &Arc<Notify>) {
        if !self.idle.iter().any(|idle| Arc::ptr_eq(idle, session)) {
            self.idle.push(Arc::clone(session));
        }
    }

    /// Takes the session that was used last out of those that wait for work.
    pub(super) fn wake(&mut self) -> Option<Arc<Notify>> {
        self.idle.pop()
    }

    /// Takes all sessions that wait for work.
    pub(super) fn wake_all(&mut self) -> impl Iterator<Item = Arc<Notify>> {
        self.idle.drain(..)
    }

    /// Takes a session out of those that wait for work. False if it was just woken: there is work for it.
    pub(super) fn retire(&mut self, session: &Arc<Notify>) -> bool {
        let before = self.idle.len();
        self.idle.retain(|idle| !Arc::ptr_eq(idle, session));
        self.idle.len() < before
    }
}
