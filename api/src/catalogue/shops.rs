//! `/v1/shops`: put by the operator, seen by the operator and the shop itself.

use std::sync::Arc;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use hyper::StatusCode;
use serde::Serialize;
use types::catalogue::{Catalogue, Scope, Shop, ShopSpec, TemplateKind};
use types::event::CatalogueChanged;
use types::text::Slug;

use super::publication::DnsRecord;
use super::put_answer;
use crate::app::App;
use crate::auth::{Caller, Operator};
use crate::body::Json;
use crate::check;
use crate::extract::{PageParams, Params, Segments, existing, new_id, page};
use crate::problem::{Fault, Problem};

/// A shop as it is now.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct ShopView {
    /// Its id.
    id: String,
    /// Its short number, which it keeps for ever.
    number: u32,
    /// 1 at first, one more with every change.
    version: u32,
    /// When it last changed.
    #[schema(format = DateTime)]
    changed_at: String,
    /// What was put.
    spec: ShopSpec,
    /// TXT records to publish before its mail can be verified.
    dns: Vec<DnsRecord>,
    /// What an advertiser puts on each page of its site, so that first visits are seen; `data-param` names the parameter with the
    /// click id if a landing URL has one of its own, and `data-consent="granted"` tells that the visitor agreed to storage.
    #[schema(example = "<script async src=\"https://t.example.com/landing.js\"></script>")]
    landing_snippet: String,
    /// What an advertiser's server signs landing calls with, as Standard Webhooks do. Shown to the operator, and to keys with
    /// the scope `manage`. It changes when the token keys do; calls signed with an earlier one stay valid.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, nullable = false, pattern = "^whsec_")]
    landing_secret: Option<String>,
}

/// A page of shops.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct ShopList {
    /// By id.
    shops: Vec<ShopView>,
    /// The cursor of the next page; missing on the last.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
}

impl App {
    /// Makes the shop's keys where they are missing, and returns the records to publish. Reads and writes files.
    async fn dns(&self, spec: ShopSpec) -> Result<Vec<DnsRecord>, Problem> {
        self.apart(move |app| app.publication.dns(&spec)).await?
    }

    async fn view_shop(&self, caller: &Caller, shop: &Shop) -> Result<ShopView, Problem> {
        let secret = self.keyring.landing_secret(shop.number);
        let shown = secret.filter(|_| caller.may(Scope::Manage).is_ok());
        Ok(ShopView {
            landing_snippet: self.publication.landing_snippet(&shop.spec),
            landing_secret: shown.map(|secret| secret.to_string()),
            id: shop.id.to_string(),
            number: shop.number.0,
            version: shop.version,
            changed_at: shop.changed_at.to_string(),
            spec: shop.spec.clone(),
            dns: self.dns(shop.spec.clone()).await?,
        })
    }
}

/// Put a shop
///
/// Creates or replaces it, makes its signing keys where they are missing, and tells which DNS records to publish.
#[utoipa::path(
    put, path = "/v1/shops/{id}", tag = "shops", operation_id = "putShop",
    params(("id" = String, Path, description = "The shop's id.", pattern = "^[a-zA-Z0-9][a-zA-Z0-9._-]{0,63}$")),
    request_body(content = ShopSpec, example = json!({
        "name": "Scarpe Roma", "url": "https://scarpe.example/", "promotional": {"address": "offerte@offerte.scarpe.example"},
        "transactional": {"address": "ordini@scarpe.example"}, "language": "it", "country": "IT", "categories": ["shoes"],
        "postal_address": "Scarpe Roma S.r.l., Via Appia 1, 00100 Roma"
    })),
    responses(
        (status = 200, description = "The shop was there and is as it was put.", body = ShopView),
        (status = 201, description = "The shop is new.", body = ShopView),
    )
)]
pub(crate) async fn put(
    State(app): State<App>,
    _operator: Operator,
    Segments(id): Segments<String>,
    Json(spec): Json<ShopSpec>,
) -> Result<Response, Problem> {
    let id = new_id(id)?;
    check::shop(&spec)?;
    let before = app.catalogue().shop(&id).cloned();
    offer_template(&app.catalogue(), before.as_deref(), &spec)?;
    // Keys first: a shop in force can always sign.
    app.dns(spec.clone()).await?;
    let new = before.is_none();
    if before.as_ref().is_none_or(|before| before.spec != spec) {
        let version = before.map_or(0, |before| before.version);
        let change = CatalogueChanged::ShopPut { id: id.clone(), spec };
        app.change(change, |catalogue| {
            catalogue.shop(&id).is_some_and(|shop| shop.version > version)
        })
        .await?;
    }
    let shop = find(&app, &id)?;
    Ok(put_answer(new, &app.view_shop(&Caller::Operator, &shop).await?))
}

/// Refuses an offer template that the shop does not have.
fn offer_template(catalogue: &Catalogue, shop: Option<&Shop>, spec: &ShopSpec) -> Result<(), Problem> {
    let Some(id) = &spec.offer_template else { return Ok(()) };
    let template = shop.and_then(|shop| catalogue.template(shop.number, id));
    if template.is_some_and(|template| template.spec.kind == TemplateKind::Offer) {
        Ok(())
    } else {
        Err(Problem::invalid(vec![Fault::new(
            "/offer_template",
            "is not an offer template of this shop",
        )]))
    }
}

fn find(app: &App, id: &Slug) -> Result<Arc<Shop>, Problem> {
    app.catalogue()
        .shop(id)
        .cloned()
        .ok_or_else(|| Problem::not_found("shop"))
}

/// See a shop
///
/// With the records that its owner must publish.
#[utoipa::path(
    get, path = "/v1/shops/{id}", tag = "shops", operation_id = "getShop",
    params(("id" = String, Path, description = "The shop's id.", min_length = 1, max_length = 64)),
    responses((status = 200, description = "The shop.", body = ShopView))
)]
pub(crate) async fn get(
    State(app): State<App>,
    caller: Caller,
    Segments(id): Segments<String>,
) -> Result<Response, Problem> {
    caller.may(Scope::Read)?;
    let id = existing(&id, "shop")?;
    if !caller.sees(&id) {
        return Err(Problem::not_found("shop"));
    }
    let shop = find(&app, &id)?;
    Ok(axum::Json(app.view_shop(&caller, &shop).await?).into_response())
}

/// Delete a shop
///
/// Its keys stop working at once; links in mails already sent go on working.
#[utoipa::path(
    delete, path = "/v1/shops/{id}", tag = "shops", operation_id = "deleteShop",
    params(("id" = String, Path, description = "The shop's id.", min_length = 1, max_length = 64)),
    responses((status = 204, description = "The shop is gone."))
)]
pub(crate) async fn delete(
    State(app): State<App>,
    _operator: Operator,
    Segments(id): Segments<String>,
) -> Result<StatusCode, Problem> {
    let id = existing(&id, "shop")?;
    find(&app, &id)?;
    let change = CatalogueChanged::ShopDeleted { id: id.clone() };
    app.change(change, |catalogue| catalogue.shop(&id).is_none()).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// List shops
///
/// The operator sees all of them, a shop itself.
#[utoipa::path(
    get, path = "/v1/shops", tag = "shops", operation_id = "listShops", params(PageParams),
    responses((status = 200, description = "A page of shops.", body = ShopList))
)]
pub(crate) async fn list(
    State(app): State<App>,
    caller: Caller,
    Params(params): Params<PageParams>,
) -> Result<Response, Problem> {
    caller.may(Scope::Read)?;
    let named = params.shop.as_deref();
    let catalogue = app.catalogue();
    let seen = catalogue
        .shops()
        .filter(|shop| caller.sees(&shop.id) && named.is_none_or(|named| named == shop.id.as_str()));
    let (page, next) = page(seen.cloned().collect(), |shop: &Arc<Shop>| shop.id.as_str(), &params)?;
    let mut shops = Vec::with_capacity(page.len());
    for shop in &page {
        shops.push(app.view_shop(&caller, shop).await?);
    }
    Ok(axum::Json(ShopList { shops, next }).into_response())
}
