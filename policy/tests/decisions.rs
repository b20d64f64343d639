//! The tables under `cases/`: what is decided on orders and plain messages.

#![allow(clippy::unwrap_used, reason = "a test states its expectations by unwrapping")]

mod fixture;

use fixture::{Case, Person, consent, read, shop};
use policy::offers::Candidates;
use policy::{Decision, MessageFacts, OrderFacts, Settings, decide_message, decide_order};
use rand::SeedableRng;
use types::event::Tracking;
use types::order::{Body, Content, MessageRequest, Stream};

/// Compares a decision with what the case expects.
fn check(case: &Case, decision: &Decision) {
    let name = &case.name;
    let codes = match decision {
        Decision::Send(_) => Vec::new(),
        Decision::Refuse(reasons) => reasons.iter().map(|reason| reason.code()).collect(),
    };
    assert_eq!(codes, case.expect, "{name}");
    let Decision::Send(draft) = decision else {
        assert!(!codes.is_empty(), "{name}: a refusal has a reason");
        return;
    };
    for trait_ in &case.mail {
        let holds = match trait_.as_str() {
            "individual" => draft.tracking == Tracking::Individual,
            "aggregate" => draft.tracking == Tracking::Aggregate,
            "late" => draft.late,
            "test" => draft.test,
            "no_test" => !draft.test,
            other => panic!("{name}: unknown trait {other}"),
        };
        assert!(holds, "{name}: {trait_} in {draft:?}");
    }
    if let Some(life) = &case.life {
        assert_eq!(draft.expires, fixture::ahead(life), "{name}");
    }
}

fn settings(case: &Case) -> Settings {
    let mut settings = Settings::default();
    settings.frequency.gap_min = types::setting::duration(&case.gap).unwrap();
    settings
}

#[test]
fn orders_are_decided_as_the_table_says() {
    let cases = read("orders.toml");
    assert!(cases.len() > 70);
    for case in cases {
        let shop = shop(&case);
        let campaigns = if case.campaigns {
            vec![fixture::campaign("a", "vini")]
        } else {
            Vec::new()
        };
        let catalogue = fixture::catalogue(&shop, campaigns);
        let placed_at = fixture::ago(&case.placed);
        let order = fixture::order(&case, placed_at);
        let mut person = Person::with(&case.before);
        person.accept_order(&order);
        let decision = decide_order(
            &OrderFacts {
                order: &order,
                accepted_at: fixture::now(),
                shop: &shop,
                candidates: &Candidates::of(&catalogue, &shop),
                person: &person.state,
                selections: &|_| 0,
                settings: &settings(&case),
            },
            fixture::now(),
            &mut rand::rngs::StdRng::seed_from_u64(1),
        );
        check(&case, &decision);
    }
}

#[test]
fn plain_messages_are_decided_as_the_table_says() {
    for case in read("messages.toml") {
        let shop = shop(&case);
        let request = MessageRequest {
            to: fixture::customer(case.to.as_deref()),
            stream: case.stream.unwrap_or(Stream::Transactional),
            body: Body::Content(Content {
                subject: "Ciao".try_into().unwrap(),
                text: Some("Ciao".to_owned()),
                html: None,
            }),
            consent: consent(
                case.marketing.as_deref().unwrap_or("none"),
                case.tracking.as_deref().unwrap_or("none"),
            ),
            expires_at: case.expires.as_deref().map(fixture::ahead),
        };
        let mut person = Person::with(&case.before);
        person.accept_message(&request);
        let decision = decide_message(
            &MessageFacts {
                request: &request,
                origin: None,
                accepted_at: fixture::now(),
                shop: &shop,
                catalogue: 7,
                person: &person.state,
                settings: &settings(&case),
            },
            fixture::now(),
        );
        check(&case, &decision);
    }
}
