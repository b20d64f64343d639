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

pub use decide::{Decision, Draft, MessageFacts, OrderFacts, decide_message, decide_order};
pub use person::PersonState;
pub use settings::{Config, Settings};
