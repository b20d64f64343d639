//! All sites: found by the names of their hosts, and kicked when they have ready messages.

use std::collections::HashSet;
use std::sync::Arc;

use foldhash::fast::RandomState;
use types::provider::Provider;
use types::time::Timestamp;

use super::agenda::Agenda;
use super::domain::{Domain, DomainId, Standing};
use super::domains::Domains;
use super::route::Route;
use super::site::{Limits, Site, SiteId};
use super::table::Table;

/// The most ready messages that are counted to see how many sessions are needed.
const COUNTED_MAX: usize = 64;
/// The most domains whose routes are asked for again when a site's throttle ends.
const ASKED_AGAIN_MAX: usize = 256;

/// The sites of all queues.
#[derive(Debug)]
pub(super) struct Sites {
    table: Table<Site>,
    default_limits: Limits,
    draining: bool,
}

impl Sites {
    pub(super) fn new(default_limits: Limits) -> Self {
        Self {
            table: Table::new(),
            default_limits,
            draining: false,
        }
    }

    pub(super) fn find(&self, name: &str) -> Option<SiteId> {
        self.table.find(name)
    }

    pub(super) fn get(&self, id: SiteId) -> Option<&Site> {
        self.table.get(id)
    }

    pub(super) fn get_mut(&mut self, id: SiteId) -> Option<&mut Site> {
        self.table.get_mut(id)
    }

    /// Returns all sites in the order of their places, those that were forgotten included.
    pub(super) fn iter(&self) -> std::slice::Iter<'_, Site> {
        self.table.rows()
    }

    /// Returns the site that a route leads to; a new one gets the default limits.
    pub(super) fn reached_by(&mut self, route: &Route) -> SiteId {
        if let Some(id) = self.table.find(&route.site) {
            if let Some(site) = self.table.get_mut(id) {
                site.move_to(&route.target);
            }
            return id;
        }
        let site = Site::new(route, self.default_limits);
        self.table.add(Arc::clone(&route.site), site)
    }

    /// Forgets sites without sessions that no domain is routed to, whose places are used again.
    ///
    /// What is lost is limits that were changed while running.
    pub(super) fn forget_idle(&mut self, used: &HashSet<SiteId, RandomState>) {
        self.table.retain(|id, site| used.contains(&id) || !site.is_idle());
    }

    pub(super) fn is_draining(&self) -> bool {
        self.draining
    }

    /// Lets nothing start any more, and wakes all idle sessions.
    pub(super) fn drain(&mut self, agenda: &mut Agenda) {
        self.draining = true;
        for site in self.table.rows_mut() {
            for idle in site.sessions.wake_all() {
                agenda.wake(idle);
            }
        }
    }

    /// Returns who runs the receiver of a domain: by its site, or by its name while no site is known.
    pub(super) fn provider(&self, domain: &Domain) -> Provider {
        let site = domain.site().and_then(|site| self.get(site));
        site.map_or_else(|| Provider::of_host(domain.name()), Site::provider)
    }

    /// Returns whether a domain's messages are not known to be stuck, so that keeping bytes pays.
    pub(super) fn moves(&self, domain: &Domain) -> bool {
        match domain.standing() {
            Standing::Unknown | Standing::Asking => true,
            Standing::Routed { site, .. } => self.get(*site).is_none_or(|site| site.health.may_start()),
            Standing::Held { .. } | Standing::Condemned { .. } => false,
        }
    }

    /// Gives a domain its turn at a site.
    pub(super) fn enlist(&mut self, id: DomainId, domain: &mut Domain, site: SiteId) {
        if domain.enlist(site)
            && let Some(site) = self.table.get_mut(site)
        {
            site.line_up(id);
        }
    }

    /// Counts a site's ready messages up to a limit.
    pub(super) fn ready_at(&self, id: SiteId, limit: usize, domains: &Domains) -> usize {
        let mut ready = 0;
        for domain in self.get(id).into_iter().flat_map(Site::turn) {
            ready += domains.get(domain).map_or(0, |domain| domain.list.ready());
            if ready >= limit {
                break;
            }
        }
        ready
    }

    /// A site has ready messages: wakes an idle session, or opens one if all are busy and one more is allowed.
    pub(super) fn kick(&mut self, id: SiteId, domains: &Domains, agenda: &mut Agenda, now: Timestamp) {
        if self.draining {
            return;
        }
        let ready = self.ready_at(id, COUNTED_MAX, domains);
        let Some(site) = self.table.get_mut(id) else { return };
        if ready == 0 || !site.may_send(now) {
            return;
        }
        if let Some(idle) = site.sessions.wake() {
            agenda.wake(idle);
        } else if site.open_one(ready, now) {
            agenda.open(id);
        }
    }

    /// Kicks as often as sessions may be woken or opened.
    pub(super) fn kick_all(&mut self, id: SiteId, domains: &Domains, agenda: &mut Agenda, now: Timestamp) {
        let connections = self.get(id).map_or(0, |site| site.limits().connections as usize);
        let times = self.ready_at(id, COUNTED_MAX, domains).min(connections);
        for _ in 0..times {
            self.kick(id, domains, agenda, now);
        }
    }

    /// Ends a site's waits that are over, and lets it go on.
    pub(super) fn look(&mut self, id: SiteId, domains: &mut Domains, agenda: &mut Agenda, now: Timestamp) {
        let Some(site) = self.table.get_mut(id) else { return };
        if site.look(now) {
            // Where the domains' mail goes may have changed while the site was silent.
            let stale: Vec<DomainId> = site.turn().take(ASKED_AGAIN_MAX).collect();
            for id in stale {
                if let Some(domain) = domains.get_mut(id) {
                    domain.doubt_route();
                }
                domains.kick(id, self, agenda, now);
            }
        }
        self.kick_all(id, domains, agenda, now);
    }
}
