//! What of our own caused a message.

use minicbor::{Decode, Encode};

use crate::cart::Reminder;
use crate::id::EventId;

/// What of our own caused a message, when no request of the shop did.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub enum Origin {
    /// A step of a workflow.
    #[n(0)]
    Workflow {
        /// Which workflow.
        #[n(0)]
        workflow: crate::id::WorkflowNumber,
        /// Which step.
        #[n(1)]
        step: crate::text::Slug,
        /// Which instance; `None` if it enters in the same turn.
        #[n(2)]
        instance: Option<EventId>,
    },
    /// A reminder of a cart.
    #[n(1)]
    Cart {
        /// Which cart.
        #[n(0)]
        cart: EventId,
        /// Which reminder.
        #[n(1)]
        reminder: Reminder,
        /// To whom.
        #[n(2)]
        purpose: ReminderPurpose,
    },
}

impl Origin {
    /// Returns whether the message goes to the shop itself, as a copy or a test of what a buyer gets: it names no buyer
    /// to the tracker, asks for no consent and counts nowhere.
    pub const fn is_for_shop(&self) -> bool {
        let Self::Cart { purpose, .. } = self else {
            return false;
        };
        matches!(purpose, ReminderPurpose::Copy | ReminderPurpose::Test)
    }
}

/// To whom a reminder goes, and what for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Encode, Decode)]
#[cbor(index_only)]
pub enum ReminderPurpose {
    /// To the buyer.
    #[n(0)]
    Buyer,
    /// To the shop: a copy. It has no pixel, no followed links and no unsubscribe token, and counts nowhere.
    #[n(1)]
    Copy,
    /// To the shop: a test, as a copy.
    #[n(2)]
    Test,
}
