//! Carts: what a touch is recorded with, the reminders that are due, and the carts that orders close.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use policy::cart::{CartDecision, CartFacts, CartState, OpenCart, ReminderMail};
use policy::workflow::CartTurn;
use store::StateError;
use store::state::Timer;
use types::event::{CartChanged, CartDecided, CartVerdict, Event, HitKind, ReminderPurpose, Verdict};
use types::id::{EventId, MessageId};
use types::order::Order;
use types::port::Admission;
use types::time::Timestamp;

use super::reactions::{Contact, Happening, Reaction};
use super::sending::Own;
use super::timers::{BUSY_WAIT, NO_MORE};
use super::{Fault, Runner, Work};

impl Runner {
    /// Fills in what a change of a cart is to be recorded with.
    pub(super) fn prepare_cart(
        &mut self,
        partition: types::id::PartitionId,
        changed: &mut CartChanged,
        wall: Timestamp,
    ) -> Result<(), Fault> {
        let catalogue = self.deps.store.catalogue().load();
        let shop = catalogue
            .shop_by_number(changed.shop)
            .ok_or_else(|| Fault::Refused("the shop is gone".to_owned()))?;
        let named = self.fold.cart_named(partition, changed.shop, &changed.id)?;
        let before = match named {
            Some(cart) => self.fold.cart((partition, cart))?,
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
    pub(super) fn is_open(&mut self, contact: Contact, changed: &CartChanged) -> Result<bool, StateError> {
        let named = self.fold.cart_named(contact.partition, changed.shop, &changed.id)?;
        Ok(match named {
            Some(cart) => self
                .fold
                .cart((contact.partition, cart))?
                .is_some_and(CartState::is_waiting),
            None => false,
        })
    }

    /// Decides on a reminder that is due, and records what becomes of it. `tries` is how often it could not be decided before.
    pub(super) fn cart_due(&mut self, work: &mut Work, timer: Timer, tries: u32) -> Result<(), StateError> {
        let key = (timer.partition, timer.owner);
        let due = self.fold.cart(key)?.filter(|cart| cart.epoch() == timer.epoch);
        let Some((cart, next)) = due.and_then(|cart| Some((cart.clone(), cart.next()?))) else {
            self.drop_stale(timer);
            return Ok(());
        };
        let now = self.deps.clock.now();
        let decision = match self.decide_cart(timer, &cart, next.reminder, now)? {
            Ok(decision) => decision,
            Err(fault) => return self.timer_broke(work, timer, Some(cart.shop()), &fault, tries),
        };
        let verdict = match decision {
            CartDecision::Remind(mails) => {
                let Some(admissions) = self.admit(mails.len()) else {
                    self.fold.timers.wait(timer.key(), now + BUSY_WAIT);
                    return Ok(());
                };
                match self.remind(work, timer, &cart, mails, admissions)? {
                    Some((accepted, message, test)) => CartVerdict::Reminded {
                        reminder: next.reminder,
                        accepted,
                        message,
                        test,
                    },
                    None => return self.timer_broke(work, timer, Some(cart.shop()), "no mail was decided", NO_MORE),
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
        let catalogue = self.deps.store.catalogue().load();
        let spec = catalogue.carts(cart.shop()).map(|spec| &**spec);
        let decided = CartDecided {
            shop: cart.shop(),
            person: cart.person(),
            cart: timer.owner,
            due: Some(timer.due),
            next: cart.due_after(&verdict, spec, now),
            verdict,
        };
        if tries == 0 {
            self.metrics.automation.fired(timer.class, now.since(timer.due));
        }
        self.metrics.automation.count_cart(&decided.verdict);
        self.record(work, timer.partition, &Event::CartDecided(Box::new(decided)))?;
        Ok(())
    }

    /// Asks policy; `Err` tells why it could not answer.
    fn decide_cart(
        &mut self,
        timer: Timer,
        cart: &CartState,
        reminder: types::cart::Reminder,
        now: Timestamp,
    ) -> Result<Result<CartDecision, String>, StateError> {
        let catalogue = self.deps.store.catalogue().load();
        let Some(shop) = catalogue.shop_by_number(cart.shop()) else {
            return Ok(Err("the shop is gone".to_owned()));
        };
        let contact = self.fold.contact(timer.partition, cart.person(), cart.shop())?.clone();
        let mut open = Vec::new();
        for other in contact.carts() {
            if let Some(other) = self.fold.cart((timer.partition, *other))? {
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
            person: self.fold.person(timer.partition, cart.person())?,
            orders: contact.activity().orders(),
            last_order_at: contact.activity().last_order_at(),
            ordered: contact.activity().ordered(),
            open: &open,
            settings: &self.settings.policy,
        };
        let decided = catch_unwind(AssertUnwindSafe(|| policy::cart::decide(&facts, reminder, now)));
        Ok(decided.map_err(|_| "its decision panicked".to_owned()))
    }

    /// Records the mails of a reminder. Returns the first: what was accepted, the mail, and whether it is a test.
    fn remind(
        &mut self,
        work: &mut Work,
        timer: Timer,
        cart: &CartState,
        mails: Vec<ReminderMail>,
        admissions: Vec<Admission>,
    ) -> Result<Option<(EventId, MessageId, bool)>, StateError> {
        let catalogue = self.deps.store.catalogue().load();
        let mut first = None;
        for (mail, admission) in mails.into_iter().zip(admissions) {
            let cause = self.deps.store.journal().mint();
            let message = MessageId::new(self.deps.store.journal().mint());
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
            self.send_own(work, own, cause, verdict, self.deps.clock.now())?;
        }
        Ok(first)
    }

    /// Closes the cart that an order is of, if there is one.
    pub(super) fn close_cart(
        &mut self,
        work: &mut Work,
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
        let mut known = self.fold.contact(partition, person, shop)?.carts().to_vec();
        if let Some(named) = &order.cart_id {
            known.extend(self.fold.cart_named(partition, shop, named)?);
        }
        known.sort_unstable();
        known.dedup();
        if known.is_empty() {
            return Ok(());
        }
        let mut carts = Vec::new();
        let mut clicks = Vec::new();
        for cart in known {
            let cart = self.fold.cart((partition, cart))?;
            let Some(cart) = cart.filter(|cart| cart.person() == person).cloned() else {
                continue;
            };
            for sent in cart.reminders() {
                clicks.push((sent.message, self.clicked(partition, sent.message)?));
            }
            carts.push(cart);
        }
        let clicked = |message: MessageId| clicks.iter().find(|(own, _)| *own == message).and_then(|(_, at)| *at);
        let catalogue = self.deps.store.catalogue().load();
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
        self.metrics.automation.count_cart(&decided.verdict);
        let (decided_id, decided_at) = self.record(work, partition, &Event::CartDecided(Box::new(decided)))?;
        if let Some(cart) = carts.iter().find(|cart| cart.cart() == closed.cart) {
            work.reactions.push(Reaction {
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
    fn clicked(
        &mut self,
        partition: types::id::PartitionId,
        message: MessageId,
    ) -> Result<Option<Timestamp>, StateError> {
        let Some(mail) = self.fold.mail(partition, message)? else {
            return Ok(None);
        };
        let clicks = mail
            .hits()
            .filter(|(hit, given)| hit.kind == HitKind::Click && given.is_some_and(|(_, class)| class.is_qualified()));
        Ok(clicks.map(|(hit, _)| hit.at).min())
    }

    /// Takes places for so many mails, or none at all.
    fn admit(&self, count: usize) -> Option<Vec<Admission>> {
        (0..count).map(|_| self.deps.store.intake().try_admit()).collect()
    }
}
