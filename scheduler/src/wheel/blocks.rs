//! Blocks of entries, and the free list that they come from and go back to.

use super::entry::Entry;

/// Entries of a block: 1 KiB. Larger ones would have the many slots of level 0 that hold a few entries each contend for the same
/// lines of the cache, and cost a small wheel more; smaller ones would be mostly bookkeeping.
pub(super) const BLOCK_ENTRIES: usize = 93;

/// Free blocks that are kept however few are in use.
const FREE_MIN: usize = 64;

/// A part of a slot; never grown beyond its capacity.
pub(super) type Block = Vec<Entry>;

/// The free list.
#[derive(Debug, Default)]
pub(super) struct Blocks {
    free: Vec<Block>,
    in_use: usize,
}

impl Blocks {
    /// Returns an empty block.
    #[inline]
    pub(super) fn take(&mut self) -> Block {
        self.in_use += 1;
        self.free.pop().unwrap_or_else(|| Vec::with_capacity(BLOCK_ENTRIES))
    }

    /// Takes a block back. Beyond a quarter of those in use, free blocks are given to the allocator.
    #[inline]
    pub(super) fn give(&mut self, mut block: Block) {
        self.in_use -= 1;
        if self.free.len() < FREE_MIN + self.in_use / 4 {
            block.clear();
            self.free.push(block);
        }
    }

    /// Returns the bytes of all blocks, and of what points to them.
    pub(super) fn bytes(&self) -> usize {
        (self.in_use + self.free.len()) * (BLOCK_ENTRIES * size_of::<Entry>() + size_of::<Block>())
    }
}

#[cfg(test)]
mod tests {
    use super::{Blocks, FREE_MIN};

    #[test]
    fn a_block_that_was_given_back_is_taken_again() {
        let mut blocks = Blocks::default();
        let block = blocks.take();
        let place = block.as_ptr();
        blocks.give(block);
        let again = blocks.take();
        assert_eq!(again.as_ptr(), place);
    }

    #[test]
    fn of_many_blocks_that_are_given_back_few_are_kept() {
        let mut blocks = Blocks::default();
        let taken: Vec<_> = (0..FREE_MIN * 10).map(|_| blocks.take()).collect();
        let bytes = blocks.bytes();
        for block in taken {
            blocks.give(block);
        }
        assert!(
            blocks.bytes() * 3 <= bytes,
            "{} of {bytes} bytes are kept",
            blocks.bytes()
        );
    }
}
