//! State: the fold over all events, in fjall, for keyed look-ups and quick restarts.
//!
//! State is written only through [`Turn`]s, by one thread, each turn after its position is durable. It is never synced on
//! the way of a request: after a crash it is behind, says so itself (its positions are written with the changes, in one
//! batch), and catches up from the journal. Reads do not see turns that still wait; runners keep those in memory.
//!
//! A read that fails fails the store before it returns: nothing decided without its answer can become durable.
//!
//! Each subject is a file here. It owns its tables (`table.rs`): their rows, the changes of a turn that it writes into them, and the
//! reader that [`State`] hands out. `tables.rs` lists all tables once.

mod aside;
mod cart;
mod catalogue;
mod cell;
mod claim;
mod contact;
mod counter;
mod history;
mod key;
mod lead;
mod mail;
mod merge;
pub(crate) mod meta;
mod outbox;
mod person;
pub(crate) mod reader;
mod suppression;
mod sweep;
pub(crate) mod table;
pub(crate) mod tables;
mod timer;
mod turn;
pub(crate) mod upgrade;
mod workflow;
pub(crate) mod writer;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use tokio::sync::watch;
use types::catalogue::Catalogue;
use types::id::PartitionId;

pub use aside::{AsidePut, Asides};
pub use cart::{CartPut, Carts};
pub use catalogue::{CatalogueChanges, CataloguePut, StoredChange};
pub use cell::{CellPut, Cells};
pub use claim::{ClaimPut, ClaimedNames, StoredClaim};
pub use contact::{ContactPut, Contacts};
pub use counter::{CounterPut, Counters};
pub use history::{Histories, HistoryPut, StoredEvent};
pub use lead::{LeadPut, Leads, StoredLead, Visit};
pub use mail::{MailPut, Mails, StoredMail};
pub use outbox::{Outbox, OutboxEntry, OutboxPut};
pub use person::{PersonPut, Persons};
pub use suppression::{Suppression, SuppressionList, SuppressionPut, Suppressions};
pub(crate) use tables::Tables;
pub use timer::{Timer, TimerClass, TimerKey, TimerPut, Timers};
pub use turn::{Put, Turn};
pub use workflow::{WorkflowPut, Workflows};
pub use writer::Observer;

use crate::commit::Commits;
use crate::journal::Position;
use reader::Reader;
use writer::Turns;

/// Why state did not answer.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// The database could not be read. The store has failed.
    #[error("state could not be read")]
    Read(#[from] fjall::Error),
    /// What is stored is not what was put; the text says where.
    #[error("state holds something unreadable: {0}")]
    Malformed(String),
}

impl From<std::io::Error> for StateError {
    fn from(error: std::io::Error) -> Self {
        Self::Read(error.into())
    }
}

/// State, as everyone reads it and runners write it.
pub struct State {
    pub(crate) reader: Reader,
    pub(crate) turns: Arc<Turns>,
    pub(crate) applied: Arc<Applied>,
    /// See [`CatalogueChanges`].
    past: Mutex<Option<Catalogue>>,
}

impl std::fmt::Debug for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("State")
    }
}

/// The last applied position of each partition.
#[derive(Debug)]
pub(crate) struct Applied {
    positions: Vec<AtomicU64>,
    changed: watch::Sender<()>,
}

impl Applied {
    pub(crate) fn new(positions: Vec<u64>) -> Self {
        Self {
            positions: positions.into_iter().map(AtomicU64::new).collect(),
            changed: watch::Sender::new(()),
        }
    }

    pub(crate) fn of(&self, partition: PartitionId) -> u64 {
        self.positions
            .get(usize::from(partition.number()))
            .map_or(0, |position| position.load(Ordering::Acquire))
    }

    /// Takes in turns that are written, and tells those who wait for it.
    pub(crate) fn raise(&self, turns: &[Turn]) {
        for turn in turns {
            let range = usize::from(turn.range.start)..usize::from(turn.range.end);
            for position in self.positions.get(range).unwrap_or_default() {
                position.fetch_max(turn.position.0, Ordering::AcqRel);
            }
        }
        self.changed.send_replace(());
    }

    pub(crate) fn changed(&self) -> watch::Receiver<()> {
        self.changed.subscribe()
    }

    /// Returns the position up to which all records of all partitions are applied once `turns` are. `durable` was read
    /// before `last`, the last position of each partition.
    pub(crate) fn through_with(&self, turns: &[Turn], durable: u64, last: &[u64]) -> u64 {
        let mut positions: Vec<u64> = self.positions.iter().map(|p| p.load(Ordering::Acquire)).collect();
        for turn in turns {
            let range = usize::from(turn.range.start)..usize::from(turn.range.end);
            for position in positions.get_mut(range).unwrap_or_default() {
                *position = turn.position.0.max(*position);
            }
        }
        positions
            .iter()
            .zip(last)
            .filter(|(applied, last)| applied < last)
            .map(|(applied, _)| *applied)
            .fold(durable, u64::min)
    }
}

impl State {
    pub(crate) fn new(tables: Arc<Tables>, turns: Arc<Turns>, commits: Arc<Commits>, applied: Arc<Applied>) -> Self {
        Self {
            reader: Reader { tables, commits },
            turns,
            applied,
            past: Mutex::default(),
        }
    }

    /// Hands a turn to the state writer, which writes it once its position is durable. Waits only while more turns wait
    /// than their bound; after a failure turns are dropped, since recovery makes them again.
    pub fn submit(&self, turn: Turn) {
        self.turns.submit(turn);
    }

    /// Returns how many bytes of turns wait to be written. [`State::submit`] waits when they are as many as the settings allow: work that
    /// can wait itself stops long before that.
    pub fn waiting_bytes(&self) -> usize {
        self.turns.waiting_bytes()
    }

    /// Returns the position up to which a partition's records are in state.
    pub fn applied(&self, partition: PartitionId) -> Position {
        Position(self.applied.of(partition))
    }

    /// Reads persons.
    pub const fn persons(&self) -> Persons<'_> {
        Persons(&self.reader)
    }

    /// Reads histories, and whom they are about.
    pub const fn histories(&self) -> Histories<'_> {
        Histories(&self.reader)
    }

    /// Reads messages that are not terminal.
    pub const fn outbox(&self) -> Outbox<'_> {
        Outbox(&self.reader)
    }

    /// Reads claimed names.
    pub const fn claims(&self) -> ClaimedNames<'_> {
        ClaimedNames(&self.reader)
    }

    /// Reads changes of the catalogue.
    pub const fn catalogue(&self) -> CatalogueChanges<'_> {
        CatalogueChanges {
            reader: &self.reader,
            past: &self.past,
        }
    }

    /// Reads counters of campaigns.
    pub const fn counters(&self) -> Counters<'_> {
        Counters(&self.reader)
    }

    /// Reads suppression lists.
    pub const fn suppressions(&self) -> Suppressions<'_> {
        Suppressions(&self.reader)
    }

    /// Reads mails after their delivery.
    pub const fn mails(&self) -> Mails<'_> {
        Mails(&self.reader)
    }

    /// Reads first visits and leads.
    pub const fn leads(&self) -> Leads<'_> {
        Leads(&self.reader)
    }

    /// Reads the statistics.
    pub const fn cells(&self) -> Cells<'_> {
        Cells(&self.reader)
    }

    /// Reads contacts.
    pub const fn contacts(&self) -> Contacts<'_> {
        Contacts(&self.reader)
    }

    /// Reads what workflows have under way.
    pub const fn workflows(&self) -> Workflows<'_> {
        Workflows(&self.reader)
    }

    /// Reads carts.
    pub const fn carts(&self) -> Carts<'_> {
        Carts(&self.reader)
    }

    /// Reads timers.
    pub const fn timers(&self) -> Timers<'_> {
        Timers(&self.reader)
    }

    /// Reads what was set aside.
    pub const fn asides(&self) -> Asides<'_> {
        Asides(&self.reader)
    }
}
