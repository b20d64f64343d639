//! One level of the wheel: 256 slots, each a queue of entries.

use std::collections::VecDeque;

use super::bitmap::Bitmap;
use super::blocks::{Block, Blocks};
use super::entry::Entry;

/// How many levels there are: one for each of the lowest four bytes of a tick.
pub(super) const LEVELS: usize = 4;

/// Returns the slot of a tick at a level.
#[inline]
pub(super) fn byte(tick: u64, level: usize) -> u8 {
    u8::try_from(tick >> (8 * level) & 0xFF).expect("masked to a byte")
}

/// The slots of one level.
#[derive(Debug)]
pub(super) struct Level {
    pub(super) occupied: Bitmap,
    slots: Box<[Slot; 256]>,
}

/// A queue of entries.
#[derive(Debug, Default)]
struct Slot {
    /// Where entries are appended.
    last: Block,
    /// The blocks before it.
    before: VecDeque<Block>,
    /// How many entries of the first block have been taken.
    taken: usize,
}

impl Default for Level {
    fn default() -> Self {
        Self {
            occupied: Bitmap::default(),
            slots: Box::new(std::array::from_fn(|_| Slot::default())),
        }
    }
}

impl Level {
    /// Appends an entry to a slot.
    #[inline]
    pub(super) fn push(&mut self, slot: u8, entry: Entry, blocks: &mut Blocks) {
        let queue = slot_mut(&mut self.slots, slot);
        if queue.last.len() == queue.last.capacity() {
            queue.extend(blocks);
            self.occupied.set(slot);
        }
        queue.last.push(entry);
    }

    /// Takes the first entries of a slot, at most one block and at most `budget`, which is reduced; `None` if the slot is empty.
    #[inline]
    pub(super) fn take(&mut self, slot: u8, budget: &mut usize) -> Option<Cut> {
        if !self.occupied.contains(slot) {
            return None;
        }
        let queue = slot_mut(&mut self.slots, slot);
        let block = queue
            .before
            .pop_front()
            .unwrap_or_else(|| std::mem::take(&mut queue.last));
        if queue.last.is_empty() && queue.before.is_empty() {
            self.occupied.clear(slot);
        }
        let from = std::mem::take(&mut queue.taken);
        let to = block.len().min(from.saturating_add(*budget));
        *budget -= to - from;
        Some(Cut { block, from, to })
    }

    /// Puts the rest of what [`take`](Self::take) took back to the head of its slot.
    #[inline]
    pub(super) fn put_back(&mut self, slot: u8, cut: Cut) {
        let queue = slot_mut(&mut self.slots, slot);
        queue.before.push_front(cut.block);
        queue.taken = cut.to;
        self.occupied.set(slot);
    }
}

impl Slot {
    #[cold]
    fn extend(&mut self, blocks: &mut Blocks) {
        let full = std::mem::replace(&mut self.last, blocks.take());
        if !full.is_empty() {
            self.before.push_back(full);
        }
    }
}

/// Entries that were taken from a slot, in the block they lie in.
#[derive(Debug)]
pub(super) struct Cut {
    block: Block,
    from: usize,
    to: usize,
}

impl Cut {
    #[inline]
    pub(super) fn entries(&mut self) -> impl Iterator<Item = Entry> {
        self.block.get(self.from..self.to).unwrap_or_default().iter().copied()
    }

    /// Gives the block back; if it has entries that were not taken, returns it instead.
    #[inline]
    pub(super) fn finish(self, blocks: &mut Blocks) -> Option<Self> {
        if self.to < self.block.len() {
            return Some(self);
        }
        blocks.give(self.block);
        None
    }
}

#[inline]
fn slot_mut(slots: &mut [Slot; 256], slot: u8) -> &mut Slot {
    slots.get_mut(usize::from(slot)).expect("a byte names one of 256 slots")
}
