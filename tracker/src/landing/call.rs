//! A signed call of an advertiser's server: `{"click_id": "…", "new_visitor": true, "occurred_at": "…"}`.
//!
//! The signature is checked with the secret of the advertiser whose offer was clicked, so the click id is opened first. The
//! moment of receipt is what counts for the landing; `occurred_at` may say that it was earlier, and is checked to be possible.

use std::time::Duration;

use hyper::header::HeaderName;
use serde_json::Value;
use types::event::LandingVia;
use types::time::Timestamp;
use types::token::{BadSignature, LandingSignature};

use super::{NotDurable, Report};
use crate::Server;
use crate::reply::{self, Reply};
use crate::request::{Endpoint, Request};

/// How far an advertiser's clock may be ahead of ours.
const AHEAD: Duration = Duration::from_mins(5);

/// The header lines of a signature.
const ID: HeaderName = HeaderName::from_static("webhook-id");
const TIMESTAMP: HeaderName = HeaderName::from_static("webhook-timestamp");
pub(super) const SIGNATURE: HeaderName = HeaderName::from_static("webhook-signature");

/// The body, as meant.
struct Call {
    click_id: String,
    new_visitor: Option<bool>,
    occurred_at: Option<Timestamp>,
}

/// What is wrong with a call: status, field, fault.
struct Fault(u16, &'static str, String);

impl Server {
    /// Takes a signed call, and answers 204 once its landing is durable.
    pub(super) async fn landing_call(&self, request: &Request<'_>) -> Reply {
        let report = match self.read_call(request) {
            Ok(report) => report,
            Err(Fault(status, field, fault)) => return reply::problem(status, field, &fault),
        };
        match self.record_landing(report, request).await {
            Ok(()) => reply::nothing(204),
            Err(NotDurable) => {
                reply::problem(503, "", "the landing could not be made durable: call again").with("retry-after", "5")
            }
        }
    }

    /// Reads and checks a call.
    fn read_call(&self, request: &Request<'_>) -> Result<Report, Fault> {
        let call = Call::parse(request.body)?;
        let click = self.deps.tokens.open_click_id(&call.click_id).map_err(|reason| {
            self.bad_token(Endpoint::Landing, reason, request);
            Fault(400, "/click_id", "is no click id of ours".to_owned())
        })?;
        self.verify_signature(&click, request)?;
        if let Some(at) = call.occurred_at {
            let earliest = click.click.time();
            if at > request.now + AHEAD || earliest.since(at) > AHEAD {
                return Err(Fault(
                    400,
                    "/occurred_at",
                    "is before the click, or in the future".to_owned(),
                ));
            }
        }
        Ok(Report {
            click,
            via: LandingVia::Server,
            new_visitor: call.new_visitor,
            proven: self.deps.tokens.trusts(&call.click_id),
        })
    }

    fn verify_signature(&self, click: &types::token::ClickId, request: &Request<'_>) -> Result<(), Fault> {
        let header = |name: &HeaderName, field| {
            let value = request.header(name);
            value.ok_or_else(|| Fault(401, field, "is missing".to_owned()))
        };
        let signature = LandingSignature {
            id: header(&ID, "webhook-id")?,
            timestamp: header(&TIMESTAMP, "webhook-timestamp")?,
            signatures: header(&SIGNATURE, "webhook-signature")?,
        };
        let catalogue = self.deps.store.catalogue().load();
        let advertiser = catalogue
            .campaign_by_number(click.campaign)
            .and_then(|campaign| catalogue.shop_ever(&campaign.spec.advertiser))
            .ok_or_else(|| Fault(400, "/click_id", "names an offer that is unknown here".to_owned()))?;
        let now = request.now.as_millis() / 1000;
        let verified = self
            .deps
            .tokens
            .verify_landing(advertiser.number, &signature, request.body, now);
        verified.map_err(|bad| match bad {
            BadSignature::Timestamp => Fault(401, "webhook-timestamp", "is not within five minutes of now".to_owned()),
            BadSignature::Signature => Fault(401, "webhook-signature", "does not fit".to_owned()),
        })
    }
}

impl Call {
    /// Reads a body; the fault names the first field that is wrong.
    fn parse(body: &[u8]) -> Result<Self, Fault> {
        let fault = |field, fault: &str| Fault(400, field, fault.to_owned());
        let Ok(Value::Object(mut fields)) = serde_json::from_slice(body) else {
            return Err(fault("", "the body is no JSON object"));
        };
        let click_id = match fields.remove("click_id") {
            Some(Value::String(click_id)) => click_id,
            Some(_) => return Err(fault("/click_id", "is no text")),
            None => return Err(fault("/click_id", "is missing")),
        };
        let new_visitor = match fields.remove("new_visitor") {
            Some(Value::Bool(new_visitor)) => Some(new_visitor),
            Some(Value::Null) | None => None,
            Some(_) => return Err(fault("/new_visitor", "is neither true nor false")),
        };
        let occurred_at = match fields.remove("occurred_at") {
            Some(Value::String(at)) => Some(
                at.parse()
                    .map_err(|_| fault("/occurred_at", "is no time as in RFC 3339"))?,
            ),
            Some(Value::Null) | None => None,
            Some(_) => return Err(fault("/occurred_at", "is no time as in RFC 3339")),
        };
        if !fields.is_empty() {
            return Err(fault("", "there are fields that are not known here"));
        }
        Ok(Self {
            click_id,
            new_visitor,
            occurred_at,
        })
    }
}
