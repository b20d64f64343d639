//! Who comes in.

use types::event::{Did, MoveCause, Moved, Place, Waits, WaitsOn};
use types::text::Line;
use types::time::Timestamp;
use types::workflow::{Start, WorkflowState};

use super::compiled::Compiled;
use super::hands::Hands;
use super::start::{Coming, admits, coming, date_due};
use super::walk::{Walk, Walked};
use super::world::{Broke, Trigger, World};

/// Brings the contact into a workflow if the trigger does, or arms an instance that waits for the time of its start.
///
/// `workflow` is the newest version. Returns the records to append, in their order, each of which begins an instance; mostly none.
/// Live instances of the contact are offered the trigger before ([`super::resume()`]): an order may end one and begin another.
pub fn enter(
    workflow: &Compiled,
    world: &World<'_>,
    trigger: &Trigger<'_>,
    hands: &mut dyn Hands,
) -> Result<Vec<Moved>, Broke> {
    let known = world.catalogue.workflow_by_number(workflow.number);
    if known.is_none_or(|known| known.deleted || known.state != WorkflowState::On) || !world.contact.exists() {
        return Ok(Vec::new());
    }
    let enrolment = world.contact.enrolment(workflow.number);
    let cause = match trigger {
        Trigger::Happened(happened) => MoveCause::Event(happened.id),
        Trigger::Activation { version } if enrolment.is_some_and(|own| own.activation >= *version) => {
            return Ok(Vec::new());
        }
        Trigger::Activation { version } => MoveCause::Activation(*version),
    };
    let Some(coming) = coming(workflow, world, trigger)? else {
        return Ok(Vec::new());
    };
    workflow.can_be_asked()?;
    // One that waits for its time already is moved by what happens, not doubled.
    if enrolment.is_some_and(|own| own.armed(coming.key.as_ref()).is_some()) {
        return Ok(Vec::new());
    }
    let is_date = matches!(workflow.spec.start, Start::Date { .. });
    let is_due = coming.due <= world.now;
    let comes = admits(workflow, world, coming.key.as_ref(), None)
        // A date that is yet to come is asked then.
        && (is_date && !is_due || workflow.is_for(world.contact, world, None)?);
    if comes && !is_due {
        return Ok(vec![armed(workflow, world, cause, coming)]);
    }
    let mut records = Vec::new();
    if comes {
        let walk = Walk::entering(workflow, world, hands, coming.key.clone(), coming.due);
        let walked = walk.go(0)?;
        records.push(begun(workflow, world, cause, coming.key.clone(), walked));
    }
    if is_date && is_due {
        records.extend(next_year(workflow, world, cause, coming.due));
    }
    Ok(records)
}

/// Returns the record that arms an instance for the next time that a yearly date comes, later than `due`.
pub(super) fn next_year(workflow: &Compiled, world: &World<'_>, cause: MoveCause, due: Timestamp) -> Option<Moved> {
    if !workflow.is_yearly() {
        return None;
    }
    let zone = world.zones.resolved(workflow.zone_of(world.contact));
    let next = date_due(workflow, world, &zone, Some(due + super::start::YEARLY_ONCE))?;
    let coming = Coming {
        base: next,
        due: next,
        key: None,
    };
    Some(armed(workflow, world, cause, coming))
}

fn armed(workflow: &Compiled, world: &World<'_>, cause: MoveCause, coming: Coming) -> Moved {
    let place = waits_for_start(workflow, world, coming.base, coming.due);
    let walked = Walked {
        did: Vec::<Did>::new(),
        place,
    };
    begun(workflow, world, cause, coming.key, walked)
}

/// Returns the place before the first step.
pub(super) fn waits_for_start(workflow: &Compiled, world: &World<'_>, base: Timestamp, due: Timestamp) -> Place {
    Place::Waits(Waits {
        step: None,
        on: WaitsOn::Start,
        due: Some(due),
        base,
        zone: workflow.zone_of(world.contact),
    })
}

fn begun(workflow: &Compiled, world: &World<'_>, cause: MoveCause, key: Option<Line<128>>, walked: Walked) -> Moved {
    Moved {
        shop: workflow.shop,
        workflow: workflow.number,
        version: workflow.version,
        person: world.key,
        instance: None,
        epoch: 1,
        cause,
        key,
        did: walked.did,
        place: walked.place,
    }
}
