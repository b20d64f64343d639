//! The queues as people and metrics see them.

use types::id::MessageId;
use types::port::{SiteLimits, SiteView};
use types::provider::Provider;
use types::time::Timestamp;

use super::book::State;
use super::domain::Standing;
use super::domains::Domains;
use super::health::SiteState;
use super::messages::Messages;
use super::site::Site;
use super::sites::Sites;

/// A look at the queues, which changes nothing.
#[derive(Clone, Copy, Debug)]
pub(crate) struct View<'a> {
    pub(super) messages: &'a Messages,
    pub(super) domains: &'a Domains,
    pub(super) sites: &'a Sites,
}

impl View<'_> {
    /// Returns how many messages are queued, and how many of them sessions have.
    pub(crate) fn counts(self) -> (usize, usize) {
        self.messages.counts()
    }

    /// Returns the largest sites, biggest first.
    pub(crate) fn sites(self, limit: usize) -> Vec<SiteView> {
        let mut order: Vec<_> = self.sites.iter().map(|site| (site, (0, 0))).collect();
        for domain in self.domains.iter() {
            if let Some(site) = domain.site()
                && let Some((_, (ready, deferred))) = order.get_mut(site as usize)
            {
                *ready += domain.list.ready();
                *deferred += domain.deferred();
            }
        }
        order.sort_by_key(|(_, (ready, deferred))| std::cmp::Reverse(ready + deferred));
        order.truncate(limit);
        order
            .into_iter()
            .map(|(site, (ready, deferred))| view(site, ready, deferred))
            .collect()
    }

    /// Returns why a message waits, or `None` if it is not queued.
    pub(crate) fn why(self, message: MessageId) -> Option<String> {
        let book = self.messages.book();
        let entry = book.entry(book.find(message)?)?;
        Some(match entry.state {
            State::InFlight | State::Withdrawing => "a session is sending it".into(),
            State::Deferred => format!(
                "tried {} times; the next attempt is due at {}",
                entry.attempts,
                entry.due.time()
            ),
            State::Free | State::Gone => return None,
            State::Ready => match self.domains.get(entry.domain)?.standing() {
                Standing::Unknown | Standing::Asking => "DNS is being asked where its mail goes".into(),
                Standing::Held { until, why } => format!("{why}; DNS is asked again at {until}"),
                Standing::Condemned { why, .. } => why.clone(),
                Standing::Routed { site, .. } => {
                    let site = self.sites.get(*site)?;
                    format!("waits for {}, which is {}", site.name(), state(site))
                }
            },
        })
    }

    /// Returns ready, deferred and sessions of each provider.
    pub(crate) fn by_provider(self) -> [(usize, usize, u32); Provider::ALL.len()] {
        let mut sums = [(0, 0, 0); Provider::ALL.len()];
        for domain in self
            .domains
            .iter()
            .filter(|domain| domain.list.ready() + domain.deferred() > 0)
        {
            let provider = self.sites.provider(domain);
            if let Some((ready, deferred, _)) = sums.get_mut(provider as usize) {
                *ready += domain.list.ready();
                *deferred += domain.deferred();
            }
        }
        for site in self.sites.iter() {
            if let Some((_, _, sessions)) = sums.get_mut(site.provider() as usize) {
                *sessions += site.sessions.count();
            }
        }
        sums
    }

    /// Returns when the oldest message that waits at the head of any list was accepted.
    pub(crate) fn oldest_ready(self) -> Option<Timestamp> {
        let lists = self.domains.iter().map(|domain| &domain.list);
        lists
            .filter(|list| list.ready() > 0)
            .filter_map(|list| list.first(self.messages.book()))
            .map(|entry| entry.accepted_at)
            .min()
    }
}

fn view(site: &Site, ready: usize, deferred: usize) -> SiteView {
    let limits = site.limits();
    SiteView {
        site: site.name().to_string(),
        ready,
        deferred,
        sessions: site.sessions.count() as usize,
        state: state(site),
        limits: SiteLimits {
            connections_max: Some(limits.connections),
            messages_per_connection_max: Some(limits.per_connection),
            messages_per_second_max: limits.per_second,
        },
    }
}

fn state(site: &Site) -> String {
    match site.health.state() {
        SiteState::Ready => "ready".into(),
        SiteState::Throttled { until, why } => format!("throttled until {until}: {why}"),
        SiteState::Suspended => "suspended by an operator".into(),
    }
}
