//! How messages leave the queues: settled by their sessions, withdrawn, too old, or failed with their domain.

use types::event::Outcome;
use types::id::MessageId;
use types::time::Timestamp;

use super::Queue;
use super::book::{Slot, State, Tick};
use super::domain::Standing;

/// The most messages of condemned domains that end in one turn of the keeper.
const ENDED_PER_TURN: usize = 512;

/// What is told of a message whose time was over while it waited.
pub(super) const EXPIRED: &str = "its time was over before anyone took it";
/// What is told of a message that was withdrawn.
pub(super) const WITHDRAWN: &str = "withdrawn";

/// What becomes of a message that a session had.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Settled {
    /// It has ended.
    Over,
    /// It is tried again later; the attempt counts.
    Later(Timestamp),
    /// The reply to its final dot was lost. It is tried once more later; the attempt counts, and so does the doubt.
    OnceMore(Timestamp),
    /// It is tried again at once; the attempt does not count, as nothing of it was said, or we broke off.
    Again,
    /// The session ended at its MAIL. It is tried again at once; the attempt does not count, but the interruption does.
    Interrupted,
}

impl Queue {
    /// Takes a message out if its final dot was not sent; it then ends as withdrawn.
    pub(crate) fn withdraw(&mut self, message: MessageId) {
        let book = self.messages.book_mut();
        let Some(slot) = book.find(message) else {
            return self.messages.remember_withdrawn(message);
        };
        let Some(entry) = book.entry_mut(slot) else { return };
        match entry.state {
            State::InFlight => entry.state = State::Withdrawing,
            State::Ready | State::Deferred => self.end(slot, Outcome::Withdrawn, WITHDRAWN),
            State::Withdrawing | State::Gone | State::Free => {}
        }
    }

    /// Returns whether a message's final dot may be sent: it was not withdrawn meanwhile.
    pub(crate) fn may_finish(&self, slot: Slot) -> bool {
        let entry = self.messages.book().entry(slot);
        entry.is_some_and(|entry| entry.state == State::InFlight)
    }

    /// Takes back a message that a session had. False if it was withdrawn meanwhile, and has ended by that.
    pub(crate) fn settle(&mut self, slot: Slot, settled: Settled, now: Timestamp) -> bool {
        self.messages.came_back();
        let book = self.messages.book_mut();
        let Some(entry) = book.entry_mut(slot) else { return true };
        let withdrawn = entry.state == State::Withdrawing;
        let id = entry.domain;
        let Some(domain) = self.domains.get_mut(id) else {
            return true;
        };
        domain.came_back();
        match settled {
            Settled::Over => book.remove(slot),
            Settled::Later(_) | Settled::OnceMore(_) | Settled::Again | Settled::Interrupted if withdrawn => {
                let provider = self.sites.provider(domain);
                self.agenda.record(entry, provider, Outcome::Withdrawn, WITHDRAWN);
                book.remove(slot);
            }
            Settled::Later(due) | Settled::OnceMore(due) => {
                entry.attempts = entry.attempts.saturating_add(1);
                entry.interrupted = 0;
                entry.doubted |= matches!(settled, Settled::OnceMore(_));
                self.defer(slot, due);
            }
            Settled::Again | Settled::Interrupted => {
                let interrupted = u8::from(matches!(settled, Settled::Interrupted));
                entry.interrupted = entry.interrupted.saturating_add(interrupted);
                domain.list.prepend(slot, book);
                self.kick(id, now);
            }
        }
        !withdrawn
    }

    /// Ends a message that no session has.
    pub(super) fn end(&mut self, slot: Slot, outcome: Outcome, reply: &str) {
        self.messages.fresh_mut().take(slot);
        let book = self.messages.book_mut();
        let Some(entry) = book.entry(slot) else { return };
        let Some(domain) = self.domains.get_mut(entry.domain) else {
            return;
        };
        self.agenda.record(entry, self.sites.provider(domain), outcome, reply);
        match entry.state {
            State::Ready => domain.list.strike(slot, book),
            State::Deferred => {
                domain.undefer();
                book.remove(slot);
            }
            State::InFlight | State::Withdrawing | State::Gone | State::Free => {}
        }
    }

    /// Looks at the next part of all messages and ends those whose time is over.
    pub(super) fn sweep(&mut self, now: Timestamp) {
        let tick = Tick::reached(now);
        for _ in 0..self.messages.swept_per_turn() {
            if let Some(slot) = self.messages.sweep_one(tick) {
                self.end(slot, Outcome::Expired, EXPIRED);
            }
        }
    }

    /// Ends a bounded number of messages of condemned domains.
    pub(super) fn end_condemned(&mut self, now: Timestamp) {
        let mut budget = ENDED_PER_TURN;
        while let Some(id) = self.domains.condemned() {
            let provider = self.domains.provider(id, &self.sites);
            let Some(domain) = self.domains.get_mut(id) else {
                self.domains.emptied();
                continue;
            };
            let Standing::Condemned { class, why, .. } = domain.standing() else {
                self.domains.emptied();
                self.domains.kick(id, &mut self.sites, &mut self.agenda, now);
                continue;
            };
            let (class, why) = (*class, why.clone());
            loop {
                if budget == 0 {
                    return;
                }
                let Some(slot) = domain.list.pop(self.messages.book_mut()) else {
                    break;
                };
                budget -= 1;
                self.messages.fresh_mut().take(slot);
                if let Some(entry) = self.messages.book().entry(slot) {
                    self.agenda.record(entry, provider, Outcome::Failed { class }, &why);
                }
                self.messages.book_mut().remove(slot);
            }
            self.domains.emptied();
        }
    }
}
