//! The workflow engine: decides what an instance does by an event, a timer or an answer, as one record. Pure: no I/O, no clock, no chance.
//!
//! | file | is |
//! |---|---|
//! | `check.rs` | every fault of a definition, by its place |
//! | `compiled.rs` | one version of a workflow, its filters compiled |
//! | `world.rs` | what the engine reads: contact, person, catalogue, now, what became of mails; and its inputs |
//! | `instance.rs` | a contact's way through a workflow: the fold of its records |
//! | `enter.rs`, `start.rs` | who comes in, by which start |
//! | `resume.rs` | how an instance goes on, or leaves |
//! | `way.rs` | a way, as a machine: it asks for mails, and ends with records and calls |
//! | `walk.rs`, `send.rs`, `wait.rs`, `call.rs` | the steps |
//! | `rezone.rs` | waits whose zone changed |
//! | `trace.rs` | what a record counts |
//!
//! # How an instance goes on
//!
//! An instance stands at a [`types::event::Place`]: it waits at one step, or has left. [`enter()`] and [`resume()`] return a [`Way`], which is
//! a machine. The caller drives it:
//!
//! 1. [`Way::go`] returns what the way wants.
//! 2. [`Want::Send`]: the caller decides on the mail, answers with [`Way::sent`], and calls [`Way::go`] again. It records nothing yet.
//! 3. [`Want::Done`]: the caller appends the records of the allowed mails and then those of the way, in one append. Then it makes the calls.
//!
//! So a way that breaks, panics or is dropped before it is done has had no effect. Only the records change an instance
//! ([`Instance::apply`]). Steps go in their order and jumps lead forward, so one reaction ends after at most 64 steps.
//!
//! Time: a wait is counted from when something happened, never from when it was worked on: an event's own time, a hit's, the
//! acceptance of a mail, the instant at which the wait before it was due. What is due in the past goes on at once.
//!
//! Off: nobody enters, nothing is sent. An instance whose time comes then waits for the workflow to be switched on (`Input::On`). It then
//! goes on from its step, or leaves if that is later than the workflow allows. What ends an instance ends it also while the workflow is off.
//!
//! # Faults
//!
//! A filter that cannot be answered stops the walk before its step.
//!
//! - If the walk has an allowed mail, the way is done there: its record says how far it came, and a timer tries the step again. So the mail
//!   goes out once.
//! - If it has none, the way breaks and leaves nothing. [`failed`] makes the record of that: it puts a timer off twice, and then the instance
//!   leaves as broken.

mod addressee;
mod call;
mod check;
mod compiled;
mod enter;
mod filters;
mod instance;
mod log;
mod resume;
mod rezone;
mod send;
mod start;
mod trace;
mod wait;
mod walk;
mod way;
mod world;

pub use call::ANSWER_WITHIN;
pub use check::{Completeness, Fault, Vocabulary, check};
pub use compiled::Compiled;
pub use enter::enter;
pub use instance::{Instance, SENDS_KEPT, StepSent};
pub use resume::{AGAIN_AFTER, failed, resume};
pub use rezone::rezone;
pub use send::BUSY_WAIT;
pub use start::listens;
pub use trace::{Count, counts};
pub use way::{CallBody, Done, Send, Sent, Want, Way, Webhook};
pub use world::{Broke, CartTurn, Engagement, Happened, Input, MailHit, Mails, Trigger, What, World, Zones};
