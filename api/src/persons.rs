//! `/v1/persons`: all that is known of a person, told (GDPR Art. 15) and erased (Art. 17).
//!
//! The person is named by address, which is hashed and looked up; the address itself is kept nowhere but in the orders and
//! messages that it came with. A shop is told, and erases, what it brought and what its own mails caused. What the
//! network knows beyond that (suppressions by the network, first visits to advertisers' sites) is the operator's to tell: it
//! would tell a shop what people who never bought there do.
//!
//! An erasure is durable when it is answered. State forgets at once; the journal holds the erased records for as long as its
//! retention says and a quarter longer (`store.journal_retention`), readable by nobody but a recovery.

mod export;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use data_encoding::HEXLOWER;
use hyper::StatusCode;
use hyper::header::{CACHE_CONTROL, HeaderValue};
use serde::Deserialize;
use types::address::EmailAddress;
use types::catalogue::Scope;
use types::event::{Event, PersonErased};
use types::id::{PersonKey, ShopNumber};

use crate::app::{App, internal};
use crate::auth::{Caller, Operator};
use crate::extract::Params;
use crate::problem::{Fault, Problem};
pub(crate) use export::PersonExport;

/// Who is meant.
#[derive(Debug, Default, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
pub(crate) struct PersonParams {
    /// The person's address.
    #[param(required = true, format = Email, max_length = 318)]
    email: Option<String>,
    /// The shop the request is about. With the operator's key: missing means every shop.
    #[param(required = false)]
    shop: Option<String>,
}

/// Who is meant, as checked.
struct Asked {
    person: PersonKey,
    /// `None` is every shop's, and the network's.
    shop: Option<ShopNumber>,
}

impl Asked {
    fn of(app: &App, caller: &Caller, params: &PersonParams, scope: Scope) -> Result<Self, Problem> {
        caller.may(scope)?;
        let shop = if caller.is_operator() && params.shop.is_none() {
            None
        } else {
            Some(caller.shop(app, params.shop.as_deref(), scope)?.number)
        };
        let blame = |fault: String| Problem::invalid(vec![Fault::new("email", fault)]);
        let email = params.email.as_deref().ok_or_else(|| blame("is missing".to_owned()))?;
        let email = EmailAddress::try_from(email).map_err(|fault| blame(fault.to_string()))?;
        Ok(Self {
            person: app.keyring.person(&email),
            shop,
        })
    }
}

/// Export what is known of a person
///
/// Consents with their evidence, suppressions, orders and messages as they came with all that happened since, opens and clicks
/// with what they were taken for. A shop sees what is its own; the operator sees all, with first visits. Whoever is unknown has
/// empty lists.
#[utoipa::path(
    get, path = "/v1/persons", tag = "persons", operation_id = "getPerson", params(PersonParams),
    responses((status = 200, description = "All that is known.", body = PersonExport))
)]
pub(crate) async fn get(
    State(app): State<App>,
    caller: Caller,
    Params(params): Params<PersonParams>,
) -> Result<Response, Problem> {
    let asked = Asked::of(&app, &caller, &params, Scope::Read)?;
    app.fold().await;
    let export = app
        .apart(move |app| export::export(app.store.state(), &app.catalogue(), asked.person, asked.shop))
        .await?
        .map_err(|error| internal("reading state", &error))?;
    let mut response = axum::Json(export).into_response();
    response
        .headers_mut()
        .insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}

/// Erase a person
///
/// What the shop brought of the person, and what its mails caused, is erased and queued mail is withdrawn; with the operator's
/// key, of every shop unless one is named. What protects the person stays, under a keyed hash alone: suppressions, refusals, and
/// that a first visit was made. Answered once it is durable. The journal holds what is erased until its retention is over.
#[utoipa::path(
    delete, path = "/v1/persons", tag = "persons", operation_id = "deletePerson", params(PersonParams),
    responses((status = 204, description = "The person is erased, or was not known."))
)]
pub(crate) async fn delete(
    State(app): State<App>,
    caller: Caller,
    Params(params): Params<PersonParams>,
) -> Result<StatusCode, Problem> {
    let Asked { person, shop } = Asked::of(&app, &caller, &params, Scope::Manage)?;
    let event = Event::PersonErased(PersonErased { person, shop });
    app.submit(person.partition(), event).await?;
    // Whoever asks next is told from state that has forgotten.
    app.fold().await;
    tracing::info!(
        person = HEXLOWER.encode(person.as_bytes()),
        shop = shop.map(|shop| shop.0),
        "a person was erased"
    );
    Ok(StatusCode::NO_CONTENT)
}

/// The operator's twin of [`get`] on the admin listener.
pub(crate) async fn for_operator(
    State(app): State<App>,
    _operator: Operator,
    params: Params<PersonParams>,
) -> Result<Response, Problem> {
    get(State(app), Caller::Operator, params).await
}

/// The operator's twin of [`delete`] on the admin listener.
pub(crate) async fn delete_for_operator(
    State(app): State<App>,
    _operator: Operator,
    params: Params<PersonParams>,
) -> Result<StatusCode, Problem> {
    delete(State(app), Caller::Operator, params).await
}
