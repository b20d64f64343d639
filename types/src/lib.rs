//! The vocabulary that all of Staffetta shares: ids, addresses, money, time, events, tokens and ports.
//!
//! Everything here is a plain value. Nothing does I/O, spawns, or reads a clock: the time is always an argument
//! (see [`time::Clock`] for the port through which the binary supplies it). Values are parsed at the edge and are
//! valid from then on, so code further in never checks an address or a currency again.

pub mod address;
pub mod calendar;
pub mod cart;
pub mod catalogue;
pub mod contact;
pub mod event;
pub mod id;
pub mod json;
pub mod locale;
pub mod money;
pub mod network;
pub mod order;
pub mod port;
pub mod provider;
pub mod setting;
pub mod tally;
pub mod text;
pub mod time;
pub mod token;
pub mod withdrawals;
pub mod workflow;
