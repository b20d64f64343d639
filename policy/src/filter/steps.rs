//! What answering filters costs, counted and not timed: the same question about the same contact always costs the same.

use std::cell::Cell;

use super::FilterError;

/// What the filters that one event asks may cost together. Fifty workflows with twenty names, values and operations each cost 1,000 steps
/// when nothing is decided early, ten texts of 100 characters in each of them 50,000 more. A step takes some nanoseconds, so all of these
/// steps take about a millisecond of the thread that others' mail goes through.
pub const STEPS_MAX: u64 = 200_000;

/// A budget that the answers of several filters share. One step is one name, value or operation that was evaluated, or one byte of a
/// text or one element of a list that an operation may read.
#[derive(Debug)]
pub struct Steps {
    taken: Cell<u64>,
    max: u64,
}

impl Default for Steps {
    /// Returns the budget of one event.
    fn default() -> Self {
        Self::of(STEPS_MAX)
    }
}

impl Steps {
    /// Returns a budget of so many steps.
    pub const fn of(max: u64) -> Self {
        Self {
            taken: Cell::new(0),
            max,
        }
    }

    /// Returns how many steps were asked for so far.
    pub const fn taken(&self) -> u64 {
        self.taken.get()
    }

    /// Returns whether more was asked for than there was: no filter is answered from then on.
    pub const fn is_spent(&self) -> bool {
        self.taken.get() > self.max
    }

    /// Takes steps; `Err` if that is more than there are.
    pub(crate) fn take(&self, steps: usize) -> Result<(), FilterError> {
        let steps = u64::try_from(steps).unwrap_or(u64::MAX);
        self.taken.set(self.taken.get().saturating_add(steps));
        if self.is_spent() {
            return Err(FilterError::Spent(self.max));
        }
        Ok(())
    }
}
