//! Domains: the lists in which messages wait, and where DNS says their mail goes.

use std::cmp::Reverse;
use std::sync::Arc;
use std::time::Duration;

use types::event::{FailureClass, Outcome};
use types::time::Timestamp;

use super::book::{NONE, Slot, State, Tick};
use super::site::{Site, SiteId, Target};
use super::{ENDED_PER_TURN, Effect, Look, Queue, TOLD_MAX};

/// A domain's place in the table.
pub(crate) type DomainId = u32;

/// How many domains are remembered whether they have messages or not.
pub(super) const DOMAINS_KEPT: usize = 65_536;
/// How long a domain that does not exist is waited for before that is believed.
const NXDOMAIN_TWICE_AFTER: Duration = Duration::from_mins(15);
/// How long a domain that takes no mail is taken to stay so.
const CONDEMNED_FOR: Duration = Duration::from_mins(5);
/// The wait after DNS failed for the n-th time in a row.
const DNS_WAITS: [Duration; 5] = [
    Duration::from_secs(10),
    Duration::from_secs(30),
    Duration::from_mins(1),
    Duration::from_mins(5),
    Duration::from_mins(15),
];

/// Where a domain's mail goes, and for how long that is believed.
#[derive(Clone, Debug)]
pub(crate) struct Route {
    /// The site's name: the same hosts give the same name.
    pub(crate) site: Arc<str>,
    /// The hosts.
    pub(crate) target: Target,
    /// How long this is believed.
    pub(crate) ttl: Duration,
}

/// Why DNS gave no route.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum DomainFault {
    /// The domain says that it takes no mail (RFC 7505).
    NullMx,
    /// The domain does not exist.
    NoSuchDomain,
    /// The domain exists, but has neither MX nor address.
    NoAddress,
    /// No answer, or none that can be relied on.
    Unanswered(String),
}

impl DomainFault {
    pub(crate) fn text(&self) -> String {
        match self {
            Self::NullMx => "the domain takes no mail (null MX)".into(),
            Self::NoSuchDomain => "the domain does not exist".into(),
            Self::NoAddress => "the domain has neither MX nor address".into(),
            Self::Unanswered(cause) => format!("DNS did not answer: {cause}"),
        }
    }
}

/// What is known about where a domain's mail goes.
#[derive(Debug)]
pub(super) enum Standing {
    /// DNS was not asked yet.
    Unknown,
    /// DNS is being asked.
    Asking,
    /// To this site; asked again when `until` has passed and mail comes.
    Routed { site: SiteId, until: Timestamp },
    /// Nothing can be sent before `until`.
    Held { until: Timestamp, why: String },
    /// All its mail fails, until `until`.
    Condemned {
        until: Timestamp,
        class: FailureClass,
        why: String,
    },
}

/// A destination domain and its waiting messages.
#[derive(Debug)]
pub(super) struct Domain {
    pub(super) name: Arc<str>,
    pub(super) head: Slot,
    pub(super) tail: Slot,
    pub(super) ready: usize,
    pub(super) deferred: usize,
    /// With sessions.
    pub(super) in_flight: usize,
    pub(super) standing: Standing,
    /// Until when it was held last.
    pub(super) held_until: Timestamp,
    /// The site in whose turn it stands.
    pub(super) enlisted: Option<SiteId>,
    /// When DNS first said that it does not exist, since it last said otherwise.
    missing_since: Option<Timestamp>,
    /// DNS failures in a row.
    failures: u16,
}

impl Queue {
    pub(super) fn domain_id(&mut self, name: &str) -> DomainId {
        if let Some(id) = self.domain_ids.get(name) {
            return *id;
        }
        let name: Arc<str> = name.into();
        if self.domain_ids.len() >= self.forget_at {
            self.forget_idle();
        }
        let domain = Domain {
            name: Arc::clone(&name),
            head: NONE,
            tail: NONE,
            ready: 0,
            deferred: 0,
            in_flight: 0,
            standing: Standing::Unknown,
            held_until: Timestamp::default(),
            enlisted: None,
            missing_since: None,
            failures: 0,
        };
        let id = self.domain_ids_free.pop().unwrap_or_else(|| {
            let id = self.domains.len();
            DomainId::try_from(id).expect("fewer domains than messages, which have 32 bits")
        });
        match self.domains.get_mut(id as usize) {
            Some(free) => *free = domain,
            None => self.domains.push(domain),
        }
        self.domain_ids.insert(name, id);
        id
    }

    /// Forgets domains without messages, and sites without domains and sessions, whose places are used again.
    ///
    /// What is lost is their routes, which DNS tells again, and limits that were changed while running.
    fn forget_idle(&mut self) {
        let mut kept = vec![false; self.sites.len()];
        let domains = &self.domains;
        let freed = &mut self.domain_ids_free;
        self.domain_ids.retain(|_, id| {
            let Some(domain) = domains.get(*id as usize) else {
                return false;
            };
            let idle =
                domain.head == NONE && domain.deferred == 0 && domain.in_flight == 0 && domain.enlisted.is_none();
            if idle {
                freed.push(*id);
            } else if let Standing::Routed { site, .. } = domain.standing
                && let Some(kept) = kept.get_mut(site as usize)
            {
                *kept = true;
            }
            !idle
        });
        for id in freed.iter() {
            // A look-up that is under way finds another name here, and is dropped.
            if let Some(domain) = self.domains.get_mut(*id as usize) {
                domain.name = Arc::from("");
                domain.standing = Standing::Unknown;
            }
        }
        let sites = &self.sites;
        let sites_freed = &mut self.site_ids_free;
        self.site_ids.retain(|_, id| {
            let used = kept.get(*id as usize).copied().unwrap_or(false);
            let idle = !used && sites.get(*id as usize).is_none_or(Site::is_idle);
            if idle {
                sites_freed.push(*id);
            }
            !idle
        });
        self.forget_at = (self.domain_ids.len() * 2).max(DOMAINS_KEPT);
    }

    pub(super) fn domain(&self, id: DomainId) -> Option<&Domain> {
        self.domains.get(id as usize)
    }

    pub(super) fn counted(&mut self, id: DomainId, count: impl FnOnce(&mut Domain)) {
        if let Some(domain) = self.domains.get_mut(id as usize) {
            count(domain);
        }
    }

    /// Returns whether a domain's messages are not known to be stuck, so that keeping bytes pays.
    pub(super) fn moves(&self, id: DomainId) -> bool {
        match self.domain(id).map(|domain| &domain.standing) {
            Some(Standing::Unknown | Standing::Asking) => true,
            Some(Standing::Routed { site, .. }) => self.site(*site).is_none_or(Site::may_start),
            Some(Standing::Held { .. } | Standing::Condemned { .. }) | None => false,
        }
    }

    /// Links a ready message at the end of its domain's list.
    pub(super) fn append(&mut self, slot: Slot) {
        let Some(entry) = self.book.entry_mut(slot) else { return };
        entry.next = NONE;
        let id = entry.domain;
        let Some(domain) = self.domains.get_mut(id as usize) else {
            return;
        };
        domain.ready += 1;
        let tail = std::mem::replace(&mut domain.tail, slot);
        if tail == NONE {
            domain.head = slot;
        } else if let Some(entry) = self.book.entry_mut(tail) {
            entry.next = slot;
        }
    }

    /// Links a message at the head of its domain's list.
    pub(super) fn prepend(&mut self, slot: Slot) {
        let Some(entry) = self.book.entry_mut(slot) else { return };
        entry.state = State::Ready;
        let id = entry.domain;
        let Some(domain) = self.domains.get_mut(id as usize) else {
            return;
        };
        domain.ready += 1;
        entry.next = std::mem::replace(&mut domain.head, slot);
        if domain.tail == NONE {
            domain.tail = slot;
        }
    }

    /// Unlinks and returns the first ready message of a domain.
    pub(super) fn pop(&mut self, id: DomainId) -> Option<Slot> {
        loop {
            let slot = self.unlink_head(id)?;
            if self.book.entry(slot).is_some_and(|entry| entry.state == State::Ready) {
                self.counted(id, |domain| domain.ready -= 1);
                return Some(slot);
            }
            self.book.remove(slot);
        }
    }

    /// Frees the messages at the head of a list that are over.
    pub(super) fn trim(&mut self, id: DomainId) {
        while let Some(head) = self.domain(id).map(|domain| domain.head).filter(|head| *head != NONE) {
            if self.book.entry(head).is_none_or(|entry| entry.state != State::Gone) {
                return;
            }
            self.unlink_head(id);
            self.book.remove(head);
        }
    }

    fn unlink_head(&mut self, id: DomainId) -> Option<Slot> {
        let domain = self.domains.get_mut(id as usize)?;
        let slot = domain.head;
        let entry = self.book.entry_mut(slot)?;
        domain.head = std::mem::replace(&mut entry.next, NONE);
        if domain.head == NONE {
            domain.tail = NONE;
        }
        Some(slot)
    }

    /// A domain has ready messages: asks DNS, or has its site go on.
    pub(super) fn kick_domain(&mut self, id: DomainId, now: Timestamp) {
        let Some(domain) = self.domains.get_mut(id as usize) else {
            return;
        };
        match &mut domain.standing {
            Standing::Unknown => self.ask(id),
            Standing::Asking => {}
            Standing::Routed { site, until } => {
                let site = *site;
                if *until <= now {
                    // The old route serves until the new one is known.
                    *until = now + Duration::from_mins(1);
                    let name = Arc::clone(&domain.name);
                    self.effects.push(Effect::Resolve(id, name));
                }
                self.enlist(id, site);
                self.kick_site(site, now);
            }
            Standing::Held { until, .. } => {
                if *until <= now {
                    self.ask(id);
                }
            }
            Standing::Condemned { until, .. } => {
                if *until <= now {
                    self.ask(id);
                } else {
                    self.condemned.push_back(id);
                    self.effects.push(Effect::Keep);
                }
            }
        }
    }

    fn ask(&mut self, id: DomainId) {
        if let Some(domain) = self.domains.get_mut(id as usize) {
            domain.standing = Standing::Asking;
            let name = Arc::clone(&domain.name);
            self.effects.push(Effect::Resolve(id, name));
        }
    }

    pub(super) fn look_at_domain(&mut self, id: DomainId, now: Timestamp) {
        let waits = self.domain(id).is_some_and(|domain| {
            domain.ready > 0 && matches!(domain.standing, Standing::Held { until, .. } if until <= now)
        });
        if waits {
            self.ask(id);
        }
    }

    /// Notes where a domain's mail goes, or why that is not known.
    pub(crate) fn resolved(
        &mut self,
        id: DomainId,
        name: &str,
        found: Result<Route, DomainFault>,
        now: Timestamp,
        random: u32,
    ) {
        // The domain may have been forgotten meanwhile, and its place taken.
        if self.domain(id).is_none_or(|domain| *domain.name != *name) {
            return;
        }
        match found {
            Ok(route) => {
                let site = self.site_id(&route);
                let until = now + route.ttl;
                let held_until = self.held_before(id, site, now);
                self.counted(id, |domain| {
                    domain.held_until = domain.held_until.max(held_until);
                    domain.standing = Standing::Routed { site, until };
                    domain.missing_since = None;
                    domain.failures = 0;
                });
                if self.domain(id).is_some_and(|domain| domain.ready > 0) {
                    self.enlist(id, site);
                    self.kick_site(site, now);
                }
            }
            Err(fault) => self.unresolved(id, &fault, now, random),
        }
    }

    /// Returns until when a domain that moves to this site was held by the one before.
    fn held_before(&self, id: DomainId, to: SiteId, now: Timestamp) -> Timestamp {
        let before = match self.domain(id).map(|domain| &domain.standing) {
            Some(Standing::Routed { site, .. }) if *site != to => self.site(*site),
            _ => None,
        };
        before.map_or_else(
            Timestamp::default,
            |site| {
                if site.may_start() { site.held_until } else { now }
            },
        )
    }

    fn unresolved(&mut self, id: DomainId, fault: &DomainFault, now: Timestamp, random: u32) {
        let Some(domain) = self.domains.get_mut(id as usize) else {
            return;
        };
        // An answer that fails does not undo one that is known: it serves on.
        if let (Standing::Routed { site, .. }, DomainFault::Unanswered(_)) = (&domain.standing, fault) {
            let site = *site;
            return self.kick_site(site, now);
        }
        let wait = match fault {
            DomainFault::NullMx => {
                return self.condemn_domain(id, FailureClass::BadDomain, &fault.text(), now);
            }
            DomainFault::NoSuchDomain | DomainFault::NoAddress => {
                let since = *domain.missing_since.get_or_insert(now);
                if now.since(since) >= NXDOMAIN_TWICE_AFTER {
                    return self.condemn_domain(id, FailureClass::BadDomain, &fault.text(), now);
                }
                NXDOMAIN_TWICE_AFTER
            }
            DomainFault::Unanswered(_) => {
                let wait = DNS_WAITS.get(usize::from(domain.failures)).or(DNS_WAITS.last());
                domain.failures = domain.failures.saturating_add(1);
                let wait = wait.copied().unwrap_or(NXDOMAIN_TWICE_AFTER);
                wait + wait.mul_f32(0.15 * (f32::from(u16::try_from(random >> 16).unwrap_or(0)) / 65_536.0))
            }
        };
        let until = now + wait;
        let why = fault.text();
        domain.held_until = until;
        domain.standing = Standing::Held {
            until,
            why: why.clone(),
        };
        self.looks.push(Reverse((Tick::at(until), Look::Domain(id))));
        self.effects.push(Effect::Keep);
        self.tell_waiting(id, TOLD_MAX, until, FailureClass::Dns, &why);
    }

    /// Tells the first waiting messages why they wait; returns how many.
    pub(super) fn tell_waiting(
        &mut self,
        id: DomainId,
        at_most: usize,
        until: Timestamp,
        class: FailureClass,
        why: &str,
    ) -> usize {
        let mut slot = self.domain(id).map_or(NONE, |domain| domain.head);
        let mut told = 0;
        while told < at_most
            && let Some(entry) = self.book.entry(slot).copied()
        {
            if entry.state == State::Ready {
                self.tell(&entry, Outcome::Deferred { until, class }, why);
                told += 1;
            }
            slot = entry.next;
        }
        told
    }

    /// Has all waiting messages of a domain fail, and those that come within the next minutes.
    pub(super) fn condemn_domain(&mut self, id: DomainId, class: FailureClass, why: &str, now: Timestamp) {
        self.counted(id, |domain| {
            domain.standing = Standing::Condemned {
                until: now + CONDEMNED_FOR,
                class,
                why: why.into(),
            };
        });
        self.condemned.push_back(id);
        self.effects.push(Effect::Keep);
    }

    /// Ends a bounded number of messages of condemned domains.
    pub(super) fn condemn(&mut self, now: Timestamp) {
        let mut budget = ENDED_PER_TURN;
        while let Some(id) = self.condemned.front().copied() {
            let Some(Domain {
                standing: Standing::Condemned { class, why, .. },
                ..
            }) = self.domain(id)
            else {
                self.condemned.pop_front();
                self.kick_domain(id, now);
                continue;
            };
            let (class, why) = (*class, why.clone());
            loop {
                if budget == 0 {
                    return;
                }
                let Some(slot) = self.pop(id) else { break };
                budget -= 1;
                self.drop_fresh(slot);
                if let Some(entry) = self.book.entry(slot).copied() {
                    self.tell(&entry, Outcome::Failed { class }, &why);
                }
                self.book.remove(slot);
            }
            self.condemned.pop_front();
        }
    }
}
