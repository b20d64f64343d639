//! SMTP (RFC 5321), client and server side, as state machines over bytes.
//!
//! Nothing here does I/O or reads a clock. A driver owns the socket and the time: it feeds received bytes to a machine,
//! writes out what the machine has to say, polls events, and wakes the machine when its deadline has passed. The same
//! machine therefore runs over TCP, TLS, a transcript in a file, or one byte at a time.
//!
//! - [`client::Client`] sends messages: pipelined where the peer offers it (RFC 2920), with the next message's envelope
//!   in the same write as the previous one's final dot, and with no final dot before the proof that the message and
//!   this session's claim on it are durable.
//! - [`server::Server`] receives them; whoever drives it chooses each reply. It is the receiving side of tests and of
//!   the demo.
//! - [`reply::ReplyParser`] reads replies within bounds, whatever the peer sends.
//! - [`body::Body`] is a message that may be put on the wire: no bare CR or LF, dot-stuffed on the way out.
//!
//! Deliberately absent: `BDAT`, `AUTH` and `SMTPUTF8` (envelopes are ASCII by construction).

pub mod body;
pub mod client;
pub mod reply;
pub mod server;
