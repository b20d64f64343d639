//! The list in which a domain's ready messages wait, linked through their entries in the book.

use super::book::{Book, Entry, NONE, Slot, State};

/// Ready messages in the order in which they are tried.
///
/// A message that is over stays linked as [`State::Gone`] until it is at the head.
#[derive(Debug)]
pub(super) struct List {
    head: Slot,
    tail: Slot,
    ready: usize,
}

impl List {
    pub(super) fn new() -> Self {
        Self {
            head: NONE,
            tail: NONE,
            ready: 0,
        }
    }

    /// Returns how many messages wait.
    pub(super) fn ready(&self) -> usize {
        self.ready
    }

    /// Returns whether nothing is linked, not even a message that is over.
    pub(super) fn is_empty(&self) -> bool {
        self.head == NONE
    }

    /// Returns the entry at the head.
    pub(super) fn first<'a>(&self, book: &'a Book) -> Option<&'a Entry> {
        book.entry(self.head)
    }

    /// Returns the entries of the messages that wait, in order.
    pub(super) fn waiting<'a>(&self, book: &'a Book) -> impl Iterator<Item = &'a Entry> + use<'a> {
        std::iter::successors(book.entry(self.head), |entry| book.entry(entry.next))
            .filter(|entry| entry.state == State::Ready)
    }

    /// Links a ready message at the end.
    pub(super) fn append(&mut self, slot: Slot, book: &mut Book) {
        let Some(entry) = book.entry_mut(slot) else { return };
        entry.next = NONE;
        self.ready += 1;
        let tail = std::mem::replace(&mut self.tail, slot);
        if tail == NONE {
            self.head = slot;
        } else if let Some(entry) = book.entry_mut(tail) {
            entry.next = slot;
        }
    }

    /// Links a message at the head, and has it be ready.
    pub(super) fn prepend(&mut self, slot: Slot, book: &mut Book) {
        let Some(entry) = book.entry_mut(slot) else { return };
        entry.state = State::Ready;
        self.ready += 1;
        entry.next = std::mem::replace(&mut self.head, slot);
        if self.tail == NONE {
            self.tail = slot;
        }
    }

    /// Unlinks and returns the first ready message.
    pub(super) fn pop(&mut self, book: &mut Book) -> Option<Slot> {
        loop {
            let slot = self.unlink_head(book)?;
            if book.entry(slot).is_some_and(|entry| entry.state == State::Ready) {
                self.ready -= 1;
                return Some(slot);
            }
            book.remove(slot);
        }
    }

    /// Takes out a ready message that is over, wherever it stands.
    pub(super) fn strike(&mut self, slot: Slot, book: &mut Book) {
        self.ready -= 1;
        book.forget(slot);
        if let Some(entry) = book.entry_mut(slot) {
            entry.state = State::Gone;
        }
        self.trim(book);
    }

    /// Frees the messages at the head that are over.
    fn trim(&mut self, book: &mut Book) {
        while book.entry(self.head).is_some_and(|entry| entry.state == State::Gone) {
            if let Some(slot) = self.unlink_head(book) {
                book.remove(slot);
            }
        }
    }

    fn unlink_head(&mut self, book: &mut Book) -> Option<Slot> {
        let slot = self.head;
        let entry = book.entry_mut(slot)?;
        self.head = std::mem::replace(&mut entry.next, NONE);
        if self.head == NONE {
            self.tail = NONE;
        }
        Some(slot)
    }
}

#[cfg(test)]
mod tests {
    use types::id::{MessageId, PartitionId};
    use types::order::Stream;
    use types::time::Timestamp;

    use super::super::book::Tick;
    use super::*;

    fn entry(raw: u64) -> Entry {
        Entry {
            message: MessageId::from_raw(raw),
            accepted_at: Timestamp::default(),
            expires: Tick(0),
            due: Tick(0),
            next: NONE,
            domain: 0,
            partition: PartitionId::CATALOGUE,
            attempts: 0,
            stream: Stream::Transactional,
            state: State::Ready,
            doubted: false,
            interrupted: 0,
        }
    }

    #[test]
    fn a_struck_message_is_passed_over_and_its_slot_is_freed() {
        let (mut list, mut book) = (List::new(), Book::default());
        let slots: Vec<Slot> = (1..=4).filter_map(|raw| book.insert(entry(raw))).collect();
        for slot in &slots {
            list.append(*slot, &mut book);
        }
        list.strike(slots[1], &mut book);
        assert_eq!(
            book.entry(slots[1]).unwrap().state,
            State::Gone,
            "linked until it is at the head"
        );
        let waiting: Vec<u64> = list.waiting(&book).map(|entry| entry.message.raw()).collect();
        assert_eq!((waiting, list.ready()), (vec![1, 3, 4], 3));
        assert_eq!(list.pop(&mut book), Some(slots[0]));
        assert_eq!(list.pop(&mut book), Some(slots[2]));
        assert_eq!(book.entry(slots[1]).unwrap().state, State::Free);
        list.prepend(slots[2], &mut book);
        list.strike(slots[2], &mut book);
        list.strike(slots[3], &mut book);
        assert!(list.is_empty() && list.ready() == 0);
        assert_eq!(list.pop(&mut book), None);
        list.append(slots[0], &mut book);
        assert_eq!(list.pop(&mut book), Some(slots[0]), "the tail was reset");
    }
}
