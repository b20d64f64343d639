//! `/v1/workflows/{id}/simulate`: how many contacts would enter if the workflow were switched on now and took existing contacts in.
//!
//! The simulation asks the engine about each contact as if the newest definition had just been switched on. It answers each request for a
//! mail as if the mail had been sent, counts the records at the end of the way, and drops them. Nothing is recorded, sent or called.

use std::sync::Arc;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use data_encoding::HEXLOWER;
use policy::PersonState;
use policy::contact::ContactState;
use policy::filter::{Schema, Steps};
use policy::workflow::{Compiled, Engagement, Mails, Sent, Trigger, Want, World, Zones, enter};
use serde::Serialize;
use types::catalogue::{Catalogue, Workflow};
use types::contact::Channel;
use types::event::{CatalogueChanged, Did};
use types::id::{EventId, MessageId, PersonKey};
use types::time::Timestamp;
use types::workflow::{Enrol, WorkflowState};

use super::{asked, faults};
use crate::app::{App, internal};
use crate::auth::Caller;
use crate::contacts::{ContactParams, scan};
use crate::extract::{Params, Segments};
use crate::problem::Problem;

/// How many contacts are looked at for one answer: a second of a thread, about.
const SCANNED_MAX: usize = 50_000;

/// Whom a workflow would take in.
#[derive(Debug, Default, Serialize, utoipa::ToSchema)]
pub(crate) struct Simulation {
    /// Contacts that were looked at for this answer.
    looked_at: u64,
    /// Of these, those who would enter at once.
    enter_now: u64,
    /// Of these, those who would wait for the time of their start.
    wait_for_start: u64,
    /// Of those who enter or wait, those who do not agree to mail: they get none.
    without_consent: u64,
    /// Contacts of whom a filter could not be asked.
    faults: u64,
    /// Where to go on, as `cursor`: there are contacts that were not looked at. Add the answers up.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, nullable = false)]
    next: Option<String>,
}

/// Count whom a workflow would take in
///
/// As if it were switched on now with `existing_and_future`. Sends nothing and changes nothing. At most 50,000 contacts are looked at for one
/// answer; `next` is there if there are more. Refused with 422 if the definition has faults.
#[utoipa::path(
    get, path = "/v1/workflows/{id}/simulate", tag = "workflows", operation_id = "simulateWorkflow",
    params(ContactParams, ("id" = String, Path, description = "The workflow's id.", min_length = 1, max_length = 64)),
    responses((status = 200, description = "The counts.", body = Simulation))
)]
pub(crate) async fn get(
    State(app): State<App>,
    caller: Caller,
    Params(params): Params<ContactParams>,
    Segments(id): Segments<String>,
) -> Result<Response, Problem> {
    let workflow = asked(&app, &caller, params.shop.as_deref(), &id)?;
    let (cursor, max) = params.place(SCANNED_MAX)?;
    app.fold().await;
    let simulation = app
        .in_turn(workflow.shop, 0, move |app| simulate(app, &workflow, cursor, max))
        .await??;
    Ok(axum::Json(simulation).into_response())
}

fn simulate(app: &App, workflow: &Arc<Workflow>, after: Option<PersonKey>, max: usize) -> Result<Simulation, Problem> {
    let (catalogue, shop) = (app.catalogue(), workflow.shop);
    let found = faults(&catalogue, shop, workflow.spec());
    if !found.is_empty() {
        return Err(Problem::invalid(found));
    }
    let trial = Trial::new(&catalogue, workflow, app.now());
    let mut simulation = Simulation::default();
    let next = scan(app, shop, after, max, |person, contact| {
        simulation.looked_at += 1;
        match trial.take_in(person, contact) {
            Ok(None) => {}
            Ok(Some(taken)) => {
                *match taken {
                    Taken::Now => &mut simulation.enter_now,
                    Taken::Later => &mut simulation.wait_for_start,
                } += 1;
                simulation.without_consent += u64::from(!contact.agrees(Channel::Email));
            }
            Err(_) => simulation.faults += 1,
        }
        true
    });
    let next = next.map_err(|error| internal("reading contacts", &error))?;
    simulation.next = next.map(|last| HEXLOWER.encode(last.as_bytes()));
    Ok(simulation)
}

/// How a contact would be taken in.
enum Taken {
    Now,
    Later,
}

/// A catalogue in which the workflow was just switched on.
struct Trial {
    catalogue: Catalogue,
    compiled: Compiled,
    version: u64,
    zones: Zones,
    now: Timestamp,
}

impl Trial {
    fn new(catalogue: &Catalogue, workflow: &Workflow, now: Timestamp) -> Self {
        let mut catalogue = catalogue.clone();
        for state in [WorkflowState::Off, WorkflowState::On] {
            let switched = CatalogueChanged::WorkflowSwitched {
                shop: workflow.shop,
                id: workflow.id.clone(),
                state,
                enrol: Enrol::ExistingAndFuture,
            };
            catalogue.apply(&switched, now);
        }
        let schema = Schema::of(&catalogue, workflow.shop);
        let compiled = Compiled::of(workflow, workflow.version, &schema).expect("the newest version is kept");
        Self {
            version: catalogue.version(),
            catalogue,
            compiled,
            zones: Zones::default(),
            now,
        }
    }

    fn take_in(&self, person: PersonKey, contact: &ContactState) -> Result<Option<Taken>, policy::workflow::Broke> {
        let world = World {
            now: self.now,
            catalogue: &self.catalogue,
            key: person,
            person: &PersonState::default(),
            contact,
            zones: &self.zones,
            mails: &NoMails,
            steps: &Steps::default(),
        };
        let trigger = Trigger::Activation { version: self.version };
        let mut way = enter(&self.compiled, &world, &trigger)?;
        let records = loop {
            match way.go()? {
                // As if it had been sent.
                Want::Send(_) => way.sent(Sent::Accepted {
                    accepted: EventId::from_raw(0),
                    message: MessageId::from_raw(0),
                }),
                Want::Done(done) => break done.records,
            }
        };
        let enters = records.iter().any(|moved| moved.did.contains(&Did::Entered));
        Ok(match (enters, records.is_empty()) {
            (true, _) => Some(Taken::Now),
            (false, false) => Some(Taken::Later),
            (false, true) => None,
        })
    }
}

/// Nothing was done with any mail.
struct NoMails;

impl Mails for NoMails {
    fn engagement(&self, _: MessageId) -> Engagement {
        Engagement::default()
    }
}
