//! `/v1/campaigns/{id}/leads`: a campaign's first visits, as its advertiser pays for them.

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use store::StateError;
use store::state::StoredLead;
use types::catalogue::{Campaign, Catalogue, Scope};
use types::event::{Event, EvidenceGrade, LeadDecided, LeadOutcome, LeadVerdict, VoidReason};
use types::id::{EventId, PublicId};
use types::money::Money;
use types::token::ClickId;

use crate::app::App;
use crate::auth::Caller;
use crate::extract::{Params, Segments, existing, page_size, unknown_cursor};
use crate::problem::Problem;

/// Which page.
#[derive(Debug, Default, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
pub(crate) struct LeadParams {
    /// Where to go on: `next` of the page before.
    #[param(required = false, pattern = "^[0-9a-f]{16}$")]
    cursor: Option<String>,
    /// How many leads at most. Default 100.
    #[param(required = false, minimum = 1, maximum = 1000)]
    limit: Option<usize>,
}

/// A lead.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct LeadView {
    /// Its id: the same for whatever repeats it.
    #[schema(pattern = "^[a-z2-7]{26}$")]
    id: String,
    /// When it was claimed.
    #[schema(format = DateTime)]
    at: String,
    /// What it costs: fixed when the offer was chosen for the mail.
    price: Money,
    /// What speaks for it.
    evidence: EvidenceGrade,
    /// Where it stands.
    state: LeadState,
    /// Why it is voided.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, nullable = false)]
    reason: Option<VoidReason>,
    /// When it was confirmed or voided.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, nullable = false, format = DateTime)]
    settled_at: Option<String>,
    /// The click that led there, as `/v1/events/stream` names it.
    #[schema(pattern = "^[a-z2-7]{16}$")]
    click: String,
    /// The same as the landing page was handed it in `{click_id}`, while the key that it was made with signs. Missing when the
    /// person was erased.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, nullable = false)]
    click_id: Option<String>,
    /// The shop whose mail showed the offer.
    publisher: String,
}

/// Where a lead stands.
#[derive(Clone, Copy, Debug, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
enum LeadState {
    /// Until the final verdict on its click.
    Pending,
    /// To be paid.
    Confirmed,
    /// Not to be paid.
    Voided,
}

/// A page of leads.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct LeadPage {
    /// The newest first.
    leads: Vec<LeadView>,
    /// The cursor of the next page; missing on the last.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
}

/// List a campaign's leads
///
/// For the advertiser, the newest first; also of a campaign that was deleted. Nothing in it tells who the person is.
#[utoipa::path(
    get, path = "/v1/campaigns/{id}/leads", tag = "campaigns", operation_id = "listLeads",
    params(LeadParams, ("id" = String, Path, description = "The campaign's id.", min_length = 1, max_length = 64)),
    responses((status = 200, description = "A page of leads.", body = LeadPage))
)]
pub(crate) async fn list(
    State(app): State<App>,
    caller: Caller,
    Params(params): Params<LeadParams>,
    Segments(id): Segments<String>,
) -> Result<Response, Problem> {
    caller.may(Scope::Read)?;
    let campaign = find(&app.catalogue(), &caller, &id)?;
    let limit = page_size(params.limit)?;
    let cursor = params.cursor.as_deref().map(read_cursor).transpose()?;
    app.fold().await;
    let page = app
        .apart(move |app| page(app, &campaign, cursor, limit))
        .await?
        .map_err(|error| crate::app::internal("reading state", &error))?;
    Ok(axum::Json(page).into_response())
}

fn find(catalogue: &Catalogue, caller: &Caller, id: &str) -> Result<std::sync::Arc<Campaign>, Problem> {
    let campaign = catalogue.campaign_ever(&existing(id, "campaign")?);
    let own = campaign.filter(|campaign| caller.sees(&campaign.spec.advertiser));
    own.cloned().ok_or_else(|| Problem::not_found("campaign"))
}

/// Reads one page. Reads the disk.
fn page(app: &App, campaign: &Campaign, before: Option<EventId>, limit: usize) -> Result<LeadPage, StateError> {
    let mut found = app
        .store
        .state()
        .leads()
        .of_campaign(campaign.number, before, limit + 1)?;
    let more = found.len() > limit;
    found.truncate(limit);
    let next = found
        .last()
        .filter(|_| more)
        .map(|(claimed, _)| format!("{:016x}", claimed.raw()));
    let catalogue = app.catalogue();
    let views = found.iter().map(|(_, lead)| LeadView::of(app, &catalogue, lead));
    let leads = views.collect::<Result<Vec<_>, _>>()?.into_iter().flatten().collect();
    Ok(LeadPage { leads, next })
}

fn read_cursor(text: &str) -> Result<EventId, Problem> {
    let raw = u64::from_str_radix(text, 16).ok().filter(|_| text.len() == 16);
    raw.map(EventId::from_raw).ok_or_else(unknown_cursor)
}

impl LeadView {
    /// Returns what is shown of a stored lead, which is always a claimed one.
    fn of(app: &App, catalogue: &Catalogue, lead: &StoredLead) -> Result<Option<Self>, StateError> {
        let LeadVerdict::Claimed(claim) = &lead.decided.verdict else {
            return Ok(None);
        };
        let (state, reason) = match lead.outcome {
            None => (LeadState::Pending, None),
            Some(LeadOutcome::Confirmed) => (LeadState::Confirmed, None),
            Some(LeadOutcome::Voided(reason)) => (LeadState::Voided, Some(reason)),
        };
        let click = PublicId {
            partition: lead.partition,
            event: lead.decided.click,
        };
        let publisher = catalogue.shop_by_number(lead.decided.shop);
        Ok(Some(Self {
            id: claim.lead.to_string(),
            at: lead.at.to_string(),
            price: claim.price,
            evidence: claim.evidence,
            state,
            reason,
            settled_at: lead.settled_at.map(|at| at.to_string()),
            click: click.to_string(),
            click_id: click_id(app, lead)?,
            publisher: publisher.map_or_else(String::new, |shop| shop.id.to_string()),
        }))
    }
}

/// Returns the click's id as the landing page was handed it: the mail's history tells the link's place.
fn click_id(app: &App, lead: &StoredLead) -> Result<Option<String>, StateError> {
    let LeadDecided {
        message,
        shop,
        campaign,
        click,
        ..
    } = lead.decided;
    let history = app.store.state().histories().of(lead.partition, message.event())?;
    let slot = history.iter().find_map(|stored| match &stored.event {
        Event::Clicked(clicked) if clicked.click == Some(click) => Some(clicked.slot),
        _ => None,
    });
    let partition = lead.partition;
    Ok(slot.map(|slot| {
        app.keyring.click_id(&ClickId {
            click,
            message,
            partition,
            campaign,
            shop,
            slot,
            flags: 0,
        })
    }))
}
