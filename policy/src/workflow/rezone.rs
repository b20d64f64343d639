//! Waits whose zone changed: the contact moved, or the rules of its zone did.

use types::event::{MoveCause, Moved, Place, Waits, WaitsOn};
use types::id::EventId;
use types::time::Timestamp;
use types::workflow::{After, Step};

use super::compiled::Compiled;
use super::enter::waits_for_start;
use super::instance::Instance;
use super::send::spread_key;
use super::start::{armed_due, date_field};
use super::wait::Waiting;
use super::world::World;
use crate::calendar::{ResolvedZone, add_wait, resolve, spread};

/// Computes again when an instance goes on, from what its wait was made of; `None` if that changes nothing.
///
/// For instances whose wait is civil ([`Instance::is_civil`]), when the contact's zone or the zone data changed; for armed ones, with
/// the newest version, also when the workflow's start did.
pub fn rezone(workflow: &Compiled, world: &World<'_>, id: EventId, instance: &Instance) -> Option<Moved> {
    let waits = instance.waits().filter(|_| instance.is_civil())?;
    let zone = workflow.zone_of(world.contact);
    let resolved = world.zones.resolved(zone);
    let place = match &waits.step {
        None => {
            let due = armed_due(workflow, world, instance)?;
            let base = if date_field(workflow).is_some() {
                due
            } else {
                waits.base
            };
            waits_for_start(workflow, world, base, due)
        }
        Some(_) => Place::Waits(Waits {
            due: Some(due(workflow, world, instance, waits, &resolved)?),
            zone,
            ..waits.clone()
        }),
    };
    let has_moved = matches!(&place, Place::Waits(new) if new.due != waits.due);
    has_moved.then(|| instance.moved(id, workflow.version, MoveCause::Zone, (Vec::new(), place)))
}

fn due(
    workflow: &Compiled,
    world: &World<'_>,
    instance: &Instance,
    waits: &Waits,
    zone: &ResolvedZone,
) -> Option<Timestamp> {
    let (position, step) = workflow.step(waits.step.as_ref()?)?;
    match step {
        Step::Wait { .. } => {
            let wait = Waiting::of(step, position)?;
            let duration = match (waits.on, wait.after) {
                (WaitsOn::Engagement, After::Engagement) => wait.limit(),
                _ => *wait.duration,
            };
            Some(add_wait(waits.base, &duration, zone))
        }
        Step::Send { id, .. } if waits.on == WaitsOn::Slot => {
            let own = workflow.resolved_zone(world);
            let rules = &workflow.spec.send;
            let key = spread_key(world.key, workflow.number, instance.key.as_deref(), id);
            let from = |ready| {
                let at = resolve(ready, rules, zone, &own).at()?;
                Some(spread(at, key, rules, zone, &own))
            };
            // Without a slot it surfaces when it would have, and is dropped then.
            match from(waits.base)? {
                later if later > world.now => Some(later),
                _ if waits.zone == zone.zone() => waits.due,
                _ => from(world.now),
            }
        }
        _ => None,
    }
}
