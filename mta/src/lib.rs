//! The mail engine: makes mails, queues them per destination site, and delivers them.
//!
//! ```text
//! decision ─► submit: render, sign, spool ─► queue ─► session ─► receiver's MX
//!                                              ▲         │ claim durable, then the final dot
//!                                              └─ later ─┴─► AttemptClaimed, AttemptEnded, through the ledger
//! ```
//!
//! - [`submit`] makes the bytes of a decided mail on its own threads.
//! - `queue` is a plain value: domains, sites, what waits and why, what is to be done next.
//! - `session` is a task per connection, around the machine of [`smtp::client`].
//! - `resolver` asks DNS where mail goes; [`address`] says what is never connected to.
//! - [`webhook`] calls shops' pages for workflows.
//! - [`world`] is what stands between all this and the operating system.
//! - [`Mta`] ties them together and is what the runners and the admin listener see.
//!
//! Every message that is queued ends in an event: delivered, failed, in doubt, expired or withdrawn. Which one follows
//! from replies is decided by `policy`.

pub mod address;
pub mod ledger;
pub mod ready;
pub mod submit;

mod chance;
pub mod delivery;
mod engine;
mod hosts;
mod metrics;
mod queue;
mod resolver;
mod session;
mod settings;
mod shared;
mod tls;
pub mod webhook;
pub mod world;

pub use delivery::Delivery;
pub use engine::{Deps, Mta, StartError};
pub use resolver::ResolverError;
pub use settings::{Config, Route, Settings};
