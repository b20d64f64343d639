//! Carts that wait to be bought: when a reminder is due, whether it goes out, and what an order has to do with it.
//!
//! # A cart's life
//!
//! ```text
//! CartChanged ──► prepare ──► CartState ──► due ──► timer ──► decide ──► CartDecided ──► CartState ──► due …
//!                 (language,                                  (every rule, at that moment)
//!                  next due)          OrderAccepted ──► ordered ──► CartDecided::Ordered ──► closed
//! ```
//!
//! Each touch starts the clock of both reminders over, except of one that went out: a cart is reminded of once by the
//! first and once by the second. One that was due and did not go out is due again after the next touch. The waits are
//! those that the shop had set when the clock was started; everything else is looked at when the reminder is due.
//!
//! A cart that was ordered is closed. Shops that use one id for all of a customer's carts put other contents under it
//! afterwards: that is a new cart, and both its reminders are open again.
//!
//! # What is recorded
//!
//! [`CartState`] is changed by events alone and reads no clock and no settings: what depends on them (the language, the
//! next reminder) is in the event. The runner that records a `CartChanged` has [`prepare`] fill it in first, and puts
//! [`CartState::due_after`] into each `CartDecided`.

mod check;
mod decide;
mod mail;
mod order;
mod state;

pub use check::{Fault, check};
pub use decide::{CartDecision, CartFacts, LATE_GRACE, OpenCart, ReminderMail, decide};
pub use mail::mail;
pub use order::{ClosedCart, ordered};
pub use state::{CartState, SentReminder, prepare};
