//! `/v1/workflows/schema`: what a definition may look like, as a JSON Schema (2020-12) for editors.
//!
//! Made from the types that definitions are read into; `docs/formats/workflow.schema.json` is the same.

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use serde_json::{Map, Value, json};
use types::catalogue::Scope;
use types::workflow::WorkflowSpec;
use utoipa::{PartialSchema, ToSchema};

use crate::app::App;
use crate::auth::Caller;
use crate::problem::Problem;

/// See what a definition may look like
///
/// A JSON Schema (2020-12), for editors. What it cannot say is told by `PUT /v1/workflows/{id}`.
#[utoipa::path(
    get, path = "/v1/workflows/schema", tag = "workflows", operation_id = "getWorkflowSchema",
    responses((status = 200, description = "The schema.", body = Value))
)]
pub(crate) async fn get(State(_): State<App>, caller: Caller) -> Result<Response, Problem> {
    caller.may(Scope::Read)?;
    let mut response = Bytes::from(document()).into_response();
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    Ok(response)
}

/// Returns the schema, written out for people.
pub(crate) fn document() -> String {
    let mut parts = Vec::new();
    WorkflowSpec::schemas(&mut parts);
    let mut parts: Vec<_> = parts
        .into_iter()
        .map(|(name, schema)| (name, serde_json::to_value(schema).expect("schemas are plain documents")))
        .collect();
    parts.sort_by(|(one, _), (two, _)| one.cmp(two));
    let root = serde_json::to_value(WorkflowSpec::schema()).expect("schemas are plain documents");
    let mut document = json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Workflow",
    });
    if let (Value::Object(document), Value::Object(root)) = (&mut document, root) {
        document.extend(root);
        document.insert("$defs".to_owned(), Value::Object(Map::from_iter(parts)));
    }
    locate(&mut document);
    let mut text = serde_json::to_string_pretty(&document).expect("schemas are plain documents");
    text.push('\n');
    text
}

/// Turns references into the API's description into references into this document.
fn locate(value: &mut Value) {
    match value {
        Value::Object(members) => {
            if let Some(Value::String(to)) = members.get_mut("$ref")
                && let Some(name) = to.strip_prefix("#/components/schemas/")
            {
                *to = format!("#/$defs/{name}");
            }
            members.values_mut().for_each(locate);
        }
        Value::Array(entries) => entries.iter_mut().for_each(locate),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_published_schema_is_this_one() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/formats/workflow.schema.json");
        let made = document();
        if std::env::var_os("STAFFETTA_WRITE_SCHEMA").is_some() {
            std::fs::write(path, &made).unwrap();
        }
        let published = std::fs::read_to_string(path).unwrap();
        assert!(
            published == made,
            "docs/formats/workflow.schema.json is not what the types say: run this test with STAFFETTA_WRITE_SCHEMA=1"
        );
    }

    #[test]
    fn every_reference_leads_somewhere() {
        let document: Value = serde_json::from_str(&document()).unwrap();
        let mut open = vec![&document];
        let mut references = 0;
        while let Some(value) = open.pop() {
            if let Some(Value::String(to)) = value.get("$ref") {
                references += 1;
                let pointer = to.strip_prefix('#').unwrap();
                assert!(document.pointer(pointer).is_some(), "{to}");
            }
            match value {
                Value::Object(members) => open.extend(members.values()),
                Value::Array(entries) => open.extend(entries),
                _ => {}
            }
        }
        assert!(references > 10, "{references}");
    }
}
