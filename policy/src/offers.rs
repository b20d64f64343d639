//! Which offers a mail shows.
//!
//! Two steps. [`Candidates`] is what a shop may show at all, computed once per shop and catalogue version: never its own
//! campaigns, none of a shop it excludes, none in a category that it sells or excludes, only active ones; ranked by
//! expected value. [`select`] is what one mail shows: of the candidates that run now, have budget left, speak the mail's
//! language, may be shown in the buyer's country and are priced in the order's currency, up to the shop's number.
//!
//! Slots are filled from the top. Each takes the best of what remains or, with the exploration probability, any of what
//! remains with equal chance; an advertiser gets one slot. The offer carries the propensity: the exact probability with
//! which this campaign came to this slot, given the slots above it. The product over a mail's slots is the probability of
//! the whole selection, which is what evaluating another policy on these records needs.
//! `docs/adr/0004-offer-selection.md` has the reasons.

use std::collections::HashSet;
use std::sync::Arc;

use rand::{Rng, RngExt};
use types::catalogue::{Campaign, CampaignState, Catalogue, Shop};
use types::event::Offer;
use types::id::CampaignNumber;
use types::locale::{Country, Language};
use types::money::Currency;
use types::text::Slug;
use types::time::Timestamp;

use crate::settings::MILLION;

/// The campaigns that a shop may show, best first. Valid for one version of the catalogue.
#[derive(Clone, Debug)]
pub struct Candidates {
    catalogue: u64,
    ranked: Vec<Candidate>,
}

#[derive(Clone, Debug)]
struct Candidate {
    campaign: Arc<Campaign>,
    advertiser: Arc<Shop>,
    /// In millionths of a minor unit.
    expected_value: u64,
}

/// What one mail asks of its offers.
#[derive(Clone, Copy, Debug)]
pub struct Wanted {
    /// When it is decided.
    pub now: Timestamp,
    /// In which language it is written.
    pub language: Language,
    /// Where the buyer is.
    pub country: Country,
    /// The order's currency. Prices in others are not comparable without a rate, and there is none here.
    pub currency: Currency,
    /// How many at most.
    pub offers_max: u8,
    /// The probability, in millionths, with which a slot is filled at random.
    pub exploration: u32,
}

/// What a mail shows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selection {
    /// In the order shown.
    pub offers: Vec<Offer>,
    /// When the first of them ends, if any does.
    pub ends_at: Option<Timestamp>,
    /// Whose they are, in the same order.
    pub advertisers: Vec<Arc<Shop>>,
}

impl Candidates {
    /// Computes what `shop` may show from this version of the catalogue.
    pub fn of(catalogue: &Catalogue, shop: &Shop) -> Self {
        let excluded: HashSet<&Slug> = shop.spec.exclude_shops.iter().collect();
        let conflicting: HashSet<&str> = [&shop.spec.categories, &shop.spec.exclude_categories]
            .into_iter()
            .flatten()
            .map(|category| &**category)
            .collect();
        let showable = |campaign: &&Arc<Campaign>| {
            let spec = &campaign.spec;
            spec.state == CampaignState::Active
                && spec.price.amount >= 0
                && spec.advertiser != shop.id
                && !excluded.contains(&spec.advertiser)
                && !spec.categories.iter().any(|category| conflicting.contains(&**category))
        };
        let candidate = |campaign: &Arc<Campaign>| {
            Some(Candidate {
                campaign: Arc::clone(campaign),
                advertiser: Arc::clone(catalogue.shop(&campaign.spec.advertiser)?),
                expected_value: expected_value(campaign),
            })
        };
        let showable = catalogue.campaigns().filter(showable);
        let mut ranked: Vec<_> = showable.filter_map(candidate).collect();
        // A tie goes to the older campaign: the sort is stable and the catalogue's order is by number.
        ranked.sort_by_key(|candidate| std::cmp::Reverse(candidate.expected_value));
        Self {
            catalogue: catalogue.version(),
            ranked,
        }
    }

    /// Returns the version of the catalogue that this was computed from.
    pub const fn catalogue(&self) -> u64 {
        self.catalogue
    }

    /// Returns how many campaigns there are.
    pub fn len(&self) -> usize {
        self.ranked.len()
    }

    /// Returns whether there is none.
    pub fn is_empty(&self) -> bool {
        self.ranked.is_empty()
    }
}

/// Selects a mail's offers. `selections` tells how many mails showed a campaign so far.
pub fn select(
    candidates: &Candidates,
    wanted: &Wanted,
    selections: impl Fn(CampaignNumber) -> u64,
    random: &mut impl Rng,
) -> Selection {
    let fits = |candidate: &&Candidate| fits(&candidate.campaign, wanted, &selections);
    let mut remaining: Vec<&Candidate> = candidates.ranked.iter().filter(fits).collect();
    let mut selection = Selection::default();
    while selection.offers.len() < usize::from(wanted.offers_max) && !remaining.is_empty() {
        let explored = random.random_range(0..MILLION) < wanted.exploration;
        let at = if explored {
            random.random_range(0..remaining.len())
        } else {
            0
        };
        let Some(chosen) = remaining.get(at).copied() else {
            break;
        };
        let spec = &chosen.campaign.spec;
        selection.offers.push(Offer {
            campaign: chosen.campaign.number,
            id: chosen.campaign.id.clone(),
            price: spec.price,
            expected_value: chosen.expected_value,
            propensity: propensity(at, remaining.len(), wanted.exploration),
            explored,
        });
        selection.advertisers.push(Arc::clone(&chosen.advertiser));
        selection.ends_at = selection.ends_at.into_iter().chain(spec.ends_at).min();
        remaining.retain(|candidate| candidate.campaign.spec.advertiser != spec.advertiser);
    }
    selection
}

/// Returns the probability, in millionths rounded down but never 0, with which the campaign at rank `at` of `remaining`
/// comes to a slot.
fn propensity(at: usize, remaining: usize, exploration: u32) -> u32 {
    let share = usize::try_from(exploration).unwrap_or(usize::MAX);
    let exploiting = if at == 0 { MILLION - exploration.min(MILLION) } else { 0 };
    let exploring = u32::try_from(share / remaining.max(1)).unwrap_or(MILLION);
    match (at, remaining) {
        (0, 1) => MILLION,
        _ => (exploiting + exploring).max(1),
    }
}

/// Returns price × lead rate in millionths of a minor unit.
fn expected_value(campaign: &Campaign) -> u64 {
    let price = campaign.spec.price.amount.unsigned_abs();
    let leads_per_million = u64::from(campaign.spec.lead_rate_per_10000) * u64::from(MILLION / 10_000);
    price.saturating_mul(leads_per_million)
}

fn fits(campaign: &Campaign, wanted: &Wanted, selections: &impl Fn(CampaignNumber) -> u64) -> bool {
    let spec = &campaign.spec;
    spec.price.currency == wanted.currency
        && spec.starts_at.is_none_or(|starts_at| starts_at <= wanted.now)
        && spec.ends_at.is_none_or(|ends_at| ends_at > wanted.now)
        && spec.creatives.contains_key(&wanted.language)
        && (spec.countries.is_empty() || spec.countries.contains(&wanted.country))
        && has_budget(campaign, selections)
}

/// Returns whether what the campaign's mails are expected to cost so far leaves budget.
///
/// Soft pacing: leads come days after the mails that bring them, so the mails out there are counted at the expected rate.
/// What a lead really costs is checked against the balance when it is billed.
fn has_budget(campaign: &Campaign, selections: &impl Fn(CampaignNumber) -> u64) -> bool {
    let Some(budget) = campaign.spec.budget else {
        return true;
    };
    let spent = u128::from(selections(campaign.number)) * u128::from(expected_value(campaign));
    spent < u128::from(budget.max(0).unsigned_abs()) * u128::from(MILLION)
}
