//! Which cart an order closes, and what the reminders had to do with it.

use types::cart::{CartSpec, SameContent};
use types::event::Recovery;
use types::id::{EventId, MessageId, PublicId};
use types::order::{Order, OrderStatus};
use types::time::Timestamp;

use super::state::{CartState, SentReminder};
use crate::contact::ContentKeys;

/// A cart that an order closes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClosedCart {
    /// Which.
    pub cart: EventId,
    /// What the reminders had to do with it.
    pub recovery: Recovery,
}

/// Returns the cart that an order closes, of those that the person has at the shop; `None` if it closes none.
///
/// It is the one that the order names; else the one whose reminder's link the buyer came by; else the latest with the
/// same content; else the latest of which a reminder went out, as long as that counts. An order that names a cart which
/// is closed already closes no other. Only confirmed orders close any.
///
/// `clicked` tells when a person first clicked in a reminder's mail, if one did. `at` is when the order came; without
/// `spec`, seven days count.
pub fn ordered(
    order: &Order,
    at: Timestamp,
    carts: &[CartState],
    spec: Option<&CartSpec>,
    clicked: &dyn Fn(MessageId) -> Option<Timestamp>,
) -> Option<ClosedCart> {
    if order.status != OrderStatus::Confirmed {
        return None;
    }
    let within = spec.map_or(7 * 86_400, |spec| spec.recovered_within.nominal_seconds());
    let within = std::time::Duration::from_secs(within);
    let counts = |sent: &&SentReminder| sent.at <= at && at < sent.at + within;
    let token = order
        .recovery
        .as_deref()
        .and_then(|token| token.parse::<PublicId>().ok());
    let has_token = |cart: &CartState| {
        let is_of = |sent: &SentReminder| token.is_some_and(|token| token.event == sent.message.event());
        cart.reminders().iter().any(is_of)
    };
    let latest = |is_it: &dyn Fn(&&CartState) -> bool| {
        let waiting = carts.iter().filter(|cart| cart.is_waiting());
        waiting
            .filter(is_it)
            .max_by_key(|cart| (cart.touched_at(), cart.cart()))
    };

    let named = order
        .cart_id
        .as_ref()
        .and_then(|id| carts.iter().find(|cart| cart.id() == id));
    let cart = match named {
        Some(named) => named.is_waiting().then_some(named),
        None => latest(&|cart| has_token(cart))
            .or_else(|| latest(&|cart| is_same(cart, order, spec)))
            .or_else(|| latest(&|cart| cart.reminders().iter().any(|sent| counts(&sent)))),
    }?;

    let reminded = cart.reminders().iter().filter(counts);
    let came_back = |sent: &SentReminder| {
        let by_link = token.is_some_and(|token| token.event == sent.message.event());
        by_link || clicked(sent.message).is_some_and(|clicked_at| clicked_at <= at)
    };
    let recovery = reminded.fold(Recovery::Unaided, |found, sent| match found {
        Recovery::Recovered => found,
        _ if came_back(sent) => Recovery::Recovered,
        _ => Recovery::Influenced,
    });
    Some(ClosedCart {
        cart: cart.cart(),
        recovery,
    })
}

fn is_same(cart: &CartState, order: &Order, spec: Option<&CartSpec>) -> bool {
    let same = spec.map_or(SameContent::default(), |spec| spec.same);
    ContentKeys::of(&order.items).is_same(cart.content(), same)
}
