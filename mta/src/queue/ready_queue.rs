//! A site's ready queue as its sessions see it: they take messages from it, and tell it what happens to them.
//!
//! It is a view of the parts of [`Queue`](super::Queue) for one site. The messages of all domains that are routed to the
//! site are in it, domains in turn. What concerns nothing but the site is told to [`Site`](super::Site) itself.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;
use types::event::{FailureClass, Outcome};
use types::id::{MessageId, PartitionId};
use types::order::Stream;
use types::time::Timestamp;

use super::TOLD_MAX;
use super::agenda::{Agenda, Look};
use super::book::{Slot, Tick};
use super::domain::DomainId;
use super::domains::Domains;
use super::ends::EXPIRED;
use super::fresh::Fresh;
use super::health::SiteState;
use super::messages::Messages;
use super::site::SiteId;
use super::sites::Sites;

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

/// The ready queue of one site. If there is no such site, it is empty and notes nothing.
#[derive(Debug)]
pub(crate) struct ReadyQueue<'a> {
    pub(super) id: SiteId,
    pub(super) messages: &'a mut Messages,
    pub(super) domains: &'a mut Domains,
    pub(super) sites: &'a mut Sites,
    pub(super) agenda: &'a mut Agenda,
}

impl ReadyQueue<'_> {
    /// Gives a session up to `room` messages; a session with none pending that gets none is woken when some come.
    ///
    /// `coming` tells that the queues counted on this call since it was opened or had settled its last message.
    pub(crate) fn take(
        &mut self,
        session: &Arc<Notify>,
        room: usize,
        pending: usize,
        coming: bool,
        now: Timestamp,
    ) -> Turn {
        let Some(site) = self.sites.get_mut(self.id) else {
            return Turn::Close;
        };
        if coming {
            site.sessions.came();
        }
        let (sends, sharing) = (site.may_send(now), site.sessions.established().max(1) as usize);
        let room = room.min(site.limits().window);
        if self.sites.is_draining() {
            return Turn::Close;
        }
        let mut taken = Vec::new();
        if sends {
            let share = self.ready(room * sharing).div_ceil(sharing).min(room);
            while taken.len() < share && self.paces_one(now) {
                let Some(message) = self.take_one(now) else { break };
                taken.push(message);
            }
        }
        if !taken.is_empty() {
            // More than one session's worth is waiting: let the next one start too.
            if self.ready(1) > 0 {
                self.sites.kick(self.id, self.domains, self.agenda, now);
            }
            return Turn::Work(taken);
        }
        if pending == 0
            && let Some(site) = self.sites.get_mut(self.id)
        {
            site.sessions.wait(session);
        }
        Turn::Wait
    }

    /// Notes that a session has served its first message: the site accepted it, or refused it by a reply to it.
    pub(crate) fn served(&mut self, now: Timestamp) {
        if let Some(site) = self.sites.get_mut(self.id)
            && site.health.served()
        {
            self.sites.kick_all(self.id, self.domains, self.agenda, now);
        }
    }

    /// Notes that an established session is over. `coming` tells that the queues counted on it to ask for messages.
    pub(crate) fn session_closed(&mut self, session: &Arc<Notify>, coming: bool, now: Timestamp) {
        if let Some(site) = self.sites.get_mut(self.id) {
            site.sessions.closed(session, coming);
            self.sites.kick_all(self.id, self.domains, self.agenda, now);
        }
    }

    /// Notes that a session could not be established, at none of the site's hosts.
    pub(crate) fn open_failed(&mut self, class: FailureClass, why: &str, wait: Duration, now: Timestamp, random: u32) {
        let Some(site) = self.sites.get_mut(self.id) else {
            return;
        };
        site.sessions.open_failed();
        if class == FailureClass::ConnectionLimit && site.sessions.count() > 0 {
            site.sessions.learn_limit(now);
        } else if site.sessions.established() > 0 {
            // While other sessions are established they work on, and only new ones wait.
            self.pause_opening(wait, now, random);
        } else {
            self.throttle(class, why, wait, now, random);
        }
    }

    /// Notes that an established session ended without having served a message. It still counts as one until
    /// [`Self::session_closed`]. Returns until when the whole site waits, if it does.
    pub(crate) fn session_failed(
        &mut self,
        class: FailureClass,
        why: &str,
        now: Timestamp,
        random: u32,
    ) -> Option<Timestamp> {
        if self.sites.get(self.id)?.sessions.established() > 1 {
            self.pause_opening(Duration::ZERO, now, random);
            return None;
        }
        self.throttle(class, why, Duration::ZERO, now, random)
    }

    /// Has everything wait, longer with each failure in a row, and at least `least`. Returns until when, also if it waits
    /// already; `None` if an operator has suspended the site.
    pub(crate) fn throttle(
        &mut self,
        class: FailureClass,
        why: &str,
        least: Duration,
        now: Timestamp,
        random: u32,
    ) -> Option<Timestamp> {
        let site = self.sites.get_mut(self.id)?;
        match site.health.state() {
            SiteState::Ready => {}
            SiteState::Throttled { until, .. } => return Some(*until),
            SiteState::Suspended => return None,
        }
        let until = site.health.throttle(why, least, now, random);
        self.agenda.look(Look::Site(self.id), until);
        self.tell_waiting(Outcome::Deferred { until, class }, why);
        self.drop_fresh();
        Some(until)
    }

    /// Has all messages fail: the site's addresses are ones that we never connect to.
    pub(crate) fn forbid(&mut self, why: &str, now: Timestamp) {
        let Some(site) = self.sites.get_mut(self.id) else {
            return;
        };
        site.sessions.open_failed();
        for id in site.empty_turn() {
            if let Some(domain) = self.domains.get_mut(id) {
                domain.delist();
            }
            let class = FailureClass::ForbiddenAddress;
            self.domains.condemn(id, class, why, self.agenda, now);
        }
    }

    /// Counts ready messages up to a limit.
    fn ready(&self, limit: usize) -> usize {
        self.sites.ready_at(self.id, limit, self.domains)
    }

    /// Lets one message go if the site's pace does; if not, the site is looked at when it does.
    fn paces_one(&mut self, now: Timestamp) -> bool {
        let paced = self.sites.get_mut(self.id).map(|site| site.pace_one(now));
        if let Some(Err(until)) = paced {
            self.agenda.look(Look::Site(self.id), until);
        }
        matches!(paced, Some(Ok(())))
    }

    /// Takes the next message of the domain whose turn it is.
    fn take_one(&mut self, now: Timestamp) -> Option<Taken> {
        loop {
            let site = self.sites.get_mut(self.id)?;
            let id = site.next_in_turn()?;
            let Some(domain) = self.domains.get_mut(id) else {
                continue;
            };
            if domain.site() != Some(self.id) {
                // It moved to another site while it waited here.
                if domain.enlisted() == Some(self.id) {
                    domain.delist();
                }
                self.domains.kick(id, self.sites, self.agenda, now);
                continue;
            }
            let Some(slot) = domain.list.pop(self.messages.book_mut()) else {
                domain.delist();
                continue;
            };
            if domain.list.ready() > 0 {
                site.line_up(id);
            } else {
                domain.delist();
            }
            let held_until = domain.held_until().max(site.health.held_until());
            if self.expire(slot, id, now) {
                continue;
            }
            if let Some(domain) = self.domains.get_mut(id) {
                domain.give();
            }
            return self.messages.give(slot, held_until);
        }
    }

    /// Ends a message that no list holds if its time is over.
    fn expire(&mut self, slot: Slot, domain: DomainId, now: Timestamp) -> bool {
        let entry = self.messages.book().entry(slot).copied();
        let Some(entry) = entry.filter(|entry| entry.expires <= Tick::reached(now)) else {
            return false;
        };
        let provider = self.domains.provider(domain, self.sites);
        self.agenda.record(&entry, provider, Outcome::Expired, EXPIRED);
        self.messages.fresh_mut().take(slot);
        self.messages.book_mut().remove(slot);
        true
    }

    /// Lets no further session be opened for a while: longer with each failure in a row, and at least `least`.
    fn pause_opening(&mut self, least: Duration, now: Timestamp, random: u32) {
        let from = self
            .sites
            .get_mut(self.id)
            .and_then(|site| site.health.pause_opening(least, now, random));
        if let Some(from) = from {
            self.agenda.look(Look::Site(self.id), from);
        }
    }

    /// Records of the first messages why they wait.
    fn tell_waiting(&mut self, outcome: Outcome, why: &str) {
        let mut left = TOLD_MAX;
        for id in self
            .sites
            .get(self.id)
            .into_iter()
            .flat_map(|site| site.turn().take(TOLD_MAX))
        {
            let Some(domain) = self.domains.get(id) else { continue };
            let provider = self.sites.provider(domain);
            for entry in domain.list.waiting(self.messages.book()).take(left) {
                self.agenda.record(entry, provider, outcome, why);
                left -= 1;
            }
        }
    }

    /// Lets go of bytes that will not be sent soon: they make room for others.
    fn drop_fresh(&mut self) {
        let (messages, domains, id) = (&mut *self.messages, &*self.domains, self.id);
        messages.drop_fresh(|domain| domains.get(domain).is_some_and(|domain| domain.enlisted() == Some(id)));
    }
}
