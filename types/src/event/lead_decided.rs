//! A landing was decided on: a lead, or why not.

use minicbor::{Decode, Encode};
use serde::Serialize;

use super::notice::text;
use super::payload::{About, Payload};
use super::{EvidenceGrade, LeadRefusal, PublicLeadOf, Telling, Touched};
use crate::id::{CampaignNumber, EventId, LeadId, MessageId, PublicId, ShopNumber, VisitorKey};
use crate::money::Money;

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

/// What the outside sees.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum PublicLeadDecision {
    /// The landing is a lead, until its click is judged otherwise.
    Claimed {
        /// Of which offer.
        #[serde(flatten)]
        of: PublicLeadOf,
        /// The click that led there.
        #[serde(serialize_with = "text")]
        click: PublicId,
        /// The event of the landing.
        #[serde(serialize_with = "text")]
        landing: PublicId,
        /// The lead.
        #[serde(serialize_with = "text")]
        lead: LeadId,
        /// What it costs.
        price: Money,
        /// What speaks for it.
        evidence: EvidenceGrade,
    },
    /// It is none.
    Refused {
        /// Of which offer.
        #[serde(flatten)]
        of: PublicLeadOf,
        /// The click that led there.
        #[serde(serialize_with = "text")]
        click: PublicId,
        /// The event of the landing.
        #[serde(serialize_with = "text")]
        landing: PublicId,
        /// Why; missing where it says what the person did elsewhere, and a publisher asks.
        #[serde(skip_serializing_if = "Option::is_none")]
        reason: Option<LeadRefusal>,
    },
}

impl Payload for LeadDecided {
    type Public = PublicLeadDecision;

    fn name(&self) -> &'static str {
        match self.verdict {
            LeadVerdict::Claimed(_) => "lead.claimed",
            LeadVerdict::Refused(_) => "lead.refused",
        }
    }

    fn about(&self) -> About {
        About::mail(self.message, self.shop)
    }

    fn sentence(&self) -> String {
        match &self.verdict {
            LeadVerdict::Claimed(claim) => format!(
                "The landing is a lead, {} of campaign number {}, at {}: {}. It is pending until the final verdict on its click.",
                claim.lead,
                self.campaign.0,
                claim.price,
                claim.evidence.sentence()
            ),
            LeadVerdict::Refused(refusal) => format!("The landing is no lead. {}", refusal.sentence()),
        }
    }

    fn public(&self, telling: &Telling<'_>) -> Option<PublicLeadDecision> {
        let of = PublicLeadOf::new(self.campaign, self.advertiser, telling);
        let (click, landing) = (telling.public(self.click), telling.public(self.landing));
        Some(match &self.verdict {
            LeadVerdict::Claimed(claim) => PublicLeadDecision::Claimed {
                of,
                click,
                landing,
                lead: claim.lead,
                price: claim.price,
                evidence: claim.evidence,
            },
            LeadVerdict::Refused(reason) => {
                let hidden = reason.tells_of_other_visits() && !telling.may_know_visits_of(self.advertiser);
                PublicLeadDecision::Refused {
                    of,
                    click,
                    landing,
                    reason: (!hidden).then_some(*reason),
                }
            }
        })
    }

    fn concerns(&self, shop: ShopNumber, _telling: &Telling<'_>) -> bool {
        self.advertiser == shop
    }

    fn touches(&self, touched: &mut Touched) {
        touched.mail = Some(self.message);
        touched.first_visits = true;
        touched.hour_of(self.click);
        touched.hour_of(self.landing);
    }
}
