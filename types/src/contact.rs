//! Contacts: what one shop knows of a person, and the fields, groups and consents that it is made of.
//!
//! A contact is a [`crate::id::PersonKey`] as one shop knows it; two shops' contacts of one person share nothing. Fields are typed by
//! the shop; a value that does not fit its field's type is refused where it comes in.

use std::collections::BTreeMap;

use minicbor::{Decode, Encode};
use serde::{Deserialize, Serialize};

use crate::calendar::{CivilDate, Zone};
use crate::locale::Country;
use crate::order::Statement;
use crate::text::{Line, Slug};
use crate::time::Timestamp;

/// A field that a shop keeps about its contacts, as `PUT /v1/fields/{id}` takes it.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
#[cbor(map)]
pub struct FieldSpec {
    /// What its values are. It cannot be changed later: stored values are of it.
    #[n(0)]
    #[serde(rename = "type")]
    pub kind: FieldType,
    /// What people call it.
    #[n(1)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>, max_length = 128))]
    pub label: Option<Line<128>>,
}

/// What a field's values are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Encode, Decode, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
#[cbor(index_only)]
pub enum FieldType {
    /// A line of at most 1,000 characters.
    #[n(0)]
    Text,
    /// A finite number.
    #[n(1)]
    Number,
    /// A civil date (`2026-12-24`), which has no zone, or a moment with its offset (RFC 3339), which needs none.
    #[n(2)]
    Date,
    /// True or false.
    #[n(3)]
    Boolean,
}

impl FieldType {
    /// Returns the type's name, as in JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Number => "number",
            Self::Date => "date",
            Self::Boolean => "boolean",
        }
    }
}

/// A value of a field. In JSON: a string, a number, a string with a date or a moment, or a boolean.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, Serialize)]
#[serde(untagged)]
pub enum FieldValue {
    /// Text.
    #[n(0)]
    Text(#[n(0)] Line<1000>),
    /// A number.
    #[n(1)]
    Number(#[n(0)] Number),
    /// A civil date.
    #[n(2)]
    Date(#[n(0)] CivilDate),
    /// A moment.
    #[n(3)]
    Moment(#[n(0)] Timestamp),
    /// A boolean.
    #[n(4)]
    Boolean(#[n(0)] bool),
}

#[cfg(feature = "openapi")]
impl utoipa::PartialSchema for FieldValue {
    fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::schema::Schema> {
        use utoipa::openapi::schema::{SchemaType, Type};
        utoipa::openapi::ObjectBuilder::new()
            .schema_type(SchemaType::from_iter([Type::String, Type::Number, Type::Boolean]))
            .description(Some("A value of the field's type; dates are strings."))
            .into()
    }
}

#[cfg(feature = "openapi")]
impl utoipa::ToSchema for FieldValue {}

/// Why a value does not fit its field.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a {expected}: {fault}", expected = .expected.as_str())]
pub struct WrongValue {
    /// The field's type.
    pub expected: FieldType,
    /// What is wrong with it.
    pub fault: String,
}

impl FieldValue {
    /// Reads a value as JSON has it.
    pub fn from_json(kind: FieldType, value: &serde_json::Value) -> Result<Self, WrongValue> {
        use serde_json::Value;
        match (kind, value) {
            (FieldType::Number, Value::Number(number)) => number
                .as_f64()
                .and_then(Number::new)
                .map(Self::Number)
                .ok_or_else(|| wrong(kind, "out of range")),
            (FieldType::Boolean, Value::Bool(value)) => Ok(Self::Boolean(*value)),
            (FieldType::Text | FieldType::Date, Value::String(text)) => Self::from_text(kind, text),
            (_, other) => Err(wrong(kind, &format!("got {}", json_type(other)))),
        }
    }

    /// Reads a value as a cell of a table has it: numbers in decimal notation, booleans as `true`, `false`, `1`, `0`, `yes` or `no`.
    pub fn from_text(kind: FieldType, text: &str) -> Result<Self, WrongValue> {
        match kind {
            FieldType::Text => Line::try_from(text)
                .map(Self::Text)
                .map_err(|error| wrong(kind, &error.to_string())),
            FieldType::Number => text
                .trim()
                .parse()
                .ok()
                .and_then(Number::new)
                .map(Self::Number)
                .ok_or_else(|| wrong(kind, "a decimal number is expected")),
            FieldType::Date => {
                let text = text.trim();
                match text.parse::<CivilDate>() {
                    Ok(date) => Ok(Self::Date(date)),
                    Err(_) => text
                        .parse()
                        .map(Self::Moment)
                        .map_err(|_| wrong(kind, "a date such as 2026-12-24 or an RFC 3339 time is expected")),
                }
            }
            FieldType::Boolean => match text.trim().to_ascii_lowercase().as_str() {
                "true" | "1" | "yes" => Ok(Self::Boolean(true)),
                "false" | "0" | "no" => Ok(Self::Boolean(false)),
                _ => Err(wrong(kind, "true or false is expected")),
            },
        }
    }

    /// Returns the type of field that takes this value.
    pub const fn kind(&self) -> FieldType {
        match self {
            Self::Text(_) => FieldType::Text,
            Self::Number(_) => FieldType::Number,
            Self::Date(_) | Self::Moment(_) => FieldType::Date,
            Self::Boolean(_) => FieldType::Boolean,
        }
    }
}

fn wrong(expected: FieldType, fault: &str) -> WrongValue {
    WrongValue {
        expected,
        fault: fault.to_owned(),
    }
}

const fn json_type(value: &serde_json::Value) -> &'static str {
    match value {
        serde_json::Value::Null => "null",
        serde_json::Value::Bool(_) => "a boolean",
        serde_json::Value::Number(_) => "a number",
        serde_json::Value::String(_) => "a string",
        serde_json::Value::Array(_) => "a list",
        serde_json::Value::Object(_) => "an object",
    }
}

/// A finite number: equality is that of its bits, with one zero.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd, Encode, Decode, Serialize)]
#[serde(transparent)]
#[cbor(transparent)]
pub struct Number(#[n(0)] f64);

/// Sound because a [`Number`] is never NaN.
impl Eq for Number {}

impl Number {
    /// Takes a number, unless it is infinite or none.
    pub fn new(value: f64) -> Option<Self> {
        // Adding zero turns -0.0 into 0.0.
        value.is_finite().then_some(Self(value + 0.0))
    }

    /// Returns the number.
    pub const fn value(self) -> f64 {
        self.0
    }
}

/// A group of a shop's contacts, as `PUT /v1/groups/{id}` takes it.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
#[cbor(map)]
pub struct GroupSpec {
    /// What people call it.
    #[n(0)]
    #[cfg_attr(feature = "openapi", schema(value_type = String, min_length = 1, max_length = 128))]
    pub name: Line<128>,
}

/// A way to reach a contact; each has its own consent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Encode, Decode, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
#[cbor(index_only)]
pub enum Channel {
    /// Mail.
    #[n(0)]
    Email,
    /// Text messages.
    #[n(1)]
    Sms,
}

impl Channel {
    /// Every channel.
    pub const ALL: [Self; 2] = [Self::Email, Self::Sms];

    /// Returns the channel's name, as in JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Email => "email",
            Self::Sms => "sms",
        }
    }
}

/// Who says so.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Encode, Decode, Serialize)]
#[serde(rename_all = "snake_case")]
#[cbor(index_only)]
pub enum ContactSource {
    /// A request about this contact.
    #[n(0)]
    Api,
    /// A row of an import: it never lifts a refusal, whatever evidence it brings.
    #[n(1)]
    Import,
    /// A step of a workflow.
    #[n(2)]
    Workflow,
}

/// What changes about a contact. What is `None`, or not named, stays, unless `replace` is set.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct ContactChange {
    /// Whether names, language, zone, country, phone, fields and groups that are not named here are cleared. Consents never are.
    #[n(0)]
    pub replace: bool,
    /// How the person is called.
    #[n(1)]
    pub name: Option<Line<256>>,
    /// A BCP 47 tag.
    #[n(2)]
    pub locale: Option<Line<35>>,
    /// Where the person is.
    #[n(3)]
    pub country: Option<Country>,
    /// The person's zone.
    #[n(4)]
    pub time_zone: Option<Zone>,
    /// The person's number, E.164.
    #[n(5)]
    pub phone: Option<Line<32>>,
    /// Fields that are set, or cleared by `None`.
    #[n(6)]
    pub fields: BTreeMap<Slug, Option<FieldValue>>,
    /// Groups to be in.
    #[n(7)]
    pub join: Vec<Slug>,
    /// Groups not to be in.
    #[n(8)]
    pub leave: Vec<Slug>,
    /// What the person said about channels.
    #[n(9)]
    pub consents: Vec<ChannelConsent>,
}

/// What a person said about one channel.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct ChannelConsent {
    /// Which channel.
    #[n(0)]
    pub channel: Channel,
    /// What was said, when, where, on which wording.
    #[n(1)]
    pub statement: Statement,
    /// Whether the shop only asserts it, without evidence (a bare boolean): such a grant lifts nothing that the person did, as the bare
    /// `true` of an order does not.
    #[n(2)]
    pub asserted: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(kind: FieldType, json: &str, expected: Result<&str, &str>) {
        let value: serde_json::Value = serde_json::from_str(json).expect("JSON");
        let read = FieldValue::from_json(kind, &value);
        let read = read
            .map(|value| serde_json::to_string(&value).expect("a value"))
            .map_err(|error| error.to_string());
        assert_eq!(read.as_deref().map_err(String::as_str), expected, "{json}");
    }

    #[test]
    fn values_are_read_by_the_type_of_their_field() {
        check(FieldType::Text, r#""Rossi""#, Ok(r#""Rossi""#));
        check(FieldType::Number, "-0.0", Ok("0.0"));
        check(FieldType::Date, r#""1980-02-29""#, Ok(r#""1980-02-29""#));
        check(
            FieldType::Date,
            r#""2026-11-22T10:00:00+01:00""#,
            Ok(r#""2026-11-22T09:00:00.000Z""#),
        );
        check(FieldType::Boolean, "true", Ok("true"));
        check(FieldType::Number, r#""5""#, Err("not a number: got a string"));
        check(FieldType::Boolean, "1", Err("not a boolean: got a number"));
        check(
            FieldType::Date,
            r#""1981-02-29""#,
            Err("not a date: a date such as 2026-12-24 or an RFC 3339 time is expected"),
        );
    }

    #[test]
    fn values_survive_a_round_trip_through_the_journal() {
        for (kind, text) in [
            (FieldType::Text, "x"),
            (FieldType::Number, "1e300"),
            (FieldType::Date, "2026-12-24"),
            (FieldType::Date, "2026-12-24T00:00:00Z"),
            (FieldType::Boolean, "yes"),
        ] {
            let value = FieldValue::from_text(kind, text).expect("it fits");
            let bytes = minicbor::to_vec(&value).expect("vectors take all");
            assert_eq!(minicbor::decode::<FieldValue>(&bytes).expect("own bytes"), value);
            assert_eq!(value.kind(), kind);
        }
    }
}
