//! Whether a reminder that is due goes out: a table of rules, each asked at that moment.

use std::time::Duration;

use types::cart::{CartMode, CartSelection, CartSpec, Payment, Reminder, ReminderSpec, SeveralCarts};
use types::catalogue::Shop;
use types::event::{CartReason, Origin, Refusal, ReminderPurpose};
use types::id::EventId;
use types::order::MessageRequest;
use types::time::Timestamp;

use super::mail::mail;
use super::state::CartState;
use crate::calendar::{ResolvedZone, civil_days_between};
use crate::contact::Ordered;
use crate::decide::{Decision, Draft, MessageFacts, decide_message};
use crate::person::PersonState;
use crate::settings::Settings;

/// What a runner needs to come round to a reminder that is due at the very limit.
pub const LATE_GRACE: Duration = Duration::from_mins(15);

/// How long after its last touch a cart counts as abandoned beside another one of the same person.
const SEVERAL_WITHIN: Duration = Duration::from_hours(48);

/// How far an order and a touch of the same content may be apart to be one purchase.
const SAME_CONTENT_WITHIN: Duration = Duration::from_hours(24);

/// What is known when a reminder is due.
#[derive(Clone, Copy)]
pub struct CartFacts<'a> {
    /// The cart.
    pub cart: &'a CartState,
    /// How the shop reminds; `None` if it does not.
    pub spec: Option<&'a CartSpec>,
    /// The shop.
    pub shop: &'a Shop,
    /// The version of the catalogue that both were read from.
    pub catalogue: u64,
    /// The person, as policy knows them.
    pub person: &'a PersonState,
    /// How many confirmed orders the person has at the shop.
    pub orders: u32,
    /// When the last one was placed.
    pub last_order_at: Option<Timestamp>,
    /// The last ones, with what was in them.
    pub ordered: &'a [Ordered],
    /// The person's carts at the shop that no order closed. Whether this one is among them does not matter.
    pub open: &'a [OpenCart],
    /// The settings in force.
    pub settings: &'a Settings,
}

/// A cart that no order closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OpenCart {
    /// Which.
    pub cart: EventId,
    /// When it was touched last.
    pub touched_at: Timestamp,
}

impl From<&CartState> for OpenCart {
    fn from(cart: &CartState) -> Self {
        Self {
            cart: cart.cart(),
            touched_at: cart.touched_at(),
        }
    }
}

/// What is to happen to a reminder that is due.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CartDecision {
    /// These go out: in test mode one to the shop; live one to the buyer first, and maybe a copy to the shop. For each,
    /// a `MessageAccepted` and a `Decided` are recorded with the `CartDecided`, whose mail is the first.
    Remind(Vec<ReminderMail>),
    /// Shadow mode: nothing does, and it would have.
    WouldRemind,
    /// Nothing does.
    Suppress {
        /// Every rule that was against it, the weightiest first. Never empty.
        reasons: Vec<CartReason>,
        /// What policy answered; empty if it has nothing against the mail.
        refusals: Vec<Refusal>,
    },
}

/// One mail of a reminder: what is asked for and what was decided on it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReminderMail {
    /// What asks for it.
    pub origin: Origin,
    /// To whom it goes.
    pub purpose: ReminderPurpose,
    /// What is asked for.
    pub request: MessageRequest,
    /// The decision.
    pub draft: Draft,
}

/// A reminder that is due, with what the rules look at.
struct Case<'a> {
    facts: &'a CartFacts<'a>,
    spec: &'a CartSpec,
    reminder: Reminder,
    now: Timestamp,
}

/// One rule: the reason that stands for it, and when it is against a reminder.
type Rule = (CartReason, fn(&Case<'_>) -> bool);

/// The rules, the weightiest first: what the shop wants at all, then the cart, its person, and what else they bought.
/// What policy says of the mail itself ([`CartReason::Refused`]) comes after them.
const RULES: [Rule; 12] = [
    (CartReason::Off, |case| case.spec.mode == CartMode::Off),
    (CartReason::NotConfigured, |case| case.settings().is_none()),
    (CartReason::NoTestAddress, |case| {
        case.spec.mode == CartMode::Test && case.spec.address.is_none()
    }),
    (CartReason::Late, |case| case.is_late()),
    (CartReason::PaymentConfirmed, |case| case.is_paid_as(Payment::Confirmed)),
    (CartReason::PaymentProcessing, |case| {
        case.is_paid_as(Payment::Processing)
    }),
    (CartReason::PaymentUnknown, |case| case.is_paid_as(Payment::Unknown)),
    (CartReason::SameContentOrdered, |case| case.is_same_content_ordered()),
    (CartReason::SeveralCarts, |case| case.is_one_of_several()),
    (CartReason::NotSelected, |case| !case.is_selected()),
    (CartReason::LanguageNotSelected, |case| {
        !case.spec.languages.contains(&case.facts.cart.language())
    }),
    (CartReason::BelowMinimum, |case| case.is_below_minimum()),
];

/// Decides whether a reminder that is due at `now` goes out. Every rule is asked, and each that is against it is told.
pub fn decide(facts: &CartFacts<'_>, reminder: Reminder, now: Timestamp) -> CartDecision {
    let Some(spec) = facts.spec else {
        return CartDecision::Suppress {
            reasons: vec![CartReason::NotConfigured],
            refusals: Vec::new(),
        };
    };
    let case = Case {
        facts,
        spec,
        reminder,
        now,
    };
    let mut reasons: Vec<_> = RULES
        .iter()
        .filter(|(_, is_against)| is_against(&case))
        .map(|(reason, _)| *reason)
        .collect();
    let mut mails = Vec::new();
    let mut refusals = Vec::new();
    for purpose in case.purposes() {
        match case.ask(*purpose) {
            Some(Ok(mail)) => mails.push(mail),
            // A copy that cannot go out keeps nothing from the buyer.
            Some(Err(_)) if *purpose == ReminderPurpose::Copy => {}
            Some(Err(refused)) => {
                reasons.push(CartReason::Refused);
                refusals = refused;
            }
            None => {}
        }
    }
    if !reasons.is_empty() {
        return CartDecision::Suppress { reasons, refusals };
    }
    match spec.mode {
        CartMode::Off | CartMode::Shadow => CartDecision::WouldRemind,
        CartMode::Test | CartMode::Live => CartDecision::Remind(mails),
    }
}

impl Case<'_> {
    /// Returns how the shop wants this reminder.
    fn settings(&self) -> Option<&ReminderSpec> {
        match self.reminder {
            Reminder::First => self.spec.first.as_ref(),
            Reminder::Second => self.spec.second.as_ref(),
        }
    }

    /// Returns whether it is past the reminder's limit since the last touch, or past its own moment and the grace.
    fn is_late(&self) -> bool {
        let own = self.settings().map(|settings| settings.after.nominal_seconds());
        let own = Duration::from_secs(own.unwrap_or_default()) + LATE_GRACE;
        self.now > self.facts.cart.touched_at() + own.max(limit(self.reminder))
    }

    fn is_paid_as(&self, payment: Payment) -> bool {
        self.facts.cart.payment() == Some(payment)
    }

    fn is_below_minimum(&self) -> bool {
        let cart = self.facts.cart;
        self.spec
            .minimum
            .is_some_and(|least| cart.total().currency != least.currency || cart.net() < least.amount)
    }

    fn is_selected(&self) -> bool {
        match self.spec.select {
            CartSelection::All => true,
            CartSelection::NeverOrdered => self.facts.orders == 0,
            CartSelection::NoOrderForDays(days) => self.facts.last_order_at.is_none_or(|last| {
                let zone = ResolvedZone::of(self.spec.time_zone);
                i64::from(civil_days_between(last, self.now, &zone)) >= i64::from(days)
            }),
        }
    }

    fn is_one_of_several(&self) -> bool {
        let own = self.facts.cart;
        let mut others = self
            .facts
            .open
            .iter()
            .filter(|other| other.cart != own.cart() && self.now < other.touched_at + SEVERAL_WITHIN);
        match self.spec.several {
            SeveralCarts::RemindOfNone => others.next().is_some(),
            SeveralCarts::LatestOnly => {
                others.any(|other| (other.touched_at, other.cart) > (own.touched_at(), own.cart()))
            }
        }
    }

    /// Returns whether an order of the same content lies around the touch: `[order - 24 h, order + 24 h)`.
    fn is_same_content_ordered(&self) -> bool {
        let (content, touched_at) = (self.facts.cart.content(), self.facts.cart.touched_at());
        self.facts.ordered.iter().any(|ordered| {
            content.is_same(ordered.content, self.spec.same)
                && ordered.at <= touched_at + SAME_CONTENT_WITHIN
                && touched_at < ordered.at + SAME_CONTENT_WITHIN
        })
    }

    /// Returns to whom mails go, the one that counts first.
    fn purposes(&self) -> &'static [ReminderPurpose] {
        match (self.spec.mode, &self.spec.address) {
            (CartMode::Test, _) => &[ReminderPurpose::Test],
            (CartMode::Live, Some(_)) => &[ReminderPurpose::Buyer, ReminderPurpose::Copy],
            (CartMode::Off | CartMode::Shadow | CartMode::Live, _) => &[ReminderPurpose::Buyer],
        }
    }

    /// Asks policy about one mail; `None` if there is nobody to send it to, which a rule tells.
    fn ask(&self, purpose: ReminderPurpose) -> Option<Result<ReminderMail, Vec<Refusal>>> {
        let Self {
            facts,
            spec,
            reminder,
            now,
        } = self;
        let request = mail(facts.cart, spec, *reminder, purpose, *now)?;
        let origin = Origin::Cart {
            cart: facts.cart.cart(),
            reminder: *reminder,
            purpose,
        };
        let asked = MessageFacts {
            request: &request,
            origin: Some(&origin),
            accepted_at: *now,
            shop: facts.shop,
            catalogue: facts.catalogue,
            person: facts.person,
            settings: facts.settings,
        };
        Some(match decide_message(&asked, *now) {
            Decision::Send(draft) => Ok(ReminderMail {
                origin,
                purpose,
                request,
                draft,
            }),
            Decision::Refuse(refusals) => Err(refusals),
        })
    }
}

/// Returns how long after the last touch a reminder may go out.
pub(super) const fn limit(reminder: Reminder) -> Duration {
    match reminder {
        Reminder::First => Duration::from_hours(24),
        Reminder::Second => Duration::from_hours(48),
    }
}
