//! A domain: where DNS says its mail goes, and the list in which its messages wait.

use std::sync::Arc;
use std::time::Duration;

use types::event::FailureClass;
use types::time::Timestamp;

use super::list::List;
use super::route::DomainFault;
use super::site::SiteId;

/// A domain's place in the table.
pub(crate) type DomainId = u32;

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
    name: Arc<str>,
    /// Its ready messages.
    pub(super) list: List,
    deferred: usize,
    /// With sessions.
    in_flight: usize,
    standing: Standing,
    /// Until when it was held last.
    held_until: Timestamp,
    /// The site in whose turn it stands.
    enlisted: Option<SiteId>,
    /// When DNS first said that it does not exist, since it last said otherwise.
    missing_since: Option<Timestamp>,
    /// DNS failures in a row.
    failures: u16,
}

impl Domain {
    pub(super) fn new(name: Arc<str>) -> Self {
        Self {
            name,
            list: List::new(),
            deferred: 0,
            in_flight: 0,
            standing: Standing::Unknown,
            held_until: Timestamp::default(),
            enlisted: None,
            missing_since: None,
            failures: 0,
        }
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn standing(&self) -> &Standing {
        &self.standing
    }

    /// Returns the site that its mail goes to, if that is known.
    pub(super) fn site(&self) -> Option<SiteId> {
        match self.standing {
            Standing::Routed { site, .. } => Some(site),
            Standing::Unknown | Standing::Asking | Standing::Held { .. } | Standing::Condemned { .. } => None,
        }
    }

    /// Returns until when it was held last.
    pub(super) fn held_until(&self) -> Timestamp {
        self.held_until
    }

    /// Returns whether it has no messages, and stands in no site's turn.
    pub(super) fn is_idle(&self) -> bool {
        self.list.is_empty() && self.deferred == 0 && self.in_flight == 0 && self.enlisted.is_none()
    }

    /// Clears its name and route: a look-up that is under way finds another name here, and its answer is dropped.
    pub(super) fn forget(&mut self) {
        self.name = Arc::from("");
        self.standing = Standing::Unknown;
    }

    /// Returns how many of its messages wait for their time.
    pub(super) fn deferred(&self) -> usize {
        self.deferred
    }

    /// Counts a message that begins to wait for its time.
    pub(super) fn defer(&mut self) {
        self.deferred += 1;
    }

    /// Counts a message that waits for its time no longer.
    pub(super) fn undefer(&mut self) {
        self.deferred -= 1;
    }

    /// Counts a message that a session gets.
    pub(super) fn give(&mut self) {
        self.in_flight += 1;
    }

    /// Counts a message that a session has no longer.
    pub(super) fn came_back(&mut self) {
        self.in_flight = self.in_flight.saturating_sub(1);
    }

    /// Returns the site in whose turn it stands.
    pub(super) fn enlisted(&self) -> Option<SiteId> {
        self.enlisted
    }

    /// Notes that it stands in a site's turn. False if it stood there already.
    pub(super) fn enlist(&mut self, site: SiteId) -> bool {
        self.enlisted.replace(site) != Some(site)
    }

    /// Notes that it stands in no turn any more.
    pub(super) fn delist(&mut self) {
        self.enlisted = None;
    }

    /// Notes that DNS is asked; returns the name to ask for.
    pub(super) fn ask(&mut self) -> Arc<str> {
        self.standing = Standing::Asking;
        Arc::clone(&self.name)
    }

    /// Notes that DNS is asked again; until it answers, or a minute has passed, the old route serves.
    pub(super) fn ask_again(&mut self, now: Timestamp) -> Arc<str> {
        if let Standing::Routed { until, .. } = &mut self.standing {
            *until = now + Duration::from_mins(1);
        }
        Arc::clone(&self.name)
    }

    /// Has DNS be asked again when mail comes next.
    pub(super) fn doubt_route(&mut self) {
        if let Standing::Routed { until, .. } = &mut self.standing {
            *until = Timestamp::from_millis(0);
        }
    }

    /// Notes where its mail goes. `held_until` is until when the site that it leaves was held.
    pub(super) fn route(&mut self, site: SiteId, until: Timestamp, held_until: Timestamp) {
        self.held_until = self.held_until.max(held_until);
        self.standing = Standing::Routed { site, until };
        self.missing_since = None;
        self.failures = 0;
    }

    /// Counts a fault of DNS. Returns the wait before DNS is asked again, or `None` if the fault is believed.
    pub(super) fn wait_after(&mut self, fault: &DomainFault, now: Timestamp, random: u32) -> Option<Duration> {
        match fault {
            DomainFault::NullMx => None,
            DomainFault::NoSuchDomain | DomainFault::NoAddress => {
                let since = *self.missing_since.get_or_insert(now);
                (now.since(since) < NXDOMAIN_TWICE_AFTER).then_some(NXDOMAIN_TWICE_AFTER)
            }
            DomainFault::Unanswered(_) => {
                let wait = DNS_WAITS.get(usize::from(self.failures)).or(DNS_WAITS.last());
                self.failures = self.failures.saturating_add(1);
                let wait = wait.copied().unwrap_or(NXDOMAIN_TWICE_AFTER);
                Some(wait + wait.mul_f32(0.15 * (f32::from(u16::try_from(random >> 16).unwrap_or(0)) / 65_536.0)))
            }
        }
    }

    /// Has its messages wait until `until`.
    pub(super) fn hold(&mut self, until: Timestamp, why: String) {
        self.held_until = until;
        self.standing = Standing::Held { until, why };
    }

    /// Has its messages fail, and those that come within the next minutes.
    pub(super) fn condemn(&mut self, class: FailureClass, why: &str, now: Timestamp) {
        self.standing = Standing::Condemned {
            until: now + CONDEMNED_FOR,
            class,
            why: why.into(),
        };
    }
}
