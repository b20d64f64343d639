//! A mail's pixel was fetched.

use minicbor::{Decode, Encode};
use serde::Serialize;

use super::payload::{About, Payload};
use super::{AgentClass, Telling, Touched, Visit};
use crate::id::{MessageId, ShopNumber};
use crate::network::Network;

/// A mail's pixel was fetched by someone or something.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Opened {
    /// Which mail.
    #[n(0)]
    pub message: MessageId,
    /// Whose mail.
    #[n(1)]
    pub shop: ShopNumber,
    /// The client's `User-Agent`, reduced to a class.
    #[n(2)]
    pub agent: AgentClass,
    /// Where the request came from, truncated.
    #[n(3)]
    pub network: Option<Network>,
    /// Whether anything was shown.
    #[n(4)]
    #[cbor(default)]
    pub visit: Visit,
    /// Whether forged or damaged tokens came from the same network shortly before.
    #[n(5)]
    #[cbor(default)]
    pub suspect: bool,
}

/// What the outside sees.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct PublicOpen {
    /// What the client says it is.
    pub agent: AgentClass,
    /// Whether anything was shown.
    pub visit: Visit,
    /// Whether damaged tokens came from the same network.
    pub suspect: bool,
}

impl Payload for Opened {
    type Public = PublicOpen;

    fn about(&self) -> About {
        About::mail(self.message, self.shop)
    }

    fn sentence(&self) -> String {
        let (by, in_advance) = (self.agent.sentence(), self.visit.sentence());
        format!("The mail's pixel was fetched by {by}{in_advance}.")
    }

    fn public(&self, _telling: &Telling<'_>) -> Option<PublicOpen> {
        Some(PublicOpen {
            agent: self.agent,
            visit: self.visit,
            suspect: self.suspect,
        })
    }

    fn touches(&self, touched: &mut Touched) {
        touched.mail = Some(self.message);
    }
}
