//! How a session goes on and ends: steps, ends of messages, and what the driver is told.

use crate::reply::{Capabilities, NotAReply, Reply};

/// Where in the dialogue something happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Step {
    /// The server's first line.
    Greeting,
    /// EHLO or HELO.
    Hello,
    /// STARTTLS, and the handshake.
    StartTls,
    /// Between transactions.
    Idle,
    /// RSET.
    Rset,
    /// MAIL FROM.
    Mail,
    /// RCPT TO.
    Rcpt,
    /// DATA.
    Data,
    /// The message's bytes before the final dot.
    Body,
    /// The final dot.
    Dot,
    /// QUIT.
    Quit,
}

impl Step {
    /// Returns the step's name, as in logs and rules.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Greeting => "greeting",
            Self::Hello => "hello",
            Self::StartTls => "starttls",
            Self::Idle => "idle",
            Self::Rset => "rset",
            Self::Mail => "mail",
            Self::Rcpt => "rcpt",
            Self::Data => "data",
            Self::Body => "body",
            Self::Dot => "dot",
            Self::Quit => "quit",
        }
    }
}

/// What came of a message that was pushed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// The final dot was answered with 2xx.
    Accepted(Reply),
    /// The peer refused it, at this step, with 4xx or 5xx.
    Refused {
        /// The command that was refused.
        at: Step,
        /// How.
        reply: Reply,
    },
    /// The peer cannot take it, so it was not tried.
    Unsuitable(Unsuitable),
    /// The session ended before its final dot. The peer has not got it.
    Interrupted {
        /// How far it came; [`Step::Idle`] means that nothing of it was sent.
        at: Step,
    },
    /// The final dot was, or may have been, sent, and the session ended without a reply to it.
    InDoubt,
}

/// Why a peer cannot take a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unsuitable {
    /// Larger than the peer's SIZE.
    #[error("the message has {size} bytes, the receiver takes {limit}")]
    TooLarge {
        /// The message's size.
        size: usize,
        /// The peer's limit.
        limit: u64,
    },
    /// Has bytes above 127, and the peer does not offer 8BITMIME.
    #[error("the message has 8-bit bytes, which the receiver does not take")]
    EightBit,
}

/// Why a session is over.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Closing {
    /// QUIT was answered, or need not be.
    #[error("quit")]
    Quit,
    /// The peer refused the session itself.
    #[error("{at:?} refused: {reply}")]
    Refused {
        /// The greeting, EHLO, or any step in case of 421.
        at: Step,
        /// How.
        reply: Reply,
    },
    /// The peer closed the connection, or it broke.
    #[error("connection closed at {at:?}")]
    Closed {
        /// Where.
        at: Step,
    },
    /// The peer did not answer in time.
    #[error("no answer in time at {at:?}")]
    Timeout {
        /// Where.
        at: Step,
    },
    /// The peer broke the protocol.
    #[error("protocol broken at {at:?}: {fault}")]
    Protocol {
        /// Where.
        at: Step,
        /// How.
        fault: ProtocolFault,
    },
    /// TLS could not be set up.
    #[error("TLS failed: {0}")]
    Tls(String),
    /// Our side dropped it.
    #[error("aborted")]
    Aborted,
}

/// How a peer broke the protocol.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProtocolFault {
    /// Not a reply, or one beyond all bounds.
    #[error(transparent)]
    Reply(#[from] NotAReply),
    /// A reply to nothing that was asked.
    #[error("unsolicited reply {0}")]
    Unsolicited(Reply),
    /// A reply that the command cannot have.
    #[error("unexpected reply {0}")]
    Unexpected(Reply),
    /// Bytes behind the reply to STARTTLS: someone tries to slip plain text into the TLS session.
    #[error("plaintext injected behind STARTTLS")]
    Injection,
}

/// What a session tells its driver.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// Start the TLS handshake now, on the raw connection; then [`tls_established`](super::Client::tls_established) or
    /// [`tls_failed`](super::Client::tls_failed).
    StartTls,
    /// Transactions can begin.
    Ready(Capabilities),
    /// The peer takes no envelope before it has answered the final dot before it. The session goes on without.
    AheadRefused(Reply),
    /// A message ended.
    Ended {
        /// Which.
        key: u64,
        /// How.
        end: End,
    },
    /// The session is over; close the connection. Always the last event.
    Closed(Closing),
}
