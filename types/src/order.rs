//! What upstream apps send us: orders, plain messages, and the consent that goes with them.
//!
//! These types are both the JSON that the API reads (serde, unknown fields refused) and the payload that the journal
//! keeps (CBOR maps with integer keys; a number, once used, is never given to another field).

use std::collections::BTreeMap;

use minicbor::{Decode, Encode};
use serde::{Deserialize, Serialize};

use crate::address::EmailAddress;
use crate::cart::CartMail;
use crate::locale::Country;
use crate::money::Money;
use crate::text::{Line, Slug};
use crate::time::Timestamp;

/// A confirmed order, as `POST /v1/orders` takes it.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
#[cbor(map)]
pub struct Order {
    /// The shop's own number of the order; one order, one effect.
    #[n(0)]
    #[cfg_attr(feature = "openapi", schema(value_type = String, min_length = 1, max_length = 128))]
    pub order_id: Line<128>,
    /// When the buyer placed it.
    #[n(1)]
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = DateTime))]
    pub placed_at: Timestamp,
    /// Where the order stands.
    #[n(2)]
    pub status: OrderStatus,
    /// Who bought.
    #[n(3)]
    pub customer: Customer,
    /// What the buyer agreed to. Missing means nothing.
    #[n(4)]
    #[serde(default)]
    pub consent: Consent,
    /// What it came to.
    #[n(5)]
    pub total: Money,
    /// What was bought, at most 200 lines.
    #[n(6)]
    #[serde(default)]
    #[cfg_attr(feature = "openapi", schema(max_items = 200))]
    pub items: Vec<Item>,
    /// The cart it was made of, as `PUT /v1/carts/{id}` named it.
    #[n(7)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>, max_length = 128))]
    pub cart_id: Option<Line<128>>,
    /// The `recovery` parameter with which a cart reminder's link led to the shop, if the buyer came by one.
    #[n(8)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>, max_length = 64))]
    pub recovery: Option<Line<64>>,
}

/// Where an order stands. Only a confirmed one causes mail.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
#[cbor(index_only)]
pub enum OrderStatus {
    /// Paid, or accepted without payment in advance.
    #[n(0)]
    Confirmed,
    /// Waiting for payment.
    #[n(1)]
    Pending,
    /// Called off.
    #[n(2)]
    Cancelled,
    /// Placed by the shop to try things out; decided and explained, never mailed.
    #[n(3)]
    Test,
}

/// The buyer.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
#[cbor(map)]
pub struct Customer {
    /// Where the mail goes.
    #[n(0)]
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = Email, max_length = 318))]
    pub email: EmailAddress,
    /// How the buyer is called, for `To:` and the salutation.
    #[n(1)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>, max_length = 256))]
    pub name: Option<Line<256>>,
    /// A BCP 47 tag, such as `it-IT`; chooses the language.
    #[n(2)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>, max_length = 35))]
    pub locale: Option<Line<35>>,
    /// ISO 3166-1 alpha-2; offers are matched to it.
    #[n(3)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>, pattern = "^[A-Z]{2}$"))]
    pub country: Option<Country>,
    /// An IANA zone, such as `Europe/Rome`.
    #[n(4)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>, max_length = 64))]
    pub time_zone: Option<Line<64>>,
}

/// One line of an order.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
#[cbor(map)]
pub struct Item {
    /// The shop's article number.
    #[n(0)]
    #[cfg_attr(feature = "openapi", schema(value_type = String, max_length = 128))]
    pub sku: Line<128>,
    /// What it is called.
    #[n(1)]
    #[cfg_attr(feature = "openapi", schema(value_type = String, max_length = 512))]
    pub title: Line<512>,
    /// How many, from 1.
    #[n(2)]
    #[cfg_attr(feature = "openapi", schema(minimum = 1, maximum = 1_000_000))]
    pub quantity: u32,
    /// Price of one in minor units of the order's currency.
    #[n(3)]
    pub unit_price: i64,
    /// What it belongs to, in the network's words; at most 16.
    #[n(4)]
    #[serde(default)]
    #[cfg_attr(feature = "openapi", schema(value_type = Vec<String>, max_items = 16))]
    pub categories: Vec<Line<64>>,
}

/// What the buyer agreed to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields, default)]
#[cbor(map)]
pub struct Consent {
    /// Offers of other shops by mail.
    #[n(0)]
    pub marketing: Option<Grant>,
    /// Opens and clicks recorded per person.
    #[n(1)]
    pub tracking: Option<Grant>,
    /// Contact data handed to an advertiser.
    #[n(2)]
    pub sharing: Option<Grant>,
}

/// One consent: a bare boolean, asserted by the shop at the order's `placed_at`, or a statement with its evidence.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(untagged)]
pub enum Grant {
    /// `true` or `false`.
    #[n(0)]
    Bare(#[n(0)] bool),
    /// With its evidence.
    #[n(1)]
    Stated(#[n(0)] Statement),
}

impl Grant {
    /// Returns whether consent was given.
    pub const fn granted(&self) -> bool {
        match self {
            Self::Bare(granted) => *granted,
            Self::Stated(statement) => statement.granted,
        }
    }

    /// Returns when the person said so; for a bare boolean, when the order was placed.
    pub fn at(&self, placed_at: Timestamp) -> Timestamp {
        match self {
            Self::Bare(_) => placed_at,
            Self::Stated(statement) => statement.at,
        }
    }
}

/// A consent with its evidence (GDPR Art. 7(1)).
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
#[cbor(map)]
pub struct Statement {
    /// Whether consent was given.
    #[n(0)]
    pub granted: bool,
    /// When the person said so.
    #[n(1)]
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = DateTime))]
    pub at: Timestamp,
    /// Which wording the person saw.
    #[n(2)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>, max_length = 128))]
    pub text: Option<Line<128>>,
    /// Where it was collected.
    #[n(3)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>, max_length = 128))]
    pub source: Option<Line<128>>,
}

/// A plain send, as `POST /v1/messages` takes it: a template or content, to one recipient.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
#[cbor(map)]
pub struct MessageRequest {
    /// To whom.
    #[n(0)]
    pub to: Customer,
    /// On which stream it travels.
    #[n(1)]
    #[serde(default)]
    pub stream: Stream,
    /// What it says.
    #[n(2)]
    pub body: Body,
    /// What the recipient agreed to; the promotional stream needs `marketing`.
    #[n(3)]
    #[serde(default)]
    pub consent: Consent,
    /// How long it is worth sending. Default: the stream's.
    #[n(4)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>, format = DateTime))]
    pub expires_at: Option<Timestamp>,
}

impl MessageRequest {
    /// Returns when the recipient agreed to what comes without a time of its own: with a cart, when it was touched; else
    /// when the request was accepted.
    pub fn consent_at(&self, accepted_at: Timestamp) -> Timestamp {
        match &self.body {
            Body::Cart(cart) => cart.touched_at.min(accepted_at),
            Body::Template(_) | Body::Content(_) => accepted_at,
        }
    }
}

/// What a plain message says.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum Body {
    /// A stored template of the shop with its variables.
    #[n(0)]
    Template(#[n(0)] TemplateUse),
    /// The text itself.
    #[n(1)]
    Content(#[n(0)] Content),
    /// A reminder of a cart. Never from outside.
    #[n(2)]
    #[serde(skip_deserializing)]
    Cart(#[n(0)] Box<CartMail>),
}

/// A stored template with the values for its variables.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
#[cbor(map)]
pub struct TemplateUse {
    /// The template's id.
    #[n(0)]
    #[cfg_attr(feature = "openapi", schema(value_type = String, pattern = "^[a-zA-Z0-9][a-zA-Z0-9._-]{0,63}$"))]
    pub id: Slug,
    /// Texts by name, at most 64 of at most 10,000 characters; seen by the template as `vars.<name>`.
    #[n(1)]
    #[serde(default)]
    pub vars: BTreeMap<String, String>,
}

/// A mail's subject and text as the caller wrote them.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
#[cbor(map)]
pub struct Content {
    /// The subject, 1 to 998 characters on one line.
    #[n(0)]
    #[cfg_attr(feature = "openapi", schema(value_type = String, min_length = 1, max_length = 998))]
    pub subject: Line<998>,
    /// Plain text, at most 256 KiB; no NUL.
    #[n(1)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// HTML, at most 256 KiB; no NUL.
    #[n(2)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub html: Option<String>,
}

/// The two ways mail leaves; each has its own sender domain, keys, limits and suppression.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Encode, Decode, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
#[cbor(index_only)]
pub enum Stream {
    /// Confirmations and notices that the recipient waits for.
    #[default]
    #[n(0)]
    Transactional,
    /// Offers; one-click unsubscribe, consent and caps apply.
    #[n(1)]
    Promotional,
}

impl Stream {
    /// Returns the stream's name, as in JSON and metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Transactional => "transactional",
            Self::Promotional => "promotional",
        }
    }
}
