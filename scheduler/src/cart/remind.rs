//! Decides on carts: fills in a change before it is recorded, decides on reminders that are due, and closes the carts that were ordered.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use policy::cart::{CartDecision, CartFacts, CartState, OpenCart, ReminderMail};
use policy::workflow::{BUSY_WAIT, CartTurn};
use store::StateError;
use store::state::Timer;
use types::event::{CartChanged, CartDecided, CartVerdict, Event, HitKind, ReminderPurpose, Verdict};
use types::id::{EventId, MessageId, PartitionId};
use types::order::Order;
use types::port::Admission;
use types::time::Timestamp;

use crate::mail::Own;
use crate::timers::{Tries, broke, drop_stale};
use crate::turn::{Fault, Turn};
use crate::workflow::{Contact, Happening, Reaction};

/// Fills in a change of a cart before it is recorded: which cart it is, and when its reminder is due.
pub(crate) fn prepare(
    turn: &mut Turn<'_>,
    partition: PartitionId,
    changed: &mut CartChanged,
    wall: Timestamp,
) -> Result<(), Fault> {
    let catalogue = turn.context.catalogue();
    let shop = catalogue
        .shop_by_number(changed.shop)
        .ok_or_else(|| Fault::Refused("the shop is gone".to_owned()))?;
    let named = turn.desks.carts.named(partition, changed.shop, &changed.id)?;
    let before = match named {
        Some(cart) => turn.desks.carts.get((partition, cart))?,
        None => None,
    };
    // A name that leads to what is erased, or to another person's cart, is free.
    let before = before.filter(|cart| cart.person() == changed.person);
    changed.object = before.map(CartState::cart);
    if changed.object.is_none() && changed.cart.is_none() {
        return Err(Fault::Refused("there is no such cart".to_owned()));
    }
    let spec = catalogue.carts(changed.shop).map(|spec| &**spec);
    policy::cart::prepare(changed, before, spec, shop.spec.language, wall);
    Ok(())
}

/// Returns whether the cart of a recorded change waits to be bought.
pub(crate) fn is_open(turn: &mut Turn<'_>, contact: Contact, changed: &CartChanged) -> Result<bool, StateError> {
    let named = turn.desks.carts.named(contact.partition, changed.shop, &changed.id)?;
    Ok(match named {
        Some(cart) => turn
            .desks
            .carts
            .get((contact.partition, cart))?
            .is_some_and(CartState::is_waiting),
        None => false,
    })
}

/// Decides on a reminder that is due, and records what becomes of it. `tries` is how often it could not be decided before.
pub(crate) fn due(turn: &mut Turn<'_>, timer: Timer, tries: Tries) -> Result<(), StateError> {
    let key = (timer.partition, timer.owner);
    let due = turn.desks.carts.get(key)?.filter(|cart| cart.epoch() == timer.epoch);
    let Some((cart, next)) = due.and_then(|cart| Some((cart.clone(), cart.next()?))) else {
        drop_stale(turn, timer);
        return Ok(());
    };
    let now = turn.context.now();
    let decision = match decide(turn, timer, &cart, next.reminder, now)? {
        Ok(decision) => decision,
        Err(fault) => return broke(turn, timer, Some(cart.shop()), &fault, tries),
    };
    let verdict = match decision {
        CartDecision::Remind(mails) => {
            let Some(admissions) = admit(turn, mails.len()) else {
                turn.desks.timers.wait(timer.key(), now + BUSY_WAIT);
                return Ok(());
            };
            match remind(turn, timer, &cart, mails, admissions)? {
                Some((accepted, message, test)) => CartVerdict::Reminded {
                    reminder: next.reminder,
                    accepted,
                    message,
                    test,
                },
                None => return broke(turn, timer, Some(cart.shop()), "no mail was decided", Tries::Effective),
            }
        }
        CartDecision::WouldRemind => CartVerdict::WouldRemind {
            reminder: next.reminder,
        },
        CartDecision::Suppress { reasons, refusals } => CartVerdict::Suppressed {
            reminder: next.reminder,
            reasons,
            refusals,
        },
    };
    let catalogue = turn.context.catalogue();
    let spec = catalogue.carts(cart.shop()).map(|spec| &**spec);
    let decided = CartDecided {
        shop: cart.shop(),
        person: cart.person(),
        cart: timer.owner,
        due: Some(timer.due),
        next: cart.due_after(&verdict, spec, now),
        verdict,
    };
    if tries == Tries::Made(0) {
        turn.context.metrics.automation.fired(timer.class, now.since(timer.due));
    }
    turn.context.metrics.automation.count_cart(&decided.verdict);
    turn.record(timer.partition, &Event::CartDecided(Box::new(decided)))?;
    Ok(())
}

/// Asks policy; `Err` tells why it could not answer.
fn decide(
    turn: &mut Turn<'_>,
    timer: Timer,
    cart: &CartState,
    reminder: types::cart::Reminder,
    now: Timestamp,
) -> Result<Result<CartDecision, String>, StateError> {
    let catalogue = turn.context.catalogue();
    let Some(shop) = catalogue.shop_by_number(cart.shop()) else {
        return Ok(Err("the shop is gone".to_owned()));
    };
    let contact = turn
        .desks
        .contacts
        .get(timer.partition, cart.person(), cart.shop())?
        .clone();
    let mut open = Vec::new();
    for other in contact.carts() {
        if let Some(other) = turn.desks.carts.get((timer.partition, *other))? {
            open.push(OpenCart {
                cart: other.cart(),
                touched_at: other.touched_at(),
            });
        }
    }
    let facts = CartFacts {
        cart,
        spec: catalogue.carts(cart.shop()).map(|spec| &**spec),
        shop,
        catalogue: catalogue.version(),
        person: turn.desks.persons.get(timer.partition, cart.person())?,
        orders: contact.activity().orders(),
        last_order_at: contact.activity().last_order_at(),
        ordered: contact.activity().ordered(),
        open: &open,
        settings: &turn.context.settings.policy,
    };
    let decided = catch_unwind(AssertUnwindSafe(|| policy::cart::decide(&facts, reminder, now)));
    Ok(decided.map_err(|_| "its decision panicked".to_owned()))
}

/// Records the mails of a reminder. Returns the first: what was accepted, the mail, and whether it is a test.
fn remind(
    turn: &mut Turn<'_>,
    timer: Timer,
    cart: &CartState,
    mails: Vec<ReminderMail>,
    admissions: Vec<Admission>,
) -> Result<Option<(EventId, MessageId, bool)>, StateError> {
    let catalogue = turn.context.catalogue();
    let mut first = None;
    for (mail, admission) in mails.into_iter().zip(admissions) {
        let cause = turn.context.mint();
        let message = MessageId::new(turn.context.mint());
        let verdict = policy::Decision::Send(mail.draft).verdict(|| message);
        if matches!(verdict, Verdict::Send(_)) {
            first = first.or(Some((cause, message, mail.purpose == ReminderPurpose::Test)));
        }
        let own = Own {
            partition: timer.partition,
            shop: cart.shop(),
            person: cart.person(),
            request: mail.request,
            origin: mail.origin,
            catalogue: Arc::clone(&catalogue),
            admission,
        };
        let decided = turn.context.mint();
        turn.send_own(own, (cause, decided), verdict, turn.context.now())?;
    }
    Ok(first)
}

/// Closes the cart that an order is of, if there is one.
pub(crate) fn close(
    turn: &mut Turn<'_>,
    contact: Contact,
    id: EventId,
    wall: Timestamp,
    order: &Order,
) -> Result<(), StateError> {
    let Contact {
        partition,
        person,
        shop,
    } = contact;
    let mut known = turn.desks.contacts.get(partition, person, shop)?.carts().to_vec();
    if let Some(named) = &order.cart_id {
        known.extend(turn.desks.carts.named(partition, shop, named)?);
    }
    known.sort_unstable();
    known.dedup();
    if known.is_empty() {
        return Ok(());
    }
    let mut carts = Vec::new();
    let mut clicks = Vec::new();
    for cart in known {
        let cart = turn.desks.carts.get((partition, cart))?;
        let Some(cart) = cart.filter(|cart| cart.person() == person).cloned() else {
            continue;
        };
        for sent in cart.reminders() {
            clicks.push((sent.message, clicked(turn, partition, sent.message)?));
        }
        carts.push(cart);
    }
    let clicked = |message: MessageId| clicks.iter().find(|(own, _)| *own == message).and_then(|(_, at)| *at);
    let catalogue = turn.context.catalogue();
    let spec = catalogue.carts(shop).map(|spec| &**spec);
    let Some(closed) = policy::cart::ordered(order, wall, &carts, spec, &clicked) else {
        return Ok(());
    };
    let decided = CartDecided {
        shop,
        person,
        cart: closed.cart,
        due: None,
        verdict: CartVerdict::Ordered {
            order: id,
            total: order.total,
            recovery: closed.recovery,
        },
        next: None,
    };
    turn.context.metrics.automation.count_cart(&decided.verdict);
    let (decided_id, decided_at) = turn.record(partition, &Event::CartDecided(Box::new(decided)))?;
    if let Some(cart) = carts.iter().find(|cart| cart.cart() == closed.cart) {
        turn.reactions.push_back(Reaction {
            id: decided_id,
            wall: decided_at,
            contact,
            before: None,
            what: Happening::Cart {
                id: cart.id().clone(),
                turn: CartTurn::Closed,
            },
        });
    }
    Ok(())
}

/// Returns when a person first followed a link of a mail, as it is judged.
fn clicked(turn: &mut Turn<'_>, partition: PartitionId, message: MessageId) -> Result<Option<Timestamp>, StateError> {
    let Some(mail) = turn.desks.mails.get(partition, message)? else {
        return Ok(None);
    };
    let clicks = mail
        .hits()
        .filter(|(hit, given)| hit.kind == HitKind::Click && given.is_some_and(|(_, class)| class.is_qualified()));
    Ok(clicks.map(|(hit, _)| hit.at).min())
}

/// Takes places for so many mails, or none at all.
fn admit(turn: &Turn<'_>, count: usize) -> Option<Vec<Admission>> {
    (0..count)
        .map(|_| turn.context.deps.store.intake().try_admit())
        .collect()
}
