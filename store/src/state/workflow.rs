//! Contacts' ways through workflows, in the runner's own encoding, and which partitions were looked at for one.

use fjall::OwnedWriteBatch;
use types::id::{EventId, PartitionId, WorkflowNumber};

use super::reader::Reader;
use super::table::{Read, Row, Spread};
use super::tables::Tables;
use super::turn::Change;

/// A contact's way through a workflow, by the event by which it entered.
pub(super) struct Instance;

impl Row for Instance {
    const NAME: &'static str = "instance";
    const NUMBER: u8 = 16;
    const SPREAD: Spread = Spread::Partition;
    type Key = (PartitionId, EventId);
    type Value = Vec<u8>;
}

/// The catalogue's version whose switching on of a workflow a partition has carried out.
pub(super) struct Sweep;

impl Row for Sweep {
    const NAME: &'static str = "sweep";
    const NUMBER: u8 = 20;
    const SPREAD: Spread = Spread::Partition;
    type Key = (PartitionId, WorkflowNumber);
    type Value = u64;
}

/// A change of what workflows have under way.
#[derive(Clone, Debug)]
pub enum WorkflowPut {
    /// A contact's way through a workflow.
    Instance {
        /// The person's partition.
        partition: PartitionId,
        /// The event by which it entered.
        instance: EventId,
        /// The whole new value; `None` erases it.
        value: Option<Vec<u8>>,
    },
    /// All contacts of a partition were looked at for a workflow that was switched on.
    Swept {
        /// Which partition.
        partition: PartitionId,
        /// Which workflow.
        workflow: WorkflowNumber,
        /// The version of the catalogue that switched it on.
        activation: u64,
    },
}

impl Change for WorkflowPut {
    fn add(&self, tables: &Tables, batch: &mut OwnedWriteBatch) -> Read<()> {
        match self {
            Self::Instance {
                partition,
                instance,
                value,
            } => tables
                .of::<Instance>()
                .set(batch, &(*partition, *instance), value.as_ref()),
            Self::Swept {
                partition,
                workflow,
                activation,
            } => tables.of::<Sweep>().insert(batch, &(*partition, *workflow), activation),
        }
        Ok(())
    }

    fn bytes(&self) -> usize {
        match self {
            Self::Instance { value, .. } => value.as_ref().map_or(0, Vec::len),
            Self::Swept { .. } => 0,
        }
    }
}

/// Reads what workflows have under way.
#[derive(Clone, Copy, Debug)]
pub struct Workflows<'a>(pub(super) &'a Reader);

impl Workflows<'_> {
    /// Returns a contact's way through a workflow, in the runner's own encoding.
    pub fn instance(self, partition: PartitionId, instance: EventId) -> Read<Option<Vec<u8>>> {
        self.0.get::<Instance>(&(partition, instance))
    }

    /// Returns the version of the catalogue whose activation of a workflow this partition's contacts were last looked at for.
    pub fn swept(self, partition: PartitionId, workflow: WorkflowNumber) -> Read<Option<u64>> {
        self.0.get::<Sweep>(&(partition, workflow))
    }
}
