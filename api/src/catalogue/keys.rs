//! `/v1/shops/{id}/keys`: API keys, made by the operator and shown once.

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use data_encoding::HEXLOWER;
use hyper::StatusCode;
use hyper::header::{CACHE_CONTROL, HeaderValue};
use serde::{Deserialize, Serialize};
use types::catalogue::{ApiKey, Scope};
use types::event::CatalogueChanged;
use types::text::Slug;

use crate::app::App;
use crate::auth::{self, Operator};
use crate::body::Json;
use crate::extract::{Segments, existing};
use crate::problem::{Fault, Kind, Problem};

/// How many keys a shop may have: rotation needs two for each of its apps.
const KEYS_MAX: usize = 100;

/// What a new key is to be.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct KeyRequest {
    /// Names the key in lists and revocations. Default: a random one.
    #[serde(default)]
    #[schema(value_type = Option<String>, pattern = "^[a-zA-Z0-9][a-zA-Z0-9._-]{0,63}$")]
    id: Option<Slug>,
    /// What it may do. At least one.
    #[schema(min_items = 1, max_items = 3)]
    scopes: Vec<Scope>,
}

/// A new key, shown this once.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct NewKey {
    /// Its name.
    id: String,
    /// Whose data it opens.
    shop: String,
    /// What it may do.
    scopes: Vec<Scope>,
    /// The key itself. Only its hash is kept: it cannot be shown again.
    #[schema(pattern = "^stf_[A-Za-z0-9_-]{43}$")]
    key: String,
}

/// A key, as far as we know it.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct KeyView {
    /// Its name.
    id: String,
    /// What it may do.
    scopes: Vec<Scope>,
}

/// A shop's keys.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct KeyList {
    /// By name.
    keys: Vec<KeyView>,
}

/// Make an API key
///
/// The answer is the only place where the key is ever shown.
#[utoipa::path(
    post, path = "/v1/shops/{id}/keys", tag = "keys", operation_id = "postKey",
    params(("id" = String, Path, description = "The shop's id.", min_length = 1, max_length = 64)),
    request_body(content = KeyRequest, example = json!({"id": "checkout", "scopes": ["send", "read"]})),
    responses(
        (status = 201, description = "The key, this once.", body = NewKey),
        (status = 409, description = "The shop has a key of this name, or too many.", body = crate::problem::Document, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn post(
    State(app): State<App>,
    _operator: Operator,
    Segments(shop): Segments<String>,
    Json(request): Json<KeyRequest>,
) -> Result<Response, Problem> {
    let shop = existing(&shop, "shop")?;
    let catalogue = app.catalogue();
    catalogue.shop(&shop).ok_or_else(|| Problem::not_found("shop"))?;
    let mut scopes = request.scopes;
    scopes.sort_unstable();
    scopes.dedup();
    if scopes.is_empty() {
        return Err(Problem::invalid(vec![Fault::new("/scopes", "is empty")]));
    }
    let id = request.id.unwrap_or_else(random_id);
    if catalogue.keys(&shop).any(|key| key.id == id) {
        return Err(Problem::new(Kind::Conflict, "the shop has a key of this name").with(Fault::new("/id", "is taken")));
    }
    if catalogue.keys(&shop).count() >= KEYS_MAX {
        return Err(Problem::new(
            Kind::Conflict,
            format!("the shop has {KEYS_MAX} keys; revoke some first"),
        ));
    }
    let secret = auth::new_key();
    let hash = auth::hash_of(&secret);
    let key = ApiKey {
        id: id.clone(),
        shop: shop.clone(),
        scopes: scopes.clone(),
        hash,
    };
    app.change(CatalogueChanged::KeyPut { key }, |catalogue| {
        catalogue.key(&hash).is_some()
    })
    .await?;
    let answer = NewKey {
        id: id.to_string(),
        shop: shop.to_string(),
        scopes,
        key: secret,
    };
    let mut response = (StatusCode::CREATED, axum::Json(answer)).into_response();
    response
        .headers_mut()
        .insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}

fn random_id() -> Slug {
    let name = format!("key-{}", HEXLOWER.encode(&rand::random::<[u8; 6]>()));
    Slug::try_from(name).expect("letters, digits and a hyphen")
}

/// List a shop's API keys
///
/// Names and scopes; keys themselves are not kept.
#[utoipa::path(
    get, path = "/v1/shops/{id}/keys", tag = "keys", operation_id = "listKeys",
    params(("id" = String, Path, description = "The shop's id.", min_length = 1, max_length = 64)),
    responses((status = 200, description = "The shop's keys.", body = KeyList))
)]
pub(crate) async fn list(
    State(app): State<App>,
    _operator: Operator,
    Segments(shop): Segments<String>,
) -> Result<Response, Problem> {
    let shop = existing(&shop, "shop")?;
    let catalogue = app.catalogue();
    catalogue.shop(&shop).ok_or_else(|| Problem::not_found("shop"))?;
    let view = |key: &std::sync::Arc<ApiKey>| KeyView {
        id: key.id.to_string(),
        scopes: key.scopes.clone(),
    };
    let mut keys: Vec<_> = catalogue.keys(&shop).map(view).collect();
    keys.sort_by(|one, two| one.id.cmp(&two.id));
    Ok(axum::Json(KeyList { keys }).into_response())
}

/// Revoke an API key
///
/// It stops working before the answer is given.
#[utoipa::path(
    delete, path = "/v1/shops/{id}/keys/{key}", tag = "keys", operation_id = "deleteKey",
    params(
        ("id" = String, Path, description = "The shop's id.", min_length = 1, max_length = 64),
        ("key" = String, Path, description = "The key's name.", min_length = 1, max_length = 64),
    ),
    responses((status = 204, description = "The key works no more."))
)]
pub(crate) async fn delete(
    State(app): State<App>,
    _operator: Operator,
    Segments((shop, id)): Segments<(String, String)>,
) -> Result<StatusCode, Problem> {
    let (shop, id) = (existing(&shop, "shop")?, existing(&id, "key")?);
    if !app.catalogue().keys(&shop).any(|key| key.id == id) {
        return Err(Problem::not_found("key"));
    }
    let change = CatalogueChanged::KeyRevoked {
        shop: shop.clone(),
        id: id.clone(),
    };
    app.change(change, |catalogue| !catalogue.keys(&shop).any(|key| key.id == id))
        .await?;
    Ok(StatusCode::NO_CONTENT)
}
