//! Carts and their reminders.

use minicbor::{Decode, Encode};
use serde::Serialize;

use super::Refusal;
use crate::cart::{Cart, Reminder};
use crate::id::{EventId, MessageId, PersonKey, ShopNumber};
use crate::locale::Language;
use crate::money::Money;
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

/// What became of a cart's reminders: one record for each time something was due or ended them.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct CartDecided {
    /// Whose shop's.
    #[n(0)]
    pub shop: ShopNumber,
    /// Whose cart.
    #[n(1)]
    pub person: PersonKey,
    /// The cart: the event by which it was first put.
    #[n(2)]
    pub cart: EventId,
    /// The timer that brought it, or `None` if an order did.
    #[n(3)]
    pub due: Option<Timestamp>,
    /// What was decided.
    #[n(4)]
    pub verdict: CartVerdict,
    /// When the next reminder is due, and which.
    #[n(5)]
    pub next: Option<NextReminder>,
}

/// The reminder to come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct NextReminder {
    /// Which.
    #[n(0)]
    pub reminder: Reminder,
    /// When.
    #[n(1)]
    pub due: Timestamp,
}

/// What was decided on a cart.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub enum CartVerdict {
    /// A reminder went out.
    #[n(0)]
    Reminded {
        /// Which.
        #[n(0)]
        reminder: Reminder,
        /// The accepted event that stands for its request.
        #[n(1)]
        accepted: EventId,
        /// The mail.
        #[n(2)]
        message: MessageId,
        /// Whether it went to the shop's test address instead.
        #[n(3)]
        test: bool,
    },
    /// It did not.
    #[n(1)]
    Suppressed {
        /// Which.
        #[n(0)]
        reminder: Reminder,
        /// Why: every rule that was against it, the weightiest first. Never empty.
        #[n(1)]
        reasons: Vec<CartReason>,
        /// What policy answered, if it was asked.
        #[n(2)]
        refusals: Vec<Refusal>,
    },
    /// Shadow mode: it would have gone out.
    #[n(2)]
    WouldRemind {
        /// Which.
        #[n(0)]
        reminder: Reminder,
    },
    /// The person ordered, and no reminder comes any more.
    #[n(3)]
    Ordered {
        /// The accepted order.
        #[n(0)]
        order: EventId,
        /// What it came to.
        #[n(1)]
        total: Money,
        /// What the reminders had to do with it.
        #[n(2)]
        recovery: Recovery,
    },
}

/// What reminders had to do with an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Encode, Decode, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
#[cbor(index_only)]
pub enum Recovery {
    /// The person came back by a reminder's link, or the order brings its recovery token.
    #[n(0)]
    Recovered,
    /// A reminder had gone out.
    #[n(1)]
    Influenced,
    /// None had.
    #[n(2)]
    Unaided,
}

/// Why no reminder goes out. Each has a stable code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Encode, Decode)]
#[cbor(index_only)]
pub enum CartReason {
    /// Reminders are switched off.
    #[n(0)]
    Off,
    /// This reminder is not configured.
    #[n(1)]
    NotConfigured,
    /// The payment is under way.
    #[n(2)]
    PaymentProcessing,
    /// The payment is confirmed.
    #[n(3)]
    PaymentConfirmed,
    /// The payment's state is unknown.
    #[n(4)]
    PaymentUnknown,
    /// The cart is worth less than the minimum, or in another currency.
    #[n(5)]
    BelowMinimum,
    /// The person is not among the selected: has ordered, or lately.
    #[n(6)]
    NotSelected,
    /// The cart's language is not selected.
    #[n(7)]
    LanguageNotSelected,
    /// The person has several abandoned carts.
    #[n(8)]
    SeveralCarts,
    /// The same content was ordered within 24 hours.
    #[n(9)]
    SameContentOrdered,
    /// Policy refused the mail; the refusals say why.
    #[n(10)]
    Refused,
    /// It came too late: more than 48 hours after abandonment, and 24 for the first.
    #[n(11)]
    Late,
    /// Test mode without a test address.
    #[n(12)]
    NoTestAddress,
}

impl CartReason {
    /// Every reason, in the order of the codes.
    pub const ALL: [Self; 13] = [
        Self::Off,
        Self::NotConfigured,
        Self::PaymentProcessing,
        Self::PaymentConfirmed,
        Self::PaymentUnknown,
        Self::BelowMinimum,
        Self::NotSelected,
        Self::LanguageNotSelected,
        Self::SeveralCarts,
        Self::SameContentOrdered,
        Self::Refused,
        Self::Late,
        Self::NoTestAddress,
    ];

    /// Returns the stable code.
    pub const fn code(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::NotConfigured => "not_configured",
            Self::PaymentProcessing => "payment_processing",
            Self::PaymentConfirmed => "payment_confirmed",
            Self::PaymentUnknown => "payment_unknown",
            Self::BelowMinimum => "below_minimum",
            Self::NotSelected => "not_selected",
            Self::LanguageNotSelected => "language_not_selected",
            Self::SeveralCarts => "several_carts",
            Self::SameContentOrdered => "same_content_ordered",
            Self::Refused => "refused",
            Self::Late => "late",
            Self::NoTestAddress => "no_test_address",
        }
    }
}

/// What of our own caused a message, when no request of the shop did.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub enum Origin {
    /// A step of a workflow.
    #[n(0)]
    Workflow {
        /// Which workflow.
        #[n(0)]
        workflow: crate::id::WorkflowNumber,
        /// Which step.
        #[n(1)]
        step: crate::text::Slug,
        /// Which instance; `None` if it enters in the same turn.
        #[n(2)]
        instance: Option<EventId>,
    },
    /// A reminder of a cart.
    #[n(1)]
    Cart {
        /// Which cart.
        #[n(0)]
        cart: EventId,
        /// Which reminder.
        #[n(1)]
        reminder: Reminder,
        /// To whom.
        #[n(2)]
        purpose: ReminderPurpose,
    },
}

impl Origin {
    /// Returns whether the message goes to the shop itself, as a copy or a test of what a buyer gets: it names no buyer
    /// to the tracker, asks for no consent and counts nowhere.
    pub const fn is_for_shop(&self) -> bool {
        let Self::Cart { purpose, .. } = self else {
            return false;
        };
        matches!(purpose, ReminderPurpose::Copy | ReminderPurpose::Test)
    }
}

/// To whom a reminder goes, and what for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Encode, Decode)]
#[cbor(index_only)]
pub enum ReminderPurpose {
    /// To the buyer.
    #[n(0)]
    Buyer,
    /// To the shop: a copy. It has no pixel, no followed links and no unsubscribe token, and counts nowhere.
    #[n(1)]
    Copy,
    /// To the shop: a test, as a copy.
    #[n(2)]
    Test,
}
