//! What sessions do with the queues: take messages and settle them.

use std::cmp::Reverse;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;
use types::event::Outcome;
use types::id::{EPOCH_MILLIS, MessageId, PartitionId};
use types::order::Stream;
use types::time::Timestamp;

use super::book::{Slot, State, Tick};
use super::domain::DomainId;
use super::site::SiteId;
use super::{Effect, Fresh, Look, Queue};

/// A message that a session has.
#[derive(Debug)]
pub(crate) struct Taken {
    pub(crate) slot: Slot,
    pub(crate) message: MessageId,
    pub(crate) partition: PartitionId,
    /// Attempts before this one.
    pub(crate) attempts: u16,
    /// Whether its site or domain was held while it waited: what it waited for was not us.
    pub(crate) held: bool,
    pub(crate) stream: Stream,
    pub(crate) expires: Timestamp,
    pub(crate) accepted_at: Timestamp,
    /// Whether a final dot of it has gone unanswered already.
    pub(crate) doubted: bool,
    /// How often in a row its session ended at its MAIL without that being counted.
    pub(crate) interrupted: u8,
    /// Envelope and bytes, if they are still in memory.
    pub(crate) fresh: Option<Fresh>,
}

/// What a session is to do.
#[derive(Debug)]
pub(crate) enum Turn {
    /// Send these.
    Work(Vec<Taken>),
    /// Wait to be woken.
    Wait,
    /// Say QUIT: nothing will come.
    Close,
}

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
    /// Gives a session up to `room` messages; a session with none pending that gets none is woken when some come.
    ///
    /// `coming` tells that the queues counted on this call since it was opened or had settled its last message.
    pub(crate) fn take(
        &mut self,
        id: SiteId,
        notify: &Arc<Notify>,
        room: usize,
        pending: usize,
        coming: bool,
        now: Timestamp,
    ) -> Turn {
        if let Some(site) = self.site_mut(id)
            && coming
        {
            site.coming = site.coming.saturating_sub(1);
        }
        let Some(site) = self.sites.get(id as usize) else {
            return Turn::Close;
        };
        if self.draining {
            return Turn::Close;
        }
        let mut taken = Vec::new();
        if site.may_start() && site.paced_until.is_none_or(|until| until <= now) {
            let sharing = (site.sessions - site.opening.min(site.sessions)).max(1) as usize;
            let room = room.min(site.limits.window);
            let window = self.ready_at(id, room * sharing).div_ceil(sharing).min(room);
            while taken.len() < window {
                if !self.may_pace(id, now) {
                    break;
                }
                let Some(message) = self.take_one(id, now) else { break };
                taken.push(message);
            }
        }
        if !taken.is_empty() {
            self.in_flight += taken.len();
            // More than one session's worth is waiting: let the next one start too.
            if self.ready_at(id, 1) > 0 {
                self.kick_site(id, now);
            }
            return Turn::Work(taken);
        }
        if pending == 0
            && let Some(site) = self.site_mut(id)
            && !site.idle.iter().any(|idle| Arc::ptr_eq(idle, notify))
        {
            site.idle.push(Arc::clone(notify));
        }
        Turn::Wait
    }

    /// Takes a session out of those that wait for work. False if it was just woken: there is work for it.
    pub(crate) fn retire(&mut self, id: SiteId, notify: &Arc<Notify>) -> bool {
        let Some(site) = self.site_mut(id) else { return true };
        let before = site.idle.len();
        site.idle.retain(|idle| !Arc::ptr_eq(idle, notify));
        site.idle.len() < before
    }

    fn may_pace(&mut self, id: SiteId, now: Timestamp) -> bool {
        let Some(site) = self.site_mut(id) else { return false };
        let Some(rate) = site.rate() else { return true };
        let since = Duration::from_millis(now.as_millis().saturating_sub(EPOCH_MILLIS));
        match site.pacer.take(since, rate) {
            Ok(()) => true,
            Err(next) => {
                let until = Tick::at(now + next.saturating_sub(since));
                site.paced_until = Some(until.time());
                self.looks.push(Reverse((until, Look::Site(id))));
                self.effects.push(Effect::Keep);
                false
            }
        }
    }

    /// Takes the next message of the domain whose turn it is.
    fn take_one(&mut self, id: SiteId, now: Timestamp) -> Option<Taken> {
        loop {
            let domain = self.site_mut(id)?.turn.pop_front()?;
            let routed_here = self
                .domain(domain)
                .is_some_and(|d| matches!(d.standing, super::Standing::Routed { site, .. } if site == id));
            if !routed_here {
                // It moved to another site while it waited here.
                self.counted(domain, |domain| {
                    if domain.enlisted == Some(id) {
                        domain.enlisted = None;
                    }
                });
                self.kick_domain(domain, now);
                continue;
            }
            let Some(slot) = self.pop(domain) else {
                self.counted(domain, |domain| domain.enlisted = None);
                continue;
            };
            if self.domain(domain).is_some_and(|domain| domain.ready > 0) {
                self.site_mut(id)?.turn.push_back(domain);
            } else {
                self.counted(domain, |domain| domain.enlisted = None);
            }
            let fresh = self.drop_fresh(slot);
            let held_until = self.held_until(domain, id);
            let entry = self.book.entry_mut(slot)?;
            if entry.expires <= Tick::reached(now) {
                let entry = *entry;
                self.tell(&entry, Outcome::Expired, "its time was over before anyone took it");
                self.book.remove(slot);
                continue;
            }
            entry.state = State::InFlight;
            let taken = Taken {
                slot,
                message: entry.message,
                partition: entry.partition,
                attempts: entry.attempts,
                held: entry.accepted_at < held_until,
                stream: entry.stream,
                expires: entry.expires.time(),
                accepted_at: entry.accepted_at,
                doubted: entry.doubted,
                interrupted: entry.interrupted,
                fresh,
            };
            self.counted(domain, |domain| domain.in_flight += 1);
            return Some(taken);
        }
    }

    /// Returns until when a domain or its site was held last.
    fn held_until(&self, domain: DomainId, site: SiteId) -> Timestamp {
        let of_domain = self.domain(domain).map(|domain| domain.held_until);
        let of_site = self.site(site).map(|site| site.held_until);
        of_domain.max(of_site).unwrap_or_default()
    }

    /// Returns whether a message's final dot may be sent: it was not withdrawn meanwhile.
    pub(crate) fn may_finish(&self, slot: Slot) -> bool {
        self.book
            .entry(slot)
            .is_some_and(|entry| entry.state == State::InFlight)
    }

    /// Notes that a session has settled its last message and will ask for more in a moment.
    pub(crate) fn comes_back(&mut self, id: SiteId) {
        if let Some(site) = self.site_mut(id) {
            site.coming += 1;
        }
    }

    /// Takes back a message that a session had. False if it was withdrawn meanwhile, and has ended by that.
    pub(crate) fn settle(&mut self, slot: Slot, settled: Settled, now: Timestamp) -> bool {
        self.in_flight = self.in_flight.saturating_sub(1);
        let Some(entry) = self.book.entry_mut(slot) else {
            return true;
        };
        let withdrawn = entry.state == State::Withdrawing;
        let domain = entry.domain;
        self.counted(domain, |domain| domain.in_flight = domain.in_flight.saturating_sub(1));
        let Some(entry) = self.book.entry_mut(slot) else {
            return true;
        };
        match settled {
            Settled::Over => self.book.remove(slot),
            Settled::Later(_) | Settled::OnceMore(_) | Settled::Again | Settled::Interrupted if withdrawn => {
                let entry = *entry;
                self.tell(&entry, Outcome::Withdrawn, "withdrawn");
                self.book.remove(slot);
            }
            Settled::Later(due) | Settled::OnceMore(due) => {
                entry.attempts = entry.attempts.saturating_add(1);
                entry.interrupted = 0;
                entry.doubted |= matches!(settled, Settled::OnceMore(_));
                self.schedule(slot, due);
            }
            Settled::Again | Settled::Interrupted => {
                entry.interrupted = entry
                    .interrupted
                    .saturating_add(u8::from(matches!(settled, Settled::Interrupted)));
                self.prepend(slot);
                self.kick_domain(domain, now);
            }
        }
        !withdrawn
    }
}
