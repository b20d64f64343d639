//! A person changed a preference on a mail's page.

use minicbor::{Decode, Encode};
use serde::Serialize;

use super::Telling;
use super::payload::{About, Bearing, Payload};
use crate::id::{MessageId, ShopNumber};
use crate::time::Timestamp;

/// A person changed a preference on a mail's page. Unsubscribing is an event of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct PreferenceChanged {
    /// The mail it came from; the runner finds the person by it.
    #[n(0)]
    pub message: MessageId,
    /// At which shop.
    #[n(1)]
    pub shop: ShopNumber,
    /// What changed.
    #[n(2)]
    pub preference: Preference,
}

/// What a person can choose on a mail's page, beside unsubscribing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Encode, Decode, Serialize)]
#[serde(rename_all = "snake_case")]
#[cbor(index_only)]
pub enum Preference {
    /// Opens and clicks of this shop's mails are not recorded any more, those of mails already sent included.
    #[n(0)]
    StopTracking,
    /// Unsubscribing, from shop or network, was a mistake: offers in mails of this shop are welcome again.
    #[n(1)]
    ResumeOffers,
}

/// What the outside sees.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct PublicPreference {
    /// What changed.
    pub preference: Preference,
}

impl Payload for PreferenceChanged {
    type Public = PublicPreference;

    fn about(&self) -> About {
        About::mail(self.message, self.shop)
    }

    fn sentence(&self) -> String {
        match self.preference {
            Preference::StopTracking => {
                "The person asked that opens and clicks of this shop's mails be recorded no more, those of old mails \
                 included."
            }
            Preference::ResumeOffers => {
                "The person takes the unsubscription back: offers in this shop's mails are welcome."
            }
        }
        .to_owned()
    }

    fn public(&self, _telling: &Telling<'_>) -> Option<PublicPreference> {
        Some(PublicPreference {
            preference: self.preference,
        })
    }

    fn bearing(&self, _wall: Timestamp) -> Bearing<'_> {
        Bearing::Preference(self)
    }
}
