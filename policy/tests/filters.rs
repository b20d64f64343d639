//! What filters of contacts say and refuse: `cases/filters.toml`.

#![allow(clippy::unwrap_used, reason = "a test states its expectations by unwrapping")]

mod filter_fixture;

use filter_fixture::{Contact, schema};
use policy::filter::{Filter, FilterError, FilterFault, Scope};
use serde::Deserialize;
use types::contact::{FieldType, FieldValue};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Cases {
    answer: Vec<Answer>,
    fault: Vec<Refusal>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Answer {
    filter: String,
    #[serde(default)]
    scope: Start,
    anna: bool,
    /// Not asked if missing.
    nobody: Option<bool>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Refusal {
    filter: String,
    #[serde(default)]
    scope: Start,
    faults: Vec<String>,
}

#[derive(Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Start {
    #[default]
    Contact,
    Order,
    Event,
}

impl From<Start> for Scope {
    fn from(start: Start) -> Self {
        match start {
            Start::Contact => Self::Contact,
            Start::Order => Self::Order,
            Start::Event => Self::Event,
        }
    }
}

fn cases() -> Cases {
    toml::from_str(include_str!("cases/filters.toml")).unwrap()
}

fn compile(source: &str, scope: Scope) -> Result<Filter, Vec<String>> {
    Filter::compile(source, &schema(), scope).map_err(|faults| faults.iter().map(written).collect())
}

fn written(fault: &FilterFault) -> String {
    match fault.offset {
        Some(offset) => format!("{offset}: {}", fault.fault),
        None => fault.fault.clone(),
    }
}

/// Compiles a source, which must be sound, and asks it.
fn ask(source: &str, scope: Scope, contact: &Contact) -> Result<bool, FilterError> {
    let filter = compile(source, scope).unwrap_or_else(|faults| panic!("{source}: {faults:?}"));
    assert_eq!(filter.source(), source);
    filter.matches(&contact.facts(scope))
}

#[test]
fn filters_answer_as_the_table_says() {
    let (anna, nobody) = (Contact::anna(), Contact::nobody());
    let cases = cases().answer;
    assert!(cases.len() > 100);
    for case in cases {
        let scope = case.scope.into();
        assert_eq!(
            ask(&case.filter, scope, &anna),
            Ok(case.anna),
            "{} of Anna",
            case.filter
        );
        if let Some(expected) = case.nobody {
            assert_eq!(
                ask(&case.filter, scope, &nobody),
                Ok(expected),
                "{} of Nobody",
                case.filter
            );
        }
    }
}

#[test]
fn faults_are_told_as_the_table_says() {
    let mut wrong = Vec::new();
    for case in cases().fault {
        let told = compile(&case.filter, case.scope.into()).err().unwrap_or_default();
        if told != case.faults {
            wrong.push(format!(
                "{}\n  expected {:?}\n  told     {told:?}",
                case.filter, case.faults
            ));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_negation_is_true_exactly_when_its_filter_is_false() {
    for case in cases().answer {
        let scope = case.scope.into();
        for contact in [Contact::anna(), Contact::nobody()] {
            let plain = ask(&case.filter, scope, &contact).unwrap();
            let negated = ask(&format!("!({})", case.filter), scope, &contact).unwrap();
            assert_eq!(negated, !plain, "{}", case.filter);
        }
    }
}

#[test]
fn a_value_of_another_type_than_the_filter_was_compiled_for_is_an_error() {
    let mut contact = Contact::anna();
    let text = FieldValue::from_text(FieldType::Text, "old").unwrap();
    contact.fields.insert("age".try_into().unwrap(), text);
    let error = ask("fields.age > 3", Scope::Contact, &contact).unwrap_err();
    assert_eq!(error.to_string(), "`fields.age` is not a number");
    // What is not reached is not read.
    assert_eq!(ask("true || fields.age > 3", Scope::Contact, &contact), Ok(true));
}

#[test]
fn what_starts_must_be_there_if_the_filter_reads_it() {
    let contact = Contact::anna();
    for (source, scope, expected) in [
        ("order.total > 1", Scope::Order, FilterError::NoCause("order")),
        ("has(event.key)", Scope::Event, FilterError::NoCause("event")),
    ] {
        let filter = compile(source, scope).unwrap();
        assert_eq!(
            filter.matches(&contact.facts(Scope::Contact)),
            Err(expected),
            "{source}"
        );
    }
}

#[test]
fn an_order_total_in_several_currencies_is_missing() {
    let mut contact = Contact::anna();
    contact.orders.total = None;
    assert_eq!(ask("orders.total > 0", Scope::Contact, &contact), Ok(false));
    assert_eq!(ask("has(orders.total)", Scope::Contact, &contact), Ok(false));
}

#[test]
fn filters_can_be_shared() {
    fn check<T: Clone + Send + Sync + 'static>() {}
    check::<Filter>();
}

/// Returns the filters in the rows of the table under a heading of the page that shops' developers read, with what stands beside them.
fn documented(heading: &str, column: usize) -> Vec<(String, String)> {
    let page = include_str!("../../docs/formats/filters.md");
    let (_, section) = page.split_once(&format!("\n## {heading}\n")).unwrap();
    let section = section.split("\n## ").next().unwrap();
    let rows = section.lines().filter(|line| line.starts_with('|'));
    let cells = rows.map(|row| {
        row.replace("\\|", "¦")
            .split('|')
            .map(|cell| cell.trim().replace('¦', "|"))
            .collect()
    });
    cells
        .filter_map(|cells: Vec<String>| {
            let filter = cells.get(column)?.strip_prefix('`')?.strip_suffix('`')?.to_owned();
            Some((filter, cells.get(column + 1)?.clone()))
        })
        .collect()
}

#[test]
fn the_examples_of_the_page_are_filters() {
    let examples = documented("Examples", 2);
    assert!(examples.len() >= 7);
    for (filter, _) in examples {
        let scope = match &filter {
            filter if filter.contains("order.") => Scope::Order,
            filter if filter.contains("event.") => Scope::Event,
            _ => Scope::Contact,
        };
        ask(&filter, scope, &Contact::anna()).unwrap();
    }
}

#[test]
fn what_the_page_says_of_missing_values_is_so() {
    let examples = documented("Missing values", 1);
    assert!(examples.len() >= 7);
    for (filter, said) in examples {
        let said = match said.trim_start_matches('*') {
            said if said.starts_with("true") => true,
            said if said.starts_with("false") => false,
            said => panic!("{filter}: {said}"),
        };
        assert_eq!(ask(&filter, Scope::Contact, &Contact::nobody()), Ok(said), "{filter}");
    }
}
