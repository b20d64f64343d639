//! Makes mails: renders what was decided, signs it, spools it, hands it on.
//!
//! ```text
//! decision ─► Submit::submit ─► line ─► mta-sign-N: render ─► build ─► sign ─► Spool::append ─► Ready
//!                                                     └─ cannot be made ─► AttemptEnded { Failed { Internal } }
//! ```
//!
//! - [`pool`](Submit) owns the line and the threads. Nothing waits on the way in: admissions bound what is here. The
//!   line ([`queue`]) lets orders go first and the shops take turns by the time that their mails took.
//! - [`Composer`] makes the bytes of one mail: its content (the built-in offer, a shop's template, or what the caller
//!   wrote), its links and pixel ([`Tracking`](types::event::Tracking) decides whom they name), its header fields
//!   ([`mime`]) and its signatures ([`dkim`]).
//!
//! The same [`Mail`](types::port::Mail) comes to the same bytes, whenever it is made: ids, date and boundary are in the
//! plan, and nothing is read from a clock. So a crash between decision and spool costs nothing but time.
//!
//! Whoever wrote it, a mail is made in time that is linear in its bytes: what a caller sends is read by code that looks
//! at each byte a bounded number of times. Tests hold the shape of the text against slower readings of the same rules, and
//! `benches/submit.rs` makes mails of the worst texts at two sizes.
//!
//! What cannot be made, because the catalogue lacks what the plan names or a template does not render, fails for good and
//! says why. A missing key is made; nothing ever goes out unsigned.

mod compose;
mod content;
pub mod dkim;
mod footer;
mod links;
mod metrics;
pub mod mime;
pub mod plain;
mod pool;
pub mod queue;
mod settings;
mod turns;

pub use compose::{ComposeError, Composer, SignedMessage};
pub use dkim::{DkimRecord, KeyError, dkim_records};
pub use pool::{Deps, StartError, Submit};
pub use settings::{Config, Settings};
