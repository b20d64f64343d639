//! Landings, and the leads they become: first visits that an advertiser pays for.

use minicbor::{Decode, Encode};
use serde::Serialize;

use super::AgentClass;
use crate::id::{CampaignNumber, EventId, LeadId, MessageId, ShopNumber, VisitorKey};
use crate::money::Money;
use crate::network::Network;

/// An advertiser's site was reached through a click, as that site itself says.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Landed {
    /// The click that led there.
    #[n(0)]
    pub click: EventId,
    /// The mail that held the link.
    #[n(1)]
    pub message: MessageId,
    /// Whose mail.
    #[n(2)]
    pub shop: ShopNumber,
    /// The offer that was clicked; its advertiser's site was reached.
    #[n(3)]
    pub campaign: CampaignNumber,
    /// How we know.
    #[n(4)]
    pub via: LandingVia,
    /// Whether the site takes the visitor for new; `None` if it did not say.
    #[n(5)]
    pub new_visitor: Option<bool>,
    /// Whether the report came from one of the advertiser's own hosts, or was signed by it.
    #[n(6)]
    pub proven: bool,
    /// Where the report came from, truncated; `None` for server calls.
    #[n(7)]
    pub network: Option<Network>,
    /// The client's `User-Agent`, reduced to a class.
    #[n(8)]
    pub agent: AgentClass,
}

/// How a landing was reported.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Encode, Decode, Serialize)]
#[serde(rename_all = "snake_case")]
#[cbor(index_only)]
pub enum LandingVia {
    /// An image, where there is no script. It proves nothing.
    #[n(0)]
    Image,
    /// The snippet's beacon.
    #[n(1)]
    Snippet,
    /// A signed call of the advertiser's server.
    #[n(2)]
    Server,
}

/// A landing was decided on. One for each click and mail at most, and one lead for each visitor of a site.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct LeadDecided {
    /// The mail.
    #[n(0)]
    pub message: MessageId,
    /// Whose mail: the publisher.
    #[n(1)]
    pub shop: ShopNumber,
    /// The offer.
    #[n(2)]
    pub campaign: CampaignNumber,
    /// Whose site was reached.
    #[n(3)]
    pub advertiser: ShopNumber,
    /// The click.
    #[n(4)]
    pub click: EventId,
    /// The event of the landing.
    #[n(5)]
    pub landing: EventId,
    /// A lead, or why not.
    #[n(6)]
    pub verdict: LeadVerdict,
}

/// Whether a landing is a lead.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub enum LeadVerdict {
    /// It is, until the final verdict on its click says otherwise.
    #[n(0)]
    Claimed(#[n(0)] LeadClaim),
    /// It is not.
    #[n(1)]
    Refused(#[n(0)] LeadRefusal),
}

/// A lead, with what is paid for it and why it is believed.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct LeadClaim {
    /// The same for whatever repeats it.
    #[n(0)]
    pub lead: LeadId,
    /// The person, as this advertiser may know them.
    #[n(1)]
    pub visitor: VisitorKey,
    /// How many leads of this visitor were voided before.
    #[n(2)]
    pub generation: u16,
    /// What it costs: frozen when the offer was chosen.
    #[n(3)]
    pub price: Money,
    /// What speaks for it.
    #[n(4)]
    pub evidence: EvidenceGrade,
}

/// What speaks for a first visit (the network's own history always does).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Encode, Decode, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
#[cbor(index_only)]
pub enum EvidenceGrade {
    /// Nothing more than a proven landing.
    #[n(0)]
    History,
    /// The snippet found no trace of an earlier visit in the browser.
    #[n(1)]
    HistoryAndBrowser,
    /// The advertiser's server says that the visitor is new.
    #[n(2)]
    HistoryAndServer,
}

/// Why a landing is no lead. Stable codes, seen in API answers and metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Encode, Decode, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
#[cbor(index_only)]
pub enum LeadRefusal {
    /// The click was a machine's.
    #[n(0)]
    Machine,
    /// The click was a test.
    #[n(1)]
    Test,
    /// The network sent the person to this site before.
    #[n(2)]
    VisitedBefore,
    /// The site itself knows the visitor.
    #[n(3)]
    KnownToSite,
    /// The landing came too long after its click.
    #[n(4)]
    OutOfWindow,
    /// The click came when the offer was over, or too long after the mail.
    #[n(5)]
    OfferOver,
    /// The shop advertises in its own mail.
    #[n(6)]
    OwnShop,
    /// The person withdrew.
    #[n(7)]
    Withdrawn,
    /// Only an image, or a host that is not the advertiser's, reported the landing.
    #[n(8)]
    Unproven,
    /// No such click was recorded.
    #[n(9)]
    NoClick,
}

impl LeadRefusal {
    /// Every reason, in the order of the codes.
    pub const ALL: [Self; 10] = [
        Self::Machine,
        Self::Test,
        Self::VisitedBefore,
        Self::KnownToSite,
        Self::OutOfWindow,
        Self::OfferOver,
        Self::OwnShop,
        Self::Withdrawn,
        Self::Unproven,
        Self::NoClick,
    ];

    /// Returns whether the reason says what the person did elsewhere: the mail's shop must not learn that.
    pub const fn tells_of_other_visits(self) -> bool {
        matches!(self, Self::VisitedBefore | Self::KnownToSite)
    }

    /// Returns the stable code.
    pub const fn code(self) -> &'static str {
        match self {
            Self::Machine => "machine",
            Self::Test => "test",
            Self::VisitedBefore => "visited_before",
            Self::KnownToSite => "known_to_site",
            Self::OutOfWindow => "out_of_window",
            Self::OfferOver => "offer_over",
            Self::OwnShop => "own_shop",
            Self::Withdrawn => "withdrawn",
            Self::Unproven => "unproven",
            Self::NoClick => "no_click",
        }
    }
}

/// A claimed lead was confirmed or voided. Final.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct LeadSettled {
    /// Which.
    #[n(0)]
    pub lead: LeadId,
    /// The mail it came from.
    #[n(1)]
    pub message: MessageId,
    /// Whose mail: the publisher.
    #[n(2)]
    pub shop: ShopNumber,
    /// The offer.
    #[n(3)]
    pub campaign: CampaignNumber,
    /// Whose site was reached.
    #[n(4)]
    pub advertiser: ShopNumber,
    /// The event that claimed it.
    #[n(5)]
    pub claimed: EventId,
    /// What became of it.
    #[n(6)]
    pub outcome: LeadOutcome,
}

/// What became of a claimed lead.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Encode, Decode)]
pub enum LeadOutcome {
    /// The final verdict on its click says: a person.
    #[n(0)]
    Confirmed,
    /// It is not to be paid; the visitor's next first visit may be a lead.
    #[n(1)]
    Voided(#[n(0)] VoidReason),
}

/// Why a claimed lead is not paid.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Encode, Decode, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
#[cbor(index_only)]
pub enum VoidReason {
    /// The final verdict on its click says: a machine.
    #[n(0)]
    Machine,
    /// The site said later that it knew the visitor.
    #[n(1)]
    KnownToSite,
    /// The person was erased before the final verdict, and with the person all that it would rest on.
    #[n(2)]
    Erased,
}

impl VoidReason {
    /// Returns whether the reason says what the person did elsewhere: the mail's shop must not learn that.
    pub const fn tells_of_other_visits(self) -> bool {
        matches!(self, Self::KnownToSite)
    }
}
