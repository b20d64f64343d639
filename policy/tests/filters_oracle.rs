//! The evaluator of the `cel` crate as a second opinion: of a contact who lacks nothing, it must say what ours says.
//!
//! It errs, and is not heard, where it has no answer: whole numbers computed with others, what has no value, and times, which it is
//! built without.

#![allow(clippy::unwrap_used, reason = "a test states its expectations by unwrapping")]

mod filter_fixture;

use std::collections::HashMap;

use cel::{Context, Program, Value};
use filter_fixture::{Contact, schema};
use policy::filter::{Filter, Scope};
use serde::Deserialize;
use types::contact::FieldValue;

#[derive(Deserialize)]
struct Cases {
    answer: Vec<Answer>,
}

#[derive(Deserialize)]
struct Answer {
    filter: String,
    scope: Option<String>,
}

/// Where the two differ on purpose.
const DIFFERENT: &[&str] = &[
    // CEL knows infinity; here a number out of range is missing.
    "fields.age * 1e308 * 1e308 > 0",
    // It rounds the whole number before it compares; CEL's numbers lie on one line, and so do ours.
    "9223372036854775807 == 9223372036854775808.0",
    "9007199254740993 > 9007199254740992.0",
];

fn value(value: &FieldValue) -> Option<Value> {
    Some(match value {
        FieldValue::Text(text) => text.to_string().into(),
        FieldValue::Number(number) => number.value().into(),
        FieldValue::Boolean(value) => (*value).into(),
        FieldValue::Date(_) | FieldValue::Moment(_) => return None,
    })
}

fn map<'a>(values: impl IntoIterator<Item = (&'a str, Value)>) -> Value {
    let values: HashMap<String, Value> = values
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value))
        .collect();
    values.into()
}

fn values<'a>(fields: impl IntoIterator<Item = (&'a types::text::Slug, &'a FieldValue)>) -> Value {
    map(fields
        .into_iter()
        .filter_map(|(id, field)| Some((id.as_str(), value(field)?))))
}

fn texts<'a>(texts: impl Iterator<Item = &'a str>) -> Value {
    texts
        .map(|text| Value::from(text.to_owned()))
        .collect::<Vec<_>>()
        .into()
}

fn context(contact: &Contact) -> Context<'static, 'static> {
    let mut context = Context::default();
    let text = |text: &str| Value::from(text.to_owned());
    let count = |count: usize| Value::from(i64::try_from(count).unwrap());
    for (name, value) in [
        ("fields", values(&contact.fields)),
        ("groups", texts(contact.groups.iter().map(types::text::Slug::as_str))),
        (
            "consent",
            map([
                ("email", contact.consent.email.into()),
                ("sms", contact.consent.sms.into()),
            ]),
        ),
        ("language", text(contact.language.unwrap().code())),
        ("country", text(contact.country.unwrap().as_str())),
        ("email_domain", text("posta.example")),
        (
            "orders",
            map([
                ("count", i64::try_from(contact.orders.count).unwrap().into()),
                ("total", contact.orders.total.unwrap().into()),
                // There to be asked for by has() alone.
                ("last_at", text("")),
            ]),
        ),
        (
            "order",
            map([
                ("total", contact.order.total.amount.into()),
                ("currency", text(contact.order.total.currency.as_str())),
                ("items", count(contact.order.items.len())),
                ("skus", texts(contact.order.items.iter().map(|item| &*item.sku))),
            ]),
        ),
        (
            "event",
            map([
                ("name", text(contact.event.name.as_str())),
                ("key", text(contact.event.key.as_ref().unwrap())),
                ("properties", values(&contact.event.properties)),
            ]),
        ),
    ] {
        context.add_variable_from_value(name, value);
    }
    context
}

#[test]
fn a_second_evaluator_agrees() {
    let anna = Contact::anna();
    let context = context(&anna);
    let cases: Cases = toml::from_str(include_str!("cases/filters.toml")).unwrap();
    let (mut heard, mut wrong) = (0, Vec::new());
    for case in cases.answer {
        let source = case.filter;
        let second = Program::compile(&source)
            .ok()
            .and_then(|program| program.execute(&context).ok());
        let Some(Value::Bool(second)) = second else {
            continue;
        };
        let scope = match case.scope.as_deref() {
            Some("order") => Scope::Order,
            Some("event") => Scope::Event,
            _ => Scope::Contact,
        };
        let ours = Filter::compile(&source, &schema(), scope).unwrap();
        let agrees = ours.matches(&anna.facts(scope)) == Ok(second);
        if agrees == DIFFERENT.contains(&source.as_str()) {
            wrong.push(source);
        }
        heard += 1;
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert!(heard >= 70, "{heard}");
}
