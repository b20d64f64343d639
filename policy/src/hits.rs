//! People and machines: what a mail's opens and clicks are taken for.
//!
//! Gateways open every mail and follow every link, proxies fetch pixels that nobody looks at, and some check a link in the
//! very second in which a person follows it. One hit alone does not tell; the hits around it do. So a [`MailState`] keeps a mail's
//! hits, and each is judged twice by all that is known then: provisionally [`PROVISIONAL_AFTER`] it was made, finally
//! [`FINAL_AFTER`] it was made. A final verdict stands.
//!
//! The way of a hit: [`MailState::record`] keeps it and says what to count; when [`MailState::due`] says so,
//! [`MailState::judge`] tells which verdicts are new or changed, and [`MailState::apply`] folds them once they are journaled and says
//! what moves in the counts. A landing goes the same way: [`MailState::land`], [`MailState::decidable`],
//! [`MailState::decided`], [`MailState::settleable`], [`MailState::settled`].
//!
//! Judging is pure. The same hits, landings, rules and time give the same verdicts, in whatever order the hits came in; what was made
//! longer than [`FINAL_AFTER`] after a hit says nothing about it, so judging the journal again later gives the same as then. What
//! speaks for a machine stands in [`Rules`], which are versioned data (`policy/rules/verdicts.toml`).
//!
//! Nothing here grows without bound: a mail keeps [`HITS_MAX`] hits and [`LANDINGS_MAX`] landings, and the rest as sums.

mod hit;
mod judge;
mod landing;
mod landings;
mod mail;
mod rules;
mod unique;

use std::time::Duration;

pub use hit::{Change, Hit, Recorded};
pub use judge::class_of;
pub use landing::{ClickSeen, Decidable, Landing, Settleable};
pub use mail::{MailState, Shown};
pub use rules::{Faults, Rules};

/// How long after a hit it is judged for the first time: scanners follow within seconds of each other.
pub const PROVISIONAL_AFTER: Duration = Duration::from_mins(2);
/// How long after a hit it is judged for good; also how long after its click a landing can be one.
pub const FINAL_AFTER: Duration = Duration::from_mins(30);
/// How many hits of a mail are kept in detail. A person makes a few, a gateway some for each link.
pub const HITS_MAX: usize = 64;
/// How many landings of a mail are kept.
pub const LANDINGS_MAX: usize = 16;
