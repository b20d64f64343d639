//! Workflows in a small simulated world: one contact of one shop, virtual time, every row encoded and decoded between any two steps.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::needless_pass_by_value,
    reason = "tests state their expectations by unwrapping and indexing, and their definitions as literals"
)]

mod checks;
mod entries;
mod examples;
mod exits;
mod options;
mod peers;
mod runs;
mod starts;
mod steps;
mod world;
