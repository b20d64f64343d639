//! Where a contact stands in workflows and with its carts, and what comes next by itself.

use policy::calendar::{ResolvedZone, local_time};
use policy::cart::CartState;
use policy::contact::{Live, Stage};
use policy::workflow::Instance;
use serde::Serialize;
use store::StoredEvent;
use types::event::{CartVerdict, Did, Event, Moved, Place, WaitsOn};
use types::id::{EventId, WorkflowNumber};
use types::text::Slug;

use super::{ScanError, Told};
use crate::app::App;
use crate::carts::{CartView, NextView};

/// How a contact stands with one workflow.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct WorkflowStanding {
    /// The workflow's id; missing if it is not known any more.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, nullable = false)]
    workflow: Option<String>,
    /// How often the contact entered.
    entries: u32,
    /// When it last did.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, nullable = false, format = DateTime)]
    entered_at: Option<String>,
    /// When it last left.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, nullable = false, format = DateTime)]
    left_at: Option<String>,
    /// Why it last left, by the reason's code.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, nullable = false)]
    left_because: Option<&'static str>,
    /// Ways through it that are not over.
    inside: Vec<InstanceView>,
}

/// A way through a workflow that is not over.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct InstanceView {
    /// Names it.
    #[schema(pattern = "^[a-z2-7]{16}$")]
    instance: String,
    /// The version with which it entered.
    version: u32,
    /// What the entry is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, nullable = false)]
    key: Option<String>,
    /// Whether it has entered, or waits for the time of its start.
    entered: bool,
    /// The step at which it waits; missing before the first.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, nullable = false, value_type = Option<String>)]
    step: Option<Slug>,
    /// For what it waits.
    waits_for: WaitsOn,
    /// The same for people.
    detail: String,
    /// Since when it stands there.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, nullable = false, format = DateTime)]
    since: Option<String>,
    /// From when its wait is counted.
    #[schema(format = DateTime)]
    counted_from: String,
    /// When it goes on by itself; missing if never.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, nullable = false, format = DateTime)]
    due: Option<String>,
    /// The same, as the clocks of its zone show it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, nullable = false)]
    due_local: Option<String>,
    /// The zone that it was counted in.
    zone: String,
    /// The rules that moved it, in their order: why not yet. Empty if none did.
    rules: Vec<String>,
    /// The mails that it sent, at most 16, oldest first.
    sent: Vec<SentView>,
}

/// A mail that a step sent.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = StepSent)]
pub(crate) struct SentView {
    /// Which step.
    #[schema(value_type = String)]
    step: Slug,
    /// When.
    #[schema(format = DateTime)]
    at: String,
    /// The mail; `GET /v1/messages/{id}` takes it.
    #[schema(pattern = "^[a-z2-7]{16}$")]
    message: String,
}

/// A cart, and what became of its reminders.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct CartStanding {
    /// The cart.
    cart: CartView,
    /// What was decided on its reminders, oldest first.
    decisions: Vec<CartDecision>,
}

/// What was decided on a cart.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct CartDecision {
    /// When.
    #[schema(format = DateTime)]
    at: String,
    /// `reminded`, `suppressed`, `would_remind` or `ordered`.
    verdict: &'static str,
    /// The same for people, with every reason.
    detail: String,
}

/// Something that comes by itself.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct Coming {
    /// When.
    #[schema(format = DateTime)]
    pub(super) due: String,
    /// The same, as the clocks of its zone show it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, nullable = false)]
    due_local: Option<String>,
    /// The workflow that goes on.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, nullable = false)]
    workflow: Option<String>,
    /// At this step.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, nullable = false, value_type = Option<String>)]
    step: Option<Slug>,
    /// The cart that is looked at, by the shop's own id.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, nullable = false)]
    cart: Option<String>,
    /// For this reminder.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, nullable = false)]
    reminder: Option<&'static str>,
}

impl Told {
    /// Reads how the contact stands with each workflow, once its events are there.
    pub(super) fn workflows(&mut self, app: &App) -> Result<(), ScanError> {
        let enrolments = self.contact.enrolments().as_slice().to_vec();
        for enrolment in enrolments {
            let mut inside = Vec::new();
            for live in &enrolment.live {
                inside.extend(self.instance(app, enrolment.workflow, live)?);
            }
            self.workflows.push(WorkflowStanding {
                workflow: self.workflow_id(enrolment.workflow),
                entries: enrolment.entries,
                entered_at: enrolment.entered_at.map(|at| at.to_string()),
                left_at: enrolment.left_at.map(|at| at.to_string()),
                left_because: self.left_because(enrolment.workflow),
                inside,
            });
        }
        Ok(())
    }

    fn moves(&self) -> impl Iterator<Item = (&StoredEvent, &Moved)> {
        self.events.values().rev().filter_map(|stored| match &stored.event {
            Event::Moved(moved) => Some((stored, &**moved)),
            _ => None,
        })
    }

    fn left_because(&self, workflow: WorkflowNumber) -> Option<&'static str> {
        self.moves().find_map(|(_, moved)| match &moved.place {
            Place::Left(leave) if moved.workflow == workflow => Some(leave.code()),
            _ => None,
        })
    }

    fn instance(
        &mut self,
        app: &App,
        workflow: WorkflowNumber,
        live: &Live,
    ) -> Result<Option<InstanceView>, ScanError> {
        let Some(bytes) = app.store.state().workflows().instance(self.partition, live.instance)? else {
            return Ok(None);
        };
        let instance = Instance::decode(&bytes).map_err(|error| ScanError::Row(error.to_string()))?;
        let Some(waits) = instance.waits().cloned() else {
            return Ok(None);
        };
        let zone = ResolvedZone::of(waits.zone);
        let due_local = waits.due.map(|due| local_time(due, &zone));
        if let Some(due) = waits.due {
            self.coming.push(Coming {
                due: due.to_string(),
                due_local: due_local.clone(),
                workflow: self.workflow_id(workflow),
                step: waits.step.clone(),
                cart: None,
                reminder: None,
            });
        }
        // The record that brought it to where it stands: the oldest of the last ones with this place's step.
        let own = |moved: &&(&StoredEvent, &Moved)| is_of(moved.0.id, moved.1, live.instance);
        let here =
            |moved: &&(&StoredEvent, &Moved)| matches!(&moved.1.place, Place::Waits(place) if place.step == waits.step);
        let moves: Vec<_> = self.moves().collect();
        let standing: Vec<_> = moves.iter().filter(own).take_while(here).collect();
        let since = standing.last().map(|(stored, _)| stored.wall.to_string());
        let delayed = standing.iter().flat_map(|(_, moved)| moved.did.iter().rev());
        let rules = delayed.into_iter().find_map(|did| match did {
            Did::Delayed { step, rules, .. } if Some(step) == waits.step.as_ref() => Some(rules.clone()),
            _ => None,
        });
        let sent = instance.sends.iter().map(|sent| SentView {
            step: sent.step.clone(),
            at: sent.at().to_string(),
            message: self.public(sent.message.event()),
        });
        Ok(Some(InstanceView {
            instance: self.public(live.instance),
            version: instance.version,
            key: instance.key.as_ref().map(ToString::to_string),
            entered: live.stage == Stage::Entered,
            step: waits.step.clone(),
            waits_for: waits.on,
            detail: waits.sentence(),
            since,
            counted_from: waits.base.to_string(),
            due: waits.due.map(|due| due.to_string()),
            due_local,
            zone: waits.zone.to_string(),
            rules: rules.unwrap_or_default().into_iter().map(String::from).collect(),
            sent: sent.collect(),
        }))
    }

    /// Adds a cart, if it is one still, with what was decided on it.
    pub(super) fn cart(&mut self, app: &App, object: EventId, events: &[StoredEvent]) -> Result<(), ScanError> {
        let Some(bytes) = app.store.state().carts().get(self.partition, object)? else {
            return Ok(());
        };
        let cart = CartState::decode(&bytes).map_err(|error| ScanError::Row(error.to_string()))?;
        let view = CartView::of(self.partition, &cart);
        self.cart_ids.insert(object, view.id.clone());
        if let Some(NextView { reminder, due }) = &view.next {
            self.coming.push(Coming {
                due: due.clone(),
                due_local: None,
                workflow: None,
                step: None,
                cart: Some(view.id.clone()),
                reminder: Some(reminder.as_str()),
            });
        }
        let decisions = events.iter().filter_map(|stored| match &stored.event {
            Event::CartDecided(decided) => Some(CartDecision {
                at: stored.wall.to_string(),
                verdict: match decided.verdict {
                    CartVerdict::Reminded { .. } => "reminded",
                    CartVerdict::Suppressed { .. } => "suppressed",
                    CartVerdict::WouldRemind { .. } => "would_remind",
                    CartVerdict::Ordered { .. } => "ordered",
                },
                detail: stored.event.sentence(),
            }),
            _ => None,
        });
        self.carts.push(CartStanding {
            cart: view,
            decisions: decisions.collect(),
        });
        Ok(())
    }
}

/// Returns whether a record, which has this id, is one of this instance's.
fn is_of(id: EventId, moved: &Moved, instance: EventId) -> bool {
    moved.instance.unwrap_or(id) == instance
}
