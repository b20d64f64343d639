//! `/v1/templates`: each shop's own; checked whole before they are kept.

use std::sync::Arc;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use hyper::StatusCode;
use policy::template::TemplateFault;
use serde::Serialize;
use types::catalogue::{Scope, Shop, Template, TemplateSource, TemplateSpec};
use types::event::CatalogueChanged;
use types::id::ShopNumber;
use types::locale::Language;
use types::text::Slug;

use super::put_answer;
use crate::app::App;
use crate::auth::Caller;
use crate::body::LargeJson;
use crate::check;
use crate::extract::{PageParams, Params, Segments, ShopParam, existing, new_id, page};
use crate::problem::{Fault, Kind, Problem};
use crate::workflows;

/// A template as it is now.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct TemplateView {
    /// Its id.
    id: String,
    /// 1 at first, one more with every change.
    version: u32,
    /// When it last changed.
    #[schema(format = DateTime)]
    changed_at: String,
    /// What was put.
    spec: TemplateSpec,
}

/// A page of templates.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct TemplateList {
    /// By id.
    templates: Vec<TemplateView>,
    /// The cursor of the next page; missing on the last.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
}

impl TemplateView {
    fn of(template: &Template) -> Self {
        Self {
            id: template.id.to_string(),
            version: template.version,
            changed_at: template.changed_at.to_string(),
            spec: template.spec.clone(),
        }
    }
}

/// Put a template
///
/// It is compiled and rendered with sample data in every variation before it is kept; a fault names part and line. One that the shop's
/// offers, the reminders of its carts or a workflow use keeps its kind.
#[utoipa::path(
    put, path = "/v1/templates/{id}", tag = "templates", operation_id = "putTemplate",
    params(ShopParam, ("id" = String, Path, description = "The template's id, one in its shop.", pattern = "^[a-zA-Z0-9][a-zA-Z0-9._-]{0,63}$")),
    request_body(content = TemplateSpec, example = json!({
        "kind": "message",
        "sources": {"it": {"subject": "Ciao {{ vars.name }}", "html": "<p>Ciao {{ vars.name }}</p>", "text": "Ciao {{ vars.name }}"}}
    })),
    responses(
        (status = 200, description = "The template was there and is as it was put.", body = TemplateView),
        (status = 201, description = "The template is new.", body = TemplateView),
        (status = 409, description = "It is used as a template of another kind.", body = crate::problem::Document, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn put(
    State(app): State<App>,
    caller: Caller,
    Params(params): Params<ShopParam>,
    Segments(id): Segments<String>,
    LargeJson(spec): LargeJson<TemplateSpec>,
) -> Result<Response, Problem> {
    let owner = caller.shop(&app, params.shop.as_deref(), Scope::Manage)?;
    let shop = owner.number;
    let id = new_id(id)?;
    check::template(&spec)?;
    let spec = rendered(&app, shop, spec).await?;
    let before = app.catalogue().template(shop, &id).cloned();
    let new = before.is_none();
    let changes_kind = before.as_ref().is_some_and(|before| before.spec.kind != spec.kind);
    if before.as_ref().is_none_or(|before| before.spec != spec) {
        let version = before.map_or(0, |before| before.version);
        let change = CatalogueChanged::TemplatePut {
            shop,
            id: id.clone(),
            spec,
        };
        if changes_kind {
            not_used(&app, &owner, &id)?;
            workflows::still_run(&app, shop, &change).await?;
        }
        let in_force = |template: &Arc<Template>| template.version > version;
        app.change(change, |catalogue| catalogue.template(shop, &id).is_some_and(in_force))
            .await?;
    }
    let template = find(&app, shop, &id)?;
    Ok(put_answer(new, &TemplateView::of(&template)))
}

/// Renders every source with sample data: 128 KiB of template take a while. Each language takes a turn of its own.
async fn rendered(app: &App, shop: ShopNumber, spec: TemplateSpec) -> Result<TemplateSpec, Problem> {
    let (spec, mut faults) = (Arc::new(spec), check::Faults::default());
    let bytes = bytes(&spec);
    for language in spec.sources.keys().copied() {
        let checked = Arc::clone(&spec);
        let found = move |_: &App| {
            let source = checked.sources.get(&language)?;
            let fault = policy::template::check(checked.kind, source).err()?;
            Some(told(language, &fault))
        };
        if let Some(fault) = app.in_turn(shop, bytes, found).await? {
            faults.push(fault);
        }
    }
    faults.into_result()?;
    Ok(Arc::unwrap_or_clone(spec))
}

/// Returns what a template's sources take in memory.
pub(crate) fn bytes(spec: &TemplateSpec) -> usize {
    let source = |source: &TemplateSource| source.subject.len() + source.html.len() + source.text.len();
    spec.sources.values().map(source).sum()
}

fn told(language: Language, fault: &TemplateFault) -> Fault {
    let field = format!("/sources/{}/{}", language.code(), fault.part.as_str());
    let place = match (fault.line, fault.column) {
        (Some(line), Some(column)) => format!("line {line} column {column}: "),
        (Some(line), None) => format!("line {line}: "),
        (None, _) => String::new(),
    };
    let text = fault.source_line.as_ref();
    let text = text.map(|text| format!(": `{text}`")).unwrap_or_default();
    Fault::new(field, format!("{place}{}{text}", fault.message))
}

fn find(app: &App, shop: ShopNumber, id: &Slug) -> Result<Arc<Template>, Problem> {
    app.catalogue()
        .template(shop, id)
        .cloned()
        .ok_or_else(|| Problem::not_found("template"))
}

/// See a template
#[utoipa::path(
    get, path = "/v1/templates/{id}", tag = "templates", operation_id = "getTemplate",
    params(ShopParam, ("id" = String, Path, description = "The template's id.", min_length = 1, max_length = 64)),
    responses((status = 200, description = "The template.", body = TemplateView))
)]
pub(crate) async fn get(
    State(app): State<App>,
    caller: Caller,
    Params(params): Params<ShopParam>,
    Segments(id): Segments<String>,
) -> Result<Response, Problem> {
    let shop = caller.shop(&app, params.shop.as_deref(), Scope::Read)?;
    let template = find(&app, shop.number, &existing(&id, "template")?)?;
    Ok(axum::Json(TemplateView::of(&template)).into_response())
}

/// Delete a template
///
/// Mails decided before are still made with it. A template that the shop's offers, the reminders of its carts or a workflow use cannot
/// be deleted.
#[utoipa::path(
    delete, path = "/v1/templates/{id}", tag = "templates", operation_id = "deleteTemplate",
    params(ShopParam, ("id" = String, Path, description = "The template's id.", min_length = 1, max_length = 64)),
    responses(
        (status = 204, description = "The template is gone."),
        (status = 409, description = "The shop's offers, reminders or workflows use it.", body = crate::problem::Document, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn delete(
    State(app): State<App>,
    caller: Caller,
    Params(params): Params<ShopParam>,
    Segments(id): Segments<String>,
) -> Result<StatusCode, Problem> {
    let shop = caller.shop(&app, params.shop.as_deref(), Scope::Manage)?;
    let id = existing(&id, "template")?;
    find(&app, shop.number, &id)?;
    let number = shop.number;
    let change = CatalogueChanged::TemplateDeleted {
        shop: number,
        id: id.clone(),
    };
    not_used(&app, &shop, &id)?;
    workflows::still_run(&app, number, &change).await?;
    app.change(change, |catalogue| catalogue.template(number, &id).is_none())
        .await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Refuses to take a template from the shop's offers and the reminders of its carts.
fn not_used(app: &App, shop: &Shop, id: &Slug) -> Result<(), Problem> {
    if shop.spec.offer_template.as_ref() == Some(id) {
        return Err(Problem::new(
            Kind::Conflict,
            "the shop's offers use this template; put the shop without it first",
        ));
    }
    let catalogue = app.catalogue();
    let reminders = catalogue.carts(shop.number);
    let reminders = reminders.map(|carts| [carts.first.as_ref(), carts.second.as_ref()]);
    let of_carts = reminders.into_iter().flatten().flatten();
    if of_carts
        .filter_map(|reminder| reminder.template.as_ref())
        .any(|used| used == id)
    {
        return Err(Problem::new(
            Kind::Conflict,
            "the reminders of carts use this template; put /v1/carts/settings without it first",
        ));
    }
    Ok(())
}

/// List templates
#[utoipa::path(
    get, path = "/v1/templates", tag = "templates", operation_id = "listTemplates", params(PageParams),
    responses((status = 200, description = "A page of templates.", body = TemplateList))
)]
pub(crate) async fn list(
    State(app): State<App>,
    caller: Caller,
    Params(params): Params<PageParams>,
) -> Result<Response, Problem> {
    let shop = caller.shop(&app, params.shop.as_deref(), Scope::Read)?;
    let catalogue = app.catalogue();
    let all = catalogue.templates(shop.number).cloned().collect();
    let (page, next) = page(all, |template: &Arc<Template>| template.id.as_str(), &params)?;
    let templates = page.iter().map(|template| TemplateView::of(template)).collect();
    Ok(axum::Json(TemplateList { templates, next }).into_response())
}
