//! The desk of counts: the cells of statistics, and how many mails showed each campaign.
//!
//! Other desks say what an event counts ([`Told::count`]); this desk adds it up. It stands behind all desks that count.

mod cells;
mod meters;

use std::collections::HashMap;
use std::ops::Range;

use foldhash::fast::FixedState;
use store::state::{CounterPut, Put};
use store::{StateError, Store};
use types::event::Event;
use types::id::{CampaignNumber, PartitionId, Slot};
use types::tally::CellKey;

use cells::Cells;
pub(crate) use meters::Meters;

use crate::desk::{Count, Desk, Entry, Settled, Told};

/// The counts of a range of partitions.
pub(crate) struct Tallies {
    store: Store,
    cells: Cells,
    /// How many mails of each partition show a campaign, for soft budget pacing.
    shown: HashMap<(PartitionId, CampaignNumber), u64, FixedState>,
    puts: Vec<Put>,
}

impl Tallies {
    /// Starts from what state has of the partitions in `range`.
    pub(crate) fn new(store: Store, range: &Range<u16>) -> Result<Self, StateError> {
        let mut shown = HashMap::default();
        for (partition, campaign, count) in store.state().counters().all()? {
            if range.contains(&partition.number()) {
                shown.insert((partition, campaign), count);
            }
        }
        Ok(Self {
            store,
            cells: Cells::default(),
            shown,
            puts: Vec::new(),
        })
    }

    /// Adds how many mails of these partitions showed each campaign to the shared meters. Once, after recovery.
    pub(crate) fn publish(&self, meters: &Meters) {
        for ((_, campaign), count) in &self.shown {
            meters.add(*campaign, *count);
        }
    }

    fn show(&mut self, partition: PartitionId, campaign: CampaignNumber) {
        let count = self.shown.entry((partition, campaign)).or_default();
        *count += 1;
        self.puts.push(Put::Counter(CounterPut {
            partition,
            campaign,
            value: *count,
        }));
    }
}

impl Desk for Tallies {
    fn apply(&mut self, entry: &Entry<'_>, told: &mut Told) -> Result<(), StateError> {
        if let Event::Decided(decided) = entry.event
            && let Some(plan) = decided.plan()
        {
            for offer in &plan.offers {
                self.show(entry.partition, offer.campaign);
            }
        }
        for count in told.counts.drain(..) {
            let Count {
                dimensions,
                hour,
                measure,
                by,
            } = count;
            let slot = Slot::of(entry.partition);
            let key = CellKey { dimensions, hour, slot };
            self.cells.add(self.store.state(), key, [(measure, by)])?;
        }
        Ok(())
    }

    fn settle(&mut self, position: u64, settled: &mut Settled) {
        settled.puts.append(&mut self.puts);
        self.cells.settle(position, &mut settled.puts);
    }

    fn forget(&mut self, applied: u64) {
        self.cells.forget(applied);
    }
}
