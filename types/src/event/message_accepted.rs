//! A shop, or something of our own, asked for a plain send.

use minicbor::{Decode, Encode};
use serde::Serialize;

use super::payload::{About, Bearing, Duty, Payload};
use super::{Claim, Origin, Telling};
use crate::id::{PersonKey, ShopNumber};
use crate::order::{Body, MessageRequest, Stream};
use crate::time::Timestamp;

/// A shop asked for a plain send; it carries the claims that make it happen once.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct MessageAccepted {
    /// Who asked.
    #[n(0)]
    pub shop: ShopNumber,
    /// Who the recipient is.
    #[n(1)]
    pub person: PersonKey,
    /// What was asked.
    #[n(2)]
    pub request: MessageRequest,
    /// What no other request may claim from now on.
    #[n(3)]
    pub claims: Vec<Claim>,
    /// What of our own asked for it; `None` if the shop did.
    #[n(4)]
    pub origin: Option<Origin>,
}

/// What the outside sees.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct PublicMessage {
    /// On which stream it is to go.
    pub stream: Stream,
}

impl Payload for MessageAccepted {
    type Public = PublicMessage;

    fn about(&self) -> About {
        About::person(self.shop, self.person)
    }

    fn sentence(&self) -> String {
        let body = match &self.request.body {
            Body::Template(template) => format!("template {}", template.id),
            Body::Content(_) => "its own content".to_owned(),
            Body::Cart(mail) => format!("the {} reminder of a cart", mail.reminder.as_str()),
        };
        format!("A {} message with {body} was accepted.", self.request.stream.as_str())
    }

    fn public(&self, _telling: &Telling<'_>) -> Option<PublicMessage> {
        Some(PublicMessage {
            stream: self.request.stream,
        })
    }

    fn claims(&self) -> &[Claim] {
        &self.claims
    }

    fn bearing(&self, wall: Timestamp) -> Bearing<'_> {
        Bearing::Consent {
            shop: self.shop,
            consent: &self.request.consent,
            said_at: self.request.consent_at(wall),
        }
    }

    fn duty(&self) -> Duty<'_> {
        Duty::Decide
    }
}
