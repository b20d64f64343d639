//! Workflows. This file is the desk of instances: contacts' ways through workflows.
//!
//! | file | is |
//! |---|---|
//! | `engine.rs` | asks policy how an instance enters or goes on, and records the answer |
//! | `sends.rs` | decides on the mails that a way asks for; records them when the way is done |
//! | `reactions.rs` | an event of a contact: what it sets off, and in which order |
//! | `sweeps.rs` | looks at a shop's contacts one after the other: a workflow was switched on or deleted, zone data changed |
//! | `compiled.rs` | workflows that are kept compiled |

mod compiled;
mod engine;
mod reactions;
mod sends;
mod sweeps;

use policy::workflow::Instance;
use store::state::{Put, TimerClass, WorkflowPut};
use store::{StateError, Store};
use types::event::{Event, Moved};
use types::id::{EventId, PartitionId};
use types::tally::{Dimensions, Measure};
use types::text::Slug;
use types::time::Timestamp;

pub(crate) use engine::Engine;
pub(crate) use reactions::{Contact, Happening, Reaction, settle_reaction, watch};
pub(crate) use sweeps::Sweeps;

use crate::desk::{Desk, Entry, Settled, Told};
use crate::timers::{Owner, OwnerKey, Owners};

/// The reason under which an erased instance counts as left. No [`types::event::Leave`] has it, since no record says that it left.
const ERASED: &str = "erased";

/// The instances that state does not have as they are. A `Moved` record is the only thing that changes one.
pub(crate) struct Instances {
    store: Store,
    rows: Owners<Instance>,
    /// Marks of slots that were swept.
    puts: Vec<Put>,
}

impl Owner for Instance {
    const CLASS: TimerClass = TimerClass::Workflow;

    fn epoch(&self) -> u32 {
        self.epoch
    }

    fn due(&self) -> Option<Timestamp> {
        Self::due(self)
    }

    fn encode(&self) -> Vec<u8> {
        Self::encode(self)
    }

    fn decode(bytes: &[u8]) -> Result<Self, String> {
        Self::decode(bytes).map_err(|error| error.to_string())
    }

    fn put(partition: PartitionId, instance: EventId, value: Option<Vec<u8>>) -> Put {
        Put::Workflow(WorkflowPut::Instance {
            partition,
            instance,
            value,
        })
    }
}

impl Instances {
    pub(crate) fn new(store: Store) -> Self {
        Self {
            store,
            rows: Owners::default(),
            puts: Vec::new(),
        }
    }

    /// Returns an instance as of the last event folded, or `None` if there is none.
    pub(crate) fn get(&mut self, key: OwnerKey) -> Result<Option<&Instance>, StateError> {
        let store = &self.store;
        self.rows
            .get(key, |partition, id| store.state().workflows().instance(partition, id))
    }

    fn moved(&mut self, entry: &Entry<'_>, moved: &Moved, told: &mut Told) -> Result<(), StateError> {
        let id = moved.instance.unwrap_or(entry.id);
        let before = self.get((entry.partition, id))?;
        told.objects.push(id);
        if before.is_none() {
            told.about.push((moved.person, moved.shop, id));
        }
        for count in policy::workflow::counts(before, moved) {
            let dimensions = Dimensions::Step {
                workflow: moved.workflow,
                step: count.step,
                reason: count.reason.and_then(|code| Slug::try_from(code).ok()),
            };
            told.count(dimensions, count.measure, 1);
        }
        self.rows.change((entry.partition, id), |instance| {
            Some(match instance {
                Some(mut instance) => {
                    instance.apply(moved, entry.wall);
                    instance
                }
                None => Instance::begin(moved, entry.wall),
            })
        });
        Ok(())
    }

    /// Erases an instance. Returns it as it was, to be counted.
    fn erase(&mut self, key: OwnerKey) -> Result<Option<Instance>, StateError> {
        let erased = self.get(key)?.cloned();
        if erased.is_some() {
            self.rows.change(key, |_| None);
        }
        Ok(erased)
    }
}

impl Desk for Instances {
    fn look(&mut self, entry: &Entry<'_>, told: &mut Told) -> Result<(), StateError> {
        if let Event::Moved(moved) = entry.event
            && let Some(id) = moved.instance
        {
            // Erased in the same turn, or before.
            told.is_void = self.get((entry.partition, id))?.is_none();
        }
        Ok(())
    }

    fn apply(&mut self, entry: &Entry<'_>, told: &mut Told) -> Result<(), StateError> {
        match entry.event {
            Event::Moved(moved) if !told.is_void => self.moved(entry, moved, told)?,
            Event::Swept(swept) => self.puts.push(Put::Workflow(WorkflowPut::Swept {
                partition: entry.partition,
                workflow: swept.workflow,
                activation: swept.activation,
            })),
            Event::PersonErased(_) => {
                for (object, _) in told.erased.clone() {
                    if let Some(instance) = self.erase((entry.partition, object))? {
                        count_erased(&instance, told);
                    }
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn settle(&mut self, position: u64, settled: &mut Settled) {
        settled.puts.append(&mut self.puts);
        self.rows.settle(position, settled);
    }

    fn forget(&mut self, applied: u64) {
        self.rows.forget(applied);
    }

    fn held(&self) -> usize {
        self.rows.len()
    }
}

/// Counts that an instance was erased before its end, in the hour of the record: it left its step, and no longer waits there.
fn count_erased(instance: &Instance, told: &mut Told) {
    let Some(waits) = instance.waits().filter(|_| instance.has_entered()) else {
        return;
    };
    for reason in [None, Slug::try_from(ERASED).ok()] {
        let dimensions = Dimensions::Step {
            workflow: instance.workflow,
            step: waits.step.clone(),
            reason,
        };
        told.count(dimensions, Measure::Left, 1);
    }
}
