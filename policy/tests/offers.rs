//! Which offers are selected: the table of cases, and what holds of every selection.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test states its expectations by unwrapping"
)]

mod fixture;

use std::collections::BTreeMap;
use std::time::Instant;

use policy::offers::{Candidates, Selection, Wanted, select};
use policy::settings::MILLION;
use proptest::prelude::*;
use rand::SeedableRng;
use rand::rngs::StdRng;
use serde::Deserialize;
use types::catalogue::{CampaignSpec, Catalogue, Shop};
use types::event::CatalogueChanged;
use types::id::CampaignNumber;
use types::locale::Language;
use types::text::Slug;

/// One line of `offers.toml`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    name: String,
    campaigns: Vec<toml::Table>,
    expect: Vec<String>,
    #[serde(default = "italy")]
    country: String,
    #[serde(default = "italian")]
    locale: String,
    #[serde(default = "euro")]
    currency: String,
}

fn italy() -> String {
    "IT".to_owned()
}

fn italian() -> String {
    "it-IT".to_owned()
}

fn euro() -> String {
    "EUR".to_owned()
}

fn shop() -> Shop {
    Shop {
        id: fixture::slug("own"),
        number: fixture::OWN,
        version: 1,
        changed_at: fixture::ago("1d"),
        deleted: false,
        spec: fixture::shop_spec(),
    }
}

fn wanted(exploration: u32) -> Wanted {
    Wanted {
        now: fixture::now(),
        language: Language::It,
        country: italy().try_into().unwrap(),
        currency: euro().try_into().unwrap(),
        offers_max: 3,
        exploration,
    }
}

/// Takes what the case says about the fixture's campaign; returns it, how often it was shown, and whether it is deleted.
fn campaign(mut says: toml::Table) -> ((Slug, CampaignSpec), u64, bool) {
    let mut take = |key: &str| says.remove(key);
    let id = take("id").unwrap().as_str().unwrap().to_owned();
    let advertiser = take("advertiser").map_or("vini".to_owned(), |id| id.as_str().unwrap().to_owned());
    let selections = take("selections").map_or(0, |count| count.as_integer().unwrap().unsigned_abs());
    let deleted = take("deleted").is_some();
    let languages = take("languages");
    let (id, spec) = fixture::campaign(&id, &advertiser);
    let mut table = toml::Table::try_from(spec).unwrap();
    if let Some(languages) = languages {
        let creative = table["creatives"]["it"].clone();
        let names = languages
            .as_array()
            .unwrap()
            .iter()
            .map(|name| name.as_str().unwrap().to_owned());
        table["creatives"] = toml::Value::Table(names.map(|name| (name, creative.clone())).collect());
    }
    table.extend(says);
    ((id, table.try_into().unwrap()), selections, deleted)
}

#[test]
fn offers_are_selected_as_the_table_says() {
    for case in fixture::table::<Case>("offers.toml") {
        let campaigns: Vec<_> = case.campaigns.into_iter().map(campaign).collect();
        let shown: Vec<u64> = campaigns.iter().map(|(_, selections, _)| *selections).collect();
        let deleted: Vec<Slug> = campaigns
            .iter()
            .filter(|(_, _, deleted)| *deleted)
            .map(|((id, _), ..)| id.clone())
            .collect();
        let specs = campaigns.into_iter().map(|(spec, ..)| spec).collect();
        let mut catalogue = fixture::catalogue(&shop(), specs);
        for id in deleted {
            catalogue.apply(&CatalogueChanged::CampaignDeleted { id }, fixture::now());
        }
        let wanted = Wanted {
            language: Language::of_tag(&case.locale).unwrap_or(Language::It),
            country: case.country.try_into().unwrap(),
            currency: case.currency.try_into().unwrap(),
            ..wanted(0)
        };
        let candidates = Candidates::of(&catalogue, &shop());
        let selections = |number: CampaignNumber| shown[number.0 as usize - 1];
        let selection = select(&candidates, &wanted, selections, &mut StdRng::seed_from_u64(1));
        let ids: Vec<_> = selection.offers.iter().map(|offer| offer.id.as_str()).collect();
        assert_eq!(ids, case.expect, "{}", case.name);
        assert!(
            selection
                .offers
                .iter()
                .all(|offer| offer.propensity == MILLION && !offer.explored),
            "{}",
            case.name
        );
    }
}

/// `count` campaigns that fit, of advertisers "vini", "olio", "miele" and "pane" in turn, each priced above the one before.
fn network(count: usize) -> Catalogue {
    let advertisers = ["vini", "olio", "miele", "pane"];
    let campaigns = (0..count).map(|n| {
        let (id, mut spec) = fixture::campaign(&format!("c{n}"), advertisers[n % advertisers.len()]);
        spec.price.amount = 50 + i64::try_from(n).unwrap();
        (id, spec)
    });
    fixture::catalogue(&shop(), campaigns.collect())
}

#[test]
fn propensities_are_the_frequencies() {
    let candidates = Candidates::of(&network(6), &shop());
    let mut random = StdRng::seed_from_u64(20_261_122);
    let rounds: u32 = 200_000;
    // By the slots above: how often each campaign came next, and what probability was recorded for it.
    let mut seen: BTreeMap<Vec<Slug>, BTreeMap<Slug, (u32, u32)>> = BTreeMap::new();
    for _ in 0..rounds {
        let Selection { offers, .. } = select(&candidates, &wanted(MILLION / 10), |_| 0, &mut random);
        let ids: Vec<_> = offers.iter().map(|offer| offer.id.clone()).collect();
        for (slot, offer) in offers.iter().enumerate() {
            let next = seen.entry(ids[..slot].to_vec()).or_default();
            let (count, propensity) = next.entry(offer.id.clone()).or_insert((0, offer.propensity));
            *count += 1;
            assert_eq!(
                *propensity, offer.propensity,
                "the same history gives the same probability"
            );
        }
    }
    for (above, next) in &seen {
        let total: u32 = next.values().map(|(count, _)| count).sum();
        let probability: u32 = next.values().map(|(_, propensity)| propensity).sum();
        assert!(probability <= MILLION, "{above:?}: {probability}");
        for (id, (count, propensity)) in next {
            let (p, n) = (f64::from(*propensity) / f64::from(MILLION), f64::from(total));
            let deviation = (n * p * (1.0 - p)).sqrt();
            let off = (f64::from(*count) - n * p).abs();
            assert!(
                off <= 4.5 * deviation + 1.0,
                "{above:?} then {id}: {count} of {total}, recorded {p}"
            );
        }
    }
    // All six come first at some time, the best of them mostly.
    assert_eq!(seen[&Vec::new()].len(), 6);
}

#[test]
fn exploring_alone_is_uniform_and_never_exploring_is_greedy() {
    let candidates = Candidates::of(&network(4), &shop());
    let explored = select(&candidates, &wanted(MILLION), |_| 0, &mut StdRng::seed_from_u64(5));
    let propensities: Vec<_> = explored.offers.iter().map(|offer| offer.propensity).collect();
    assert_eq!(propensities, [MILLION / 4, MILLION / 3, MILLION / 2]);
    let greedy = select(&candidates, &wanted(0), |_| 0, &mut StdRng::seed_from_u64(5));
    let ids: Vec<_> = greedy.offers.iter().map(|offer| offer.id.as_str()).collect();
    assert_eq!(ids, ["c3", "c2", "c1"]);
}

#[test]
fn the_mail_ends_with_its_first_offer() {
    let (mut early, mut late) = (fixture::campaign("a", "vini"), fixture::campaign("b", "olio"));
    early.1.ends_at = Some(fixture::ahead("2h"));
    late.1.ends_at = Some(fixture::ahead("3h"));
    let endless = fixture::campaign("c", "pane");
    let candidates = Candidates::of(&fixture::catalogue(&shop(), vec![early, late, endless]), &shop());
    let selection = select(&candidates, &wanted(0), |_| 0, &mut StdRng::seed_from_u64(1));
    assert_eq!(selection.offers.len(), 3);
    assert_eq!(selection.ends_at, Some(fixture::ahead("2h")));
}

proptest! {
    #[test]
    fn every_selection_keeps_the_rules(
        owners in prop::collection::vec(0..6_usize, 0..30),
        prices in prop::collection::vec(0..500_i64, 30),
        categories in prop::collection::vec(prop::option::of(0..4_usize), 30),
        exploration in 0..=MILLION,
        seed: u64,
    ) {
        let advertisers = ["own", "rival", "vini", "olio", "miele", "pane"];
        let subjects = ["shoes", "tobacco", "wine", "bread"];
        let campaigns: Vec<_> = owners.iter().enumerate().map(|(n, owner)| {
            let (id, mut spec) = fixture::campaign(&format!("c{n}"), advertisers[*owner]);
            spec.price.amount = prices[n];
            spec.categories = categories[n].map(|subject| subjects[subject].try_into().unwrap()).into_iter().collect();
            (id, spec)
        }).collect();
        let catalogue = fixture::catalogue(&shop(), campaigns);
        let candidates = Candidates::of(&catalogue, &shop());
        let choose = || select(&candidates, &wanted(exploration), |_| 0, &mut StdRng::seed_from_u64(seed));
        let selection = choose();
        prop_assert_eq!(&selection, &choose(), "the same facts and seed give the same selection");
        prop_assert!(selection.offers.len() <= 3);
        let mut advertisers = Vec::new();
        for offer in &selection.offers {
            let spec = &catalogue.campaign(&offer.id).unwrap().spec;
            prop_assert!(!["own", "rival"].contains(&spec.advertiser.as_str()));
            prop_assert!(!spec.categories.iter().any(|subject| ["shoes", "tobacco"].contains(&&**subject)));
            prop_assert!((1..=MILLION).contains(&offer.propensity));
            prop_assert!(!advertisers.contains(&&spec.advertiser), "one offer per advertiser");
            advertisers.push(&spec.advertiser);
        }
        let fitting = |owner: &&usize| **owner >= 2;
        prop_assert!(owners.iter().any(|owner| fitting(&owner)) || selection.offers.is_empty());
    }
}

/// `cargo test --release -p policy --test offers -- --ignored --nocapture`
#[test]
#[ignore = "a measurement"]
fn cost_of_a_selection_among_a_hundred() {
    let catalogue = network(100);
    let rounds = 100_000;
    let mut random = StdRng::seed_from_u64(1);
    let start = Instant::now();
    let prepared: Vec<_> = (0..1_000).map(|_| Candidates::of(&catalogue, &shop())).collect();
    println!("candidates: {:?} each", start.elapsed() / 1_000);
    let candidates = &prepared[0];
    let start = Instant::now();
    let chosen: usize = (0..rounds)
        .map(|_| {
            select(candidates, &wanted(MILLION / 10), |number| number.0.into(), &mut random)
                .offers
                .len()
        })
        .sum();
    println!("select: {:?} each ({chosen} offers)", start.elapsed() / rounds);
}
