//! From step to step, until one has to wait or the way is over.

use std::borrow::Cow;
use std::time::Duration;

use types::event::{Did, Leave, Place, Waits, WaitsOn};
use types::id::EventId;
use types::text::{Line, Slug};
use types::time::Timestamp;
use types::workflow::{GroupChange, Step, WorkflowState};

use super::compiled::{Compiled, END, is_in};
use super::instance::{Instance, StepSent};
use super::log::Log;
use super::way::Send;
use super::world::{Broke, World};
use crate::calendar::ResolvedZone;
use crate::contact::ContactState;
use crate::filter::Cause;

/// What is done no later than this was done on time: so late are timers of a busy hour. A series at the same clock time each day stays at
/// it, although each of its mails leaves a moment after it.
pub(super) const ON_TIME: Duration = Duration::from_hours(1);

/// One reaction of one instance: what it did so far, and what it did it to.
pub(super) struct Walk<'a> {
    pub(super) workflow: &'a Compiled,
    pub(super) world: &'a World<'a>,
    /// The contact, with what this walk changed about its groups.
    pub(super) contact: Cow<'a, ContactState>,
    /// `None` while it enters.
    pub(super) instance: Option<EventId>,
    pub(super) key: Option<Line<128>>,
    /// The epoch of the record that is made.
    pub(super) epoch: u32,
    pub(super) sends: Vec<StepSent>,
    /// How often the webhook at which the walk begins was called.
    pub(super) attempt: u8,
    /// When what happens now happened: waits are counted from it.
    pub(super) at: Timestamp,
    /// When it was to be done: a timer's due, as long as it surfaced on time, or now.
    pub(super) as_of: Timestamp,
    pub(super) log: Log,
    /// What was asked for and is not answered.
    pub(super) asked: Option<Asked>,
}

/// A mail that a step asked for.
pub(super) struct Asked {
    pub(super) step: Slug,
    /// The moment that was chosen for it.
    pub(super) chosen: Timestamp,
    /// The step after it.
    pub(super) next: usize,
}

/// How a step ends.
pub(super) enum Turn {
    /// It goes on with the step at this position; behind the last one is the end.
    On(usize),
    /// It asks for a mail, and goes on by the answer.
    Ask(Box<Send>),
    /// It waits for that answer.
    Asked,
    /// It comes to a place.
    Stop(Place),
}

/// Where a walk halts.
pub(super) enum Halt {
    /// At a question.
    Asks(Box<Send>),
    /// At a place.
    At(Place),
}

/// What a walk came to.
pub(super) struct Walked {
    pub(super) did: Vec<Did>,
    pub(super) place: Place,
}

impl<'a> Walk<'a> {
    /// Begins the way of who enters, by something that happened at `at`.
    pub(super) fn entering(
        workflow: &'a Compiled,
        world: &'a World<'a>,
        key: Option<Line<128>>,
        at: Timestamp,
    ) -> Self {
        Self {
            workflow,
            world,
            contact: Cow::Borrowed(world.contact),
            instance: None,
            key,
            epoch: 1,
            sends: Vec::new(),
            attempt: 0,
            at: at.min(world.now),
            as_of: world.now,
            log: Log {
                did: vec![Did::Entered],
                ..Log::default()
            },
            asked: None,
        }
    }

    /// Goes on where an instance stands, by something that happened at `at`.
    pub(super) fn of(
        workflow: &'a Compiled,
        world: &'a World<'a>,
        (id, instance): (EventId, &Instance),
        at: Timestamp,
    ) -> Self {
        Self {
            workflow,
            world,
            contact: Cow::Borrowed(world.contact),
            instance: Some(id),
            key: instance.key.clone(),
            epoch: instance.epoch.saturating_add(1),
            sends: instance.sends.clone(),
            attempt: instance.attempt,
            at: at.min(world.now),
            as_of: if world.now.since(at) > ON_TIME {
                world.now
            } else {
                at.min(world.now)
            },
            log: Log::default(),
            asked: None,
        }
    }

    /// Leaves.
    pub(super) fn leave(mut self, why: Leave) -> Walked {
        let place = self.left(why);
        self.end(place)
    }

    fn end(self, place: Place) -> Walked {
        Walked {
            did: self.log.did,
            place,
        }
    }

    /// Goes on with a turn, until it asks something or comes to a place.
    pub(super) fn follow(&mut self, mut turn: Turn) -> Result<Halt, Broke> {
        let workflow = self.workflow;
        // Jumps lead forward, so this ends.
        loop {
            let position = match turn {
                Turn::Stop(place) => return Ok(Halt::At(place)),
                Turn::Ask(send) => return Ok(Halt::Asks(send)),
                Turn::Asked => return Err(Broke::at(None, "it was asked to go on without an answer")),
                Turn::On(position) => position,
            };
            let Some(step) = workflow.spec.steps.get(position) else {
                return Ok(Halt::At(self.left(Leave::Finished)));
            };
            let reached = self.log.reached(step.id());
            self.attempt = 0;
            turn = match self.step(position, step) {
                Ok(turn) => turn,
                // What was done stands; the step is tried alone, at once.
                Err(_) if self.log.has_sent => {
                    self.log.back_to(reached);
                    return Ok(Halt::At(self.waits(
                        step.id(),
                        WaitsOn::Time,
                        Some(self.world.now),
                        self.at,
                    )));
                }
                Err(broke) => return Err(broke),
            };
        }
    }

    /// Does one step that was just come to.
    pub(super) fn step(&mut self, position: usize, step: &Step) -> Result<Turn, Broke> {
        let next = position.saturating_add(1);
        match step {
            Step::Send { id, template } => self.send(id, template, next),
            Step::Wait { .. } => Ok(self.wait(step, next)),
            Step::Branch {
                id,
                filter: _,
                then,
                otherwise,
            } => {
                let workflow = self.workflow;
                let held = match workflow.filters.branch(id) {
                    Some(filter) => filter.holds(&self.contact, self.world, Cause::None, Some(id))?,
                    None => return Err(Broke::at(Some(id), "the branch has no filter")),
                };
                self.log.push(Did::Branched { step: id.clone(), held });
                Ok(match (held, then) {
                    (true, None) => Turn::On(next),
                    (true, Some(then)) => self.jump(then),
                    (false, _) => self.jump(otherwise),
                })
            }
            Step::Group { id, change } => {
                self.group(Some(id), change);
                Ok(Turn::On(next))
            }
            Step::Webhook { id, url } => Ok(self.call(id, url)),
            Step::Exit { .. } => Ok(Turn::Stop(self.left(Leave::ExitStep))),
        }
    }

    pub(super) fn jump(&self, to: &Slug) -> Turn {
        if to.as_str() == END {
            return Turn::On(self.workflow.spec.steps.len());
        }
        Turn::On(self.workflow.position(to))
    }

    pub(super) fn is_on(&self) -> bool {
        let known = self.world.catalogue.workflow_by_number(self.workflow.number);
        known.is_some_and(|known| known.state == WorkflowState::On && !known.deleted)
    }

    /// Returns the contact's zone.
    pub(super) fn zone(&self) -> ResolvedZone {
        self.world.zones.resolved(self.workflow.zone_of(&self.contact))
    }

    pub(super) fn waits(&self, step: &Slug, on: WaitsOn, due: Option<Timestamp>, base: Timestamp) -> Place {
        Place::Waits(Waits {
            step: Some(step.clone()),
            on,
            due,
            base,
            zone: self.workflow.zone_of(&self.contact),
        })
    }

    /// Leaves. At the end the workflow's `at_end` changes the contact's groups; when the contact leaves early, `on_exit` does.
    pub(super) fn left(&mut self, why: Leave) -> Place {
        let workflow = self.workflow;
        let change = match why {
            Leave::Finished => workflow.spec.at_end.as_ref(),
            // What is gone, or broken, does nothing more.
            Leave::Deleted | Leave::Broken => None,
            Leave::Goal
            | Leave::Ordered
            | Leave::ExitFilter
            | Leave::NotWho
            | Leave::NoConsent
            | Leave::Engaged
            | Leave::NotEngaged
            | Leave::NoSlot
            | Leave::Late
            | Leave::ExitStep
            | Leave::StartGone => workflow.spec.on_exit.as_ref(),
        };
        if let Some(change) = change {
            self.group(None, change);
        }
        Place::Left(why)
    }

    /// Changes the contact's groups, if that changes anything. A group that was deleted since is left alone.
    fn group(&mut self, step: Option<&Slug>, change: &GroupChange) {
        let (shop, world) = (self.workflow.shop, self.world);
        let exists = |group: &&Slug| world.catalogue.group(shop, group).is_some();
        let is_in = |group: &Slug| is_in(&self.contact, world, shop, group);
        let (join, leave) = match change {
            GroupChange::Copy(to) => (Some(to), None),
            GroupChange::Move { from, to } if is_in(from) => (Some(to), Some(from)),
            GroupChange::Move { .. } => (None, None),
            GroupChange::Leave(from) => (None, Some(from)),
        };
        let join = join.filter(exists).filter(|group| !is_in(group)).cloned();
        let leave = leave.filter(|group| is_in(group)).cloned();
        if join.is_none() && leave.is_none() {
            return;
        }
        let did = Did::Grouped {
            step: step.cloned(),
            join,
            leave,
        };
        self.contact.to_mut().did(&did);
        self.log.push(did);
    }
}
