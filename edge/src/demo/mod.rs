//! demo
pub mod dns;
