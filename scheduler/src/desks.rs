//! All desks of a runner: the state of a range of partitions, on disk as far as applied, in memory from there.
//!
//! The same for events that happen and events that are replayed. What an event means to a subject stands at the subject's desk; here
//! stands only in which order it goes over them. A new subject is a folder with a desk, and a line in each of the two lists.

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

/// The desks. Who says something of an event stands before whoever has to know it.
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

/// Whose state it is, and how far state has it.
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

    /// In the order in which an event goes over them, and in which a turn is settled.
    fn all(&mut self) -> [&mut dyn Desk; 11] {
        [
            &mut self.persons,
            &mut self.mails,
            &mut self.outbox,
            &mut self.leads,
            &mut self.carts,
            &mut self.instances,
            &mut self.contacts,
            &mut self.histories,
            &mut self.tallies,
            &mut self.changes,
            &mut self.timers,
        ]
    }

    /// Folds one event in. What it changes is handed over by [`Desks::end_turn`].
    pub(crate) fn apply(&mut self, entry: &Entry<'_>) -> Result<(), StateError> {
        let mut told = Told::of(entry);
        let mut desks = self.all();
        for desk in &mut desks {
            desk.look(entry, &mut told)?;
        }
        for desk in &mut desks {
            desk.apply(entry, &mut told)?;
        }
        Ok(())
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

    /// Ends a turn without a record: returns what state is to apply, which is rows of timers that are gone; `None` if there are none.
    pub(crate) fn end_idle_turn(&mut self) -> Option<Turn> {
        self.timers.has_ended_rows().then(|| self.end_turn(self.span.last))
    }

    /// Forgets what state has. At the end of each turn, also of one that changed nothing.
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

    /// Returns how many values state does not have yet.
    pub(crate) fn unapplied(&mut self) -> usize {
        self.all().iter().map(|desk| desk.held()).sum()
    }

    /// Returns the position up to which state has all of these partitions. They stand apart after a start with fewer runners: each
    /// of the last run had come as far as it had.
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
