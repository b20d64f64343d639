//! What else a shop knows of a contact: fields, orders, mails, carts, workflows.

use std::collections::BTreeMap;

use policy::contact::{ContentKeys, MailSent, Stage};
use policy::filter::Cause;
use serde_json::json;
use types::cart::SameContent;
use types::contact::{ContactChange, FieldValue, Number};
use types::event::{Did, Event, EventReported, HitKind, Leave, MoveCause, Moved, Place, Waits, WaitsOn};
use types::id::{EventId, MessageId, WorkflowNumber};
use types::locale::Language;
use types::order::Item;

use crate::known::{API, Known, PERSON, SHOP, at, consent, slug};

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
    assert_eq!(anna.contact.profile().name.map(|name| &**name), Some("Anna"));
    assert_eq!(anna.contact.fields().keys().collect::<Vec<_>>(), [&slug("points")]);
    assert_eq!(anna.contact.groups().iter().collect::<Vec<_>>(), [&slug("readers")]);
    let replaced = ContactChange {
        replace: true,
        name: Some("A. Rossi".try_into().unwrap()),
        ..ContactChange::default()
    };
    anna.change(3, API, replaced);
    assert_eq!(anna.contact.profile().name.map(|name| &**name), Some("A. Rossi"));
    assert_eq!(anna.contact.profile().zone, None);
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
    assert_eq!(anna.contact.profile().name.map(|name| &**name), Some("Anna"));
    assert_eq!(anna.contact.profile().zone.unwrap().to_string(), "Europe/Rome");
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
    let (workflow, live) = armed.enrolments().live().next().unwrap();
    let instance = live.instance;
    assert_eq!((workflow, live.stage), (WorkflowNumber(3), Stage::Armed));
    let enrolment = armed.enrolments().of(workflow).unwrap();
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
    let enrolment = inside.enrolments().of(workflow).unwrap();
    assert_eq!((enrolment.entries, enrolment.entered_at), (1, Some(at(8))));
    assert!(enrolment.is_inside() && inside.groups().contains(&slug("done")));

    let left = moved(
        10,
        Some(instance),
        MoveCause::Timer(at(9)),
        Vec::new(),
        Place::Left(Leave::Finished),
    );
    let enrolment = left.enrolments().of(workflow).unwrap();
    assert_eq!((enrolment.left_at, enrolment.keys.len()), (Some(at(10)), 1));
    assert_eq!(left.enrolments().live().count(), 0);
}
