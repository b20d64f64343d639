//! Workflows: what the engine is asked, and what becomes of its answers.

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use foldhash::fast::FixedState;
use policy::filter::Steps;
use policy::workflow::{Broke, Compiled, Engagement, Hands, Input, Instance, Mails, Trigger, World, Zones};
use store::StateError;
use store::state::Timer;
use types::catalogue::Catalogue;
use types::event::{Moved, Place, SetAside, WaitsOn, WebhookEnded};
use types::id::{EventId, MessageId, PartitionId, ShopNumber, WorkflowNumber};
use types::time::Timestamp;
use types::workflow::WorkflowState;

use super::compiled::Shelf;
use super::hands::Lent;
use super::reactions::{Contact, Reaction};
use super::timers::BUSY_WAIT;
use super::{Runner, Work};

/// What the runner keeps for the engine.
#[derive(Debug, Default)]
pub(super) struct Engine {
    compiled: Shelf,
    zones: Zones,
    /// What the filters of the running event have cost.
    steps: Steps,
    /// What those of the events before it have cost since the runner began.
    steps_before: u64,
    /// The version of the catalogue that `shops` is of.
    version: u64,
    shops: HashMap<ShopNumber, OfShop, FixedState>,
    /// Entries that broke, each told once for a version of the catalogue.
    told: HashMap<WorkflowNumber, u64, FixedState>,
}

/// What a version of the catalogue says of a shop: asked for each event of its contacts.
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

/// A walk that could not be walked to its end.
#[derive(Debug)]
struct Failure {
    broke: Broke,
    /// Whether it sent something before.
    is_effective: bool,
}

impl Mails for Known {
    fn engagement(&self, message: MessageId) -> Engagement {
        let known = self.0.iter().find(|(own, _)| *own == message);
        known.map(|(_, engagement)| *engagement).unwrap_or_default()
    }
}

impl Engine {
    /// Returns what was compiled and asked since the runner began, in steps: the same events cost the same, on whatever machine.
    pub(super) const fn steps(&self) -> u64 {
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
}

impl Runner {
    /// Returns whether anything that happens to contacts of a shop may set something off.
    pub(super) fn cares(&mut self, shop: ShopNumber) -> bool {
        self.of_shop(shop).cares
    }

    fn of_shop(&mut self, shop: ShopNumber) -> OfShop {
        let catalogue = self.deps.store.catalogue().load();
        if self.engine.version != catalogue.version() {
            self.engine.version = catalogue.version();
            self.engine.shops.clear();
        }
        let of_shop = || {
            let begun = catalogue.workflows(shop).any(|own| own.state != WorkflowState::Draft);
            let on = catalogue.workflows(shop).filter(|own| own.state == WorkflowState::On);
            OfShop {
                cares: begun || catalogue.carts(shop).is_some(),
                starts: on.map(|own| own.number).collect(),
            }
        };
        self.engine.shops.entry(shop).or_insert_with(of_shop).clone()
    }

    /// Has the contact's ways through workflows react, and then those begin that this begins. Once the event's budget is spent, its
    /// ways still react where that asks no filter: they leave when consent is withdrawn or the cart was ordered. Nothing begins then.
    pub(super) fn react_workflows(&mut self, work: &mut Work, reaction: &Reaction) -> Result<(), StateError> {
        let contact = reaction.contact;
        let known = self.fold.contact(contact.partition, contact.person, contact.shop)?;
        let live: Vec<_> = known.live().map(|(_, live)| live.instance).collect();
        for instance in live {
            self.resume(work, contact, instance, &Input::Happened(reaction.happened()))?;
        }
        for workflow in self.of_shop(contact.shop).starts.iter() {
            if self.engine.has_spent() {
                break;
            }
            self.enter(work, contact, *workflow, &Trigger::Happened(reaction.happened()))?;
        }
        Ok(())
    }

    /// Offers a contact to a workflow. Returns how many instances that began.
    pub(super) fn enter(
        &mut self,
        work: &mut Work,
        contact: Contact,
        number: WorkflowNumber,
        trigger: &Trigger<'_>,
    ) -> Result<u32, StateError> {
        let catalogue = self.deps.store.catalogue().load();
        let own = catalogue.workflow_by_number(number);
        // Before anything is compiled or copied: most events are none of most workflows' business.
        let Some(own) = own.filter(|own| policy::workflow::listens(&own.spec().start, trigger)) else {
            return Ok(0);
        };
        let Some(workflow) = self.engine.compiled.take(&catalogue, number, own.version) else {
            return Ok(0);
        };
        let begins = self.deps.store.journal().mint();
        let walk = |world: &World<'_>, hands: &mut dyn Hands| policy::workflow::enter(&workflow, world, trigger, hands);
        match self.walk(work, contact, &catalogue, begins, &Known::default(), walk)? {
            Ok((records, now)) => {
                let count = u32::try_from(records.len()).unwrap_or(u32::MAX);
                for (place, moved) in records.into_iter().enumerate() {
                    let id = if place == 0 {
                        begins
                    } else {
                        self.deps.store.journal().mint()
                    };
                    self.record_moved(work, contact.partition, id, now, moved)?;
                }
                Ok(count)
            }
            // It is told once for the event, and not for each workflow.
            Err(_) if matches!(trigger, Trigger::Happened(_)) && self.engine.has_spent() => Ok(0),
            Err(failure) => {
                self.entry_broke(work, contact, number, &failure.broke)?;
                Ok(0)
            }
        }
    }

    /// Has an instance go on by an input, if it does. What it cannot do is recorded as that.
    pub(super) fn resume(
        &mut self,
        work: &mut Work,
        contact: Contact,
        id: EventId,
        input: &Input<'_>,
    ) -> Result<(), StateError> {
        let instance = self.fold.instance((contact.partition, id))?;
        let Some(instance) = instance.filter(|instance| instance.waits().is_some()).cloned() else {
            return Ok(());
        };
        let catalogue = self.deps.store.catalogue().load();
        let walked = match self.compiled_for(&catalogue, &instance) {
            Some(workflow) => {
                let mails = self.known(contact.partition, &instance)?;
                let begins = self.deps.store.journal().mint();
                let walk = |world: &World<'_>, hands: &mut dyn Hands| {
                    policy::workflow::resume(&workflow, world, id, &instance, input, hands)
                };
                self.walk(work, contact, &catalogue, begins, &mails, walk)?
            }
            None => Err(Failure {
                broke: Broke::at(None, "the version with which it began is gone"),
                is_effective: false,
            }),
        };
        match walked {
            Ok((records, now)) => {
                for moved in records {
                    let record = self.deps.store.journal().mint();
                    self.record_moved(work, contact.partition, record, now, moved)?;
                }
                Ok(())
            }
            // It stays where it is: nothing is wrong with it, and nothing was done.
            Err(failure) if matches!(input, Input::Happened(_)) && self.engine.has_spent() && !failure.is_effective => {
                Ok(())
            }
            Err(failure) => self.instance_broke(work, contact, id, input, &failure),
        }
    }

    /// Has the instance go on whose timer surfaced.
    pub(super) fn workflow_due(&mut self, work: &mut Work, timer: Timer) -> Result<(), StateError> {
        let instance = self.fold.instance((timer.partition, timer.owner))?;
        let own = |instance: &&Instance| instance.epoch == timer.epoch && instance.due() == Some(timer.due);
        let Some(instance) = instance.filter(own) else {
            self.drop_stale(timer);
            return Ok(());
        };
        let contact = Contact {
            partition: timer.partition,
            person: instance.person,
            shop: instance.shop,
        };
        let is_to_send = instance.waits().is_some_and(|waits| waits.on == WaitsOn::Slot);
        if is_to_send && !self.deps.store.intake().has_place() {
            // It was told once that it waits. In a storm a record for each second and instance would be what fills the disk.
            self.fold.timers.wait(timer.key(), self.deps.clock.now() + BUSY_WAIT);
            return Ok(());
        }
        self.metrics
            .automation
            .fired(timer.class, self.deps.clock.now().since(timer.due));
        self.engine.renew_steps();
        self.resume(work, contact, timer.owner, &Input::Timer { due: timer.due })?;
        // What it recorded ends the row if it names the timer; a fault does not.
        self.fold.surfaced(timer.partition, timer.owner, timer.due);
        self.work_off(work)
    }

    /// Has the instance go on whose call was answered.
    pub(super) fn answered(
        &mut self,
        work: &mut Work,
        partition: PartitionId,
        id: EventId,
        ended: &WebhookEnded,
    ) -> Result<(), StateError> {
        let Some(instance) = self.fold.instance((partition, ended.instance))? else {
            return Ok(());
        };
        let contact = Contact {
            partition,
            person: instance.person,
            shop: instance.shop,
        };
        self.engine.renew_steps();
        self.resume(work, contact, ended.instance, &Input::Answer { id, ended })?;
        self.work_off(work)
    }

    /// Counts again when an instance goes on, after the rules of its zone changed. Returns whether it moved.
    pub(super) fn rezone(&mut self, work: &mut Work, contact: Contact, id: EventId) -> Result<bool, StateError> {
        let instance = self.fold.instance((contact.partition, id))?;
        let Some(instance) = instance.filter(|instance| instance.is_civil()).cloned() else {
            return Ok(false);
        };
        let catalogue = self.deps.store.catalogue().load();
        let Some(workflow) = self.compiled_for(&catalogue, &instance) else {
            return Ok(false);
        };
        let begins = self.deps.store.journal().mint();
        let walk = |world: &World<'_>, _: &mut dyn Hands| {
            Ok(policy::workflow::rezone(&workflow, world, id, &instance)
                .into_iter()
                .collect())
        };
        let walked = self.walk(work, contact, &catalogue, begins, &Known::default(), walk)?;
        let Ok((records, now)) = walked else {
            return Ok(false);
        };
        let moved = !records.is_empty();
        for record in records {
            self.record_moved(work, contact.partition, begins, now, record)?;
        }
        Ok(moved)
    }

    /// Asks the engine, with the world as it is now and hands that record in this turn.
    fn walk(
        &mut self,
        work: &mut Work,
        contact: Contact,
        catalogue: &Arc<Catalogue>,
        begins: EventId,
        mails: &Known,
        ask: impl FnOnce(&World<'_>, &mut dyn Hands) -> Result<Vec<Moved>, Broke>,
    ) -> Result<Result<(Vec<Moved>, Timestamp), Failure>, StateError> {
        let now = self.deps.clock.now();
        let person = self.fold.person(contact.partition, contact.person)?.clone();
        let known = self
            .fold
            .contact(contact.partition, contact.person, contact.shop)?
            .clone();
        // Taken out while the engine has hold of the runner; it makes no other use of them.
        let zones = std::mem::take(&mut self.engine.zones);
        let steps = std::mem::take(&mut self.engine.steps);
        let world = World {
            now,
            catalogue,
            key: contact.person,
            person: &person,
            contact: &known,
            zones: &zones,
            mails,
            steps: &steps,
        };
        let mails_before = work.mails.len();
        let mut hands = Lent {
            runner: self,
            work,
            contact,
            catalogue: Arc::clone(catalogue),
            now,
            begins,
            calls: Vec::new(),
            error: None,
        };
        let timer = hands.runner.metrics.automation.engine_seconds.start_timer();
        let walked = caught(|| ask(&world, &mut hands));
        timer.observe_duration();
        let (calls, error) = (std::mem::take(&mut hands.calls), hands.error.take());
        let is_effective = hands.work.mails.len() > mails_before;
        self.engine.zones = zones;
        self.engine.steps = steps;
        if let Some(error) = error {
            return Err(error);
        }
        Ok(match walked {
            Ok(records) => {
                work.calls.extend(calls);
                Ok((records, now))
            }
            Err(broke) => Err(Failure { broke, is_effective }),
        })
    }

    /// Records that an instance could not go on: it is tried again by a timer, or set aside. What sent something is not tried again.
    fn instance_broke(
        &mut self,
        work: &mut Work,
        contact: Contact,
        id: EventId,
        input: &Input<'_>,
        failure: &Failure,
    ) -> Result<(), StateError> {
        let Some(mut instance) = self.fold.instance((contact.partition, id))?.cloned() else {
            return Ok(());
        };
        let (broke, tries) = (&failure.broke, u32::from(instance.tries) + 1);
        if failure.is_effective {
            instance.tries = u8::MAX;
        }
        tracing::warn!(instance = ?id, %broke, "an instance could not go on");
        let now = self.deps.clock.now();
        let moved = policy::workflow::failed(id, &instance, input, broke, now);
        let is_over = matches!(moved.place, Place::Left(_));
        let record = self.deps.store.journal().mint();
        self.record_moved(work, contact.partition, record, now, moved)?;
        if is_over {
            let aside = SetAside {
                shop: Some(contact.shop),
                object: id,
                due: match input {
                    Input::Timer { due } => Some(*due),
                    _ => None,
                },
                fault: broke.fault.clone(),
                tries,
            };
            self.set_aside(work, contact.partition, aside)?;
        }
        Ok(())
    }

    /// Tells that nobody can enter a workflow: each time in a metric, and once for a version of the catalogue by setting it aside.
    fn entry_broke(
        &mut self,
        work: &mut Work,
        contact: Contact,
        number: WorkflowNumber,
        broke: &Broke,
    ) -> Result<(), StateError> {
        self.metrics.automation.entries_broken.inc();
        let version = self.deps.store.catalogue().load().version();
        if self.engine.told.insert(number, version) == Some(version) {
            return Ok(());
        }
        let aside = SetAside {
            shop: Some(contact.shop),
            object: self.deps.store.journal().mint(),
            due: None,
            fault: broke.fault.clone(),
            tries: 1,
        };
        self.set_aside(work, contact.partition, aside)
    }

    /// Returns what is known of the mails that an instance sent.
    fn known(&mut self, partition: PartitionId, instance: &Instance) -> Result<Known, StateError> {
        let mut known = Known::default();
        for sent in &instance.sends {
            if let Some(mail) = self.fold.mail(partition, sent.message)? {
                known.0.push((sent.message, Engagement::of(mail)));
            }
        }
        Ok(known)
    }

    /// Returns the version that an instance goes by: its own; the newest, while it waits for its start.
    fn compiled_for(&mut self, catalogue: &Arc<Catalogue>, instance: &Instance) -> Option<Arc<Compiled>> {
        let newest = catalogue.workflow_by_number(instance.workflow)?.version;
        let version = if instance.is_armed() { newest } else { instance.version };
        self.engine.compiled.take(catalogue, instance.workflow, version)
    }
}

/// Asks what must not take the runner down with it.
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
