//! A mail's link was followed.

use minicbor::{Decode, Encode};
use serde::Serialize;

use super::notice::optional_text;
use super::payload::{About, Payload};
use super::{AgentClass, Telling, Touched, Visit};
use crate::id::{CampaignNumber, EventId, MessageId, PublicId, ShopNumber};
use crate::network::Network;
use crate::text::Slug;

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
    /// Which offer; [`CampaignNumber::NONE`] for a link to the shop's own site.
    #[n(2)]
    pub campaign: CampaignNumber,
    /// The offer's place in the mail, from 0.
    #[n(3)]
    pub slot: u8,
    /// The client's `User-Agent`, reduced to a class.
    #[n(4)]
    pub agent: AgentClass,
    /// The click's own id, minted at the redirect and handed to the landing page, encrypted. Missing in old records.
    #[n(5)]
    pub click: Option<EventId>,
    /// Where the request came from, truncated.
    #[n(6)]
    pub network: Option<Network>,
    /// Whether anything was followed.
    #[n(7)]
    #[cbor(default)]
    pub visit: Visit,
    /// Whether forged or damaged tokens came from the same network shortly before.
    #[n(8)]
    #[cbor(default)]
    pub suspect: bool,
    /// Whether the token was signed with a key that is known to others: it leads on, and counts for nothing.
    #[n(9)]
    #[cbor(default)]
    pub untrusted: bool,
}

/// What the outside sees.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PublicClick {
    /// Which offer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub campaign: Option<Slug>,
    /// The offer's place in the mail, from 0.
    pub place: u8,
    /// The click's own id, which landings name.
    #[serde(serialize_with = "optional_text", skip_serializing_if = "Option::is_none")]
    pub click: Option<PublicId>,
    /// What the client says it is.
    pub agent: AgentClass,
    /// Whether anything was followed.
    pub visit: Visit,
    /// Whether damaged tokens came from the same network.
    pub suspect: bool,
    /// Whether the link was signed with a key that others know.
    pub untrusted: bool,
}

impl Payload for Clicked {
    type Public = PublicClick;

    fn about(&self) -> About {
        About::mail(self.message, self.shop)
    }

    fn sentence(&self) -> String {
        let place = u16::from(self.slot) + 1;
        let (campaign, by, in_advance) = (self.campaign.0, self.agent.sentence(), self.visit.sentence());
        format!("The link of offer {place} (campaign number {campaign}) was followed by {by}{in_advance}.")
    }

    fn public(&self, telling: &Telling<'_>) -> Option<PublicClick> {
        Some(PublicClick {
            campaign: telling.campaign(self.campaign),
            place: self.slot,
            click: self.click.map(|click| telling.public(click)),
            agent: self.agent,
            visit: self.visit,
            suspect: self.suspect,
            untrusted: self.untrusted,
        })
    }

    fn touches(&self, touched: &mut Touched) {
        touched.mail = Some(self.message);
        self.click.into_iter().for_each(|click| touched.hour_of(click));
    }
}
