//! What a request asks for: endpoint, token, and who seems to ask.

use std::net::IpAddr;

use hyper::Method;
use hyper::header::{HeaderName, ORIGIN, REFERER, USER_AGENT};
use hyper::http::request::Parts;
use types::event::{AgentClass, Visit};
use types::network::Network;
use types::time::Timestamp;

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

/// Where browsers say that they fetch in advance: the Fetch standard's way, then older ones.
static IN_ADVANCE: [HeaderName; 4] = [
    HeaderName::from_static("sec-purpose"),
    HeaderName::from_static("purpose"),
    HeaderName::from_static("x-moz"),
    HeaderName::from_static("x-purpose"),
];
const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// A whole request. Its header lines are looked up where they are asked for.
pub(crate) struct Request<'a> {
    pub(crate) parts: &'a Parts,
    /// The host that is asked, without port and final dot; empty if there is none or it is no host name.
    pub(crate) host: &'a str,
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
    /// Returns what follows the path's `?`, or nothing.
    pub(crate) fn query(&self) -> &str {
        self.parts.uri.query().unwrap_or_default()
    }

    /// Returns where a link to the shop's own site leads, percent-encoded; the first, if it is written twice.
    pub(crate) fn destination(&self) -> Option<&str> {
        let query = self.parts.uri.query()?;
        query.split('&').find_map(|parameter| parameter.strip_prefix("to="))
    }

    /// Returns a header line's value, if it is ASCII.
    pub(crate) fn header(&self, name: &HeaderName) -> Option<&str> {
        self.parts.headers.get(name)?.to_str().ok()
    }

    pub(crate) fn visitor(&self) -> Visitor {
        let headers = &self.parts.headers;
        let in_advance = || {
            let mut values = IN_ADVANCE.iter().filter_map(|name| headers.get(name));
            values.any(|value| says_in_advance(value.as_bytes()))
        };
        let visit = if self.parts.method == Method::HEAD {
            Visit::Head
        } else if in_advance() {
            Visit::Prefetch
        } else {
            Visit::Real
        };
        let agent = headers.get(USER_AGENT).map_or(&b""[..], |agent| agent.as_bytes());
        Visitor {
            agent: policy::agent::class(agent),
            network: Network::of(self.party),
            visit,
        }
    }

    /// Returns the host of the page that made the request, as the browser says.
    pub(crate) fn page_host(&self) -> Option<&str> {
        // An Origin that is there is the answer, be it `null`: the Referer would be older or less.
        let page = self.header(&ORIGIN).or_else(|| self.header(&REFERER))?;
        let rest = page.strip_prefix("https://").or_else(|| page.strip_prefix("http://"))?;
        let authority = rest.split(['/', '?', '#']).next()?;
        Some(authority.split_once(':').map_or(authority, |(host, _port)| host))
    }
}

fn says_in_advance(value: &[u8]) -> bool {
    let value = value.to_ascii_lowercase();
    let says = |word| memchr::memmem::find(&value, word).is_some();
    says(b"prefetch") || says(b"prerender") || says(b"preview")
}

/// Returns who asks: the peer, or, if that is a proxy on this machine, the last address of its `X-Forwarded-For`, which the
/// proxy itself wrote. What strangers put there is never read.
pub(crate) fn party(peer: IpAddr, parts: &Parts) -> IpAddr {
    let peer = peer.to_canonical();
    let forwarded = || {
        let chain = parts.headers.get_all(FORWARDED_FOR).iter().next_back()?;
        chain.to_str().ok()?.rsplit(',').next()?.trim().parse().ok()
    };
    let is_proxy = peer.is_loopback();
    is_proxy.then(forwarded).flatten().unwrap_or(peer)
}
