//! `/v1/workflows`: what a shop does with its contacts over days and weeks.
//!
//! A definition is put at any time. As a draft it may be incomplete: it is kept, and the answer lists what is missing or wrong. Once it was
//! switched on it stays whole: a put that has faults is refused, and one that has none is a new version, for those who enter from then on.
//! One id is taken by the path beside it: `schema`.

pub(crate) mod schema;
pub(crate) mod simulation;
pub(crate) mod stats;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use hyper::StatusCode;
use policy::workflow::{Completeness, Vocabulary, check};
use serde::{Deserialize, Serialize};
use types::catalogue::{Catalogue, Scope, Workflow};
use types::event::CatalogueChanged;
use types::id::ShopNumber;
use types::text::Slug;
use types::time::Timestamp;
use types::workflow::{Enrol, WorkflowSpec, WorkflowState};

use crate::app::App;
use crate::auth::Caller;
use crate::body::Json;
use crate::catalogue::{put_answer, templates};
use crate::extract::{PageParams, Params, Segments, ShopParam, existing, new_id, page};
use crate::problem::{Fault, Kind, Problem};

/// How many workflows a shop may have.
const WORKFLOWS_MAX: usize = 500;

/// A workflow as it is now.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct WorkflowView {
    /// Its id.
    id: String,
    /// Its short number, which it keeps for ever; events name it by its id.
    number: u32,
    /// Whether it runs.
    state: WorkflowState,
    /// The newest version; 1 as long as it never ran.
    version: u32,
    /// When its definition or its state changed last.
    #[schema(format = DateTime)]
    changed_at: String,
    /// When it was last switched on.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, nullable = false, format = DateTime)]
    activated_at: Option<String>,
    /// What was put.
    spec: WorkflowSpec,
    /// What keeps it from being switched on; empty when nothing does.
    faults: Vec<Fault>,
}

/// A workflow in a list.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct WorkflowEntry {
    /// Its id.
    id: String,
    /// What people call it.
    name: String,
    /// Notes for people.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, nullable = false)]
    description: Option<String>,
    /// Whether it runs.
    state: WorkflowState,
    /// The newest version.
    version: u32,
    /// How many of its steps send mail.
    mails: usize,
    /// When its definition or its state changed last.
    #[schema(format = DateTime)]
    changed_at: String,
    /// When it was last switched on.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, nullable = false, format = DateTime)]
    activated_at: Option<String>,
}

/// A page of workflows.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct WorkflowList {
    /// By id.
    workflows: Vec<WorkflowEntry>,
    /// The cursor of the next page; missing on the last.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, nullable = false)]
    next: Option<String>,
}

/// How a workflow is switched.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct SwitchRequest {
    /// `on` or `off`.
    state: WorkflowState,
    /// Whom switching it on takes in.
    #[serde(default)]
    #[schema(required = false)]
    enrol: Enrol,
}

/// What a copy is called.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct CopyRequest {
    /// The copy's id, which no workflow of the shop has.
    #[schema(value_type = String, pattern = "^[a-zA-Z0-9][a-zA-Z0-9._-]{0,63}$")]
    id: Slug,
}

impl WorkflowView {
    fn of(workflow: &Workflow, faults: Vec<Fault>) -> Self {
        Self {
            id: workflow.id.to_string(),
            number: workflow.number.0,
            state: workflow.state,
            version: workflow.version,
            changed_at: workflow.changed_at.to_string(),
            activated_at: workflow.activated_at.map(|at| at.to_string()),
            faults,
            spec: (**workflow.spec()).clone(),
        }
    }
}

/// Finds all that keeps a definition from being switched on.
pub(crate) fn faults(catalogue: &Catalogue, shop: ShopNumber, spec: &WorkflowSpec) -> Vec<Fault> {
    let vocabulary = Vocabulary::of(catalogue, shop);
    let found = check(spec, &vocabulary, Completeness::Complete);
    found
        .into_iter()
        .map(|fault| Fault::new(fault.path, fault.fault))
        .collect()
}

/// Refuses a change of the catalogue that a workflow which runs would not survive.
pub(crate) async fn still_run(app: &App, shop: ShopNumber, change: &CatalogueChanged) -> Result<(), Problem> {
    let bytes = match change {
        CatalogueChanged::TemplatePut { spec, .. } => templates::bytes(spec),
        _ => 0,
    };
    let (change, now) = (change.clone(), app.now());
    let broken = app
        .in_turn(shop, bytes, move |app| broken_by(&app.catalogue(), shop, &change, now))
        .await?;
    if broken.is_empty() {
        return Ok(());
    }
    let detail = format!("workflows need it: {}; change or delete them first", broken.join(", "));
    Err(Problem::new(Kind::Conflict, detail))
}

/// Returns the workflows, on or off, whose newest definition has a fault after a change that it does not have before.
fn broken_by(before: &Catalogue, shop: ShopNumber, change: &CatalogueChanged, now: Timestamp) -> Vec<String> {
    let mut after = before.clone();
    after.apply(change, now);
    let running = before
        .workflows(shop)
        .filter(|workflow| workflow.state != WorkflowState::Draft);
    let broken = running.filter(|workflow| {
        let known = faults(before, shop, workflow.spec());
        faults(&after, shop, workflow.spec())
            .iter()
            .any(|fault| !known.contains(fault))
    });
    broken.map(|workflow| workflow.id.to_string()).collect()
}

/// Reads the id under which a workflow is put.
fn free_id(id: String) -> Result<Slug, Problem> {
    if id == "schema" {
        let fault = "names something else here; put the workflow under another id";
        return Err(Problem::invalid(vec![Fault::new("id", fault)]));
    }
    new_id(id)
}

fn find(app: &App, shop: ShopNumber, id: &Slug) -> Result<Arc<Workflow>, Problem> {
    let catalogue = app.catalogue();
    let workflow = catalogue.workflow(shop, id).cloned();
    workflow.ok_or_else(|| Problem::not_found("workflow"))
}

/// Finds a workflow that the caller may see.
pub(crate) fn asked(app: &App, caller: &Caller, shop: Option<&str>, id: &str) -> Result<Arc<Workflow>, Problem> {
    let shop = caller.shop(app, shop, Scope::Read)?.number;
    find(app, shop, &existing(id, "workflow")?)
}

/// Put a workflow
///
/// Creates it as a draft, or replaces its definition. A draft may have faults, which the answer lists; the definition of one that is on or
/// off may not, and is a new version: who is inside goes on with the one they entered with.
#[utoipa::path(
    put, path = "/v1/workflows/{id}", tag = "workflows", operation_id = "putWorkflow",
    params(ShopParam, ("id" = String, Path, description = "The workflow's id, one in its shop.", pattern = "^[a-zA-Z0-9][a-zA-Z0-9._-]{0,63}$")),
    request_body(content = WorkflowSpec, example = json!({
        "name": "Welcome", "start": {"on": "subscription"},
        "steps": [{"do": "send", "id": "hello", "template": "welcome"}, {"do": "wait", "id": "rest", "for": "3d"}]
    })),
    responses(
        (status = 200, description = "The workflow was there and is as it was put.", body = WorkflowView),
        (status = 201, description = "The workflow is new.", body = WorkflowView),
        (status = 409, description = "The shop has too many workflows.", body = crate::problem::Document, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn put(
    State(app): State<App>,
    caller: Caller,
    Params(params): Params<ShopParam>,
    Segments(id): Segments<String>,
    Json(spec): Json<WorkflowSpec>,
) -> Result<Response, Problem> {
    let shop = caller.shop(&app, params.shop.as_deref(), Scope::Manage)?.number;
    let id = free_id(id)?;
    let before = app.catalogue().workflow(shop, &id).cloned();
    if before.is_none() && app.catalogue().workflows(shop).count() >= WORKFLOWS_MAX {
        let detail = format!("the shop has {WORKFLOWS_MAX} workflows; delete some first");
        return Err(Problem::new(Kind::Conflict, detail));
    }
    let checked = Arc::new(spec.clone());
    let found = found(&app, shop, checked, app.settings.body_bytes_max).await?;
    let runs = |before: &Arc<Workflow>| before.state != WorkflowState::Draft;
    if before.as_ref().is_some_and(runs) && !found.is_empty() {
        return Err(Problem::invalid(found));
    }
    let new = before.is_none();
    if before.is_none_or(|before| **before.spec() != spec) {
        put_spec(&app, shop, &id, spec).await?;
    }
    let workflow = find(&app, shop, &id)?;
    Ok(put_answer(new, &WorkflowView::of(&workflow, found)))
}

async fn put_spec(app: &App, shop: ShopNumber, id: &Slug, spec: WorkflowSpec) -> Result<(), Problem> {
    let change = CatalogueChanged::WorkflowPut {
        shop,
        id: id.clone(),
        spec: Box::new(spec.clone()),
    };
    app.change(change, |catalogue| {
        catalogue
            .workflow(shop, id)
            .is_some_and(|workflow| **workflow.spec() == spec)
    })
    .await
}

/// Finds the faults of a definition. Filters are compiled for it, in a turn of the shop. `bytes` is what nobody else keeps of it.
///
/// Who changes something asks before: a turn may be refused, and a change that was made is not to be answered so.
async fn found(app: &App, shop: ShopNumber, spec: Arc<WorkflowSpec>, bytes: usize) -> Result<Vec<Fault>, Problem> {
    app.in_turn(shop, bytes, move |app| faults(&app.catalogue(), shop, &spec))
        .await
}

/// See a workflow
///
/// With its state, its version, and what keeps it from being switched on.
#[utoipa::path(
    get, path = "/v1/workflows/{id}", tag = "workflows", operation_id = "getWorkflow",
    params(ShopParam, ("id" = String, Path, description = "The workflow's id.", min_length = 1, max_length = 64)),
    responses((status = 200, description = "The workflow.", body = WorkflowView))
)]
pub(crate) async fn get(
    State(app): State<App>,
    caller: Caller,
    Params(params): Params<ShopParam>,
    Segments(id): Segments<String>,
) -> Result<Response, Problem> {
    let shop = caller.shop(&app, params.shop.as_deref(), Scope::Read)?.number;
    let workflow = find(&app, shop, &existing(&id, "workflow")?)?;
    let found = found(&app, shop, Arc::clone(workflow.spec()), 0).await?;
    Ok(axum::Json(WorkflowView::of(&workflow, found)).into_response())
}

/// Switch a workflow on or off
///
/// Switched on, it takes in who comes to its start from then on and, with `existing_and_future`, who is there already. Refused with 422 and
/// all faults if it has any. Switched off, it sends nothing and nobody enters; clocks go on.
#[utoipa::path(
    put, path = "/v1/workflows/{id}/state", tag = "workflows", operation_id = "switchWorkflow",
    params(ShopParam, ("id" = String, Path, description = "The workflow's id.", min_length = 1, max_length = 64)),
    request_body(content = SwitchRequest, example = json!({"state": "on", "enrol": "future"})),
    responses((status = 200, description = "The workflow is in that state.", body = WorkflowView))
)]
pub(crate) async fn switch(
    State(app): State<App>,
    caller: Caller,
    Params(params): Params<ShopParam>,
    Segments(id): Segments<String>,
    Json(request): Json<SwitchRequest>,
) -> Result<Response, Problem> {
    let shop = caller.shop(&app, params.shop.as_deref(), Scope::Manage)?.number;
    let id = existing(&id, "workflow")?;
    let before = find(&app, shop, &id)?;
    let state = request.state;
    match state {
        WorkflowState::Draft => {
            return Err(Problem::invalid(vec![Fault::new("/state", "is neither on nor off")]));
        }
        WorkflowState::Off if before.state == WorkflowState::Draft => {
            let fault = Fault::new("/state", "is off for a draft; it never ran");
            return Err(Problem::invalid(vec![fault]));
        }
        WorkflowState::Off | WorkflowState::On => {}
    }
    let found = found(&app, shop, Arc::clone(before.spec()), 0).await?;
    if state == WorkflowState::On && !found.is_empty() {
        return Err(Problem::invalid(found));
    }
    if before.state != state {
        let change = CatalogueChanged::WorkflowSwitched {
            shop,
            id: id.clone(),
            state,
            enrol: request.enrol,
        };
        app.change(change, |catalogue| {
            catalogue
                .workflow(shop, &id)
                .is_some_and(|workflow| workflow.state == state)
        })
        .await?;
    }
    let workflow = find(&app, shop, &id)?;
    Ok(axum::Json(WorkflowView::of(&workflow, found)).into_response())
}

/// Copy a workflow
///
/// The copy is a draft with an id of its own: whom the first took in, it may take in again.
#[utoipa::path(
    post, path = "/v1/workflows/{id}/copy", tag = "workflows", operation_id = "copyWorkflow",
    params(ShopParam, ("id" = String, Path, description = "The workflow's id.", min_length = 1, max_length = 64)),
    request_body(content = CopyRequest, example = json!({"id": "welcome-2"})),
    responses(
        (status = 201, description = "The copy.", body = WorkflowView),
        (status = 409, description = "The shop has a workflow of this id, or too many.", body = crate::problem::Document, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn copy(
    State(app): State<App>,
    caller: Caller,
    Params(params): Params<ShopParam>,
    Segments(id): Segments<String>,
    Json(request): Json<CopyRequest>,
) -> Result<Response, Problem> {
    let shop = caller.shop(&app, params.shop.as_deref(), Scope::Manage)?.number;
    let workflow = find(&app, shop, &existing(&id, "workflow")?)?;
    free_id(request.id.to_string())?;
    let catalogue = app.catalogue();
    if catalogue.workflow(shop, &request.id).is_some() {
        let fault = Fault::new("/id", "is taken");
        return Err(Problem::new(Kind::Conflict, "the shop has a workflow of this id").with(fault));
    }
    if catalogue.workflows(shop).count() >= WORKFLOWS_MAX {
        let detail = format!("the shop has {WORKFLOWS_MAX} workflows; delete some first");
        return Err(Problem::new(Kind::Conflict, detail));
    }
    let found = found(&app, shop, Arc::clone(workflow.spec()), 0).await?;
    put_spec(&app, shop, &request.id, (**workflow.spec()).clone()).await?;
    let copy = find(&app, shop, &request.id)?;
    Ok(put_answer(true, &WorkflowView::of(&copy, found)))
}

/// Delete a workflow
///
/// Who is inside leaves, at the latest when something would have been done; statistics are kept under its number.
#[utoipa::path(
    delete, path = "/v1/workflows/{id}", tag = "workflows", operation_id = "deleteWorkflow",
    params(ShopParam, ("id" = String, Path, description = "The workflow's id.", min_length = 1, max_length = 64)),
    responses((status = 204, description = "The workflow is gone."))
)]
pub(crate) async fn delete(
    State(app): State<App>,
    caller: Caller,
    Params(params): Params<ShopParam>,
    Segments(id): Segments<String>,
) -> Result<StatusCode, Problem> {
    let shop = caller.shop(&app, params.shop.as_deref(), Scope::Manage)?.number;
    let id = existing(&id, "workflow")?;
    find(&app, shop, &id)?;
    let change = CatalogueChanged::WorkflowDeleted { shop, id: id.clone() };
    app.change(change, |catalogue| catalogue.workflow(shop, &id).is_none())
        .await?;
    Ok(StatusCode::NO_CONTENT)
}

/// List workflows
#[utoipa::path(
    get, path = "/v1/workflows", tag = "workflows", operation_id = "listWorkflows", params(PageParams),
    responses((status = 200, description = "A page of workflows.", body = WorkflowList))
)]
pub(crate) async fn list(
    State(app): State<App>,
    caller: Caller,
    Params(params): Params<PageParams>,
) -> Result<Response, Problem> {
    let shop = caller.shop(&app, params.shop.as_deref(), Scope::Read)?.number;
    let catalogue = app.catalogue();
    let all = catalogue.workflows(shop).cloned().collect();
    let (page, next) = page(all, |workflow: &Arc<Workflow>| workflow.id.as_str(), &params)?;
    let entry = |workflow: &Arc<Workflow>| {
        let spec = workflow.spec();
        let sends = |step: &&types::workflow::Step| matches!(step, types::workflow::Step::Send { .. });
        WorkflowEntry {
            id: workflow.id.to_string(),
            name: spec.name.to_string(),
            description: spec.description.as_ref().map(ToString::to_string),
            state: workflow.state,
            version: workflow.version,
            mails: spec.steps.iter().filter(sends).count(),
            changed_at: workflow.changed_at.to_string(),
            activated_at: workflow.activated_at.map(|at| at.to_string()),
        }
    };
    let workflows = page.iter().map(entry).collect();
    Ok(axum::Json(WorkflowList { workflows, next }).into_response())
}
