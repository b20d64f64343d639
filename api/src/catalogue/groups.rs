//! `/v1/groups`: what a shop's contacts can be in, and who is.

use std::sync::Arc;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use hyper::StatusCode;
use serde::Serialize;
use types::catalogue::Scope;
use types::contact::GroupSpec;
use types::event::CatalogueChanged;
use types::id::ShopNumber;
use types::text::Slug;

use super::{never_deleted, put_answer};
use crate::app::App;
use crate::auth::Caller;
use crate::body::Json;
use crate::extract::{PageParams, Params, Segments, ShopParam, existing, new_id, page};
use crate::problem::{Kind, Problem};
use crate::workflows;

/// How many groups a shop may have: a contact holds the names of those that it is in.
const GROUPS_MAX: usize = 1000;

/// A group as it is now.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct GroupView {
    /// Its id: the name by which contacts are in it.
    id: String,
    /// What was put.
    spec: GroupSpec,
}

/// A page of groups.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct GroupList {
    /// By id.
    groups: Vec<GroupView>,
    /// The cursor of the next page; missing on the last.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, nullable = false)]
    next: Option<String>,
}

impl GroupView {
    fn of(id: &Slug, spec: &GroupSpec) -> Self {
        Self {
            id: id.to_string(),
            spec: spec.clone(),
        }
    }
}

/// Put a group
///
/// Creates it or changes what it is called. The id of a group that was deleted cannot be used again.
#[utoipa::path(
    put, path = "/v1/groups/{id}", tag = "contacts", operation_id = "putGroup",
    params(ShopParam, ("id" = String, Path, description = "The group's id, one in its shop.", pattern = "^[a-zA-Z0-9][a-zA-Z0-9._-]{0,63}$")),
    request_body(content = GroupSpec, example = json!({"name": "Newsletter"})),
    responses(
        (status = 200, description = "The group was there and is as it was put.", body = GroupView),
        (status = 201, description = "The group is new.", body = GroupView),
        (status = 409, description = "The shop deleted a group of this id, or has too many.", body = crate::problem::Document, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn put(
    State(app): State<App>,
    caller: Caller,
    Params(params): Params<ShopParam>,
    Segments(id): Segments<String>,
    Json(spec): Json<GroupSpec>,
) -> Result<Response, Problem> {
    let shop = caller.shop(&app, params.shop.as_deref(), Scope::Manage)?.number;
    let id = new_id(id)?;
    let before = app.catalogue().group(shop, &id).cloned();
    if before.is_none() {
        let catalogue = app.catalogue();
        never_deleted(catalogue.groups_deleted(shop), &id)?;
        if catalogue.groups(shop).count() >= GROUPS_MAX {
            let detail = format!("the shop has {GROUPS_MAX} groups; delete some first");
            return Err(Problem::new(Kind::Conflict, detail));
        }
    }
    let new = before.is_none();
    if before.is_none_or(|before| *before != spec) {
        let change = CatalogueChanged::GroupPut {
            shop,
            id: id.clone(),
            spec: spec.clone(),
        };
        app.change(change, |catalogue| {
            catalogue.group(shop, &id).is_some_and(|group| **group == spec)
        })
        .await?;
    }
    Ok(put_answer(new, &GroupView::of(&id, &spec)))
}

fn find(app: &App, shop: ShopNumber, id: &Slug) -> Result<Arc<GroupSpec>, Problem> {
    let catalogue = app.catalogue();
    let group = catalogue.group(shop, id).cloned();
    group.ok_or_else(|| Problem::not_found("group"))
}

/// See a group
#[utoipa::path(
    get, path = "/v1/groups/{id}", tag = "contacts", operation_id = "getGroup",
    params(ShopParam, ("id" = String, Path, description = "The group's id.", min_length = 1, max_length = 64)),
    responses((status = 200, description = "The group.", body = GroupView))
)]
pub(crate) async fn get(
    State(app): State<App>,
    caller: Caller,
    Params(params): Params<ShopParam>,
    Segments(id): Segments<String>,
) -> Result<Response, Problem> {
    let shop = caller.shop(&app, params.shop.as_deref(), Scope::Read)?.number;
    let id = existing(&id, "group")?;
    let spec = find(&app, shop, &id)?;
    Ok(axum::Json(GroupView::of(&id, &spec)).into_response())
}

/// Delete a group
///
/// Nobody is in it any more, and its id is not used again. A group that a workflow that runs needs cannot be deleted.
#[utoipa::path(
    delete, path = "/v1/groups/{id}", tag = "contacts", operation_id = "deleteGroup",
    params(ShopParam, ("id" = String, Path, description = "The group's id.", min_length = 1, max_length = 64)),
    responses(
        (status = 204, description = "The group is gone."),
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
    let id = existing(&id, "group")?;
    find(&app, shop, &id)?;
    let change = CatalogueChanged::GroupDeleted { shop, id: id.clone() };
    workflows::still_run(&app, shop, &change).await?;
    app.change(change, |catalogue| catalogue.group(shop, &id).is_none())
        .await?;
    Ok(StatusCode::NO_CONTENT)
}

/// List groups
#[utoipa::path(
    get, path = "/v1/groups", tag = "contacts", operation_id = "listGroups", params(PageParams),
    responses((status = 200, description = "A page of groups.", body = GroupList))
)]
pub(crate) async fn list(
    State(app): State<App>,
    caller: Caller,
    Params(params): Params<PageParams>,
) -> Result<Response, Problem> {
    let shop = caller.shop(&app, params.shop.as_deref(), Scope::Read)?.number;
    let catalogue = app.catalogue();
    let all = catalogue.groups(shop).collect();
    let (page, next) = page(all, |(id, _): &(&Slug, _)| id.as_str(), &params)?;
    let groups = page.iter().map(|(id, spec)| GroupView::of(id, spec)).collect();
    Ok(axum::Json(GroupList { groups, next }).into_response())
}
