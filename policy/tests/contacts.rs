//! What a shop knows of a contact, and what of it reaches the person.

#![allow(clippy::unwrap_used, reason = "tests state their expectations by unwrapping")]

use std::collections::BTreeMap;

use policy::PersonState;
use policy::contact::{ContactState, ContentKeys, MailSent, Stage};
use policy::filter::Cause;
use policy::person::Purpose;
use proptest::prelude::*;
use serde_json::json;
use types::cart::{Cart, SameContent};
use types::contact::{Channel, ChannelConsent, ContactChange, ContactSource, FieldValue, Number};
use types::event::{
    CartChanged, ContactChanged, Decided, Did, Event, EventReported, HitKind, Leave, MoveCause, Moved, OrderAccepted,
    Place, Plan, Preference, PreferenceChanged, Tracking, UnsubscribeScope, Unsubscribed, UnsubscribedBy, Verdict,
    Waits, WaitsOn,
};
use types::id::{EventId, IdMint, MessageId, PersonKey, ShopNumber, WorkflowNumber};
use types::locale::Language;
use types::order::{Item, Order, Statement, Stream};
use types::text::Slug;
use types::time::Timestamp;

const SHOP: ShopNumber = ShopNumber(1);
const PERSON: PersonKey = PersonKey::from_bytes([7; 16]);

fn at(hour: u64) -> Timestamp {
    "2026-11-01T00:00:00Z".parse::<Timestamp>().unwrap() + std::time::Duration::from_hours(hour)
}

fn slug(id: &str) -> Slug {
    id.try_into().unwrap()
}

/// A contact and the person it is, told the same events at hours of November.
struct Known {
    contact: ContactState,
    person: PersonState,
    mint: IdMint,
}

impl Known {
    fn new() -> Self {
        Self {
            contact: ContactState::default(),
            person: PersonState::default(),
            mint: IdMint::new(0, None),
        }
    }

    fn tell(&mut self, hour: u64, event: &Event) -> policy::person::Withdrawal {
        let id = self.mint.mint(at(hour));
        self.contact.apply(id, at(hour), event);
        let contact = ContactState::decode(&self.contact.encode()).unwrap();
        assert_eq!(contact, self.contact);
        self.person.apply(at(hour), event)
    }

    fn change(&mut self, hour: u64, source: ContactSource, change: ContactChange) -> policy::person::Withdrawal {
        let changed = ContactChanged {
            shop: SHOP,
            person: PERSON,
            email: "Anna@posta.example".to_owned().try_into().unwrap(),
            source,
            change,
        };
        self.tell(hour, &Event::ContactChanged(Box::new(changed)))
    }

    fn says(&mut self, hour: u64, source: ContactSource, consent: ChannelConsent) -> policy::person::Withdrawal {
        let consents = vec![consent];
        self.change(
            hour,
            source,
            ContactChange {
                consents,
                ..ContactChange::default()
            },
        )
    }

    fn order(&mut self, hour: u64, status: &str, amount: i64, currency: &str, consent: &serde_json::Value) {
        let order = json!({
            "order_id": "A", "placed_at": at(hour), "status": status, "consent": consent,
            "customer": { "email": "anna@posta.example", "name": "Anna", "locale": "it-IT", "time_zone": "Europe/Rome" },
            "total": { "amount": amount, "currency": currency },
            "items": [{ "sku": "boot", "title": "Boot", "quantity": 1, "unit_price": amount }],
        });
        let order: Order = serde_json::from_value(order).unwrap();
        let accepted = OrderAccepted {
            shop: SHOP,
            person: PERSON,
            order,
            claims: Vec::new(),
        };
        self.tell(hour, &Event::OrderAccepted(Box::new(accepted)));
    }

    fn unsubscribes(&mut self, hour: u64) {
        let message = MessageId::new(self.mint.mint(at(hour)));
        self.tell(
            hour,
            &Event::Unsubscribed(Unsubscribed {
                message,
                shop: SHOP,
                scope: UnsubscribeScope::Shop,
                by: UnsubscribedBy::Page,
            }),
        );
    }

    fn mailed(&mut self, hour: u64) -> MessageId {
        let message = MessageId::new(self.mint.mint(at(hour)));
        let plan = Plan {
            message,
            stream: Stream::Promotional,
            language: Language::It,
            catalogue: 1,
            date: at(hour),
            expires: at(hour + 24),
            tracking: Tracking::Individual,
            offers: Vec::new(),
            late: false,
            test: false,
            template: None,
        };
        let decided = Decided {
            cause: message.event(),
            shop: SHOP,
            person: PERSON,
            verdict: Verdict::Send(plan),
        };
        self.tell(hour, &Event::Decided(Box::new(decided)));
        message
    }

    fn agrees(&self) -> bool {
        self.contact.agrees(Channel::Email)
    }

    /// Returns what the person said to the shop about mail, as decisions know it.
    fn said(&self) -> Option<bool> {
        self.person.said(SHOP, Purpose::Marketing).map(|said| said.granted)
    }
}

fn consent(granted: bool, hour: u64) -> ChannelConsent {
    ChannelConsent {
        channel: Channel::Email,
        statement: Statement {
            granted,
            at: at(hour),
            text: None,
            source: Some("checkout".try_into().unwrap()),
        },
        asserted: false,
    }
}

const API: ContactSource = ContactSource::Api;
const IMPORT: ContactSource = ContactSource::Import;

#[test]
fn the_latest_statement_counts_and_reaches_the_person() {
    let mut anna = Known::new();
    anna.says(10, API, consent(true, 9));
    assert_eq!((anna.agrees(), anna.said()), (true, Some(true)));
    assert_eq!(anna.contact.subscribed_at(), Some(at(9)));
    // What was said before is old news.
    anna.says(11, API, consent(false, 8));
    assert_eq!((anna.agrees(), anna.said()), (true, Some(true)));
    anna.says(12, API, consent(false, 12));
    assert_eq!((anna.agrees(), anna.said()), (false, Some(false)));
    anna.says(14, API, consent(true, 13));
    assert_eq!((anna.agrees(), anna.said()), (true, Some(true)));
    assert_eq!(anna.contact.subscribed_at(), Some(at(13)));
    // Nobody has said anything in the future.
    anna.says(15, API, consent(false, 99));
    assert_eq!(anna.contact.consent(Channel::Email).unwrap().statement.at, at(15));
}

#[test]
fn a_refusal_takes_offers_out_of_the_queues() {
    let mut anna = Known::new();
    anna.says(1, API, consent(true, 1));
    let mail = anna.mailed(2);
    let withdrawal = anna.says(3, IMPORT, consent(false, 3));
    assert_eq!(withdrawal.sending, [mail]);
    assert_eq!(withdrawal.tracking, []);
}

#[test]
fn an_import_makes_a_consent_where_nothing_was_said() {
    let mut anna = Known::new();
    anna.says(10, IMPORT, consent(true, 1));
    assert_eq!((anna.agrees(), anna.said()), (true, Some(true)));
    assert_eq!(anna.contact.consent(Channel::Email).unwrap().source, IMPORT);
    // What the shop says of the contact itself stands against a later import.
    anna.says(11, API, consent(true, 2));
    anna.says(12, IMPORT, consent(true, 12));
    assert_eq!(anna.contact.consent(Channel::Email).unwrap().source, API);
}

#[test]
fn an_import_never_lifts_a_refusal() {
    let mut anna = Known::new();
    anna.says(10, API, consent(false, 9));
    anna.says(11, IMPORT, consent(true, 11));
    assert_eq!((anna.agrees(), anna.said()), (false, Some(false)));
    // Not one that the contact's row knows nothing of either.
    let mut anna = Known::new();
    anna.order(1, "pending", 100, "EUR", &json!({ "marketing": false }));
    assert!(!anna.contact.exists());
    anna.says(11, IMPORT, consent(true, 11));
    assert_eq!(anna.said(), Some(false));
}

#[test]
fn an_import_never_brings_back_who_unsubscribed() {
    let mut anna = Known::new();
    anna.says(1, IMPORT, consent(true, 1));
    anna.unsubscribes(10);
    assert!(!anna.agrees());
    anna.says(11, IMPORT, consent(true, 11));
    assert!(!anna.agrees());
    let evidence = anna.person.said(SHOP, Purpose::Marketing);
    let suppressed = |evidence| anna.person.suppressed(SHOP, Stream::Promotional, evidence).count();
    assert_eq!(suppressed(evidence), 1);
    // Evidence of a change of mind does.
    anna.says(12, API, consent(true, 12));
    assert!(anna.agrees());
    let evidence = anna.person.said(SHOP, Purpose::Marketing);
    assert_eq!(anna.person.suppressed(SHOP, Stream::Promotional, evidence).count(), 0);
}

#[test]
fn a_bare_assertion_is_no_evidence_against_what_the_person_did() {
    let mut anna = Known::new();
    anna.says(1, API, consent(true, 1));
    anna.unsubscribes(10);
    let mut asserted = consent(true, 11);
    asserted.asserted = true;
    anna.says(11, API, asserted);
    let evidence = anna.person.said(SHOP, Purpose::Marketing);
    assert!(evidence.unwrap().asserted);
    assert_eq!(anna.person.suppressed(SHOP, Stream::Promotional, evidence).count(), 1);
}

#[test]
fn who_takes_an_unsubscription_back_agrees_again() {
    let mut anna = Known::new();
    anna.says(1, API, consent(true, 1));
    let resume = Event::PreferenceChanged(PreferenceChanged {
        message: MessageId::new(EventId::from_raw(1)),
        shop: SHOP,
        preference: Preference::ResumeOffers,
    });
    anna.tell(2, &resume);
    assert_eq!(anna.contact.consent(Channel::Email).unwrap().statement.at, at(1));
    anna.unsubscribes(10);
    anna.tell(11, &resume);
    assert!(anna.agrees());
    // Who never agreed has nothing to take back.
    let mut nobody = Known::new();
    nobody.change(1, API, ContactChange::default());
    nobody.tell(2, &resume);
    assert!(!nobody.agrees());
}

#[test]
fn channels_are_apart() {
    let mut anna = Known::new();
    let sms = ChannelConsent {
        channel: Channel::Sms,
        ..consent(true, 1)
    };
    anna.says(1, API, sms);
    assert!(anna.contact.agrees(Channel::Sms) && !anna.agrees());
    assert_eq!((anna.said(), anna.contact.subscribed_at()), (None, None));
}

#[test]
fn an_order_brings_evidence_and_refusals_but_a_bare_yes_is_its_own() {
    let stated = json!({ "granted": true, "at": at(2) });
    for (marketing, agrees) in [(json!(true), false), (stated, true)] {
        let mut anna = Known::new();
        anna.order(3, "confirmed", 100, "EUR", &json!({ "marketing": marketing }));
        assert_eq!(anna.agrees(), agrees, "{marketing}");
    }
    let mut anna = Known::new();
    anna.says(1, API, consent(true, 1));
    anna.order(3, "confirmed", 100, "EUR", &json!({ "marketing": false }));
    assert!(!anna.agrees());
}

#[test]
fn what_a_buyer_agreed_to_with_a_cart_reaches_the_person() {
    let mut anna = Known::new();
    let cart = json!({
        "customer": { "email": "anna@posta.example", "locale": "de" },
        "consent": { "marketing": { "granted": true, "at": at(1) }, "tracking": false },
        "items": [{ "sku": "boot", "title": "Boot", "quantity": 1, "unit_price": 9900 }],
        "total": { "amount": 9900, "currency": "EUR" }, "net": 8000,
        "restore_url": "https://www.scarpe.example/cart", "touched_at": at(2),
    });
    let cart: Cart = serde_json::from_value(cart).unwrap();
    anna.tell(
        5,
        &Event::CartChanged(Box::new(CartChanged {
            shop: SHOP,
            person: PERSON,
            id: "c1".try_into().unwrap(),
            cart: Some(Box::new(cart)),
            language: None,
            next: None,
            object: None,
        })),
    );
    assert!(anna.agrees());
    assert_eq!(anna.said(), Some(true));
    assert_eq!(anna.person.refused_at(SHOP, Purpose::Tracking), Some(at(2)));
    assert_eq!(anna.contact.language(), Some(Language::De));
}

#[test]
fn what_is_not_named_stays_unless_all_is_replaced() {
    let mut anna = Known::new();
    let full = ContactChange {
        name: Some("Anna".try_into().unwrap()),
        time_zone: Some("Europe/Rome".parse().unwrap()),
        fields: BTreeMap::from([
            (slug("city"), Some(FieldValue::Text("Roma".try_into().unwrap()))),
            (slug("points"), Some(FieldValue::Number(Number::new(3.0).unwrap()))),
        ]),
        join: vec![slug("readers"), slug("buyers")],
        consents: vec![consent(true, 1)],
        ..ContactChange::default()
    };
    anna.change(1, API, full);
    let some = ContactChange {
        fields: BTreeMap::from([(slug("city"), None)]),
        leave: vec![slug("buyers")],
        ..ContactChange::default()
    };
    anna.change(2, API, some);
    assert_eq!(anna.contact.name().map(|name| &**name), Some("Anna"));
    assert_eq!(anna.contact.fields().keys().collect::<Vec<_>>(), [&slug("points")]);
    assert_eq!(anna.contact.groups().iter().collect::<Vec<_>>(), [&slug("readers")]);
    let replaced = ContactChange {
        replace: true,
        name: Some("A. Rossi".try_into().unwrap()),
        ..ContactChange::default()
    };
    anna.change(3, API, replaced);
    assert_eq!(anna.contact.name().map(|name| &**name), Some("A. Rossi"));
    assert_eq!(anna.contact.zone(), None);
    assert!(anna.contact.fields().is_empty() && anna.contact.groups().is_empty());
    // Consents never are.
    assert!(anna.agrees());
    assert_eq!(anna.contact.created_at(), Some(at(1)));
}

#[test]
fn confirmed_orders_are_counted_and_summed_up_by_currency() {
    let mut anna = Known::new();
    let none = json!({});
    for status in ["pending", "cancelled", "test"] {
        anna.order(1, status, 100, "EUR", &none);
    }
    assert!(!anna.contact.exists());
    anna.order(5, "confirmed", 100, "EUR", &none);
    anna.order(3, "confirmed", 50, "EUR", &none);
    let facts = anna.contact.facts(at(9), Cause::None);
    assert_eq!((facts.orders.count, facts.orders.total), (2, Some(150)));
    assert_eq!(
        (facts.orders.first_at, facts.orders.last_at),
        (Some(at(3)), Some(at(5)))
    );
    assert_eq!(
        (facts.language, facts.email_domain),
        (Some(Language::It), "posta.example")
    );
    anna.order(6, "confirmed", 7, "USD", &none);
    assert_eq!(anna.contact.facts(at(9), Cause::None).orders.total, None);
    // What the shop says of the contact stands against what comes with orders.
    assert_eq!(anna.contact.name().map(|name| &**name), Some("Anna"));
    assert_eq!(anna.contact.zone().unwrap().to_string(), "Europe/Rome");
}

#[test]
fn the_content_of_orders_is_known_for_48_hours() {
    let mut anna = Known::new();
    anna.order(0, "confirmed", 1, "EUR", &json!({}));
    anna.order(48, "confirmed", 1, "EUR", &json!({}));
    assert_eq!(anna.contact.activity().ordered().len(), 2);
    anna.order(49, "confirmed", 1, "EUR", &json!({}));
    let times: Vec<_> = anna
        .contact
        .activity()
        .ordered()
        .iter()
        .map(|ordered| ordered.at)
        .collect();
    assert_eq!(times, [at(48), at(49)]);
}

#[test]
fn a_content_is_its_articles_whatever_their_lines() {
    let content = |lines: &[(&str, u32)]| {
        let items: Vec<Item> = lines
            .iter()
            .map(|(sku, quantity)| Item {
                sku: (*sku).try_into().unwrap(),
                title: "x".try_into().unwrap(),
                quantity: *quantity,
                unit_price: 1,
                categories: Vec::new(),
            })
            .collect();
        ContentKeys::of(&items)
    };
    let (articles, quantities) = (SameContent::Articles, SameContent::ArticlesAndQuantities);
    let same = |one: &[(&str, u32)], other: &[(&str, u32)], same| content(one).is_same(content(other), same);
    assert!(same(&[("a", 1), ("b", 2)], &[("b", 2), ("a", 1)], quantities));
    assert!(same(&[("a", 2), ("b", 1), ("a", 1)], &[("a", 3), ("b", 1)], quantities));
    assert!(same(&[("a", 1)], &[("a", 2)], articles));
    assert!(!same(&[("a", 1)], &[("a", 2)], quantities));
    assert!(!same(&[("a", 1)], &[("a", 1), ("b", 1)], articles));
    assert!(!same(&[("ab", 1)], &[("a", 1), ("b", 1)], articles));
    assert!(!same(&[], &[], articles));
}

#[test]
fn the_last_five_mails_are_those_at_the_moment_of_the_open() {
    let mut anna = Known::new();
    let mails: Vec<_> = (0..8).map(|hour| MessageId::new(anna.mint.mint(at(hour)))).collect();
    for message in mails.iter().chain(&mails) {
        anna.contact.sent(MailSent {
            message: *message,
            template: None,
        });
    }
    let activity = anna.contact.activity();
    let last_five = |hour| {
        mails
            .iter()
            .filter(|mail| activity.is_of_last_five(**mail, at(hour)))
            .count()
    };
    assert_eq!(last_five(9), 5);
    assert!(activity.is_of_last_five(mails[3], at(9)) && !activity.is_of_last_five(mails[2], at(9)));
    // Opened before the last two went out, judged after.
    assert!(activity.is_of_last_five(mails[1], at(5)));
    assert_eq!(activity.last_sent_at(), Some(at(7)));
}

#[test]
fn the_last_open_and_click_are_the_latest() {
    let mut anna = Known::new();
    anna.contact.engaged(HitKind::Open, at(5));
    anna.contact.engaged(HitKind::Open, at(3));
    anna.contact.engaged(HitKind::Click, at(4));
    let activity = anna.contact.activity();
    assert_eq!(activity.last_opened_at(), Some(at(5)));
    assert_eq!(activity.last_clicked_at(), Some(at(4)));
}

#[test]
fn open_carts_are_known_until_they_are_closed() {
    let mut anna = Known::new();
    let cart = EventId::from_raw;
    for number in [1, 2, 1] {
        anna.contact.cart_touched(cart(number));
    }
    anna.contact.cart_closed(cart(1));
    assert_eq!(anna.contact.carts(), [cart(2)]);
    (10..60).for_each(|number| anna.contact.cart_touched(cart(number)));
    assert_eq!(anna.contact.carts().len(), policy::contact::CARTS_MAX);
}

#[test]
fn a_reported_event_makes_a_contact() {
    let mut anna = Known::new();
    anna.tell(
        1,
        &Event::EventReported(Box::new(EventReported {
            shop: SHOP,
            person: PERSON,
            email: "anna@posta.example".to_owned().try_into().unwrap(),
            name: slug("quiz"),
            at: at(1),
            key: None,
            properties: BTreeMap::new(),
            claims: Vec::new(),
        })),
    );
    assert!(anna.contact.exists() && !anna.agrees());
}

#[test]
fn how_a_contact_stands_with_a_workflow_follows_its_records() {
    let mut anna = Known::new();
    let waits = |step: Option<&str>, on| {
        Place::Waits(Waits {
            step: step.map(slug),
            on,
            due: Some(at(9)),
            base: at(1),
            zone: types::calendar::Zone::UTC,
        })
    };
    let mut moved = |hour, instance, cause, did, place| {
        let moved = Moved {
            shop: SHOP,
            workflow: WorkflowNumber(3),
            version: 1,
            person: PERSON,
            instance,
            epoch: 1,
            cause,
            key: Some("k".try_into().unwrap()),
            did,
            place,
        };
        anna.tell(hour, &Event::Moved(Box::new(moved)));
        anna.contact.clone()
    };
    let armed = moved(
        1,
        None,
        MoveCause::Activation(17),
        Vec::new(),
        waits(None, WaitsOn::Start),
    );
    let (workflow, live) = armed.live().next().unwrap();
    let instance = live.instance;
    assert_eq!((workflow, live.stage), (WorkflowNumber(3), Stage::Armed));
    let enrolment = armed.enrolment(workflow).unwrap();
    assert_eq!((enrolment.entries, enrolment.activation), (0, 17));
    assert!(!enrolment.is_inside() && enrolment.keys.is_empty());

    let did = vec![
        Did::Entered,
        Did::Grouped {
            step: None,
            join: Some(slug("done")),
            leave: None,
        },
    ];
    let inside = moved(
        9,
        Some(instance),
        MoveCause::Timer(at(8)),
        did,
        waits(Some("s"), WaitsOn::Time),
    );
    let enrolment = inside.enrolment(workflow).unwrap();
    assert_eq!((enrolment.entries, enrolment.entered_at), (1, Some(at(8))));
    assert!(enrolment.is_inside() && inside.groups().contains(&slug("done")));

    let left = moved(
        10,
        Some(instance),
        MoveCause::Timer(at(9)),
        Vec::new(),
        Place::Left(Leave::Finished),
    );
    let enrolment = left.enrolment(workflow).unwrap();
    assert_eq!((enrolment.left_at, enrolment.keys.len()), (Some(at(10)), 1));
    assert_eq!(left.live().count(), 0);
}

proptest! {
    /// The order in which statements of different times arrive does not matter, as long as none is an import's.
    #[test]
    fn the_latest_statement_wins_in_whatever_order_they_come(
        mut said in prop::collection::btree_map(1..50_u64, any::<bool>(), 1..8).prop_map(|map| map.into_iter().collect::<Vec<_>>()),
        seed in any::<prop::sample::Index>(),
    ) {
        let last = said.last().unwrap().1;
        let turn = seed.index(said.len());
        said.rotate_left(turn);
        let mut anna = Known::new();
        for (hour, granted) in said {
            anna.says(60, API, consent(granted, hour));
        }
        prop_assert_eq!(anna.agrees(), last);
        prop_assert_eq!(anna.said(), Some(last));
    }
}
