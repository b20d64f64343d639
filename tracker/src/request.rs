//! What a request asks for: endpoint, token, host, and who seems to ask.

use std::net::IpAddr;

use hyper::header::{HOST, HeaderMap, HeaderValue, USER_AGENT};
use hyper::{Method, Uri};
use types::event::AgentClass;

use crate::agent;

/// Where a request goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Endpoint {
    Click,
    Pixel,
    Unsubscribe,
    Robots,
    Other,
}

impl Endpoint {
    /// Splits a path into endpoint and token; the token is empty where there is none.
    pub(crate) fn of(path: &str) -> (Self, &str) {
        if let Some(token) = path.strip_prefix("/c/") {
            (Self::Click, token)
        } else if let Some(token) = path.strip_prefix("/o/") {
            (Self::Pixel, token.strip_suffix(".gif").unwrap_or(token))
        } else if let Some(token) = path.strip_prefix("/u/") {
            (Self::Unsubscribe, token)
        } else if path == "/robots.txt" {
            (Self::Robots, "")
        } else {
            (Self::Other, "")
        }
    }

    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Click => "click",
            Self::Pixel => "pixel",
            Self::Unsubscribe => "unsubscribe",
            Self::Robots => "robots",
            Self::Other => "other",
        }
    }
}

/// Returns the host that the request names, without port and final dot; empty if there is none or it is no host name.
pub(crate) fn host<'a>(uri: &'a Uri, headers: &'a HeaderMap) -> &'a str {
    let named = match uri.host() {
        Some(host) => host,
        None => headers
            .get(HOST)
            .and_then(|host| host.to_str().ok())
            .unwrap_or_default(),
    };
    let host = named.split_once(':').map_or(named, |(host, _port)| host);
    let host = host.strip_suffix('.').unwrap_or(host);
    if host.len() <= 253 { host } else { "" }
}

/// Returns who asks: the peer, or, if that is a proxy on this machine, the last address of its `X-Forwarded-For`, which the
/// proxy itself wrote. What strangers put there is never read.
pub(crate) fn party(peer: IpAddr, headers: &HeaderMap) -> IpAddr {
    let forwarded = || {
        let last = headers.get_all("x-forwarded-for").iter().next_back()?.to_str().ok()?;
        last.rsplit(',').next()?.trim().parse().ok()
    };
    let is_proxy = peer.to_canonical().is_loopback();
    is_proxy.then(forwarded).flatten().unwrap_or(peer)
}

/// Whether a request shows that a person saw or followed something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Visit {
    /// A plain GET, by someone or something of this class.
    Real(AgentClass),
    /// A HEAD, or a GET made in advance: answered, never counted.
    InAdvance,
}

impl Visit {
    pub(crate) fn of(method: &Method, headers: &HeaderMap) -> Self {
        if method == Method::HEAD || is_prefetch(headers) {
            return Self::InAdvance;
        }
        let agent = headers.get(USER_AGENT).map(HeaderValue::as_bytes);
        Self::Real(agent::class(agent.unwrap_or_default()))
    }
}

/// Returns whether a browser says that it fetches in advance: `Sec-Purpose` (Fetch standard), or its older forms.
fn is_prefetch(headers: &HeaderMap) -> bool {
    ["sec-purpose", "purpose", "x-purpose", "x-moz"].iter().any(|name| {
        headers.get_all(*name).iter().any(|value| {
            let value = value.as_bytes().to_ascii_lowercase();
            let says = |word: &[u8]| value.windows(word.len()).any(|part| part == word);
            says(b"prefetch") || says(b"prerender") || says(b"preview")
        })
    })
}
