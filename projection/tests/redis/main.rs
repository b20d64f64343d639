//! The projector against real redis-servers, and one that plays a script: whatever happens to Redis, in the end it holds
//! what state holds, and each event once.
//!
//! Each test makes a load, harms Redis meanwhile, and then reads both sides completely (`support/compare.rs`).
//! `REDIS_KILLS` and `REDIS_STOP_SECONDS` make the long runs of `make prove`.

#![allow(
    unreachable_pub,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "tests state expectations"
)]

#[path = "../../../store/tests/common/mod.rs"]
mod common;
mod support;

mod cluster;
mod failover;
mod memory;
mod outages;
mod replies;
mod restarts;
mod secured;
mod strangers;
