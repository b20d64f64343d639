//! Counters of campaigns: how often each was chosen, by partition.

use fjall::OwnedWriteBatch;
use types::id::{CampaignNumber, PartitionId};

use super::reader::Reader;
use super::table::{self, Read, Spread};
use super::tables::Tables;
use super::turn::Change;

/// How often a partition chose a campaign.
pub(super) struct Row;

impl table::Row for Row {
    const NAME: &'static str = "counter";
    const NUMBER: u8 = 5;
    const SPREAD: Spread = Spread::Partition;
    type Key = (PartitionId, CampaignNumber);
    type Value = u64;
}

/// A counter of a campaign, one for each partition; readers sum them up.
#[derive(Clone, Debug)]
pub struct CounterPut {
    /// Whose counter.
    pub partition: PartitionId,
    /// Of which campaign.
    pub campaign: CampaignNumber,
    /// Its new value.
    pub value: u64,
}

impl Change for CounterPut {
    fn add(&self, tables: &Tables, batch: &mut OwnedWriteBatch) -> Read<()> {
        let rows = tables.of::<Row>();
        rows.insert(batch, &(self.partition, self.campaign), &self.value);
        Ok(())
    }
}

/// Reads counters.
#[derive(Clone, Copy, Debug)]
pub struct Counters<'a>(pub(super) &'a Reader);

impl Counters<'_> {
    /// Returns all counters of campaigns, one for each partition that counted.
    pub fn all(self) -> Read<Vec<(PartitionId, CampaignNumber, u64)>> {
        let rows = self.0.each(self.0.of::<Row>().range(..));
        rows.map(|row| row.map(|((partition, campaign), count)| (partition, campaign, count)))
            .collect()
    }
}
