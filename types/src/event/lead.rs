//! What the events of leads share: what a lead is about, and why it is believed, refused or voided.

use minicbor::{Decode, Encode};
use serde::Serialize;

use super::Telling;
use crate::id::{CampaignNumber, ShopNumber};
use crate::text::Slug;

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

impl EvidenceGrade {
    /// Returns what speaks for a first visit, for people.
    pub(super) const fn sentence(self) -> &'static str {
        match self {
            Self::History => "the network never sent the person there before",
            Self::HistoryAndBrowser => {
                "the network never sent the person there before, and the browser holds no trace of an earlier visit"
            }
            Self::HistoryAndServer => {
                "the network never sent the person there before, and the advertiser's server says that the visitor is new"
            }
        }
    }
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

    /// Returns why a landing is no lead, as a sentence. The mail's shop reads it, too, and must not learn what its customer did
    /// elsewhere.
    pub(super) const fn sentence(self) -> &'static str {
        match self {
            Self::Machine => "The click was a machine's.",
            Self::Test => "The click was a test.",
            Self::VisitedBefore | Self::KnownToSite => "Why is told to the advertiser.",
            Self::OutOfWindow => "The landing came too long after its click.",
            Self::OfferOver => "The click came when the offer was over, or too long after the mail.",
            Self::OwnShop => "The shop advertises in its own mail.",
            Self::Withdrawn => "The person withdrew.",
            Self::Unproven => "Only an image, or a host that is not the advertiser's, reported the landing.",
            Self::NoClick => "No such click was recorded.",
        }
    }
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

    /// Returns why a lead is not paid, for people, without a full stop.
    pub(super) const fn sentence(self) -> &'static str {
        match self {
            Self::Machine => "its click was a machine's after all",
            Self::KnownToSite => "why is told to the advertiser",
            Self::Erased => "the person was erased before the final verdict on its click",
        }
    }
}

/// What a lead is about, as the outside sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PublicLeadOf {
    /// The offer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub campaign: Option<Slug>,
    /// Whose site was reached.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub advertiser: Option<Slug>,
}

impl PublicLeadOf {
    pub(super) fn new(campaign: CampaignNumber, advertiser: ShopNumber, telling: &Telling<'_>) -> Self {
        Self {
            campaign: telling.campaign(campaign),
            advertiser: telling.slug(advertiser),
        }
    }
}
