//! What a stretch of the journal may have changed, found from the records alone: for when nobody remembers.
//!
//! It may say too much, never too little. Each event's payload declares what it changes (`types::event::Touched`): whose
//! counts, whether first visits, and in the hour of which earlier event it is counted. Beside these stands the hour of the
//! record itself.

use std::collections::BTreeSet;

use store::Record;
use types::id::Slot;
use types::tally::Hour;

/// What is to be read from state once the stretch is at its end.
#[derive(Debug)]
pub(crate) struct Touched {
    /// By slot: cells of this hour and later ones.
    cells: Vec<Option<Hour>>,
    /// Partitions whose first visits may have changed.
    pub(crate) visits: BTreeSet<PartitionNumber>,
    /// Partitions of which any mail may have changed.
    pub(crate) mails: BTreeSet<PartitionNumber>,
}

/// A partition's number: partitions do not sort.
pub(crate) type PartitionNumber = u16;

impl Touched {
    pub(crate) fn nothing() -> Self {
        Self {
            cells: vec![None; usize::from(Slot::COUNT)],
            visits: BTreeSet::new(),
            mails: BTreeSet::new(),
        }
    }

    pub(crate) fn is_nothing(&self) -> bool {
        self.visits.is_empty() && self.mails.is_empty() && self.first_hour().is_none()
    }

    /// Adds all that a slot has from an hour on.
    pub(crate) fn everything(&mut self, slot: Slot, from: Hour) {
        self.hour(slot, from);
        let first = u16::from(slot.number()) * Slot::PARTITIONS;
        self.visits.extend(first..first + Slot::PARTITIONS);
        self.mails.extend(first..first + Slot::PARTITIONS);
    }

    /// Adds what a record may have changed, beside the mail that it names.
    pub(crate) fn record(&mut self, record: &Record) {
        let slot = Slot::of(record.partition);
        let touched = record.event.touches();
        self.hour(slot, touched.first_hour(record.wall));
        let partition = record.partition.number();
        if touched.first_visits {
            self.visits.insert(partition);
        }
        if touched.every_mail {
            self.mails.insert(partition);
        }
    }

    /// Returns the hour from which on a slot's cells may have changed.
    pub(crate) fn hour_of(&self, slot: Slot) -> Option<Hour> {
        self.cells.get(usize::from(slot.number())).copied().flatten()
    }

    /// Returns the first hour of any slot.
    pub(crate) fn first_hour(&self) -> Option<Hour> {
        self.cells.iter().flatten().copied().min()
    }

    fn hour(&mut self, slot: Slot, hour: Hour) {
        if let Some(first) = self.cells.get_mut(usize::from(slot.number())) {
            *first = Some(first.map_or(hour, |first| first.min(hour)));
        }
    }
}
