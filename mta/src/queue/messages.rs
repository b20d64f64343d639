//! All queued messages: their entries, what is kept of them in memory, and which of them wait for their time.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};

use types::id::{MessageId, PartitionId};
use types::order::Stream;
use types::time::Timestamp;

use super::book::{Book, Entry, NONE, Slot, State, Tick};
use super::domain::DomainId;
use super::fresh::FreshMessages;
use super::ready_queue::Taken;

/// The most messages that are remembered as withdrawn before they came.
const WITHDRAWN_MAX: usize = 4096;

/// A message as it comes into the queues.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Waiting {
    pub(crate) partition: PartitionId,
    pub(crate) message: MessageId,
    pub(crate) attempts: u16,
    pub(crate) due: Timestamp,
    pub(crate) expires: Timestamp,
    pub(crate) stream: Stream,
    pub(crate) accepted_at: Timestamp,
    pub(crate) doubted: bool,
}

/// The messages of all queues.
#[derive(Debug)]
pub(super) struct Messages {
    book: Book,
    fresh: FreshMessages,
    /// Those that wait for their time. An entry whose message is over or waits for another time is passed over.
    deferred: BinaryHeap<Reverse<(Tick, Slot)>>,
    /// Withdrawn before they came here, or after they left; the last few.
    withdrawn: VecDeque<MessageId>,
    /// The slot that was swept last.
    swept: usize,
    in_flight: usize,
}

impl Messages {
    pub(super) fn new(fresh_bytes_max: usize) -> Self {
        Self {
            book: Book::default(),
            fresh: FreshMessages::new(fresh_bytes_max),
            deferred: BinaryHeap::new(),
            withdrawn: VecDeque::new(),
            swept: 0,
            in_flight: 0,
        }
    }

    /// Returns how many messages are queued, and how many of them sessions have.
    pub(super) fn counts(&self) -> (usize, usize) {
        (self.book.len(), self.in_flight)
    }

    pub(super) fn book(&self) -> &Book {
        &self.book
    }

    pub(super) fn book_mut(&mut self) -> &mut Book {
        &mut self.book
    }

    pub(super) fn fresh_mut(&mut self) -> &mut FreshMessages {
        &mut self.fresh
    }

    /// Lets go of the bytes of all messages of some domains.
    pub(super) fn drop_fresh(&mut self, of: impl Fn(DomainId) -> bool) {
        let book = &self.book;
        self.fresh
            .retain(|slot| !book.entry(slot).is_some_and(|entry| of(entry.domain)));
    }

    /// Adds a message; `None` if it is here already.
    pub(super) fn add(&mut self, waiting: &Waiting, domain: DomainId, state: State) -> Option<Slot> {
        self.book.insert(Entry {
            message: waiting.message,
            accepted_at: waiting.accepted_at,
            expires: Tick::at(waiting.expires),
            due: Tick(0),
            next: NONE,
            domain,
            partition: waiting.partition,
            attempts: waiting.attempts,
            stream: waiting.stream,
            state,
            doubted: waiting.doubted,
            interrupted: 0,
        })
    }

    /// Remembers a message that was withdrawn and is not here: it may be on its way, rendered or read from the spool.
    pub(super) fn remember_withdrawn(&mut self, message: MessageId) {
        if self.withdrawn.len() == WITHDRAWN_MAX {
            self.withdrawn.pop_front();
        }
        self.withdrawn.push_back(message);
    }

    /// Returns whether a message that has just come was withdrawn before, and forgets that.
    pub(super) fn was_withdrawn(&mut self, message: MessageId) -> bool {
        let withdrawn = !self.withdrawn.is_empty() && self.withdrawn.contains(&message);
        if withdrawn {
            self.withdrawn.retain(|withdrawn| *withdrawn != message);
        }
        withdrawn
    }

    /// Has a message wait until `due`, or until its time is over if that is earlier. Returns its domain.
    pub(super) fn defer(&mut self, slot: Slot, due: Timestamp) -> Option<DomainId> {
        let entry = self.book.entry_mut(slot)?;
        entry.due = Tick::at(due).min(entry.expires);
        entry.state = State::Deferred;
        self.deferred.push(Reverse((entry.due, slot)));
        Some(entry.domain)
    }

    /// Returns which message may be due by `tick`, one a call, for [`Self::make_ready`].
    pub(super) fn due(&mut self, tick: Tick) -> Option<(Tick, Slot)> {
        self.deferred.peek().filter(|Reverse((due, _))| *due <= tick)?;
        self.deferred.pop().map(|Reverse(due)| due)
    }

    /// Makes a message ready that waits until `due`; returns its domain. `None` if it no longer waits, or until another time.
    pub(super) fn make_ready(&mut self, slot: Slot, due: Tick) -> Option<DomainId> {
        let entry = self.book.entry_mut(slot)?;
        if entry.state != State::Deferred || entry.due != due {
            return None;
        }
        entry.state = State::Ready;
        Some(entry.domain)
    }

    /// Returns when the next message is due.
    pub(super) fn next_due(&self) -> Option<Tick> {
        self.deferred.peek().map(|Reverse((due, _))| *due)
    }

    /// Returns how many messages one turn of the sweep looks at.
    pub(super) fn swept_per_turn(&self) -> usize {
        let slots = self.book.slots();
        (slots / 256).max(2048).min(slots)
    }

    /// Looks at the next message; returns it if it waits and its time is over.
    pub(super) fn sweep_one(&mut self, tick: Tick) -> Option<Slot> {
        self.swept = (self.swept + 1) % self.book.slots().max(1);
        let slot = Slot::try_from(self.swept).unwrap_or(NONE);
        let entry = self.book.entry(slot)?;
        let over = matches!(entry.state, State::Ready | State::Deferred) && entry.expires <= tick;
        over.then_some(slot)
    }

    /// Gives a session a message that no list holds any more.
    pub(super) fn give(&mut self, slot: Slot, held_until: Timestamp) -> Option<Taken> {
        let fresh = self.fresh.take(slot);
        let entry = self.book.entry_mut(slot)?;
        entry.state = State::InFlight;
        self.in_flight += 1;
        Some(Taken {
            slot,
            message: entry.message,
            partition: entry.partition,
            attempts: entry.attempts,
            held: entry.accepted_at < held_until,
            stream: entry.stream,
            expires: entry.expires.time(),
            accepted_at: entry.accepted_at,
            doubted: entry.doubted,
            interrupted: entry.interrupted,
            fresh,
        })
    }

    /// Notes that a session has a message no longer.
    pub(super) fn came_back(&mut self) {
        self.in_flight = self.in_flight.saturating_sub(1);
    }
}
