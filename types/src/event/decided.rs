//! What was decided on an order or a plain send, and why.

use minicbor::{Decode, Encode};
use serde::Serialize;

use crate::id::{CampaignNumber, EventId, MessageId, PersonKey, ShopNumber};
use crate::locale::Language;
use crate::money::Money;
use crate::order::Stream;
use crate::text::Slug;
use crate::time::Timestamp;

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
    /// Whether the recipient belongs to the shop or an advertiser shown: opens and clicks are tests then, never leads.
    #[n(9)]
    #[cbor(default)]
    pub test: bool,
    /// The template it is made with; `None` is the built-in one, or content that came with the request.
    #[n(10)]
    pub template: Option<Slug>,
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
