//! What stands in the way of a delivery.

use minicbor::{Decode, Encode};

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

    /// Returns what stood in the way, for people, without a full stop.
    pub const fn sentence(self) -> &'static str {
        match self {
            Self::BadMailbox => "the mailbox does not exist or is closed",
            Self::BadDomain => "the domain does not exist or takes no mail",
            Self::Quota => "the mailbox is full",
            Self::Greylisted => "the receiver asks to come again later",
            Self::ConnectionLimit => "too many connections for the receiver",
            Self::RateLimit => "too many messages for the receiver",
            Self::Reputation => "the receiver dislikes our address or domain",
            Self::Authentication => "the receiver misses SPF, DKIM or DMARC",
            Self::Content => "the receiver dislikes the message",
            Self::Policy => "refused by the receiver",
            Self::Dns => "DNS did not answer",
            Self::Network => "no connection, or it broke before the final dot",
            Self::Tls => "TLS could not be set up",
            Self::Protocol => "the receiver broke the protocol",
            Self::Internal => "rendering or signing was not possible",
            Self::ForbiddenAddress => "the destination is an address that we never connect to",
        }
    }
}
