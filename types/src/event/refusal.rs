//! Why no mail is sent.

use minicbor::{Decode, Encode};

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

    /// Returns why nothing is sent, as a sentence for people.
    pub const fn sentence(self) -> &'static str {
        match self {
            Self::NotConfirmed => "The order is not confirmed; only confirmed orders cause mail.",
            Self::TestOrder => "The order is a test; it is decided and explained, never mailed.",
            Self::NoMarketingConsent => {
                "The buyer gave no consent to marketing, and offers of other shops are marketing."
            }
            Self::ConsentWithdrawn => {
                "The buyer refused or withdrew consent later than the evidence that came with this order."
            }
            Self::SuppressedByShop => "The person is on the shop's suppression list for this stream.",
            Self::SuppressedByNetwork => "The person is on the network's suppression list.",
            Self::FrequencyCap => "The person already had as many offer mails as the network's cap allows.",
            Self::Late => "The order came later than the shop's limit, and the shop does not mail late orders.",
            Self::NoOffers => "No campaign matched: none was active, in budget, and fit shop, language and country.",
            Self::NoSender => "The shop has no sender for this stream.",
            Self::ShopDeleted => "The shop was deleted.",
            Self::Expired => "The message had expired before it was decided.",
        }
    }

    /// Returns the codes of several.
    pub(super) fn codes(refusals: &[Self]) -> Vec<&'static str> {
        refusals.iter().map(|refusal| refusal.code()).collect()
    }
}
