//! `/v1/campaigns`: put by the operator or the shop that advertises.

use std::sync::Arc;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use hyper::StatusCode;
use serde::Serialize;
use types::catalogue::{Campaign, CampaignSpec, Scope};
use types::event::CatalogueChanged;
use types::text::Slug;

use super::put_answer;
use crate::app::App;
use crate::auth::Caller;
use crate::body::Json;
use crate::check;
use crate::extract::{PageParams, Params, Segments, existing, new_id, page};
use crate::problem::{Fault, Kind, Problem};

/// A campaign as it is now.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct CampaignView {
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
    spec: CampaignSpec,
}

/// A page of campaigns.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct CampaignList {
    /// By id.
    campaigns: Vec<CampaignView>,
    /// The cursor of the next page; missing on the last.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
}

impl CampaignView {
    fn of(campaign: &Campaign) -> Self {
        Self {
            id: campaign.id.to_string(),
            number: campaign.number.0,
            version: campaign.version,
            changed_at: campaign.changed_at.to_string(),
            spec: campaign.spec.clone(),
        }
    }
}

/// Put a campaign
///
/// Creates or replaces it. The advertiser is the key's own shop; the operator may name any. The landing page's host is that of
/// the advertiser's `url`, without `www.`, or one under it.
#[utoipa::path(
    put, path = "/v1/campaigns/{id}", tag = "campaigns", operation_id = "putCampaign",
    params(("id" = String, Path, description = "The campaign's id, one in the whole network.", pattern = "^[a-zA-Z0-9][a-zA-Z0-9._-]{0,63}$")),
    request_body(content = CampaignSpec, example = json!({
        "advertiser": "borse-milano", "price": {"amount": 150, "currency": "EUR"}, "budget": 50000, "countries": ["IT"],
        "categories": ["bags"], "landing_url": "https://borse.example/?c={click_id}",
        "creatives": {"it": {"title": "Borse in pelle", "text": "Fatte a mano a Milano.", "button": "Guarda"}}
    })),
    responses(
        (status = 200, description = "The campaign was there and is as it was put.", body = CampaignView),
        (status = 201, description = "The campaign is new.", body = CampaignView),
    )
)]
pub(crate) async fn put(
    State(app): State<App>,
    caller: Caller,
    Segments(id): Segments<String>,
    Json(spec): Json<CampaignSpec>,
) -> Result<Response, Problem> {
    caller.may(Scope::Manage)?;
    let id = new_id(id)?;
    // Also a deleted one: its number lives on in links of old mails, which must not come to lead to another shop.
    let past = app.catalogue().campaign_ever(&id).cloned();
    if past.as_ref().is_some_and(|past| !caller.sees(&past.spec.advertiser)) {
        return Err(Problem::not_found("campaign"));
    }
    if !caller.sees(&spec.advertiser) {
        return Err(
            Problem::new(Kind::Forbidden, "a shop's key puts campaigns of that shop alone")
                .with(Fault::new("/advertiser", "is not the key's own shop")),
        );
    }
    check::campaign(&spec)?;
    advertiser(&app, past.as_deref(), &spec)?;
    let before = past.as_ref().filter(|past| !past.deleted);
    let new = before.is_none();
    if before.is_none_or(|before| before.spec != spec) {
        let version = past.as_ref().map_or(0, |past| past.version);
        let change = CatalogueChanged::CampaignPut { id: id.clone(), spec };
        app.change(change, |catalogue| {
            catalogue
                .campaign(&id)
                .is_some_and(|campaign| campaign.version > version)
        })
        .await?;
    }
    let campaign = find(&app, &caller, &id)?;
    Ok(put_answer(new, &CampaignView::of(&campaign)))
}

/// Refuses an advertiser that does not exist, another than the campaign had (its ledger would change hands), and a landing page
/// that is not the advertiser's.
fn advertiser(app: &App, past: Option<&Campaign>, spec: &CampaignSpec) -> Result<(), Problem> {
    let Some(shop) = app.catalogue().shop(&spec.advertiser).cloned() else {
        return Err(Problem::invalid(vec![Fault::new("/advertiser", "is not a shop")]));
    };
    let fault = if past.is_some_and(|past| past.spec.advertiser != spec.advertiser) {
        "cannot change; put another campaign"
    } else {
        return check::landing_host(spec, &shop.spec);
    };
    Err(Problem::invalid(vec![Fault::new("/advertiser", fault)]))
}

fn find(app: &App, caller: &Caller, id: &Slug) -> Result<Arc<Campaign>, Problem> {
    app.catalogue()
        .campaign(id)
        .filter(|campaign| caller.sees(&campaign.spec.advertiser))
        .cloned()
        .ok_or_else(|| Problem::not_found("campaign"))
}

/// See a campaign
#[utoipa::path(
    get, path = "/v1/campaigns/{id}", tag = "campaigns", operation_id = "getCampaign",
    params(("id" = String, Path, description = "The campaign's id.", min_length = 1, max_length = 64)),
    responses((status = 200, description = "The campaign.", body = CampaignView))
)]
pub(crate) async fn get(
    State(app): State<App>,
    caller: Caller,
    Segments(id): Segments<String>,
) -> Result<Response, Problem> {
    caller.may(Scope::Read)?;
    let campaign = find(&app, &caller, &existing(&id, "campaign")?)?;
    Ok(axum::Json(CampaignView::of(&campaign)).into_response())
}

/// Delete a campaign
///
/// It is offered no more; links in mails already sent go on working.
#[utoipa::path(
    delete, path = "/v1/campaigns/{id}", tag = "campaigns", operation_id = "deleteCampaign",
    params(("id" = String, Path, description = "The campaign's id.", min_length = 1, max_length = 64)),
    responses((status = 204, description = "The campaign is gone."))
)]
pub(crate) async fn delete(
    State(app): State<App>,
    caller: Caller,
    Segments(id): Segments<String>,
) -> Result<StatusCode, Problem> {
    caller.may(Scope::Manage)?;
    let id = existing(&id, "campaign")?;
    find(&app, &caller, &id)?;
    let change = CatalogueChanged::CampaignDeleted { id: id.clone() };
    app.change(change, |catalogue| catalogue.campaign(&id).is_none())
        .await?;
    Ok(StatusCode::NO_CONTENT)
}

/// List campaigns
///
/// The operator sees all of them, or those of one shop with `?shop=`; a shop sees its own.
#[utoipa::path(
    get, path = "/v1/campaigns", tag = "campaigns", operation_id = "listCampaigns", params(PageParams),
    responses((status = 200, description = "A page of campaigns.", body = CampaignList))
)]
pub(crate) async fn list(
    State(app): State<App>,
    caller: Caller,
    Params(params): Params<PageParams>,
) -> Result<Response, Problem> {
    caller.may(Scope::Read)?;
    let named = params.shop.as_deref();
    let catalogue = app.catalogue();
    let seen = catalogue.campaigns().filter(|campaign| {
        let advertiser = &campaign.spec.advertiser;
        caller.sees(advertiser) && named.is_none_or(|named| named == advertiser.as_str())
    });
    let (page, next) = page(
        seen.cloned().collect(),
        |campaign: &Arc<Campaign>| campaign.id.as_str(),
        &params,
    )?;
    let campaigns = page.iter().map(|campaign| CampaignView::of(campaign)).collect();
    Ok(axum::Json(CampaignList { campaigns, next }).into_response())
}
