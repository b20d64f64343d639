//! Who comes in.

use types::event::{Did, MoveCause, Moved, Place, Waits, WaitsOn};
use types::text::Line;
use types::time::Timestamp;
use types::workflow::{Start, WorkflowState};

use super::compiled::Compiled;
use super::start::{Coming, admits, coming, date_due};
use super::walk::{Turn, Walk, Walked};
use super::way::{Way, Whose};
use super::world::{Broke, Trigger, World};

/// Brings the contact into a workflow if the trigger does, or arms an instance that waits for the time of its start.
///
/// `workflow` is the newest version. Each record of the way begins an instance; most ways have none.
/// Live instances of the contact are offered the trigger before ([`super::resume()`]): an order may end one and begin another.
pub fn enter<'a>(workflow: &'a Compiled, world: &'a World<'a>, trigger: &Trigger<'_>) -> Result<Way<'a>, Broke> {
    let nobody = || Ok(Way::clear(Vec::new()));
    let known = world.catalogue.workflow_by_number(workflow.number);
    if known.is_none_or(|known| known.deleted || known.state != WorkflowState::On) || !world.contact.exists() {
        return nobody();
    }
    let enrolment = world.contact.enrolments().of(workflow.number);
    let cause = match trigger {
        Trigger::Happened(happened) => MoveCause::Event(happened.id),
        Trigger::Activation { version } if enrolment.is_some_and(|own| own.activation >= *version) => {
            return nobody();
        }
        Trigger::Activation { version } => MoveCause::Activation(*version),
    };
    let Some(coming) = coming(workflow, world, trigger)? else {
        return nobody();
    };
    workflow.filters.can_be_asked()?;
    // One that waits for its time already is moved by what happens, not doubled.
    if enrolment.is_some_and(|own| own.armed(coming.key.as_ref()).is_some()) {
        return nobody();
    }
    let is_date = matches!(workflow.spec.start, Start::Date { .. });
    let is_due = coming.due <= world.now;
    let comes = admits(workflow, world, coming.key.as_ref(), None)
        // A date that is yet to come is asked then.
        && (is_date && !is_due || workflow.is_for(world.contact, world, None)?);
    if comes && !is_due {
        return Ok(Way::clear(vec![armed(workflow, world, cause, coming)]));
    }
    let next = (is_date && is_due).then(|| next_year(workflow, world, cause, coming.due));
    let next = next.flatten();
    if !comes {
        return Ok(Way::clear(next.into_iter().collect()));
    }
    let walk = Walk::entering(workflow, world, coming.key.clone(), coming.due);
    Ok(Way::walking(walk, Turn::On(0), Whose::Begins(coming.key), cause, next))
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

pub(super) fn begun(
    workflow: &Compiled,
    world: &World<'_>,
    cause: MoveCause,
    key: Option<Line<128>>,
    walked: Walked,
) -> Moved {
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
