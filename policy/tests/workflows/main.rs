//! Workflows in a small simulated world: one contact of one shop, virtual time, every row encoded and decoded between any two steps.

#![allow(clippy::unwrap_used, reason = "tests state their expectations by unwrapping")]

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
