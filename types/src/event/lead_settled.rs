//! A lead was confirmed or voided.

use minicbor::{Decode, Encode};
use serde::Serialize;

use super::notice::text;
use super::payload::{About, Payload};
use super::{PublicLeadOf, Telling, Touched, VoidReason};
use crate::id::{CampaignNumber, EventId, LeadId, MessageId, PublicId, ShopNumber};

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

impl LeadOutcome {
    /// Returns whether it is not to be paid.
    pub const fn is_void(self) -> bool {
        matches!(self, Self::Voided(_))
    }
}

/// What the outside sees.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PublicLeadSettlement {
    /// Of which offer.
    #[serde(flatten)]
    pub of: PublicLeadOf,
    /// The lead.
    #[serde(serialize_with = "text")]
    pub lead: LeadId,
    /// The event that claimed it.
    #[serde(serialize_with = "text")]
    pub claimed: PublicId,
    /// Why it is voided; missing where it is confirmed, or where it says what the person did elsewhere, and a publisher asks.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<VoidReason>,
}

impl Payload for LeadSettled {
    type Public = PublicLeadSettlement;

    fn name(&self) -> &'static str {
        match self.outcome {
            LeadOutcome::Confirmed => "lead.confirmed",
            LeadOutcome::Voided(_) => "lead.voided",
        }
    }

    fn about(&self) -> About {
        About::mail(self.message, self.shop)
    }

    fn sentence(&self) -> String {
        let lead = self.lead;
        match self.outcome {
            LeadOutcome::Confirmed => format!("Lead {lead} is confirmed: its click was a person's."),
            LeadOutcome::Voided(reason) => {
                format!("Lead {lead} is voided and costs nothing: {}.", reason.sentence())
            }
        }
    }

    fn public(&self, telling: &Telling<'_>) -> Option<PublicLeadSettlement> {
        let reason = match self.outcome {
            LeadOutcome::Confirmed => None,
            LeadOutcome::Voided(reason) => Some(reason),
        };
        Some(PublicLeadSettlement {
            of: PublicLeadOf::new(self.campaign, self.advertiser, telling),
            lead: self.lead,
            claimed: telling.public(self.claimed),
            reason: reason
                .filter(|reason| !reason.tells_of_other_visits() || telling.may_know_visits_of(self.advertiser)),
        })
    }

    fn concerns(&self, shop: ShopNumber, _telling: &Telling<'_>) -> bool {
        self.advertiser == shop
    }

    fn touches(&self, touched: &mut Touched) {
        touched.mail = Some(self.message);
        touched.first_visits = true;
        touched.hour_of(self.claimed);
    }
}
