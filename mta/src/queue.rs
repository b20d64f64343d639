//! The queues: which message waits where, which site may be spoken to, and what is to be done next.
//!
//! A plain value without I/O, clock or tasks: time is an argument, and what is to be done outside comes out as
//! [`Effect`]s. It lives behind one short lock ([`crate::shared`]), because sessions take messages, and signing threads
//! bring them, without any task in between: an idle session is woken straight by the message it then takes.
//!
//! # Parts
//!
//! - `Messages`: every message's entry in the `book`, bytes that are still in memory, and what waits for its time.
//! - `Domains`: where DNS says their mail goes, and the `list` of each, in which its ready messages wait.
//! - `Sites`: the turn of each one's domains, its `sessions`, its `pace`, and its `health`.
//! - `Agenda`: what is to be done outside or later.
//!
//! A part owns its rows and numbers; what it needs of another one is an argument. [`Queue`] holds the four, and does what
//! needs several of them. A session works on one site's [`ReadyQueue`], and people and metrics look through a [`View`].
//!
//! # Domains and sites
//!
//! A message waits in the list of its recipient's *domain*. Domains whose mail exchangers are the same hosts share a
//! *site*, which is what sessions belong to and limits hold for. A site serves its domains in turn. When DNS moves a
//! domain to another site, its list moves with it, whatever its length.
//!
//! # Waiting without being tried
//!
//! If a site cannot be connected to, ends a session that has served no message, or asks for a pause, it is throttled as a
//! whole: nothing is tried before a moment that moves further away with each failure in a row, and then by one session
//! first. Only a message that the site accepted or refused ends the row: a connection, a greeting, an EHLO prove nothing.
//! While other sessions are established, they work on, and only new ones wait. If DNS does not answer, the domain is held
//! in the same way. Messages that wait like this burn no attempts and cost no work; only their age is enforced, by a sweep
//! over all messages that takes about a minute a round.
//!
//! # Memory
//!
//! A message costs an entry of 40 bytes, its place in the index, and 8 bytes more while deferred ([`book`]). Envelope
//! and bytes are read from the spool when it is tried; those of new messages stay in memory until their first attempt,
//! within a budget.

mod agenda;
mod book;
mod domain;
mod domains;
mod ends;
mod fresh;
mod health;
mod list;
mod messages;
mod pace;
mod ready_queue;
mod route;
mod sessions;
mod site;
mod sites;
mod table;
#[cfg(test)]
mod tests;
mod view;

use std::time::Duration;

use types::event::Outcome;
use types::id::MessageId;
use types::text::Line;
use types::time::Timestamp;

use crate::ready::Ready;
pub(crate) use agenda::Effect;
use agenda::{Agenda, Ended, Look};
pub(crate) use book::Slot;
use book::{State, Tick};
pub(crate) use domain::DomainId;
use domains::Domains;
pub(crate) use ends::Settled;
use ends::WITHDRAWN;
pub(crate) use fresh::Fresh;
use messages::Messages;
pub(crate) use messages::Waiting;
pub(crate) use ready_queue::{ReadyQueue, Taken, Turn};
pub(crate) use route::{DomainFault, Route};
pub(crate) use site::{Limits, Site, SiteId, Target};
use sites::Sites;
pub(crate) use view::View;

/// The most messages that are told, by an event each, why their site or domain is held.
const TOLD_MAX: usize = 64;
/// The most deferred messages that become ready in one turn of the keeper.
const DUE_PER_TURN: usize = 4096;

/// All queues of the node.
#[derive(Debug)]
pub(crate) struct Queue {
    messages: Messages,
    domains: Domains,
    sites: Sites,
    agenda: Agenda,
}

impl Queue {
    pub(crate) fn new(default_limits: Limits, fresh_bytes_max: usize) -> Self {
        Self {
            messages: Messages::new(fresh_bytes_max),
            domains: Domains::new(),
            sites: Sites::new(default_limits),
            agenda: Agenda::default(),
        }
    }

    /// Takes what has to be done outside.
    pub(crate) fn take_effects(&mut self) -> Vec<Effect> {
        self.agenda.take_effects()
    }

    /// Returns a site's ready queue, for its sessions.
    pub(crate) fn at(&mut self, site: SiteId) -> ReadyQueue<'_> {
        ReadyQueue {
            id: site,
            messages: &mut self.messages,
            domains: &mut self.domains,
            sites: &mut self.sites,
            agenda: &mut self.agenda,
        }
    }

    /// Returns a site, for what concerns nothing else.
    pub(crate) fn site(&mut self, id: SiteId) -> Option<&mut Site> {
        self.sites.get_mut(id)
    }

    /// Changes a site, and lets it go on. False if there is none of that name.
    pub(crate) fn change_site(&mut self, name: &str, now: Timestamp, change: impl FnOnce(&mut Site)) -> bool {
        let Some(id) = self.sites.find(name) else { return false };
        let Some(site) = self.sites.get_mut(id) else {
            return false;
        };
        change(site);
        self.sites.kick_all(id, &self.domains, &mut self.agenda, now);
        true
    }

    /// Returns a look at the queues.
    pub(crate) fn view(&self) -> View<'_> {
        View {
            messages: &self.messages,
            domains: &self.domains,
            sites: &self.sites,
        }
    }

    /// Queues a message that may be tried from now on. A message that is queued already is left as it is.
    pub(crate) fn push(&mut self, ready: Ready, now: Timestamp) {
        let domain = self.domain_id(&ready.recipient_domain);
        let waiting = Waiting {
            partition: ready.partition,
            message: ready.message,
            attempts: ready.attempts,
            due: now,
            expires: ready.expires,
            stream: ready.stream,
            accepted_at: ready.accepted_at,
            doubted: ready.doubted,
        };
        if let Some(slot) = self.messages.add(&waiting, domain, State::Ready) {
            if self.domains.get(domain).is_some_and(|domain| self.sites.moves(domain)) {
                let fresh = Fresh {
                    reverse_path: ready.reverse_path,
                    recipient: ready.recipient,
                    bytes: ready.bytes,
                };
                self.messages.fresh_mut().keep(slot, fresh);
            }
            self.append(slot, domain);
            self.admit(slot, ready.message, domain, now);
        }
    }

    /// Queues a message that survived a restart; its bytes are read when it is tried.
    pub(crate) fn restore(&mut self, waiting: &Waiting, domain: &str, now: Timestamp) {
        let domain = self.domain_id(domain);
        let state = if waiting.due > now {
            State::Deferred
        } else {
            State::Ready
        };
        if let Some(slot) = self.messages.add(waiting, domain, state) {
            if state == State::Ready {
                self.append(slot, domain);
            } else {
                self.defer(slot, waiting.due);
            }
            self.admit(slot, waiting.message, domain, now);
        }
    }

    /// Does what is due: deferred messages, held domains and sites, a step of the sweep, condemned domains.
    ///
    /// Returns the ends to be recorded, and when to come again at the latest.
    pub(crate) fn keep(&mut self, now: Timestamp) -> (Vec<Ended>, Timestamp) {
        let tick = Tick::reached(now);
        let mut budget = DUE_PER_TURN;
        while budget > 0
            && let Some((due, slot)) = self.messages.due(tick)
        {
            budget -= 1;
            if let Some(id) = self.messages.make_ready(slot, due) {
                if let Some(domain) = self.domains.get_mut(id) {
                    domain.undefer();
                }
                self.append(slot, id);
                self.kick(id, now);
            }
        }
        while let Some(look) = self.agenda.due_look(tick) {
            match look {
                Look::Domain(id) => self.domains.look(id, &mut self.agenda, now),
                Look::Site(id) => self.sites.look(id, &mut self.domains, &mut self.agenda, now),
            }
        }
        self.sweep(now);
        self.end_condemned(now);
        let busy = budget == 0 || self.domains.condemned().is_some();
        let next = [self.messages.next_due(), self.agenda.next_look()];
        let next = next
            .into_iter()
            .flatten()
            .min()
            .map_or(now + Duration::from_hours(1), Tick::time);
        (self.agenda.take_ended(), if busy { now } else { next })
    }

    /// Lets nothing start any more.
    pub(crate) fn drain(&mut self) {
        self.sites.drain(&mut self.agenda);
    }

    /// Returns a domain's place; a new one may take the place of one that was idle.
    fn domain_id(&mut self, name: &str) -> DomainId {
        if let Some(id) = self.domains.find(name) {
            return id;
        }
        if self.domains.are_many() {
            let used = self.domains.forget_idle();
            self.sites.forget_idle(&used);
        }
        self.domains.add(name)
    }

    /// Lets a message that has just come be tried, unless it was withdrawn before.
    fn admit(&mut self, slot: Slot, message: MessageId, domain: DomainId, now: Timestamp) {
        if self.messages.was_withdrawn(message) {
            self.end(slot, Outcome::Withdrawn, WITHDRAWN);
        } else {
            self.kick(domain, now);
        }
    }

    fn append(&mut self, slot: Slot, domain: DomainId) {
        if let Some(domain) = self.domains.get_mut(domain) {
            domain.list.append(slot, self.messages.book_mut());
        }
    }

    fn defer(&mut self, slot: Slot, due: Timestamp) {
        if let Some(id) = self.messages.defer(slot, due)
            && let Some(domain) = self.domains.get_mut(id)
        {
            domain.defer();
            self.agenda.wake_keeper();
        }
    }

    fn kick(&mut self, domain: DomainId, now: Timestamp) {
        self.domains.kick(domain, &mut self.sites, &mut self.agenda, now);
    }
}

/// Returns text that is printable already as a line of at most `MAX` characters.
pub(crate) fn line<const MAX: usize>(text: &str) -> Line<MAX> {
    let text: String = text.chars().filter(|c| !c.is_control()).take(MAX).collect();
    Line::try_from(text).unwrap_or_default()
}
