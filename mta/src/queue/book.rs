//! Every queued message in 40 bytes, found by its id or its slot.
//!
//! Slots live in chunks, so growth copies nothing; the index holds slots, not ids, and looks ids up in them.

use foldhash::fast::FixedState;
use hashbrown::HashTable;
use std::hash::BuildHasher;
use types::id::{MessageId, PartitionId};
use types::order::Stream;
use types::time::Timestamp;

/// Where a message stands in the book; free slots are used again.
pub(crate) type Slot = u32;

/// No slot: the end of a list.
pub(crate) const NONE: u32 = u32::MAX;

const CHUNK: usize = 4096;

/// Tenths of a second since 2024, in 32 bits: until the year 2037.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Tick(pub(crate) u32);

impl Tick {
    /// Returns the first tick at or after `time`.
    pub(crate) fn at(time: Timestamp) -> Self {
        let millis = time.as_millis().saturating_sub(types::id::EPOCH_MILLIS);
        Self(u32::try_from(millis.div_ceil(100)).unwrap_or(u32::MAX))
    }

    /// Returns the last tick at or before `time`: what is due by then is due now.
    pub(crate) fn reached(time: Timestamp) -> Self {
        let millis = time.as_millis().saturating_sub(types::id::EPOCH_MILLIS);
        Self(u32::try_from(millis / 100).unwrap_or(u32::MAX))
    }

    pub(crate) fn time(self) -> Timestamp {
        Timestamp::from_millis(types::id::EPOCH_MILLIS + u64::from(self.0) * 100)
    }
}

/// What a queued message is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// Nothing is here.
    Free,
    /// Waits in its domain's list for a session.
    Ready,
    /// Waits for its time.
    Deferred,
    /// A session has it.
    InFlight,
    /// A session has it; it ends there, unless its dot was sent.
    Withdrawing,
    /// Over, but still linked in its domain's list.
    Gone,
}

/// One queued message.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Entry {
    pub(crate) message: MessageId,
    pub(crate) accepted_at: Timestamp,
    pub(crate) expires: Tick,
    pub(crate) due: Tick,
    pub(crate) next: Slot,
    pub(crate) domain: u32,
    pub(crate) partition: PartitionId,
    pub(crate) attempts: u16,
    pub(crate) stream: Stream,
    pub(crate) state: State,
    /// A final dot of it has gone unanswered: the next such one is the last.
    pub(crate) doubted: bool,
    /// How often in a row its session ended at its MAIL without that being counted.
    pub(crate) interrupted: u8,
}

const FREE: Entry = Entry {
    message: MessageId::from_raw(0),
    accepted_at: Timestamp::from_millis(0),
    expires: Tick(0),
    due: Tick(0),
    next: NONE,
    domain: NONE,
    partition: PartitionId::CATALOGUE,
    attempts: 0,
    stream: Stream::Transactional,
    state: State::Free,
    doubted: false,
    interrupted: 0,
};

/// The messages of all queues.
#[derive(Debug, Default)]
pub(crate) struct Book {
    chunks: Vec<Box<[Entry]>>,
    index: HashTable<Slot>,
    free: Option<Slot>,
    used: usize,
    hasher: FixedState,
}

impl Book {
    pub(crate) fn len(&self) -> usize {
        self.index.len()
    }

    /// Returns how many slots there are, free ones included.
    pub(crate) fn slots(&self) -> usize {
        self.used
    }

    pub(crate) fn entry(&self, slot: Slot) -> Option<&Entry> {
        self.chunks.get(slot as usize / CHUNK)?.get(slot as usize % CHUNK)
    }

    pub(crate) fn entry_mut(&mut self, slot: Slot) -> Option<&mut Entry> {
        self.chunks
            .get_mut(slot as usize / CHUNK)?
            .get_mut(slot as usize % CHUNK)
    }

    pub(crate) fn find(&self, message: MessageId) -> Option<Slot> {
        let hash = self.hasher.hash_one(message);
        let same = |slot: &Slot| self.entry(*slot).is_some_and(|entry| entry.message == message);
        self.index.find(hash, same).copied()
    }

    /// Adds a message; `None` if it is here already, or the book is full at four thousand million.
    pub(crate) fn insert(&mut self, entry: Entry) -> Option<Slot> {
        if self.find(entry.message).is_some() {
            return None;
        }
        let slot = if let Some(slot) = self.free {
            self.free = self.entry(slot).map(|entry| entry.next).filter(|next| *next != NONE);
            slot
        } else {
            let slot = Slot::try_from(self.used).ok().filter(|slot| *slot != NONE)?;
            if self.used == self.chunks.len() * CHUNK {
                self.chunks.push(vec![FREE; CHUNK].into_boxed_slice());
            }
            self.used += 1;
            slot
        };
        let hash = self.hasher.hash_one(entry.message);
        *self.entry_mut(slot)? = entry;
        let (chunks, hasher) = (&self.chunks, &self.hasher);
        self.index.insert_unique(hash, slot, |slot| {
            let entry = chunks
                .get(*slot as usize / CHUNK)
                .and_then(|chunk| chunk.get(*slot as usize % CHUNK));
            entry.map_or(0, |entry| hasher.hash_one(entry.message))
        });
        Some(slot)
    }

    /// Forgets a message, whose slot may be used again at once. It must not be linked in any list.
    pub(crate) fn remove(&mut self, slot: Slot) {
        self.forget(slot);
        let free = self.free.unwrap_or(NONE);
        if let Some(entry) = self.entry_mut(slot) {
            *entry = Entry { next: free, ..FREE };
            self.free = Some(slot);
        }
    }

    /// Takes a message out of the index; its slot stays taken until [`Self::remove`].
    pub(crate) fn forget(&mut self, slot: Slot) {
        let Some(message) = self.entry(slot).map(|entry| entry.message) else {
            return;
        };
        let hash = self.hasher.hash_one(message);
        if let Ok(found) = self.index.find_entry(hash, |found| *found == slot) {
            found.remove();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_has_forty_bytes() {
        assert_eq!(size_of::<Entry>(), 40);
    }

    #[test]
    fn slots_are_found_by_id_and_used_again() {
        let mut book = Book::default();
        let entry = |raw| Entry {
            message: MessageId::from_raw(raw),
            state: State::Ready,
            ..FREE
        };
        let slots: Vec<Slot> = (1..10_000).filter_map(|raw| book.insert(entry(raw))).collect();
        assert_eq!(slots.len(), 9_999);
        assert_eq!(book.insert(entry(77)), None, "twice");
        for raw in 1..5_000 {
            let slot = book.find(MessageId::from_raw(raw)).unwrap();
            book.remove(slot);
            assert_eq!(book.find(MessageId::from_raw(raw)), None);
        }
        assert_eq!(book.len(), 5_000);
        for raw in 20_000..24_999 {
            book.insert(entry(raw)).unwrap();
        }
        assert_eq!(book.slots(), 9_999, "freed slots were used");
        assert!((5_000..10_000).all(|raw| book.find(MessageId::from_raw(raw)).is_some()));
    }
}
