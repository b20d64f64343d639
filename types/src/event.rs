//! Everything that happens, as the journal keeps it.
//!
//! An [`Event`] is a kind number, which stands in the record's header, and a payload: a CBOR map with integer keys
//! (minicbor). The rules of evolution: a key or kind number, once used, is never given to anything else; a new field is
//! optional and skipped by older readers; records are copied as bytes, never decoded and written again, so fields from
//! the future survive; an unknown kind refuses the start. `docs/formats/journal.md` draws the bytes.

mod attempt;
mod cart;
mod catalogue;
mod contact;
mod decided;
mod lead;
mod tracked;
mod workflow;

use minicbor::{Decode, Encode};
use serde::Serialize;

use crate::id::{MessageId, PersonKey, ShopNumber};
use crate::order::{MessageRequest, Order, Stream};

pub use attempt::{AttemptClaimed, AttemptEnded, FailureClass, Outcome};
pub use cart::{CartChanged, CartDecided, CartReason, CartVerdict, NextReminder, Origin, Recovery, ReminderPurpose};
pub use catalogue::CatalogueChanged;
pub use contact::{ContactChanged, EventReported};
pub use decided::{Decided, Offer, Plan, Refusal, Tracking, Verdict};
pub use lead::{
    EvidenceGrade, Landed, LandingVia, LeadClaim, LeadDecided, LeadOutcome, LeadRefusal, LeadSettled, LeadVerdict,
    VoidReason,
};
pub use tracked::{
    AgentClass, AggregateCounted, AggregateHit, Clicked, HitClass, HitKind, HitReason, HitVerdict, Judged, Opened,
    Preference, PreferenceChanged, Round, Visit,
};
pub use workflow::{
    Did, Leave, MoveCause, Moved, Place, SetAside, Suppressed, Swept, WaitEnded, Waits, WaitsOn, WebhookEnded,
};

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
    /// A mail's opens and clicks were judged: people or machines.
    Judged(Box<Judged>),
    /// An advertiser's site was reached through a click.
    Landed(Box<Landed>),
    /// A landing was decided on: a lead, or why not.
    LeadDecided(Box<LeadDecided>),
    /// A lead was confirmed or voided.
    LeadSettled(LeadSettled),
    /// Opens, clicks and landings that name nobody, added up.
    AggregateCounted(AggregateCounted),
    /// A person changed a preference on a mail's page.
    PreferenceChanged(PreferenceChanged),
    /// A person's data are erased.
    PersonErased(PersonErased),
    /// A contact was made or changed.
    ContactChanged(Box<ContactChanged>),
    /// A shop reported something that a contact did.
    EventReported(Box<EventReported>),
    /// A cart was touched.
    CartChanged(Box<CartChanged>),
    /// A cart's reminder was decided on, or its order came.
    CartDecided(Box<CartDecided>),
    /// A contact went on in a workflow.
    Moved(Box<Moved>),
    /// A workflow's webhook was answered.
    WebhookEnded(WebhookEnded),
    /// A workflow that was switched on has looked at a partition's contacts.
    Swept(Swept),
    /// Something could not be done, and was set aside.
    SetAside(Box<SetAside>),
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
            Self::Judged(_) => 11,
            Self::Landed(_) => 12,
            Self::LeadDecided(_) => 13,
            Self::LeadSettled(_) => 14,
            Self::AggregateCounted(_) => 15,
            Self::PreferenceChanged(_) => 16,
            Self::PersonErased(_) => 17,
            Self::ContactChanged(_) => 18,
            Self::EventReported(_) => 19,
            Self::CartChanged(_) => 20,
            Self::CartDecided(_) => 21,
            Self::Moved(_) => 22,
            Self::WebhookEnded(_) => 23,
            Self::Swept(_) => 24,
            Self::SetAside(_) => 25,
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
            Self::Judged(event) => minicbor::encode(event, out),
            Self::Landed(event) => minicbor::encode(event, out),
            Self::LeadDecided(event) => minicbor::encode(event, out),
            Self::LeadSettled(event) => minicbor::encode(event, out),
            Self::AggregateCounted(event) => minicbor::encode(event, out),
            Self::PreferenceChanged(event) => minicbor::encode(event, out),
            Self::PersonErased(event) => minicbor::encode(event, out),
            Self::ContactChanged(event) => minicbor::encode(event, out),
            Self::EventReported(event) => minicbor::encode(event, out),
            Self::CartChanged(event) => minicbor::encode(event, out),
            Self::CartDecided(event) => minicbor::encode(event, out),
            Self::Moved(event) => minicbor::encode(event, out),
            Self::WebhookEnded(event) => minicbor::encode(event, out),
            Self::Swept(event) => minicbor::encode(event, out),
            Self::SetAside(event) => minicbor::encode(event, out),
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
            11 => minicbor::decode(payload).map(|event| Self::Judged(Box::new(event))),
            12 => minicbor::decode(payload).map(|event| Self::Landed(Box::new(event))),
            13 => minicbor::decode(payload).map(|event| Self::LeadDecided(Box::new(event))),
            14 => minicbor::decode(payload).map(Self::LeadSettled),
            15 => minicbor::decode(payload).map(Self::AggregateCounted),
            16 => minicbor::decode(payload).map(Self::PreferenceChanged),
            17 => minicbor::decode(payload).map(Self::PersonErased),
            18 => minicbor::decode(payload).map(|event| Self::ContactChanged(Box::new(event))),
            19 => minicbor::decode(payload).map(|event| Self::EventReported(Box::new(event))),
            20 => minicbor::decode(payload).map(|event| Self::CartChanged(Box::new(event))),
            21 => minicbor::decode(payload).map(|event| Self::CartDecided(Box::new(event))),
            22 => minicbor::decode(payload).map(|event| Self::Moved(Box::new(event))),
            23 => minicbor::decode(payload).map(Self::WebhookEnded),
            24 => minicbor::decode(payload).map(Self::Swept),
            25 => minicbor::decode(payload).map(|event| Self::SetAside(Box::new(event))),
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
    /// What of our own asked for it; `None` if the shop did.
    #[n(4)]
    pub origin: Option<Origin>,
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

/// A person's data are erased (GDPR Art. 17): what is about the person leaves state, what protects the person stays.
///
/// Suppressions, refusals and first visits stay, by [`PersonKey`] alone; so does whose a mail was, for its unsubscribe link.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct PersonErased {
    /// Who.
    #[n(0)]
    pub person: PersonKey,
    /// What one shop knows; `None` is what every shop does.
    #[n(1)]
    pub shop: Option<ShopNumber>,
}
