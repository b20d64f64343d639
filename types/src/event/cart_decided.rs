//! A cart's reminder was decided on, or its order came.

use minicbor::{Decode, Encode};
use serde::Serialize;

use super::notice::text;
use super::payload::{About, Payload};
use super::{Refusal, Telling};
use crate::cart::Reminder;
use crate::id::{EventId, MessageId, PersonKey, PublicId, ShopNumber};
use crate::money::Money;
use crate::time::Timestamp;

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

    /// Returns why a cart was not reminded of, as a sentence for people.
    pub const fn sentence(self) -> &'static str {
        match self {
            Self::Off => "Reminders are switched off.",
            Self::NotConfigured => "This reminder is not configured.",
            Self::PaymentProcessing => "The payment is under way.",
            Self::PaymentConfirmed => "The payment is confirmed.",
            Self::PaymentUnknown => "The payment's state is unknown.",
            Self::BelowMinimum => "The cart is worth less than the minimum, or in another currency.",
            Self::NotSelected => "The person is not among the selected: has ordered, or lately.",
            Self::LanguageNotSelected => "The cart's language is not selected.",
            Self::SeveralCarts => "The person has several abandoned carts.",
            Self::SameContentOrdered => "The same content was ordered within 24 hours.",
            Self::Refused => "The mail was refused.",
            Self::Late => "It came too late.",
            Self::NoTestAddress => "The mode is test, and there is no test address.",
        }
    }
}

/// What the outside sees.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum PublicCartDecision {
    /// A reminder went out.
    Reminded {
        /// Of which cart, and which.
        #[serde(flatten)]
        of: PublicReminder,
        /// Whether it went to the shop's test address instead.
        test: bool,
    },
    /// It did not.
    Suppressed {
        /// Of which cart, and which.
        #[serde(flatten)]
        of: PublicReminder,
        /// Why.
        reasons: Vec<&'static str>,
        /// What policy answered, if it was asked.
        #[serde(skip_serializing_if = "Vec::is_empty")]
        refusals: Vec<&'static str>,
    },
    /// It would have gone out.
    WouldRemind(PublicReminder),
    /// The order came.
    Ordered {
        /// The cart.
        #[serde(serialize_with = "text")]
        cart: PublicId,
        /// The accepted order.
        #[serde(serialize_with = "text")]
        order: PublicId,
        /// What it came to.
        total: Money,
        /// What the reminders had to do with it.
        recovery: Recovery,
    },
}

/// A reminder of a cart, and which.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct PublicReminder {
    /// The cart: the event by which it was first put.
    #[serde(serialize_with = "text")]
    pub cart: PublicId,
    /// Which.
    pub reminder: Reminder,
}

impl Payload for CartDecided {
    type Public = PublicCartDecision;

    fn name(&self) -> &'static str {
        match self.verdict {
            CartVerdict::Reminded { .. } => "cart.reminded",
            CartVerdict::Suppressed { .. } => "cart.suppressed",
            CartVerdict::WouldRemind { .. } => "cart.would_remind",
            CartVerdict::Ordered { .. } => "cart.ordered",
        }
    }

    fn about(&self) -> About {
        let mail = match self.verdict {
            CartVerdict::Reminded { message, .. } => Some(message),
            CartVerdict::Suppressed { .. } | CartVerdict::WouldRemind { .. } | CartVerdict::Ordered { .. } => None,
        };
        About {
            mail,
            ..About::person(self.shop, self.person)
        }
    }

    fn sentence(&self) -> String {
        let what = match &self.verdict {
            CartVerdict::Reminded { reminder, test, .. } => {
                let to = if *test { "the shop's test address" } else { "the buyer" };
                format!("The {} went to {to}.", words(*reminder))
            }
            CartVerdict::Suppressed {
                reminder,
                reasons,
                refusals,
            } => {
                let reasons = reasons.iter().map(|reason| reason.sentence());
                let refusals = refusals.iter().map(|refusal| refusal.sentence());
                let all: Vec<_> = reasons.chain(refusals).collect();
                format!("The {} did not go out. {}", words(*reminder), all.join(" "))
            }
            CartVerdict::WouldRemind { reminder } => {
                format!("The {} would have gone out, but the mode is shadow.", words(*reminder))
            }
            CartVerdict::Ordered { total, recovery, .. } => {
                let how = match recovery {
                    Recovery::Recovered => "by a reminder's link",
                    Recovery::Influenced => "after a reminder, though not by its link",
                    Recovery::Unaided => "without a reminder",
                };
                format!("The person ordered over {total}, {how}; no reminder comes any more.")
            }
        };
        let next = self
            .next
            .map(|next| format!(" The {} is due at {}.", words(next.reminder), next.due));
        what + &next.unwrap_or_default()
    }

    fn public(&self, telling: &Telling<'_>) -> Option<PublicCartDecision> {
        let cart = telling.public(self.cart);
        let of = |reminder| PublicReminder { cart, reminder };
        Some(match &self.verdict {
            CartVerdict::Reminded { reminder, test, .. } => PublicCartDecision::Reminded {
                of: of(*reminder),
                test: *test,
            },
            CartVerdict::Suppressed {
                reminder,
                reasons,
                refusals,
            } => PublicCartDecision::Suppressed {
                of: of(*reminder),
                reasons: reasons.iter().map(|reason| reason.code()).collect(),
                refusals: Refusal::codes(refusals),
            },
            CartVerdict::WouldRemind { reminder } => PublicCartDecision::WouldRemind(of(*reminder)),
            CartVerdict::Ordered { order, total, recovery } => PublicCartDecision::Ordered {
                cart,
                order: telling.public(*order),
                total: *total,
                recovery: *recovery,
            },
        })
    }
}

const fn words(reminder: Reminder) -> &'static str {
    match reminder {
        Reminder::First => "first reminder",
        Reminder::Second => "second reminder",
    }
}
