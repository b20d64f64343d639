//! The process: arguments, settings, wiring, drain, the real clock, and the demo.
//!
//! `edge` is the only crate that reads arguments, environment and signals, and the only one that knows all the others. It
//! is a library beside the binary so that the tests drive the same client, DNS server and sink as the demo.

pub mod cli;
pub mod client;
pub mod clock;
pub mod command;
pub mod demo;
pub mod logging;
mod metrics;
pub mod service;
pub mod settings;
pub mod standing;
pub mod story;
pub mod watch;
