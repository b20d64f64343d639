//! Filters by whoever means harm, or whose program went wrong: none panics, none takes long, and whatever compiles has an answer.

#![allow(clippy::unwrap_used, reason = "a test states its expectations by unwrapping")]

mod filter_fixture;

use std::time::{Duration, Instant};

use filter_fixture::{Contact, schema, slug};
use policy::STACK_BYTES;
use policy::filter::{Filter, SOURCE_CHARS_MAX, Scope};
use proptest::prelude::*;
use types::contact::{FieldType, FieldValue, Number};
use types::locale::Language;
use types::time::Timestamp;

/// What a compilation may take, on a slow machine and without optimization; a hundredth is usual.
const LONG: Duration = Duration::from_secs(2);

/// Compiles on half of the stack that production has, and asks what compiles.
fn survives(source: &str) -> Result<bool, String> {
    let source = source.to_owned();
    let begun = Instant::now();
    let thread = std::thread::Builder::new().stack_size(STACK_BYTES / 2).spawn(move || {
        let filter = Filter::compile(&source, &schema(), Scope::Contact).map_err(|faults| {
            assert!(!faults.is_empty() && faults.len() <= 100);
            let length = source.chars().count();
            for fault in &faults {
                assert!(fault.offset.is_none_or(|offset| offset <= length), "{fault:?}");
                assert!(
                    !fault.fault.is_empty() && fault.fault.chars().count() <= 3_000,
                    "{fault:?}"
                );
            }
            faults.first().unwrap().fault.clone()
        })?;
        Ok(filter.matches(&Contact::anna().facts(Scope::Contact)).unwrap())
    });
    let result = thread.unwrap().join().unwrap();
    assert!(begun.elapsed() < LONG, "{:?}", begun.elapsed());
    result
}

fn refused(source: &str, fault: &str) {
    let shown: String = source.chars().take(40).collect();
    assert_eq!(survives(source), Err(fault.to_owned()), "{shown}");
}

/// Repeats a text as often as it fits.
fn fill(text: &str, rest: usize) -> String {
    text.repeat((SOURCE_CHARS_MAX - rest) / text.chars().count())
}

#[test]
fn sources_are_bounded_in_characters() {
    let source = format!("true{}", " ".repeat(SOURCE_CHARS_MAX - 4));
    assert_eq!(survives(&source), Ok(true));
    refused(&format!("{source} "), "longer than 2000 characters");
    let wide = format!("fields.city != \"{}\"", "à".repeat(SOURCE_CHARS_MAX - 17));
    assert_eq!(wide.chars().count(), SOURCE_CHARS_MAX);
    assert_eq!(survives(&wide), Ok(true));
    let long = format!("fields.city in [{}]", "\"Genova\",".repeat(10_000));
    refused(&long, "longer than 2000 characters");
    refused(&"(".repeat(1 << 20), "longer than 2000 characters");
}

#[test]
fn nesting_is_bounded() {
    let nested = |depth: usize| format!("{}true{}", "(".repeat(depth), ")".repeat(depth));
    assert_eq!(survives(&nested(20)), Ok(true));
    refused(&nested(50), "nested deeper than 24");
    refused(&fill("(", 0), "nested deeper than 24");
    refused(&fill("[", 0), "nested deeper than 24");
    refused(&fill("size(", 0), "nested deeper than 24");
    for open in [
        "{",
        "{1:",
        "a{b:",
        "true?",
        "groups.all(x,",
        "fields[",
        "!(",
        "-(",
        "has(",
    ] {
        assert!(survives(&fill(open, 0)).is_err(), "{open}");
    }
}

#[test]
fn long_chains_are_bounded_unless_they_are_flat() {
    let deep = "more than 64 operations inside one another";
    let chain = |term: &str, last: &str| format!("{}{last}", fill(term, last.chars().count()));
    assert_eq!(survives(&chain("true&&", "true")), Ok(true));
    assert_eq!(survives(&chain("fields.age>50||", "fields.vip")), Ok(true));
    assert_eq!(survives(&format!("{}1 == 61", "1+".repeat(60))), Ok(true));
    refused(&chain("1+", "1==1"), deep);
    refused(&chain("1==", "1"), deep);
    refused(&chain("1<", "1"), deep);

    for (term, last) in [
        ("a.", "a"),
        ("a[0].", "a"),
        ("a in ", "a"),
        ("true?true:", "true"),
        ("now-", "now"),
        ("1,", "1"),
        ("\"", "\""),
    ] {
        assert!(survives(&chain(term, last)).is_err(), "{term}");
    }
    // An even or an odd number of them is none or one.
    assert_eq!(survives(&format!("{}true", "!".repeat(1_000))), Ok(true));
    assert_eq!(survives(&format!("{}true", "!".repeat(1_001))), Ok(false));
    assert!(survives(&format!("orders.count.f(){}", ".f()".repeat(490))).is_err());
}

#[test]
fn long_lists_are_searched_quickly() {
    let list: Vec<String> = (0..280).map(|number| format!("\"c{number:03}\"")).collect();
    assert_eq!(survives(&format!("fields.city in [{}]", list.join(","))), Ok(false));
    assert_eq!(
        survives(&format!("fields.city in [{},\"Genova\"]", list[1..].join(","))),
        Ok(true)
    );
    let numbers: Vec<String> = (0..450).map(|number| number.to_string()).collect();
    assert_eq!(survives(&format!("fields.age in [{}]", numbers.join(","))), Ok(true));
}

#[test]
fn there_are_no_regular_expressions_to_explode() {
    for pattern in ["^(a+)+$", "(.*)*x", "a{1000}{1000}{1000}"] {
        refused(
            &format!("fields.city.matches(\"{pattern}\")"),
            "matches() is not offered; there are startsWith, endsWith and contains",
        );
    }
    // Searching for a part does not go back and forth either.
    let mut contact = Contact::anna();
    let text = format!("{}b", "a".repeat(999));
    contact
        .fields
        .insert(slug("city"), FieldValue::from_text(FieldType::Text, &text).unwrap());
    let source = format!("fields.city.contains(\"{}b{}\")", "a".repeat(400), "a".repeat(400));
    let filter = Filter::compile(&source, &schema(), Scope::Contact).unwrap();
    assert_eq!(filter.matches(&contact.facts(Scope::Contact)), Ok(false));
}

/// Words of the language and of its surroundings, valid or not where they come to stand.
const WORDS: &[&str] = &[
    "fields",
    ".city",
    ".age",
    ".vip",
    ".born",
    "groups",
    "orders.count",
    "now",
    "true",
    "1",
    "-2.5",
    "\"club\"",
    "'x",
    "==",
    "!=",
    "<",
    ">=",
    "&&",
    "||",
    "!",
    "?",
    ":",
    "in",
    "[",
    "]",
    "(",
    ")",
    "{",
    "}",
    ",",
    "+",
    "-",
    "*",
    "/",
    "%",
    "has(",
    "size(",
    "timestamp(",
    "duration(",
    "days_since(",
    ".startsWith(",
    ".all(x,",
    "null",
    "b'",
    "3u",
    "0x",
    "\\",
    "`",
    "é",
    "\u{1F600}",
    "\n",
    "//",
    "@",
    ".",
    " ",
    "event.properties.x",
    "order.skus",
    "9223372036854775807",
    "1e308",
];

/// Expressions that are mostly sound: each strategy makes one type.
fn condition() -> impl Strategy<Value = String> {
    let number = prop_oneof![
        Just("fields.age".to_owned()),
        Just("fields[\"a.b\"]".to_owned()),
        Just("orders.count".to_owned()),
        Just("orders.total".to_owned()),
        Just("size(groups)".to_owned()),
        Just("size(fields.name)".to_owned()),
        Just("days_since(fields.born)".to_owned()),
        Just("9223372036854775807".to_owned()),
        any::<i32>().prop_map(|number| number.to_string()),
        (-1e9..1e9_f64).prop_map(|number| format!("{number:?}")),
    ]
    .prop_recursive(2, 8, 2, |inner| {
        prop_oneof![
            (
                inner.clone(),
                prop::sample::select(vec!["+", "-", "*", "/"]),
                inner.clone()
            )
                .prop_map(|(left, operator, right)| format!("({left} {operator} {right})")),
            inner.prop_map(|number| format!("-({number})")),
        ]
    });
    let time = prop::sample::select(vec![
        "fields.born",
        "fields.renewed",
        "orders.last_at",
        "activity.last_open_at",
        "now",
        "timestamp(\"2026-11-01\")",
        "timestamp(fields.city)",
        "(now - duration(\"90d\"))",
        "(orders.first_at + duration(\"106751991167d\"))",
    ]);
    let text = prop::sample::select(vec![
        "fields.city",
        "fields.name",
        "email_domain",
        "\"genova\"",
        "fields[\"first-name\"]",
        "\"\"",
    ]);
    let order = prop::sample::select(vec!["==", "!=", "<", "<=", ">", ">="]);
    prop_oneof![
        (number.clone(), order.clone(), number)
            .prop_map(|(left, operator, right)| format!("{left} {operator} {right}")),
        (time.clone(), order.clone(), time).prop_map(|(left, operator, right)| format!("{left} {operator} {right}")),
        (text.clone(), order, text.clone()).prop_map(|(left, operator, right)| format!("{left} {operator} {right}")),
        (text.clone(), text)
            .prop_map(|(left, right)| format!("{left}.contains({right}) || {right} in [{left}, {left}]")),
        prop::sample::select(vec![
            "fields.vip",
            "consent.email",
            "\"club\" in groups",
            "fields.tier in groups",
            "has(fields.age)",
            "has(orders.last_at)",
            "language in [\"it\", \"en\"]",
            "country != \"IT\"",
            "fields.age in [1, 2.5, orders.count]",
        ])
        .prop_map(str::to_owned),
    ]
    .prop_recursive(4, 24, 3, |inner| {
        prop_oneof![
            (inner.clone(), inner.clone()).prop_map(|(left, right)| format!("({left}) && ({right})")),
            (inner.clone(), inner.clone()).prop_map(|(left, right)| format!("({left}) || ({right})")),
            inner.clone().prop_map(|inner| format!("!({inner})")),
            (inner.clone(), inner.clone(), inner)
                .prop_map(|(one, two, three)| format!("(({one}) ? ({two}) : ({three}))")),
        ]
    })
}

fn value(kind: FieldType) -> BoxedStrategy<FieldValue> {
    match kind {
        FieldType::Text => prop_oneof![Just("Genova".to_owned()), Just(String::new()), "\\PC{0,12}"]
            .prop_filter_map("a line", |text| FieldValue::from_text(FieldType::Text, &text).ok())
            .boxed(),
        FieldType::Number => prop::num::f64::NORMAL
            .prop_filter_map("finite", |number| Number::new(number).map(FieldValue::Number))
            .boxed(),
        FieldType::Date => prop_oneof![
            (1_i16..=9999, 1_u8..=12, 1_u8..=28).prop_map(|(year, month, day)| {
                FieldValue::Date(types::calendar::CivilDate::new(year, month, day).unwrap())
            }),
            any::<u64>().prop_map(|millis| FieldValue::Moment(Timestamp::from_millis(millis))),
        ]
        .boxed(),
        FieldType::Boolean => any::<bool>().prop_map(FieldValue::Boolean).boxed(),
    }
}

/// Anybody whom the schema allows.
fn contact() -> impl Strategy<Value = Contact> {
    let fields: Vec<_> = schema()
        .fields
        .into_iter()
        .map(|(id, kind)| (Just(id), prop::option::of(value(kind))))
        .collect();
    let groups = prop::sample::subsequence(schema().groups.into_iter().collect::<Vec<_>>(), 0..=3);
    let times = prop::array::uniform6(prop::option::of(any::<u64>().prop_map(Timestamp::from_millis)));
    (
        fields,
        groups,
        times,
        any::<u64>(),
        prop::option::of(any::<i64>()),
        any::<bool>(),
    )
        .prop_map(
            |(fields, groups, [first, last, open, click, sent, now], count, total, italian)| {
                let mut contact = Contact::nobody();
                contact.fields = fields
                    .into_iter()
                    .filter_map(|(id, value)| Some((id, value?)))
                    .collect();
                contact.groups = groups.into_iter().collect();
                contact.orders.count = count;
                contact.orders.total = total;
                contact.orders.first_at = first;
                contact.orders.last_at = last;
                contact.activity.last_open_at = open;
                contact.activity.last_click_at = click;
                contact.activity.last_sent_at = sent;
                contact.now = now.unwrap_or(contact.now);
                contact.language = italian.then_some(Language::It);
                contact
            },
        )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_text_panics(source in "\\PC{0,60}") {
        let _ = survives(&source);
    }

    #[test]
    fn no_heap_of_words_panics(words in prop::collection::vec(prop::sample::select(WORDS), 0..60)) {
        let _ = survives(&words.concat());
    }

    #[test]
    fn what_compiles_has_an_answer_for_everybody(source in condition(), contact in contact()) {
        prop_assume!(source.chars().count() <= SOURCE_CHARS_MAX);
        let filter = Filter::compile(&source, &schema(), Scope::Contact);
        let filter = filter.map_err(|faults| TestCaseError::fail(format!("{source}: {faults:?}")))?;
        let answer = filter.matches(&contact.facts(Scope::Contact));
        prop_assert!(answer.is_ok(), "{source}: {answer:?}");
        // Asked again, it says the same.
        prop_assert_eq!(filter.matches(&contact.facts(Scope::Contact)), answer);
    }
}
