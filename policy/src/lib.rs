//! The decisions, all pure: may we send, and what; nothing here does I/O, spawns, or reads a clock.
//!
//! Facts, time and randomness are arguments, so every rule can be proven with tables, properties and simulated time.

pub mod agent;
pub mod calendar;
pub mod cart;
pub mod contact;
pub mod decide;
pub mod filter;
pub mod hits;
pub mod leads;
pub mod offers;
pub mod pacing;
pub mod person;
pub mod reply;
pub mod retry;
pub mod settings;
pub mod template;
pub mod workflow;

/// The stack of every thread on which what shops wrote is compiled, asked, rendered or dropped: templates and filters.
///
/// Their depth is bounded before they are parsed, and this stack holds the deepest that is admitted, twice over: tests run
/// it on half of this without optimization. A thread that uses up its stack ends the process, so no such thread is left to
/// a default that an environment variable may lower.
pub const STACK_BYTES: usize = 2 * 1024 * 1024;

pub use decide::{Decision, Draft, MessageFacts, OrderFacts, decide_message, decide_order};
pub use person::PersonState;
pub use settings::{Config, Settings};
