//! Opens, clicks and landings that name nobody, added up.

use minicbor::{Decode, Encode};
use serde::Serialize;

use super::payload::{About, Payload};
use super::{HitClass, HitKind, Telling, Viewer};
use crate::id::{CampaignNumber, ShopNumber};
use crate::text::Slug;

/// Hits that name nobody, added up over a moment, so that statistics hold them without anything about a person.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct AggregateCounted {
    /// By shop, campaign, kind and class; each combination once.
    #[n(0)]
    pub hits: Vec<AggregateHit>,
}

/// How many hits of one kind there were.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct AggregateHit {
    /// Whose mails.
    #[n(0)]
    pub shop: ShopNumber,
    /// Which offer; `None` for opens.
    #[n(1)]
    pub campaign: Option<CampaignNumber>,
    /// What kind.
    #[n(2)]
    pub kind: HitKind,
    /// What the agents said; there is no more to judge by.
    #[n(3)]
    pub class: HitClass,
    /// How many.
    #[n(4)]
    pub count: u32,
}

/// What the outside sees.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PublicHits {
    /// By shop, campaign, kind and class; to a shop its own alone.
    pub hits: Vec<PublicHit>,
}

/// Hits that name nobody.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PublicHit {
    /// Whose mails.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shop: Option<Slug>,
    /// Which offer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub campaign: Option<Slug>,
    /// What kind.
    pub kind: HitKind,
    /// What the agents said.
    pub class: HitClass,
    /// How many.
    pub count: u32,
}

impl Payload for AggregateCounted {
    type Public = PublicHits;

    fn about(&self) -> About {
        About::default()
    }

    fn sentence(&self) -> String {
        let count: u64 = self.hits.iter().map(|hit| u64::from(hit.count)).sum();
        format!("{count} opens, clicks and landings that name nobody were counted.")
    }

    fn public(&self, telling: &Telling<'_>) -> Option<PublicHits> {
        let seen = self.hits.iter().filter(|hit| match telling.viewer {
            Viewer::Operator => true,
            Viewer::Shop(shop) => hit.shop == shop,
        });
        let hits = seen.map(|hit| PublicHit {
            shop: telling.slug(hit.shop),
            campaign: hit.campaign.and_then(|campaign| telling.campaign(campaign)),
            kind: hit.kind,
            class: hit.class,
            count: hit.count,
        });
        Some(PublicHits { hits: hits.collect() })
    }

    fn concerns(&self, shop: ShopNumber, _telling: &Telling<'_>) -> bool {
        self.hits.iter().any(|hit| hit.shop == shop)
    }
}
