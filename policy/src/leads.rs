//! Whether a landing is a lead: a first visit that an advertiser pays for.
//!
//! Validate first, claim second: every rule is asked before anything is claimed, so that a landing that is none leaves no trace that
//! blocks a later one. The caller is the one writer of the person's partition, so what it knows of earlier visits is all there is.

use std::time::Duration;

use types::event::{HitClass, LeadClaim, LeadRefusal, LeadVerdict};
use types::id::{LeadId, ShopNumber, VisitorKey};
use types::money::Money;
use types::time::Timestamp;

use crate::hits::{ClickSeen, FINAL_AFTER, Landing};

/// How long after its mail a click can become a lead. Its link works longer.
pub const CLICK_AFTER_MAIL: Duration = Duration::from_hours(30 * 24);
/// How long after its click a landing can be one: redirects take seconds, and what comes later is a copied URL.
pub const LANDING_AFTER_CLICK: Duration = FINAL_AFTER;

/// What is known when a landing is decided on.
#[derive(Clone, Copy, Debug)]
pub struct LeadFacts<'a> {
    /// The landing, with all its reports.
    pub landing: &'a Landing,
    /// Its click, judged; `None` if none was recorded.
    pub click: Option<ClickSeen>,
    /// When the mail was decided: the time of its id.
    pub mailed_at: Timestamp,
    /// When the offer ends, or ended, if ever: its campaign's end, or the moment of its deletion.
    pub offer_ends_at: Option<Timestamp>,
    /// Whose mail it was.
    pub publisher: ShopNumber,
    /// Whose site was reached.
    pub advertiser: ShopNumber,
    /// The person, as this advertiser may know them.
    pub visitor: VisitorKey,
    /// What a lead of this offer costs, frozen when it was chosen; `None` if the mail does not show it.
    pub price: Option<Money>,
    /// Whether the person withdrew: nothing about this mail may be recorded any more.
    pub withdrawn: bool,
    /// The person's earlier visit to this advertiser's site, if the network knows of one.
    pub visit: Option<EarlierVisit>,
}

/// A visit that the network knows of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EarlierVisit {
    /// How many leads of this visitor were voided.
    pub generation: u16,
    /// Whether the last lead was voided, so that the next first visit may be one.
    pub open: bool,
}

/// Decides on a landing. The same facts give the same verdict, and the same lead id.
pub fn decide(facts: &LeadFacts<'_>) -> LeadVerdict {
    match claim(facts) {
        Ok(claim) => LeadVerdict::Claimed(claim),
        Err(refusal) => LeadVerdict::Refused(refusal),
    }
}

/// Asks every rule; the weightiest refusal is told: what the person forbids, what is no visit, what is out of time, what is no first
/// visit. What the site says comes last, because a first visit that is refused by that alone is noted as one all the same.
fn claim(facts: &LeadFacts<'_>) -> Result<LeadClaim, LeadRefusal> {
    require(!facts.withdrawn, LeadRefusal::Withdrawn)?;
    let click = facts.click.ok_or(LeadRefusal::NoClick)?;
    require(click.class != HitClass::Test, LeadRefusal::Test)?;
    require(click.class == HitClass::Human, LeadRefusal::Machine)?;
    require(facts.landing.proven, LeadRefusal::Unproven)?;
    require(facts.publisher != facts.advertiser, LeadRefusal::OwnShop)?;
    let landed_after = facts.landing.at.since(click.at);
    require(landed_after <= LANDING_AFTER_CLICK, LeadRefusal::OutOfWindow)?;
    let lasted = facts.offer_ends_at.is_none_or(|ends_at| click.at < ends_at);
    let recent = click.at.since(facts.mailed_at) <= CLICK_AFTER_MAIL;
    require(lasted && recent, LeadRefusal::OfferOver)?;
    // A mail that does not show the offer has no price for it, so there is nothing to pay.
    let price = facts.price.ok_or(LeadRefusal::OfferOver)?;
    let generation = match facts.visit {
        None => 0,
        Some(visit) if visit.open => visit.generation,
        Some(_) => return Err(LeadRefusal::VisitedBefore),
    };
    let evidence = facts.landing.evidence().ok_or(LeadRefusal::KnownToSite)?;
    Ok(LeadClaim {
        lead: LeadId::new(facts.advertiser, &facts.visitor, generation),
        visitor: facts.visitor,
        generation,
        price,
        evidence,
    })
}

fn require(holds: bool, refusal: LeadRefusal) -> Result<(), LeadRefusal> {
    if holds { Ok(()) } else { Err(refusal) }
}
