//! What a shop knows of a contact, and what of it reaches the person.

#![allow(clippy::unwrap_used, reason = "tests state their expectations by unwrapping")]

mod activity;
mod consents;
mod known;
