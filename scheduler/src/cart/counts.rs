//! What carts and their reminders count.

use policy::cart::CartState;
use types::cart::Reminder;
use types::event::{CartDecided, CartReason, CartVerdict, Recovery};
use types::money::Currency;
use types::tally::{Dimensions, Measure};
use types::text::Slug;

use crate::desk::Told;

/// Counts what became of a cart, in the hour of the record. The cart is as it was before.
pub(super) fn count(cart: &CartState, decided: &CartDecided, told: &mut Told) {
    let mut currency = cart.total().currency;
    let abandoned = |reminder: &Reminder| (*reminder == Reminder::First).then_some((Measure::Abandoned, 1));
    let mut measures = Vec::new();
    let mut reason: Option<CartReason> = None;
    match &decided.verdict {
        CartVerdict::Reminded { reminder, test, .. } => {
            measures.extend(abandoned(reminder));
            let sent = match reminder {
                Reminder::First => Measure::RemindedFirst,
                Reminder::Second => Measure::RemindedSecond,
            };
            measures.extend((!test).then_some((sent, 1)));
        }
        CartVerdict::Suppressed { reminder, reasons, .. } => {
            measures.extend(abandoned(reminder));
            measures.push((Measure::Suppressed, 1));
            reason = reasons.first().copied();
        }
        CartVerdict::WouldRemind { reminder } => {
            measures.extend(abandoned(reminder));
            measures.push((Measure::WouldRemind, 1));
        }
        CartVerdict::Ordered { total, recovery, .. } => {
            currency = total.currency;
            match recovery {
                Recovery::Recovered => {
                    measures.extend([(Measure::Recovered, 1), (Measure::RecoveredAmount, total.amount)]);
                }
                Recovery::Influenced => {
                    measures.extend([(Measure::Influenced, 1), (Measure::InfluencedAmount, total.amount)]);
                }
                Recovery::Unaided => {}
            }
        }
    }
    let reason = reason.and_then(|reason| Slug::try_from(reason.code()).ok());
    if let Some(code) = reason {
        told.count(of(cart, currency, Some(code)), Measure::Suppressed, 1);
    }
    if measures.is_empty() {
        // It is known all the same that something became of a cart: its cell is there, and counts nothing.
        measures.push((Measure::Recovered, 0));
    }
    for (measure, by) in measures {
        told.count(of(cart, currency, None), measure, by);
    }
}

/// Returns where the mails of a cart count.
pub(super) fn dimensions(cart: &CartState) -> Dimensions {
    of(cart, cart.total().currency, None)
}

fn of(cart: &CartState, currency: Currency, reason: Option<Slug>) -> Dimensions {
    Dimensions::Carts {
        shop: cart.shop(),
        language: cart.language(),
        currency,
        reason,
    }
}
