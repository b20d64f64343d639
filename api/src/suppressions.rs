//! `/v1/suppressions`: who is not to be mailed, by a shop or by the whole network.
//!
//! Lists hold no addresses, only the keyed hash that stands for a person everywhere in the service. An address comes in
//! when a person is put on a list or looked up, always in a body, so that it is in no log of URLs; from then on the
//! hash names the person. A shop takes off what it put on itself; what the person or the provider said (unsubscribe,
//! complaint, bounce) only the operator can lift.

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use data_encoding::HEXLOWER;
use hyper::StatusCode;
use serde::{Deserialize, Serialize};
use store::{Suppression, SuppressionList};
use types::address::EmailAddress;
use types::catalogue::Scope;
use types::event::{Event, SuppressionCause, SuppressionChanged};
use types::id::{PersonKey, ShopNumber};
use types::order::Stream;

use crate::app::App;
use crate::auth::Caller;
use crate::body::Json;
use crate::extract::{Params, Segments, ShopParam, page_size, unknown_cursor};
use crate::problem::{Fault, Kind, Problem};

/// Whose list.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum ListScope {
    /// The shop's.
    #[default]
    Shop,
    /// The network's, for the operator alone.
    Network,
}

/// Who is to be put on a list.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct SuppressionRequest {
    /// The person's address. It is hashed, not kept.
    #[schema(value_type = String, format = Email, max_length = 318)]
    email: EmailAddress,
    /// For which stream. Missing: for both.
    #[serde(default)]
    #[schema(required = false)]
    stream: Option<Stream>,
    /// Whose list.
    #[serde(default)]
    #[schema(required = false)]
    scope: ListScope,
}

/// Who is looked up.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct LookupRequest {
    /// The person's address. It is hashed, not kept.
    #[schema(value_type = String, format = Email, max_length = 318)]
    email: EmailAddress,
}

/// One entry.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct SuppressionView {
    /// Stands for the person.
    #[schema(pattern = "^[0-9a-f]{32}$")]
    person: String,
    /// Whose list.
    scope: ListScope,
    /// For which stream; missing means both.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false)]
    stream: Option<Stream>,
    /// Why.
    cause: SuppressionCause,
    /// Since when.
    #[schema(format = DateTime)]
    since: String,
}

/// A page of entries.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct SuppressionPage {
    /// By person.
    suppressions: Vec<SuppressionView>,
    /// The cursor of the next page; missing on the last.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
}

/// What a look-up finds.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct LookupAnswer {
    /// Stands for the person, also in lists and deletions.
    #[schema(pattern = "^[0-9a-f]{32}$")]
    person: String,
    /// The person's entries on the lists that the key may see; empty means not suppressed.
    suppressions: Vec<SuppressionView>,
}

/// Which list is meant.
#[derive(Debug, Default, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
pub(crate) struct ListParams {
    /// The shop the request is about. Demanded with the operator's key unless the scope is `network`.
    #[param(required = false)]
    shop: Option<String>,
    /// Whose list. Default `shop`.
    #[param(required = false)]
    scope: Option<ListScope>,
    /// Where to go on: `next` of the page before.
    #[param(required = false, pattern = "^[0-9a-f]{32}[.](transactional|promotional)?$")]
    cursor: Option<String>,
    /// How many entries at most. Default 100.
    #[param(required = false, minimum = 1, maximum = 1000)]
    limit: Option<usize>,
}

/// Which entry is meant.
#[derive(Debug, Default, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
pub(crate) struct EntryParams {
    /// The shop the request is about. Demanded with the operator's key unless the scope is `network`.
    #[param(required = false)]
    shop: Option<String>,
    /// Whose list. Default `shop`.
    #[param(required = false)]
    scope: Option<ListScope>,
    /// The entry of this stream alone; missing means the entry for both.
    #[param(required = false)]
    stream: Option<Stream>,
}

/// Returns the list that a caller means and may use.
fn list_of(
    app: &App,
    caller: &Caller,
    scope: ListScope,
    shop: Option<&str>,
    needed: Scope,
) -> Result<SuppressionList, Problem> {
    match scope {
        ListScope::Shop => caller
            .shop(app, shop, needed)
            .map(|shop| SuppressionList::Shop(shop.number)),
        ListScope::Network if caller.is_operator() => Ok(SuppressionList::Network),
        ListScope::Network => Err(Problem::new(Kind::Forbidden, "the network's list is the operator's")
            .with(Fault::new("scope", "is for the operator alone"))),
    }
}

fn shop_of(list: SuppressionList) -> Option<ShopNumber> {
    match list {
        SuppressionList::Shop(shop) => Some(shop),
        SuppressionList::Network => None,
    }
}

impl SuppressionView {
    fn of(list: SuppressionList, entry: &Suppression) -> Self {
        Self {
            person: HEXLOWER.encode(entry.person.as_bytes()),
            scope: match list {
                SuppressionList::Shop(_) => ListScope::Shop,
                SuppressionList::Network => ListScope::Network,
            },
            stream: entry.stream,
            cause: entry.cause,
            since: entry.at.to_string(),
        }
    }
}

impl App {
    /// Returns a person's entries on one list.
    async fn entries(&self, list: SuppressionList, person: PersonKey) -> Result<Vec<Suppression>, Problem> {
        self.fold().await;
        // A list is sorted by person: start after the last possible entry of the person before.
        let before = u128::from_be_bytes(*person.as_bytes()).checked_sub(1);
        let cursor = before.map(|key| (PersonKey::from_bytes(key.to_be_bytes()), Some(Stream::Promotional)));
        let found = self
            .reading(move |state| state.suppressions().of(list, cursor, 8))
            .await?;
        Ok(found.into_iter().filter(|entry| entry.person == person).collect())
    }
}

/// Put a person on a list
///
/// Mails still queued for the person are withdrawn. An entry that is there stays as it is.
#[utoipa::path(
    post, path = "/v1/suppressions", tag = "suppressions", operation_id = "postSuppression", params(ShopParam),
    request_body(content = SuppressionRequest, example = json!({"email": "mario@example.it", "stream": "promotional", "scope": "shop"})),
    responses((status = 200, description = "The entry.", body = SuppressionView))
)]
pub(crate) async fn post(
    State(app): State<App>,
    caller: Caller,
    Params(params): Params<ShopParam>,
    Json(request): Json<SuppressionRequest>,
) -> Result<Response, Problem> {
    put(State(app), caller, Params(params), Json(request)).await
}

/// Put a person on a list
///
/// The same as `POST`.
#[utoipa::path(
    put, path = "/v1/suppressions", tag = "suppressions", operation_id = "putSuppression", params(ShopParam),
    request_body(content = SuppressionRequest, example = json!({"email": "mario@example.it", "stream": "promotional", "scope": "shop"})),
    responses((status = 200, description = "The entry.", body = SuppressionView))
)]
pub(crate) async fn put(
    State(app): State<App>,
    caller: Caller,
    Params(params): Params<ShopParam>,
    Json(request): Json<SuppressionRequest>,
) -> Result<Response, Problem> {
    caller.may(Scope::Manage)?;
    let list = list_of(&app, &caller, request.scope, params.shop.as_deref(), Scope::Manage)?;
    let person = app.keyring.person(&request.email);
    let there = |entries: Vec<Suppression>| entries.into_iter().find(|entry| entry.stream == request.stream);
    if let Some(entry) = there(app.entries(list, person).await?) {
        return Ok(axum::Json(SuppressionView::of(list, &entry)).into_response());
    }
    let event = Event::SuppressionChanged(SuppressionChanged {
        person,
        shop: shop_of(list),
        stream: request.stream,
        cause: Some(SuppressionCause::Manual),
    });
    app.submit(person.partition(), event).await?;
    let entry = there(app.entries(list, person).await?).unwrap_or(Suppression {
        person,
        stream: request.stream,
        cause: SuppressionCause::Manual,
        at: app.now(),
    });
    Ok(axum::Json(SuppressionView::of(list, &entry)).into_response())
}

/// Look a person up
///
/// By address. Shows the entries on the shop's list; with the operator's key also those on the network's.
#[utoipa::path(
    post, path = "/v1/suppressions/lookup", tag = "suppressions", operation_id = "lookUpSuppression", params(ShopParam),
    request_body(content = LookupRequest, example = json!({"email": "mario@example.it"})),
    responses((status = 200, description = "The person's entries.", body = LookupAnswer))
)]
pub(crate) async fn lookup(
    State(app): State<App>,
    caller: Caller,
    Params(params): Params<ShopParam>,
    Json(request): Json<LookupRequest>,
) -> Result<Response, Problem> {
    caller.may(Scope::Read)?;
    let mut lists = Vec::new();
    if caller.is_operator() {
        lists.push(SuppressionList::Network);
    }
    if params.shop.is_some() || !caller.is_operator() {
        let shop = caller.shop(&app, params.shop.as_deref(), Scope::Read)?;
        lists.push(SuppressionList::Shop(shop.number));
    }
    let person = app.keyring.person(&request.email);
    let mut suppressions = Vec::new();
    for list in lists {
        let entries = app.entries(list, person).await?;
        suppressions.extend(entries.iter().map(|entry| SuppressionView::of(list, entry)));
    }
    let answer = LookupAnswer {
        person: HEXLOWER.encode(person.as_bytes()),
        suppressions,
    };
    Ok(axum::Json(answer).into_response())
}

/// List suppressions
#[utoipa::path(
    get, path = "/v1/suppressions", tag = "suppressions", operation_id = "listSuppressions", params(ListParams),
    responses((status = 200, description = "A page of entries.", body = SuppressionPage))
)]
pub(crate) async fn list(
    State(app): State<App>,
    caller: Caller,
    Params(params): Params<ListParams>,
) -> Result<Response, Problem> {
    caller.may(Scope::Read)?;
    let list = list_of(
        &app,
        &caller,
        params.scope.unwrap_or_default(),
        params.shop.as_deref(),
        Scope::Read,
    )?;
    let limit = page_size(params.limit)?;
    let cursor = params.cursor.as_deref().map(read_cursor).transpose()?;
    app.fold().await;
    let mut found = app
        .reading(move |state| state.suppressions().of(list, cursor, limit + 1))
        .await?;
    let more = found.len() > limit;
    found.truncate(limit);
    let page = SuppressionPage {
        next: found.last().filter(|_| more).map(write_cursor),
        suppressions: found.iter().map(|entry| SuppressionView::of(list, entry)).collect(),
    };
    Ok(axum::Json(page).into_response())
}

/// Take a person off a list
///
/// The person is named by the hash that lists and look-ups show.
#[utoipa::path(
    delete, path = "/v1/suppressions/{person}", tag = "suppressions", operation_id = "deleteSuppression",
    params(EntryParams, ("person" = String, Path, description = "Stands for the person.", pattern = "^[0-9a-f]{32}$")),
    responses((status = 204, description = "The entry is gone."))
)]
pub(crate) async fn delete(
    State(app): State<App>,
    caller: Caller,
    Params(params): Params<EntryParams>,
    Segments(person): Segments<String>,
) -> Result<StatusCode, Problem> {
    caller.may(Scope::Manage)?;
    let missing = || Problem::not_found("suppression");
    let list = list_of(
        &app,
        &caller,
        params.scope.unwrap_or_default(),
        params.shop.as_deref(),
        Scope::Manage,
    )?;
    let person = read_person(&person).ok_or_else(missing)?;
    let entries = app.entries(list, person).await?;
    let entry = entries
        .iter()
        .find(|entry| entry.stream == params.stream)
        .ok_or_else(missing)?;
    if entry.cause != SuppressionCause::Manual && !caller.is_operator() {
        let detail = format!("the cause is {}: only the operator can lift it", entry.cause.as_str());
        return Err(Problem::new(Kind::Forbidden, detail));
    }
    let event = Event::SuppressionChanged(SuppressionChanged {
        person,
        shop: shop_of(list),
        stream: params.stream,
        cause: None,
    });
    app.submit(person.partition(), event).await?;
    Ok(StatusCode::NO_CONTENT)
}

fn read_person(text: &str) -> Option<PersonKey> {
    let bytes = HEXLOWER.decode(text.as_bytes()).ok()?;
    Some(PersonKey::from_bytes(bytes.try_into().ok()?))
}

fn write_cursor(entry: &Suppression) -> String {
    let stream = entry.stream.map_or("", Stream::as_str);
    format!("{}.{stream}", HEXLOWER.encode(entry.person.as_bytes()))
}

fn read_cursor(text: &str) -> Result<(PersonKey, Option<Stream>), Problem> {
    let read = || {
        let (person, stream) = text.split_once('.')?;
        let stream = match stream {
            "" => None,
            "transactional" => Some(Stream::Transactional),
            "promotional" => Some(Stream::Promotional),
            _ => return None,
        };
        Some((read_person(person)?, stream))
    };
    read().ok_or_else(unknown_cursor)
}
