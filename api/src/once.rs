//! One cause, one effect: claims, and the acceptance of new work under them.
//!
//! An order claims (shop, order id); a request with an `Idempotency-Key` claims (shop, API key, that key) as well. The
//! claims go into the accept's record, so they are as durable as the work itself, for at least 72 hours. The same
//! content under the same name gets the first answer again; other content, also when it names another address, is a
//! conflict. A copy that comes while the first is still being committed waits for it.

use std::time::Duration;

use aws_lc_rs::digest;
use hyper::HeaderMap;
use serde::Serialize;
use store::{ClaimError, ClaimGuard, Claimed, SubmitError};
use types::catalogue::Shop;
use types::event::{Claim, Event};
use types::id::{PartitionId, PublicId, ShopNumber};

use crate::app::App;
use crate::auth::Caller;
use crate::problem::{Fault, Kind, Problem};

/// The header that names a request (draft-ietf-httpapi-idempotency-key-header).
pub(crate) const IDEMPOTENCY_KEY: &str = "idempotency-key";
/// The header that marks an answer given before.
pub(crate) const REPLAYED: &str = "idempotent-replayed";

/// A request's own name, if it brought one.
#[derive(Clone, Debug)]
pub(crate) struct IdempotencyKey(Option<String>);

impl IdempotencyKey {
    /// Reads the header: 1 to 255 printable ASCII characters, sent once.
    pub(crate) fn read(headers: &HeaderMap) -> Result<Self, Problem> {
        let mut values = headers.get_all(IDEMPOTENCY_KEY).iter();
        let Some(value) = values.next() else {
            return Ok(Self(None));
        };
        let wrong = |fault: &str| {
            Problem::new(Kind::Malformed, "the Idempotency-Key cannot be used")
                .with(Fault::new("Idempotency-Key", fault))
        };
        if values.next().is_some() {
            return Err(wrong("is there twice"));
        }
        match value.to_str() {
            Ok(text) if (1..=255).contains(&text.len()) && text.bytes().all(|b| matches!(b, b' '..=b'~')) => {
                Ok(Self(Some(text.to_owned())))
            }
            _ => Err(wrong("is not 1 to 255 printable ASCII characters")),
        }
    }

    /// Returns the claim of this key, or of one item of a batch under it.
    pub(crate) fn claim(&self, caller: &Caller, shop: &Shop, item: Option<usize>, body: [u8; 16]) -> Option<Claim> {
        let key = self.0.as_deref()?;
        let api_key = match caller {
            Caller::Operator => "",
            Caller::Shop(key) => key.id.as_str(),
        };
        let item = item.map_or(String::new(), |index| index.to_string());
        let owner = shop.number.0.to_be_bytes();
        let name = digest_of(&[
            b"idempotency-key",
            &owner,
            api_key.as_bytes(),
            key.as_bytes(),
            item.as_bytes(),
        ]);
        Some(Claim { name, body })
    }
}

/// Returns the name under which an order is claimed.
pub(crate) fn order_name(shop: ShopNumber, order_id: &str) -> [u8; 16] {
    digest_of(&[b"order", &shop.0.to_be_bytes(), order_id.as_bytes()])
}

/// Returns the name under which a reported event is claimed.
pub(crate) fn event_name(shop: ShopNumber, id: &str) -> [u8; 16] {
    digest_of(&[b"event", &shop.0.to_be_bytes(), id.as_bytes()])
}

/// Returns the name under which a cart is held while it is changed.
pub(crate) fn cart_name(shop: ShopNumber, id: &str) -> [u8; 16] {
    digest_of(&[b"cart", &shop.0.to_be_bytes(), id.as_bytes()])
}

/// Returns the digest of a request's content: the endpoint and the parsed request written out again, so that spacing,
/// the order of keys and spelled-out defaults do not matter.
pub(crate) fn content_digest(endpoint: &str, request: &impl Serialize) -> [u8; 16] {
    let canonical = serde_json::to_vec(request).expect("requests are made of texts, numbers and maps with text keys");
    digest_of(&[endpoint.as_bytes(), &canonical])
}

/// SHA-256 of length-prefixed parts, 16 bytes kept.
fn digest_of(parts: &[&[u8]]) -> [u8; 16] {
    let mut context = digest::Context::new(&digest::SHA256);
    for part in parts {
        context.update(&(part.len() as u64).to_be_bytes());
        context.update(part);
    }
    let mut kept = [0; 16];
    if let Some(first) = context.finish().as_ref().get(..16) {
        kept.copy_from_slice(first);
    }
    kept
}

/// How a piece of work came to be accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Accepted {
    /// The accept's event.
    pub(crate) id: PublicId,
    /// Whether this request repeated an earlier one.
    pub(crate) replayed: bool,
}

/// Makes `event` happen once under `claims`, which it carries too. On `Ok` it is durable.
///
/// Runs to its end even when the caller goes away: a client that hangs up in the middle of a commit must not leave its
/// name free while its order is on the way to the disk.
pub(crate) async fn accept(
    app: &App,
    partition: PartitionId,
    event: Event,
    claims: Vec<Claim>,
) -> Result<Accepted, Problem> {
    let worker = app.clone();
    let work = app
        .tasks
        .spawn(async move { worker.accept_once(partition, event, &claims).await });
    work.await
        .unwrap_or_else(|_| Err(Problem::new(Kind::Internal, "the request could not be worked on")))
}

impl App {
    /// Waits until nobody else holds a name, and holds it until the guard is dropped.
    ///
    /// For what is changed by more than one record: the name is never settled, so whoever comes next gets it too.
    pub(crate) async fn hold(&self, name: [u8; 16]) -> Result<ClaimGuard, Problem> {
        let claim = Claim { name, body: [0; 16] };
        match self.store.claims().claim(&[claim]).await.map_err(unclaimed)? {
            Claimed::New(guard) => Ok(guard),
            Claimed::Replay(_) | Claimed::Conflict => Err(Problem::new(Kind::Conflict, "the name is taken")),
        }
    }

    async fn accept_once(&self, partition: PartitionId, event: Event, claims: &[Claim]) -> Result<Accepted, Problem> {
        let guard = if claims.is_empty() {
            None
        } else {
            match self.store.claims().claim(claims).await.map_err(unclaimed)? {
                Claimed::New(guard) => Some(guard),
                Claimed::Replay(id) => {
                    self.metrics.replayed.inc();
                    return Ok(Accepted { id, replayed: true });
                }
                Claimed::Conflict => {
                    return Err(Problem::new(
                        Kind::Conflict,
                        "this id or Idempotency-Key was used before, with other content",
                    ));
                }
            }
        };
        let receipt = self.store.intake().accept(partition, event).await.map_err(refused)?;
        let id = PublicId {
            partition,
            event: receipt.id,
        };
        if let Some(guard) = guard {
            guard.fulfil(id, receipt.position);
        }
        Ok(Accepted { id, replayed: false })
    }

    /// Journals a change and returns once it is durable. Runs to its end even when the caller goes away.
    pub(crate) async fn submit(&self, partition: PartitionId, event: Event) -> Result<(), Problem> {
        let store = self.store.clone();
        let work = self
            .tasks
            .spawn(async move { store.intake().submit(partition, event).await });
        match work.await {
            Ok(submitted) => submitted.map(|_| ()).map_err(refused),
            Err(_) => Err(Problem::new(Kind::Internal, "the request could not be worked on")),
        }
    }
}

/// Says why the store took no work, and when to ask again.
pub(crate) fn refused(error: SubmitError) -> Problem {
    match error {
        SubmitError::Busy => busy(),
        SubmitError::DiskFull => Problem::new(
            Kind::DiskFull,
            "the disk has no room for new work; what was accepted goes on being delivered",
        )
        .retry_after(Duration::from_mins(1)),
        SubmitError::Closed => closed(),
        SubmitError::Refused(reason) => Problem::new(Kind::Internal, reason),
    }
}

fn unclaimed(error: ClaimError) -> Problem {
    match error {
        ClaimError::Busy => busy(),
        ClaimError::Closed => closed(),
    }
}

fn busy() -> Problem {
    Problem::new(Kind::Busy, "more work is waiting than we take on").retry_after(Duration::from_secs(1))
}

fn closed() -> Problem {
    Problem::new(Kind::Closed, "the service is stopping or cannot write").retry_after(Duration::from_secs(5))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_do_not_run_into_each_other() {
        assert_ne!(digest_of(&[b"ab", b"c"]), digest_of(&[b"a", b"bc"]));
        assert_ne!(order_name(ShopNumber(1), "7"), order_name(ShopNumber(2), "7"));
    }

    #[test]
    fn an_idempotency_key_is_short_and_printable() {
        let read = |value: &[u8]| {
            let mut headers = HeaderMap::new();
            headers.insert(IDEMPOTENCY_KEY, hyper::header::HeaderValue::from_bytes(value).unwrap());
            IdempotencyKey::read(&headers).is_ok()
        };
        assert!(read(b"order 17/b"));
        assert!(read(&[b'x'; 255]));
        for bad in [&b""[..], &[b'x'; 256], b"caf\xc3\xa9", b"tab\there"] {
            assert!(!read(bad), "{bad:?}");
        }
    }
}
