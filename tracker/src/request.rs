//! What a request asks for: endpoint, token, and who seems to ask.

use std::net::IpAddr;

use types::event::{AgentClass, Visit};
use types::network::Network;
use types::time::Timestamp;

use crate::http::{Head, Method};

/// Where a request goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Endpoint {
    Click,
    Pixel,
    Unsubscribe,
    Landing,
    Snippet,
    Robots,
    Other,
}

impl Endpoint {
    /// Every endpoint, in the order of its number.
    pub(crate) const ALL: [Self; 7] = [
        Self::Click,
        Self::Pixel,
        Self::Unsubscribe,
        Self::Landing,
        Self::Snippet,
        Self::Robots,
        Self::Other,
    ];

    /// Splits a path into endpoint and token; the token is empty where there is none.
    pub(crate) fn of(path: &str) -> (Self, &str) {
        if let Some(token) = path.strip_prefix("/c/") {
            (Self::Click, token)
        } else if let Some(token) = path.strip_prefix("/o/") {
            (Self::Pixel, token.strip_suffix(".gif").unwrap_or(token))
        } else if let Some(token) = path.strip_prefix("/u/") {
            (Self::Unsubscribe, token)
        } else {
            let endpoint = match path {
                "/l" => Self::Landing,
                "/landing.js" => Self::Snippet,
                "/robots.txt" => Self::Robots,
                _ => Self::Other,
            };
            (endpoint, "")
        }
    }

    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Click => "click",
            Self::Pixel => "pixel",
            Self::Unsubscribe => "unsubscribe",
            Self::Landing => "landing",
            Self::Snippet => "snippet",
            Self::Robots => "robots",
            Self::Other => "other",
        }
    }
}

/// A whole request.
pub(crate) struct Request<'a> {
    pub(crate) head: &'a Head<'a>,
    pub(crate) body: &'a [u8],
    /// Who asks.
    pub(crate) party: IpAddr,
    pub(crate) now: Timestamp,
}

/// What is kept of who asks: nothing that tells a person.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Visitor {
    pub(crate) agent: AgentClass,
    pub(crate) network: Network,
    pub(crate) visit: Visit,
}

impl Request<'_> {
    pub(crate) fn visitor(&self) -> Visitor {
        let visit = match self.head.method {
            Method::Head => Visit::Head,
            _ if self.head.in_advance => Visit::Prefetch,
            _ => Visit::Real,
        };
        Visitor {
            agent: policy::agent::class(self.head.user_agent),
            network: Network::of(self.party),
            visit,
        }
    }

    /// Returns the host of the page that made the request, as the browser says.
    pub(crate) fn page_host(&self) -> Option<&str> {
        // An Origin that is there is the answer, be it `null`: the Referer would be older or less.
        let page = self.head.origin.or(self.head.referer)?;
        let rest = page.strip_prefix("https://").or_else(|| page.strip_prefix("http://"))?;
        let authority = rest.split(['/', '?', '#']).next()?;
        Some(authority.split_once(':').map_or(authority, |(host, _port)| host))
    }
}

/// Returns who asks: the peer, or, if that is a proxy on this machine, the last address of its `X-Forwarded-For`, which the
/// proxy itself wrote. What strangers put there is never read.
pub(crate) fn party(peer: IpAddr, head: &Head<'_>) -> IpAddr {
    let peer = peer.to_canonical();
    let forwarded = || head.forwarded_for?.rsplit(',').next()?.trim().parse().ok();
    let is_proxy = peer.is_loopback();
    is_proxy.then(forwarded).flatten().unwrap_or(peer)
}
