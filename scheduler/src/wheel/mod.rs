//! The hot timing wheel: what is due when, in memory, for one runner.
//!
//! **Idea.** Time is counted in ticks from an epoch that the owner chooses; [`Scale`] converts, rounding up what is due and
//! down what has passed, so that nothing fires early. A tick has bytes, and each of the lowest four has a level of 256 slots. A
//! timer lies at the level of the highest byte in which its due tick differs from now; when now reaches a slot of an upper
//! level, the slot's entries move down (Varghese and Lauck 1987, scheme 7). So a timer moves three times at most, and a bitmap per
//! level lets the wheel jump over spans in which nothing is due.
//!
//! ```text
//!  now = 0x00_01_02_10      due 0x…10_42 ─► level 0, slot 0x42      (same upper bytes: fires at its slot)
//!                           due 0x…05_00 ─► level 1, slot 0x05      (moves down when now is 0x00_01_05_00)
//!                           due 0x07_…   ─► level 3, slot 0x07      (level 3 goes round: 255 slots lie ahead)
//!                           later still  ─► a sorted map            (moves in when level 3 reaches that far)
//! ```
//!
//! **Memory.** Slots are contiguous, because moving a linked list costs a cache miss per timer. They consist of small blocks of
//! one size from a free list: no copy while a slot grows, and what one slot gives back the next one takes. An entry is eleven
//! bytes: index, generation, and the three bytes of the due tick that the slot does not tell. Values lie once, in a table;
//! beside each lies the generation of the timer that holds the place. To cancel is to clear that, and the entry is dropped when it
//! surfaces: it costs its eleven bytes until then, while its place is free at once.
//!
//! **Bounds.** [`Wheel::advance`] touches no more entries than it is told to and carries the remainder. Finding the next slot
//! costs the same whatever lies between. Who arms timers bounds how many there are; `len` tells.
//!
//! **Order.** Timers fire by tick, and within one tick in the order in which they were armed. While the remainder of a cut turn
//! is carried, a timer that is armed for a tick of that remainder may fire before older ones of its tick.
//!
//! Deliberately absent: clocks, durability, locks, and what a timer means.

mod bitmap;
mod blocks;
mod entry;
mod level;
mod scale;
mod table;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, VecDeque};

pub use scale::Scale;

use blocks::{BLOCK_ENTRIES, Blocks};
use entry::Entry;
use level::{LEVELS, Level, byte};
use table::Table;

/// How many ticks one slot of the uppermost level spans.
const TOP_SPAN: u64 = 1 << 24;

/// How many slots of the uppermost level lie ahead of the current one.
const TOP_AHEAD: u64 = 255;

/// Timers of one owner, each with a value.
#[derive(Debug)]
pub struct Wheel<T> {
    /// The tick that has been reached. Its slots of the levels above 0 are empty unless a turn was cut.
    now: u64,
    /// The earliest tick at which a turn has something to do: now, while a turn's remainder is carried.
    wake: Option<u64>,
    levels: [Level; LEVELS],
    /// Timers beyond the uppermost level, by due tick.
    far: BTreeMap<u64, VecDeque<Handle>>,
    blocks: Blocks,
    table: Table<T>,
}

/// Names an armed timer until it fires or is cancelled, and nothing after that.
///
/// The same name comes again after 2³² − 1 insertions at the earliest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Handle {
    index: u32,
    generation: u32,
}

impl Handle {
    /// Returns the timer's place: unique among armed timers, small, and used again; for tables that the owner keeps beside the wheel.
    pub fn index(self) -> u32 {
        self.index
    }
}

/// A timer that is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fired<T> {
    /// What [`Wheel::insert`] returned; it names nothing any more.
    pub handle: Handle,
    /// The due tick, or the wheel's tick at insertion if the due tick had passed by then.
    pub due: u64,
    /// The value.
    pub value: T,
}

/// How a turn ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use = "a cut turn has to be continued"]
pub enum Turn {
    /// All that is due has fired; the wheel is where it was told to go.
    Done,
    /// The limit was reached first: call again with the same or a later tick.
    Cut,
}

impl<T: Copy> Wheel<T> {
    /// Makes an empty wheel that stands at the tick `now`.
    pub fn new(now: u64) -> Self {
        Self {
            now,
            wake: None,
            levels: std::array::from_fn(|_| Level::default()),
            far: BTreeMap::new(),
            blocks: Blocks::default(),
            table: Table::default(),
        }
    }

    /// Arms a timer for the tick `due`. If the wheel has passed that tick, the timer fires in the next turn.
    pub fn insert(&mut self, due: u64, value: T) -> Handle {
        let handle = self.table.insert(value);
        let due = due.max(self.now);
        let begins = if let Some(level) = level_for(self.now, due) {
            self.file(level, due, handle);
            due & (u64::MAX << (8 * level))
        } else {
            self.far.entry(due).or_default().push_back(handle);
            pulled(due)
        };
        if self.wake.is_none_or(|wake| begins < wake) {
            self.wake = Some(begins);
        }
        handle
    }

    /// Disarms a timer and returns its value; `None` if it has fired or was cancelled before.
    pub fn cancel(&mut self, handle: Handle) -> Option<T> {
        self.table.take(handle)
    }

    /// Returns the value of an armed timer.
    pub fn peek(&self, handle: Handle) -> Option<T> {
        self.table.peek(handle)
    }

    /// Fires what is due at `to` or before, in order, and goes there.
    ///
    /// Looks at no more than `limit` entries, whether they fire, move to a lower level or were cancelled. A cut turn is
    /// continued by the next one, and each turn gets further if `limit` is not 0. A tick before the wheel's own
    /// fires what is due by the wheel's own and goes nowhere.
    pub fn advance(&mut self, to: u64, limit: usize, mut fire: impl FnMut(Fired<T>)) -> Turn {
        let to = to.max(self.now);
        let mut budget = limit;
        while let Some(next) = self.wake.filter(|next| *next <= to) {
            self.now = next;
            // Only the slots of level 0 begin elsewhere.
            if byte(next, 0) == 0 && self.descend(&mut budget) == Turn::Cut {
                return Turn::Cut;
            }
            if self.fire_slot(&mut budget, &mut fire) == Turn::Cut {
                return Turn::Cut;
            }
            self.wake = self.next_occupied();
        }
        self.now = to;
        Turn::Done
    }

    /// Returns the earliest tick at which a turn has something to do; nothing fires before it. `None` if nothing is filed.
    ///
    /// It is exact for what is due within the current 256 ticks. Further ahead it may be the tick at which entries move to a lower
    /// level: a turn then costs little and the hint becomes better. Cancelled timers count until they surface.
    pub fn next_due(&self) -> Option<u64> {
        self.wake
    }

    /// Returns the tick that has been reached.
    pub fn now(&self) -> u64 {
        self.now
    }

    /// Returns the number of armed timers.
    pub fn len(&self) -> usize {
        self.table.len()
    }

    /// Returns whether no timer is armed.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns the bytes that the wheel holds for timers, armed or cancelled, and keeps ready for more.
    pub fn bytes(&self) -> usize {
        let far: usize = self.far.values().map(|row| row.capacity() * size_of::<Handle>()).sum();
        self.blocks.bytes() + self.table.bytes() + far
    }

    /// Appends an entry to its slot.
    fn file(&mut self, level: usize, due: u64, handle: Handle) {
        level_mut(&mut self.levels, level).push(byte(due, level), Entry::new(handle, due), &mut self.blocks);
    }

    /// Moves down what lies in the slots of the upper levels that begin now.
    fn descend(&mut self, budget: &mut usize) -> Turn {
        while self.far_pull().is_some_and(|tick| tick <= self.now) {
            if *budget == 0 {
                return Turn::Cut;
            }
            *budget -= 1;
            self.pull_far();
        }
        for level in (1..LEVELS).rev() {
            if self.descend_from(level, budget) == Turn::Cut {
                return Turn::Cut;
            }
        }
        Turn::Done
    }

    /// Moves down what lies in the slot of one level that begins now.
    fn descend_from(&mut self, level: usize, budget: &mut usize) -> Turn {
        let slot = byte(self.now, level);
        while let Some(mut cut) = level_mut(&mut self.levels, level).take(slot, budget) {
            if level == 1 {
                // The last move looks at the table: what was cancelled goes no further, and what was not is in the cache when it
                // fires a moment later. In a loop of their own, many of these looks are under way at once.
                let mut armed = [false; BLOCK_ENTRIES];
                for (entry, armed) in cut.entries().zip(&mut armed) {
                    *armed = self.table.holds(entry.handle());
                }
                for (entry, _) in cut.entries().zip(armed).filter(|(_, armed)| *armed) {
                    self.file(0, self.now | entry.low(1), entry.handle());
                }
            } else {
                for entry in cut.entries() {
                    let low = entry.low(level);
                    // The slot's first tick has no bits where `low` has some.
                    self.file(level_below(low), self.now | low, entry.handle());
                }
            }
            if let Some(rest) = cut.finish(&mut self.blocks) {
                level_mut(&mut self.levels, level).put_back(slot, rest);
                return Turn::Cut;
            }
        }
        Turn::Done
    }

    /// Fires what lies in the current slot of level 0.
    fn fire_slot(&mut self, budget: &mut usize, fire: &mut impl FnMut(Fired<T>)) -> Turn {
        let due = self.now;
        let slot = byte(due, 0);
        let [level, ..] = &mut self.levels;
        while let Some(mut cut) = level.take(slot, budget) {
            for entry in cut.entries() {
                let handle = entry.handle();
                if let Some(value) = self.table.take(handle) {
                    fire(Fired { handle, due, value });
                }
            }
            if let Some(rest) = cut.finish(&mut self.blocks) {
                level.put_back(slot, rest);
                return Turn::Cut;
            }
        }
        Turn::Done
    }

    /// Returns the first tick after now at which an occupied slot begins.
    fn next_occupied(&self) -> Option<u64> {
        let [zero, one, two, three] = &self.levels;
        // A level's slots ahead lie within one slot of the level above, and so before that one's other slots.
        let within = |level: &Level, shift: u32| {
            let current = self.now >> shift;
            let slot = level.occupied.after(byte(current, 0))?;
            Some((current & !0xFF | u64::from(slot)) << shift)
        };
        if let Some(tick) = within(zero, 0).or_else(|| within(one, 8)).or_else(|| within(two, 16)) {
            return Some(tick);
        }
        let current = self.now / TOP_SPAN;
        let top = three
            .occupied
            .distance(byte(current, 0))
            .map(|slots| (current + u64::from(slots)) * TOP_SPAN);
        match (top, self.far_pull()) {
            (Some(top), Some(far)) => Some(top.min(far)),
            (top, far) => top.or(far),
        }
    }

    /// Returns the tick at which the first far timer moves in.
    fn far_pull(&self) -> Option<u64> {
        self.far.first_key_value().map(|(due, _)| pulled(*due))
    }

    /// Moves the first far timer into the uppermost level.
    fn pull_far(&mut self) {
        let Some(mut row) = self.far.first_entry() else {
            return;
        };
        let due = *row.key();
        let handle = row.get_mut().pop_front();
        if row.get().is_empty() {
            row.remove();
        }
        if let Some(handle) = handle {
            self.file(LEVELS - 1, due, handle);
        }
    }
}

/// Returns the level at which a timer is filed, or `None` if it lies beyond the uppermost one.
#[inline]
fn level_for(now: u64, due: u64) -> Option<usize> {
    let differs = now ^ due;
    if differs < TOP_SPAN {
        Some(level_below(differs))
    } else if due / TOP_SPAN - now / TOP_SPAN <= TOP_AHEAD {
        // By distance and not by difference: the uppermost level goes round, and nothing special happens where 2^32 is passed.
        Some(LEVELS - 1)
    } else {
        None
    }
}

/// Returns the tick at which a far timer comes within reach of the uppermost level.
fn pulled(due: u64) -> u64 {
    (due / TOP_SPAN - TOP_AHEAD) * TOP_SPAN
}

/// Returns the level of the highest byte that is not zero in a number below [`TOP_SPAN`].
#[inline]
fn level_below(ticks: u64) -> usize {
    match ticks {
        0..0x100 => 0,
        0x100..0x1_0000 => 1,
        _ => 2,
    }
}

#[inline]
fn level_mut(levels: &mut [Level; LEVELS], level: usize) -> &mut Level {
    levels.get_mut(level).expect("levels are numbered below LEVELS")
}
