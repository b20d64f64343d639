//! Who asks, and what they may do.
//!
//! A key is `stf_` and 43 base64url characters (256 random bits); only its SHA-256 is stored. The key alone says whose
//! data a request is about, never the body. The operator's key opens everything and names the shop with `?shop=`.
//! What belongs to another shop is answered 404, exactly as if it were not there.

use std::io;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::digest;
use axum::extract::FromRequestParts;
use data_encoding::BASE64URL_NOPAD;
use governor::clock::{Clock as _, DefaultClock};
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};
use hyper::HeaderMap;
use hyper::header::AUTHORIZATION;
use hyper::http::request::Parts;
use store::Secrets;
use types::catalogue::{ApiKey, Scope, Shop};
use types::text::Slug;

use crate::app::App;
use crate::problem::{Fault, Kind, Problem};
use crate::settings::Settings;

/// What every key begins with, so that leak scanners and people recognise it.
pub(crate) const PREFIX: &str = "stf_";
/// How many addresses are remembered for failed attempts, before those with none lately are forgotten.
const ADDRESSES_MAX: usize = 100_000;
/// How often that may happen: it visits them all.
const SWEEP_EVERY: Duration = Duration::from_secs(30);

/// The address that the connection comes from. We stand behind nothing that forges it: forwarding headers are ignored.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Peer(pub(crate) IpAddr);

/// Returns the SHA-256 of a key: what is stored, and looked up.
pub(crate) fn hash_of(key: &str) -> [u8; 32] {
    let mut hash = [0; 32];
    hash.copy_from_slice(digest::digest(&digest::SHA256, key.as_bytes()).as_ref());
    hash
}

/// Makes a new key: the prefix and 256 random bits.
pub(crate) fn new_key() -> String {
    format!("{PREFIX}{}", BASE64URL_NOPAD.encode(&rand::random::<[u8; 32]>()))
}

/// Makes the operator's key if there is none yet, and returns it: the only moment it can be shown. Durable on return.
pub fn ensure_operator_key(secrets: &Secrets) -> io::Result<Option<String>> {
    match secrets.operator_hash() {
        Some(_) => Ok(None),
        None => replace_operator_key(secrets).map(Some),
    }
}

/// Makes a new operator's key and returns it; the old one is worth nothing from the next start on. Durable on return.
pub fn replace_operator_key(secrets: &Secrets) -> io::Result<String> {
    let key = new_key();
    secrets.set_operator_hash(&hash_of(&key))?;
    Ok(key)
}

/// Who asks.
#[derive(Clone, Debug)]
pub(crate) enum Caller {
    /// The one who runs the service.
    Operator,
    /// A shop's app.
    Shop(Arc<ApiKey>),
}

/// Limits of requests, kept per key, and of failed attempts, kept per address.
pub(crate) struct Limits {
    requests: DefaultKeyedRateLimiter<u64>,
    failures: DefaultKeyedRateLimiter<IpAddr>,
    /// When addresses were last forgotten.
    swept: Mutex<Option<Instant>>,
    clock: DefaultClock,
}

impl Limits {
    /// Starts with nothing used up.
    pub(crate) fn new(settings: &Settings) -> Self {
        Self {
            requests: RateLimiter::keyed(Quota::per_second(settings.requests_per_second)),
            failures: RateLimiter::keyed(Quota::per_minute(settings.failed_auth_per_minute)),
            swept: Mutex::default(),
            clock: DefaultClock::default(),
        }
    }

    /// Counts `requests` against a caller; 429 says when they would fit.
    pub(crate) fn count(&self, caller: &Caller, requests: u32) -> Result<(), Problem> {
        // Keyed by bits of the key's hash: as many entries as there are keys.
        let name = match caller {
            Caller::Operator => 0,
            Caller::Shop(key) => {
                let (first, _) = key.hash.split_at(8);
                u64::from_be_bytes(first.try_into().unwrap_or_default())
            }
        };
        let Some(requests) = std::num::NonZeroU32::new(requests) else {
            return Ok(());
        };
        match self.requests.check_key_n(&name, requests) {
            Ok(Ok(())) => Ok(()),
            Ok(Err(not_until)) => Err(Problem::new(Kind::Limited, "this key made too many requests")
                .retry_after(not_until.wait_time_from(self.clock.now()))),
            // More than a second's quota at once: never with the settings' lower bound.
            Err(_) => Err(Problem::new(
                Kind::Limited,
                "the batch has more items than the key may send in a second",
            )
            .retry_after(Duration::from_secs(1))),
        }
    }

    /// Forgets addresses with no failures lately, at most once in a while; returns whether there is room now.
    fn forget(&self) -> bool {
        let now = Instant::now();
        let mut swept = self.swept.lock().unwrap_or_else(PoisonError::into_inner);
        if swept.is_some_and(|before| now.duration_since(before) < SWEEP_EVERY) {
            return false;
        }
        *swept = Some(now);
        self.failures.retain_recent();
        self.failures.len() <= ADDRESSES_MAX
    }

    /// Counts a failed attempt; the answer turns from 401 to 429 when an address made too many.
    fn fail(&self, peer: IpAddr, detail: &'static str) -> Problem {
        if self.failures.len() > ADDRESSES_MAX && !self.forget() {
            // Someone owns very many addresses: until they calm down, failures are answered without being counted.
            return Problem::new(Kind::AuthLimited, "too many addresses fail to authenticate").retry_after(SWEEP_EVERY);
        }
        match self.failures.check_key(&network(peer)) {
            Ok(()) => Problem::new(Kind::Unauthenticated, detail),
            Err(not_until) => Problem::new(Kind::AuthLimited, "this address failed to authenticate too often")
                .retry_after(not_until.wait_time_from(self.clock.now())),
        }
    }
}

/// One IPv6 customer has a /64 at least: it counts as one address.
fn network(peer: IpAddr) -> IpAddr {
    match peer.to_canonical() {
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() >> 64 << 64)),
        v4 @ IpAddr::V4(_) => v4,
    }
}

impl FromRequestParts<App> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Problem> {
        let peer = parts
            .extensions
            .get::<Peer>()
            .map_or(IpAddr::V6(Ipv6Addr::UNSPECIFIED), |peer| peer.0);
        let caller = authenticate(&parts.headers, app).map_err(|detail| app.limits.fail(peer, detail))?;
        app.limits.count(&caller, 1)?;
        Ok(caller)
    }
}

/// The operator, for routes that are nobody else's.
pub(crate) struct Operator;

impl FromRequestParts<App> for Operator {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Problem> {
        match Caller::from_request_parts(parts, app).await? {
            Caller::Operator => Ok(Self),
            Caller::Shop(_) => Err(Problem::new(Kind::Forbidden, "only the operator's key may do this")),
        }
    }
}

/// Finds the caller by the bearer key (RFC 6750 §2.1).
fn authenticate(headers: &HeaderMap, app: &App) -> Result<Caller, &'static str> {
    let value = headers
        .get(AUTHORIZATION)
        .ok_or("the Authorization header is missing")?;
    let (scheme, key) = value
        .to_str()
        .ok()
        .and_then(|text| text.split_once(' '))
        .ok_or("the Authorization header is not of the form `Bearer stf_…`")?;
    if !scheme.eq_ignore_ascii_case("bearer") || !is_key(key) {
        return Err("the Authorization header is not of the form `Bearer stf_…`");
    }
    let hash = hash_of(key);
    if app.keyring.is_operator(&hash) {
        return Ok(Caller::Operator);
    }
    match app.catalogue().key(&hash) {
        Some(key) if verify_slices_are_equal(&key.hash, &hash).is_ok() => Ok(Caller::Shop(Arc::clone(key))),
        _ => Err("the API key is unknown or was revoked"),
    }
}

fn is_key(text: &str) -> bool {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_');
    text.strip_prefix(PREFIX)
        .is_some_and(|random| random.len() == 43 && random.bytes().all(allowed))
}

impl Caller {
    /// Returns whether the operator asks.
    pub(crate) const fn is_operator(&self) -> bool {
        matches!(self, Self::Operator)
    }

    /// Returns whether the key was revoked, or its shop deleted, since it was shown. The operator's is replaced by a start alone.
    pub(crate) fn is_revoked(&self, app: &App) -> bool {
        match self {
            Self::Operator => false,
            Self::Shop(key) => app.catalogue().key(&key.hash).is_none(),
        }
    }

    /// Refuses callers whose key lacks a scope.
    pub(crate) fn may(&self, scope: Scope) -> Result<(), Problem> {
        match self {
            Self::Operator => Ok(()),
            Self::Shop(key) if key.scopes.contains(&scope) => Ok(()),
            Self::Shop(_) => Err(Problem::new(
                Kind::Forbidden,
                match scope {
                    Scope::Send => "this key lacks the scope `send`",
                    Scope::Read => "this key lacks the scope `read`",
                    Scope::Manage => "this key lacks the scope `manage`",
                },
            )),
        }
    }

    /// Returns whether the caller may see what belongs to `shop`.
    pub(crate) fn sees(&self, shop: &Slug) -> bool {
        match self {
            Self::Operator => true,
            Self::Shop(key) => key.shop == *shop,
        }
    }

    /// Returns the shop a request is about: the key's own, or the one that the operator names with `?shop=`.
    pub(crate) fn shop(&self, app: &App, named: Option<&str>, scope: Scope) -> Result<Arc<Shop>, Problem> {
        self.may(scope)?;
        let missing = || Problem::not_found("shop");
        let named = named.map(|id| Slug::try_from(id).map_err(|_| missing())).transpose()?;
        let id = match (self, &named) {
            (Self::Operator, None) => {
                let fault = Fault::new("shop", "is missing: the operator's key names the shop with ?shop=");
                return Err(Problem::invalid(vec![fault]));
            }
            (Self::Shop(key), Some(other)) if key.shop != *other => return Err(missing()),
            (Self::Operator, Some(id)) => id,
            (Self::Shop(key), _) => &key.shop,
        };
        app.catalogue().shop(id).cloned().ok_or_else(missing)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_v6_network_counts_as_one_address() {
        let parse = |text: &str| network(text.parse().unwrap());
        assert_eq!(parse("2001:db8:1:2:3::4"), parse("2001:db8:1:2::"));
        assert_ne!(parse("2001:db8:1:2::"), parse("2001:db8:1:3::"));
        assert_eq!(parse("::ffff:10.0.0.1"), parse("10.0.0.1"));
    }

    #[test]
    fn keys_have_one_form() {
        assert!(is_key(&format!("stf_{}", "aB-_9".repeat(9).get(..43).unwrap())));
        for bad in [
            "",
            "stf_",
            &"a".repeat(47),
            &format!("stf_{}", "a".repeat(42)),
            &format!("stf_{}", "é".repeat(43)),
        ] {
            assert!(!is_key(bad), "{bad}");
        }
    }
}
