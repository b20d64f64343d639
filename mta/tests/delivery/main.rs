//! Delivery over real sockets: against scripted servers that fail in every way, real receivers, and real DNS packets.

#![allow(clippy::disallowed_methods, reason = "what is measured here takes real time")]
#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::cast_precision_loss,
    clippy::float_cmp,
    clippy::format_collect,
    reason = "a test says what it expects"
)]

mod bench;
mod dns;
mod faults;
mod in_turn;
mod misbehaving;
mod queues;
mod real;
mod server;
mod support;
mod tls;
