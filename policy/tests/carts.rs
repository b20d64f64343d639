//! Reminders of carts: every cell of the table of rules, when they are due, and which cart an order closes.

#![allow(clippy::unwrap_used, reason = "a test states its expectations by unwrapping")]

mod cart_fixture;
mod fixture;

use std::collections::BTreeMap;
use std::time::Duration;

use cart_fixture::{World, cart, items, spec, touched};
use policy::cart::{CartDecision, CartFacts, OpenCart, decide};
use policy::contact::{ContentKeys, Ordered};
use serde::Deserialize;
use types::cart::{CartMode, CartSelection, Payment, Reminder, SameContent, SeveralCarts};
use types::event::{CartReason, Refusal, ReminderPurpose};
use types::id::EventId;
use types::locale::Language;
use types::money::Money;
use types::time::Timestamp;

/// The table: axes of cells.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    order: Vec<String>,
    payment: Vec<Cell<String>>,
    mode: Vec<Mode>,
    select: Vec<Select>,
    several: Vec<Several>,
    languages: Vec<Cell<Vec<Language>>>,
    minimum: Vec<Cell<Money>>,
    content: Vec<Content>,
    late: Vec<Late>,
    consent: Vec<Cell<bool>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Cell<T> {
    row: u32,
    is: T,
    #[serde(default)]
    against: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Mode {
    row: u32,
    is: CartMode,
    #[serde(default)]
    address: bool,
    #[serde(default)]
    mails: Vec<String>,
    #[serde(default)]
    against: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Select {
    row: u32,
    is: CartSelection,
    ordered: Option<Timestamp>,
    #[serde(default)]
    against: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Several {
    row: u32,
    is: SeveralCarts,
    other: Option<String>,
    #[serde(default)]
    against: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Content {
    row: u32,
    is: SameContent,
    holds: BTreeMap<String, u32>,
    after: i64,
    #[serde(default)]
    against: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Late {
    row: u32,
    first: u64,
    second: u64,
    more: u64,
    #[serde(default)]
    against: Vec<String>,
}

fn table() -> Table {
    let path = format!("{}/tests/cases/carts.toml", env!("CARGO_MANIFEST_DIR"));
    toml::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

fn payment(text: &str) -> Option<Payment> {
    (text != "none").then(|| serde_json::from_value(text.into()).unwrap())
}

/// Decides one cell of the matrix after the other, and returns how many there were.
#[expect(clippy::too_many_lines, reason = "one loop for each axis")]
fn check_all(reminder: Reminder) -> usize {
    let table = table();
    let world = World::default();
    let now = fixture::now();
    let mut cells = 0;
    let mut spec = spec();
    for late in &table.late {
        let hours = match reminder {
            Reminder::First => late.first,
            Reminder::Second => late.second,
        };
        let touched_at = now - Duration::from_hours(hours) - Duration::from_millis(late.more);
        for (payment_cell, consent) in table
            .payment
            .iter()
            .flat_map(|one| table.consent.iter().map(move |other| (one, other)))
        {
            let mut put = cart(touched_at);
            put.payment = payment(&payment_cell.is);
            put.consent.marketing = Some(types::order::Grant::Bare(consent.is));
            let state = touched(put, touched_at);
            for content in &table.content {
                spec.same = content.is;
                let at = i64::try_from(touched_at.as_millis()).unwrap() + content.after;
                let lines: Vec<_> = content
                    .holds
                    .iter()
                    .map(|(sku, quantity)| (sku.as_str(), *quantity))
                    .collect();
                let ordered = [Ordered {
                    order: EventId::from_raw(9),
                    at: Timestamp::from_millis(at.try_into().unwrap()),
                    content: ContentKeys::of(&items(&lines)),
                }];
                for several in &table.several {
                    spec.several = several.is;
                    let minute = Duration::from_mins(1);
                    let other = several.other.as_deref().map(|other| OpenCart {
                        cart: EventId::from_raw(2),
                        touched_at: match other {
                            "earlier" => touched_at - Duration::from_millis(1),
                            "later" => touched_at + minute,
                            _ => now - Duration::from_hours(48),
                        },
                    });
                    let own = OpenCart::from(&state);
                    let open: Vec<_> = other.into_iter().chain([own]).collect();
                    for select in &table.select {
                        spec.select = select.is;
                        for (languages, minimum) in table
                            .languages
                            .iter()
                            .flat_map(|one| table.minimum.iter().map(move |other| (one, other)))
                        {
                            spec.languages.clone_from(&languages.is);
                            spec.minimum = Some(minimum.is);
                            for mode in &table.mode {
                                spec.mode = mode.is;
                                spec.address = mode.address.then(|| "negozio@scarpe.example".try_into().unwrap());
                                let facts = CartFacts {
                                    cart: &state,
                                    spec: Some(&spec),
                                    shop: &world.shop,
                                    catalogue: 7,
                                    person: &world.person,
                                    orders: u32::from(select.ordered.is_some()),
                                    last_order_at: select.ordered,
                                    ordered: &ordered,
                                    open: &open,
                                    settings: &world.settings,
                                };
                                let asked = if mode.is == CartMode::Test {
                                    &[]
                                } else {
                                    &consent.against[..]
                                };
                                let against = [
                                    &late.against[..],
                                    &payment_cell.against,
                                    &content.against,
                                    &several.against,
                                    &select.against,
                                    &languages.against,
                                    &minimum.against,
                                    &mode.against,
                                    asked,
                                ];
                                let rows = [
                                    late.row,
                                    payment_cell.row,
                                    content.row,
                                    several.row,
                                    select.row,
                                    languages.row,
                                    minimum.row,
                                    mode.row,
                                    consent.row,
                                ];
                                check(&table.order, &facts, reminder, &against.concat(), mode, &rows);
                                cells += 1;
                            }
                        }
                    }
                }
            }
        }
    }
    cells
}

fn check(order: &[String], facts: &CartFacts<'_>, reminder: Reminder, against: &[String], mode: &Mode, rows: &[u32]) {
    let expected: Vec<&str> = order
        .iter()
        .map(String::as_str)
        .filter(|reason| against.iter().any(|one| one == reason))
        .collect();
    let decision = decide(facts, reminder, fixture::now());
    let (reasons, mails): (Vec<_>, Vec<_>) = match &decision {
        CartDecision::Suppress { reasons, refusals } => {
            let is_refused = reasons.contains(&CartReason::Refused);
            assert_eq!(is_refused, !refusals.is_empty(), "{decision:?}");
            assert!(
                refusals.iter().all(|refusal| *refusal == Refusal::NoMarketingConsent),
                "{decision:?}"
            );
            assert!(!reasons.is_empty());
            (reasons.iter().map(|reason| reason.code()).collect(), Vec::new())
        }
        CartDecision::WouldRemind => (Vec::new(), Vec::new()),
        CartDecision::Remind(mails) => (Vec::new(), mails.iter().map(|mail| mail.purpose).collect()),
    };
    assert_eq!(
        reasons,
        expected,
        "{reminder:?}, rows {rows:?}: {facts_of:?}",
        facts_of = facts.spec
    );
    if expected.is_empty() {
        let purposes: Vec<_> = mails
            .iter()
            .map(|purpose| match purpose {
                ReminderPurpose::Buyer => "buyer",
                ReminderPurpose::Copy => "copy",
                ReminderPurpose::Test => "test",
            })
            .collect();
        assert_eq!(purposes, mode.mails, "rows {rows:?}");
        assert_eq!(decision == CartDecision::WouldRemind, mode.is == CartMode::Shadow);
    } else {
        assert!(matches!(decision, CartDecision::Suppress { .. }));
    }
}

#[test]
fn every_cell_of_the_table_is_decided_as_it_says_for_the_first() {
    assert_eq!(check_all(Reminder::First), 2 * 8 * 2 * 7 * 5 * 6 * 2 * 3 * 6);
}

#[test]
fn every_cell_of_the_table_is_decided_as_it_says_for_the_second() {
    assert_eq!(check_all(Reminder::Second), 2 * 8 * 2 * 7 * 5 * 6 * 2 * 3 * 6);
}

#[test]
fn the_table_s_order_names_every_reason_once() {
    let mut order = table().order;
    order.sort();
    let mut codes: Vec<_> = CartReason::ALL.iter().map(|reason| reason.code()).collect();
    codes.sort_unstable();
    assert_eq!(order, codes);
}
