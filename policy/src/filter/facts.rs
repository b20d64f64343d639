//! What a filter is asked about.

use std::collections::{BTreeMap, BTreeSet};

use types::contact::FieldValue;
use types::event::EventReported;
use types::locale::{Country, Language};
use types::order::Order;
use types::text::Slug;
use types::time::Timestamp;

/// A contact at one moment, borrowed from wherever its parts are kept. A filter reads only what its expression names.
#[derive(Clone, Copy, Debug)]
pub struct Facts<'a> {
    /// `fields`: what is not in here is missing.
    pub fields: &'a BTreeMap<Slug, FieldValue>,
    /// `groups`: those that the contact is in.
    pub groups: &'a BTreeSet<Slug>,
    /// `consent`: whether the contact agrees, by channel.
    pub consent: Consents,
    /// `language`.
    pub language: Option<Language>,
    /// `country`.
    pub country: Option<Country>,
    /// `email_domain`: what comes after the `@`, in lower case.
    pub email_domain: &'a str,
    /// `orders`.
    pub orders: Orders,
    /// `activity`.
    pub activity: Activity,
    /// `now`.
    pub now: Timestamp,
    /// `order` or `event`: what brings the contact in.
    pub cause: Cause<'a>,
}

/// Whether the contact agrees to be written to, by channel. What was never asked is a no.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Consents {
    /// Mail.
    pub email: bool,
    /// Text messages.
    pub sms: bool,
}

/// The contact's confirmed orders at this shop.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Orders {
    /// How many.
    pub count: u64,
    /// What they came to, in minor units: 0 without orders, `None` if they are in more than one currency, which have no sum.
    pub total: Option<i64>,
    /// When the first was placed.
    pub first_at: Option<Timestamp>,
    /// When the last was placed.
    pub last_at: Option<Timestamp>,
}

/// What went to the contact, and what a person did with it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Activity {
    /// The last open by a person.
    pub last_open_at: Option<Timestamp>,
    /// The last click by a person.
    pub last_click_at: Option<Timestamp>,
    /// The last mail that was sent.
    pub last_sent_at: Option<Timestamp>,
}

/// What brings the contact in.
#[derive(Clone, Copy, Debug)]
pub enum Cause<'a> {
    /// Neither an order nor an event: for filters of [`super::Scope::Contact`].
    None,
    /// An order.
    Order(&'a Order),
    /// An event of the shop's own.
    Event(&'a EventReported),
}
