//! A site: the hosts that serve some domains, and what may be asked of them now.

use std::collections::VecDeque;
use std::sync::Arc;

use policy::pacing::Rate;
use tokio::sync::Notify;
use types::port::SiteLimits;
use types::provider::Provider;
use types::time::Timestamp;

use super::domain::DomainId;
use super::health::Health;
use super::pace::Pace;
use super::route::Route;
use super::sessions::Sessions;

/// A site's place in the table.
pub(crate) type SiteId = u32;

/// The hosts that take a site's mail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    /// Mail exchangers, best preference first, on the settings' port.
    Exchangers(Arc<[(u16, String)]>),
    /// A route of the settings: a host name or address and a port.
    Fixed(String, u16),
}

impl Target {
    /// Returns who runs the hosts, by the name of the first one.
    fn provider(&self) -> Provider {
        match self {
            Self::Exchangers(hosts) => hosts
                .first()
                .map_or(Provider::Other, |(_, host)| Provider::of_host(host)),
            Self::Fixed(host, _) => Provider::of_host(host),
        }
    }
}

/// What may be asked of a site.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    pub(crate) connections: u32,
    pub(crate) per_connection: u32,
    pub(crate) per_second: Option<f64>,
    pub(crate) window: usize,
}

impl Limits {
    fn rate(&self) -> Option<Rate> {
        let per_second = self.per_second?;
        // A tenth of a second's worth at once keeps batches whole and bursts small.
        let burst = (per_second / 10.0).clamp(1.0, 100.0);
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "from 1 to 100")]
        Rate::new(per_second, burst as u32)
    }
}

/// A destination site.
#[derive(Debug)]
pub(crate) struct Site {
    name: Arc<str>,
    target: Target,
    provider: Provider,
    /// Domains with ready messages, in turn.
    turn: VecDeque<DomainId>,
    limits: Limits,
    pace: Pace,
    pub(super) sessions: Sessions,
    pub(super) health: Health,
}

impl Site {
    pub(super) fn new(route: &Route, limits: Limits) -> Self {
        Self {
            name: Arc::clone(&route.site),
            target: route.target.clone(),
            provider: route.target.provider(),
            turn: VecDeque::new(),
            limits,
            pace: Pace::default(),
            sessions: Sessions::default(),
            health: Health::new(),
        }
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn provider(&self) -> Provider {
        self.provider
    }

    /// Returns where its sessions connect to, who runs that, and its name.
    pub(crate) fn endpoint(&self) -> (Target, Provider, Arc<str>) {
        (self.target.clone(), self.provider, Arc::clone(&self.name))
    }

    /// Notes that its hosts are these, or are preferred in this order.
    pub(super) fn move_to(&mut self, target: &Target) {
        self.target = target.clone();
    }

    pub(super) fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Returns how many messages a session may send.
    pub(crate) fn per_connection(&self) -> u32 {
        self.limits.per_connection
    }

    /// Returns whether nothing is lost if the site is forgotten and met anew.
    pub(super) fn is_idle(&self) -> bool {
        self.health.may_start() && self.sessions.count() == 0 && self.turn.is_empty()
    }

    /// Returns whether messages may go now.
    pub(super) fn may_send(&self, now: Timestamp) -> bool {
        self.health.may_start() && self.pace.is_open(now)
    }

    /// Counts one session that opens, if one more is allowed and needed for so many ready messages.
    pub(super) fn open_one(&mut self, ready: usize, now: Timestamp) -> bool {
        let limit = self
            .health
            .connections(self.sessions.limit(self.limits.connections, now));
        let opens = self.health.may_open(now) && self.sessions.count() < limit && !self.sessions.suffice(ready);
        if opens {
            self.sessions.open();
        }
        opens
    }

    /// Lets one message go, or returns when the next one may.
    pub(super) fn pace_one(&mut self, now: Timestamp) -> Result<(), Timestamp> {
        self.pace.take(self.limits.rate(), now)
    }

    /// Ends the waits that are over. True if it was throttled until now.
    pub(super) fn look(&mut self, now: Timestamp) -> bool {
        self.pace.look(now);
        self.health.end_throttle(now)
    }

    /// Returns the domains with ready messages, in turn.
    pub(super) fn turn(&self) -> impl Iterator<Item = DomainId> {
        self.turn.iter().copied()
    }

    /// Puts a domain at the end of the turn.
    pub(super) fn line_up(&mut self, domain: DomainId) {
        self.turn.push_back(domain);
    }

    /// Takes the domain whose turn it is.
    pub(super) fn next_in_turn(&mut self) -> Option<DomainId> {
        self.turn.pop_front()
    }

    /// Takes all domains out of their turn.
    pub(super) fn empty_turn(&mut self) -> VecDeque<DomainId> {
        std::mem::take(&mut self.turn)
    }

    /// Notes that a session is established. That proves nothing yet: a peer may end each one right behind its EHLO.
    pub(crate) fn opened(&mut self) {
        self.sessions.opened();
    }

    /// Notes that a session has settled its last message and will ask for more in a moment.
    pub(crate) fn comes_back(&mut self) {
        self.sessions.comes_back();
    }

    /// Takes a session out of those that wait for work. False if it was just woken: there is work for it.
    pub(crate) fn retire(&mut self, session: &Arc<Notify>) -> bool {
        self.sessions.retire(session)
    }

    /// Changes the limits that are given.
    pub(crate) fn adjust(&mut self, limits: &SiteLimits) {
        if let Some(connections) = limits.connections_max {
            self.limits.connections = connections.clamp(1, 1000);
        }
        if let Some(messages) = limits.messages_per_connection_max {
            self.limits.per_connection = messages.max(1);
        }
        if let Some(rate) = limits.messages_per_second_max {
            // Zero, or anything that is no rate, lifts the limit.
            self.limits.per_second = Some(rate).filter(|rate| rate.is_finite() && *rate > 0.0);
            self.pace.reset();
        }
    }

    /// Lets nothing start until resumed.
    pub(crate) fn suspend(&mut self) {
        self.health.suspend();
    }

    /// Lets attempts start again at once, whatever held them.
    pub(crate) fn resume(&mut self, now: Timestamp) {
        self.health.resume(now);
    }
}
