//! What a slot holds for one timer.

use super::Handle;

/// A filed timer, as bytes, so that eleven of them are eleven.
#[derive(Debug, Clone, Copy)]
pub(super) struct Entry {
    index: [u8; 4],
    generation: [u8; 4],
    /// The lowest three bytes of the due tick, lowest first; the slot tells the others.
    due: [u8; 3],
}

const _: () = assert!(
    size_of::<Entry>() == 11,
    "the memory per timer is stated in the module's documentation"
);

impl Entry {
    #[inline]
    pub(super) fn new(handle: Handle, due: u64) -> Self {
        let [a, b, c, ..] = due.to_le_bytes();
        Self {
            index: handle.index.to_le_bytes(),
            generation: handle.generation.to_le_bytes(),
            due: [a, b, c],
        }
    }

    #[inline]
    pub(super) fn handle(self) -> Handle {
        Handle {
            index: u32::from_le_bytes(self.index),
            generation: u32::from_le_bytes(self.generation),
        }
    }

    /// Returns how many ticks after the beginning of its slot at `level` the timer is due.
    #[inline]
    pub(super) fn low(self, level: usize) -> u64 {
        let [a, b, c] = self.due;
        u64::from(u32::from_le_bytes([a, b, c, 0])) & ((1 << (8 * level)) - 1)
    }
}
