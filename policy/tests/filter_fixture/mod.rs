//! Two contacts of one shop, and its fields and groups: one of whom everything is known, one of whom only an address is.

#![allow(dead_code, reason = "each test takes what it needs")]

use std::collections::{BTreeMap, BTreeSet};

use policy::filter::{Activity, Cause, Consents, Facts, Orders, Schema, Scope};
use types::contact::{FieldType, FieldValue};
use types::event::EventReported;
use types::id::{PersonKey, ShopNumber};
use types::locale::{Country, Language};
use types::order::Order;
use types::text::Slug;
use types::time::Timestamp;

#[derive(Debug)]
pub(crate) struct Contact {
    pub fields: BTreeMap<Slug, FieldValue>,
    pub groups: BTreeSet<Slug>,
    pub consent: Consents,
    pub language: Option<Language>,
    pub country: Option<Country>,
    pub orders: Orders,
    pub activity: Activity,
    pub now: Timestamp,
    pub order: Order,
    pub event: EventReported,
}

pub(crate) fn slug(id: &str) -> Slug {
    id.try_into().unwrap()
}

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn values(values: &[(&str, FieldType, &str)]) -> BTreeMap<Slug, FieldValue> {
    values
        .iter()
        .map(|(id, kind, text)| (slug(id), FieldValue::from_text(*kind, text).unwrap()))
        .collect()
}

pub(crate) fn schema() -> Schema {
    Schema {
        fields: [
            ("city", FieldType::Text),
            ("name", FieldType::Text),
            ("tier", FieldType::Text),
            ("first-name", FieldType::Text),
            ("age", FieldType::Number),
            ("a.b", FieldType::Number),
            ("vip", FieldType::Boolean),
            ("born", FieldType::Date),
            ("renewed", FieldType::Date),
        ]
        .map(|(id, kind)| (slug(id), kind))
        .into(),
        groups: ["club", "a-list", "press"].map(slug).into(),
    }
}

impl Contact {
    pub(crate) fn anna() -> Self {
        Self {
            fields: values(&[
                ("city", FieldType::Text, "Genova"),
                ("name", FieldType::Text, "Àlì Ròssi"),
                ("tier", FieldType::Text, "club"),
                ("first-name", FieldType::Text, "Anna"),
                ("age", FieldType::Number, "42"),
                ("a.b", FieldType::Number, "1"),
                ("vip", FieldType::Boolean, "true"),
                ("born", FieldType::Date, "1984-02-29"),
                ("renewed", FieldType::Date, "2026-11-20T12:00:00Z"),
            ]),
            groups: ["club", "a-list"].map(slug).into(),
            consent: Consents {
                email: true,
                sms: false,
            },
            language: Some(Language::It),
            country: Some("IT".to_owned().try_into().unwrap()),
            orders: Orders {
                count: 3,
                total: Some(17970),
                first_at: Some(at("2024-05-01T08:00:00Z")),
                last_at: Some(at("2026-11-21T09:00:00Z")),
            },
            activity: Activity {
                last_open_at: Some(at("2026-11-22T08:00:00Z")),
                last_click_at: Some(at("2026-11-22T08:01:00Z")),
                last_sent_at: Some(at("2026-11-22T07:00:00Z")),
            },
            ..Self::nobody()
        }
    }

    pub(crate) fn nobody() -> Self {
        Self {
            fields: BTreeMap::new(),
            groups: BTreeSet::new(),
            consent: Consents::default(),
            language: None,
            country: None,
            orders: Orders {
                total: Some(0),
                ..Orders::default()
            },
            activity: Activity::default(),
            now: at("2026-11-22T12:00:00Z"),
            order: order(),
            event: event(),
        }
    }

    pub(crate) fn facts(&self, scope: Scope) -> Facts<'_> {
        Facts {
            fields: &self.fields,
            groups: &self.groups,
            consent: self.consent,
            language: self.language,
            country: self.country,
            email_domain: "posta.example",
            orders: self.orders,
            activity: self.activity,
            now: self.now,
            cause: match scope {
                Scope::Contact => Cause::None,
                Scope::Order => Cause::Order(&self.order),
                Scope::Event => Cause::Event(&self.event),
            },
        }
    }
}

fn order() -> Order {
    serde_json::from_str(
        r#"{
            "order_id": "B-1",
            "placed_at": "2026-11-22T11:59:00Z",
            "status": "confirmed",
            "customer": {"email": "anna@posta.example"},
            "total": {"amount": 5990, "currency": "EUR"},
            "items": [
                {"sku": "VIN-1", "title": "Barbera", "quantity": 2, "unit_price": 1495},
                {"sku": "VIN-2", "title": "Gavi", "quantity": 2, "unit_price": 1500}
            ]
        }"#,
    )
    .unwrap()
}

fn event() -> EventReported {
    EventReported {
        shop: ShopNumber(1),
        person: PersonKey::from_bytes([3; 16]),
        email: "anna@posta.example".to_owned().try_into().unwrap(),
        name: slug("return"),
        at: at("2026-11-22T11:59:00Z"),
        key: Some("R-17".try_into().unwrap()),
        properties: values(&[
            ("reason", FieldType::Text, "too small"),
            ("written", FieldType::Text, "2026-11-22T10:00:00Z"),
            ("parts", FieldType::Number, "2"),
            ("gift", FieldType::Boolean, "true"),
            ("when", FieldType::Date, "2026-11-22"),
        ]),
        claims: Vec::new(),
    }
}
