//! Carts that wait to be bought, and how a shop wants to remind their owners.

use minicbor::{Decode, Encode};
use serde::{Deserialize, Serialize};

use crate::address::EmailAddress;
use crate::calendar::{Wait, Zone};
use crate::locale::Language;
use crate::money::Money;
use crate::order::{Consent, Customer, Item};
use crate::text::{HttpsUrl, Line, Slug};
use crate::time::Timestamp;

/// A cart, as `PUT /v1/carts/{id}` takes it: whole, each time it is touched.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
#[cbor(map)]
pub struct Cart {
    /// Whose it is. The locale chooses the reminder's language.
    #[n(0)]
    pub customer: Customer,
    /// What the buyer agreed to. Missing means nothing, and nothing is sent.
    #[n(1)]
    #[serde(default)]
    pub consent: Consent,
    /// What is in it, 1 to 200 lines; prices as the buyer sees them.
    #[n(2)]
    #[cfg_attr(feature = "openapi", schema(min_items = 1, max_items = 200))]
    pub items: Vec<Item>,
    /// What it comes to, as the buyer sees it.
    #[n(3)]
    pub total: Money,
    /// The goods net of VAT, shipping left out, in minor units of the total's currency: what the minimum is compared with.
    #[n(4)]
    #[cfg_attr(feature = "openapi", schema(minimum = 0))]
    pub net: i64,
    /// Where the payment of its order stands; missing while there is no order.
    #[n(5)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub payment: Option<Payment>,
    /// The page of the shop that opens this cart again, on the shop's own host.
    #[n(6)]
    #[cfg_attr(feature = "openapi", schema(value_type = String, pattern = "^https://", max_length = 2000))]
    pub restore_url: HttpsUrl,
    /// When the buyer touched it last; default: now. What is older than the cart's last touch changes nothing.
    #[n(7)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>, format = DateTime))]
    pub touched_at: Option<Timestamp>,
}

/// Where the payment of a cart's order stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Encode, Decode, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
#[cbor(index_only)]
pub enum Payment {
    /// Called off.
    #[n(0)]
    Cancelled,
    /// Failed for a technical reason.
    #[n(1)]
    TechnicalError,
    /// Awaited.
    #[n(2)]
    Waiting,
    /// Refused by the bank.
    #[n(3)]
    Refused,
    /// Under way.
    #[n(4)]
    Processing,
    /// Done.
    #[n(5)]
    Confirmed,
    /// None of these; nothing is sent.
    #[n(6)]
    #[serde(other)]
    Unknown,
}

/// How a shop reminds of carts, as `PUT /v1/carts/settings` takes it.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
#[cbor(map)]
pub struct CartSpec {
    /// What happens when a reminder is due.
    #[n(0)]
    pub mode: CartMode,
    /// In test mode, where every reminder goes; live, where a copy of each goes.
    #[n(1)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>, format = Email))]
    pub address: Option<EmailAddress>,
    /// The least net amount of a cart. Missing: any. Carts in other currencies are not reminded of.
    #[n(2)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub minimum: Option<Money>,
    /// Of whose carts.
    #[n(3)]
    #[serde(default)]
    pub select: CartSelection,
    /// In which languages; at least one.
    #[n(4)]
    pub languages: Vec<Language>,
    /// The first reminder: at most 24 hours after abandonment. Missing: none is sent.
    #[n(5)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first: Option<ReminderSpec>,
    /// The second: at most 48 hours after abandonment, and later than the first. Missing: none is sent.
    #[n(6)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub second: Option<ReminderSpec>,
    /// What happens when one person has several abandoned carts.
    #[n(7)]
    #[serde(default)]
    pub several: SeveralCarts,
    /// When two contents are the same.
    #[n(8)]
    #[serde(default)]
    pub same: SameContent,
    /// A code that the second reminder gives.
    #[n(9)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub coupon: Option<Coupon>,
    /// How long after a reminder an order counts as recovered by it, 1 hour to 30 days. Default: 7 days.
    #[n(10)]
    #[serde(default = "default_recovered_within")]
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub recovered_within: Wait,
    /// The shop's zone: days of the selection are counted in it.
    #[n(11)]
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub time_zone: Zone,
}

fn default_recovered_within() -> Wait {
    "7d".parse().expect("a wait of seven days")
}

/// What happens when a reminder is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Encode, Decode, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
#[cbor(index_only)]
pub enum CartMode {
    /// Nothing.
    #[n(0)]
    Off,
    /// It is decided and reported what live mode would do; nothing is sent.
    #[n(1)]
    Shadow,
    /// It goes to the test address.
    #[n(2)]
    Test,
    /// It goes to the buyer.
    #[n(3)]
    Live,
}

/// Of whose carts a shop reminds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Encode, Decode, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum CartSelection {
    /// Everybody's.
    #[default]
    #[n(0)]
    All,
    /// Of those who never ordered; guests are told by their address.
    #[n(1)]
    NeverOrdered,
    /// Of those who did not order for this many days, 1 to 3,650: an order exactly so many days ago does not count.
    #[n(2)]
    NoOrderForDays(#[n(0)] u32),
}

/// What happens when one person has several abandoned carts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Encode, Decode, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
#[cbor(index_only)]
pub enum SeveralCarts {
    /// The person is reminded of none.
    #[default]
    #[n(0)]
    RemindOfNone,
    /// The person is reminded of the latest.
    #[n(1)]
    LatestOnly,
}

/// When two contents are the same.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Encode, Decode, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
#[cbor(index_only)]
pub enum SameContent {
    /// When they have the same articles.
    #[default]
    #[n(0)]
    Articles,
    /// When they have the same articles, as many of each.
    #[n(1)]
    ArticlesAndQuantities,
}

/// One reminder.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
#[cbor(map)]
pub struct ReminderSpec {
    /// How long after the cart was touched last, in elapsed time.
    #[n(0)]
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub after: Wait,
    /// The shop's own template, of kind `cart`. Default: the built-in one.
    #[n(1)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>))]
    pub template: Option<Slug>,
}

/// A code that a reminder gives.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
#[cbor(map)]
pub struct Coupon {
    /// The code.
    #[n(0)]
    #[cfg_attr(feature = "openapi", schema(value_type = String, min_length = 1, max_length = 40))]
    pub code: Line<40>,
    /// What it is worth, in words, such as `10 %`.
    #[n(1)]
    #[cfg_attr(feature = "openapi", schema(value_type = String, min_length = 1, max_length = 60))]
    pub worth: Line<60>,
    /// Until when the reminder says that it holds: this long after it is sent.
    #[n(2)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>))]
    pub valid_for: Option<Wait>,
}

/// Which of the two reminders.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Encode, Decode, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
#[cbor(index_only)]
pub enum Reminder {
    /// The first.
    #[n(0)]
    First,
    /// The second.
    #[n(1)]
    Second,
}

impl Reminder {
    /// Both, in their order.
    pub const ALL: [Self; 2] = [Self::First, Self::Second];

    /// Returns the reminder's name, as in JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::First => "first",
            Self::Second => "second",
        }
    }
}

/// A cart as its reminder shows it: fixed when the reminder is decided.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
#[cbor(map)]
pub struct CartMail {
    /// Which reminder.
    #[n(0)]
    pub reminder: Reminder,
    /// What is in the cart.
    #[n(1)]
    pub items: Vec<Item>,
    /// What it comes to.
    #[n(2)]
    pub total: Money,
    /// The page that opens it again.
    #[n(3)]
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub restore_url: HttpsUrl,
    /// The code, if this reminder gives one.
    #[n(4)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub coupon: Option<Coupon>,
    /// Until when the code holds.
    #[n(5)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>, format = DateTime))]
    pub coupon_until: Option<Timestamp>,
    /// The shop's own template.
    #[n(6)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>))]
    pub template: Option<Slug>,
    /// When the buyer touched the cart last: a consent without a time of its own was given then.
    #[n(7)]
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = DateTime))]
    pub touched_at: Timestamp,
}
