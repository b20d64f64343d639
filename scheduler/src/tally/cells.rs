//! The cells of statistics, as absolute counts.
//!
//! Busy cells change in every turn, so their counts stay in memory beyond the lag of state: up to [`CELLS_KEPT`] of them, from
//! which those that state has are forgotten when room is needed. A slot has one runner, so nobody else changes them meanwhile.

use std::collections::HashMap;

use foldhash::fast::FixedState;
use store::StateError;
use store::state::{CellPut, Put, State};
use types::tally::{CellKey, Counts, Measure};

use crate::memory::Changed;

/// Cells in memory beside those that state does not have: some 400 bytes each.
const CELLS_KEPT: usize = 16_384;

#[derive(Debug)]
struct Cell {
    counts: Counts,
    /// Where it changed last; `None` when it came from state and did not change.
    changed: Option<Changed>,
}

/// The counts of a range of slots, newest first in memory, then in state.
#[derive(Debug)]
pub(crate) struct Cells {
    by_key: HashMap<CellKey, Cell, FixedState>,
    /// Changed since the last [`Cells::settle`].
    changed: Vec<CellKey>,
    kept_max: usize,
    forget_from: usize,
}

impl Default for Cells {
    fn default() -> Self {
        Self::keeping(CELLS_KEPT)
    }
}

impl Cells {
    fn keeping(kept_max: usize) -> Self {
        Self {
            by_key: HashMap::default(),
            changed: Vec::new(),
            kept_max,
            forget_from: kept_max,
        }
    }

    /// Adds to counts of one cell.
    pub(crate) fn add(
        &mut self,
        state: &State,
        key: CellKey,
        changes: impl IntoIterator<Item = (Measure, i64)>,
    ) -> Result<(), StateError> {
        self.add_to(key, changes, |key| state.cells().get(key))
    }

    fn add_to(
        &mut self,
        key: CellKey,
        changes: impl IntoIterator<Item = (Measure, i64)>,
        read: impl FnOnce(&CellKey) -> Result<Counts, StateError>,
    ) -> Result<(), StateError> {
        let cell = if let Some(cell) = self.by_key.get_mut(&key) {
            cell
        } else {
            let counts = read(&key)?;
            self.by_key.entry(key.clone()).or_insert(Cell { counts, changed: None })
        };
        for (measure, by) in changes {
            cell.counts.add(measure, by);
        }
        if cell.changed != Some(Changed::Now) {
            cell.changed = Some(Changed::Now);
            self.changed.push(key);
        }
        Ok(())
    }

    /// Ends the turn: what changed in it became part of the journal up to `position`.
    pub(crate) fn settle(&mut self, position: u64, puts: &mut Vec<Put>) {
        for key in self.changed.drain(..) {
            if let Some(cell) = self.by_key.get_mut(&key) {
                cell.changed = Some(Changed::At(position));
                let counts = Box::new(cell.counts);
                puts.push(Put::Cell(CellPut { key, counts }));
            }
        }
    }

    /// Makes room, if it is needed, by what state has applied.
    pub(crate) fn forget(&mut self, applied: u64) {
        if self.by_key.len() < self.forget_from {
            return;
        }
        self.by_key.retain(|_, cell| match cell.changed {
            Some(Changed::Now) => true,
            Some(Changed::At(position)) => position > applied,
            None => false,
        });
        // What state does not have stays, however much it is; looking again at every turn would be for nothing.
        self.forget_from = (2 * self.by_key.len()).max(self.kept_max);
    }
}

#[cfg(test)]
mod tests {
    use types::id::{CampaignNumber, ShopNumber, Slot};
    use types::tally::{Dimensions, Hour};

    use super::*;

    fn key(hour: u32) -> CellKey {
        CellKey {
            dimensions: Dimensions::Offer {
                campaign: CampaignNumber(1),
                publisher: ShopNumber(2),
            },
            hour: Hour(hour),
            slot: Slot::new(3).expect("a slot"),
        }
    }

    fn count(cells: &mut Cells, hour: u32) -> u64 {
        let mut puts = Vec::new();
        let one = [(Measure::Sent, 1)];
        let stored = |_: &CellKey| Ok(Counts::default());
        cells.add_to(key(hour), one, stored).expect("reads");
        cells.settle(u64::from(hour), &mut puts);
        match puts.as_slice() {
            [Put::Cell(CellPut { counts, .. })] => counts.get(Measure::Sent),
            puts => panic!("{puts:?}"),
        }
    }

    #[test]
    fn a_cell_is_put_once_a_turn_with_all_it_counted() {
        let mut cells = Cells::default();
        assert_eq!(count(&mut cells, 1), 1);
        assert_eq!(count(&mut cells, 1), 2);
    }

    #[test]
    fn what_state_does_not_have_is_never_forgotten() {
        let mut cells = Cells::keeping(2);
        for hour in 1..=4 {
            assert_eq!(count(&mut cells, hour), 1);
        }
        cells.forget(2);
        assert_eq!(cells.by_key.len(), 2);
        assert_eq!((count(&mut cells, 3), count(&mut cells, 1)), (2, 1));
    }
}
