//! A mail's opens and clicks were judged: people or machines.

use minicbor::{Decode, Encode};
use serde::Serialize;

use super::notice::text;
use super::payload::{About, Payload};
use super::{HitClass, HitReason, Telling, Touched};
use crate::id::{EventId, MessageId, PublicId, ShopNumber};

/// A mail's opens and clicks were judged, by one version of the rules.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Judged {
    /// Which mail.
    #[n(0)]
    pub message: MessageId,
    /// Whose mail.
    #[n(1)]
    pub shop: ShopNumber,
    /// The version of the rules.
    #[n(2)]
    pub rules: u32,
    /// What each hit was taken for: only hits whose verdict is new or has changed.
    #[n(3)]
    pub hits: Vec<HitVerdict>,
}

/// What one hit was taken for.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct HitVerdict {
    /// The event of the open or click.
    #[n(0)]
    pub hit: EventId,
    /// Whether it may still change.
    #[n(1)]
    pub round: Round,
    /// Who or what it was.
    #[n(2)]
    pub class: HitClass,
    /// Why; empty for people.
    #[n(3)]
    pub reasons: Vec<HitReason>,
}

/// Which look at a mail's hits a verdict comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Encode, Decode, Serialize)]
#[serde(rename_all = "snake_case")]
#[cbor(index_only)]
pub enum Round {
    /// Two minutes after the hit; may still change.
    #[n(0)]
    Provisional,
    /// Thirty minutes after the hit.
    #[n(1)]
    Final,
}

/// What the outside sees.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PublicJudgement {
    /// The version of the rules.
    pub rules: u32,
    /// What each hit was taken for.
    pub hits: Vec<PublicVerdict>,
}

/// What one open or click was taken for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PublicVerdict {
    /// The event of the open or click.
    #[serde(serialize_with = "text")]
    pub hit: PublicId,
    /// Whether it may still change.
    pub round: Round,
    /// Who or what it was.
    pub class: HitClass,
    /// Why.
    pub reasons: Vec<HitReason>,
}

impl Payload for Judged {
    type Public = PublicJudgement;

    fn about(&self) -> About {
        About::mail(self.message, self.shop)
    }

    fn sentence(&self) -> String {
        let verdicts: Vec<_> = self.hits.iter().map(HitVerdict::sentence).collect();
        format!("By rules {}: {}.", self.rules, verdicts.join("; "))
    }

    fn public(&self, telling: &Telling<'_>) -> Option<PublicJudgement> {
        let hits = self.hits.iter().map(|verdict| PublicVerdict {
            hit: telling.public(verdict.hit),
            round: verdict.round,
            class: verdict.class,
            reasons: verdict.reasons.clone(),
        });
        Some(PublicJudgement {
            rules: self.rules,
            hits: hits.collect(),
        })
    }

    /// A verdict is counted in the hour of its hit.
    fn touches(&self, touched: &mut Touched) {
        touched.mail = Some(self.message);
        self.hits.iter().for_each(|verdict| touched.hour_of(verdict.hit));
    }
}

impl HitVerdict {
    fn sentence(&self) -> String {
        let round = match self.round {
            Round::Provisional => "for now",
            Round::Final => "for good",
        };
        let reasons: Vec<_> = self.reasons.iter().map(|reason| reason.sentence()).collect();
        let because = if reasons.is_empty() {
            String::new()
        } else {
            format!(", since {}", reasons.join(" and "))
        };
        let (hit, class) = (self.hit.time(), self.class.sentence());
        format!("the hit of {hit} is taken for {class} {round}{because}")
    }
}
