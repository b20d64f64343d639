//! All desks of a runner: the rows of a range of partitions, in memory as long as state does not have them.
//!
//! Live events and replayed events take the same way. What an event means to a subject stands at the subject's desk. This file knows only
//! which desks there are and in which order an event goes over them. A new desk is a field of [`Desks`], a line in [`Desks::new`] and its place
//! in [`Desks::all`]; none of the three can be left out.

use std::ops::Range;
use std::sync::Arc;

use store::state::Turn;
use store::{Position, StateError, Store};
use types::event::PersonErased;
use types::id::{EventId, MessageId, PartitionId};
use types::withdrawals::Withdrawals;

use crate::cart::Carts;
use crate::catalogue::Changes;
use crate::contact::Contacts;
use crate::desk::{Desk, Entry, Settled, Told};
use crate::history::Histories;
use crate::lead::Leads;
use crate::mail::{Mails, Outbox};
use crate::person::Persons;
use crate::tally::Tallies;
use crate::timers::Timers;
use crate::workflow::Instances;

/// The desks. In [`Desks::all`] a desk that writes a fact in its second pass stands before the desks that read the fact.
pub(crate) struct Desks {
    span: Span,
    pub(crate) persons: Persons,
    pub(crate) mails: Mails,
    pub(crate) outbox: Outbox,
    pub(crate) leads: Leads,
    pub(crate) carts: Carts,
    pub(crate) instances: Instances,
    pub(crate) contacts: Contacts,
    pub(crate) histories: Histories,
    pub(crate) tallies: Tallies,
    pub(crate) changes: Changes,
    pub(crate) timers: Timers,
}

/// The partitions, and how far their records have come.
struct Span {
    range: Range<u16>,
    store: Store,
    /// The position of the last turn: all records of these partitions so far are in it or in earlier ones.
    last: Position,
}

impl Desks {
    /// Starts from what state has of the partitions in `range`.
    pub(crate) fn new(range: Range<u16>, store: &Store, withdrawals: Arc<Withdrawals>) -> Result<Self, StateError> {
        let partitions = range.clone().filter_map(PartitionId::new);
        let last = partitions.map(|partition| store.state().applied(partition)).max();
        Ok(Self {
            persons: Persons::new(store.clone(), withdrawals),
            mails: Mails::new(store.clone(), range.clone()),
            outbox: Outbox::new(store.clone()),
            leads: Leads::new(store.clone()),
            carts: Carts::new(store.clone()),
            instances: Instances::new(store.clone()),
            contacts: Contacts::new(store.clone()),
            histories: Histories::new(store.clone()),
            tallies: Tallies::new(store.clone(), &range)?,
            changes: Changes::new(store),
            timers: Timers::new(&range),
            span: Span {
                range,
                store: store.clone(),
                last: last.unwrap_or(Position(0)),
            },
        })
    }

    /// Returns the desks in the order in which an event goes over them and a turn is settled.
    fn all(&mut self) -> [&mut dyn Desk; 11] {
        // Taken apart by name: a desk that is left out does not compile.
        let Self {
            span: _,
            persons,
            mails,
            outbox,
            leads,
            instances,
            carts,
            contacts,
            histories,
            tallies,
            changes,
            timers,
        } = self;
        [
            persons, mails, outbox, leads, instances, carts, contacts, histories, tallies, changes, timers,
        ]
    }

    /// Folds one event into all desks. [`Desks::end_turn`] hands over what changed.
    pub(crate) fn apply(&mut self, entry: &Entry<'_>) -> Result<(), StateError> {
        let mut told = Told::of(entry);
        let mut desks = self.all();
        for desk in &mut desks {
            desk.look(entry, &mut told)?;
        }
        // A row that cannot be read keeps no other desk from its own: an erasure erases what it can, a mail that has ended leaves the outbox.
        let mut folded = Ok(());
        for desk in &mut desks {
            let applied = desk.apply(entry, &mut told);
            folded = folded.and(applied);
        }
        folded
    }

    /// Ends the turn, whose last record stands at `position`: returns what state is to apply and forgets what it has.
    pub(crate) fn end_turn(&mut self, position: Position) -> Turn {
        let mut settled = Settled::default();
        for desk in self.all() {
            desk.settle(position.0, &mut settled);
        }
        self.span.last = position;
        self.forget();
        Turn {
            range: self.span.range.clone(),
            position,
            puts: settled.puts,
            released: settled.released,
        }
    }

    /// Ends a turn without a record. Returns what state is to apply: deletions of timers' rows. `None` if there are none.
    pub(crate) fn end_idle_turn(&mut self) -> Option<Turn> {
        self.timers.has_ended_rows().then(|| self.end_turn(self.span.last))
    }

    /// Forgets the rows that state has. Called at the end of each turn, also of one that changed nothing.
    pub(crate) fn forget(&mut self) {
        let applied = self.applied();
        for desk in self.all() {
            desk.forget(applied);
        }
    }

    /// Returns the partitions.
    pub(crate) fn range(&self) -> &Range<u16> {
        &self.span.range
    }

    /// Returns the first of the partitions.
    pub(crate) fn first_partition(&self) -> PartitionId {
        PartitionId::new(self.span.range.start).expect("runners own partitions that there are")
    }

    /// Returns the position of the last turn.
    pub(crate) fn last_position(&self) -> u64 {
        self.span.last.0
    }

    /// Returns how many rows are in memory because state may not have them yet.
    pub(crate) fn unapplied(&mut self) -> usize {
        self.all().iter().map(|desk| desk.held()).sum()
    }

    /// Returns the position up to which state has all of these partitions. After a start with fewer runners the partitions differ: each
    /// runner of the last run had come to a position of its own.
    pub(crate) fn applied(&self) -> u64 {
        let partitions = self.span.range.clone().filter_map(PartitionId::new);
        let applied = partitions.map(|partition| self.span.store.state().applied(partition).0);
        applied.min().unwrap_or_default()
    }

    /// Returns whether opens, clicks and landings of a mail may be recorded: not if it is unknown or erased, or its person withdrew.
    pub(crate) fn may_record(&mut self, partition: PartitionId, message: MessageId) -> Result<bool, StateError> {
        let Some(mail) = self.mails.get(partition, message)?.filter(|mail| !mail.is_forgotten()) else {
            return Ok(false);
        };
        // The token names a shop as well; what was withdrawn from is the mail's own.
        let (person, shop) = (*mail.person(), mail.shop());
        Ok(self.persons.get(partition, person)?.may_record(shop, message))
    }

    /// Returns the objects that an erasure is about: accepted events, and the events of mails.
    pub(crate) fn erasable(
        &mut self,
        partition: PartitionId,
        erased: &PersonErased,
    ) -> Result<Vec<EventId>, StateError> {
        let sent = self.persons.get(partition, erased.person)?.messages().to_vec();
        let objects = self.histories.erasable(partition, erased, &sent)?;
        Ok(objects.into_keys().collect())
    }
}
