//! `/v1/events`: what a shop reports of its contacts, in its own words, one at a time or up to 500 in a batch.
//!
//! An event that brings an `id` happens once: the same again gets the first answer. What a report causes (workflows that start at it,
//! go on or end) is decided by the runner in the turn that records it.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use hyper::HeaderMap;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;
use types::address::EmailAddress;
use types::catalogue::{Scope, Shop};
use types::contact::{FieldType, FieldValue};
use types::event::{Claim, Event, EventReported};
use types::text::{Line, Slug};
use types::time::Timestamp;
use utoipa::openapi::schema::{Object, ObjectBuilder, SchemaType, Type};

use crate::app::App;
use crate::auth::Caller;
use crate::batch::{self, BatchAnswer, Items, Job};
use crate::body::Raw;
use crate::check::{Faults, is_ahead};
use crate::extract::{Params, ShopParam};
use crate::json;
use crate::once::{self, IdempotencyKey};
use crate::orders::accepted_answer;
use crate::problem::{Fault, Problem};

/// How many properties an event may have.
const PROPERTIES_MAX: usize = 64;

/// Something that a contact did.
#[derive(Clone, Debug, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct EventRequest {
    /// The shop's own id of the event; one event, one effect. Without it, the same report again is another event.
    #[serde(default)]
    #[schema(value_type = Option<String>, min_length = 1, max_length = 128)]
    id: Option<Line<128>>,
    /// Who did it.
    #[schema(value_type = String, format = Email, max_length = 318)]
    email: EmailAddress,
    /// What happened: the name that workflows start at.
    #[schema(value_type = String, pattern = "^[a-zA-Z0-9][a-zA-Z0-9._-]{0,63}$")]
    name: Slug,
    /// When, by the shop's clock. Default: now.
    #[serde(default)]
    #[schema(value_type = Option<String>, format = DateTime)]
    at: Option<Timestamp>,
    /// What it is about, such as a booking's number: workflows may be entered once for each key.
    #[serde(default)]
    #[schema(value_type = Option<String>, max_length = 128)]
    key: Option<Line<128>>,
    /// More about it, at most 64: texts, numbers and booleans by name. A text that is a date or a moment (RFC 3339) is one.
    #[serde(default)]
    #[schema(schema_with = properties_schema)]
    properties: BTreeMap<String, Value>,
}

/// Describes values by name.
fn properties_schema() -> Object {
    let types = [Type::String, Type::Number, Type::Boolean];
    let value = ObjectBuilder::new().schema_type(SchemaType::from_iter(types));
    ObjectBuilder::new()
        .schema_type(Type::Object)
        .description(Some(
            "More about it: texts, numbers and booleans by name. A text that is a date or a moment is one.",
        ))
        .additional_properties(Some(value))
        .max_properties(Some(PROPERTIES_MAX))
        .build()
}

/// An event, or an array of 1 to 500 of them.
#[derive(Serialize, utoipa::ToSchema)]
#[serde(untagged)]
#[schema(as = EventOrBatch)]
#[expect(dead_code, reason = "describes the body, which is read item by item")]
pub(crate) enum EventOrBatch {
    /// One event.
    One(Box<EventRequest>),
    /// Several.
    Batch(Vec<EventRequest>),
}

/// Names what was accepted.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct AcceptedAnswer {
    /// The event's id.
    #[schema(pattern = "^[a-z2-7]{16}$")]
    pub(crate) id: String,
}

/// Report events of contacts
///
/// One event is answered 202 once it is durable. An array is answered 207 with a result for each item. An event that was reported
/// under the same `id` gets the first answer, marked `Idempotent-Replayed: true`; another content under it is refused with 409. A
/// contact that is not known yet is made.
#[utoipa::path(
    post, path = "/v1/events", tag = "contacts", operation_id = "postEvents",
    params(ShopParam, ("Idempotency-Key" = Option<String>, Header, description = "Names this request; kept for at least 72 hours.", min_length = 1, max_length = 255, pattern = "^[ -~]+$")),
    request_body(content = EventOrBatch, example = json!({
        "id": "booking-7-made", "email": "mario@example.it", "name": "booking", "key": "7",
        "properties": {"nights": 3, "arrival": "2026-12-24"}
    })),
    responses(
        (status = 202, description = "The event is durable.", body = AcceptedAnswer,
            headers(("Idempotent-Replayed" = Option<String>, description = "`true` when an earlier answer is repeated."))),
        (status = 207, description = "A result for each item of the batch.", body = BatchAnswer),
    )
)]
pub(crate) async fn post(
    State(app): State<App>,
    caller: Caller,
    Params(params): Params<ShopParam>,
    headers: HeaderMap,
    raw: Raw,
) -> Result<Response, Problem> {
    let shop = caller.shop(&app, params.shop.as_deref(), Scope::Send)?;
    let reporter = Reporter {
        key: IdempotencyKey::read(&headers)?,
        app: app.clone(),
        caller: caller.clone(),
        shop,
    };
    json::scan(&raw.bytes)?;
    if batch::is_array(&raw.bytes) {
        let items: Vec<Box<RawValue>> = json::read(&raw.bytes)?;
        return batch::run(&app, &caller, &items, reporter).await;
    }
    let accepted = reporter.report(&raw.bytes, None)?.await?;
    let answer = AcceptedAnswer {
        id: accepted.id.to_string(),
    };
    Ok(accepted_answer(accepted, &answer))
}

/// One request's events on their way in.
struct Reporter {
    app: App,
    caller: Caller,
    shop: Arc<Shop>,
    key: IdempotencyKey,
}

impl Items for Reporter {
    async fn job(&mut self, bytes: &[u8], index: usize) -> Result<Job, Problem> {
        self.report(bytes, Some(index))
    }
}

impl Reporter {
    /// Reads and checks one event.
    fn report(&self, bytes: &[u8], item: Option<usize>) -> Result<Job, Problem> {
        let request: EventRequest = json::read(bytes)?;
        let now = self.app.now();
        let properties = check(&request, now)?;
        let body = once::content_digest("/v1/events", &request);
        let mut claims = Vec::with_capacity(2);
        if let Some(id) = &request.id {
            let name = once::event_name(self.shop.number, id);
            claims.push(Claim { name, body });
        }
        claims.extend(self.key.claim(&self.caller, &self.shop, item, body));
        let person = self.app.keyring.person(&request.email);
        let event = Event::EventReported(Box::new(EventReported {
            shop: self.shop.number,
            person,
            email: request.email,
            name: request.name,
            at: request.at.unwrap_or(now),
            key: request.key,
            properties,
            claims: claims.clone(),
        }));
        let app = self.app.clone();
        Ok(Box::pin(async move {
            once::accept(&app, person.partition(), event, claims).await
        }))
    }
}

/// Checks an event that arrived at `now`, and reads its properties.
fn check(request: &EventRequest, now: Timestamp) -> Result<BTreeMap<Slug, FieldValue>, Problem> {
    let mut faults = Faults::default();
    let named = request.id.as_ref().is_none_or(|id| !id.is_empty());
    faults.demand(named, "/id", "is empty");
    let ahead = request.at.is_some_and(|at| is_ahead(at, now));
    faults.demand(!ahead, "/at", "lies more than ten minutes ahead of our clock");
    let count = request.properties.len();
    if count > PROPERTIES_MAX {
        let fault = format!("has {count} entries; at most {PROPERTIES_MAX} are allowed");
        faults.push(Fault::new("/properties", fault));
    }
    let mut properties = BTreeMap::new();
    for (name, value) in request.properties.iter().take(PROPERTIES_MAX) {
        let field = || format!("/properties/{}", json::escape(name));
        match (Slug::try_from(name.as_str()), property(value)) {
            (Ok(name), Ok(value)) => {
                properties.insert(name, value);
            }
            (Err(fault), _) => faults.push(Fault::new(field(), format!("has a name that is {fault}"))),
            (_, Err(fault)) => faults.push(Fault::new(field(), fault)),
        }
    }
    faults.into_result().map(|()| properties)
}

/// Reads a property, whose type its value tells.
fn property(value: &Value) -> Result<FieldValue, String> {
    let kind = match value {
        Value::Bool(_) => FieldType::Boolean,
        Value::Number(_) => FieldType::Number,
        Value::String(_) => {
            if let Ok(date) = FieldValue::from_json(FieldType::Date, value) {
                return Ok(date);
            }
            FieldType::Text
        }
        _ => return Err("is not a text, a number or a boolean".to_owned()),
    };
    FieldValue::from_json(kind, value).map_err(|fault| format!("is {fault}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_propertys_type_is_that_of_its_value() {
        let kind = |json: &str| property(&serde_json::from_str(json).unwrap()).map(|value| value.kind());
        assert_eq!(kind("3"), Ok(FieldType::Number));
        assert_eq!(kind("true"), Ok(FieldType::Boolean));
        assert_eq!(kind("\"Roma\""), Ok(FieldType::Text));
        assert_eq!(kind("\"2026-12-24\""), Ok(FieldType::Date));
        assert_eq!(kind("\"2026-12-24T10:00:00Z\""), Ok(FieldType::Date));
        for bad in ["null", "[]", "{}", "1e999", "\"a\\u0007\""] {
            let value = serde_json::from_str(bad);
            assert!(value.is_err() || property(&value.unwrap()).is_err(), "{bad}");
        }
    }
}
