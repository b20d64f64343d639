//! A person unsubscribed by a mail's link or header.

use minicbor::{Decode, Encode};
use serde::Serialize;

use super::Telling;
use super::payload::{About, Bearing, Payload};
use crate::id::{MessageId, ShopNumber};
use crate::time::Timestamp;

/// A person unsubscribed by a mail's link or header.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Unsubscribed {
    /// The mail it came from; the runner finds the person by it.
    #[n(0)]
    pub message: MessageId,
    /// From whose offers.
    #[n(1)]
    pub shop: ShopNumber,
    /// How much.
    #[n(2)]
    pub scope: UnsubscribeScope,
    /// Which way it was asked.
    #[n(3)]
    pub by: UnsubscribedBy,
}

/// How much a person unsubscribes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Encode, Decode)]
#[cbor(index_only)]
pub enum UnsubscribeScope {
    /// Offers in mails of this shop.
    #[n(0)]
    Shop,
    /// Offers in mails of any shop of the network.
    #[n(1)]
    Network,
}

/// Which way a person unsubscribed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Encode, Decode)]
#[cbor(index_only)]
pub enum UnsubscribedBy {
    /// The mail client's one-click POST (RFC 8058).
    #[n(0)]
    OneClick,
    /// The button on the page.
    #[n(1)]
    Page,
}

/// What the outside sees.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct PublicUnsubscription {
    /// `shop` or `network`.
    pub scope: &'static str,
    /// `one_click` or `page`.
    pub by: &'static str,
}

impl Payload for Unsubscribed {
    type Public = PublicUnsubscription;

    fn about(&self) -> About {
        About::mail(self.message, self.shop)
    }

    fn sentence(&self) -> String {
        let scope = match self.scope {
            UnsubscribeScope::Shop => "offers in mails of this shop",
            UnsubscribeScope::Network => "offers in mails of every shop",
        };
        let by = match self.by {
            UnsubscribedBy::OneClick => "the mail client's one-click button",
            UnsubscribedBy::Page => "the page behind the link",
        };
        format!("The person unsubscribed from {scope}, by {by}.")
    }

    fn public(&self, _telling: &Telling<'_>) -> Option<PublicUnsubscription> {
        let scope = match self.scope {
            UnsubscribeScope::Shop => "shop",
            UnsubscribeScope::Network => "network",
        };
        let by = match self.by {
            UnsubscribedBy::OneClick => "one_click",
            UnsubscribedBy::Page => "page",
        };
        Some(PublicUnsubscription { scope, by })
    }

    fn bearing(&self, _wall: Timestamp) -> Bearing<'_> {
        Bearing::Unsubscription(self)
    }
}
