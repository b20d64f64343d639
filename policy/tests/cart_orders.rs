//! Which cart an order closes and whose merit that is; and what settings are refused.

#![allow(clippy::unwrap_used, reason = "a test states its expectations by unwrapping")]

mod cart_fixture;
mod fixture;

use std::time::Duration;

use cart_fixture::{cart, changed, items, spec};
use fixture::{OWN, ago, now};
use policy::cart::{CartState, Fault, check, ordered, prepare};
use serde_json::{Value, json};
use types::cart::{CartSpec, Reminder};
use types::catalogue::TemplateKind;
use types::event::{CartDecided, CartVerdict, Event, Recovery};
use types::id::{EventId, MessageId, PartitionId, PublicId};
use types::locale::Language;
use types::order::Order;
use types::time::Timestamp;

/// A cart "c-{number}" with these lines, touched so long ago; a reminder `m{number}` went out `reminded` ago.
fn waiting(number: u64, lines: &[(&str, u32)], touched: &str, reminded: Option<&str>) -> CartState {
    let mut put = cart(ago(touched));
    put.items = items(lines);
    let mut changed = changed(put);
    changed.id = format!("c-{number}").as_str().try_into().unwrap();
    prepare(&mut changed, None, Some(&spec()), Language::It, ago(touched));
    let state = CartState::new(EventId::from_raw(number), ago(touched), &changed).unwrap();
    match reminded {
        Some(reminded) => decided(state, ago(reminded), reminder(number)),
        None => state,
    }
}

fn reminder(number: u64) -> CartVerdict {
    CartVerdict::Reminded {
        reminder: Reminder::First,
        accepted: EventId::from_raw(number),
        message: MessageId::from_raw(number),
        test: false,
    }
}

fn decided(state: CartState, wall: Timestamp, verdict: CartVerdict) -> CartState {
    let decided = CartDecided {
        shop: OWN,
        person: state.person(),
        cart: state.cart(),
        due: None,
        verdict,
        next: None,
    };
    state.apply(wall, &Event::CartDecided(Box::new(decided))).unwrap()
}

fn closed(state: CartState) -> CartState {
    let total = state.total();
    let verdict = CartVerdict::Ordered {
        order: EventId::from_raw(90),
        total,
        recovery: Recovery::Unaided,
    };
    decided(state, ago("1m"), verdict)
}

fn token(number: u64) -> String {
    let id = PublicId {
        partition: PartitionId::new(5).unwrap(),
        event: EventId::from_raw(number),
    };
    id.to_string()
}

/// An order of one "a", with changes.
fn order(changes: Value) -> Order {
    let order = json!({
        "order_id": "1", "placed_at": now(), "status": "confirmed", "customer": {"email": "anna@libero.it"},
        "total": {"amount": 1, "currency": "EUR"},
        "items": [{"sku": "a", "title": "Scarpe", "quantity": 1, "unit_price": 1}],
    });
    serde_json::from_value(with(order, changes)).unwrap()
}

/// Returns an object with some fields changed.
fn with(mut base: Value, changes: Value) -> Value {
    if let (Value::Object(base), Value::Object(changes)) = (&mut base, changes) {
        base.extend(changes);
    }
    base
}

const A: &[(&str, u32)] = &[("a", 1)];
const B: &[(&str, u32)] = &[("b", 1)];

#[track_caller]
fn check_order(carts: &[CartState], changes: Value, clicked: Option<(u64, &str)>, expected: Option<(u64, Recovery)>) {
    let clicks = |message: MessageId| {
        clicked
            .filter(|(number, _)| message.raw() == *number)
            .map(|(_, at)| ago(at))
    };
    let found = ordered(&order(changes), now(), carts, Some(&spec()), &clicks);
    assert_eq!(found.map(|closed| (closed.cart.raw(), closed.recovery)), expected);
}

#[test]
fn an_order_closes_the_cart_that_it_names() {
    let carts = [waiting(1, B, "3h", None), waiting(2, A, "2h", None)];
    check_order(&carts, json!({"cart_id": "c-1"}), None, Some((1, Recovery::Unaided)));
    check_order(&carts, json!({"cart_id": "c-1", "status": "pending"}), None, None);
    check_order(&carts, json!({"cart_id": "c-1", "status": "test"}), None, None);
    // A name that we never heard is none.
    check_order(&carts, json!({"cart_id": "c-9"}), None, Some((2, Recovery::Unaided)));
}

#[test]
fn an_order_of_a_closed_cart_closes_no_other() {
    let carts = [closed(waiting(1, A, "3h", None)), waiting(2, A, "2h", None)];
    check_order(&carts, json!({"cart_id": "c-1"}), None, None);
    check_order(&carts, json!({}), None, Some((2, Recovery::Unaided)));
}

#[test]
fn else_the_one_whose_link_brought_the_buyer_then_the_same_content_then_the_latest_reminded() {
    let carts = [
        waiting(1, B, "9h", Some("7h")),
        waiting(2, A, "8h", None),
        waiting(3, A, "7h", None),
        waiting(4, B, "6h", Some("4h")),
    ];
    check_order(
        &carts,
        json!({"recovery": token(1)}),
        None,
        Some((1, Recovery::Recovered)),
    );
    check_order(
        &carts,
        json!({"recovery": "nonsense"}),
        None,
        Some((3, Recovery::Unaided)),
    );
    check_order(&carts, json!({}), None, Some((3, Recovery::Unaided)));
    let other = json!([{"sku": "z", "title": "Altro", "quantity": 1, "unit_price": 1}]);
    check_order(&carts, json!({"items": other}), None, Some((4, Recovery::Influenced)));
    check_order(&carts, json!({"items": []}), None, Some((4, Recovery::Influenced)));
    check_order(&carts[1..3], json!({"items": other}), None, None);
    check_order(&carts[1..3], json!({"items": []}), None, None);
}

#[test]
fn recovered_is_who_came_back_by_a_reminder_within_the_time() {
    let reminded = |ago| [waiting(1, A, "240h", Some(ago))];
    for (carts, click, recovery) in [
        (reminded("1h"), None, Recovery::Influenced),
        (reminded("1h"), Some((1, "30m")), Recovery::Recovered),
        (reminded("1h"), Some((2, "30m")), Recovery::Influenced),
        // A click that comes after the order led to no order.
        (reminded("1h"), Some((1, "-1m")), Recovery::Influenced),
        (reminded("167h"), Some((1, "30m")), Recovery::Recovered),
        (reminded("168h"), Some((1, "30m")), Recovery::Unaided),
        (reminded("168h"), None, Recovery::Unaided),
    ] {
        check_order(&carts, json!({}), click, Some((1, recovery)));
    }
    check_order(
        &reminded("168h"),
        json!({"recovery": token(1)}),
        None,
        Some((1, Recovery::Unaided)),
    );
    let just_within = ordered(
        &order(json!({"recovery": token(1)})),
        now() - Duration::from_millis(1),
        &reminded("168h"),
        Some(&spec()),
        &|_| None,
    );
    assert_eq!(just_within.unwrap().recovery, Recovery::Recovered);
    // Without a cart of the same content, one whose reminder no longer counts stays open.
    let other = json!([{"sku": "z", "title": "Altro", "quantity": 1, "unit_price": 1}]);
    check_order(&reminded("168h"), json!({"items": other}), None, None);
}

fn settings(changes: Value) -> CartSpec {
    let spec = json!({
        "mode": "live", "languages": ["it"], "first": {"after": "2h"}, "second": {"after": "24h"},
        "time_zone": "Europe/Rome",
    });
    serde_json::from_value(with(spec, changes)).unwrap()
}

#[track_caller]
fn check_settings(changes: Value, expected: &[&str]) {
    let kind = |id: &types::text::Slug| match id.as_str() {
        "carrello" => Some(TemplateKind::Cart),
        "saluto" => Some(TemplateKind::Message),
        _ => None,
    };
    let told = changes.to_string();
    let faults = check(&settings(changes), &kind);
    let paths: Vec<_> = faults.iter().map(|Fault { path, .. }| path.as_str()).collect();
    assert_eq!(paths, expected, "{told}: {faults:?}");
}

#[test]
fn every_fault_of_the_settings_is_told_with_its_place() {
    check_settings(json!({}), &[]);
    check_settings(json!({"first": {"after": "24h"}, "second": {"after": "48h"}}), &[]);
    check_settings(
        json!({"first": {"after": "1d"}, "second": {"after": "2x24h", "template": "carrello"}}),
        &[],
    );
    check_settings(json!({"first": null}), &[]);
    check_settings(json!({"first": null, "second": null}), &[]);
    check_settings(
        json!({"first": {"after": "1441m"}, "second": {"after": "25h"}}),
        &["/first/after"],
    );
    check_settings(json!({"second": {"after": "2881m"}}), &["/second/after"]);
    check_settings(json!({"second": {"after": "2h"}}), &["/second/after"]);
    check_settings(json!({"second": {"after": "120m"}}), &["/second/after"]);
    check_settings(json!({"first": {"after": "0m"}}), &["/first/after"]);
    check_settings(
        json!({"first": {"after": "2h", "template": "saluto"}}),
        &["/first/template"],
    );
    check_settings(
        json!({"second": {"after": "3h", "template": "altro"}}),
        &["/second/template"],
    );
    check_settings(json!({"mode": "test"}), &["/address"]);
    check_settings(json!({"mode": "test", "address": "a@b.example"}), &[]);
    check_settings(json!({"languages": []}), &["/languages"]);
    check_settings(
        json!({"select": {"no_order_for_days": 0}}),
        &["/select/no_order_for_days"],
    );
    check_settings(json!({"select": {"no_order_for_days": 3650}}), &[]);
    check_settings(
        json!({"select": {"no_order_for_days": 3651}}),
        &["/select/no_order_for_days"],
    );
    check_settings(
        json!({"minimum": {"amount": -1, "currency": "EUR"}}),
        &["/minimum/amount"],
    );
    check_settings(json!({"recovered_within": "59m"}), &["/recovered_within"]);
    check_settings(json!({"recovered_within": "1h"}), &[]);
    check_settings(json!({"recovered_within": "30d"}), &[]);
    check_settings(json!({"recovered_within": "721h"}), &["/recovered_within"]);
    let coupon = json!({"code": "A", "worth": "10 %", "valid_for": "2d"});
    check_settings(json!({"coupon": coupon}), &[]);
    check_settings(json!({"coupon": coupon, "second": null}), &["/coupon"]);
    check_settings(
        json!({"coupon": {"code": " ", "worth": "", "valid_for": "0d"}}),
        &["/coupon/code", "/coupon/worth", "/coupon/valid_for"],
    );
    check_settings(
        json!({"mode": "test", "languages": [], "first": {"after": "30h"}, "second": {"after": "50h"}, "recovered_within": "0m"}),
        &[
            "/address",
            "/languages",
            "/first/after",
            "/second/after",
            "/recovered_within",
        ],
    );
}
