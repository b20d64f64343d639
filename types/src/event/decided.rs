//! What was decided on an order or a plain send, and why.

use minicbor::{Decode, Encode};
use serde::Serialize;

use super::notice::text;
use super::payload::{About, Bearing, Duty, Life, Payload};
use super::{Refusal, Telling, Touched};
use crate::id::{CampaignNumber, EventId, MessageId, PersonKey, PublicId, ShopNumber};
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

/// What the outside sees.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum PublicDecision {
    /// A mail goes out.
    Send(PublicPlan),
    /// None does.
    Refuse {
        /// The accepted order or message.
        #[serde(serialize_with = "text")]
        cause: PublicId,
        /// All reasons, the weightiest first.
        reasons: Vec<&'static str>,
    },
}

/// How a mail goes out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PublicPlan {
    /// The accepted order or message.
    #[serde(serialize_with = "text")]
    pub cause: PublicId,
    /// On which stream.
    pub stream: Stream,
    /// Made with which template; missing for the built-in one and for content that came with the request.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub template: Option<Slug>,
    /// Whether links may name the mail.
    pub tracking: Tracking,
    /// Whether it counts as a test.
    pub test: bool,
    /// What it offers, in the order shown.
    pub offers: Vec<PublicOffer>,
}

/// An offer of a mail.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PublicOffer {
    /// The campaign's id.
    pub campaign: Slug,
    /// What a lead costs.
    pub price: Money,
}

impl Decided {
    /// Returns how the mail goes out, if one does.
    pub const fn plan(&self) -> Option<&Plan> {
        match &self.verdict {
            Verdict::Send(plan) => Some(plan),
            Verdict::Refuse(_) => None,
        }
    }
}

impl Payload for Decided {
    type Public = PublicDecision;

    fn name(&self) -> &'static str {
        match self.verdict {
            Verdict::Send(_) => "message.decided",
            Verdict::Refuse(_) => "message.refused",
        }
    }

    fn about(&self) -> About {
        About {
            mail: self.plan().map(|plan| plan.message),
            ..About::person(self.shop, self.person)
        }
    }

    fn sentence(&self) -> String {
        match &self.verdict {
            Verdict::Send(plan) => {
                let offers = match plan.offers.len() {
                    0 => String::new(),
                    1 => " with 1 offer".to_owned(),
                    several => format!(" with {several} offers"),
                };
                let late = if plan.late { ", though late" } else { "" };
                format!(
                    "A {} mail in {}{offers} is sent{late}; it is worth sending until {}.",
                    plan.stream.as_str(),
                    plan.language.code(),
                    plan.expires
                )
            }
            Verdict::Refuse(reasons) => {
                let reasons: Vec<_> = reasons.iter().map(|reason| reason.sentence()).collect();
                format!("Nothing is sent. {}", reasons.join(" "))
            }
        }
    }

    fn public(&self, telling: &Telling<'_>) -> Option<PublicDecision> {
        let cause = telling.public(self.cause);
        Some(match &self.verdict {
            Verdict::Send(plan) => {
                let offers = plan.offers.iter().map(|offer| PublicOffer {
                    campaign: offer.id.clone(),
                    price: offer.price,
                });
                PublicDecision::Send(PublicPlan {
                    cause,
                    stream: plan.stream,
                    template: plan.template.clone(),
                    tracking: plan.tracking,
                    test: plan.test,
                    offers: offers.collect(),
                })
            }
            Verdict::Refuse(reasons) => PublicDecision::Refuse {
                cause,
                reasons: reasons.iter().map(|reason| reason.code()).collect(),
            },
        })
    }

    fn touches(&self, touched: &mut Touched) {
        touched.hour_of(self.cause);
    }

    fn bearing(&self, _wall: Timestamp) -> Bearing<'_> {
        Bearing::Decision(self)
    }

    fn life(&self) -> Option<Life> {
        self.plan().map(|plan| Life::Begins(plan.message))
    }

    fn duty(&self) -> Duty<'_> {
        Duty::Decided(self.cause)
    }
}
