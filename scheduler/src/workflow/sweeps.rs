//! Sweeps: the runner looks at contacts one after the other, a page at a time, when it has nothing else to do.
//!
//! | why | what happens to a contact |
//! |---|---|
//! | a workflow was switched on | an instance that waits for this goes on; the contact enters, if the shop asked for existing contacts |
//! | a workflow was deleted | an instance that waits for it to be on leaves |
//! | the zone data changed | an instance that waits for a local time gets its new instant |
//!
//! A `Swept` record in a slot's first partition says that the slot is done, so a restart goes on with the other slots; for zone data one
//! record says it of all slots of the runner. A contact that is looked at twice is not changed twice, because its own row says what it was
//! offered.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use foldhash::fast::FixedState;
use policy::workflow::{Broke, Input, Trigger};
use store::StateError;
use types::catalogue::{Catalogue, Workflow};
use types::event::{Event, SetAside, Swept, WaitsOn};
use types::id::{EventId, PERSON_PARTITIONS, PartitionId, PersonKey, ShopNumber, Slot, WorkflowNumber};
use types::workflow::{Enrol, WorkflowState};

use super::Engine;
use super::reactions::Contact;
use crate::desks::Desks;
use crate::turn::{Context, Turn};

/// Contacts that one turn looks at.
const PAGE: usize = 64;
/// Slots that one turn looks at.
const SLOTS_MAX: usize = 16;
/// How long a turn takes about, at most.
const TURN_MAX: Duration = Duration::from_millis(2);

/// The sweeps that are to be done, and what was noted of the catalogue.
#[derive(Debug, Default)]
pub(crate) struct Sweeps {
    /// The version of the catalogue that was looked at last.
    version: Option<u64>,
    jobs: VecDeque<Job>,
    /// What is in `jobs`, or was.
    known: HashMap<Subject, Cause, FixedState>,
    /// Whether a sweep has more to do now.
    is_busy: bool,
}

/// What contacts are looked at for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Subject {
    /// A workflow.
    Workflow(WorkflowNumber),
    /// All waits for a local time.
    Zones,
}

/// Why they are looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cause {
    /// This version of the catalogue switched the workflow on.
    SwitchedOn(u64),
    /// The workflow is deleted, or its shop is.
    Deleted,
    /// These are the zone data.
    ZoneData(u64),
}

#[derive(Clone, Debug)]
struct Job {
    subject: Subject,
    cause: Cause,
    /// Whose contacts are looked at.
    shops: Vec<ShopNumber>,
    /// The sweep waits until state has this position: then state has all contacts that were there when the job began.
    since: u64,
    /// Where it is: the first partition of a slot, the place of the shop in `shops`, and the contact that was looked at last.
    partition: u16,
    shop: usize,
    cursor: Option<(PartitionId, PersonKey)>,
    entered: u32,
}

impl Subject {
    /// Returns the number under which it is recorded: that of the workflow, and 0, which no workflow has, for zones.
    const fn number(self) -> WorkflowNumber {
        match self {
            Self::Workflow(number) => number,
            Self::Zones => WorkflowNumber(0),
        }
    }
}

impl Cause {
    /// Returns the number by which it is recorded: a version, and the largest, which no catalogue reaches, for what is deleted.
    const fn number(self) -> u64 {
        match self {
            Self::SwitchedOn(version) | Self::ZoneData(version) => version,
            Self::Deleted => u64::MAX,
        }
    }
}

impl Job {
    fn new(desks: &Desks, subject: Subject, cause: Cause, shops: Vec<ShopNumber>) -> Self {
        Self {
            subject,
            cause,
            shops,
            since: desks.last_position(),
            partition: desks.range().start,
            shop: 0,
            cursor: None,
            entered: 0,
        }
    }

    /// Returns where it is recorded that the contacts of a slot were looked at: for zones at one place, when all slots were.
    fn marked(&self, desks: &Desks, slot: PartitionId) -> PartitionId {
        match self.subject {
            Subject::Workflow(_) => slot,
            Subject::Zones => desks.first_partition(),
        }
    }

    /// Returns which contacts enter by it, or `None` if its cause no longer holds.
    fn enrols(&self, catalogue: &Catalogue) -> Option<Enrol> {
        let Subject::Workflow(number) = self.subject else {
            return Some(Enrol::Future);
        };
        let own = catalogue.workflow_by_number(number)?;
        match self.cause {
            Cause::SwitchedOn(version) => {
                (own.state == WorkflowState::On && own.activation == version).then_some(own.enrol)
            }
            Cause::Deleted | Cause::ZoneData(_) => is_deleted(catalogue, own).then_some(Enrol::Future),
        }
    }

    /// Goes on to the next slot.
    fn pass(&mut self) {
        (self.partition, self.shop, self.cursor, self.entered) = (self.partition + Slot::PARTITIONS, 0, None, 0);
    }
}

impl Sweeps {
    /// Returns whether there is something to sweep now.
    pub(crate) const fn is_busy(&self) -> bool {
        self.is_busy
    }

    /// Notes what is to be swept, if the catalogue has changed.
    pub(crate) fn note(&mut self, desks: &Desks, catalogue: &Arc<Catalogue>) {
        if self.version.replace(catalogue.version()) == Some(catalogue.version()) {
            return;
        }
        let mut shops = Vec::new();
        for own in catalogue.all_workflows() {
            let subject = Subject::Workflow(own.number);
            if is_deleted(catalogue, own) {
                self.begin(Job::new(desks, subject, Cause::Deleted, vec![own.shop]));
                continue;
            }
            shops.push(own.shop);
            if own.state == WorkflowState::On && own.activation > 0 {
                let cause = Cause::SwitchedOn(own.activation);
                self.begin(Job::new(desks, subject, cause, vec![own.shop]));
            }
        }
        shops.sort_unstable();
        shops.dedup();
        if !shops.is_empty() {
            self.begin(Job::new(desks, Subject::Zones, Cause::ZoneData(zone_data()), shops));
        }
    }

    fn begin(&mut self, job: Job) {
        if self.known.insert(job.subject, job.cause) != Some(job.cause) {
            self.jobs.retain(|own| own.subject != job.subject);
            self.jobs.push_back(job);
        }
    }

    /// Looks at one page of contacts, as one turn.
    pub(crate) fn sweep(&mut self, engine: &mut Engine, desks: &mut Desks, context: &Context) {
        self.is_busy = false;
        let Some(mut job) = self.jobs.pop_front() else {
            return;
        };
        if desks.applied() < job.since {
            self.jobs.push_front(job);
            return;
        }
        let before = job.clone();
        let mut turn = Turn::begin(desks, context);
        let swept = sweep_page(engine, &mut turn, &mut job);
        turn.append();
        match swept {
            Ok(true) => {}
            Ok(false) => self.jobs.push_front(job),
            Err(error) => {
                context.state_failed(&error, "state cannot be read: contacts were not looked at");
                self.jobs.push_front(before);
                return;
            }
        }
        self.is_busy = !self.jobs.is_empty();
    }
}

/// Looks at some contacts. Returns whether the job is done.
fn sweep_page(engine: &mut Engine, turn: &mut Turn<'_>, job: &mut Job) -> Result<bool, StateError> {
    let context = turn.context;
    let catalogue = context.catalogue();
    let state = context.deps.store.state();
    let began = context.deps.clock.elapsed();
    let Some(enrol) = job.enrols(&catalogue) else {
        return Ok(true);
    };
    let (mut contacts_left, mut slots_left) = (PAGE, SLOTS_MAX);
    while contacts_left > 0 && slots_left > 0 && context.deps.clock.elapsed().saturating_sub(began) < TURN_MAX {
        let own = turn.desks.range().contains(&job.partition);
        let Some(partition) = PartitionId::new(job.partition).filter(|_| own) else {
            return Ok(true);
        };
        let is_new = job.shop == 0 && job.cursor.is_none();
        let marked = job.marked(turn.desks, partition);
        if is_new && state.workflows().swept(marked, job.subject.number())? == Some(job.cause.number()) {
            job.pass();
            slots_left -= 1;
            continue;
        }
        let Some(shop) = job.shops.get(job.shop).copied() else {
            swept(turn, job, partition)?;
            job.pass();
            slots_left -= 1;
            continue;
        };
        let slot = job.partition..job.partition + Slot::PARTITIONS;
        let page = state.contacts().of_shop(shop, slot, job.cursor, contacts_left)?;
        if page.len() < contacts_left {
            (job.shop, job.cursor) = (job.shop + 1, None);
        } else {
            job.cursor = page.last().copied();
        }
        contacts_left -= page.len();
        for (partition, person) in page {
            let contact = Contact {
                partition,
                person,
                shop,
            };
            match sweep_contact(engine, turn, contact, job, enrol) {
                Ok(entered) => job.entered += entered,
                Err(StateError::Malformed(fault)) => pass_over(turn, contact, &fault)?,
                Err(error) => return Err(error),
            }
        }
    }
    Ok(false)
}

/// Records that all contacts of a slot were looked at. For zones, only when all slots were.
fn swept(turn: &mut Turn<'_>, job: &Job, partition: PartitionId) -> Result<(), StateError> {
    let next = partition.number() + Slot::PARTITIONS;
    let is_last = !turn.desks.range().contains(&next) || next >= PERSON_PARTITIONS;
    if job.subject == Subject::Zones && !is_last {
        return Ok(());
    }
    let swept = Swept {
        shop: job.shops.first().copied().unwrap_or(ShopNumber(0)),
        workflow: job.subject.number(),
        activation: job.cause.number(),
        entered: job.entered,
    };
    let marked = job.marked(turn.desks, partition);
    turn.record(marked, &Event::Swept(swept))?;
    Ok(())
}

/// Sets a contact aside that cannot be read: those after it are looked at all the same.
fn pass_over(turn: &mut Turn<'_>, contact: Contact, fault: &str) -> Result<(), StateError> {
    let aside = SetAside {
        shop: Some(contact.shop),
        object: turn.context.mint(),
        due: None,
        fault: Broke::at(None, fault).fault,
        tries: 1,
    };
    turn.set_aside(contact.partition, aside)
}

fn sweep_contact(
    engine: &mut Engine,
    turn: &mut Turn<'_>,
    contact: Contact,
    job: &Job,
    enrol: Enrol,
) -> Result<u32, StateError> {
    let known = turn
        .desks
        .contacts
        .get(contact.partition, contact.person, contact.shop)?;
    let live: Vec<_> = known
        .enrolments()
        .live()
        .map(|(own, live)| (own, live.instance))
        .collect();
    engine.renew_steps();
    let mut entered = 0;
    match job.subject {
        Subject::Zones => {
            for (_, id) in live {
                engine.rezone(turn, contact, id)?;
            }
        }
        Subject::Workflow(workflow) => {
            for (_, id) in live.into_iter().filter(|(own, _)| *own == workflow) {
                resume(engine, turn, contact, job.cause, id)?;
            }
            if let Cause::SwitchedOn(version) = job.cause
                && enrol == Enrol::ExistingAndFuture
            {
                entered = engine.enter(turn, contact, workflow, &Trigger::Activation { version })?;
            }
        }
    }
    engine.work_off(turn)?;
    Ok(entered)
}

/// Lets an instance go on that waits for its workflow to be on.
fn resume(
    engine: &mut Engine,
    turn: &mut Turn<'_>,
    contact: Contact,
    cause: Cause,
    id: EventId,
) -> Result<(), StateError> {
    let instance = turn.desks.instances.get((contact.partition, id))?;
    let waits = instance.and_then(|instance| instance.waits()).map(|waits| waits.on);
    if waits != Some(WaitsOn::On) {
        return Ok(());
    }
    let version = match cause {
        Cause::SwitchedOn(version) => version,
        Cause::Deleted | Cause::ZoneData(_) => turn.context.catalogue().version(),
    };
    engine.resume(turn, contact, id, &Input::On { version })
}

fn is_deleted(catalogue: &Catalogue, workflow: &Workflow) -> bool {
    workflow.deleted || catalogue.shop_by_number(workflow.shop).is_none_or(|shop| shop.deleted)
}

/// Returns the version of the zone data as a number.
fn zone_data() -> u64 {
    let mut bytes = [0; 8];
    for (to, from) in bytes.iter_mut().zip(policy::calendar::zone_data_version().bytes()) {
        *to = from;
    }
    u64::from_be_bytes(bytes)
}
