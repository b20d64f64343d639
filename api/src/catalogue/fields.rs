//! `/v1/fields`: what a shop keeps about its contacts, each field with its type.

use std::sync::Arc;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use hyper::StatusCode;
use serde::Serialize;
use types::catalogue::Scope;
use types::contact::FieldSpec;
use types::event::CatalogueChanged;
use types::id::ShopNumber;
use types::text::Slug;

use super::{never_deleted, put_answer};
use crate::app::App;
use crate::auth::Caller;
use crate::body::Json;
use crate::extract::{PageParams, Params, Segments, ShopParam, existing, new_id, page};
use crate::problem::{Fault, Kind, Problem};
use crate::workflows;

/// How many fields a shop may have: a contact holds a value of each.
const FIELDS_MAX: usize = 500;

/// A field as it is now.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct FieldView {
    /// Its id: the name under which contacts have its value.
    id: String,
    /// What was put.
    spec: FieldSpec,
}

/// A page of fields.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct FieldList {
    /// By id.
    fields: Vec<FieldView>,
    /// The cursor of the next page; missing on the last.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, nullable = false)]
    next: Option<String>,
}

impl FieldView {
    fn of(id: &Slug, spec: &FieldSpec) -> Self {
        Self {
            id: id.to_string(),
            spec: spec.clone(),
        }
    }
}

/// Put a field
///
/// Creates it or changes its label. Its type stays what it was: values that are there are of it. The id of a field that was deleted
/// cannot be used again.
#[utoipa::path(
    put, path = "/v1/fields/{id}", tag = "contacts", operation_id = "putField",
    params(ShopParam, ("id" = String, Path, description = "The field's id, one in its shop.", pattern = "^[a-zA-Z0-9][a-zA-Z0-9._-]{0,63}$")),
    request_body(content = FieldSpec, example = json!({"type": "date", "label": "Birthday"})),
    responses(
        (status = 200, description = "The field was there and is as it was put.", body = FieldView),
        (status = 201, description = "The field is new.", body = FieldView),
        (status = 409, description = "The shop deleted a field of this id, or has too many.", body = crate::problem::Document, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn put(
    State(app): State<App>,
    caller: Caller,
    Params(params): Params<ShopParam>,
    Segments(id): Segments<String>,
    Json(spec): Json<FieldSpec>,
) -> Result<Response, Problem> {
    let shop = caller.shop(&app, params.shop.as_deref(), Scope::Manage)?.number;
    let id = new_id(id)?;
    let before = app.catalogue().field(shop, &id).cloned();
    if before.as_ref().is_some_and(|before| before.kind != spec.kind) {
        let fault = "cannot change: values of the old type are there; put another field";
        return Err(Problem::invalid(vec![Fault::new("/type", fault)]));
    }
    if before.is_none() {
        let catalogue = app.catalogue();
        never_deleted(catalogue.fields_deleted(shop), &id)?;
        if catalogue.fields(shop).count() >= FIELDS_MAX {
            let detail = format!("the shop has {FIELDS_MAX} fields; delete some first");
            return Err(Problem::new(Kind::Conflict, detail));
        }
    }
    let new = before.is_none();
    if before.is_none_or(|before| *before != spec) {
        let change = CatalogueChanged::FieldPut {
            shop,
            id: id.clone(),
            spec: spec.clone(),
        };
        app.change(change, |catalogue| {
            catalogue.field(shop, &id).is_some_and(|field| **field == spec)
        })
        .await?;
    }
    Ok(put_answer(new, &FieldView::of(&id, &spec)))
}

fn find(app: &App, shop: ShopNumber, id: &Slug) -> Result<Arc<FieldSpec>, Problem> {
    let catalogue = app.catalogue();
    let field = catalogue.field(shop, id).cloned();
    field.ok_or_else(|| Problem::not_found("field"))
}

/// See a field
#[utoipa::path(
    get, path = "/v1/fields/{id}", tag = "contacts", operation_id = "getField",
    params(ShopParam, ("id" = String, Path, description = "The field's id.", min_length = 1, max_length = 64)),
    responses((status = 200, description = "The field.", body = FieldView))
)]
pub(crate) async fn get(
    State(app): State<App>,
    caller: Caller,
    Params(params): Params<ShopParam>,
    Segments(id): Segments<String>,
) -> Result<Response, Problem> {
    let shop = caller.shop(&app, params.shop.as_deref(), Scope::Read)?.number;
    let id = existing(&id, "field")?;
    let spec = find(&app, shop, &id)?;
    Ok(axum::Json(FieldView::of(&id, &spec)).into_response())
}

/// Delete a field
///
/// Its values are seen no more, and its id is not used again. A field that a workflow that runs needs cannot be deleted.
#[utoipa::path(
    delete, path = "/v1/fields/{id}", tag = "contacts", operation_id = "deleteField",
    params(ShopParam, ("id" = String, Path, description = "The field's id.", min_length = 1, max_length = 64)),
    responses(
        (status = 204, description = "The field is gone."),
        (status = 409, description = "A workflow that runs needs it.", body = crate::problem::Document, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn delete(
    State(app): State<App>,
    caller: Caller,
    Params(params): Params<ShopParam>,
    Segments(id): Segments<String>,
) -> Result<StatusCode, Problem> {
    let shop = caller.shop(&app, params.shop.as_deref(), Scope::Manage)?.number;
    let id = existing(&id, "field")?;
    find(&app, shop, &id)?;
    let change = CatalogueChanged::FieldDeleted { shop, id: id.clone() };
    workflows::still_run(&app, shop, &change).await?;
    app.change(change, |catalogue| catalogue.field(shop, &id).is_none())
        .await?;
    Ok(StatusCode::NO_CONTENT)
}

/// List fields
#[utoipa::path(
    get, path = "/v1/fields", tag = "contacts", operation_id = "listFields", params(PageParams),
    responses((status = 200, description = "A page of fields.", body = FieldList))
)]
pub(crate) async fn list(
    State(app): State<App>,
    caller: Caller,
    Params(params): Params<PageParams>,
) -> Result<Response, Problem> {
    let shop = caller.shop(&app, params.shop.as_deref(), Scope::Read)?.number;
    let catalogue = app.catalogue();
    let all = catalogue.fields(shop).collect();
    let (page, next) = page(all, |(id, _): &(&Slug, _)| id.as_str(), &params)?;
    let fields = page.iter().map(|(id, spec)| FieldView::of(id, spec)).collect();
    Ok(axum::Json(FieldList { fields, next }).into_response())
}
