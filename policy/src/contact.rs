//! What a shop knows of a contact: the fold of the events that concern one person at one shop.
//!
//! A [`ContactState`] is a row of state. Filters ask it ([`ContactState::facts`]), workflows enter and go on by it, carts are weighed
//! by it. It is a pure fold: nothing here reads a clock or the catalogue, so a replay makes the same row.
//!
//! # Consent
//!
//! The latest statement of each channel is kept, by its own time, with who brought it. An import makes a consent only where nothing
//! was said yet, or where an import said so before; it never lifts a refusal. What came with evidence in an order or a cart counts
//! like what the shop reports of the contact, and any refusal does; a bare `true` with an order is about that order alone. When the
//! person unsubscribes, mail is refused from then on, until the person takes that back or agrees again. Whether a mail may go is still decided where all mails are
//! ([`crate::decide_message`]); this is the evidence that it is given.
//!
//! The stored form is a CBOR map with integer keys: readers skip keys they do not know, and a number, once used, is never given to
//! another field.

mod activity;
mod carts;
mod change;
mod consent;
mod content;
mod enrolment;
mod profile;

use std::collections::{BTreeMap, BTreeSet};

use minicbor::{Decode, Encode};
use types::address::EmailAddress;
use types::calendar::Zone;
use types::contact::{Channel, ChannelConsent, ContactSource, FieldValue};
use types::event::{CartVerdict, Event, Preference};
use types::id::EventId;
use types::locale::Country;
use types::order::{Customer, OrderStatus};
use types::text::{Line, Slug};
use types::time::Timestamp;

pub use activity::{Activity, MailSent, Ordered};
pub use carts::CARTS_MAX;
pub use consent::ChannelSaid;
pub(crate) use content::Fnv;
pub use content::{CONTENT_KEPT, ContentKeys};
pub use enrolment::{Enrolment, Enrolments, KEYS_MAX, Live, Stage};
pub use profile::Profile;

use crate::filter::{self, Cause, Facts};
use carts::Carts;
use consent::Consents;

/// A contact of one shop.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct ContactState {
    /// As the shop wrote it last; `None` in a row that nothing was told of yet.
    #[n(0)]
    email: Option<EmailAddress>,
    #[n(1)]
    name: Option<Line<256>>,
    #[n(2)]
    locale: Option<Line<35>>,
    #[n(3)]
    country: Option<Country>,
    #[n(4)]
    zone: Option<Zone>,
    #[n(5)]
    phone: Option<Line<32>>,
    #[n(6)]
    #[cbor(default)]
    fields: BTreeMap<Slug, FieldValue>,
    #[n(7)]
    #[cbor(default)]
    groups: BTreeSet<Slug>,
    #[n(8)]
    #[cbor(default)]
    consents: Consents,
    /// When the contact last came to agree to mail, not having agreed before.
    #[n(9)]
    subscribed_at: Option<Timestamp>,
    /// When the row was made.
    #[n(10)]
    created_at: Option<Timestamp>,
    #[n(11)]
    #[cbor(default)]
    activity: Activity,
    #[n(12)]
    #[cbor(default)]
    enrolments: Enrolments,
    #[n(13)]
    #[cbor(default)]
    carts: Carts,
    /// The first event that was about the contact itself: what happened to it is told under that one.
    #[n(14)]
    object: Option<EventId>,
}

impl ContactState {
    /// Reads the stored form.
    pub fn decode(bytes: &[u8]) -> Result<Self, minicbor::decode::Error> {
        minicbor::decode(bytes)
    }

    /// Writes the stored form.
    pub fn encode(&self) -> Vec<u8> {
        minicbor::to_vec(self).expect("writing CBOR to a vector cannot fail")
    }

    /// Applies an event of this person at this shop, whose record has this id and says, or will say, `wall`.
    ///
    /// What does not concern a contact changes nothing. Erasure is the caller's: it drops the row.
    pub fn apply(&mut self, id: EventId, wall: Timestamp, event: &Event) {
        match event {
            Event::ContactChanged(changed) => {
                self.told(&changed.email, wall);
                self.change(&changed.change, changed.source, wall);
            }
            Event::EventReported(reported) => self.told(&reported.email, wall),
            Event::OrderAccepted(accepted) => {
                let order = &accepted.order;
                if order.status == OrderStatus::Confirmed {
                    self.told_of(&order.customer, wall);
                    self.activity.note_order(id, order, wall);
                }
                self.note_mail(
                    consent::of_grant(order.consent.marketing.as_ref(), order.placed_at),
                    wall,
                );
            }
            Event::CartChanged(changed) => {
                if let Some(cart) = &changed.cart {
                    self.told_of(&cart.customer, wall);
                    let said_at = cart.touched_at.unwrap_or(wall);
                    self.note_mail(consent::of_grant(cart.consent.marketing.as_ref(), said_at), wall);
                }
            }
            Event::CartDecided(decided) => {
                if matches!(decided.verdict, CartVerdict::Ordered { .. }) {
                    self.cart_closed(decided.cart);
                }
            }
            Event::MessageAccepted(accepted) if accepted.origin.is_none() => {
                self.note_mail(
                    consent::of_grant(accepted.request.consent.marketing.as_ref(), wall),
                    wall,
                );
            }
            Event::Unsubscribed(_) => self.note_mail(Some(consent::of_own_act(false, wall)), wall),
            // Who refused nothing takes nothing back.
            Event::PreferenceChanged(changed)
                if changed.preference == Preference::ResumeOffers
                    && self.consent(Channel::Email).is_some_and(|said| !said.statement.granted) =>
            {
                self.note_consent(consent::of_own_act(true, wall), ContactSource::Api, wall);
            }
            Event::Moved(moved) => {
                moved.did.iter().for_each(|did| self.did(did));
                self.enrolments.moved(id, wall, moved);
            }
            _ => {}
        }
        if matches!(event, Event::ContactChanged(_) | Event::EventReported(_)) {
            self.object.get_or_insert(id);
        }
    }

    /// Notes that a mail of this shop was decided for the contact.
    pub fn sent(&mut self, mail: MailSent) {
        self.activity.note_sent(mail);
    }

    /// Notes that the person opened (or clicked) a mail of this shop, as judged. Earlier ones than the last change nothing.
    pub fn engaged(&mut self, kind: types::event::HitKind, at: Timestamp) {
        self.activity.note_engaged(kind, at);
    }

    /// Notes that a cart was put: the event by which it was first put names it.
    pub fn cart_touched(&mut self, cart: EventId) {
        self.carts.touch(cart);
    }

    /// Notes that a cart is open no more: ordered, deleted, or another person's.
    pub fn cart_closed(&mut self, cart: EventId) {
        self.carts.close(cart);
    }

    /// Returns whether anything made this contact: a row that holds nothing is as good as none.
    pub const fn exists(&self) -> bool {
        self.email.is_some()
    }

    /// Returns the first event that was about the contact itself: what happened to it is told under that one. `None` if there were only
    /// orders, carts and mails, which have histories of their own.
    pub const fn object(&self) -> Option<EventId> {
        self.object
    }

    /// Returns the address, as the shop wrote it last.
    pub const fn email(&self) -> Option<&EmailAddress> {
        self.email.as_ref()
    }

    /// Returns who the person is.
    pub const fn profile(&self) -> Profile<'_> {
        Profile {
            name: self.name.as_ref(),
            locale: self.locale.as_ref(),
            country: self.country,
            zone: self.zone,
            phone: self.phone.as_ref(),
        }
    }

    /// Returns the fields that have a value. Those of a field that was deleted since are among them.
    pub const fn fields(&self) -> &BTreeMap<Slug, FieldValue> {
        &self.fields
    }

    /// Returns the groups. Those that were deleted since are among them.
    pub const fn groups(&self) -> &BTreeSet<Slug> {
        &self.groups
    }

    /// Returns what was said last about a channel.
    pub fn consent(&self, channel: Channel) -> Option<&ChannelSaid> {
        self.consents.of(channel)
    }

    /// Returns whether the contact agrees to be written to on a channel, as far as the shop knows.
    pub fn agrees(&self, channel: Channel) -> bool {
        self.consents.agrees(channel)
    }

    /// Returns when the contact last came to agree to mail.
    pub const fn subscribed_at(&self) -> Option<Timestamp> {
        self.subscribed_at
    }

    /// Returns when the row was made.
    pub const fn created_at(&self) -> Option<Timestamp> {
        self.created_at
    }

    /// Returns what the contact ordered, was sent, opened and clicked.
    pub const fn activity(&self) -> &Activity {
        &self.activity
    }

    /// Returns how the contact stands with each workflow it ever had to do with.
    pub const fn enrolments(&self) -> &Enrolments {
        &self.enrolments
    }

    /// Returns the carts that are neither ordered nor deleted, each by the event by which it was first put.
    pub fn carts(&self) -> &[EventId] {
        self.carts.as_slice()
    }

    /// Returns what filters see of the contact.
    pub fn facts<'a>(&'a self, now: Timestamp, cause: Cause<'a>) -> Facts<'a> {
        let activity = &self.activity;
        Facts {
            fields: &self.fields,
            groups: &self.groups,
            consent: filter::Consents {
                email: self.agrees(Channel::Email),
                sms: self.agrees(Channel::Sms),
            },
            language: self.profile().language(),
            country: self.country,
            email_domain: self.email.as_ref().map_or("", |email| email.domain()),
            orders: filter::Orders {
                count: activity.orders().into(),
                total: activity.total(),
                first_at: activity.first_order_at(),
                last_at: activity.last_order_at(),
            },
            activity: filter::Activity {
                last_open_at: activity.last_opened_at(),
                last_click_at: activity.last_clicked_at(),
                last_sent_at: activity.last_sent_at(),
            },
            now,
            cause,
        }
    }

    /// Notes the address; the first one makes the contact.
    fn told(&mut self, email: &EmailAddress, wall: Timestamp) {
        self.email = Some(email.clone());
        self.created_at.get_or_insert(wall);
    }

    /// Notes what came with an order or a cart; what the shop said of the contact itself stands.
    fn told_of(&mut self, customer: &Customer, wall: Timestamp) {
        self.told(&customer.email, wall);
        if self.name.is_none() {
            self.name.clone_from(&customer.name);
        }
        if self.locale.is_none() {
            self.locale.clone_from(&customer.locale);
        }
        self.country = self.country.or(customer.country);
        self.zone = self
            .zone
            .or_else(|| customer.time_zone.as_ref().and_then(|zone| zone.parse().ok()));
    }
    /// Notes what was said about a channel.
    fn note_consent(&mut self, consent: ChannelConsent, source: ContactSource, wall: Timestamp) {
        let is_mail = consent.channel == Channel::Email;
        let agreed_at = self.consents.note(consent, source, wall);
        self.subscribed_at = self.subscribed_at.max(agreed_at.filter(|_| is_mail));
    }

    /// Notes what was said about mail by who is a contact already.
    fn note_mail(&mut self, consent: Option<ChannelConsent>, wall: Timestamp) {
        if let Some(consent) = consent.filter(|_| self.exists()) {
            self.note_consent(consent, ContactSource::Api, wall);
        }
    }
}
