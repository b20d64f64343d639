//! `/v1/carts/settings`: how a shop reminds of carts.

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use types::cart::CartSpec;
use types::catalogue::Scope;
use types::event::CatalogueChanged;

use crate::app::App;
use crate::auth::Caller;
use crate::body::Json;
use crate::catalogue::put_answer;
use crate::extract::{Params, ShopParam};
use crate::problem::{Fault, Problem};

/// Put how a shop reminds of carts
///
/// Begin with the mode `shadow`, which decides and tells what would be sent and sends nothing. Reminders that were armed before keep
/// their time; all else is looked at when they are due.
#[utoipa::path(
    put, path = "/v1/carts/settings", tag = "carts", operation_id = "putCartSettings", params(ShopParam),
    request_body(content = CartSpec, example = json!({
        "mode": "shadow", "languages": ["it"], "first": {"after": "1h"}, "second": {"after": "24h"}, "time_zone": "Europe/Rome"
    })),
    responses(
        (status = 200, description = "The settings were there and are as they were put.", body = CartSpec),
        (status = 201, description = "The settings are new.", body = CartSpec),
    )
)]
pub(crate) async fn put(
    State(app): State<App>,
    caller: Caller,
    Params(params): Params<ShopParam>,
    Json(spec): Json<CartSpec>,
) -> Result<Response, Problem> {
    let shop = caller.shop(&app, params.shop.as_deref(), Scope::Manage)?.number;
    let catalogue = app.catalogue();
    let template = |id: &_| catalogue.template(shop, id).map(|template| template.spec.kind);
    let faults = policy::cart::check(&spec, &template);
    if !faults.is_empty() {
        let faults = faults.into_iter().map(|fault| Fault::new(fault.path, fault.fault));
        return Err(Problem::invalid(faults.collect()));
    }
    let before = catalogue.carts(shop).cloned();
    let new = before.is_none();
    if before.is_none_or(|before| *before != spec) {
        let change = CatalogueChanged::CartsPut {
            shop,
            spec: spec.clone(),
        };
        app.change(change, |catalogue| {
            catalogue.carts(shop).is_some_and(|carts| **carts == spec)
        })
        .await?;
    }
    Ok(put_answer(new, &spec))
}

/// See how a shop reminds of carts
#[utoipa::path(
    get, path = "/v1/carts/settings", tag = "carts", operation_id = "getCartSettings", params(ShopParam),
    responses((status = 200, description = "The settings.", body = CartSpec))
)]
pub(crate) async fn get(
    State(app): State<App>,
    caller: Caller,
    Params(params): Params<ShopParam>,
) -> Result<Response, Problem> {
    let shop = caller.shop(&app, params.shop.as_deref(), Scope::Read)?.number;
    let spec = app.catalogue().carts(shop).cloned();
    let spec = spec.ok_or_else(|| Problem::not_found("setting of carts"))?;
    Ok(axum::Json((*spec).clone()).into_response())
}
