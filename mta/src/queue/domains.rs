//! All domains: found by name, kicked when they have messages, forgotten when there are many and they have none.

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;

use foldhash::fast::RandomState;
use types::event::FailureClass;
use types::provider::Provider;
use types::time::Timestamp;

use super::agenda::Agenda;
use super::domain::{Domain, DomainId, Standing};
use super::site::SiteId;
use super::sites::Sites;
use super::table::Table;

/// How many domains are remembered whether they have messages or not.
pub(super) const DOMAINS_KEPT: usize = 65_536;

/// The domains of all queues.
#[derive(Debug)]
pub(super) struct Domains {
    table: Table<Domain>,
    /// How many domains there may be before idle ones are forgotten.
    forget_at: usize,
    /// Domains all of whose messages end.
    condemned: VecDeque<DomainId>,
}

impl Domains {
    pub(super) fn new() -> Self {
        Self {
            table: Table::new(),
            forget_at: DOMAINS_KEPT,
            condemned: VecDeque::new(),
        }
    }

    pub(super) fn find(&self, name: &str) -> Option<DomainId> {
        self.table.find(name)
    }

    pub(super) fn get(&self, id: DomainId) -> Option<&Domain> {
        self.table.get(id)
    }

    pub(super) fn get_mut(&mut self, id: DomainId) -> Option<&mut Domain> {
        self.table.get_mut(id)
    }

    /// Returns all domains, those that were forgotten included: they have no messages.
    pub(super) fn iter(&self) -> std::slice::Iter<'_, Domain> {
        self.table.rows()
    }

    /// Adds a domain that is not here.
    pub(super) fn add(&mut self, name: &str) -> DomainId {
        let name: Arc<str> = name.into();
        self.table.add(Arc::clone(&name), Domain::new(name))
    }

    /// Returns whether there are so many that idle ones should be forgotten.
    pub(super) fn are_many(&self) -> bool {
        self.table.len() >= self.forget_at
    }

    /// Forgets domains without messages, whose places are used again. Returns the sites that the others are routed to.
    ///
    /// What is lost is their routes, which DNS tells again.
    pub(super) fn forget_idle(&mut self) -> HashSet<SiteId, RandomState> {
        let mut used = HashSet::default();
        self.table.retain(|_, domain| {
            if domain.is_idle() {
                domain.forget();
                return false;
            }
            used.extend(domain.site());
            true
        });
        self.forget_at = (self.table.len() * 2).max(DOMAINS_KEPT);
        used
    }

    /// Returns who runs the receiver of a domain.
    pub(super) fn provider(&self, id: DomainId, sites: &Sites) -> Provider {
        self.get(id).map_or(Provider::Other, |domain| sites.provider(domain))
    }

    /// A domain has ready messages: asks DNS, or has its site go on.
    pub(super) fn kick(&mut self, id: DomainId, sites: &mut Sites, agenda: &mut Agenda, now: Timestamp) {
        let Some(domain) = self.table.get_mut(id) else { return };
        match domain.standing() {
            Standing::Unknown => agenda.resolve(id, domain.ask()),
            Standing::Asking => {}
            Standing::Routed { site, until } => {
                let (site, until) = (*site, *until);
                if until <= now {
                    agenda.resolve(id, domain.ask_again(now));
                }
                sites.enlist(id, domain, site);
                sites.kick(site, self, agenda, now);
            }
            Standing::Held { until, .. } => {
                if *until <= now {
                    agenda.resolve(id, domain.ask());
                }
            }
            Standing::Condemned { until, .. } => {
                if *until <= now {
                    agenda.resolve(id, domain.ask());
                } else {
                    self.condemned.push_back(id);
                    agenda.wake_keeper();
                }
            }
        }
    }

    /// Asks DNS about a domain that was held until now and has ready messages.
    pub(super) fn look(&mut self, id: DomainId, agenda: &mut Agenda, now: Timestamp) {
        let Some(domain) = self.table.get_mut(id) else { return };
        if domain.list.ready() > 0 && matches!(domain.standing(), Standing::Held { until, .. } if *until <= now) {
            agenda.resolve(id, domain.ask());
        }
    }

    /// Has all waiting messages of a domain fail, and those that come within the next minutes.
    pub(super) fn condemn(
        &mut self,
        id: DomainId,
        class: FailureClass,
        why: &str,
        agenda: &mut Agenda,
        now: Timestamp,
    ) {
        if let Some(domain) = self.table.get_mut(id) {
            domain.condemn(class, why, now);
        }
        self.condemned.push_back(id);
        agenda.wake_keeper();
    }

    /// Returns the domain whose messages end next.
    pub(super) fn condemned(&self) -> Option<DomainId> {
        self.condemned.front().copied()
    }

    /// Notes that all messages of the domain that [`Self::condemned`] returns have ended.
    pub(super) fn emptied(&mut self) {
        self.condemned.pop_front();
    }
}
