//! A contact as it is written in requests and imports, and read into a change.
//!
//! Texts stay texts until all of them were looked at, so that whoever wrote the document is told of every fault at once.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use types::catalogue::Catalogue;
use types::contact::{Channel, ChannelConsent, ContactChange, FieldSpec, FieldType, FieldValue};
use types::id::ShopNumber;
use types::order::{Grant, Statement};
use types::text::{Line, Slug};
use types::time::Timestamp;
use utoipa::openapi::schema::{Object, ObjectBuilder, SchemaType, Type};

use crate::check::is_ahead;
use crate::problem::Fault;

/// How many fields one document may name.
const FIELDS_MAX: usize = 500;
/// How many groups one document may name.
const GROUPS_MAX: usize = 1000;

/// A contact, as `PUT` and `PATCH` take it.
#[derive(Clone, Debug, Default, Deserialize, Serialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields, default)]
#[schema(as = Contact)]
pub(crate) struct ContactDocument {
    /// How the person is called.
    #[schema(max_length = 256)]
    pub(crate) name: Option<String>,
    /// A BCP 47 tag, such as `it-IT`; chooses the language.
    #[schema(max_length = 35)]
    pub(crate) locale: Option<String>,
    /// ISO 3166-1 alpha-2.
    #[schema(pattern = "^[A-Z]{2}$")]
    pub(crate) country: Option<String>,
    /// An IANA zone, such as `Europe/Rome`, or an offset, such as `UTC+01`.
    #[schema(max_length = 64)]
    pub(crate) time_zone: Option<String>,
    /// The person's number, E.164.
    #[schema(pattern = "^[+][1-9][0-9]{6,14}$")]
    pub(crate) phone: Option<String>,
    /// Values by the ids of the shop's fields; `null` clears one.
    #[schema(schema_with = fields_schema)]
    pub(crate) fields: BTreeMap<String, Value>,
    /// The groups that the contact is in, and no others. With `PATCH`, missing: as before.
    #[schema(max_items = 1000)]
    pub(crate) groups: Option<Vec<String>>,
    /// With `PATCH`: groups that it comes into, beside those that it is in.
    #[schema(max_items = 1000)]
    pub(crate) join: Vec<String>,
    /// With `PATCH`: groups that it comes out of.
    #[schema(max_items = 1000)]
    pub(crate) leave: Vec<String>,
    /// What the person said about channels; a channel that is missing stays as it is, also with `PUT`.
    pub(crate) consent: ConsentDocument,
}

/// What a person said about each channel: a bare boolean, asserted by the shop now, or a statement with its evidence.
#[derive(Clone, Debug, Default, Deserialize, Serialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields, default)]
#[schema(as = ContactConsent)]
pub(crate) struct ConsentDocument {
    /// Mail.
    pub(crate) email: Option<Grant>,
    /// Text messages.
    pub(crate) sms: Option<Grant>,
}

/// Describes values by name, of which some may be cleared.
fn fields_schema() -> Object {
    let types = [Type::String, Type::Number, Type::Boolean, Type::Null];
    let value = ObjectBuilder::new().schema_type(SchemaType::from_iter(types));
    ObjectBuilder::new()
        .schema_type(Type::Object)
        .description(Some("Values by the ids of the shop's fields; `null` clears one."))
        .additional_properties(Some(value))
        .max_properties(Some(FIELDS_MAX))
        .build()
}

/// How a document comes in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// It is the whole contact.
    Put,
    /// It is what changes.
    Patch,
    /// It is a line of JSON in an import: what changes, and groups are joined.
    Line,
    /// It is a row of a table in an import; values are written as cells.
    Row,
}

/// Reads documents of one shop as of one moment.
#[derive(Clone, Copy)]
pub(crate) struct Reader<'a> {
    pub(crate) catalogue: &'a Catalogue,
    pub(crate) shop: ShopNumber,
    pub(crate) now: Timestamp,
    pub(crate) way: Way,
}

impl Reader<'_> {
    /// Reads a document; `Err` has every fault, each with its JSON pointer.
    pub(crate) fn read(&self, document: ContactDocument) -> Result<ContactChange, Vec<Fault>> {
        let mut faults = Vec::new();
        let phone = document.phone.filter(|phone| {
            let known = is_e164(phone);
            if !known {
                faults.push(Fault::new("/phone", "is not a number in E.164, such as +390612345678"));
            }
            known
        });
        let mut change = ContactChange {
            replace: self.way == Way::Put,
            name: text(document.name, "/name", &mut faults),
            locale: text(document.locale, "/locale", &mut faults),
            country: text(document.country, "/country", &mut faults),
            time_zone: text(document.time_zone, "/time_zone", &mut faults),
            phone: text(phone, "/phone", &mut faults),
            fields: self.fields(&document.fields, &mut faults),
            consents: self.consents(&document.consent, &mut faults),
            ..ContactChange::default()
        };
        change.join = self.groups(&document.join, "/join", &mut faults);
        change.leave = self.groups(&document.leave, "/leave", &mut faults);
        if self.way == Way::Put {
            for (field, list) in [("/join", &document.join), ("/leave", &document.leave)] {
                if !list.is_empty() {
                    faults.push(Fault::new(field, "is for PATCH; PUT names all groups in `groups`"));
                }
            }
        }
        if let Some(list) = &document.groups {
            let groups = self.groups(list, "/groups", &mut faults);
            if self.way == Way::Patch {
                if !(document.join.is_empty() && document.leave.is_empty()) {
                    faults.push(Fault::new("/groups", "cannot stand beside `join` and `leave`"));
                }
                // Exactly these: out of all others.
                let others = self.catalogue.groups(self.shop).map(|(id, _)| id);
                change.leave = others.filter(|id| !groups.contains(id)).cloned().collect();
            }
            change.join.extend(groups);
        }
        if change.join.iter().any(|group| change.leave.contains(group)) {
            faults.push(Fault::new("/join", "has a group that is in `leave`, too"));
        }
        if faults.is_empty() { Ok(change) } else { Err(faults) }
    }

    fn fields(&self, written: &BTreeMap<String, Value>, faults: &mut Vec<Fault>) -> BTreeMap<Slug, Option<FieldValue>> {
        if written.len() > FIELDS_MAX {
            faults.push(too_many("/fields", written.len(), FIELDS_MAX));
            return BTreeMap::new();
        }
        let mut fields = BTreeMap::new();
        for (name, value) in written {
            let field = || format!("/fields/{}", crate::json::escape(name));
            let Some((id, spec)) = self.field(name) else {
                faults.push(Fault::new(field(), "is not a field of this shop"));
                continue;
            };
            if value.is_null() {
                fields.insert(id, None);
                continue;
            }
            match self.value(spec.kind, value) {
                Ok(value) => {
                    fields.insert(id, Some(value));
                }
                Err(fault) => faults.push(Fault::new(field(), format!("is {fault}"))),
            }
        }
        fields
    }

    fn field(&self, name: &str) -> Option<(Slug, &FieldSpec)> {
        let id = Slug::try_from(name).ok()?;
        let spec = self.catalogue.field(self.shop, &id)?;
        Some((id, spec))
    }

    fn value(&self, kind: FieldType, value: &Value) -> Result<FieldValue, types::contact::WrongValue> {
        match (self.way, value) {
            (Way::Row, Value::String(cell)) => FieldValue::from_text(kind, cell),
            _ => FieldValue::from_json(kind, value),
        }
    }

    fn groups(&self, written: &[String], list: &str, faults: &mut Vec<Fault>) -> Vec<Slug> {
        if written.len() > GROUPS_MAX {
            faults.push(too_many(list, written.len(), GROUPS_MAX));
            return Vec::new();
        }
        let mut groups = BTreeSet::new();
        for (index, name) in written.iter().enumerate() {
            let id = Slug::try_from(name.as_str()).ok();
            match id.filter(|id| self.catalogue.group(self.shop, id).is_some()) {
                Some(id) => {
                    groups.insert(id);
                }
                None => faults.push(Fault::new(format!("{list}/{index}"), "is not a group of this shop")),
            }
        }
        groups.into_iter().collect()
    }

    fn consents(&self, written: &ConsentDocument, faults: &mut Vec<Fault>) -> Vec<ChannelConsent> {
        let mut consents = Vec::new();
        for (channel, grant) in [(Channel::Email, &written.email), (Channel::Sms, &written.sms)] {
            let Some(grant) = grant else { continue };
            let (statement, asserted) = match grant {
                Grant::Bare(granted) => {
                    let statement = Statement {
                        granted: *granted,
                        at: self.now,
                        text: None,
                        source: Line::try_from(self.source()).ok(),
                    };
                    (statement, true)
                }
                Grant::Stated(statement) => (statement.clone(), false),
            };
            if is_ahead(statement.at, self.now) {
                let field = format!("/consent/{}/at", channel.as_str());
                faults.push(Fault::new(field, "lies more than ten minutes ahead of our clock"));
            }
            consents.push(ChannelConsent {
                channel,
                statement,
                asserted,
            });
        }
        consents
    }

    /// Returns where a bare boolean was collected, as far as we know.
    const fn source(&self) -> &'static str {
        match self.way {
            Way::Put | Way::Patch => "api",
            Way::Line | Way::Row => "import",
        }
    }
}

/// Reads a text by its type.
fn text<T: TryFrom<String, Error: Display>>(
    written: Option<String>,
    field: &str,
    faults: &mut Vec<Fault>,
) -> Option<T> {
    match T::try_from(written?) {
        Ok(read) => Some(read),
        Err(error) => {
            let error = error.to_string();
            let fault = if error.starts_with("not ") {
                format!("is {error}")
            } else {
                error
            };
            faults.push(Fault::new(field, fault));
            None
        }
    }
}

fn too_many(field: &str, count: usize, max: usize) -> Fault {
    Fault::new(field, format!("has {count} entries; at most {max} are allowed"))
}

/// A plus and 7 to 15 digits, the first of which is not 0 (ITU-T E.164).
fn is_e164(phone: &str) -> bool {
    phone.strip_prefix('+').is_some_and(|digits| {
        (7..=15).contains(&digits.len()) && !digits.starts_with('0') && digits.bytes().all(|byte| byte.is_ascii_digit())
    })
}

#[cfg(test)]
mod tests {
    use types::contact::GroupSpec;
    use types::event::CatalogueChanged;

    use super::*;

    const SHOP: ShopNumber = ShopNumber(1);

    fn now() -> Timestamp {
        Timestamp::from_millis(1_800_000_000_000)
    }

    fn catalogue() -> Catalogue {
        let mut catalogue = Catalogue::default();
        for (id, kind) in [("age", FieldType::Number), ("born", FieldType::Date)] {
            let change = CatalogueChanged::FieldPut {
                shop: SHOP,
                id: id.try_into().unwrap(),
                spec: FieldSpec { kind, label: None },
            };
            catalogue.apply(&change, now());
        }
        for id in ["vip", "news"] {
            let change = CatalogueChanged::GroupPut {
                shop: SHOP,
                id: id.try_into().unwrap(),
                spec: GroupSpec {
                    name: "G".try_into().unwrap(),
                },
            };
            catalogue.apply(&change, now());
        }
        catalogue
    }

    fn read(way: Way, json: &str) -> Result<ContactChange, Vec<(String, String)>> {
        let catalogue = catalogue();
        let reader = Reader {
            catalogue: &catalogue,
            shop: SHOP,
            now: now(),
            way,
        };
        let read = reader.read(serde_json::from_str(json).unwrap());
        read.map_err(|faults| faults.into_iter().map(|fault| (fault.field, fault.fault)).collect())
    }

    #[test]
    fn every_fault_is_told_with_its_place() {
        let faults = read(
            Way::Put,
            r#"{"name": "a\u0000", "country": "it", "time_zone": "Rome", "phone": "06 123", "fields": {"age": "5", "x/y": 1},
                "groups": ["vip", "none"], "join": ["vip"],
                "consent": {"email": {"granted": true, "at": "2100-01-01T00:00:00Z"}}}"#,
        );
        let fields: Vec<_> = faults.unwrap_err().into_iter().map(|(field, _)| field).collect();
        let expected = [
            "/phone",
            "/name",
            "/country",
            "/time_zone",
            "/fields/age",
            "/fields/x~1y",
            "/consent/email/at",
            "/join",
            "/groups/1",
        ];
        assert_eq!(fields, expected);
    }

    fn own(list: &[&str]) -> Vec<String> {
        list.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn groups_are_these_alone_or_come_and_go() {
        let names = |list: &[Slug]| list.iter().map(ToString::to_string).collect::<Vec<_>>();
        let check = |way: Way, json: &str, join: &[&str], leave: &[&str]| {
            let change = read(way, json).unwrap();
            assert_eq!(
                (names(&change.join), names(&change.leave)),
                (own(join), own(leave)),
                "{json}"
            );
        };
        check(Way::Put, r#"{"groups": ["vip"]}"#, &["vip"], &[]);
        check(Way::Patch, r#"{"groups": ["vip"]}"#, &["vip"], &["news"]);
        check(Way::Patch, r#"{"groups": []}"#, &[], &["news", "vip"]);
        check(
            Way::Patch,
            r#"{"join": ["news"], "leave": ["vip"]}"#,
            &["news"],
            &["vip"],
        );
        check(Way::Line, r#"{"groups": ["vip"]}"#, &["vip"], &[]);
        assert!(read(Way::Patch, r#"{"join": ["news"], "leave": ["news"]}"#).is_err());
    }

    #[test]
    fn cells_are_read_by_the_type_of_their_field() {
        let change = read(Way::Row, r#"{"fields": {"age": " 7.5", "born": "1980-02-29"}}"#).unwrap();
        assert_eq!(change.fields.len(), 2);
        assert!(read(Way::Line, r#"{"fields": {"age": "7.5"}}"#).is_err());
    }

    #[test]
    fn a_bare_boolean_is_asserted_now() {
        let change = read(
            Way::Patch,
            r#"{"consent": {"email": true, "sms": {"granted": false, "at": "2026-01-01T00:00:00Z"}}}"#,
        );
        let change = change.unwrap();
        let told: Vec<_> = change
            .consents
            .iter()
            .map(|consent| {
                (
                    consent.asserted,
                    consent.statement.granted,
                    consent.statement.at == now(),
                )
            })
            .collect();
        assert_eq!(told, [(true, true, true), (false, false, false)]);
    }
}
