//! Attempts to deliver: their beginning, their end, and what stood in the way.

use minicbor::{Decode, Encode};

use crate::id::{Attempt, MessageId};
use crate::text::Line;
use crate::time::Timestamp;

/// A session took a message. After a crash, a claim without an end means `in_doubt`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct AttemptClaimed {
    /// Which message.
    #[n(0)]
    pub message: MessageId,
    /// Which attempt this is.
    #[n(1)]
    pub attempt: Attempt,
}

/// How an attempt ended, or how the message's life did.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct AttemptEnded {
    /// Which message.
    #[n(0)]
    pub message: MessageId,
    /// Which attempt it was.
    #[n(1)]
    pub attempt: Attempt,
    /// What came of it.
    #[n(2)]
    pub outcome: Outcome,
    /// What the far side, the resolver or we ourselves said, printable ASCII, at most 512 bytes.
    #[n(3)]
    pub reply: Line<512>,
    /// Who was asked: host name and address; empty when nobody was reached.
    #[n(4)]
    pub peer: Line<300>,
    /// The TLS version, or `None` in the clear.
    #[n(5)]
    pub tls: Option<Line<16>>,
}

/// What came of an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub enum Outcome {
    /// The receiver answered the final dot with 2xx. Terminal.
    #[n(0)]
    Delivered,
    /// To be tried again, not before `until`.
    #[n(1)]
    Deferred {
        /// The earliest next attempt.
        #[n(0)]
        until: Timestamp,
        /// Why.
        #[n(1)]
        class: FailureClass,
    },
    /// Never to be tried again. Terminal.
    #[n(2)]
    Failed {
        /// Why.
        #[n(0)]
        class: FailureClass,
    },
    /// The final dot was, or may have been, sent and no reply is known (RFC 1047). Offers stay here: terminal for them.
    /// Others are tried once more; the second time that this comes of them, it is terminal.
    #[n(3)]
    InDoubt {
        /// When it is tried once more with the same `Message-ID`; `None` means held.
        #[n(0)]
        retry: Option<Timestamp>,
    },
    /// Its time was over before anyone took it. Terminal.
    #[n(4)]
    Expired,
    /// Withdrawn while queued: the person unsubscribed or was suppressed. Terminal.
    #[n(5)]
    Withdrawn,
}

impl Outcome {
    /// Returns whether nothing more happens to the message.
    pub const fn is_terminal(self) -> bool {
        match self {
            Self::Delivered | Self::Failed { .. } | Self::Expired | Self::Withdrawn | Self::InDoubt { retry: None } => {
                true
            }
            Self::Deferred { .. } | Self::InDoubt { retry: Some(_) } => false,
        }
    }

    /// Returns the outcome's name, as in API answers and metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Delivered => "delivered",
            Self::Deferred { .. } => "deferred",
            Self::Failed { .. } => "failed",
            Self::InDoubt { .. } => "in_doubt",
            Self::Expired => "expired",
            Self::Withdrawn => "withdrawn",
        }
    }
}

/// What stood in the way of a delivery. A closed set: a metric label.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Encode, Decode)]
#[cbor(index_only)]
pub enum FailureClass {
    /// The mailbox does not exist or is closed.
    #[n(0)]
    BadMailbox,
    /// The domain does not exist or takes no mail.
    #[n(1)]
    BadDomain,
    /// The mailbox is full.
    #[n(2)]
    Quota,
    /// The receiver asks to come again later (greylisting).
    #[n(3)]
    Greylisted,
    /// Too many connections for the receiver.
    #[n(4)]
    ConnectionLimit,
    /// Too many messages for the receiver.
    #[n(5)]
    RateLimit,
    /// The receiver dislikes our address or domain.
    #[n(6)]
    Reputation,
    /// The receiver misses SPF, DKIM or DMARC.
    #[n(7)]
    Authentication,
    /// The receiver dislikes the message itself.
    #[n(8)]
    Content,
    /// Any other refusal by the receiver.
    #[n(9)]
    Policy,
    /// DNS did not answer.
    #[n(10)]
    Dns,
    /// No connection, or it broke before the final dot.
    #[n(11)]
    Network,
    /// TLS could not be set up where it is demanded.
    #[n(12)]
    Tls,
    /// The peer broke the protocol.
    #[n(13)]
    Protocol,
    /// Our own fault: rendering or signing was not possible.
    #[n(14)]
    Internal,
    /// The destination's address is one that we never connect to (loopback, private, metadata).
    #[n(15)]
    ForbiddenAddress,
}

impl FailureClass {
    /// Every class, in the order of the codes.
    pub const ALL: [Self; 16] = [
        Self::BadMailbox,
        Self::BadDomain,
        Self::Quota,
        Self::Greylisted,
        Self::ConnectionLimit,
        Self::RateLimit,
        Self::Reputation,
        Self::Authentication,
        Self::Content,
        Self::Policy,
        Self::Dns,
        Self::Network,
        Self::Tls,
        Self::Protocol,
        Self::Internal,
        Self::ForbiddenAddress,
    ];

    /// Returns the class's name, as in API answers and metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::BadMailbox => "bad_mailbox",
            Self::BadDomain => "bad_domain",
            Self::Quota => "quota",
            Self::Greylisted => "greylisted",
            Self::ConnectionLimit => "connection_limit",
            Self::RateLimit => "rate_limit",
            Self::Reputation => "reputation",
            Self::Authentication => "authentication",
            Self::Content => "content",
            Self::Policy => "policy",
            Self::Dns => "dns",
            Self::Network => "network",
            Self::Tls => "tls",
            Self::Protocol => "protocol",
            Self::Internal => "internal",
            Self::ForbiddenAddress => "forbidden_address",
        }
    }
}
