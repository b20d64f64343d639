//! The admin listener: metrics and health for machines, and what the operator's command line asks.
//!
//! `/metrics`, `/healthz` and `/readyz` are open, since scrapers and load balancers carry no keys; everything under
//! `/admin/v1` takes the operator's key.

use axum::Router;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, delete, get, post};
use hyper::StatusCode;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use prometheus::TextEncoder;
use serde::Serialize;
use types::port::{SiteLimits, SiteView};

use crate::app::App;
use crate::aside;
use crate::auth::{Caller, Operator};
use crate::body::Json;
use crate::catalogue::keys;
use crate::contacts::timeline;
use crate::extract::Segments;
use crate::messages;
use crate::orders;
use crate::persons;
use crate::problem::{Fault, Kind, Problem};
use crate::router::{fallbacks, measured};
use crate::stats;
use crate::story::{MessageStory, OrderStory};
use crate::stream;
use crate::verdicts;

/// How many sites are listed at most.
const SITES_MAX: usize = 1000;

/// Builds the admin listener's routes.
pub(crate) fn router(app: &App) -> Router {
    let metrics = &app.metrics;
    let table: [(&str, MethodRouter<App>); 17] = [
        ("/metrics", get(scrape)),
        ("/healthz", get(healthy)),
        ("/readyz", get(ready)),
        ("/admin/v1/queues", get(queues)),
        ("/admin/v1/queues/{site}", axum::routing::patch(adjust)),
        ("/admin/v1/queues/{site}/suspend", post(suspend)),
        ("/admin/v1/queues/{site}/resume", post(resume)),
        ("/admin/v1/messages/{id}", get(message)),
        ("/admin/v1/shops/{id}/orders/{order_id}", get(explain)),
        (
            "/admin/v1/shops/{id}/contacts/{email}/timeline",
            get(timeline::for_operator),
        ),
        ("/admin/v1/set-aside", get(aside::list)),
        ("/admin/v1/shops/{id}/keys", get(keys::list).post(keys::post)),
        ("/admin/v1/shops/{id}/keys/{key}", delete(keys::delete)),
        ("/admin/v1/stats", get(stats::for_operator)),
        ("/admin/v1/verdicts", post(verdicts::compare)),
        ("/admin/v1/events/stream", get(stream::for_operator)),
        (
            "/admin/v1/persons",
            get(persons::for_operator).delete(persons::delete_for_operator),
        ),
    ];
    let mut built = Router::new();
    for (path, methods) in table {
        built = built.route(path, measured(metrics, path, methods));
    }
    fallbacks(built, app).with_state(app.clone())
}

/// Everything that is counted and measured, in Prometheus' text format.
async fn scrape(State(app): State<App>) -> Result<Response, Problem> {
    let text = TextEncoder::new().encode_to_string(&app.ports.registry.gather());
    let text = text.map_err(|_| Problem::new(Kind::Internal, "the metrics could not be written"))?;
    let mut response = text.into_response();
    let format = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
    response.headers_mut().insert(CONTENT_TYPE, format);
    Ok(response)
}

/// Whether anything needs a person: each finding is a line. It is no reason to restart.
async fn healthy(State(app): State<App>) -> Response {
    let findings = app.ports.findings();
    if findings.is_empty() {
        return "ok\n".into_response();
    }
    (StatusCode::SERVICE_UNAVAILABLE, findings.concat()).into_response()
}

/// Whether the service takes work: recovered, and not stopping.
async fn ready(State(app): State<App>) -> Response {
    if app.ports.is_ready() {
        "ready\n".into_response()
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "not ready\n").into_response()
    }
}

/// The largest sites.
#[derive(Debug, Serialize)]
struct QueueList {
    /// Biggest first.
    sites: Vec<SiteView>,
}

async fn queues(State(app): State<App>, _operator: Operator) -> Response {
    let sites = app.ports.queues.sites(SITES_MAX);
    axum::Json(QueueList { sites }).into_response()
}

/// Changes a site's limits until the next restart; missing ones stay as they are.
async fn adjust(
    State(app): State<App>,
    _operator: Operator,
    Segments(site): Segments<String>,
    Json(limits): Json<SiteLimits>,
) -> Result<StatusCode, Problem> {
    let mut faults = Vec::new();
    for (field, value) in [
        ("/connections_max", limits.connections_max),
        ("/messages_per_connection_max", limits.messages_per_connection_max),
    ] {
        if value.is_some_and(|value| value == 0) {
            faults.push(Fault::new(field, "is 0; suspend the site instead"));
        }
    }
    if limits
        .messages_per_second_max
        .is_some_and(|rate| !(rate > 0.0 && rate.is_finite()))
    {
        faults.push(Fault::new(
            "/messages_per_second_max",
            "is not above 0; suspend the site instead",
        ));
    }
    if !faults.is_empty() {
        return Err(Problem::invalid(faults));
    }
    done(app.ports.queues.adjust(&site, &limits))
}

async fn suspend(
    State(app): State<App>,
    _operator: Operator,
    Segments(site): Segments<String>,
) -> Result<StatusCode, Problem> {
    tracing::info!(site, "the operator suspends a site");
    done(app.ports.queues.suspend(&site))
}

async fn resume(
    State(app): State<App>,
    _operator: Operator,
    Segments(site): Segments<String>,
) -> Result<StatusCode, Problem> {
    tracing::info!(site, "the operator resumes a site");
    done(app.ports.queues.resume(&site))
}

fn done(found: bool) -> Result<StatusCode, Problem> {
    if found {
        Ok(StatusCode::NO_CONTENT)
    } else {
        Err(Problem::not_found("site"))
    }
}

/// The story of any shop's message.
async fn message(
    State(app): State<App>,
    _operator: Operator,
    Segments(id): Segments<String>,
) -> Result<axum::Json<MessageStory>, Problem> {
    messages::story_of(&app, &Caller::Operator, &id).await.map(axum::Json)
}

/// The story of any shop's order.
async fn explain(
    State(app): State<App>,
    _operator: Operator,
    Segments((shop, order_id)): Segments<(String, String)>,
) -> Result<axum::Json<OrderStory>, Problem> {
    orders::story_of(&app, &Caller::Operator, Some(&shop), &order_id)
        .await
        .map(axum::Json)
}
