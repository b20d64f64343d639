//! What a runner writes to state: one turn at a time.

use std::ops::Range;

use fjall::OwnedWriteBatch;
use types::id::MessageId;

use super::table::Read;
use super::tables::Tables;
use super::{
    AsidePut, CartPut, CataloguePut, CellPut, ClaimPut, ContactPut, CounterPut, HistoryPut, LeadPut, MailPut,
    OutboxPut, PersonPut, SuppressionPut, TimerPut, WorkflowPut,
};
use crate::journal::Position;

/// All changes of state that one append of a runner caused. Written whole or not at all.
///
/// A runner hands in one turn for each append, in order, also if nothing changed: the position tells how far its
/// partitions have come.
#[derive(Clone, Debug)]
pub struct Turn {
    /// The runner's partitions.
    pub range: Range<u16>,
    /// The last record of the append; all earlier ones of these partitions are in this turn or in those before.
    pub position: Position,
    /// What changes, in order.
    pub puts: Vec<Put>,
    /// Messages whose spooled bytes nobody needs once this turn is written.
    pub released: Vec<MessageId>,
}

/// What a subject does with its changes.
pub(super) trait Change {
    /// Adds the change to a batch. What it reads must be written before.
    fn add(&self, tables: &Tables, batch: &mut OwnedWriteBatch) -> Read<()>;

    /// Estimates the bytes that the change holds beside itself.
    fn bytes(&self) -> usize {
        0
    }
}

macro_rules! puts {
    ($($(#[$doc:meta])* $subject:ident($change:ty),)*) => {
        /// One change of state.
        #[derive(Clone, Debug)]
        pub enum Put {
            $($(#[$doc])* $subject($change),)*
        }

        impl Put {
            /// Returns the change as its subject deals with it.
            pub(super) fn change(&self) -> &dyn Change {
                match self {
                    $(Self::$subject(change) => change,)*
                }
            }
        }

        $(impl From<$change> for Put {
            fn from(change: $change) -> Self {
                Self::$subject(change)
            }
        })*
    };
}

puts! {
    /// Of a person.
    Person(PersonPut),
    /// Of the history of an order or a mail.
    History(HistoryPut),
    /// Of a message that is not terminal.
    Outbox(OutboxPut),
    /// Of a claimed name.
    Claim(ClaimPut),
    /// Of the catalogue.
    Catalogue(CataloguePut),
    /// Of a campaign's counter.
    Counter(CounterPut),
    /// Of a suppression list.
    Suppression(SuppressionPut),
    /// Of a mail after its delivery.
    Mail(MailPut),
    /// Of a first visit or a lead.
    Lead(LeadPut),
    /// Of the statistics.
    Cell(CellPut),
    /// Of a contact.
    Contact(ContactPut),
    /// Of a workflow under way.
    Workflow(WorkflowPut),
    /// Of a cart.
    Cart(CartPut),
    /// Of a timer.
    Timer(TimerPut),
    /// Of what was set aside.
    Aside(AsidePut),
}

impl Turn {
    /// Returns whether the turn erases what earlier ones wrote.
    pub fn erases(&self) -> bool {
        let erases = |put: &Put| matches!(put, Put::History(HistoryPut::Erase { .. }));
        self.puts.iter().any(erases)
    }

    /// Estimates the bytes that the turn holds while it waits.
    pub(crate) fn bytes(&self) -> usize {
        let puts: usize = self.puts.iter().map(|put| put.change().bytes()).sum();
        puts + (self.puts.len() + 1) * size_of::<Put>()
    }
}
