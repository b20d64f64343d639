//! Filters of contacts from outside: nothing panics, what is refused has its faults inside the source, and what is taken has an answer
//! for a contact of whom everything is known and for one of whom nothing is.

#![no_main]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use policy::filter::{Activity, Cause, Consents, Facts, Filter, Orders, Schema, Scope};
use types::contact::{FieldType, FieldValue};
use types::locale::Language;
use types::text::Slug;
use types::time::Timestamp;

/// Fields by the names that the seeds give them, with their types and a value.
const FIELDS: &[(&str, FieldType, &str)] = &[
    ("city", FieldType::Text, "Genova"),
    ("age", FieldType::Number, "42"),
    ("vip", FieldType::Boolean, "true"),
    ("born", FieldType::Date, "1984-02-29"),
    ("a-b", FieldType::Text, ""),
];

static SCHEMA: LazyLock<Schema> = LazyLock::new(|| Schema {
    fields: FIELDS.iter().map(|(id, kind, _)| (slug(id), *kind)).collect(),
    groups: [slug("club")].into(),
});
static VALUES: LazyLock<BTreeMap<Slug, FieldValue>> = LazyLock::new(|| {
    let value = |kind: FieldType, text: &str| FieldValue::from_text(kind, text).expect("it fits");
    FIELDS
        .iter()
        .map(|(id, kind, text)| (slug(id), value(*kind, text)))
        .collect()
});
static NO_VALUES: BTreeMap<Slug, FieldValue> = BTreeMap::new();
static NO_GROUPS: BTreeSet<Slug> = BTreeSet::new();

fn slug(id: &str) -> Slug {
    id.try_into().expect("an id")
}

fuzz_target!(|source: &str| {
    match Filter::compile(source, &SCHEMA, Scope::Contact) {
        Ok(filter) => {
            for facts in [known(), unknown()] {
                filter.matches(&facts).expect("these are facts of the schema");
            }
        }
        Err(faults) => {
            let length = source.chars().count();
            assert!(!faults.is_empty());
            assert!(
                faults
                    .iter()
                    .all(|fault| fault.offset.is_none_or(|offset| offset <= length))
            );
        }
    }
    // What starts is not there to look at: an error, no panic.
    for scope in [Scope::Order, Scope::Event] {
        if let Ok(filter) = Filter::compile(source, &SCHEMA, scope) {
            let _ = filter.matches(&known());
        }
    }
});

fn known() -> Facts<'static> {
    let at = Some(Timestamp::from_millis(1_800_000_000_000));
    Facts {
        fields: &VALUES,
        groups: &SCHEMA.groups,
        consent: Consents { email: true, sms: true },
        language: Some(Language::It),
        country: "IT".to_owned().try_into().ok(),
        orders: Orders {
            count: u64::MAX,
            total: Some(i64::MIN),
            first_at: at,
            last_at: at,
        },
        activity: Activity {
            last_open_at: at,
            last_click_at: at,
            last_sent_at: at,
        },
        now: Timestamp::from_millis(u64::MAX),
        ..unknown()
    }
}

fn unknown() -> Facts<'static> {
    Facts {
        fields: &NO_VALUES,
        groups: &NO_GROUPS,
        consent: Consents::default(),
        language: None,
        country: None,
        email_domain: "posta.example",
        orders: Orders::default(),
        activity: Activity::default(),
        now: Timestamp::from_millis(0),
        cause: Cause::None,
    }
}
