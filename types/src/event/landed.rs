//! An advertiser's site was reached through a click.

use minicbor::{Decode, Encode};
use serde::Serialize;

use super::notice::text;
use super::payload::{About, Payload};
use super::{AgentClass, Telling, Touched};
use crate::id::{CampaignNumber, EventId, MessageId, PublicId, ShopNumber};
use crate::network::Network;
use crate::text::Slug;

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

/// What the outside sees.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PublicLanding {
    /// The offer that was clicked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub campaign: Option<Slug>,
    /// Whose site was reached.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub advertiser: Option<Slug>,
    /// The click that led there.
    #[serde(serialize_with = "text")]
    pub click: PublicId,
    /// How it was reported.
    pub via: LandingVia,
    /// Whether the site takes the visitor for new.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub new_visitor: Option<bool>,
    /// Whether the report proves anything.
    pub proven: bool,
}

impl Payload for Landed {
    type Public = PublicLanding;

    fn about(&self) -> About {
        About::mail(self.message, self.shop)
    }

    fn sentence(&self) -> String {
        let via = match (self.via, self.proven) {
            (LandingVia::Snippet, true) => "the snippet on one of the advertiser's own hosts tells",
            (LandingVia::Snippet, false) => "a snippet on a host that is not the advertiser's tells",
            (LandingVia::Server, true) => "a signed call of the advertiser's server tells",
            (LandingVia::Server, false) => "a call without a valid signature tells",
            (LandingVia::Image, _) => "an image tells, which proves nothing",
        };
        let visitor = match self.new_visitor {
            Some(true) => "; the site takes the visitor for new",
            Some(false) => "; the site knew the visitor before",
            None => "",
        };
        let campaign = self.campaign.0;
        format!("The site of campaign number {campaign} was reached, as {via}{visitor}.")
    }

    fn public(&self, telling: &Telling<'_>) -> Option<PublicLanding> {
        let campaign = telling.catalogue.campaign_by_number(self.campaign);
        Some(PublicLanding {
            campaign: campaign.map(|campaign| campaign.id.clone()),
            advertiser: campaign.map(|campaign| campaign.spec.advertiser.clone()),
            click: telling.public(self.click),
            via: self.via,
            new_visitor: self.new_visitor,
            proven: self.proven,
        })
    }

    fn concerns(&self, shop: ShopNumber, telling: &Telling<'_>) -> bool {
        let campaign = telling.catalogue.campaign_by_number(self.campaign);
        let shop = telling.catalogue.shop_by_number(shop);
        campaign
            .zip(shop)
            .is_some_and(|(campaign, shop)| campaign.spec.advertiser == shop.id)
    }

    fn touches(&self, touched: &mut Touched) {
        touched.mail = Some(self.message);
        touched.hour_of(self.click);
    }
}
