//! The table of events and its pages: each public name is told as `docs/formats/events.md` says, nothing about a person is in any
//! of them, each payload has its line in `docs/formats/journal.md`.

#![allow(
    unreachable_pub,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "tests state expectations"
)]

use std::collections::BTreeSet;
use std::fs;
use std::net::IpAddr;

use serde_json::{Value, json};
use types::cart::Reminder;
use types::catalogue::Catalogue;
use types::contact::{Channel, ChannelConsent, ContactChange, ContactSource, FieldValue};
use types::event::{
    AgentClass, AggregateCounted, AggregateHit, AttemptClaimed, AttemptEnded, CartChanged, CartDecided, CartReason,
    CartVerdict, CatalogueChanged, Claim, Clicked, ContactChanged, Decided, Did, Event, EventError, EventReported,
    EvidenceGrade, FailureClass, HitClass, HitKind, HitReason, HitVerdict, Judged, Landed, LandingVia, LeadClaim,
    LeadDecided, LeadOutcome, LeadRefusal, LeadSettled, LeadVerdict, Leave, MessageAccepted, MoveCause, Moved,
    NextReminder, Notice, Offer, Opened, OrderAccepted, Outcome, PersonErased, Place, Plan, Preference,
    PreferenceChanged, Recovery, Refusal, Round, SetAside, Suppressed, SuppressionCause, SuppressionChanged, Swept,
    Telling, Tracking, UnsubscribeScope, Unsubscribed, UnsubscribedBy, Verdict, Viewer, Visit, VoidReason, WaitEnded,
    Waits, WaitsOn, WebhookEnded,
};
use types::id::{
    Attempt, CampaignNumber, EventId, LeadId, MessageId, PartitionId, PersonKey, PublicId, ShopNumber, VisitorKey,
    WorkflowNumber,
};
use types::network::Network;
use types::order::Stream;
use types::text::Slug;
use types::time::Timestamp;

const SHOP: ShopNumber = ShopNumber(1);
const ADVERTISER: ShopNumber = ShopNumber(2);
const CAMPAIGN: CampaignNumber = CampaignNumber(1);
const PERSON: PersonKey = PersonKey::from_bytes(*b"0123456789abcdef");
const VISITOR: VisitorKey = VisitorKey::from_bytes(*b"fedcba9876543210");

fn slug(text: &str) -> Slug {
    text.try_into().unwrap()
}

fn message() -> MessageId {
    MessageId::from_raw(0x0380_0000_0000_2000)
}

fn catalogue() -> Catalogue {
    let mut catalogue = Catalogue::default();
    for id in ["scarpe-roma", "vini-toscani"] {
        let spec = json!({
            "name": id,
            "url": "https://shop.example/",
            "promotional": {"address": "ciao@offerte.example"},
            "language": "it",
            "country": "IT",
            "postal_address": "Via Roma 1, 00100 Roma",
        });
        let spec = serde_json::from_value(spec).unwrap();
        catalogue.apply(&CatalogueChanged::ShopPut { id: slug(id), spec }, Timestamp::default());
    }
    let spec = json!({
        "advertiser": "vini-toscani",
        "price": {"amount": 90, "currency": "EUR"},
        "landing_url": "https://vini.example/?c={click_id}",
        "creatives": {"it": {"title": "Vino", "text": "Buono", "button": "Apri"}},
    });
    let change = CatalogueChanged::CampaignPut {
        id: slug("vino-rosso"),
        spec: serde_json::from_value(spec).unwrap(),
    };
    catalogue.apply(&change, Timestamp::default());
    let spec = json!({"name": "Welcome", "start": {"on": "subscription"}});
    let change = CatalogueChanged::WorkflowPut {
        shop: SHOP,
        id: slug("welcome"),
        spec: Box::new(serde_json::from_value(spec).unwrap()),
    };
    catalogue.apply(&change, Timestamp::default());
    catalogue
}

fn raw(id: u64) -> EventId {
    EventId::from_raw(id)
}

fn ended(outcome: Outcome) -> Event {
    Event::AttemptEnded(Box::new(AttemptEnded {
        message: message(),
        attempt: Attempt(1),
        outcome,
        reply: "250 2.1.5 <mario.rossi@example.it> Ok".try_into().unwrap(),
        peer: "gmail-smtp-in.l.google.com 192.0.2.25".try_into().unwrap(),
        tls: None,
    }))
}

fn accepted() -> [Event; 2] {
    let claim = Claim {
        name: [1; 16],
        body: [2; 16],
    };
    let order = json!({
        "order_id": "rossi-100045",
        "placed_at": "2026-11-21T20:15:00Z",
        "status": "confirmed",
        "customer": {"email": "mario.rossi@example.it", "name": "Mario Rossi"},
        "total": {"amount": 5990, "currency": "EUR"},
    });
    let request = json!({
        "stream": "transactional",
        "to": {"email": "mario.rossi@example.it", "name": "Mario Rossi"},
        "body": {"content": {"subject": "Ciao Mario Rossi", "text": "Ciao"}},
    });
    [
        Event::OrderAccepted(Box::new(OrderAccepted {
            shop: SHOP,
            person: PERSON,
            order: serde_json::from_value(order).unwrap(),
            claims: vec![claim],
        })),
        Event::MessageAccepted(Box::new(MessageAccepted {
            shop: SHOP,
            person: PERSON,
            request: serde_json::from_value(request).unwrap(),
            claims: vec![claim],
            origin: None,
        })),
    ]
}

fn decided(verdict: Verdict) -> Event {
    Event::Decided(Box::new(Decided {
        cause: raw(0x0380_0000_0000_1000),
        shop: SHOP,
        person: PERSON,
        verdict,
    }))
}

fn plan() -> Plan {
    Plan {
        message: message(),
        stream: Stream::Promotional,
        language: serde_json::from_value(json!("it")).unwrap(),
        catalogue: 3,
        date: Timestamp::from_millis(1_795_291_200_000),
        expires: Timestamp::from_millis(1_795_377_600_000),
        tracking: Tracking::Individual,
        offers: vec![Offer {
            campaign: CAMPAIGN,
            id: slug("vino-rosso"),
            price: serde_json::from_value(json!({"amount": 90, "currency": "EUR"})).unwrap(),
            expected_value: 900_000,
            propensity: 1_000_000,
            explored: false,
        }],
        late: false,
        test: false,
        template: Some(slug("dopo-ordine")),
    }
}

fn network() -> Network {
    Network::of(IpAddr::from([198, 51, 100, 7]))
}

fn lead_decided(verdict: LeadVerdict) -> Event {
    Event::LeadDecided(Box::new(LeadDecided {
        message: message(),
        shop: SHOP,
        campaign: CAMPAIGN,
        advertiser: ADVERTISER,
        click: raw(0x0380_0000_0000_2800),
        landing: raw(0x0380_0000_0000_2900),
        verdict,
    }))
}

fn lead_settled(outcome: LeadOutcome) -> Event {
    Event::LeadSettled(LeadSettled {
        lead: LeadId::new(ADVERTISER, &VISITOR, 0),
        message: message(),
        shop: SHOP,
        campaign: CAMPAIGN,
        advertiser: ADVERTISER,
        claimed: raw(0x0380_0000_0000_2a00),
        outcome,
    })
}

fn suppression(cause: Option<SuppressionCause>) -> Event {
    Event::SuppressionChanged(SuppressionChanged {
        person: PERSON,
        shop: Some(SHOP),
        stream: Some(Stream::Promotional),
        cause,
    })
}

fn aggregate() -> Event {
    let hit = |shop, campaign, kind, count| AggregateHit {
        shop,
        campaign,
        kind,
        class: HitClass::Human,
        count,
    };
    Event::AggregateCounted(AggregateCounted {
        hits: vec![
            hit(SHOP, None, HitKind::Open, 12),
            hit(SHOP, Some(CAMPAIGN), HitKind::Click, 2),
            hit(ADVERTISER, None, HitKind::Open, 5),
        ],
    })
}

/// One event of each type, in the order of the page.
fn examples() -> Vec<Event> {
    let [order, plain] = accepted();
    let class = FailureClass::Greylisted;
    let until = Timestamp::from_millis(1_795_291_500_000);
    vec![
        order,
        plain,
        decided(Verdict::Send(plan())),
        decided(Verdict::Refuse(vec![Refusal::NoMarketingConsent])),
        ended(Outcome::Delivered),
        ended(Outcome::Deferred { until, class }),
        ended(Outcome::Failed {
            class: FailureClass::BadMailbox,
        }),
        ended(Outcome::InDoubt { retry: Some(until) }),
        ended(Outcome::Expired),
        ended(Outcome::Withdrawn),
        suppression(Some(SuppressionCause::Manual)),
        suppression(None),
        Event::Unsubscribed(Unsubscribed {
            message: message(),
            shop: SHOP,
            scope: UnsubscribeScope::Shop,
            by: UnsubscribedBy::OneClick,
        }),
        Event::PreferenceChanged(PreferenceChanged {
            message: message(),
            shop: SHOP,
            preference: Preference::StopTracking,
        }),
        Event::PersonErased(PersonErased {
            person: PERSON,
            shop: Some(SHOP),
        }),
        Event::Opened(Opened {
            message: message(),
            shop: SHOP,
            agent: AgentClass::GmailProxy,
            network: Some(network()),
            visit: Visit::Real,
            suspect: false,
        }),
        Event::Clicked(Clicked {
            message: message(),
            shop: SHOP,
            campaign: CAMPAIGN,
            slot: 0,
            agent: AgentClass::Client,
            click: Some(raw(0x0380_0000_0000_2800)),
            network: Some(network()),
            visit: Visit::Real,
            suspect: false,
            untrusted: false,
        }),
        Event::Judged(Box::new(Judged {
            message: message(),
            shop: SHOP,
            rules: 1,
            hits: vec![HitVerdict {
                hit: raw(0x0380_0000_0000_2700),
                round: Round::Provisional,
                class: HitClass::Scanner,
                reasons: vec![HitReason::TooSoon, HitReason::Burst],
            }],
        })),
        aggregate(),
        Event::Landed(Box::new(Landed {
            click: raw(0x0380_0000_0000_2800),
            message: message(),
            shop: SHOP,
            campaign: CAMPAIGN,
            via: LandingVia::Snippet,
            new_visitor: Some(true),
            proven: true,
            network: Some(network()),
            agent: AgentClass::Client,
        })),
        lead_decided(LeadVerdict::Claimed(LeadClaim {
            lead: LeadId::new(ADVERTISER, &VISITOR, 0),
            visitor: VISITOR,
            generation: 0,
            price: serde_json::from_value(json!({"amount": 90, "currency": "EUR"})).unwrap(),
            evidence: EvidenceGrade::HistoryAndBrowser,
        })),
        lead_decided(LeadVerdict::Refused(LeadRefusal::VisitedBefore)),
        lead_settled(LeadOutcome::Confirmed),
        lead_settled(LeadOutcome::Voided(VoidReason::Machine)),
    ]
    .into_iter()
    .chain(contacts_and_carts())
    .chain(moves())
    .collect()
}

fn contacts_and_carts() -> Vec<Event> {
    let email: types::address::EmailAddress = "mario.rossi@example.it".try_into().unwrap();
    let statement =
        json!({"granted": true, "at": "2026-11-21T19:00:00Z", "text": "v3", "source": "Mario Rossi's form"});
    let change = ContactChange {
        name: Some("Mario Rossi".try_into().unwrap()),
        phone: Some("+390612345678".try_into().unwrap()),
        fields: [(slug("birthday"), Some(FieldValue::Text("rossi".try_into().unwrap())))].into(),
        join: vec![slug("newsletter")],
        leave: vec![slug("prospects")],
        consents: vec![ChannelConsent {
            channel: Channel::Email,
            statement: serde_json::from_value(statement).unwrap(),
            asserted: false,
        }],
        ..ContactChange::default()
    };
    let cart = json!({
        "customer": {"email": "mario.rossi@example.it", "name": "Mario Rossi"},
        "items": [{"sku": "A1", "title": "Scarpe", "quantity": 1, "unit_price": 5990}],
        "total": {"amount": 5990, "currency": "EUR"}, "net": 4910, "payment": "waiting",
        "restore_url": "https://shop.example/cart/rossi",
    });
    let object = raw(0x0380_0000_0000_2400);
    let due = Timestamp::from_millis(1_795_294_800_000);
    let decided = |verdict| {
        Event::CartDecided(Box::new(CartDecided {
            shop: SHOP,
            person: PERSON,
            cart: object,
            due: Some(due),
            verdict,
            next: None,
        }))
    };
    let total = serde_json::from_value(json!({"amount": 5990, "currency": "EUR"})).unwrap();
    vec![
        Event::ContactChanged(Box::new(ContactChanged {
            shop: SHOP,
            person: PERSON,
            email: email.clone(),
            source: ContactSource::Api,
            change,
        })),
        Event::EventReported(Box::new(EventReported {
            shop: SHOP,
            person: PERSON,
            email,
            name: slug("booking"),
            at: Timestamp::from_millis(1_795_291_140_000),
            key: Some("rossi-7".try_into().unwrap()),
            properties: [(slug("guest"), FieldValue::Text("Rossi".try_into().unwrap()))].into(),
            claims: Vec::new(),
        })),
        Event::CartChanged(Box::new(CartChanged {
            shop: SHOP,
            person: PERSON,
            id: "rossi-cart".try_into().unwrap(),
            cart: Some(Box::new(serde_json::from_value(cart).unwrap())),
            language: None,
            next: Some(NextReminder {
                reminder: Reminder::First,
                due,
            }),
            object: Some(object),
        })),
        decided(CartVerdict::Reminded {
            reminder: Reminder::First,
            accepted: raw(0x0380_0000_0000_1000),
            message: message(),
            test: false,
        }),
        decided(CartVerdict::Suppressed {
            reminder: Reminder::Second,
            reasons: vec![CartReason::SeveralCarts, CartReason::Refused],
            refusals: vec![Refusal::NoMarketingConsent],
        }),
        decided(CartVerdict::WouldRemind {
            reminder: Reminder::First,
        }),
        decided(CartVerdict::Ordered {
            order: raw(0x0380_0000_0000_1000),
            total,
            recovery: Recovery::Recovered,
        }),
    ]
}

/// An instance that enters, goes on and leaves.
fn moves() -> Vec<Event> {
    let moved = |instance, cause, did, place| {
        Event::Moved(Box::new(Moved {
            shop: SHOP,
            workflow: WorkflowNumber(1),
            version: 2,
            person: PERSON,
            instance,
            epoch: 1,
            cause,
            key: Some("rossi-7".try_into().unwrap()),
            did,
            place,
        }))
    };
    let at = Timestamp::from_millis;
    let waits = |step: &str, on, due| {
        Place::Waits(Waits {
            step: Some(slug(step)),
            on,
            due: Some(due),
            base: due,
            zone: "Europe/Rome".parse().unwrap(),
        })
    };
    let sent = Did::Sent {
        step: slug("hello"),
        accepted: raw(0x0380_0000_0000_1000),
        message: message(),
        moment: None,
    };
    let reached = |step: &str| Did::Reached { step: slug(step) };
    let instance = Some(raw(0x0380_0000_0000_2400));
    vec![
        moved(
            None,
            MoveCause::Event(raw(0x0380_0000_0000_2400)),
            vec![Did::Entered, reached("hello"), sent, reached("rest")],
            waits("rest", WaitsOn::Time, at(1_795_550_400_000)),
        ),
        moved(
            instance,
            MoveCause::Timer(at(1_795_291_200_000)),
            vec![
                Did::Waited {
                    step: slug("rest"),
                    ended: WaitEnded::Elapsed,
                },
                reached("reminder"),
                Did::Delayed {
                    step: slug("reminder"),
                    until: at(1_795_330_800_000),
                    rules: vec!["quiet".try_into().unwrap()],
                },
            ],
            waits("reminder", WaitsOn::Slot, at(1_795_330_800_000)),
        ),
        moved(
            instance,
            MoveCause::Timer(at(1_795_291_200_000)),
            vec![Did::Suppressed {
                step: slug("reminder"),
                reason: Suppressed::Refused,
                refusals: vec![Refusal::ConsentWithdrawn],
            }],
            Place::Left(Leave::NoConsent),
        ),
    ]
}

/// Tells an event as the operator sees it, or a shop. Whose mail was attempted is looked up by who asks.
fn seen(event: &Event, viewer: Viewer) -> Option<Notice> {
    let about = event.about();
    let telling = Telling {
        id: PublicId {
            partition: PartitionId::new(77).unwrap(),
            event: raw(0x0380_0000_0000_3000),
        },
        at: Timestamp::from_millis(1_795_291_200_000),
        shop: about.shop.or(about.is_looked_up().then_some(SHOP)),
        catalogue: &catalogue(),
        viewer,
    };
    Notice::of(event, &telling)
}

fn tell(event: &Event) -> Option<Notice> {
    seen(event, Viewer::Operator)
}

#[test]
fn each_type_is_told_as_the_page_says() {
    let page = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/formats/events.md")).unwrap();
    let told: Vec<Value> = page
        .split("```json\n")
        .skip(1)
        .map(|block| serde_json::from_str(block.split("```").next().unwrap()).unwrap())
        .collect();
    let expected: Vec<_> = examples().iter().map(|event| tell(event).unwrap()).collect();
    for (n, notice) in expected.iter().enumerate() {
        let json = serde_json::to_value(notice).unwrap();
        assert_eq!(json["type"], notice.name);
        assert_eq!(told.get(n), Some(&json), "{}", serde_json::to_string(notice).unwrap());
    }
    assert_eq!(told.len(), expected.len());
}

#[test]
fn nothing_about_a_person_is_told() {
    for event in examples() {
        let json = serde_json::to_string(&tell(&event).unwrap()).unwrap().to_lowercase();
        for secret in [
            "rossi",
            "mario",
            "@",
            "192.0.2",
            "198.51",
            "person",
            "visitor\":\"",
            "0123456789",
            "fedcba",
        ] {
            // The one type that is named for what was erased.
            assert!(!json.replace("person.erased", "").contains(secret), "{secret}: {json}");
        }
    }
}

/// One event of each kind that the outside does not see.
fn silent() -> Vec<Event> {
    let id = slug("scarpe-roma");
    vec![
        Event::AttemptClaimed(AttemptClaimed {
            message: message(),
            attempt: Attempt(1),
        }),
        Event::CatalogueChanged(Box::new(CatalogueChanged::ShopDeleted { id })),
        Event::WebhookEnded(WebhookEnded {
            instance: raw(0x0380_0000_0000_2400),
            epoch: 1,
            status: Some(200),
        }),
        Event::Swept(Swept {
            shop: SHOP,
            workflow: WorkflowNumber(1),
            activation: 1,
            entered: 0,
        }),
        Event::SetAside(Box::new(SetAside {
            shop: Some(SHOP),
            object: raw(0x0380_0000_0000_2400),
            due: None,
            fault: "a template of Mario Rossi's is gone".try_into().unwrap(),
            tries: 3,
        })),
    ]
}

#[test]
fn every_name_of_the_table_has_an_example_and_every_event_one_of_its_names() {
    let all: Vec<Event> = examples().into_iter().chain(silent()).collect();
    let mut shown = BTreeSet::new();
    for event in &all {
        let line = Event::TABLE.iter().find(|line| line.kind == event.kind()).unwrap();
        assert!(
            line.names.contains(&event.name()),
            "{} is none of {:?}",
            event.name(),
            line.names
        );
        assert_eq!(line.is_public, tell(event).is_some(), "{}", event.name());
        assert_eq!(line.is_public, event.is_public(), "{}", event.name());
        assert!(
            event
                .sentence()
                .ends_with(|end: char| end == '.' || end.is_ascii_alphanumeric()),
            "{event:?}"
        );
        shown.insert(event.name());
    }
    let named: BTreeSet<_> = Event::TABLE
        .iter()
        .flat_map(|line| line.names.iter().copied())
        .collect();
    assert_eq!(shown, named);
    let lines = Event::TABLE.iter().map(|line| line.names.len());
    assert_eq!(named.len(), lines.sum::<usize>(), "no name stands twice");
    let public: BTreeSet<_> = examples().iter().map(Event::name).collect();
    assert_eq!(Event::public_names().collect::<BTreeSet<_>>(), public);
}

#[test]
fn kinds_are_numbered_without_gaps_and_survive_their_bytes() {
    let kinds: Vec<_> = Event::TABLE.iter().map(|line| line.kind).collect();
    assert_eq!(kinds, (1..=kinds.len() as u16).collect::<Vec<_>>());
    for event in examples().into_iter().chain(silent()) {
        let mut payload = Vec::new();
        event.encode(&mut payload);
        assert_eq!(Event::decode(event.kind(), &payload).unwrap(), event);
    }
    let unknown = kinds.len() as u16 + 1;
    assert!(matches!(Event::decode(unknown, &[0xa0]), Err(EventError::UnknownKind(kind)) if kind == unknown));
}

#[test]
fn each_payload_has_its_line_in_the_journals_page() {
    let page = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/formats/journal.md")).unwrap();
    for line in Event::TABLE {
        let row = format!("| {} | `{}` |", line.kind, line.payload);
        assert!(
            page.contains(&row),
            "docs/formats/journal.md has no line that begins with {row}"
        );
    }
}

#[test]
fn a_shop_sees_its_own_and_an_advertiser_what_it_pays_for() {
    let (own, advertiser, other) = (
        Viewer::Shop(SHOP),
        Viewer::Shop(ADVERTISER),
        Viewer::Shop(ShopNumber(3)),
    );
    let open = examples().swap_remove(15);
    assert_eq!(seen(&open, own), tell(&open));
    assert_eq!(seen(&open, advertiser), None);
    let lead = lead_settled(LeadOutcome::Confirmed);
    assert_eq!(seen(&lead, own), tell(&lead));
    let told = seen(&lead, advertiser).unwrap();
    assert_eq!(
        (told.message, Some(told.what)),
        (None, tell(&lead).map(|notice| notice.what))
    );
    assert_eq!(seen(&lead, other), None);
    let voided = lead_settled(LeadOutcome::Voided(VoidReason::KnownToSite));
    let refused = lead_decided(LeadVerdict::Refused(LeadRefusal::VisitedBefore));
    let reason = |event, viewer| serde_json::to_value(seen(event, viewer).unwrap()).unwrap()["reason"].clone();
    for (event, why) in [(&voided, "known_to_site"), (&refused, "visited_before")] {
        assert_eq!(reason(event, advertiser), json!(why));
        assert_eq!(reason(event, Viewer::Operator), json!(why));
        assert_eq!(
            reason(event, own),
            json!(null),
            "what a customer did elsewhere is not the shop's to know"
        );
    }
    let sums = serde_json::to_value(seen(&aggregate(), advertiser).unwrap()).unwrap();
    assert_eq!(sums["hits"].as_array().unwrap().len(), 1);
    assert_eq!(
        (&sums["hits"][0]["count"], &sums["shop"]),
        (&json!(5), &json!("vini-toscani"))
    );
    assert_eq!(seen(&aggregate(), other), None);
    let landing = examples().swap_remove(19);
    assert_eq!(seen(&landing, advertiser).unwrap().message, None);
    assert_eq!(seen(&landing, other), None);
}
