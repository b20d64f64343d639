//! The public routes, and what every route has in common: it is timed, and answers even its mistakes as problems.

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::handler::Handler;
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, delete, get, post, put};
use hyper::header::{CONTENT_TYPE, HeaderValue};

use crate::app::App;
use crate::carts;
use crate::catalogue::{campaigns, fields, groups, keys, leads, shops, templates};
use crate::measure::Measure;
use crate::metrics::Metrics;
use crate::problem::{Kind, Problem};
use crate::{contacts, events, imports, messages, orders, persons, stats, stream, suppressions, workflows};

/// Builds the API listener's routes.
pub(crate) fn router(app: &App) -> Router {
    let table = [network(), contacts_and_carts()].concat();
    let mut built = Router::new();
    for (path, methods) in table {
        built = built.route(path, measured(&app.metrics, path, methods));
    }
    fallbacks(built, app).with_state(app.clone())
}

/// A path and what answers its methods.
type Route = (&'static str, MethodRouter<App>);

/// The routes of orders, mails and what the network is made of.
fn network() -> Vec<Route> {
    vec![
        ("/openapi.json", get(description)),
        ("/v1/orders", post(orders::post)),
        ("/v1/orders/{order_id}", get(orders::get)),
        ("/v1/messages", post(messages::post)),
        ("/v1/messages/{id}", get(messages::get)),
        ("/v1/shops", get(shops::list)),
        ("/v1/shops/{id}", put(shops::put).get(shops::get).delete(shops::delete)),
        ("/v1/shops/{id}/keys", get(keys::list).post(keys::post)),
        ("/v1/shops/{id}/keys/{key}", delete(keys::delete)),
        ("/v1/campaigns", get(campaigns::list)),
        (
            "/v1/campaigns/{id}",
            put(campaigns::put).get(campaigns::get).delete(campaigns::delete),
        ),
        ("/v1/campaigns/{id}/leads", get(leads::list)),
        ("/v1/templates", get(templates::list)),
        (
            "/v1/templates/{id}",
            put(templates::put).get(templates::get).delete(templates::delete),
        ),
        (
            "/v1/suppressions",
            get(suppressions::list).post(suppressions::post).put(suppressions::put),
        ),
        ("/v1/suppressions/lookup", post(suppressions::lookup)),
        ("/v1/suppressions/{person}", delete(suppressions::delete)),
        ("/v1/persons", get(persons::get).delete(persons::delete)),
        ("/v1/stats", get(stats::get)),
        ("/v1/events/stream", get(stream::get)),
    ]
}

/// The routes of what a shop knows of its contacts, and does with them.
fn contacts_and_carts() -> Vec<Route> {
    vec![
        ("/v1/contacts", get(contacts::list)),
        (
            "/v1/contacts/{email}",
            put(contacts::put)
                .patch(contacts::patch)
                .get(contacts::get)
                .delete(contacts::delete),
        ),
        ("/v1/contacts/{email}/timeline", get(contacts::timeline::get)),
        ("/v1/fields", get(fields::list)),
        (
            "/v1/fields/{id}",
            put(fields::put).get(fields::get).delete(fields::delete),
        ),
        ("/v1/groups", get(groups::list)),
        (
            "/v1/groups/{id}",
            put(groups::put).get(groups::get).delete(groups::delete),
        ),
        ("/v1/groups/{id}/members", get(contacts::members)),
        ("/v1/events", post(events::post)),
        ("/v1/imports", post(imports::post).get(imports::list)),
        ("/v1/imports/{id}", get(imports::get)),
        ("/v1/imports/{id}/rejects", get(imports::rejects)),
        ("/v1/workflows", get(workflows::list)),
        ("/v1/workflows/schema", get(workflows::schema::get)),
        (
            "/v1/workflows/{id}",
            put(workflows::put).get(workflows::get).delete(workflows::delete),
        ),
        ("/v1/workflows/{id}/state", put(workflows::switch)),
        ("/v1/workflows/{id}/copy", post(workflows::copy)),
        ("/v1/workflows/{id}/stats", get(workflows::stats::get)),
        ("/v1/workflows/{id}/simulate", get(workflows::simulation::get)),
        ("/v1/carts/{id}", put(carts::put).get(carts::get).delete(carts::delete)),
        (
            "/v1/carts/settings",
            put(carts::settings::put).get(carts::settings::get),
        ),
        ("/v1/carts/test", post(carts::trial::post)),
        ("/v1/carts/stats", get(carts::stats::get)),
    ]
}

/// Times a route's methods, and refuses its other methods.
pub(crate) fn measured(metrics: &Arc<Metrics>, path: &str, methods: MethodRouter<App>) -> MethodRouter<App> {
    methods.fallback(no_such_method).layer(Measure::new(metrics, path))
}

/// Answers what has no route.
pub(crate) fn fallbacks(router: Router<App>, app: &App) -> Router<App> {
    router.fallback(nothing_here.layer(Measure::new(&app.metrics, "none")))
}

async fn nothing_here() -> Problem {
    Problem::new(
        Kind::NotFound,
        "there is nothing at this path; /openapi.json tells what there is",
    )
}

async fn no_such_method() -> Problem {
    Problem::new(
        Kind::MethodNotAllowed,
        "the Allow header tells the methods of this path",
    )
}

/// The API's description.
async fn description(State(app): State<App>) -> Response {
    let mut response = app.description.clone().into_response();
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}
