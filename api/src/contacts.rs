//! `/v1/contacts`: what a shop knows of its contacts, put, read and erased.
//!
//! A contact is named by its address, which is hashed and looked up. Two shops' contacts of one person share nothing: a key sees those
//! of its own shop alone, and lists name people by the keyed hash in their cursors.

pub(crate) mod document;
pub(crate) mod timeline;
pub(crate) mod view;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use data_encoding::HEXLOWER;
use hyper::StatusCode;
use hyper::header::{CACHE_CONTROL, HeaderValue};
use policy::contact::ContactState;
use serde::{Deserialize, Serialize};
use store::StateError;
use types::address::EmailAddress;
use types::catalogue::{Catalogue, Scope};
use types::contact::ContactSource;
use types::event::{ContactChanged, Event, PersonErased};
use types::id::{PartitionId, PersonKey, ShopNumber};
use types::text::Slug;

use crate::app::{App, internal};
use crate::auth::Caller;
use crate::body::Json;
use crate::events::AcceptedAnswer;
use crate::extract::{Params, Segments, ShopParam, existing, page_size, unknown_cursor};
use crate::once;
use crate::orders::accepted_answer;
use crate::problem::{Fault, Problem};
use document::{ContactDocument, Reader, Way};
use view::ContactView;

/// How many contacts are looked at for one page of a group's members.
const SCANNED_MAX: usize = 20_000;
/// How many are read at once.
const PAGE: usize = 1000;

/// A page of contacts.
#[derive(Debug, Default, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
pub(crate) struct ContactParams {
    /// The shop the request is about. Demanded with the operator's key; with a shop's key it may only be its own.
    #[param(required = false)]
    pub(crate) shop: Option<String>,
    /// Where to go on: `next` of the page before.
    #[param(required = false, pattern = "^[0-9a-f]{32}$")]
    cursor: Option<String>,
    /// How many entries at most. Default 100.
    #[param(required = false, minimum = 1, maximum = 1000)]
    limit: Option<usize>,
}

impl ContactParams {
    /// Returns where to begin, and how many contacts to look at: as many as asked for, at most `max`.
    pub(crate) fn place(&self, max: usize) -> Result<(Option<PersonKey>, usize), Problem> {
        let limit = self.limit.map(|limit| page_size(Some(limit))).transpose()?;
        let cursor = self.cursor.as_deref().map(read_cursor).transpose()?;
        Ok((cursor, limit.unwrap_or(max).min(max)))
    }
}

/// A page of contacts.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct ContactList {
    /// In an order that stays the same.
    contacts: Vec<ContactView>,
    /// The cursor of the next page; missing on the last.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, nullable = false)]
    next: Option<String>,
}

/// Reads the address of a contact that is to be there.
fn known(email: &str) -> Result<EmailAddress, Problem> {
    EmailAddress::try_from(email).map_err(|_| Problem::not_found("contact"))
}

impl App {
    /// Reads what a shop knows of a person, of what is durable now.
    pub(crate) async fn contact(&self, shop: ShopNumber, person: PersonKey) -> Result<Option<ContactState>, Problem> {
        self.fold().await;
        let partition = person.partition();
        let bytes = self
            .reading(move |state| state.contacts().get(partition, &person, shop))
            .await?;
        let contact = bytes.as_deref().map(ContactState::decode).transpose();
        let contact = contact.map_err(|error| internal("reading a contact", &error))?;
        Ok(contact.filter(ContactState::exists))
    }

    /// Journals a change of a contact and answers 202.
    async fn change_contact(
        &self,
        shop: ShopNumber,
        email: &str,
        document: ContactDocument,
        way: Way,
    ) -> Result<Response, Problem> {
        let blame = |fault: String| Problem::invalid(vec![Fault::new("email", fault)]);
        let email = EmailAddress::try_from(email).map_err(|fault| blame(fault.to_string()))?;
        let reader = Reader {
            catalogue: &self.catalogue(),
            shop,
            now: self.now(),
            way,
        };
        let change = reader.read(document).map_err(Problem::invalid)?;
        let person = self.keyring.person(&email);
        let event = Event::ContactChanged(Box::new(ContactChanged {
            shop,
            person,
            email,
            source: ContactSource::Api,
            change,
        }));
        let accepted = once::accept(self, person.partition(), event, Vec::new()).await?;
        let answer = AcceptedAnswer {
            id: accepted.id.to_string(),
        };
        Ok(accepted_answer(accepted, &answer))
    }
}

/// Put a contact
///
/// Creates it, or replaces what the shop keeps of it: names, language, zone, country, phone, fields and groups that are not named are
/// cleared. Consents are kept unless they are named. Answers 202 once it is durable.
#[utoipa::path(
    put, path = "/v1/contacts/{email}", tag = "contacts", operation_id = "putContact",
    params(ShopParam, ("email" = String, Path, description = "The contact's address.", format = Email, min_length = 3, max_length = 318)),
    request_body(content = ContactDocument, example = json!({
        "name": "Mario Rossi", "locale": "it-IT", "country": "IT", "time_zone": "Europe/Rome",
        "consent": {"email": {"granted": true, "at": "2026-11-21T20:14:10Z", "text": "v3", "source": "newsletter form"}}
    })),
    responses((status = 202, description = "The change is durable.", body = AcceptedAnswer))
)]
pub(crate) async fn put(
    State(app): State<App>,
    caller: Caller,
    Params(params): Params<ShopParam>,
    Segments(email): Segments<String>,
    Json(document): Json<ContactDocument>,
) -> Result<Response, Problem> {
    let shop = caller.shop(&app, params.shop.as_deref(), Scope::Send)?.number;
    app.change_contact(shop, &email, document, Way::Put).await
}

/// Change a contact
///
/// What is not named stays as it is; a field that is `null` is cleared. A contact that is not there is made.
#[utoipa::path(
    patch, path = "/v1/contacts/{email}", tag = "contacts", operation_id = "patchContact",
    params(ShopParam, ("email" = String, Path, description = "The contact's address.", format = Email, min_length = 3, max_length = 318)),
    request_body(content = ContactDocument, example = json!({"country": "IT", "consent": {"sms": false}})),
    responses((status = 202, description = "The change is durable.", body = AcceptedAnswer))
)]
pub(crate) async fn patch(
    State(app): State<App>,
    caller: Caller,
    Params(params): Params<ShopParam>,
    Segments(email): Segments<String>,
    Json(document): Json<ContactDocument>,
) -> Result<Response, Problem> {
    let shop = caller.shop(&app, params.shop.as_deref(), Scope::Send)?.number;
    app.change_contact(shop, &email, document, Way::Patch).await
}

/// See a contact
///
/// With its fields, groups, consents and where they come from, and what it ordered, was sent and did.
#[utoipa::path(
    get, path = "/v1/contacts/{email}", tag = "contacts", operation_id = "getContact",
    params(ShopParam, ("email" = String, Path, description = "The contact's address.", min_length = 1, max_length = 318)),
    responses((status = 200, description = "The contact.", body = ContactView))
)]
pub(crate) async fn get(
    State(app): State<App>,
    caller: Caller,
    Params(params): Params<ShopParam>,
    Segments(email): Segments<String>,
) -> Result<Response, Problem> {
    let shop = caller.shop(&app, params.shop.as_deref(), Scope::Read)?.number;
    let person = app.keyring.person(&known(&email)?);
    let contact = app.contact(shop, person).await?;
    let contact = contact.ok_or_else(|| Problem::not_found("contact"))?;
    let view = ContactView::of(&contact, shop, &app.catalogue());
    Ok(private(axum::Json(view).into_response()))
}

/// Erase a contact
///
/// Erases all that the shop knows of the person, as `DELETE /v1/persons` does: the contact, its orders and mails, its ways through
/// workflows and its carts. Suppressions and refusals stay, under a keyed hash alone. Answered once it is durable.
#[utoipa::path(
    delete, path = "/v1/contacts/{email}", tag = "contacts", operation_id = "deleteContact",
    params(ShopParam, ("email" = String, Path, description = "The contact's address.", min_length = 1, max_length = 318)),
    responses((status = 204, description = "The contact is erased."))
)]
pub(crate) async fn delete(
    State(app): State<App>,
    caller: Caller,
    Params(params): Params<ShopParam>,
    Segments(email): Segments<String>,
) -> Result<StatusCode, Problem> {
    let shop = caller.shop(&app, params.shop.as_deref(), Scope::Manage)?.number;
    let person = app.keyring.person(&known(&email)?);
    if app.contact(shop, person).await?.is_none() {
        return Err(Problem::not_found("contact"));
    }
    let event = Event::PersonErased(PersonErased {
        person,
        shop: Some(shop),
    });
    app.submit(person.partition(), event).await?;
    // Whoever asks next is told from state that has forgotten.
    app.fold().await;
    Ok(StatusCode::NO_CONTENT)
}

/// List contacts
///
/// All of the shop's, a page at a time.
#[utoipa::path(
    get, path = "/v1/contacts", tag = "contacts", operation_id = "listContacts", params(ContactParams),
    responses((status = 200, description = "A page of contacts.", body = ContactList))
)]
pub(crate) async fn list(
    State(app): State<App>,
    caller: Caller,
    Params(params): Params<ContactParams>,
) -> Result<Response, Problem> {
    let shop = caller.shop(&app, params.shop.as_deref(), Scope::Read)?.number;
    answer_page(&app, shop, &params, None).await
}

/// List the members of a group
///
/// At most 20,000 contacts are looked at for one page: a page may hold fewer members than asked for, or none, and name a next one.
#[utoipa::path(
    get, path = "/v1/groups/{id}/members", tag = "contacts", operation_id = "listMembers",
    params(ContactParams, ("id" = String, Path, description = "The group's id.", min_length = 1, max_length = 64)),
    responses((status = 200, description = "A page of contacts.", body = ContactList))
)]
pub(crate) async fn members(
    State(app): State<App>,
    caller: Caller,
    Params(params): Params<ContactParams>,
    Segments(id): Segments<String>,
) -> Result<Response, Problem> {
    let shop = caller.shop(&app, params.shop.as_deref(), Scope::Read)?.number;
    let group = existing(&id, "group")?;
    if app.catalogue().group(shop, &group).is_none() {
        return Err(Problem::not_found("group"));
    }
    answer_page(&app, shop, &params, Some(group)).await
}

async fn answer_page(
    app: &App,
    shop: ShopNumber,
    params: &ContactParams,
    group: Option<Slug>,
) -> Result<Response, Problem> {
    let limit = page_size(params.limit)?;
    let cursor = params.cursor.as_deref().map(read_cursor).transpose()?;
    app.fold().await;
    let in_group = group.is_some();
    let read = move |app: &App| {
        let mut page = ContactList {
            contacts: Vec::new(),
            next: None,
        };
        let catalogue = app.catalogue();
        let scanned = scan(app, shop, cursor, SCANNED_MAX.max(limit), |_, contact| {
            if group.as_ref().is_none_or(|group| contact.groups().contains(group)) {
                page.contacts.push(ContactView::of(contact, shop, &catalogue));
            }
            page.contacts.len() < limit
        })?;
        page.next = scanned.map(|last| HEXLOWER.encode(last.as_bytes()));
        Ok::<_, ScanError>(page)
    };
    // The members of a group may be few among many.
    let page = if in_group {
        app.in_turn(shop, 0, read).await?
    } else {
        app.apart(read).await?
    };
    let page = page.map_err(|error| internal("reading contacts", &error))?;
    Ok(private(axum::Json(page).into_response()))
}

/// Why contacts cannot be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ScanError {
    #[error(transparent)]
    State(#[from] StateError),
    #[error("a contact's row is malformed: {0}")]
    Row(String),
}

/// Shows a shop's contacts to `look`, from after `after` on, until it says no or `max` were read. Returns the last one that was shown
/// if there are more. Reads the disk.
pub(crate) fn scan(
    app: &App,
    shop: ShopNumber,
    after: Option<PersonKey>,
    max: usize,
    mut look: impl FnMut(PersonKey, &ContactState) -> bool,
) -> Result<Option<PersonKey>, ScanError> {
    let state = app.store.state();
    let mut cursor = after.map(|person| (person.partition(), person));
    let all = 0..PartitionId::CATALOGUE.number();
    let (mut seen, mut last, mut goes_on) = (0, None, true);
    loop {
        let page = state.contacts().of_shop(shop, all.clone(), cursor, PAGE)?;
        let is_full = page.len() == PAGE;
        for (partition, person) in page {
            if !goes_on || seen == max {
                return Ok(last);
            }
            (cursor, last) = (Some((partition, person)), Some(person));
            seen += 1;
            if let Some(bytes) = state.contacts().get(partition, &person, shop)? {
                let contact = ContactState::decode(&bytes).map_err(|error| ScanError::Row(error.to_string()))?;
                goes_on = !contact.exists() || look(person, &contact);
            }
        }
        if !is_full {
            return Ok(None);
        }
    }
}

fn read_cursor(text: &str) -> Result<PersonKey, Problem> {
    let bytes = HEXLOWER.decode(text.as_bytes()).ok();
    let bytes = bytes.and_then(|bytes| bytes.try_into().ok());
    bytes.map(PersonKey::from_bytes).ok_or_else(unknown_cursor)
}

/// Keeps people's data out of caches.
pub(crate) fn private(mut response: Response) -> Response {
    let headers = response.headers_mut();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// Returns whether the catalogue has the group and, for fields, a field of the value's type.
pub(crate) fn is_seen(
    catalogue: &Catalogue,
    shop: ShopNumber,
    field: &Slug,
    value: &types::contact::FieldValue,
) -> bool {
    catalogue
        .field(shop, field)
        .is_some_and(|spec| spec.kind == value.kind())
}
