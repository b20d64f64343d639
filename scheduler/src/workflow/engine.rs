//! Asks policy how instances enter workflows and go on in them, and records its answers.
//!
//! A walk reads copies ([`Scene`]), decides on mails as the way asks for them ([`Sends`]), and ends with the records to make ([`Walked`]).
//! Nothing is recorded before that. So a fault or a panic in the middle of a walk leaves no record, and no mail.

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use foldhash::fast::FixedState;
use policy::PersonState;
use policy::contact::ContactState;
use policy::filter::Steps;
use policy::workflow::{BUSY_WAIT, Broke, Compiled, Done, Engagement, Input, Instance, Mails, Trigger, World, Zones};
use store::StateError;
use store::state::Timer;
use types::catalogue::Catalogue;
use types::event::{Place, SetAside, WaitsOn, WebhookEnded};
use types::id::{EventId, MessageId, PartitionId, ShopNumber, WorkflowNumber};
use types::time::Timestamp;
use types::workflow::WorkflowState;

use super::compiled::Shelf;
use super::reactions::{Contact, Reaction, record_moved};
use super::sends::{self, Allowed, Sends};
use crate::timers::drop_stale;
use crate::turn::{Context, Turn};

/// The decider on workflows, with what it keeps from one event to the next.
#[derive(Debug, Default)]
pub(crate) struct Engine {
    compiled: Shelf,
    zones: Zones,
    /// Steps that the filters of the running event have cost.
    steps: Steps,
    /// Steps that the filters of all events before it have cost.
    steps_before: u64,
    /// The version of the catalogue that `shops` is of.
    version: u64,
    shops: HashMap<ShopNumber, OfShop, FixedState>,
    /// Workflows that could not be entered, with the version of the catalogue for which that was recorded: once for each version.
    told: HashMap<WorkflowNumber, u64, FixedState>,
}

/// What the catalogue says of a shop's workflows. Each event of the shop's contacts asks for it.
#[derive(Clone, Debug)]
struct OfShop {
    /// Whether anything that happens to its contacts may set something off.
    cares: bool,
    /// Its workflows that are on.
    starts: Arc<[WorkflowNumber]>,
}

/// What is known of the mails that an instance sent.
#[derive(Debug, Default)]
struct Known(Vec<(MessageId, Engagement)>);

impl Mails for Known {
    fn engagement(&self, message: MessageId) -> Engagement {
        let known = self.0.iter().find(|(own, _)| *own == message);
        known.map(|(_, engagement)| *engagement).unwrap_or_default()
    }
}

/// What a walk reads: copies, so that it borrows no desk.
struct Scene {
    catalogue: Arc<Catalogue>,
    contact: Contact,
    now: Timestamp,
    /// The id of the instance that this walk begins, if it begins one.
    begins: EventId,
    person: PersonState,
    known: ContactState,
}

/// A walk that came to its end. Nothing of it is recorded yet.
struct Walked {
    done: Done,
    allowed: Vec<Allowed>,
}

impl Scene {
    fn of(turn: &mut Turn<'_>, contact: Contact, catalogue: &Arc<Catalogue>) -> Result<Self, StateError> {
        let Contact {
            partition,
            person,
            shop,
        } = contact;
        Ok(Self {
            catalogue: Arc::clone(catalogue),
            contact,
            now: turn.context.now(),
            begins: turn.context.mint(),
            person: turn.desks.persons.get(partition, person)?.clone(),
            known: turn.desks.contacts.get(partition, person, shop)?.clone(),
        })
    }

    /// Records what a walk came to. Returns how many records of instances it made.
    fn record(self, turn: &mut Turn<'_>, walked: Walked) -> Result<u32, StateError> {
        let Walked { done, allowed } = walked;
        sends::record(turn, self.contact, &self.catalogue, self.now, allowed)?;
        let calls = done.calls.iter();
        turn.calls
            .extend(calls.map(|webhook| sends::call(self.contact, self.begins, webhook)));
        let count = u32::try_from(done.records.len()).unwrap_or(u32::MAX);
        for (place, moved) in done.records.into_iter().enumerate() {
            let begins = place == 0 && moved.instance.is_none();
            // Any other id is minted behind those of its mails: people read what happened by id.
            let id = if begins { self.begins } else { turn.context.mint() };
            record_moved(turn, self.contact.partition, id, self.now, moved)?;
        }
        Ok(count)
    }
}

impl Engine {
    /// Returns what was compiled and asked since the runner began, in steps: the same events cost the same, on whatever machine.
    pub(crate) const fn steps(&self) -> u64 {
        self.steps_before
            .saturating_add(self.steps.taken())
            .saturating_add(self.compiled.steps())
    }

    /// Gives the next event its whole budget.
    pub(super) fn renew_steps(&mut self) {
        let taken = std::mem::take(&mut self.steps).taken();
        self.steps_before = self.steps_before.saturating_add(taken);
    }

    /// Returns whether the running event's budget is spent.
    pub(super) const fn has_spent(&self) -> bool {
        self.steps.is_spent()
    }

    /// Returns whether anything that happens to contacts of a shop may set something off.
    pub(super) fn cares(&mut self, context: &Context, shop: ShopNumber) -> bool {
        self.of_shop(context, shop).cares
    }

    fn of_shop(&mut self, context: &Context, shop: ShopNumber) -> OfShop {
        let catalogue = context.catalogue();
        if self.version != catalogue.version() {
            self.version = catalogue.version();
            self.shops.clear();
        }
        let of_shop = || {
            let begun = catalogue.workflows(shop).any(|own| own.state != WorkflowState::Draft);
            let on = catalogue.workflows(shop).filter(|own| own.state == WorkflowState::On);
            OfShop {
                cares: begun || catalogue.carts(shop).is_some(),
                starts: on.map(|own| own.number).collect(),
            }
        };
        self.shops.entry(shop).or_insert_with(of_shop).clone()
    }

    /// Lets the contact's instances react, and then lets the contact enter workflows. Once the event's budget is spent, instances still react
    /// where that asks no filter: they leave when consent is withdrawn or the cart was ordered. The contact enters nothing then.
    pub(super) fn react_to(&mut self, turn: &mut Turn<'_>, reaction: &Reaction) -> Result<(), StateError> {
        let contact = reaction.contact;
        let known = turn
            .desks
            .contacts
            .get(contact.partition, contact.person, contact.shop)?;
        let live: Vec<_> = known.enrolments().live().map(|(_, live)| live.instance).collect();
        for instance in live {
            self.resume(turn, contact, instance, &Input::Happened(reaction.happened()))?;
        }
        for workflow in self.of_shop(turn.context, contact.shop).starts.iter() {
            if self.has_spent() {
                break;
            }
            self.enter(turn, contact, *workflow, &Trigger::Happened(reaction.happened()))?;
        }
        Ok(())
    }

    /// Offers a contact to a workflow. Returns how many instances that began.
    pub(super) fn enter(
        &mut self,
        turn: &mut Turn<'_>,
        contact: Contact,
        number: WorkflowNumber,
        trigger: &Trigger<'_>,
    ) -> Result<u32, StateError> {
        let catalogue = turn.context.catalogue();
        let own = catalogue.workflow_by_number(number);
        // Asked before anything is compiled or copied: most workflows do not start by most events.
        let Some(own) = own.filter(|own| policy::workflow::listens(&own.spec().start, trigger)) else {
            return Ok(0);
        };
        let Some(workflow) = self.compiled.take(&catalogue, number, own.version) else {
            return Ok(0);
        };
        let scene = Scene::of(turn, contact, &catalogue)?;
        let walked = self.walk(turn.context, &scene, &Known::default(), |world, sends| {
            sends.walk(policy::workflow::enter(&workflow, &world, trigger)?)
        });
        match walked {
            Ok(walked) => scene.record(turn, walked),
            // That is recorded once for the event, not for each workflow.
            Err(_) if matches!(trigger, Trigger::Happened(_)) && self.has_spent() => Ok(0),
            Err(broke) => {
                self.entry_broke(turn, contact, number, &broke)?;
                Ok(0)
            }
        }
    }

    /// Lets an instance go on by an input, if it goes on by that. If it cannot, that is recorded.
    pub(super) fn resume(
        &mut self,
        turn: &mut Turn<'_>,
        contact: Contact,
        id: EventId,
        input: &Input<'_>,
    ) -> Result<(), StateError> {
        let instance = turn.desks.instances.get((contact.partition, id))?;
        let Some(instance) = instance.filter(|instance| instance.waits().is_some()).cloned() else {
            return Ok(());
        };
        let catalogue = turn.context.catalogue();
        let mails = known(turn, contact.partition, &instance)?;
        let scene = Scene::of(turn, contact, &catalogue)?;
        let walked = match self.compiled_for(&catalogue, &instance) {
            Some(workflow) => self.walk(turn.context, &scene, &mails, |world, sends| {
                sends.walk(policy::workflow::resume(&workflow, &world, id, &instance, input)?)
            }),
            None => Err(Broke::at(None, "the version with which it began is gone")),
        };
        match walked {
            Ok(walked) => {
                scene.record(turn, walked)?;
                Ok(())
            }
            // It stays where it is: nothing is wrong with it, and nothing was done.
            Err(_) if matches!(input, Input::Happened(_)) && self.has_spent() => Ok(()),
            Err(broke) => instance_broke(turn, contact, (id, &instance), input, &broke),
        }
    }

    /// Lets the instance go on whose timer surfaced.
    pub(crate) fn due(&mut self, turn: &mut Turn<'_>, timer: Timer) -> Result<(), StateError> {
        let instance = turn.desks.instances.get((timer.partition, timer.owner))?;
        let own = |instance: &&Instance| instance.epoch == timer.epoch && instance.due() == Some(timer.due);
        let Some(instance) = instance.filter(own) else {
            drop_stale(turn, timer);
            return Ok(());
        };
        let contact = Contact {
            partition: timer.partition,
            person: instance.person,
            shop: instance.shop,
        };
        let is_to_send = instance.waits().is_some_and(|waits| waits.on == WaitsOn::Slot);
        let now = turn.context.now();
        if is_to_send && !turn.context.deps.store.intake().has_place() {
            // Its record says already that it waits. In a storm, a record for each second and instance would fill the disk.
            turn.desks.timers.wait(timer.key(), now + BUSY_WAIT);
            return Ok(());
        }
        turn.context.metrics.automation.fired(timer.class, now.since(timer.due));
        self.renew_steps();
        self.resume(turn, contact, timer.owner, &Input::Timer { due: timer.due })?;
        // What it recorded ends the row if it names the timer; a fault does not.
        turn.desks.timers.surfaced(timer.partition, timer.owner, timer.due);
        self.work_off(turn)
    }

    /// Lets the instance go on whose call was answered.
    pub(crate) fn answered(
        &mut self,
        turn: &mut Turn<'_>,
        partition: PartitionId,
        id: EventId,
        ended: &WebhookEnded,
    ) -> Result<(), StateError> {
        let Some(instance) = turn.desks.instances.get((partition, ended.instance))? else {
            return Ok(());
        };
        let contact = Contact {
            partition,
            person: instance.person,
            shop: instance.shop,
        };
        self.renew_steps();
        self.resume(turn, contact, ended.instance, &Input::Answer { id, ended })?;
        self.work_off(turn)
    }

    /// Computes again when an instance goes on, after the rules of its zone changed.
    pub(super) fn rezone(&mut self, turn: &mut Turn<'_>, contact: Contact, id: EventId) -> Result<(), StateError> {
        let instance = turn.desks.instances.get((contact.partition, id))?;
        let Some(instance) = instance.filter(|instance| instance.is_civil()).cloned() else {
            return Ok(());
        };
        let catalogue = turn.context.catalogue();
        let Some(workflow) = self.compiled_for(&catalogue, &instance) else {
            return Ok(());
        };
        let scene = Scene::of(turn, contact, &catalogue)?;
        let walked = self.walk(turn.context, &scene, &Known::default(), |world, _| {
            let moved = policy::workflow::rezone(&workflow, &world, id, &instance);
            let done = Done {
                records: moved.into_iter().collect(),
                calls: Vec::new(),
            };
            Ok((done, Vec::new()))
        });
        if let Ok(walked) = walked {
            scene.record(turn, walked)?;
        }
        Ok(())
    }

    /// Walks, with the world as it is now. A panic is a fault like others: nothing was recorded before.
    fn walk(
        &self,
        context: &Context,
        scene: &Scene,
        mails: &Known,
        ask: impl FnOnce(World<'_>, Sends<'_>) -> Result<(Done, Vec<Allowed>), Broke>,
    ) -> Result<Walked, Broke> {
        let world = World {
            now: scene.now,
            catalogue: &scene.catalogue,
            key: scene.contact.person,
            person: &scene.person,
            contact: &scene.known,
            zones: &self.zones,
            mails,
            steps: &self.steps,
        };
        let at = (scene.begins, scene.now);
        let sends = Sends::new(context, &scene.catalogue, scene.contact, at, scene.person.clone());
        let timer = context.metrics.automation.engine_seconds.start_timer();
        let walked = caught(|| ask(world, sends));
        timer.observe_duration();
        walked.map(|(done, allowed)| Walked { done, allowed })
    }

    /// Reports that nobody can enter a workflow: each time by a metric, and once for a version of the catalogue by setting it aside.
    fn entry_broke(
        &mut self,
        turn: &mut Turn<'_>,
        contact: Contact,
        number: WorkflowNumber,
        broke: &Broke,
    ) -> Result<(), StateError> {
        turn.context.metrics.automation.entries_broken.inc();
        let version = turn.context.catalogue().version();
        if self.told.insert(number, version) == Some(version) {
            return Ok(());
        }
        let aside = SetAside {
            shop: Some(contact.shop),
            object: turn.context.mint(),
            due: None,
            fault: broke.fault.clone(),
            tries: 1,
        };
        turn.set_aside(contact.partition, aside)
    }

    /// Returns the version that an instance goes by: its own; the newest, while it waits for its start.
    fn compiled_for(&mut self, catalogue: &Arc<Catalogue>, instance: &Instance) -> Option<Arc<Compiled>> {
        let newest = catalogue.workflow_by_number(instance.workflow)?.version;
        let version = if instance.is_armed() { newest } else { instance.version };
        self.compiled.take(catalogue, instance.workflow, version)
    }
}

/// Records that an instance could not go on: it is tried again by a timer, or set aside.
fn instance_broke(
    turn: &mut Turn<'_>,
    contact: Contact,
    (id, instance): (EventId, &Instance),
    input: &Input<'_>,
    broke: &Broke,
) -> Result<(), StateError> {
    tracing::warn!(instance = ?id, %broke, "an instance could not go on");
    let now = turn.context.now();
    let moved = policy::workflow::failed(id, instance, input, broke, now);
    let is_over = matches!(moved.place, Place::Left(_));
    let record = turn.context.mint();
    record_moved(turn, contact.partition, record, now, moved)?;
    if is_over {
        let aside = SetAside {
            shop: Some(contact.shop),
            object: id,
            due: match input {
                Input::Timer { due } => Some(*due),
                _ => None,
            },
            fault: broke.fault.clone(),
            tries: u32::from(instance.tries) + 1,
        };
        turn.set_aside(contact.partition, aside)?;
    }
    Ok(())
}

/// Returns what is known of the mails that an instance sent.
fn known(turn: &mut Turn<'_>, partition: PartitionId, instance: &Instance) -> Result<Known, StateError> {
    let mut known = Known::default();
    for sent in &instance.sends {
        if let Some(mail) = turn.desks.mails.get(partition, sent.message)? {
            known.0.push((sent.message, Engagement::of(mail)));
        }
    }
    Ok(known)
}

/// Asks policy. A panic becomes a fault, so that it does not end the runner.
fn caught<T>(ask: impl FnOnce() -> Result<T, Broke>) -> Result<T, Broke> {
    catch_unwind(AssertUnwindSafe(ask)).unwrap_or_else(|_| Err(Broke::at(None, "the engine panicked")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_of_the_engine_is_a_fault_like_others() {
        let broke = caught::<()>(|| panic!("a rule that was never thought of")).unwrap_err();
        assert_eq!(broke, Broke::at(None, "the engine panicked"));
        assert_eq!(caught(|| Ok(1)), Ok(1));
    }
}
