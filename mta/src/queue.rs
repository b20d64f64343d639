//! The queues: which message waits where, which site may be spoken to, and what is to be done next.
//!
//! A plain value without I/O, clock or tasks: time is an argument, and what is to be done outside comes out as
//! [`Effect`]s. It lives behind one short lock ([`crate::shared`]), because sessions take messages, and signing threads
//! bring them, without any task in between: an idle session is woken straight by the message it then takes.
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
//! whole: nothing is tried before a moment
//! that moves further away with each failure in a row, and then by one session first. Only a message that the site accepted or
//! refused ends the row: a connection, a greeting, an EHLO prove nothing. While other sessions are established, they work
//! on, and only new ones wait. If DNS does not answer, the domain
//! is held in the same way. Messages that wait like this burn no attempts and cost no work; only their age is enforced, by
//! a sweep over all messages that takes about a minute a round.
//!
//! # Memory
//!
//! A message costs an entry of 40 bytes, its place in the index, and 8 bytes more while deferred ([`book`]). Envelope
//! and bytes are read from the spool when it is tried; those of new messages stay in memory until their first attempt,
//! within a budget.

mod book;
mod domain;
mod site;
mod take;
#[cfg(test)]
mod tests;
mod view;

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use foldhash::fast::RandomState;
use tokio::sync::Notify;
use types::address::EmailAddress;
use types::event::{AttemptEnded, Outcome};
use types::id::{Attempt, MessageId, PartitionId};
use types::order::Stream;
use types::provider::Provider;
use types::text::Line;
use types::time::Timestamp;

use crate::ready::Ready;
pub(crate) use book::Slot;
use book::{Book, Entry, NONE, State, Tick};
use domain::{Domain, Standing};
pub(crate) use domain::{DomainFault, DomainId, Route};
use site::Site;
pub(crate) use site::{Limits, SiteId, Target};
pub(crate) use take::{Settled, Taken, Turn};

/// The most messages that are told, by an event each, why their site or domain is held.
const TOLD_MAX: usize = 64;
/// The most messages that end in one turn of the keeper.
const ENDED_PER_TURN: usize = 512;

/// The most messages that are remembered as withdrawn before they came.
const WITHDRAWN_MAX: usize = 4096;

/// Something to be done outside.
#[derive(Debug)]
pub(crate) enum Effect {
    /// Ask DNS where a domain's mail goes, then [`Queue::resolved`].
    Resolve(DomainId, Arc<str>),
    /// Open one session to a site.
    Open(SiteId),
    /// Wake a session that waits for work.
    Wake(Arc<Notify>),
    /// Wake the keeper: there is something in [`Queue::ended`], or a moment came nearer.
    Keep,
}

/// A message's envelope and bytes, kept for its first attempt.
#[derive(Debug)]
pub(crate) struct Fresh {
    pub(crate) reverse_path: Option<EmailAddress>,
    pub(crate) recipient: EmailAddress,
    pub(crate) bytes: Bytes,
}

/// A moment at which something besides a message is looked at again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Look {
    Domain(DomainId),
    Site(SiteId),
}

/// All queues of the node.
#[derive(Debug)]
pub(crate) struct Queue {
    book: Book,
    domains: Vec<Domain>,
    domain_ids: HashMap<Arc<str>, DomainId, RandomState>,
    domain_ids_free: Vec<DomainId>,
    /// How many domains there may be before idle ones are forgotten.
    forget_at: usize,
    sites: Vec<Site>,
    site_ids: HashMap<Arc<str>, SiteId, RandomState>,
    site_ids_free: Vec<SiteId>,
    deferred: BinaryHeap<Reverse<(Tick, Slot)>>,
    looks: BinaryHeap<Reverse<(Tick, Look)>>,
    fresh: HashMap<Slot, Fresh, RandomState>,
    fresh_bytes: usize,
    fresh_bytes_max: usize,
    default_limits: Limits,
    /// Domains all of whose messages end.
    condemned: VecDeque<DomainId>,
    /// Ends to be recorded.
    ended: VecDeque<(PartitionId, Provider, AttemptEnded)>,
    effects: Vec<Effect>,
    /// Withdrawn before they came here, or after they left; the last few.
    withdrawn: VecDeque<MessageId>,
    sweep_at: usize,
    in_flight: usize,
    draining: bool,
}

impl Queue {
    pub(crate) fn new(default_limits: Limits, fresh_bytes_max: usize) -> Self {
        Self {
            book: Book::default(),
            domains: Vec::new(),
            domain_ids: HashMap::default(),
            domain_ids_free: Vec::new(),
            forget_at: domain::DOMAINS_KEPT,
            sites: Vec::new(),
            site_ids: HashMap::default(),
            site_ids_free: Vec::new(),
            deferred: BinaryHeap::new(),
            looks: BinaryHeap::new(),
            fresh: HashMap::default(),
            fresh_bytes: 0,
            fresh_bytes_max,
            default_limits,
            condemned: VecDeque::new(),
            ended: VecDeque::new(),
            effects: Vec::new(),
            withdrawn: VecDeque::new(),
            sweep_at: 0,
            in_flight: 0,
            draining: false,
        }
    }

    /// Takes what has to be done outside.
    pub(crate) fn take_effects(&mut self) -> Vec<Effect> {
        std::mem::take(&mut self.effects)
    }

    /// Queues a message that may be tried from now on. A message that is queued already is left as it is.
    pub(crate) fn push(&mut self, ready: Ready, now: Timestamp) {
        let domain = self.domain_id(&ready.recipient_domain);
        let fresh = Fresh {
            reverse_path: ready.reverse_path,
            recipient: ready.recipient,
            bytes: ready.bytes,
        };
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
        if let Some(slot) = self.insert(&waiting, domain, State::Ready) {
            let size = fresh.bytes.len();
            if self.fresh_bytes + size <= self.fresh_bytes_max && self.moves(domain) {
                self.fresh_bytes += size;
                self.fresh.insert(slot, fresh);
            }
            self.append(slot);
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
        if let Some(slot) = self.insert(waiting, domain, state) {
            if state == State::Ready {
                self.append(slot);
            } else {
                self.schedule(slot, waiting.due);
            }
            self.admit(slot, waiting.message, domain, now);
        }
    }

    /// Lets a message that has just come be tried, unless it was withdrawn before.
    fn admit(&mut self, slot: Slot, message: MessageId, domain: DomainId, now: Timestamp) {
        if !self.withdrawn.is_empty() && self.withdrawn.contains(&message) {
            self.withdrawn.retain(|withdrawn| *withdrawn != message);
            return self.end(slot, Outcome::Withdrawn, "withdrawn");
        }
        self.kick_domain(domain, now);
    }

    /// Takes a message out if its final dot was not sent; it then ends as withdrawn.
    pub(crate) fn withdraw(&mut self, message: MessageId) {
        let Some(slot) = self.book.find(message) else {
            // It may be on its way: rendered, or read from the spool.
            if self.withdrawn.len() == WITHDRAWN_MAX {
                self.withdrawn.pop_front();
            }
            self.withdrawn.push_back(message);
            return;
        };
        match self.book.entry(slot).map(|entry| entry.state) {
            Some(State::InFlight) => {
                if let Some(entry) = self.book.entry_mut(slot) {
                    entry.state = State::Withdrawing;
                }
            }
            Some(State::Ready | State::Deferred) => self.end(slot, Outcome::Withdrawn, "withdrawn"),
            Some(State::Withdrawing | State::Gone | State::Free) | None => {}
        }
    }

    /// Does what is due: deferred messages, held domains and sites, a step of the sweep, condemned domains.
    ///
    /// Returns the ends to be recorded, and when to come again at the latest.
    pub(crate) fn keep(&mut self, now: Timestamp) -> (Vec<(PartitionId, Provider, AttemptEnded)>, Timestamp) {
        let tick = Tick::reached(now);
        let mut budget = 4096;
        while let Some(Reverse((due, slot))) = self.deferred.peek().copied()
            && due <= tick
            && budget > 0
        {
            budget -= 1;
            self.deferred.pop();
            let Some(entry) = self.book.entry_mut(slot) else {
                continue;
            };
            if entry.state == State::Deferred && entry.due == due {
                entry.state = State::Ready;
                let domain = entry.domain;
                self.counted(domain, |domain| domain.deferred -= 1);
                self.append(slot);
                self.kick_domain(domain, now);
            }
        }
        while let Some(Reverse((at, look))) = self.looks.peek().copied()
            && at <= tick
        {
            self.looks.pop();
            match look {
                Look::Domain(domain) => self.look_at_domain(domain, now),
                Look::Site(site) => self.look_at_site(site, now),
            }
        }
        self.sweep(now);
        self.condemn(now);
        let next = [
            self.deferred.peek().map(|Reverse((due, _))| *due),
            self.looks.peek().map(|Reverse((at, _))| *at),
        ];
        let next = next
            .into_iter()
            .flatten()
            .min()
            .map_or(now + Duration::from_hours(1), Tick::time);
        let busy = budget == 0 || !self.condemned.is_empty();
        let ended = self.ended.drain(..).collect();
        (ended, if busy { now } else { next })
    }

    /// Returns whether nothing is queued or with a session.
    pub(crate) fn counts(&self) -> (usize, usize) {
        (self.book.len(), self.in_flight)
    }

    /// Lets nothing start any more.
    pub(crate) fn drain(&mut self) {
        self.draining = true;
        for site in &mut self.sites {
            for idle in site.idle.drain(..) {
                self.effects.push(Effect::Wake(idle));
            }
        }
    }

    fn insert(&mut self, waiting: &Waiting, domain: DomainId, state: State) -> Option<Slot> {
        self.book.insert(Entry {
            message: waiting.message,
            accepted_at: waiting.accepted_at,
            expires: Tick::at(waiting.expires),
            due: Tick(0),
            next: NONE,
            domain,
            partition: waiting.partition,
            attempts: waiting.attempts,
            stream: waiting.stream,
            state,
            doubted: waiting.doubted,
            interrupted: 0,
        })
    }

    fn schedule(&mut self, slot: Slot, due: Timestamp) {
        let Some(entry) = self.book.entry_mut(slot) else { return };
        // A message whose time is over earlier is looked at then.
        entry.due = Tick::at(due).min(entry.expires);
        entry.state = State::Deferred;
        let (due, domain) = (entry.due, entry.domain);
        self.counted(domain, |domain| domain.deferred += 1);
        self.deferred.push(Reverse((due, slot)));
        self.effects.push(Effect::Keep);
    }

    /// Ends a message that no session has.
    fn end(&mut self, slot: Slot, outcome: Outcome, reply: &str) {
        let Some(entry) = self.book.entry(slot).copied() else {
            return;
        };
        self.drop_fresh(slot);
        self.tell(&entry, outcome, reply);
        match entry.state {
            State::Ready => {
                self.counted(entry.domain, |domain| domain.ready -= 1);
                self.book.forget(slot);
                if let Some(entry) = self.book.entry_mut(slot) {
                    entry.state = State::Gone;
                }
                self.trim(entry.domain);
            }
            State::Deferred => {
                self.counted(entry.domain, |domain| domain.deferred -= 1);
                self.book.remove(slot);
            }
            State::InFlight | State::Withdrawing | State::Gone | State::Free => {}
        }
    }

    fn tell(&mut self, entry: &Entry, outcome: Outcome, reply: &str) {
        let ended = AttemptEnded {
            message: entry.message,
            attempt: Attempt(entry.attempts),
            outcome,
            reply: line(reply),
            peer: Line::default(),
            tls: None,
        };
        let provider = self.provider(entry.domain);
        self.ended.push_back((entry.partition, provider, ended));
        self.effects.push(Effect::Keep);
    }

    /// Looks at the next part of all messages and ends those whose time is over.
    fn sweep(&mut self, now: Timestamp) {
        let slots = self.book.slots();
        let tick = Tick::reached(now);
        for _ in 0..(slots / 256).max(2048).min(slots) {
            self.sweep_at = (self.sweep_at + 1) % slots;
            let slot = Slot::try_from(self.sweep_at).unwrap_or(NONE);
            let over = self
                .book
                .entry(slot)
                .is_some_and(|entry| matches!(entry.state, State::Ready | State::Deferred) && entry.expires <= tick);
            if over {
                self.end(slot, Outcome::Expired, "its time was over before anyone took it");
            }
        }
    }

    fn drop_fresh(&mut self, slot: Slot) -> Option<Fresh> {
        let fresh = self.fresh.remove(&slot)?;
        self.fresh_bytes -= fresh.bytes.len();
        Some(fresh)
    }
}

/// A message as it is restored.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Waiting {
    pub(crate) partition: PartitionId,
    pub(crate) message: MessageId,
    pub(crate) attempts: u16,
    pub(crate) due: Timestamp,
    pub(crate) expires: Timestamp,
    pub(crate) stream: Stream,
    pub(crate) accepted_at: Timestamp,
    pub(crate) doubted: bool,
}

/// Returns text that is printable already as a line of at most `MAX` characters.
pub(crate) fn line<const MAX: usize>(text: &str) -> Line<MAX> {
    let text: String = text.chars().filter(|c| !c.is_control()).take(MAX).collect();
    Line::try_from(text).unwrap_or_default()
}
