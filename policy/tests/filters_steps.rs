//! What answers cost in steps: counted by what is read, the same each time, and bounded.

#![allow(clippy::unwrap_used, reason = "a test states its expectations by unwrapping")]

mod filter_fixture;

use filter_fixture::{Contact, schema, slug};
use policy::filter::{Filter, FilterError, STEPS_MAX, Scope, Steps};
use types::contact::FieldValue;

/// Returns a contact whose name and city are that long.
fn with_texts(name: usize, city: usize) -> Contact {
    let mut contact = Contact::anna();
    for (field, length) in [("name", name), ("city", city)] {
        let text = "a".repeat(length).as_str().try_into().unwrap();
        contact.fields.insert(slug(field), FieldValue::Text(text));
    }
    contact
}

/// Answers a filter, and expects that it costs so many steps, as often as it is asked.
fn check(source: &str, contact: &Contact, expected: u64) {
    let filter = Filter::compile(source, &schema(), Scope::Contact).unwrap();
    for _ in 0..2 {
        let steps = Steps::of(1_000_000);
        filter.matches_within(&contact.facts(Scope::Contact), &steps).unwrap();
        assert_eq!(steps.taken(), expected, "{source}");
    }
}

#[test]
fn a_step_is_a_node_that_was_evaluated_or_a_byte_that_was_read() {
    let contact = with_texts(1_000, 400);
    check("1 < 2", &contact, 3);
    check("1 < 2 || 1 < 2", &contact, 4);
    check("1 < 2 && 1 < 2", &contact, 7);
    check("fields.name.contains(fields.city)", &contact, 3 + 1_400);
    check("fields.name.startsWith(fields.city)", &contact, 3 + 400);
    check("fields.name == fields.city", &contact, 3 + 400);
    check("size(fields.name) > 3", &contact, 4 + 1_000);
    check("fields.name in [\"a\", \"b\"]", &contact, 2 + 1_000);
    check("fields.name in [\"a\", fields.city]", &contact, 4 + 1 + 400);
}

#[test]
fn filters_that_share_a_budget_fail_from_where_it_is_spent() {
    let contact = with_texts(1_000, 499);
    let source = ["fields.name.contains(fields.city)"; 10].join(" && ");
    let filter = Filter::compile(&source, &schema(), Scope::Contact).unwrap();
    let one = Steps::default();
    assert_eq!(filter.matches_within(&contact.facts(Scope::Contact), &one), Ok(true));
    let all = Steps::default();
    let answers = (0..=STEPS_MAX / one.taken()).map(|_| filter.matches_within(&contact.facts(Scope::Contact), &all));
    let answers: Vec<_> = answers.collect();
    let (last, before) = answers.split_last().unwrap();
    assert!(before.iter().all(|answer| *answer == Ok(true)));
    assert_eq!(*last, Err(FilterError::Spent(STEPS_MAX)));
    let cheap = Filter::compile("1 < 2", &schema(), Scope::Contact).unwrap();
    assert!(all.is_spent());
    assert!(cheap.matches_within(&contact.facts(Scope::Contact), &all).is_err());
}

#[test]
fn fifty_usual_workflows_cost_a_small_part_of_the_budget() {
    let source = r#"consent.email && fields.city in ["Genova", "Roma", "Milano"] && days_since(orders.last_at) < 90 && !("press" in groups)"#;
    let filter = Filter::compile(source, &schema(), Scope::Contact).unwrap();
    let steps = Steps::default();
    for _ in 0..50 {
        filter
            .matches_within(&Contact::anna().facts(Scope::Contact), &steps)
            .unwrap();
    }
    assert!(steps.taken() * 50 < STEPS_MAX, "{}", steps.taken());
}
