//! `/v1/events/stream`: what happens, as it happens, by server-sent events (WHATWG HTML §9.2).
//!
//! Each stream follows the journal by a tail of its own, so none holds up another, and a client that comes back with
//! `Last-Event-ID` misses nothing that the journal still holds. An id is the journal's incarnation and a position in it:
//! after a restored backup the positions mean other events, and the client is told of the gap instead.
//!
//! A shop sees the events of its own orders and mails, and of its campaigns the landings and leads in everyone's mails, of
//! which it learns the publisher and nothing that leads to the person or the mail. The operator sees all.
//!
//! Bounds: so many streams at once (`api.streams_max`), and one portion of the journal in memory for each. Nothing is read for a
//! client that does not read, and one that leaves its answer unread for `api.write_timeout` is cut. A drain ends all streams, and the
//! revocation of its key ends a stream.

mod feed;

use std::convert::Infallible;

use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use hyper::HeaderMap;
use hyper::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderName, HeaderValue};
use serde::Deserialize;
use store::journal::Position;
use tokio::sync::OwnedSemaphorePermit;
use types::catalogue::Scope;
use types::event::{Event, Viewer};
use types::id::ShopNumber;
use types::time::Timestamp;

use crate::app::App;
use crate::auth::{Caller, Operator};
use crate::extract::Params;
use crate::listener::{Stopping, Streamed};
use crate::metrics::OpenStream;
use crate::problem::{Fault, Kind, Problem};
use feed::Feed;

/// What is to be seen.
#[derive(Debug, Default, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
pub(crate) struct StreamParams {
    /// The shop whose events are seen. Missing: the key's own; with the operator's key, all.
    #[param(required = false)]
    shop: Option<String>,
    /// Events of this type alone.
    #[param(required = false, rename = "type", schema_with = public_names)]
    #[serde(rename = "type")]
    kind: Option<String>,
    /// From this moment on, as far as the journal goes back. Missing: from now on. `Last-Event-ID` wins over it.
    #[param(required = false, format = DateTime)]
    since: Option<String>,
    /// Whether the stream goes on when all that has happened is told. Default `true`.
    #[param(required = false)]
    follow: Option<bool>,
}

/// Follow what happens
///
/// Server-sent events that do not end: each has the event's type as `event`, and as `data` the JSON that Redis' streams hold. A
/// comment comes every 15 seconds when nothing else does. Whoever comes back with the last `id` in `Last-Event-ID` misses nothing that
/// the journal still holds; an event `gap` says that something is missed.
#[utoipa::path(
    get, path = "/v1/events/stream", tag = "events", operation_id = "streamEvents",
    params(StreamParams, ("Last-Event-ID" = Option<String>, Header, description = "The `id` of the last event seen.", pattern = "^[0-9a-f]{32}-[0-9]{1,20}$")),
    responses((status = 200, description = "The events, without end.", body = String, content_type = "text/event-stream"))
)]
pub(crate) async fn get(
    State(app): State<App>,
    caller: Caller,
    Params(params): Params<StreamParams>,
    stopping: Stopping,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    caller.may(Scope::Read)?;
    let shop = if caller.is_operator() && params.shop.is_none() {
        None
    } else {
        Some(caller.shop(&app, params.shop.as_deref(), Scope::Read)?.number)
    };
    open(app, caller, shop, &params, stopping, &headers).await
}

/// The operator's twin on the admin listener.
pub(crate) async fn for_operator(
    state: State<App>,
    _operator: Operator,
    params: Params<StreamParams>,
    stopping: Stopping,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    get(state, Caller::Operator, params, stopping, headers).await
}

async fn open(
    app: App,
    caller: Caller,
    shop: Option<ShopNumber>,
    params: &StreamParams,
    Stopping(end): Stopping,
    headers: &HeaderMap,
) -> Result<Response, Problem> {
    let name = params.kind.as_deref().map(public_name).transpose()?;
    let permit = app.admission.stream()?;
    let start = Start::of(&app, params, headers).await?;
    let place = Place {
        _permit: permit,
        _open: app.metrics.open_stream(),
    };
    let ends = (params.follow == Some(false)).then(|| app.store.journal().durable().borrow().0);
    let filter = Filter {
        caller,
        viewer: shop.map_or(Viewer::Operator, Viewer::Shop),
        name,
        ends,
    };
    let feed = Feed::new(app, filter, &start, end, place);
    let portions = futures_util::stream::unfold(feed, async |mut feed| {
        let portion = feed.next().await?;
        Some((Ok::<_, Infallible>(portion), feed))
    });
    let mut response = Response::new(Body::from_stream(portions));
    response.extensions_mut().insert(Streamed);
    let answer = response.headers_mut();
    answer.insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    answer.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    // nginx would hold events back until its buffer is full.
    answer.insert(
        HeaderName::from_static("x-accel-buffering"),
        HeaderValue::from_static("no"),
    );
    Ok(response)
}

/// What a stream shows.
struct Filter {
    /// Who opened it.
    caller: Caller,
    /// Who sees them.
    viewer: Viewer,
    /// The only events, by their public name.
    name: Option<&'static str>,
    /// The position after which it is over.
    ends: Option<u64>,
}

/// Where a stream begins.
struct Start {
    from: Position,
    /// Whether what the client saw last is of another journal.
    gap: bool,
}

impl Start {
    async fn of(app: &App, params: &StreamParams, headers: &HeaderMap) -> Result<Self, Problem> {
        let next = Position(app.store.journal().durable().borrow().0 + 1);
        let from_now = |gap| Self { from: next, gap };
        if let Some(last) = headers.get("last-event-id") {
            let (incarnation, seen) = last.to_str().ok().and_then(read_id).ok_or_else(|| {
                Problem::new(Kind::Malformed, "Last-Event-ID is not one of ours")
                    .with(Fault::new("Last-Event-ID", "is not one of ours"))
            })?;
            // A position that lies ahead was never given out by this journal.
            if incarnation != app.store.incarnation() || seen >= next.0 {
                return Ok(from_now(true));
            }
            return Ok(Self {
                from: Position(seen + 1),
                gap: false,
            });
        }
        let Some(since) = &params.since else {
            return Ok(from_now(false));
        };
        let since: Timestamp = since
            .parse()
            .map_err(|fault: types::time::NotATime| malformed("since", fault.to_string()))?;
        let found = app.store.position_at(since).await;
        let from = found.map_err(|error| crate::app::internal("reading the journal", &error))?;
        Ok(Self { from, gap: false })
    }
}

/// Returns the public name that was asked for. Err: no event that the outside sees has it.
fn public_name(asked: &str) -> Result<&'static str, Problem> {
    let known = Event::public_names().find(|name| *name == asked);
    known.ok_or_else(|| {
        let all: Vec<_> = Event::public_names().collect();
        malformed("type", format!("is none of {}", all.join(", ")))
    })
}

/// The schema of a public name.
fn public_names() -> utoipa::openapi::schema::Object {
    utoipa::openapi::schema::ObjectBuilder::new()
        .schema_type(utoipa::openapi::schema::Type::String)
        .enum_values(Some(Event::public_names()))
        .build()
}

fn malformed(field: &'static str, fault: String) -> Problem {
    Problem::new(Kind::Malformed, format!("{field} {fault}")).with(Fault::new(field, fault))
}

/// Writes an event's id.
fn write_id(incarnation: [u8; 16], position: u64) -> String {
    format!("{}-{position}", data_encoding::HEXLOWER.encode(&incarnation))
}

fn read_id(text: &str) -> Option<([u8; 16], u64)> {
    let (incarnation, position) = text.split_once('-')?;
    let incarnation = data_encoding::HEXLOWER.decode(incarnation.as_bytes()).ok()?;
    let digits = !position.is_empty() && position.bytes().all(|b| b.is_ascii_digit());
    let position = position.parse().ok().filter(|_| digits)?;
    Some((incarnation.try_into().ok()?, position))
}

/// A stream's place among those that may be open, given back when it is dropped.
struct Place {
    _permit: OwnedSemaphorePermit,
    _open: OpenStream,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_survive_a_round_trip() {
        let id = write_id([7; 16], u64::MAX);
        assert_eq!(read_id(&id), Some(([7; 16], u64::MAX)));
        for bad in [
            "",
            "-",
            "07-1",
            "x",
            &format!("{}-+1", "07".repeat(16)),
            &format!("{}-", "07".repeat(16)),
        ] {
            assert_eq!(read_id(bad), None, "{bad}");
        }
    }
}
