//! How an instance goes on, or leaves.

use std::time::Duration;

use types::contact::Channel;
use types::event::{Did, Event, Leave, MoveCause, Moved, Place, Suppressed, WaitEnded, Waits, WaitsOn};
use types::id::EventId;
use types::order::OrderStatus;
use types::time::Timestamp;
use types::workflow::{After, Start, Step};

use super::compiled::Compiled;
use super::enter::{next_year, waits_for_start};
use super::instance::Instance;
use super::rezone::rezone;
use super::start::{admits, armed_due, date_field};
use super::wait::{Verdicts, Waiting};
use super::walk::{Turn, Walk, Walked};
use super::way::{Way, Whose};
use super::world::{Broke, CartTurn, Happened, Input, What, World};
use crate::calendar::add_wait;
use crate::filter::Cause;

/// How long a timer that could not be worked on is put off, by the tries made; after the last it is set aside.
pub const AGAIN_AFTER: [Duration; 2] = [Duration::from_mins(1), Duration::from_mins(5)];

/// Lets an instance go on by what happened, if it goes on by that.
///
/// `workflow` is the version that the instance names. For an armed instance ([`Instance::is_armed`]) it is the newest: a contact that has not
/// entered yet enters by the version in force then. A timer has the instance's epoch. The way has no record, one of this instance, or a
/// second one that begins next year's instance.
pub fn resume<'a>(
    workflow: &'a Compiled,
    world: &'a World<'a>,
    id: EventId,
    instance: &'a Instance,
    input: &Input<'_>,
) -> Result<Way<'a>, Broke> {
    let Some(waits) = instance.waits() else {
        return Ok(Way::clear(Vec::new()));
    };
    let going = Going {
        workflow,
        world,
        id,
        instance,
        waits,
    };
    match input {
        Input::Happened(happened) if instance.is_armed() => {
            Ok(Way::clear(going.armed_happened(happened).into_iter().collect()))
        }
        Input::Happened(happened) => going.happened(happened),
        Input::Timer { due } => going.due(MoveCause::Timer(*due), *due),
        Input::On { version } if waits.on == WaitsOn::On => {
            // What waits for its start keeps what it is counted from; all else, when it would have gone on.
            let start = instance
                .is_armed()
                .then(|| armed_due(workflow, world, instance))
                .flatten();
            going.due(MoveCause::Activation(*version), start.unwrap_or(waits.base))
        }
        Input::On { .. } => Ok(Way::clear(Vec::new())),
        Input::Answer { id, ended } => going.answered(*id, ended.epoch, ended.status),
    }
}

/// Makes the record for an instance that could not go on by an input: a timer is put off twice, by 1 and by 5 minutes; then, or if it
/// was anything else, the instance is over. One that was put off says so by [`Did::Broke`]; the caller sets aside what is over.
pub fn failed(id: EventId, instance: &Instance, input: &Input<'_>, broke: &Broke, now: Timestamp) -> Moved {
    let did = vec![Did::Broke {
        step: broke.step.clone(),
        fault: broke.fault.clone(),
    }];
    let again = AGAIN_AFTER.get(usize::from(instance.tries)).copied();
    let place = match (input, again, instance.waits()) {
        (Input::Timer { .. }, Some(wait), Some(waits)) => Place::Waits(Waits {
            due: Some(now + wait),
            ..waits.clone()
        }),
        _ => Place::Left(Leave::Broken),
    };
    instance.moved(id, instance.version, MoveCause::Fault, (did, place))
}

struct Going<'a> {
    workflow: &'a Compiled,
    world: &'a World<'a>,
    id: EventId,
    instance: &'a Instance,
    waits: &'a Waits,
}

impl<'a> Going<'a> {
    fn walk(&self, at: Timestamp) -> Walk<'a> {
        Walk::of(self.workflow, self.world, (self.id, self.instance), at)
    }

    fn goes_on(&self, walk: Walk<'a>, turn: Turn, cause: MoveCause, next: Option<Moved>) -> Way<'a> {
        Way::walking(walk, turn, Whose::Of(self.id, self.instance), cause, next)
    }

    fn moved(&self, cause: MoveCause, walked: Walked) -> Moved {
        let Walked { did, place } = walked;
        self.instance.moved(self.id, self.workflow.version, cause, (did, place))
    }

    fn is_on(&self) -> bool {
        let known = self.world.catalogue.workflow_by_number(self.workflow.number);
        known.is_some_and(|known| known.state == types::workflow::WorkflowState::On)
    }

    fn is_deleted(&self) -> bool {
        let catalogue = self.world.catalogue;
        let workflow = catalogue.workflow_by_number(self.workflow.number);
        let shop = catalogue.shop_by_number(self.workflow.shop);
        workflow.is_none_or(|workflow| workflow.deleted) || shop.is_none_or(|shop| shop.deleted)
    }

    /// Its time came, or it was switched on after its time had come.
    fn due(&self, cause: MoveCause, due: Timestamp) -> Result<Way<'a>, Broke> {
        let (workflow, world) = (self.workflow, self.world);
        let mut walk = self.walk(due);
        if self.is_deleted() {
            return Ok(Way::clear(vec![self.moved(cause, walk.leave(Leave::Deleted))]));
        }
        if !self.is_on() {
            return Ok(Way::clear(match self.waits.on {
                // Nothing has changed since it was told.
                WaitsOn::On => Vec::new(),
                _ => vec![self.moved(cause, self.parked(due))],
            }));
        }
        let is_late = world.now > add_wait(due, &workflow.late_after(), &walk.zone());
        let Some(step) = &self.waits.step else {
            return self.fire(cause, due, is_late, walk);
        };
        if is_late {
            walk.log.suppressed(step, Suppressed::Late, Vec::new());
            return Ok(Way::clear(vec![self.moved(cause, walk.leave(Leave::Late))]));
        }
        if let Some(why) = self.exit(None)? {
            return Ok(Way::clear(vec![self.moved(cause, walk.leave(why))]));
        }
        let turn = self.surfaced(&mut walk, due)?;
        Ok(self.goes_on(walk, turn, cause, None))
    }

    /// Does what the step waits for.
    fn surfaced(&self, walk: &mut Walk<'_>, due: Timestamp) -> Result<Turn, Broke> {
        let found = self.waits.step.as_ref().and_then(|step| self.workflow.step(step));
        let Some((position, step)) = found else {
            return Err(Broke::at(self.waits.step.as_ref(), "the version has no such step"));
        };
        let next = position.saturating_add(1);
        match step {
            Step::Wait { .. } => {
                let Some(wait) = Waiting::of(step, next) else {
                    return Ok(Turn::On(next));
                };
                Ok(match (self.waits.on, wait.after) {
                    (WaitsOn::Time, After::Engagement) => walk.waited(wait, WaitEnded::Engaged, due),
                    (WaitsOn::Time, _) | (WaitsOn::On, After::Reached | After::Send) => {
                        walk.waited(wait, WaitEnded::Elapsed, due)
                    }
                    (WaitsOn::On, After::NoEngagement) if wait.mail(&walk.sends).is_none() => {
                        walk.waited(wait, WaitEnded::Elapsed, due)
                    }
                    (WaitsOn::Verdict, _) => walk.watch(wait, Verdicts::Final),
                    _ => walk.watch(wait, Verdicts::Awaited),
                })
            }
            Step::Send { id, template } => match self.waits.on {
                WaitsOn::Slot => walk.send_due(id, template, next, self.waits.base),
                _ => walk.send(id, template, next),
            },
            Step::Webhook { id, url } => Ok(match self.waits.on {
                WaitsOn::Webhook => walk.answered(id, None, next),
                _ => walk.call(id, url),
            }),
            Step::Branch { .. } | Step::Group { .. } | Step::Exit { .. } => walk.step(position, step),
        }
    }

    /// The time of the start came: enters, unless what it was armed for is not so any more.
    fn fire(&self, cause: MoveCause, due: Timestamp, is_late: bool, mut walk: Walk<'a>) -> Result<Way<'a>, Broke> {
        let (workflow, world) = (self.workflow, self.world);
        let gone = match armed_due(workflow, world, self.instance) {
            // The start was edited meanwhile, and comes later.
            Some(later) if later > world.now && !is_late => {
                let base = if date_field(workflow).is_some() {
                    later
                } else {
                    self.waits.base
                };
                let place = waits_for_start(workflow, world, base, later);
                let did = Vec::new();
                return Ok(Way::clear(vec![self.moved(cause, Walked { did, place })]));
            }
            None if !is_late => Some(Leave::StartGone),
            _ if is_late => Some(Leave::Late),
            _ if !admits(workflow, world, self.instance.key.as_ref(), Some(self.id)) => Some(Leave::StartGone),
            _ if !workflow.is_for(world.contact, world, None)? => Some(Leave::NotWho),
            _ => None,
        };
        let next = next_year(workflow, world, cause, due);
        if let Some(why) = gone {
            let records = std::iter::once(self.gone(cause, why)).chain(next);
            return Ok(Way::clear(records.collect()));
        }
        walk.log.push(Did::Entered);
        Ok(self.goes_on(walk, Turn::On(0), cause, next))
    }

    /// Leaves without having entered: nothing is done about that.
    fn gone(&self, cause: MoveCause, why: Leave) -> Moved {
        let walked = Walked {
            did: Vec::new(),
            place: Place::Left(why),
        };
        self.moved(cause, walked)
    }

    /// Waits to be switched on; `due` is when it would have gone on.
    fn parked(&self, due: Timestamp) -> Walked {
        let did = self.waits.step.iter().map(|step| Did::Suppressed {
            step: step.clone(),
            reason: Suppressed::Off,
            refusals: Vec::new(),
        });
        Walked {
            did: did.collect(),
            place: Place::Waits(Waits {
                on: WaitsOn::On,
                due: None,
                base: if self.waits.step.is_some() {
                    due
                } else {
                    self.waits.base
                },
                ..self.waits.clone()
            }),
        }
    }

    /// Something happened to the contact, which has not entered yet.
    fn armed_happened(&self, happened: &Happened<'_>) -> Option<Moved> {
        let (workflow, world, cause) = (self.workflow, self.world, MoveCause::Event(happened.id));
        if self.is_deleted() {
            return Some(self.gone(cause, Leave::Deleted));
        }
        let mut base = self.waits.base;
        match (&workflow.spec.start, happened.what) {
            (Start::CartAbandoned { .. }, What::Cart { id, turn }) if self.instance.key.as_ref() == Some(id) => {
                match turn {
                    CartTurn::Touched(at) => base = base.max(at.min(happened.wall)),
                    CartTurn::Closed => return Some(self.gone(cause, Leave::StartGone)),
                }
            }
            (Start::Date { .. }, _) if !self.date_changed(happened) => return None,
            _ => {}
        }
        let zone = workflow.zone_of(world.contact);
        let touched = Instance {
            place: Place::Waits(Waits {
                base,
                ..self.waits.clone()
            }),
            ..self.instance.clone()
        };
        let Some(due) = armed_due(workflow, world, &touched) else {
            return Some(self.gone(cause, Leave::StartGone));
        };
        if date_field(workflow).is_some() {
            base = due;
        }
        let stands = self.waits.due.unwrap_or(self.waits.base);
        let is_same = match self.waits.on {
            // Its time came while the workflow was off: only a later one changes that.
            WaitsOn::On => due <= world.now,
            _ => due == stands && base == self.waits.base,
        };
        if is_same {
            return None;
        }
        let only_zone = zone != self.waits.zone && base == self.waits.base;
        let cause = if only_zone { MoveCause::Zone } else { cause };
        let walked = Walked {
            did: Vec::new(),
            place: waits_for_start(workflow, world, base, due),
        };
        Some(self.moved(cause, walked))
    }

    fn date_changed(&self, happened: &Happened<'_>) -> bool {
        let (contact, before) = (self.world.contact, happened.before);
        let field = date_field(self.workflow);
        let value =
            |contact: &'a crate::contact::ContactState| field.and_then(|field| contact.fields().get(field)).cloned();
        let was = before.and_then(|before| field.and_then(|field| before.fields().get(field)).cloned());
        value(contact) != was || self.workflow.zone_of(contact) != self.waits.zone
    }

    /// Something happened to the contact.
    fn happened(&self, happened: &Happened<'_>) -> Result<Way<'a>, Broke> {
        let cause = MoveCause::Event(happened.id);
        if self.is_deleted() {
            let walk = self.walk(happened.wall);
            return Ok(Way::clear(vec![self.moved(cause, walk.leave(Leave::Deleted))]));
        }
        if let Some(why) = self.exit(Some(happened))? {
            let walk = self.walk(happened.wall);
            return Ok(Way::clear(vec![self.moved(cause, walk.leave(why))]));
        }
        let watches = matches!(
            self.waits.on,
            WaitsOn::Engagement | WaitsOn::NoEngagement | WaitsOn::Verdict
        );
        if watches && matches!(happened.what, What::Hits(_)) {
            return self.judged(cause);
        }
        let moved = rezone(self.workflow, self.world, self.id, self.instance);
        Ok(Way::clear(moved.into_iter().collect()))
    }

    /// Opens or clicks were judged while one, or none, is waited for.
    fn judged(&self, cause: MoveCause) -> Result<Way<'a>, Broke> {
        let found = self.waits.step.as_ref().and_then(|step| self.workflow.step(step));
        let Some((position, step)) = found else {
            return Err(Broke::at(self.waits.step.as_ref(), "the version has no such step"));
        };
        let Some(wait) = Waiting::of(step, position.saturating_add(1)) else {
            return Ok(Way::clear(Vec::new()));
        };
        let mut walk = self.walk(self.world.now);
        let turn = walk.watch(wait, Verdicts::Awaited);
        if let Turn::Stop(Place::Waits(waits)) = &turn {
            let is_same = waits.on == self.waits.on && (waits.due == self.waits.due || waits.on == WaitsOn::Verdict);
            if is_same {
                return Ok(Way::clear(Vec::new()));
            }
        } else if !self.is_on() {
            // The mail's row remembers it. One that waits for it has its time come now; one that waits for none, when it is due.
            return Ok(Way::clear(match self.waits.on {
                WaitsOn::Engagement => vec![self.moved(cause, self.parked(self.world.now))],
                _ => Vec::new(),
            }));
        }
        Ok(self.goes_on(walk, turn, cause, None))
    }

    /// The webhook was answered, or not.
    fn answered(&self, event: EventId, epoch: u32, status: Option<u16>) -> Result<Way<'a>, Broke> {
        let found = self.waits.step.as_ref().and_then(|step| self.workflow.step(step));
        let (WaitsOn::Webhook, Some((position, Step::Webhook { id, .. }))) = (self.waits.on, found) else {
            return Ok(Way::clear(Vec::new()));
        };
        if epoch != self.instance.epoch {
            return Ok(Way::clear(Vec::new()));
        }
        let cause = MoveCause::Event(event);
        let mut walk = self.walk(self.world.now);
        let turn = walk.answered(id, status, position.saturating_add(1));
        if let (Turn::On(_), Some(why)) = (&turn, self.exit(None)?) {
            return Ok(Way::clear(vec![self.moved(cause, walk.leave(why))]));
        }
        Ok(self.goes_on(walk, turn, cause, None))
    }

    /// Tells why the contact leaves early, if it does.
    fn exit(&self, happened: Option<&Happened<'_>>) -> Result<Option<Leave>, Broke> {
        let (workflow, world) = (self.workflow, self.world);
        let (contact, step) = (world.contact, self.waits.step.as_ref());
        if let Some(happened) = happened {
            let agreed = happened.before.is_some_and(|before| before.agrees(Channel::Email));
            if workflow.has_sends() && agreed && !contact.agrees(Channel::Email) {
                return Ok(Some(Leave::NoConsent));
            }
        }
        if let Some(goal) = &workflow.filters.goal
            && goal.holds(contact, world, Cause::None, step)?
        {
            return Ok(Some(Leave::Goal));
        }
        if let Some(happened) = happened
            && workflow.spec.exit.on_order
            && let What::Event(Event::OrderAccepted(accepted)) = happened.what
            && accepted.order.status == OrderStatus::Confirmed
        {
            return Ok(Some(Leave::Ordered));
        }
        if let Some(exit) = &workflow.filters.exit
            && exit.holds(contact, world, Cause::None, step)?
        {
            return Ok(Some(Leave::ExitFilter));
        }
        let leaves = workflow.spec.exit.when_not_who && !workflow.is_for(contact, world, step)?;
        Ok(leaves.then_some(Leave::NotWho))
    }
}
