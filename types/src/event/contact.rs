//! What shops say about their contacts.

use std::collections::BTreeMap;

use minicbor::{Decode, Encode};

use super::Claim;
use crate::address::EmailAddress;
use crate::contact::{ContactChange, ContactSource, FieldValue};
use crate::id::{PersonKey, ShopNumber};
use crate::text::{Line, Slug};
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
