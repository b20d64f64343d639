//! The queues as people and metrics see them.

use types::id::MessageId;
use types::port::{SiteLimits, SiteView};
use types::time::Timestamp;

use super::book::State;
use super::domain::{Domain, DomainId};
use super::site::{Site, SiteState};
use super::{Queue, Standing};
use types::provider::Provider;

impl Queue {
    /// Returns the largest sites, biggest first.
    pub(crate) fn views(&self, limit: usize) -> Vec<SiteView> {
        let mut counts = vec![(0, 0); self.sites.len()];
        for domain in &self.domains {
            if let Standing::Routed { site, .. } = domain.standing
                && let Some((ready, deferred)) = counts.get_mut(site as usize)
            {
                *ready += domain.ready;
                *deferred += domain.deferred;
            }
        }
        let mut order: Vec<_> = self.sites.iter().zip(counts).collect();
        order.sort_by_key(|(_, (ready, deferred))| std::cmp::Reverse(ready + deferred));
        order.truncate(limit);
        order
            .into_iter()
            .map(|(site, (ready, deferred))| view(site, ready, deferred))
            .collect()
    }

    /// Returns why a message waits, or `None` if it is not queued.
    pub(crate) fn why(&self, message: MessageId) -> Option<String> {
        let entry = self.book.entry(self.book.find(message)?)?;
        Some(match entry.state {
            State::InFlight | State::Withdrawing => "a session is sending it".into(),
            State::Deferred => format!(
                "tried {} times; the next attempt is due at {}",
                entry.attempts,
                entry.due.time()
            ),
            State::Free | State::Gone => return None,
            State::Ready => match &self.domain(entry.domain)?.standing {
                Standing::Unknown | Standing::Asking => "DNS is being asked where its mail goes".into(),
                Standing::Held { until, why } => format!("{why}; DNS is asked again at {until}"),
                Standing::Condemned { why, .. } => why.clone(),
                Standing::Routed { site, .. } => {
                    let site = self.site(*site)?;
                    format!("waits for {}, which is {}", site.name, state(site))
                }
            },
        })
    }

    /// Changes a site's limits. False if there is no such site.
    pub(crate) fn adjust(&mut self, name: &str, limits: &SiteLimits, now: Timestamp) -> bool {
        self.with_site(name, now, |site| {
            if let Some(connections) = limits.connections_max {
                site.limits.connections = connections.clamp(1, 1000);
            }
            if let Some(messages) = limits.messages_per_connection_max {
                site.limits.per_connection = messages.max(1);
            }
            if let Some(rate) = limits.messages_per_second_max {
                // Zero, or anything that is no rate, lifts the limit.
                site.limits.per_second = Some(rate).filter(|rate| rate.is_finite() && *rate > 0.0);
                site.paced_until = None;
            }
        })
    }

    /// Lets nothing start at a site until resumed.
    pub(crate) fn suspend(&mut self, name: &str, now: Timestamp) -> bool {
        self.with_site(name, now, |site| site.state = SiteState::Suspended)
    }

    /// Lets attempts start again at once, whatever held them.
    pub(crate) fn resume_site(&mut self, name: &str, now: Timestamp) -> bool {
        self.with_site(name, now, |site| {
            if !site.may_start() {
                site.state = SiteState::Ready;
                site.held_until = now;
            }
            site.open_now();
        })
    }

    /// Returns messages per connection, as they hold for a site now.
    pub(crate) fn per_connection(&self, id: super::SiteId) -> u32 {
        self.site(id).map_or(1, |site| site.limits.per_connection)
    }

    /// Returns ready, deferred and sessions of each provider.
    pub(crate) fn by_provider(&self) -> [(usize, usize, u32); Provider::ALL.len()] {
        let mut sums = [(0, 0, 0); Provider::ALL.len()];
        for domain in self.domains.iter().filter(|domain| domain.ready + domain.deferred > 0) {
            let provider = self.provider_of(domain);
            if let Some((ready, deferred, _)) = sums.get_mut(provider as usize) {
                *ready += domain.ready;
                *deferred += domain.deferred;
            }
        }
        for site in &self.sites {
            if let Some((_, _, sessions)) = sums.get_mut(site.provider as usize) {
                *sessions += site.sessions;
            }
        }
        sums
    }

    /// Returns who runs the receiver of a domain: by its site, or by its name while no site is known.
    pub(super) fn provider(&self, id: DomainId) -> Provider {
        self.domain(id)
            .map_or(Provider::Other, |domain| self.provider_of(domain))
    }

    fn provider_of(&self, domain: &Domain) -> Provider {
        let site = match domain.standing {
            Standing::Routed { site, .. } => self.site(site),
            _ => None,
        };
        site.map_or_else(|| Provider::of_host(&domain.name), |site| site.provider)
    }

    /// Returns when the oldest message that waits at the head of any list was accepted.
    pub(crate) fn oldest_ready(&self) -> Option<Timestamp> {
        let heads = self.domains.iter().filter(|domain| domain.ready > 0);
        heads
            .filter_map(|domain| self.book.entry(domain.head))
            .map(|entry| entry.accepted_at)
            .min()
    }

    fn with_site(&mut self, name: &str, now: Timestamp, change: impl FnOnce(&mut Site)) -> bool {
        let Some(id) = self.site_ids.get(name).copied() else {
            return false;
        };
        let Some(site) = self.site_mut(id) else { return false };
        change(site);
        self.kick_all(id, now);
        true
    }
}

fn view(site: &Site, ready: usize, deferred: usize) -> SiteView {
    SiteView {
        site: site.name.to_string(),
        ready,
        deferred,
        sessions: site.sessions as usize,
        state: state(site),
        limits: SiteLimits {
            connections_max: Some(site.limits.connections),
            messages_per_connection_max: Some(site.limits.per_connection),
            messages_per_second_max: site.limits.per_second,
        },
    }
}

fn state(site: &Site) -> String {
    match &site.state {
        SiteState::Ready => "ready".into(),
        SiteState::Throttled { until, why } => format!("throttled until {until}: {why}"),
        SiteState::Suspended => "suspended by an operator".into(),
    }
}
