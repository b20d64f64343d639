//! The workflow engine: from an event, a timer or an answer to what an instance does, as one record. Pure: no I/O, no clock, no chance.
//!
//! | file | is |
//! |---|---|
//! | `check.rs` | every fault of a definition, by its place |
//! | `compiled.rs` | one version of a workflow, its filters compiled |
//! | `world.rs` | what the engine may know: contact, person, catalogue, now, what became of mails; and what it may be told |
//! | `instance.rs` | a contact's way through a workflow: the fold of its records |
//! | `enter.rs`, `start.rs` | who comes in, by which start |
//! | `resume.rs` | how an instance goes on, or leaves |
//! | `way.rs` | a way under way: what it wants, a mail or a call, and what it came to |
//! | `walk.rs`, `send.rs`, `wait.rs`, `call.rs` | the steps |
//! | `rezone.rs` | waits whose zone changed |
//! | `trace.rs` | what a record counts |
//!
//! # How an instance goes on
//!
//! An instance stands at a [`types::event::Place`]: it waits at one step, or has left. [`enter()`] and [`resume()`] return a [`Way`], a
//! machine: it says which mail it wants, is told what becomes of it, and in the end has the records to append, in one append behind those of
//! its mails; nothing else changes an instance ([`Instance::apply`]). Nothing has happened until then, so a way that breaks has had no effect. Steps go in their order and jumps lead forward, so one reaction ends after at most 64 steps.
//!
//! Time: a wait is counted from when something happened, never from when it was worked on: an event's own time, a hit's, the
//! acceptance of a mail, the instant at which the wait before it was due. What is due in the past goes on at once.
//!
//! Off: nobody comes in, nothing is sent; an instance whose time comes then waits to be switched on (`Input::On`), and goes on from
//! its step, or leaves if that is later than the workflow allows. What ends an instance ends it then too.
//!
//! # Faults
//!
//! A filter that cannot be answered stops the walk before its step. If something was sent in the same walk, the record says how far it
//! came, and the step is tried by a timer of its own: the mail goes, and is not sent again. [`failed`] makes the record for a walk that could
//! not go on: it puts a timer off twice, and then sets the instance aside.

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

pub use check::{Completeness, Fault, Vocabulary, check};
pub use compiled::Compiled;
pub use enter::enter;
pub use instance::{Instance, SENDS_KEPT, StepSent};
pub use resume::{AGAIN_AFTER, failed, resume};
pub use rezone::rezone;
pub use send::BUSY_WAIT;
pub use start::listens;
pub use trace::{Count, counts};
pub use way::{Done, Send, Sent, Told, Want, Way, Webhook};
pub use world::{Broke, CartTurn, Engagement, Happened, Input, MailHit, Mails, Trigger, What, World, Zones};
