//! Where domains' mail goes: what DNS answers, and what follows for the messages that wait.

use std::sync::Arc;
use std::time::Duration;

use types::event::{FailureClass, Outcome};
use types::time::Timestamp;

use super::agenda::Look;
use super::domain::{Domain, DomainId};
use super::site::{SiteId, Target};
use super::{Queue, TOLD_MAX};

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

impl Queue {
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
        if self.domains.get(id).is_none_or(|domain| domain.name() != name) {
            return;
        }
        match found {
            Ok(route) => self.routed(id, &route, now),
            Err(fault) => self.unresolved(id, &fault, now, random),
        }
    }

    fn routed(&mut self, id: DomainId, route: &Route, now: Timestamp) {
        let site = self.sites.reached_by(route);
        let held_until = self.held_before(id, site, now);
        let Some(domain) = self.domains.get_mut(id) else { return };
        domain.route(site, now + route.ttl, held_until);
        if domain.list.ready() > 0 {
            self.sites.enlist(id, domain, site);
            self.sites.kick(site, &self.domains, &mut self.agenda, now);
        }
    }

    /// Returns until when a domain that moves to this site was held by the one before.
    fn held_before(&self, id: DomainId, to: SiteId, now: Timestamp) -> Timestamp {
        let before = self.domains.get(id).and_then(Domain::site).filter(|site| *site != to);
        match before.and_then(|site| self.sites.get(site)) {
            Some(site) if site.health.may_start() => site.health.held_until(),
            Some(_) => now,
            None => Timestamp::default(),
        }
    }

    fn unresolved(&mut self, id: DomainId, fault: &DomainFault, now: Timestamp, random: u32) {
        let Some(domain) = self.domains.get_mut(id) else { return };
        // An answer that fails does not undo one that is known: it serves on.
        if let (Some(site), DomainFault::Unanswered(_)) = (domain.site(), fault) {
            return self.sites.kick(site, &self.domains, &mut self.agenda, now);
        }
        let why = fault.text();
        let Some(wait) = domain.wait_after(fault, now, random) else {
            let class = FailureClass::BadDomain;
            return self.domains.condemn(id, class, &why, &mut self.agenda, now);
        };
        let until = now + wait;
        domain.hold(until, why.clone());
        self.agenda.look(Look::Domain(id), until);
        let (class, provider) = (FailureClass::Dns, self.sites.provider(domain));
        for entry in domain.list.waiting(self.messages.book()).take(TOLD_MAX) {
            self.agenda
                .record(entry, provider, Outcome::Deferred { until, class }, &why);
        }
    }
}
