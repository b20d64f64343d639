//! A shop reported something that a contact did.

use std::collections::BTreeMap;

use minicbor::{Decode, Encode};
use serde::Serialize;

use super::payload::{About, Payload};
use super::{Claim, Telling};
use crate::address::EmailAddress;
use crate::contact::FieldValue;
use crate::id::{PersonKey, ShopNumber};
use crate::text::{Line, Slug};
use crate::time::Timestamp;

/// Something that a shop reports of a contact, in the shop's own words.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct EventReported {
    /// Whose contact.
    #[n(0)]
    pub shop: ShopNumber,
    /// Who did it.
    #[n(1)]
    pub person: PersonKey,
    /// The person's address.
    #[n(2)]
    pub email: EmailAddress,
    /// What happened.
    #[n(3)]
    pub name: Slug,
    /// When, by the shop's clock.
    #[n(4)]
    pub at: Timestamp,
    /// What it is about: entries into a workflow that are counted by key are counted by it.
    #[n(5)]
    pub key: Option<Line<128>>,
    /// More about it, at most 64.
    #[n(6)]
    pub properties: BTreeMap<Slug, FieldValue>,
    /// What no other request may claim from now on.
    #[n(7)]
    pub claims: Vec<Claim>,
}

/// What the outside sees.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PublicReport {
    /// What happened, in the shop's own word.
    #[serde(rename = "name")]
    pub event: Slug,
    /// When, by the shop's clock.
    pub happened_at: Timestamp,
}

impl Payload for EventReported {
    type Public = PublicReport;

    fn about(&self) -> About {
        About::person(self.shop, self.person)
    }

    fn sentence(&self) -> String {
        let about = self.key.as_ref().map(|key| format!(" about {key}")).unwrap_or_default();
        format!("The shop reported {}{about}, which happened at {}.", self.name, self.at)
    }

    fn public(&self, _telling: &Telling<'_>) -> Option<PublicReport> {
        Some(PublicReport {
            event: self.name.clone(),
            happened_at: self.at,
        })
    }

    fn claims(&self) -> &[Claim] {
        &self.claims
    }
}
