//! HTTP/1.1, as much of it as this listener needs and not a byte more lenient.
//!
//! What is served are small answers to small requests without state, on connections that stay open. So a request is read
//! into one buffer, looked at where it lies, and answered out of another; nothing is allocated for either in between.
//! Where RFC 9112 lets a recipient choose between repair and refusal, this one refuses: whoever stands before us and
//! repairs differently cannot make us see a request that it did not (request smuggling).
//!
//! Deliberately absent: other versions, trailers, upgrades, content codings, ranges, and bodies beyond a few KiB.

pub(crate) mod chunked;
pub(crate) mod connection;
pub(crate) mod date;
pub(crate) mod head;

pub(crate) use head::{Head, Method};
