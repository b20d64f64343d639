//! Sweeps: contacts are looked at one after the other, a page at a time, when nothing else is to be done.
//!
//! Switching a workflow on takes in who is there already, if it is to, and has go on who waits for it to be on; deleting it ends
//! their waiting. New zone data move what waits for a local time. What was looked at is recorded for each slot, in its first partition (`Swept`), so a restart goes on there;
//! what is looked at twice is not changed twice, because the contact's own row says what it was offered.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use foldhash::fast::FixedState;
use policy::workflow::{Broke, Input, Trigger};
use store::StateError;
use types::catalogue::{Catalogue, Workflow};
use types::event::{Event, SetAside, Swept, WaitsOn};
use types::id::{PERSON_PARTITIONS, PartitionId, PersonKey, ShopNumber, Slot, WorkflowNumber};
use types::workflow::{Enrol, WorkflowState};

use super::reactions::Contact;
use super::{Runner, Work};

/// Contacts that one turn looks at.
const PAGE: usize = 64;
/// Slots that one turn looks at.
const SLOTS_MAX: usize = 16;
/// How long a turn takes about, at most.
const TURN_MAX: Duration = Duration::from_millis(2);
/// Stands for the version of the catalogue for workflows that are deleted, or whose shop is.
const DELETED: u64 = u64::MAX;
/// Under this number stands which zone data the waits were counted by. No workflow has it.
const ZONES: WorkflowNumber = WorkflowNumber(0);

/// What is to be swept.
#[derive(Debug, Default)]
pub(super) struct Sweeps {
    /// The version of the catalogue that was looked at last.
    version: Option<u64>,
    jobs: VecDeque<Job>,
    /// What is in `jobs`, or was.
    known: HashMap<WorkflowNumber, u64, FixedState>,
}

#[derive(Clone, Debug)]
struct Job {
    workflow: WorkflowNumber,
    /// The version of the catalogue that switched it on; for zones, the version of their data.
    activation: u64,
    /// Whose contacts are looked at.
    shops: Vec<ShopNumber>,
    /// State must have come as far: contacts that were there when the job began are found in it.
    since: u64,
    /// Where it is: the first partition of a slot, and who of it was looked at last.
    partition: u16,
    shop: usize,
    cursor: Option<(PartitionId, PersonKey)>,
    entered: u32,
}

impl Sweeps {
    pub(super) fn is_empty(&self) -> bool {
        self.jobs.is_empty()
    }

    fn begin(&mut self, job: Job) {
        if self.known.insert(job.workflow, job.activation) != Some(job.activation) {
            self.jobs.retain(|own| own.workflow != job.workflow);
            self.jobs.push_back(job);
        }
    }
}

impl Runner {
    /// Notes what is to be swept, if the catalogue has changed.
    pub(super) fn note_sweeps(&mut self) {
        let catalogue = self.deps.store.catalogue().load();
        if self.sweeps.version.replace(catalogue.version()) == Some(catalogue.version()) {
            return;
        }
        let (partition, since) = (self.fold.range().start, self.fold.last_position());
        let job = |workflow, activation, shops| Job {
            workflow,
            activation,
            shops,
            since,
            partition,
            shop: 0,
            cursor: None,
            entered: 0,
        };
        let mut shops = Vec::new();
        for own in catalogue.all_workflows() {
            if is_deleted(&catalogue, own) {
                self.sweeps.begin(job(own.number, DELETED, vec![own.shop]));
                continue;
            }
            shops.push(own.shop);
            if own.state == WorkflowState::On && own.activation > 0 {
                self.sweeps.begin(job(own.number, own.activation, vec![own.shop]));
            }
        }
        shops.sort_unstable();
        shops.dedup();
        if !shops.is_empty() {
            self.sweeps.begin(job(ZONES, zones(), shops));
        }
    }

    /// Looks at one page of contacts, as one turn. Returns whether there is more to do now.
    pub(super) fn sweep(&mut self) -> bool {
        let Some(mut job) = self.sweeps.jobs.pop_front() else {
            return false;
        };
        if self.fold.applied() < job.since {
            self.sweeps.jobs.push_front(job);
            return false;
        }
        let mut work = Work::default();
        let before = job.clone();
        let swept = self.sweep_page(&mut work, &mut job);
        self.append(work);
        match swept {
            Ok(true) => {}
            Ok(false) => self.sweeps.jobs.push_front(job),
            Err(error) => {
                tracing::error!(%error, "state cannot be read: contacts were not looked at");
                self.metrics.state_errors.inc();
                self.sweeps.jobs.push_front(before);
                return false;
            }
        }
        !self.sweeps.is_empty()
    }

    /// Looks at some contacts. Returns whether the job is done.
    fn sweep_page(&mut self, work: &mut Work, job: &mut Job) -> Result<bool, StateError> {
        let catalogue = self.deps.store.catalogue().load();
        let began = Instant::now();
        let enrol = if job.workflow == ZONES {
            Enrol::Future
        } else {
            let own = catalogue.workflow_by_number(job.workflow);
            let is_it = |own: &&Arc<Workflow>| match job.activation {
                DELETED => is_deleted(&catalogue, own),
                activation => own.state == WorkflowState::On && own.activation == activation,
            };
            match own.filter(is_it) {
                Some(own) if job.activation != DELETED => own.enrol,
                Some(_) => Enrol::Future,
                None => return Ok(true),
            }
        };
        let (mut contacts_left, mut slots_left) = (PAGE, SLOTS_MAX);
        while contacts_left > 0 && slots_left > 0 && began.elapsed() < TURN_MAX {
            let Some(partition) =
                PartitionId::new(job.partition).filter(|_| self.fold.range().contains(&job.partition))
            else {
                return Ok(true);
            };
            let marked = if job.workflow == ZONES {
                self.first_partition()
            } else {
                partition
            };
            let is_new = job.shop == 0 && job.cursor.is_none();
            if is_new && self.deps.store.state().workflows().swept(marked, job.workflow)? == Some(job.activation) {
                job.partition += Slot::PARTITIONS;
                slots_left -= 1;
                continue;
            }
            let Some(shop) = job.shops.get(job.shop).copied() else {
                self.swept(work, job, partition)?;
                (job.partition, job.shop, job.cursor, job.entered) = (job.partition + Slot::PARTITIONS, 0, None, 0);
                slots_left -= 1;
                continue;
            };
            let slot = job.partition..job.partition + Slot::PARTITIONS;
            let page = self
                .deps
                .store
                .state()
                .contacts()
                .of_shop(shop, slot, job.cursor, contacts_left)?;
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
                match self.sweep_contact(work, contact, job, enrol) {
                    Ok(entered) => job.entered += entered,
                    Err(StateError::Malformed(fault)) => self.pass_over(work, contact, &fault)?,
                    Err(error) => return Err(error),
                }
            }
        }
        Ok(false)
    }

    /// Records that all contacts of a slot were looked at. For zones, only when all slots were.
    fn swept(&mut self, work: &mut Work, job: &Job, partition: PartitionId) -> Result<(), StateError> {
        let marked = if job.workflow == ZONES {
            let next = partition.number() + Slot::PARTITIONS;
            if self.fold.range().contains(&next) && next < PERSON_PARTITIONS {
                return Ok(());
            }
            self.first_partition()
        } else {
            partition
        };
        let swept = Swept {
            shop: job.shops.first().copied().unwrap_or(ShopNumber(0)),
            workflow: job.workflow,
            activation: job.activation,
            entered: job.entered,
        };
        self.record(work, marked, &Event::Swept(swept))?;
        Ok(())
    }

    /// Sets a contact aside that cannot be read: those after it are looked at all the same.
    fn pass_over(&mut self, work: &mut Work, contact: Contact, fault: &str) -> Result<(), StateError> {
        let aside = SetAside {
            shop: Some(contact.shop),
            object: self.deps.store.journal().mint(),
            due: None,
            fault: Broke::at(None, fault).fault,
            tries: 1,
        };
        self.set_aside(work, contact.partition, aside)
    }

    fn sweep_contact(&mut self, work: &mut Work, contact: Contact, job: &Job, enrol: Enrol) -> Result<u32, StateError> {
        let known = self.fold.contact(contact.partition, contact.person, contact.shop)?;
        let live = known
            .live()
            .filter(|(own, _)| job.workflow == ZONES || *own == job.workflow);
        let live: Vec<_> = live.map(|(_, live)| live.instance).collect();
        let mut entered = 0;
        self.engine.renew_steps();
        for id in live {
            if job.workflow == ZONES {
                self.rezone(work, contact, id)?;
                continue;
            }
            let instance = self.fold.instance((contact.partition, id))?;
            let waits = instance.and_then(|instance| instance.waits()).map(|waits| waits.on);
            if waits == Some(WaitsOn::On) {
                let version = match job.activation {
                    DELETED => self.deps.store.catalogue().load().version(),
                    activation => activation,
                };
                self.resume(work, contact, id, &Input::On { version })?;
            }
        }
        if job.workflow != ZONES && enrol == Enrol::ExistingAndFuture {
            let version = job.activation;
            entered = self.enter(work, contact, job.workflow, &Trigger::Activation { version })?;
        }
        self.work_off(work)?;
        Ok(entered)
    }

    fn first_partition(&self) -> PartitionId {
        PartitionId::new(self.fold.range().start).expect("runners own partitions that there are")
    }
}

fn is_deleted(catalogue: &Catalogue, workflow: &Workflow) -> bool {
    workflow.deleted || catalogue.shop_by_number(workflow.shop).is_none_or(|shop| shop.deleted)
}

/// Returns the version of the zone data as a number.
fn zones() -> u64 {
    let mut bytes = [0; 8];
    for (to, from) in bytes.iter_mut().zip(policy::calendar::zone_data_version().bytes()) {
        *to = from;
    }
    u64::from_be_bytes(bytes)
}
