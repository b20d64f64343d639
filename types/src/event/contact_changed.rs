//! A contact was made or changed.

use minicbor::{Decode, Encode};
use serde::Serialize;

use super::Telling;
use super::payload::{About, Bearing, Payload};
use crate::address::EmailAddress;
use crate::contact::{Channel, ContactChange, ContactSource};
use crate::id::{PersonKey, ShopNumber};
use crate::text::Slug;
use crate::time::Timestamp;

/// A contact was made or changed.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct ContactChanged {
    /// Whose contact.
    #[n(0)]
    pub shop: ShopNumber,
    /// Who.
    #[n(1)]
    pub person: PersonKey,
    /// The person's address, as the shop writes it.
    #[n(2)]
    pub email: EmailAddress,
    /// Who says so.
    #[n(3)]
    pub source: ContactSource,
    /// What changes.
    #[n(4)]
    pub change: ContactChange,
}

/// What the outside sees: names of the shop's own making, and nothing that a person wrote or is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PublicContact {
    /// Who says so.
    pub source: ContactSource,
    /// Which fields changed.
    pub fields: Vec<Slug>,
    /// Into which groups the contact came.
    pub join: Vec<Slug>,
    /// Out of which.
    pub leave: Vec<Slug>,
    /// What the contact said about channels.
    pub consents: Vec<PublicConsent>,
}

/// What somebody said about one channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct PublicConsent {
    /// Which channel.
    pub channel: Channel,
    /// Yes or no.
    pub granted: bool,
}

impl Payload for ContactChanged {
    type Public = PublicContact;

    fn about(&self) -> About {
        About::person(self.shop, self.person)
    }

    fn sentence(&self) -> String {
        let change = &self.change;
        let by = match self.source {
            ContactSource::Api => "a request",
            ContactSource::Import => "an import",
            ContactSource::Workflow => "a workflow",
        };
        let named = [
            ("name", change.name.is_some()),
            ("locale", change.locale.is_some()),
            ("country", change.country.is_some()),
            ("time zone", change.time_zone.is_some()),
            ("phone", change.phone.is_some()),
        ];
        let named = named.iter().filter(|(_, is_there)| *is_there);
        let mut parts: Vec<String> = named.map(|(name, _)| (*name).to_owned()).collect();
        parts.extend(change.fields.keys().map(|field| format!("field {field}")));
        parts.extend(change.join.iter().map(|group| format!("into group {group}")));
        parts.extend(change.leave.iter().map(|group| format!("out of group {group}")));
        parts.extend(change.consents.iter().map(|consent| {
            let (channel, statement) = (consent.channel.as_str(), &consent.statement);
            let what = if statement.granted { "granted" } else { "refused" };
            format!("consent to {channel} {what} at {}", statement.at)
        }));
        let how = if change.replace { "replaced" } else { "changed" };
        if parts.is_empty() {
            return format!("The contact was {how} by {by}.");
        }
        format!("The contact was {how} by {by}: {}.", parts.join(", "))
    }

    fn public(&self, _telling: &Telling<'_>) -> Option<PublicContact> {
        let change = &self.change;
        let consents = change.consents.iter().map(|consent| PublicConsent {
            channel: consent.channel,
            granted: consent.statement.granted,
        });
        Some(PublicContact {
            source: self.source,
            fields: change.fields.keys().cloned().collect(),
            join: change.join.clone(),
            leave: change.leave.clone(),
            consents: consents.collect(),
        })
    }

    fn bearing(&self, _wall: Timestamp) -> Bearing<'_> {
        Bearing::Contact(self)
    }
}
