//! Made mails, judged from outside: by dkimpy and mail-auth (signatures), by Python's email package (MIME), and by eye
//! (one golden mail).

#![allow(clippy::disallowed_methods, reason = "what is measured here takes real time")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::missing_panics_doc,
    unreachable_pub,
    reason = "a test states its expectations by unwrapping"
)]

mod carts;
mod content;
mod fixture;
mod golden;
mod injection;
mod mime;
mod pool;
mod python;
mod signatures;
