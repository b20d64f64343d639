//! Contacts, workflows, reminders and their timers on real runners and a real store, with a clock that is set.

#![allow(clippy::disallowed_methods, reason = "what is measured here takes real time")]
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    unreachable_pub,
    reason = "tests state expectations"
)]

#[path = "../fixture/mod.rs"]
mod fixture;

mod consents;
mod crashes;
mod dear;
mod faults;
mod months;
mod reminders;
mod steps;
mod storm;
mod sweeps;
