//! Everything that happens, as the journal keeps it.
//!
//! An [`Event`] is a kind number, which stands in the record's header, and a payload: a CBOR map with integer keys
//! (minicbor). The rules of evolution: a key or kind number, once used, is never given to anything else; a new field is
//! optional and skipped by older readers; records are copied as bytes, never decoded and written again, so fields from
//! the future survive; an unknown kind refuses the start. `docs/formats/journal.md` draws the bytes.

use minicbor::{Decode, Encode};
use serde::Serialize;

use crate::catalogue::{ApiKey, CampaignSpec, ShopSpec, TemplateSpec};
use crate::id::{Attempt, CampaignNumber, EventId, MessageId, PersonKey, ShopNumber};
use crate::locale::Language;
use crate::money::Money;
use crate::order::{MessageRequest, Order, Stream};
use crate::text::{Line, Slug};
use crate::time::Timestamp;

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A shop reported an order.
    OrderAccepted(Box<OrderAccepted>),
    /// A shop asked for a plain send.
    MessageAccepted(Box<MessageAccepted>),
    /// Policy decided what an order or a plain send causes.
    Decided(Box<Decided>),
    /// A session took a message and may send its final dot from now on.
    AttemptClaimed(AttemptClaimed),
    /// An attempt, or the message's life, ended.
    AttemptEnded(Box<AttemptEnded>),
    /// A shop, campaign, template or key changed.
    CatalogueChanged(Box<CatalogueChanged>),
    /// A person was put on, or taken off, a suppression list.
    SuppressionChanged(SuppressionChanged),
    /// A person unsubscribed by a mail's link or header.
    Unsubscribed(Unsubscribed),
    /// A mail's pixel was fetched.
    Opened(Opened),
    /// A mail's link was followed.
    Clicked(Clicked),
}

/// Why a record's payload is not the event that its header names.
#[derive(Debug, thiserror::Error)]
pub enum EventError {
    /// Written by a newer version; starting would drop what it means.
    #[error("event kind {0} is unknown: the data was written by a newer version")]
    UnknownKind(u16),
    /// Not the CBOR that this kind has.
    #[error("event kind {kind} has a malformed payload: {source}")]
    Malformed {
        /// The kind in the header.
        kind: u16,
        /// What the decoder says.
        #[source]
        source: minicbor::decode::Error,
    },
}

impl Event {
    /// Returns the kind number that the record's header carries.
    pub const fn kind(&self) -> u16 {
        match self {
            Self::OrderAccepted(_) => 1,
            Self::MessageAccepted(_) => 2,
            Self::Decided(_) => 3,
            Self::AttemptClaimed(_) => 4,
            Self::AttemptEnded(_) => 5,
            Self::CatalogueChanged(_) => 6,
            Self::SuppressionChanged(_) => 7,
            Self::Unsubscribed(_) => 8,
            Self::Opened(_) => 9,
            Self::Clicked(_) => 10,
        }
    }

    /// Appends the payload to `out`.
    pub fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Self::OrderAccepted(event) => minicbor::encode(event, out),
            Self::MessageAccepted(event) => minicbor::encode(event, out),
            Self::Decided(event) => minicbor::encode(event, out),
            Self::AttemptClaimed(event) => minicbor::encode(event, out),
            Self::AttemptEnded(event) => minicbor::encode(event, out),
            Self::CatalogueChanged(event) => minicbor::encode(event, out),
            Self::SuppressionChanged(event) => minicbor::encode(event, out),
            Self::Unsubscribed(event) => minicbor::encode(event, out),
            Self::Opened(event) => minicbor::encode(event, out),
            Self::Clicked(event) => minicbor::encode(event, out),
        }
        .expect("writing CBOR to a vector cannot fail");
    }

    /// Reads the payload of an event of this kind.
    pub fn decode(kind: u16, payload: &[u8]) -> Result<Self, EventError> {
        let event = match kind {
            1 => minicbor::decode(payload).map(|event| Self::OrderAccepted(Box::new(event))),
            2 => minicbor::decode(payload).map(|event| Self::MessageAccepted(Box::new(event))),
            3 => minicbor::decode(payload).map(|event| Self::Decided(Box::new(event))),
            4 => minicbor::decode(payload).map(Self::AttemptClaimed),
            5 => minicbor::decode(payload).map(|event| Self::AttemptEnded(Box::new(event))),
            6 => minicbor::decode(payload).map(|event| Self::CatalogueChanged(Box::new(event))),
            7 => minicbor::decode(payload).map(Self::SuppressionChanged),
            8 => minicbor::decode(payload).map(Self::Unsubscribed),
            9 => minicbor::decode(payload).map(Self::Opened),
            10 => minicbor::decode(payload).map(Self::Clicked),
            unknown => return Err(EventError::UnknownKind(unknown)),
        };
        event.map_err(|source| EventError::Malformed { kind, source })
    }
}

/// A shop reported an order; it carries the claims that make it happen once.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct OrderAccepted {
    /// Who reported it.
    #[n(0)]
    pub shop: ShopNumber,
    /// Whose it is.
    #[n(1)]
    pub person: PersonKey,
    /// The order.
    #[n(2)]
    pub order: Order,
    /// What no other request may claim from now on.
    #[n(3)]
    pub claims: Vec<Claim>,
}

/// A shop asked for a plain send; it carries the claims that make it happen once.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct MessageAccepted {
    /// Who asked.
    #[n(0)]
    pub shop: ShopNumber,
    /// Who the recipient is.
    #[n(1)]
    pub person: PersonKey,
    /// What was asked.
    #[n(2)]
    pub request: MessageRequest,
    /// What no other request may claim from now on.
    #[n(3)]
    pub claims: Vec<Claim>,
}

/// A name that one request holds for at least 72 hours: of an order, or an `Idempotency-Key`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Claim {
    /// SHA-256, 16 bytes kept, of what is claimed: kind, owner and name, length-prefixed.
    #[cbor(n(0), with = "minicbor::bytes")]
    pub name: [u8; 16],
    /// SHA-256, 16 bytes kept, of the request's canonical content: another body under the same name is a conflict.
    #[cbor(n(1), with = "minicbor::bytes")]
    pub body: [u8; 16],
}

/// Policy's decision on one cause, with all that carrying it out needs. Recovery applies it and never decides again.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Decided {
    /// The accepted order or message.
    #[n(0)]
    pub cause: EventId,
    /// Whose shop it was.
    #[n(1)]
    pub shop: ShopNumber,
    /// Whose mail it would be.
    #[n(2)]
    pub person: PersonKey,
    /// What is to happen.
    #[n(3)]
    pub verdict: Verdict,
}

/// Whether something is sent.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub enum Verdict {
    /// A mail goes out as planned.
    #[n(0)]
    Send(#[n(0)] Plan),
    /// Nothing goes out; every reason that applied, the weightiest first. Never empty.
    #[n(1)]
    Refuse(#[n(0)] Vec<Refusal>),
}

/// All that rendering and sending a mail needs beside the accepted event and the catalogue of that version.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Plan {
    /// The mail's own id.
    #[n(0)]
    pub message: MessageId,
    /// On which stream it travels.
    #[n(1)]
    pub stream: Stream,
    /// In which language.
    #[n(2)]
    pub language: Language,
    /// The catalogue's version when this was decided: shop, campaigns and templates are read from it.
    #[n(3)]
    pub catalogue: u64,
    /// The `Date:` header.
    #[n(4)]
    pub date: Timestamp,
    /// When it is no longer worth sending.
    #[n(5)]
    pub expires: Timestamp,
    /// How pixel and links are made.
    #[n(6)]
    pub tracking: Tracking,
    /// What is offered, in the order shown; empty for plain messages.
    #[n(7)]
    pub offers: Vec<Offer>,
    /// Whether the order was late, and mailed because the shop says so.
    #[n(8)]
    pub late: bool,
}

/// How a mail's pixel and links are made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Encode, Decode, Serialize)]
#[serde(rename_all = "snake_case")]
#[cbor(index_only)]
pub enum Tracking {
    /// The person agreed: tokens name the message.
    #[n(0)]
    Individual,
    /// No consent: tokens name shop, campaign and day, and identify nobody.
    #[n(1)]
    Aggregate,
}

/// One offer in a mail, with what the auction knew.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, Serialize)]
#[cbor(map)]
pub struct Offer {
    /// Which campaign.
    #[n(0)]
    #[serde(skip)]
    pub campaign: CampaignNumber,
    /// The campaign's id, for people.
    #[n(1)]
    #[serde(rename = "campaign")]
    pub id: Slug,
    /// What a lead from this mail costs; frozen here.
    #[n(2)]
    pub price: Money,
    /// Expected value in millionths of a minor unit, by which it was ranked.
    #[n(3)]
    pub expected_value: u64,
    /// The probability, in millionths, with which this campaign came to this slot.
    #[n(4)]
    pub propensity: u32,
    /// Whether the slot was used to explore.
    #[n(5)]
    pub explored: bool,
}

/// Why no mail is sent. Each has a stable code, seen in API answers and metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Encode, Decode)]
#[cbor(index_only)]
pub enum Refusal {
    /// The order is not confirmed (pending or cancelled).
    #[n(0)]
    NotConfirmed,
    /// The order is a test.
    #[n(1)]
    TestOrder,
    /// No consent to marketing was given.
    #[n(2)]
    NoMarketingConsent,
    /// Consent was refused or withdrawn later than the evidence that came with this order.
    #[n(3)]
    ConsentWithdrawn,
    /// The person is on the shop's suppression list for this stream.
    #[n(4)]
    SuppressedByShop,
    /// The person is on the network's suppression list.
    #[n(5)]
    SuppressedByNetwork,
    /// The person had as many offers as the network's cap allows.
    #[n(6)]
    FrequencyCap,
    /// The order came later than the shop's limit.
    #[n(7)]
    Late,
    /// No campaign matched.
    #[n(8)]
    NoOffers,
    /// The shop has no sender for this stream.
    #[n(9)]
    NoSender,
    /// The shop was deleted.
    #[n(10)]
    ShopDeleted,
    /// The message had expired before it was decided.
    #[n(11)]
    Expired,
}

impl Refusal {
    /// Every reason, in the order of the codes.
    pub const ALL: [Self; 12] = [
        Self::NotConfirmed,
        Self::TestOrder,
        Self::NoMarketingConsent,
        Self::ConsentWithdrawn,
        Self::SuppressedByShop,
        Self::SuppressedByNetwork,
        Self::FrequencyCap,
        Self::Late,
        Self::NoOffers,
        Self::NoSender,
        Self::ShopDeleted,
        Self::Expired,
    ];

    /// Returns the stable code.
    pub const fn code(self) -> &'static str {
        match self {
            Self::NotConfirmed => "not_confirmed",
            Self::TestOrder => "test_order",
            Self::NoMarketingConsent => "no_marketing_consent",
            Self::ConsentWithdrawn => "consent_withdrawn",
            Self::SuppressedByShop => "suppressed_by_shop",
            Self::SuppressedByNetwork => "suppressed_by_network",
            Self::FrequencyCap => "frequency_cap",
            Self::Late => "late",
            Self::NoOffers => "no_offers",
            Self::NoSender => "no_sender",
            Self::ShopDeleted => "shop_deleted",
            Self::Expired => "expired",
        }
    }
}

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

/// A change of the catalogue.
#[expect(clippy::large_enum_variant, reason = "rare, and always boxed in its event")]
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub enum CatalogueChanged {
    /// A shop was put.
    #[n(0)]
    ShopPut {
        /// Under this id.
        #[n(0)]
        id: Slug,
        /// What was put.
        #[n(1)]
        spec: ShopSpec,
    },
    /// A shop was deleted, and its keys with it.
    #[n(1)]
    ShopDeleted {
        /// Which.
        #[n(0)]
        id: Slug,
    },
    /// A campaign was put.
    #[n(2)]
    CampaignPut {
        /// Under this id.
        #[n(0)]
        id: Slug,
        /// What was put.
        #[n(1)]
        spec: CampaignSpec,
    },
    /// A campaign was deleted.
    #[n(3)]
    CampaignDeleted {
        /// Which.
        #[n(0)]
        id: Slug,
    },
    /// A template was put.
    #[n(4)]
    TemplatePut {
        /// The shop it belongs to.
        #[n(0)]
        shop: ShopNumber,
        /// Under this id.
        #[n(1)]
        id: Slug,
        /// What was put.
        #[n(2)]
        spec: TemplateSpec,
    },
    /// A template was deleted.
    #[n(5)]
    TemplateDeleted {
        /// The shop it belongs to.
        #[n(0)]
        shop: ShopNumber,
        /// Which.
        #[n(1)]
        id: Slug,
    },
    /// An API key was made.
    #[n(6)]
    KeyPut {
        /// Its hash and scopes.
        #[n(0)]
        key: ApiKey,
    },
    /// An API key was revoked.
    #[n(7)]
    KeyRevoked {
        /// Whose.
        #[n(0)]
        shop: Slug,
        /// Which.
        #[n(1)]
        id: Slug,
    },
}

/// A person was put on, or taken off, a suppression list.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct SuppressionChanged {
    /// Who.
    #[n(0)]
    pub person: PersonKey,
    /// Whose list; `None` is the network's.
    #[n(1)]
    pub shop: Option<ShopNumber>,
    /// On which stream; `None` is both.
    #[n(2)]
    pub stream: Option<Stream>,
    /// Why, or `None` when the person is taken off.
    #[n(3)]
    pub cause: Option<SuppressionCause>,
}

/// Why a person is suppressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Encode, Decode, Serialize, serde::Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
#[cbor(index_only)]
pub enum SuppressionCause {
    /// The person unsubscribed.
    #[n(0)]
    Unsubscribed,
    /// The mailbox does not exist.
    #[n(1)]
    HardBounce,
    /// The person complained to the provider.
    #[n(2)]
    Complaint,
    /// A shop or an operator asked for it.
    #[n(3)]
    Manual,
}

impl SuppressionCause {
    /// Returns the cause's name, as in API answers.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unsubscribed => "unsubscribed",
            Self::HardBounce => "hard_bounce",
            Self::Complaint => "complaint",
            Self::Manual => "manual",
        }
    }
}

/// A person unsubscribed by a mail's link or header.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Unsubscribed {
    /// The mail it came from; the runner finds the person by it.
    #[n(0)]
    pub message: MessageId,
    /// From whose offers.
    #[n(1)]
    pub shop: ShopNumber,
    /// How much.
    #[n(2)]
    pub scope: UnsubscribeScope,
    /// Which way it was asked.
    #[n(3)]
    pub by: UnsubscribedBy,
}

/// How much a person unsubscribes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Encode, Decode)]
#[cbor(index_only)]
pub enum UnsubscribeScope {
    /// Offers in mails of this shop.
    #[n(0)]
    Shop,
    /// Offers in mails of any shop of the network.
    #[n(1)]
    Network,
}

/// Which way a person unsubscribed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Encode, Decode)]
#[cbor(index_only)]
pub enum UnsubscribedBy {
    /// The mail client's one-click POST (RFC 8058).
    #[n(0)]
    OneClick,
    /// The button on the page.
    #[n(1)]
    Page,
}

/// A mail's pixel was fetched by someone or something.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Opened {
    /// Which mail.
    #[n(0)]
    pub message: MessageId,
    /// Whose mail.
    #[n(1)]
    pub shop: ShopNumber,
    /// The client's `User-Agent`, reduced to a class.
    #[n(2)]
    pub agent: AgentClass,
}

/// A mail's link was followed by someone or something.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Clicked {
    /// Which mail.
    #[n(0)]
    pub message: MessageId,
    /// Whose mail.
    #[n(1)]
    pub shop: ShopNumber,
    /// Which offer.
    #[n(2)]
    pub campaign: CampaignNumber,
    /// The offer's place in the mail, from 0.
    #[n(3)]
    pub slot: u8,
    /// The client's `User-Agent`, reduced to a class.
    #[n(4)]
    pub agent: AgentClass,
}

/// What a `User-Agent` says about who asks; a first guess, judged later.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Encode, Decode, Serialize)]
#[serde(rename_all = "snake_case")]
#[cbor(index_only)]
pub enum AgentClass {
    /// A browser or mail client.
    #[n(0)]
    Client,
    /// A provider's image proxy (Gmail, Yahoo, Apple).
    #[n(1)]
    Proxy,
    /// Something that calls itself a program.
    #[n(2)]
    Machine,
    /// None was sent.
    #[n(3)]
    Unknown,
}
