//! A cart's life: when its reminders are due, what a touch starts over, what they ask for, and what ends it.

#![allow(clippy::unwrap_used, reason = "a test states its expectations by unwrapping")]

mod cart_fixture;
mod fixture;

use std::time::Duration;

use cart_fixture::{CART, PERSON, World, cart, changed, items, spec};
use fixture::{OWN, now};
use policy::cart::{CartDecision, CartFacts, CartState, ReminderMail, decide, mail, prepare};
use types::cart::{Cart, CartMode, CartSpec, Reminder};
use types::event::{
    CartDecided, CartReason, CartVerdict, Event, NextReminder, Recovery, Refusal, ReminderPurpose, Tracking,
    UnsubscribeScope, Unsubscribed, UnsubscribedBy,
};
use types::id::{EventId, MessageId};
use types::locale::Language;
use types::order::{Body, Grant, MessageRequest, Statement, Stream};
use types::time::Timestamp;

/// So many minutes after the cart was first touched.
fn at(minutes: u64) -> Timestamp {
    now() + Duration::from_mins(minutes)
}

/// A cart, its settings, and what is done to it; each step is checked to survive being stored.
struct Life {
    cart: CartState,
    spec: CartSpec,
}

impl Life {
    fn new() -> Self {
        Self::with(spec())
    }

    fn with(spec: CartSpec) -> Self {
        let mut put = changed(cart(now()));
        prepare(&mut put, None, Some(&spec), Language::De, now());
        let cart = CartState::new(CART, now(), &put).unwrap();
        Self { cart, spec }
    }

    fn apply(&mut self, wall: Timestamp, event: &Event) {
        let epoch = self.cart.epoch();
        self.cart = self.cart.clone().apply(wall, event).unwrap();
        assert!(self.cart.epoch() > epoch, "each change is a new epoch");
        assert_eq!(CartState::decode(&self.cart.encode()).unwrap(), self.cart);
    }

    fn put(&mut self, put: Cart, wall: Timestamp) {
        let mut put = changed(put);
        prepare(&mut put, Some(&self.cart), Some(&self.spec), Language::De, wall);
        self.apply(wall, &Event::CartChanged(Box::new(put)));
    }

    fn touch(&mut self, minutes: u64) {
        self.put(cart(at(minutes)), at(minutes));
    }

    fn decided(&mut self, verdict: CartVerdict, minutes: u64) {
        let wall = at(minutes);
        let decided = CartDecided {
            shop: OWN,
            person: PERSON,
            cart: CART,
            due: self.cart.next().map(|next| next.due),
            next: self.cart.due_after(&verdict, Some(&self.spec), wall),
            verdict,
        };
        self.apply(wall, &Event::CartDecided(Box::new(decided)));
    }

    fn sent(&mut self, reminder: Reminder, minutes: u64) {
        self.decided(reminded(reminder, false), minutes);
    }

    fn ordered(&mut self, minutes: u64) {
        let total = self.cart.total();
        let verdict = CartVerdict::Ordered {
            order: EventId::from_raw(50),
            total,
            recovery: Recovery::Influenced,
        };
        self.decided(verdict, minutes);
    }

    #[track_caller]
    fn check_next(&self, expected: Option<(Reminder, u64)>) {
        let expected = expected.map(|(reminder, minutes)| NextReminder {
            reminder,
            due: at(minutes),
        });
        assert_eq!(self.cart.next(), expected);
    }
}

fn reminded(reminder: Reminder, test: bool) -> CartVerdict {
    let number = if reminder == Reminder::First { 101 } else { 102 };
    CartVerdict::Reminded {
        reminder,
        accepted: EventId::from_raw(number),
        message: MessageId::from_raw(number),
        test,
    }
}

const HOUR: u64 = 60;
const DAY: u64 = 24 * HOUR;

#[test]
fn both_reminders_are_counted_from_the_last_touch() {
    let mut life = Life::new();
    life.check_next(Some((Reminder::First, 2 * HOUR)));
    life.touch(90);
    life.check_next(Some((Reminder::First, 90 + 2 * HOUR)));
    life.sent(Reminder::First, 90 + 2 * HOUR);
    life.check_next(Some((Reminder::Second, 90 + DAY)));
    life.sent(Reminder::Second, 90 + DAY);
    life.check_next(None);
}

#[test]
fn a_touch_starts_over_only_what_did_not_go_out() {
    let mut life = Life::new();
    life.sent(Reminder::First, 2 * HOUR);
    life.touch(5 * HOUR);
    life.check_next(Some((Reminder::Second, 5 * HOUR + DAY)));
    life.sent(Reminder::Second, 5 * HOUR + DAY);
    life.touch(40 * HOUR);
    life.check_next(None);
}

#[test]
fn what_was_suppressed_is_due_again_after_a_touch_and_not_before() {
    for verdict in [
        CartVerdict::Suppressed {
            reminder: Reminder::First,
            reasons: vec![CartReason::SeveralCarts],
            refusals: Vec::new(),
        },
        CartVerdict::WouldRemind {
            reminder: Reminder::First,
        },
        reminded(Reminder::First, true),
    ] {
        let mut life = Life::new();
        life.decided(verdict, 2 * HOUR);
        life.check_next(Some((Reminder::Second, DAY)));
        assert_eq!(life.cart.reminders(), []);
        life.touch(3 * HOUR);
        life.check_next(Some((Reminder::First, 5 * HOUR)));
    }
}

#[test]
fn the_same_touch_told_again_changes_the_cart_and_brings_nothing_back() {
    let mut life = Life::new();
    life.decided(reminded(Reminder::First, true), 2 * HOUR);
    let mut paid = cart(now());
    paid.payment = Some(types::cart::Payment::Refused);
    life.put(paid, at(3 * HOUR));
    assert_eq!(life.cart.payment(), Some(types::cart::Payment::Refused));
    life.check_next(Some((Reminder::Second, DAY)));
}

#[test]
fn either_reminder_may_be_missing() {
    let mut life = Life::with(CartSpec { first: None, ..spec() });
    life.check_next(Some((Reminder::Second, DAY)));
    life.sent(Reminder::Second, DAY);
    life.check_next(None);
    let mut life = Life::with(CartSpec { second: None, ..spec() });
    life.sent(Reminder::First, 2 * HOUR);
    life.check_next(None);
}

#[test]
fn a_shop_without_settings_arms_nothing() {
    let mut put = changed(cart(now()));
    prepare(&mut put, None, None, Language::De, now());
    assert_eq!(CartState::new(CART, now(), &put).unwrap().next(), None);
    let life = Life::new();
    let verdict = CartVerdict::WouldRemind {
        reminder: Reminder::First,
    };
    assert_eq!(life.cart.due_after(&verdict, None, at(0)), None);
}

#[test]
fn a_late_first_does_not_bring_the_second_at_its_heels() {
    let mut life = Life::new();
    life.sent(Reminder::First, 20 * HOUR);
    life.check_next(Some((Reminder::Second, 20 * HOUR + 22 * HOUR)));
}

#[test]
fn an_older_touch_changes_nothing_and_none_lies_ahead() {
    let mut life = Life::new();
    life.touch(HOUR);
    let before = life.cart.clone();
    let mut old = changed(cart(at(30)));
    prepare(&mut old, Some(&life.cart), Some(&life.spec), Language::De, at(2 * HOUR));
    let after = life
        .cart
        .clone()
        .apply(at(2 * HOUR), &Event::CartChanged(Box::new(old)))
        .unwrap();
    assert_eq!(after, before);

    life.put(cart(at(9 * DAY)), at(3 * HOUR));
    assert_eq!(life.cart.touched_at(), at(3 * HOUR));
    let mut put = cart(at(0));
    put.touched_at = None;
    life.put(put, at(4 * HOUR));
    assert_eq!(life.cart.touched_at(), at(4 * HOUR));
}

#[test]
fn the_language_is_that_of_the_last_touch_or_the_shop_s() {
    let mut life = Life::new();
    assert_eq!(life.cart.language(), Language::It);
    for (locale, expected) in [
        (Some("fr-CA"), Language::Fr),
        (Some("ja"), Language::De),
        (None, Language::De),
    ] {
        let mut put = cart(at(10));
        put.customer.locale = locale.map(|locale| locale.try_into().unwrap());
        life.put(put, at(10));
        assert_eq!(life.cart.language(), expected);
    }
}

#[test]
fn a_cart_that_is_none_any_more_has_no_row() {
    let life = Life::new();
    let mut gone = changed(cart(at(1)));
    gone.cart = None;
    prepare(&mut gone, Some(&life.cart), Some(&life.spec), Language::De, at(1));
    assert_eq!(
        life.cart.apply(at(1), &Event::CartChanged(Box::new(gone.clone()))),
        None
    );
    assert_eq!(CartState::new(CART, at(1), &gone), None);
}

#[test]
fn an_ordered_cart_is_closed_until_it_holds_something_else() {
    let mut life = Life::new();
    life.sent(Reminder::First, 2 * HOUR);
    life.ordered(3 * HOUR);
    life.check_next(None);
    assert_eq!(life.cart.ordered(), Some((EventId::from_raw(50), Recovery::Influenced)));
    // The shop tells of it once more, paid by now.
    life.touch(4 * HOUR);
    life.check_next(None);
    assert!(!life.cart.is_waiting());
    // The same id with another content is another cart.
    let mut other = cart(at(5 * HOUR));
    other.items = items(&[("c", 1)]);
    life.put(other, at(5 * HOUR));
    life.check_next(Some((Reminder::First, 7 * HOUR)));
    assert!(life.cart.is_waiting());
    assert_eq!(life.cart.reminders(), []);
}

/// Decides the cart's next reminder when it is due.
fn decide_due(life: &Life, world: &World) -> CartDecision {
    let next = life.cart.next().unwrap();
    let facts = CartFacts {
        cart: &life.cart,
        spec: Some(&life.spec),
        shop: &world.shop,
        catalogue: 7,
        person: &world.person,
        orders: 0,
        last_order_at: None,
        ordered: &[],
        open: &[],
        settings: &world.settings,
    };
    decide(&facts, next.reminder, next.due)
}

fn mails(decision: CartDecision) -> Vec<ReminderMail> {
    match decision {
        CartDecision::Remind(mails) => mails,
        other => panic!("{other:?}"),
    }
}

fn refusals(decision: CartDecision) -> Vec<Refusal> {
    match decision {
        CartDecision::Suppress { reasons, refusals } => {
            assert_eq!(reasons, [CartReason::Refused]);
            refusals
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_a_person_said_after_the_touch_outweighs_the_cart_s_consent() {
    let unsubscribed = |shop| Unsubscribed {
        message: MessageId::from_raw(1),
        shop,
        scope: UnsubscribeScope::Shop,
        by: UnsubscribedBy::Page,
    };
    let mut world = World::default();
    let mut life = Life::new();
    world.person.apply(at(30), &Event::Unsubscribed(unsubscribed(OWN)));
    assert_eq!(refusals(decide_due(&life, &world)), [Refusal::SuppressedByShop]);
    // A plug-in's `true` with the next touch does not outweigh it either; a statement made since does.
    life.touch(40);
    assert_eq!(refusals(decide_due(&life, &world)), [Refusal::SuppressedByShop]);
    let mut put = cart(at(50));
    put.consent.marketing = Some(Grant::Stated(Statement {
        granted: true,
        at: at(45),
        text: None,
        source: None,
    }));
    life.put(put, at(50));
    assert_eq!(mails(decide_due(&life, &world)).len(), 1);

    // A refusal with an order that was placed after the touch.
    let mut world = World::default();
    let life = Life::new();
    let order = fixture_order("2026-11-22T12:30:00Z");
    world.person.apply(at(30), &order);
    assert_eq!(refusals(decide_due(&life, &world)), [Refusal::ConsentWithdrawn]);
}

/// An order of the person at the shop whose buyer refuses mail.
fn fixture_order(placed_at: &str) -> Event {
    let order = serde_json::json!({
        "order_id": "1", "placed_at": placed_at, "status": "confirmed", "customer": {"email": "anna@libero.it"},
        "consent": {"marketing": false}, "total": {"amount": 1, "currency": "EUR"},
    });
    Event::OrderAccepted(Box::new(types::event::OrderAccepted {
        shop: OWN,
        person: PERSON,
        order: serde_json::from_value(order).unwrap(),
        claims: Vec::new(),
    }))
}

#[test]
fn a_reminder_asks_for_the_cart_as_it_is_in_its_language() {
    let world = World::default();
    let mut life = Life::new();
    life.sent(Reminder::First, 2 * HOUR);
    let [mail] = &mails(decide_due(&life, &world))[..] else {
        panic!("one mail");
    };
    assert_eq!(mail.request.stream, Stream::Promotional);
    assert_eq!(mail.draft.language, Language::It);
    assert_eq!(mail.draft.tracking, Tracking::Aggregate);
    assert!(!mail.draft.test);
    let Body::Cart(body) = &mail.request.body else {
        panic!("a cart");
    };
    assert_eq!(body.items, life.cart.items());
    assert_eq!((body.total, body.touched_at), (life.cart.total(), now()));
    assert_eq!(body.coupon.as_ref().map(|coupon| &*coupon.code), Some("TORNA10"));
    assert_eq!(body.coupon_until, Some(at(3 * DAY)));
    assert_eq!(mail.draft.expires, at(2 * DAY));
}

#[test]
fn only_the_second_gives_the_code_and_a_limit_leaves_time_to_be_delivered() {
    let life = Life::new();
    let ask = |reminder, minutes| mail(&life.cart, &life.spec, reminder, ReminderPurpose::Buyer, at(minutes)).unwrap();
    let body = |request: &MessageRequest| match &request.body {
        Body::Cart(cart) => (**cart).clone(),
        other => panic!("{other:?}"),
    };
    let first = ask(Reminder::First, DAY);
    assert_eq!((body(&first).coupon, body(&first).coupon_until), (None, None));
    assert_eq!(first.expires_at, Some(at(DAY + 4 * HOUR)));
    assert!(body(&ask(Reminder::Second, DAY)).coupon.is_some());
}

#[test]
fn what_goes_to_the_shop_asks_for_no_consent_and_is_a_test() {
    let mut world = World::default();
    let mut life = Life::new();
    life.spec.address = Some("negozio@scarpe.example".try_into().unwrap());
    let mut put = cart(at(1));
    put.consent.tracking = Some(Grant::Bare(true));
    life.put(put, at(1));
    let [buyer, copy] = &mails(decide_due(&life, &world))[..] else {
        panic!("two mails");
    };
    assert_eq!(
        (buyer.purpose, copy.purpose),
        (ReminderPurpose::Buyer, ReminderPurpose::Copy)
    );
    assert_eq!(
        (buyer.draft.tracking, copy.draft.tracking),
        (Tracking::Individual, Tracking::Aggregate)
    );
    assert_eq!(buyer.request.to.email.as_str(), "anna@libero.it");
    assert_eq!(copy.request.to.email.as_str(), "negozio@scarpe.example");
    assert_eq!(copy.request.to.name, buyer.request.to.name);
    assert_eq!(copy.request.consent, types::order::Consent::default());
    assert!(copy.draft.test && copy.origin.is_for_shop() && !buyer.origin.is_for_shop());
    assert_eq!(copy.request.body, buyer.request.body);

    // Test mode does not ask what the buyer wants: nothing goes there.
    let suppressed = types::event::SuppressionChanged {
        person: PERSON,
        shop: None,
        stream: None,
        cause: Some(types::event::SuppressionCause::HardBounce),
    };
    world.person.apply(at(2), &Event::SuppressionChanged(suppressed));
    life.spec.mode = CartMode::Test;
    let [test] = &mails(decide_due(&life, &world))[..] else {
        panic!("one mail");
    };
    assert_eq!((test.purpose, test.draft.test), (ReminderPurpose::Test, true));
    life.spec.mode = CartMode::Live;
    assert_eq!(refusals(decide_due(&life, &world)), [Refusal::SuppressedByNetwork]);
}

#[test]
fn a_reminder_set_to_the_limit_has_a_quarter_of_an_hour_to_come_round() {
    let world = World::default();
    let mut spec = spec();
    spec.first.as_mut().unwrap().after = "24h".parse().unwrap();
    spec.second.as_mut().unwrap().after = "48h".parse().unwrap();
    let life = Life::with(spec);
    for (reminder, hours) in [(Reminder::First, 24), (Reminder::Second, 48)] {
        for (late, is_late) in [(0, false), (15 * 60_000, false), (15 * 60_000 + 1, true)] {
            let facts = CartFacts {
                cart: &life.cart,
                spec: Some(&life.spec),
                shop: &world.shop,
                catalogue: 7,
                person: &world.person,
                orders: 0,
                last_order_at: None,
                ordered: &[],
                open: &[],
                settings: &world.settings,
            };
            let decision = decide(&facts, reminder, at(hours * HOUR) + Duration::from_millis(late));
            let reasons = match decision {
                CartDecision::Suppress { reasons, .. } => reasons,
                _ => Vec::new(),
            };
            assert_eq!(
                reasons == [CartReason::Late],
                is_late,
                "{reminder:?} {late}: {reasons:?}"
            );
        }
    }
}

#[test]
fn a_shop_that_took_its_settings_or_a_reminder_away_sends_nothing() {
    let world = World::default();
    let mut life = Life::new();
    life.spec.first = None;
    let CartDecision::Suppress { reasons, .. } = decide_due(&life, &world) else {
        panic!("sent");
    };
    assert_eq!(reasons, [CartReason::NotConfigured]);
}
