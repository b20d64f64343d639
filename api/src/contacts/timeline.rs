//! `/v1/contacts/{email}/timeline`: where a contact stands, what comes next and why not yet, and all that happened.
//!
//! Everything shown comes from folded state: the contact's row, those of its instances and carts, and the timelines of all that is about
//! the person at this shop. The newest [`OBJECTS_MAX`] of these are read.

mod standing;

use std::collections::BTreeMap;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use policy::contact::ContactState;
use serde::{Deserialize, Serialize};
use store::StoredEvent;
use types::address::EmailAddress;
use types::catalogue::{Catalogue, Scope};
use types::event::{CartVerdict, Did, Event, Refusal};
use types::id::{EventId, PartitionId, PersonKey, PublicId, ShopNumber};

use super::view::ContactView;
use super::{ScanError, private};
use crate::app::{App, internal};
use crate::auth::{Caller, Operator};
use crate::extract::{Params, Segments, page_size, unknown_cursor};
use crate::problem::Problem;
use standing::{CartStanding, Coming, WorkflowStanding};

/// How many orders, mails, ways through workflows and carts of one person are read, the newest.
const OBJECTS_MAX: usize = 5_000;
/// How many suppressions are listed, the newest.
const SUPPRESSED_MAX: usize = 100;

/// Which page.
#[derive(Debug, Default, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
pub(crate) struct TimelineParams {
    /// The shop the request is about. Demanded with the operator's key; with a shop's key it may only be its own.
    #[param(required = false)]
    shop: Option<String>,
    /// Where to go on in the events: `next_events` of the page before.
    #[param(required = false, pattern = "^[a-z2-7]{16}$")]
    cursor: Option<String>,
    /// How many events at most. Default 100.
    #[param(required = false, minimum = 1, maximum = 1000)]
    limit: Option<usize>,
}

/// Where a contact stands, what comes next, and what happened.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct Timeline {
    /// The contact.
    contact: ContactView,
    /// How it stands with each workflow that it ever had to do with.
    workflows: Vec<WorkflowStanding>,
    /// Its carts that are known, the newest first.
    carts: Vec<CartStanding>,
    /// What comes next by itself, the soonest first.
    coming: Vec<Coming>,
    /// What was not sent, and why: the newest 100 first.
    suppressed: Vec<SuppressedView>,
    /// What happened, the newest first.
    events: Vec<ContactEvent>,
    /// The cursor of the next page of events; missing on the last.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, nullable = false)]
    next_events: Option<String>,
}

/// Something that was not sent.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct SuppressedView {
    /// When this was decided.
    #[schema(format = DateTime)]
    at: String,
    /// The workflow, if a step of one was to send it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, nullable = false)]
    workflow: Option<String>,
    /// The step.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, nullable = false)]
    step: Option<String>,
    /// The cart, by the shop's own id, if it was a reminder of one.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, nullable = false)]
    cart: Option<String>,
    /// Which reminder.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, nullable = false)]
    reminder: Option<&'static str>,
    /// Every rule that was against it, the weightiest first.
    reasons: Vec<RuleView>,
}

/// A rule that was against something.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct RuleView {
    /// Stable, for programs.
    code: &'static str,
    /// The same for people.
    text: &'static str,
}

/// Something that happened to a contact.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct ContactEvent {
    /// The event's id.
    #[schema(pattern = "^[a-z2-7]{16}$")]
    id: String,
    /// When it happened.
    #[schema(format = DateTime)]
    time: String,
    /// What kind of thing happened; stable, for programs.
    #[schema(example = "workflow.moved")]
    kind: &'static str,
    /// The same for people, with what is particular to this time.
    detail: String,
    /// The workflow, if it is about one.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, nullable = false)]
    workflow: Option<String>,
    /// The message it is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, nullable = false, pattern = "^[a-z2-7]{16}$")]
    message: Option<String>,
}

/// See a contact's timeline
///
/// Where the contact stands in each workflow, for what it waits and since when, when it goes on and by which rules not before; its carts and
/// their reminders; what was not sent and by which rule; and the events, the newest first.
#[utoipa::path(
    get, path = "/v1/contacts/{email}/timeline", tag = "contacts", operation_id = "getTimeline",
    params(TimelineParams, ("email" = String, Path, description = "The contact's address.", min_length = 1, max_length = 318)),
    responses((status = 200, description = "The timeline.", body = Timeline))
)]
pub(crate) async fn get(
    State(app): State<App>,
    caller: Caller,
    Params(params): Params<TimelineParams>,
    Segments(email): Segments<String>,
) -> Result<Response, Problem> {
    let shop = caller.shop(&app, params.shop.as_deref(), Scope::Read)?.number;
    answer(&app, shop, &email, &params).await
}

/// The operator's twin on the admin listener.
pub(crate) async fn for_operator(
    State(app): State<App>,
    _operator: Operator,
    Params(params): Params<TimelineParams>,
    Segments((shop, email)): Segments<(String, String)>,
) -> Result<Response, Problem> {
    let shop = Caller::Operator.shop(&app, Some(&shop), Scope::Read)?.number;
    answer(&app, shop, &email, &params).await
}

async fn answer(app: &App, shop: ShopNumber, email: &str, params: &TimelineParams) -> Result<Response, Problem> {
    let limit = page_size(params.limit)?;
    let before = params.cursor.as_deref().map(str::parse::<PublicId>).transpose();
    let before = before.map_err(|_| unknown_cursor())?.map(|id| id.event);
    let email = EmailAddress::try_from(email).map_err(|_| Problem::not_found("contact"))?;
    let person = app.keyring.person(&email);
    let contact = app.contact(shop, person).await?;
    let contact = contact.ok_or_else(|| Problem::not_found("contact"))?;
    let told = app
        .apart(move |app| {
            let told = Told::gather(app, shop, person, contact)?;
            Ok::<_, ScanError>(told.into_timeline(before, limit))
        })
        .await?
        .map_err(|error| internal("reading a timeline", &error))?;
    Ok(private(axum::Json(told).into_response()))
}

/// All that is known of a contact.
struct Told {
    partition: PartitionId,
    shop: ShopNumber,
    catalogue: std::sync::Arc<Catalogue>,
    contact: ContactState,
    workflows: Vec<WorkflowStanding>,
    carts: Vec<CartStanding>,
    coming: Vec<Coming>,
    /// The shop's own ids of carts.
    cart_ids: BTreeMap<EventId, String>,
    events: BTreeMap<EventId, StoredEvent>,
}

impl Told {
    /// Reads everything from the disk.
    fn gather(app: &App, shop: ShopNumber, person: PersonKey, contact: ContactState) -> Result<Self, ScanError> {
        let (state, partition) = (app.store.state(), person.partition());
        let mut objects: Vec<EventId> = state
            .histories()
            .about(partition, &person)?
            .into_iter()
            .filter(|(of, _)| *of == shop)
            .map(|(_, object)| object)
            .chain(contact.object())
            .collect();
        objects.sort_unstable();
        objects.dedup();
        let surplus = objects.len().saturating_sub(OBJECTS_MAX);
        let mut told = Self {
            partition,
            shop,
            catalogue: app.catalogue(),
            contact,
            workflows: Vec::new(),
            carts: Vec::new(),
            coming: Vec::new(),
            cart_ids: BTreeMap::new(),
            events: BTreeMap::new(),
        };
        for object in objects.into_iter().skip(surplus) {
            let events = state.histories().of(partition, object)?;
            if events
                .iter()
                .any(|stored| matches!(stored.event, Event::CartChanged(_)))
            {
                told.cart(app, object, &events)?;
            }
            told.events.extend(events.into_iter().map(|stored| (stored.id, stored)));
        }
        told.carts.reverse();
        told.workflows(app)?;
        told.coming.sort_by(|one, two| one.due.cmp(&two.due));
        Ok(told)
    }

    fn into_timeline(self, before: Option<EventId>, limit: usize) -> Timeline {
        let end = before.unwrap_or(EventId::from_raw(u64::MAX));
        let mut newest = self.events.range(..end).rev();
        let events: Vec<_> = newest
            .by_ref()
            .take(limit)
            .map(|(_, stored)| ContactEvent::of(self.partition, &self.catalogue, stored))
            .collect();
        let more = newest.next().is_some();
        Timeline {
            next_events: events.last().filter(|_| more).map(|last| last.id.clone()),
            events,
            suppressed: self.suppressed(),
            contact: ContactView::of(&self.contact, self.shop, &self.catalogue),
            workflows: self.workflows,
            carts: self.carts,
            coming: self.coming,
        }
    }

    fn suppressed(&self) -> Vec<SuppressedView> {
        let mut all = Vec::new();
        for stored in self.events.values().rev() {
            if all.len() >= SUPPRESSED_MAX {
                break;
            }
            let at = stored.wall.to_string();
            match &stored.event {
                Event::CartDecided(decided) => {
                    if let CartVerdict::Suppressed {
                        reminder,
                        reasons,
                        refusals,
                    } = &decided.verdict
                    {
                        let reasons = reasons.iter().map(|reason| RuleView {
                            code: reason.code(),
                            text: reason.sentence(),
                        });
                        all.push(SuppressedView {
                            at,
                            workflow: None,
                            step: None,
                            cart: self.cart_ids.get(&decided.cart).cloned(),
                            reminder: Some(reminder.as_str()),
                            reasons: reasons.chain(refused(refusals)).collect(),
                        });
                    }
                }
                Event::Moved(moved) => {
                    let steps = moved.did.iter().rev().filter_map(|did| match did {
                        Did::Suppressed { step, reason, refusals } => Some((step, *reason, refusals)),
                        _ => None,
                    });
                    all.extend(steps.map(|(step, reason, refusals)| {
                        let first = RuleView {
                            code: reason.code(),
                            text: reason.sentence(),
                        };
                        SuppressedView {
                            at: at.clone(),
                            workflow: self.workflow_id(moved.workflow),
                            step: Some(step.to_string()),
                            cart: None,
                            reminder: None,
                            reasons: std::iter::once(first).chain(refused(refusals)).collect(),
                        }
                    }));
                }
                _ => {}
            }
        }
        all.truncate(SUPPRESSED_MAX);
        all
    }

    fn workflow_id(&self, number: types::id::WorkflowNumber) -> Option<String> {
        let workflow = self.catalogue.workflow_by_number(number);
        workflow.map(|workflow| workflow.id.to_string())
    }

    fn public(&self, event: EventId) -> String {
        PublicId {
            partition: self.partition,
            event,
        }
        .to_string()
    }
}

impl ContactEvent {
    pub(crate) fn of(partition: PartitionId, catalogue: &Catalogue, stored: &StoredEvent) -> Self {
        let public = |event| PublicId { partition, event }.to_string();
        let workflow = match &stored.event {
            Event::Moved(moved) => catalogue.workflow_by_number(moved.workflow),
            _ => None,
        };
        Self {
            id: public(stored.id),
            time: stored.wall.to_string(),
            kind: stored.event.name(),
            detail: stored.event.sentence(),
            workflow: workflow.map(|workflow| workflow.id.to_string()),
            message: stored.event.about().mail.map(|message| public(message.event())),
        }
    }
}

fn refused(refusals: &[Refusal]) -> impl Iterator<Item = RuleView> {
    refusals.iter().map(|refusal| RuleView {
        code: refusal.code(),
        text: refusal.sentence(),
    })
}
