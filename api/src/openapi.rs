//! `/openapi.json`: the API described in `OpenAPI` 3.1, generated from the handlers and the types they read and write.
//!
//! A handler states what it answers when all is well, and what is its own to refuse. What every route may answer (no
//! key, too many requests, no such thing, shutting down…) is added here in one place, from the same rules that make
//! those answers, so that no answer goes undocumented. A test runs schemathesis against it.

use bytes::Bytes;
use utoipa::openapi::path::Operation;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::{ContentBuilder, HeaderBuilder, OpenApi as Document, Ref, RefOr, Response, ResponseBuilder};
use utoipa::{Modify, OpenApi};

use crate::carts;
use crate::catalogue::{campaigns, fields, groups, keys, leads, shops, templates};
use crate::{contacts, events, imports, messages, orders, persons, problem, stats, stream, suppressions, workflows};

/// The description.
#[derive(OpenApi)]
#[openapi(
    info(
        title = "Staffetta",
        description = "Durable mail edge: orders and messages in, delivered mail and its story out.\n\nTimes are RFC 3339. Money is `{\"amount\": 5990, \"currency\": \"EUR\"}` in minor units. Refusals are RFC 9457 problems that name the field and the fault. Every 2xx is given after the data is on stable storage.",
        license(name = "Apache-2.0 OR MIT", identifier = "Apache-2.0 OR MIT")
    ),
    paths(
        orders::post, orders::get, messages::post, messages::get,
        shops::list, shops::put, shops::get, shops::delete, keys::post, keys::list, keys::delete,
        campaigns::list, campaigns::put, campaigns::get, campaigns::delete, leads::list,
        templates::list, templates::put, templates::get, templates::delete,
        suppressions::list, suppressions::post, suppressions::put, suppressions::lookup, suppressions::delete,
        persons::get, persons::delete, stats::get, stream::get,
        contacts::list, contacts::put, contacts::patch, contacts::get, contacts::delete, contacts::members,
        contacts::timeline::get,
        fields::list, fields::put, fields::get, fields::delete, groups::list, groups::put, groups::get, groups::delete,
        events::post, imports::post, imports::list, imports::get, imports::rejects,
        workflows::list, workflows::put, workflows::get, workflows::delete, workflows::switch, workflows::copy,
        workflows::schema::get, workflows::stats::get, workflows::simulation::get,
        carts::put, carts::get, carts::delete, carts::settings::put, carts::settings::get, carts::trial::post, carts::stats::get,
    ),
    components(schemas(problem::Document, problem::Fault)),
    modifiers(&Common),
    security(("key" = [])),
    tags(
        (name = "orders", description = "Confirmed orders, which cause offer mails."),
        (name = "messages", description = "Plain sends."),
        (name = "shops", description = "The shops of the network."),
        (name = "keys", description = "API keys of shops."),
        (name = "campaigns", description = "What advertisers offer."),
        (name = "templates", description = "Shops' own templates."),
        (name = "suppressions", description = "Who is not to be mailed."),
        (name = "persons", description = "What is known of a person, and its erasure."),
        (name = "contacts", description = "What a shop knows of its contacts: fields, groups, consents, events."),
        (name = "workflows", description = "What a shop does with its contacts over days and weeks."),
        (name = "carts", description = "Carts that wait to be bought, and their reminders."),
        (name = "stats", description = "Counts of what happened."),
        (name = "events", description = "What happens, as it happens."),
    )
)]
struct Api;

/// Returns the description, written out.
pub(crate) fn description() -> Bytes {
    Bytes::from(serde_json::to_vec(&Api::openapi()).expect("the description is a plain document"))
}

/// Adds what all operations have in common.
struct Common;

impl Modify for Common {
    fn modify(&self, api: &mut Document) {
        let components = api.components.get_or_insert_default();
        let bearer = HttpBuilder::new()
            .scheme(HttpAuthScheme::Bearer)
            .bearer_format("stf_ and 43 base64url characters")
            .description(Some(
                "A shop's key with the scopes it needs (send, read, manage), or the operator's key.",
            ))
            .build();
        components.add_security_scheme("key", SecurityScheme::Http(bearer));
        for item in api.paths.paths.values_mut() {
            let methods = [
                &mut item.get,
                &mut item.put,
                &mut item.post,
                &mut item.patch,
                &mut item.delete,
            ];
            for operation in methods.into_iter().flatten() {
                complete(operation);
            }
        }
    }
}

/// Adds the refusals that an operation shares with others.
fn complete(operation: &mut Operation) {
    let mut refusals = vec![
        ("400", "The path, query, headers or JSON cannot be read."),
        ("401", "The API key is missing, unknown or revoked."),
        ("403", "The API key may not do this."),
        ("404", "There is no such thing, or it is another shop's."),
        ("422", "Fields or parameters are missing or wrong; `errors` names each."),
        ("429", "Too many requests, or too many failed attempts to authenticate."),
        ("500", "Something failed on our side."),
        ("503", "No place for more work, or shutting down."),
    ];
    if operation.request_body.is_some() {
        refusals.push(("408", "The body came too slowly."));
        refusals.push(("413", "The body is larger than the limit."));
        refusals.push(("415", "The body is not of a type that is taken here."));
    }
    if operation
        .operation_id
        .as_deref()
        .is_some_and(|id| matches!(id, "postOrder" | "postMessages" | "postEvents"))
    {
        refusals.push(("409", "The id or Idempotency-Key was used before, with other content."));
    }
    if operation.operation_id.as_deref().is_some_and(takes_work) {
        refusals.push(("507", "The disk has no room for new work."));
    }
    for (status, description) in refusals {
        let own = operation.responses.responses.get(status);
        if own.is_none() {
            operation
                .responses
                .responses
                .insert(status.to_owned(), RefOr::T(refusal(status, description)));
        }
    }
}

/// Returns whether an operation makes new work, which is refused when the disk is almost full.
fn takes_work(id: &str) -> bool {
    matches!(
        id,
        "postOrder"
            | "postMessages"
            | "postEvents"
            | "putContact"
            | "patchContact"
            | "putCart"
            | "testCart"
            | "postImport"
    )
}

/// Describes one refusal.
fn refusal(status: &str, description: &str) -> Response {
    let problem = ContentBuilder::new()
        .schema(Some(Ref::from_schema_name("Problem")))
        .build();
    let response = ResponseBuilder::new()
        .description(description)
        .content("application/problem+json", problem);
    let header = |text: &str| HeaderBuilder::new().description(Some(text)).build();
    match status {
        "401" | "403" => response.header("WWW-Authenticate", header("How to authenticate (RFC 6750).")),
        "429" | "503" | "507" => response.header("Retry-After", header("Seconds until it is worth trying again.")),
        _ => response,
    }
    .build()
}
