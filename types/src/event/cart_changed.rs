//! A cart was touched.

use minicbor::{Decode, Encode};
use serde::Serialize;

use super::notice::text;
use super::payload::{About, Bearing, Payload};
use super::{NextReminder, Telling};
use crate::cart::{Cart, Payment};
use crate::id::{EventId, PersonKey, PublicId, ShopNumber};
use crate::locale::Language;
use crate::money::Money;
use crate::order::Consent;
use crate::text::Line;
use crate::time::Timestamp;

/// A cart was touched, or is none any more.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct CartChanged {
    /// Whose shop's.
    #[n(0)]
    pub shop: ShopNumber,
    /// Whose cart.
    #[n(1)]
    pub person: PersonKey,
    /// The shop's own id of it.
    #[n(2)]
    pub id: Line<128>,
    /// The cart as it is now; `None` if the shop deleted it, or its buyer turned out to be another person.
    #[n(3)]
    pub cart: Option<Box<Cart>>,
    /// In which language its reminders are; filled in by the runner that records it (`policy::cart::prepare`).
    #[n(4)]
    pub language: Option<Language>,
    /// Which reminder is due next, and when; filled in with the language.
    #[n(5)]
    pub next: Option<NextReminder>,
    /// The cart that this is about: the event by which it was first put. `None` if this puts it first. Filled in with the language.
    #[n(6)]
    pub object: Option<EventId>,
}

/// What the outside sees.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct PublicCart {
    /// The cart: the event by which it was first put.
    #[serde(serialize_with = "text")]
    pub cart: PublicId,
    /// Whether it is none any more.
    pub deleted: bool,
    /// What it comes to; missing if it is none.
    #[serde(flatten)]
    pub now: Option<PublicCartContent>,
    /// When its next reminder is due.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub due: Option<Timestamp>,
}

/// What a cart comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct PublicCartContent {
    /// How many lines it has.
    pub lines: usize,
    /// What it comes to.
    pub total: Money,
    /// Where the payment of its order stands.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub payment: Option<Payment>,
}

impl Payload for CartChanged {
    type Public = PublicCart;

    fn about(&self) -> About {
        About::person(self.shop, self.person)
    }

    fn sentence(&self) -> String {
        match &self.cart {
            Some(cart) => {
                let items = match cart.items.len() {
                    1 => "1 line".to_owned(),
                    several => format!("{several} lines"),
                };
                format!("Cart {} was touched: {items}, {}.", self.id, cart.total)
            }
            None => format!("Cart {} was deleted.", self.id),
        }
    }

    fn public(&self, telling: &Telling<'_>) -> Option<PublicCart> {
        let now = self.cart.as_ref().map(|cart| PublicCartContent {
            lines: cart.items.len(),
            total: cart.total,
            payment: cart.payment,
        });
        Some(PublicCart {
            cart: telling.public(self.object.unwrap_or(telling.id.event)),
            deleted: now.is_none(),
            now,
            due: self.next.map(|next| next.due),
        })
    }

    fn bearing(&self, wall: Timestamp) -> Bearing<'_> {
        match &self.cart {
            Some(cart) if cart.consent != Consent::default() => Bearing::Consent {
                shop: self.shop,
                consent: &cart.consent,
                said_at: cart.touched_at.unwrap_or(wall),
            },
            _ => Bearing::Nothing,
        }
    }
}
