//! Sites: the hosts that serve some domains, and what may be asked of them now.

use std::cmp::Reverse;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use policy::pacing::{Pacer, Rate};
use tokio::sync::Notify;
use types::event::FailureClass;
use types::time::Timestamp;

use super::book::Tick;
use super::domain::{DomainId, Route};
use super::{Effect, Look, Queue, Standing, TOLD_MAX};
use types::provider::Provider;

/// A site's place in the table.
pub(crate) type SiteId = u32;

/// The wait after a site failed for the n-th time in a row.
const WAITS: [Duration; 7] = [
    Duration::from_secs(10),
    Duration::from_secs(30),
    Duration::from_mins(1),
    Duration::from_mins(2),
    Duration::from_mins(5),
    Duration::from_mins(10),
    Duration::from_mins(15),
];
/// How many connections are tried at once before one has served a message.
const UNPROVEN_MAX: u32 = 4;
/// How long a connection limit that the receiver made us feel is kept to.
const LEARNED_FOR: Duration = Duration::from_mins(10);

/// The hosts that take a site's mail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    /// Mail exchangers, best preference first, on the settings' port.
    Exchangers(Arc<[(u16, String)]>),
    /// A route of the settings: a host name or address and a port.
    Fixed(String, u16),
}

/// What may be asked of a site.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    pub(crate) connections: u32,
    pub(crate) per_connection: u32,
    pub(crate) per_second: Option<f64>,
    pub(crate) window: usize,
}

/// Where a site stands. Only `Ready` starts attempts.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum SiteState {
    Ready,
    Throttled { until: Timestamp, why: String },
    Suspended,
}

/// A destination site.
#[derive(Debug)]
pub(super) struct Site {
    pub(super) name: Arc<str>,
    pub(super) target: Target,
    pub(super) provider: Provider,
    pub(super) state: SiteState,
    /// Until when it was throttled or suspended last.
    pub(super) held_until: Timestamp,
    /// Domains with ready messages, in turn.
    pub(super) turn: VecDeque<DomainId>,
    /// Sessions that wait for work, the last used last.
    pub(super) idle: Vec<Arc<Notify>>,
    /// Sessions, opening ones included.
    pub(super) sessions: u32,
    pub(super) opening: u32,
    /// Sessions that will ask for messages in a moment, so that none need be opened for the first ones.
    pub(super) coming: usize,
    pub(super) limits: Limits,
    /// A lower limit of connections that the receiver made us feel, and until when it is kept to.
    learned: Option<(u32, Timestamp)>,
    pub(super) pacer: Pacer,
    /// When pacing lets the next message go.
    pub(super) paced_until: Option<Timestamp>,
    /// Failures in a row: since a session last served its first message.
    failures: u16,
    /// A session has served a message since the site was last throttled.
    proven: bool,
    /// No further session is opened before: those that are established work on.
    opens_from: Option<Timestamp>,
}

impl Site {
    pub(super) fn may_start(&self) -> bool {
        self.state == SiteState::Ready
    }

    /// Returns whether nothing is lost if the site is forgotten and met anew.
    pub(super) fn is_idle(&self) -> bool {
        self.may_start() && self.sessions == 0 && self.turn.is_empty()
    }

    pub(super) fn rate(&self) -> Option<Rate> {
        let per_second = self.limits.per_second?;
        // A tenth of a second's worth at once keeps batches whole and bursts small.
        let burst = (per_second / 10.0).clamp(1.0, 100.0);
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "from 1 to 100")]
        Rate::new(per_second, burst as u32)
    }

    fn connections_now(&self, now: Timestamp) -> u32 {
        let limit = match self.learned {
            Some((learned, until)) if until > now => learned.min(self.limits.connections),
            _ => self.limits.connections,
        };
        if self.proven {
            limit
        } else if self.failures > 0 {
            1
        } else {
            limit.min(UNPROVEN_MAX)
        }
    }

    /// Counts a failure; returns until when nothing is to be tried, at least `least` from now.
    fn fail(&mut self, least: Duration, now: Timestamp, random: u32) -> Timestamp {
        let wait = WAITS
            .get(usize::from(self.failures))
            .or(WAITS.last())
            .copied()
            .unwrap_or_default();
        let jitter = 0.85 + 0.3 * (f32::from(u16::try_from(random >> 16).unwrap_or(0)) / 65_536.0);
        self.failures = self.failures.saturating_add(1);
        now + wait.mul_f32(jitter).max(least)
    }

    /// Lets sessions be opened again at once.
    pub(super) fn open_now(&mut self) {
        self.opens_from = None;
    }
}

impl Queue {
    pub(super) fn site(&self, id: SiteId) -> Option<&Site> {
        self.sites.get(id as usize)
    }

    pub(super) fn site_mut(&mut self, id: SiteId) -> Option<&mut Site> {
        self.sites.get_mut(id as usize)
    }

    pub(super) fn site_id(&mut self, route: &Route) -> SiteId {
        if let Some(id) = self.site_ids.get(&route.site).copied() {
            if let Some(site) = self.sites.get_mut(id as usize) {
                site.target = route.target.clone();
            }
            return id;
        }
        let id = self
            .site_ids_free
            .pop()
            .unwrap_or_else(|| SiteId::try_from(self.sites.len()).expect("fewer sites than domains"));
        let provider = match &route.target {
            Target::Exchangers(hosts) => hosts
                .first()
                .map_or(Provider::Other, |(_, host)| Provider::of_host(host)),
            Target::Fixed(host, _) => Provider::of_host(host),
        };
        let site = Site {
            name: Arc::clone(&route.site),
            target: route.target.clone(),
            provider,
            state: SiteState::Ready,
            held_until: Timestamp::default(),
            turn: VecDeque::new(),
            idle: Vec::new(),
            sessions: 0,
            opening: 0,
            coming: 0,
            limits: self.default_limits,
            learned: None,
            pacer: Pacer::default(),
            paced_until: None,
            failures: 0,
            proven: false,
            opens_from: None,
        };
        match self.sites.get_mut(id as usize) {
            Some(free) => *free = site,
            None => self.sites.push(site),
        }
        self.site_ids.insert(Arc::clone(&route.site), id);
        id
    }

    /// Gives a domain its turn at a site.
    pub(super) fn enlist(&mut self, id: DomainId, site: SiteId) {
        let Some(domain) = self.domains.get_mut(id as usize) else {
            return;
        };
        if domain.enlisted == Some(site) {
            return;
        }
        domain.enlisted = Some(site);
        if let Some(site) = self.sites.get_mut(site as usize) {
            site.turn.push_back(id);
        }
    }

    /// A site has ready messages: wakes an idle session, or opens one if all are busy and one more is allowed.
    pub(super) fn kick_site(&mut self, id: SiteId, now: Timestamp) {
        if self.draining {
            return;
        }
        let ready = self.ready_at(id, 64);
        let Some(site) = self.sites.get_mut(id as usize) else {
            return;
        };
        if !site.may_start() || ready == 0 || site.paced_until.is_some_and(|until| until > now) {
            return;
        }
        if let Some(idle) = site.idle.pop() {
            self.effects.push(Effect::Wake(idle));
            return;
        }
        if site.opens_from.is_some_and(|from| from > now) {
            return;
        }
        let wanted = u32::try_from(ready).unwrap_or(u32::MAX);
        let served = site
            .opening
            .saturating_add(u32::try_from(site.coming).unwrap_or(u32::MAX));
        if site.sessions < site.connections_now(now) && served < wanted {
            site.sessions += 1;
            site.opening += 1;
            self.effects.push(Effect::Open(id));
        }
    }

    /// Counts a site's ready messages up to a limit.
    pub(super) fn ready_at(&self, id: SiteId, limit: usize) -> usize {
        let mut ready = 0;
        for domain in self.site(id).into_iter().flat_map(|site| &site.turn) {
            ready += self.domain(*domain).map_or(0, |domain| domain.ready);
            if ready >= limit {
                break;
            }
        }
        ready
    }

    /// Kicks as often as sessions may be woken or opened.
    pub(super) fn kick_all(&mut self, id: SiteId, now: Timestamp) {
        let times = self
            .ready_at(id, 64)
            .min(self.site(id).map_or(0, |site| site.limits.connections as usize));
        for _ in 0..times {
            self.kick_site(id, now);
        }
    }

    pub(super) fn look_at_site(&mut self, id: SiteId, now: Timestamp) {
        let Some(site) = self.sites.get_mut(id as usize) else {
            return;
        };
        if matches!(site.state, SiteState::Throttled { until, .. } if until <= now) {
            site.state = SiteState::Ready;
            // Where the domains' mail goes may have changed while the site was silent.
            let stale: Vec<DomainId> = site.turn.iter().copied().take(256).collect();
            for domain in stale {
                self.counted(domain, |domain| {
                    if let Standing::Routed { until, .. } = &mut domain.standing {
                        *until = Timestamp::from_millis(0);
                    }
                });
                self.kick_domain(domain, now);
            }
        }
        if let Some(site) = self.sites.get_mut(id as usize)
            && site.paced_until.is_some_and(|until| until <= now)
        {
            site.paced_until = None;
        }
        self.kick_all(id, now);
    }

    /// Returns where a session of this site connects to.
    pub(crate) fn target(&self, id: SiteId) -> Option<(Target, Provider, Arc<str>)> {
        let site = self.site(id)?;
        Some((site.target.clone(), site.provider, Arc::clone(&site.name)))
    }

    /// Notes that a session is established. That proves nothing yet: a peer may end each one right behind its EHLO.
    pub(crate) fn opened(&mut self, id: SiteId) {
        if let Some(site) = self.sites.get_mut(id as usize) {
            site.opening = site.opening.saturating_sub(1);
            site.coming += 1;
        }
    }

    /// Notes that a session has served its first message: the site accepted it, or refused it by a reply to it.
    pub(crate) fn served(&mut self, id: SiteId, now: Timestamp) {
        if let Some(site) = self.sites.get_mut(id as usize) {
            let first = !site.proven;
            site.proven = true;
            site.failures = 0;
            site.opens_from = None;
            if first {
                self.kick_all(id, now);
            }
        }
    }

    /// Notes that a session could not be established, at none of the site's hosts.
    pub(crate) fn open_failed(
        &mut self,
        id: SiteId,
        class: FailureClass,
        why: &str,
        wait: Duration,
        now: Timestamp,
        random: u32,
    ) {
        let Some(site) = self.sites.get_mut(id as usize) else {
            return;
        };
        site.opening = site.opening.saturating_sub(1);
        site.sessions = site.sessions.saturating_sub(1);
        if class == FailureClass::ConnectionLimit && site.sessions > 0 {
            site.learned = Some((site.sessions, now + LEARNED_FOR));
            return;
        }
        // While other sessions are established they work on, and only new ones wait.
        if site.sessions > site.opening {
            return self.pause_opening(id, wait, now, random);
        }
        self.throttle(id, class, why, wait, now, random);
    }

    /// Notes that an established session ended without having served a message. It still counts as one until
    /// [`Self::session_closed`]. Returns until when the whole site waits, if it does.
    pub(crate) fn session_failed(
        &mut self,
        id: SiteId,
        class: FailureClass,
        why: &str,
        now: Timestamp,
        random: u32,
    ) -> Option<Timestamp> {
        let site = self.site(id)?;
        if site.sessions > site.opening + 1 {
            self.pause_opening(id, Duration::ZERO, now, random);
            return None;
        }
        self.throttle(id, class, why, Duration::ZERO, now, random)
    }

    /// Lets no further session be opened for a while: longer with each failure in a row, and at least `least`.
    fn pause_opening(&mut self, id: SiteId, least: Duration, now: Timestamp, random: u32) {
        let Some(site) = self.sites.get_mut(id as usize) else {
            return;
        };
        if site.opens_from.is_some_and(|from| from > now) {
            return;
        }
        let from = site.fail(least, now, random);
        site.opens_from = Some(from);
        self.looks.push(Reverse((Tick::at(from), Look::Site(id))));
        self.effects.push(Effect::Keep);
    }

    /// Has everything at a site wait, longer with each failure in a row, and at least `least`. Returns until when, also
    /// if it waits already; `None` if an operator has suspended it.
    pub(crate) fn throttle(
        &mut self,
        id: SiteId,
        class: FailureClass,
        why: &str,
        least: Duration,
        now: Timestamp,
        random: u32,
    ) -> Option<Timestamp> {
        let site = self.sites.get_mut(id as usize)?;
        match site.state {
            SiteState::Ready => {}
            SiteState::Throttled { until, .. } => return Some(until),
            SiteState::Suspended => return None,
        }
        let until = site.fail(least, now, random);
        site.proven = false;
        site.opens_from = None;
        site.state = SiteState::Throttled { until, why: why.into() };
        site.held_until = until;
        let domains: Vec<DomainId> = site.turn.iter().copied().take(TOLD_MAX).collect();
        self.looks.push(Reverse((Tick::at(until), Look::Site(id))));
        self.effects.push(Effect::Keep);
        let mut left = TOLD_MAX;
        for domain in domains {
            left -= self.tell_waiting(domain, left, until, class, why);
        }
        // Bytes that will not be sent soon make room for others.
        let stuck: Vec<_> = self
            .fresh
            .keys()
            .copied()
            .filter(|slot| self.is_at(*slot, id))
            .collect();
        for slot in stuck {
            self.drop_fresh(slot);
        }
        Some(until)
    }

    fn is_at(&self, slot: super::Slot, id: SiteId) -> bool {
        let domain = self.book.entry(slot).and_then(|entry| self.domain(entry.domain));
        domain.is_some_and(|domain| domain.enlisted == Some(id))
    }

    /// Has all messages of a site fail: its addresses are ones that we never connect to.
    pub(crate) fn forbid(&mut self, id: SiteId, why: &str, now: Timestamp) {
        let Some(site) = self.sites.get_mut(id as usize) else {
            return;
        };
        site.opening = site.opening.saturating_sub(1);
        site.sessions = site.sessions.saturating_sub(1);
        for domain in std::mem::take(&mut site.turn) {
            self.counted(domain, |domain| domain.enlisted = None);
            self.condemn_domain(domain, FailureClass::ForbiddenAddress, why, now);
        }
    }

    /// Notes that an established session is over.
    pub(crate) fn session_closed(&mut self, id: SiteId, notify: &Arc<Notify>, coming: bool, now: Timestamp) {
        let Some(site) = self.sites.get_mut(id as usize) else {
            return;
        };
        site.sessions = site.sessions.saturating_sub(1);
        site.coming = site.coming.saturating_sub(usize::from(coming));
        site.idle.retain(|idle| !Arc::ptr_eq(idle, notify));
        self.kick_all(id, now);
    }
}
