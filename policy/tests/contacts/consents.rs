//! What a contact said about each channel, who may say so, and what of it reaches the person.

use policy::person::Purpose;
use proptest::prelude::*;
use serde_json::json;
use types::cart::Cart;
use types::contact::{Channel, ChannelConsent, ContactChange};
use types::event::{CartChanged, Event, Preference, PreferenceChanged};
use types::id::{EventId, MessageId};
use types::locale::Language;
use types::order::Stream;

use crate::known::{API, IMPORT, Known, PERSON, SHOP, at, consent};

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
    assert_eq!(anna.contact.profile().language(), Some(Language::De));
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
