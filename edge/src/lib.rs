//! edge
pub mod client;
pub mod clock;
pub mod demo;
pub mod logging;
