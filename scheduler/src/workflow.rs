//! Instances: contacts' ways through workflows. A `Moved` record is the only thing that changes one.

use policy::workflow::Instance;
use store::StateError;
use store::state::{AsidePut, Put, TimerClass, TimerKey, TimerPut, WorkflowPut};
use types::event::{MoveCause, Moved, SetAside};
use types::id::{EventId, PartitionId};
use types::time::Timestamp;

use super::armed::{Owner, OwnerKey};
use super::{Entry, Fold};

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

impl Fold {
    /// Returns an instance as of the last event folded, or `None` if there is none.
    pub(crate) fn instance(&mut self, key: OwnerKey) -> Result<Option<&Instance>, StateError> {
        let store = &self.store;
        self.instances
            .get(key, |partition, id| store.state().workflows().instance(partition, id))
    }

    pub(super) fn moved(&mut self, entry: &Entry<'_>, moved: &Moved) -> Result<(), StateError> {
        let id = moved.instance.unwrap_or(entry.id);
        let key = (entry.partition, id);
        if let MoveCause::Timer(due) = moved.cause {
            self.surfaced(entry.partition, id, due);
        }
        let before = self.instance(key)?.cloned();
        if moved.instance.is_some() && before.is_none() {
            // Erased in the same turn, or before: nothing is left of it.
            return Ok(());
        }
        self.timeline(entry, id);
        if before.is_none() {
            self.note_about(entry.partition, moved.person, moved.shop, id);
        }
        self.count_moved(entry, before.as_ref(), moved)?;
        self.fold_contact(entry, moved.person, moved.shop)?;
        self.instances.change(key, |instance| {
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

    pub(super) fn set_aside(&mut self, entry: &Entry<'_>, aside: &SetAside) {
        if let Some(due) = aside.due {
            self.surfaced(entry.partition, aside.object, due);
        }
        self.timeline(entry, aside.object);
        self.puts.push(Put::Aside(AsidePut {
            partition: entry.partition,
            id: entry.id,
            event: Box::new(aside.clone()),
        }));
    }

    /// Ends a timer's row: what it was for is recorded, or it meant nothing any more.
    pub(crate) fn surfaced(&mut self, partition: PartitionId, owner: EventId, due: Timestamp) {
        let key = TimerKey { due, partition, owner };
        self.timers.done(key);
        self.puts.push(Put::Timer(TimerPut::Delete(key)));
    }

    /// Erases an instance. One that still waited has left, for whoever counts.
    pub(super) fn erase_instance(&mut self, entry: &Entry<'_>, key: OwnerKey) -> Result<(), StateError> {
        let Some(instance) = self.instance(key)?.cloned() else {
            return Ok(());
        };
        self.count_erased(entry, &instance)?;
        self.instances.change(key, |_| None);
        Ok(())
    }
}
