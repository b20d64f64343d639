//! Every start, what comes to it, and what only seems to.

use serde_json::json;
use types::contact::{ContactChange, ContactSource};
use types::event::{Did, HitClass, HitKind, MoveCause};
use types::workflow::{Enrol, WorkflowState};

use crate::world::{Sim, at, consent};

fn start(start: serde_json::Value) -> serde_json::Value {
    json!({
        "name": "Test", "start": start, "entry": "after_exit",
        "steps": [{ "do": "send", "id": "mail", "template": "hello" }],
    })
}

fn sim(on: serde_json::Value) -> Sim {
    Sim::new(&[("test", start(on))])
}

/// Anna agreed before the workflow is there.
fn known(on: serde_json::Value) -> Sim {
    let mut sim = Sim::new(&[]);
    sim.subscribe();
    sim.put("test", &start(on));
    sim.switch("test", WorkflowState::On, Enrol::Future);
    sim
}

const TEN: &str = "2026-11-23T10:00";

#[test]
fn a_confirmed_order_starts_and_no_other() {
    let mut sim = known(json!({ "on": "order", "if": "order.total >= 5000" }));
    for status in ["pending", "cancelled", "test"] {
        sim.order_placed("A", 99, status, sim.now);
    }
    sim.order("B", 49);
    sim.expect_sent(&[]);
    sim.order("C", 50);
    sim.expect_sent(&[("mail", TEN)]);
}

#[test]
fn a_reported_event_starts_by_its_name_and_filter() {
    let mut sim = known(json!({ "on": "event", "name": "quiz", "if": "event.key == \"passed\"" }));
    sim.report("visit", Some("passed"));
    sim.report("quiz", Some("failed"));
    sim.report("quiz", None);
    sim.expect_sent(&[]);
    sim.report("quiz", Some("passed"));
    sim.expect_sent(&[("mail", TEN)]);
}

#[test]
fn agreeing_starts_for_the_first_time_and_again_but_not_twice() {
    let mut sim = sim(json!({ "on": "subscription" }));
    sim.set("points", Some("1"));
    sim.expect_sent(&[]);
    sim.subscribe();
    sim.subscribe();
    sim.set("points", Some("2"));
    sim.expect_sent(&[("mail", TEN)]);
    sim.until("2026-11-24T10:00");
    sim.unsubscribe();
    sim.until("2026-11-25T10:00");
    sim.subscribe();
    sim.expect_sent(&[("mail", TEN), ("mail", "2026-11-25T10:00")]);
}

#[test]
fn a_delay_after_agreeing_is_counted_from_it_and_void_if_it_is_taken_back() {
    let mut sim = sim(json!({ "on": "subscription", "after": "3d" }));
    sim.subscribe();
    assert_eq!(sim.waiting(), ["- start 2026-11-26T10:00"]);
    // Not entered yet.
    assert_eq!(sim.did().count(), 0);
    sim.until("2026-11-24T00:00");
    sim.unsubscribe();
    assert_eq!(sim.leaves(), ["start_gone"]);
    sim.until("2026-11-24T00:01");
    sim.subscribe();
    sim.until("2026-12-01T00:00");
    sim.expect_sent(&[("mail", "2026-11-27T00:01")]);
}

#[test]
fn who_agreed_long_ago_is_told_of_now_enters_at_once() {
    let mut sim = sim(json!({ "on": "subscription", "after": "3d" }));
    let change = ContactChange {
        consents: vec![consent(true, at("2026-11-01T00:00"))],
        ..ContactChange::default()
    };
    sim.changed_by(ContactSource::Import, change);
    sim.expect_sent(&[("mail", TEN)]);
}

#[test]
fn a_date_starts_before_or_after_it_at_its_time() {
    for (on, value, expected) in [
        (json!({ "days": 0 }), "2026-12-01", "2026-12-01T00:00"),
        (json!({ "days": -7, "at": "09:30" }), "2026-12-10", "2026-12-03T09:30"),
        (json!({ "days": 2, "at": "09:30" }), "2026-12-10", "2026-12-12T09:30"),
        // A moment needs no zone and no time.
        (
            json!({ "days": 0, "at": "09:30" }),
            "2026-12-10T18:00:30+01:00",
            "2026-12-10T17:00:30Z",
        ),
        (
            json!({ "days": -1 }),
            "2026-12-10T18:00:30+01:00",
            "2026-12-09T17:00:30Z",
        ),
    ] {
        let mut on = on;
        on["on"] = json!("date");
        on["field"] = json!("renewal");
        let mut sim = known(on);
        sim.set("renewal", Some(value));
        sim.expect_sent(&[]);
        sim.until("2027-12-31T00:00");
        sim.expect_sent(&[("mail", expected)]);
    }
}

#[test]
fn a_date_comes_in_the_contacts_own_zone() {
    let mut sim = known(json!({ "on": "date", "field": "renewal", "at": "09:00" }));
    sim.zone("America/New_York");
    sim.set("renewal", Some("2026-12-01"));
    sim.until("2027-01-01T00:00");
    sim.expect_sent(&[("mail", "2026-12-01T14:00")]);
}

#[test]
fn a_date_of_today_comes_at_once_and_one_that_is_long_past_does_not() {
    let mut sim = known(json!({ "on": "date", "field": "renewal" }));
    sim.set("renewal", Some("2026-11-23"));
    sim.expect_sent(&[("mail", TEN)]);
    let mut sim = known(json!({ "on": "date", "field": "renewal" }));
    sim.set("renewal", Some("2026-11-22"));
    sim.until("2027-12-01T00:00");
    sim.expect_sent(&[]);
    assert_eq!(sim.waiting(), [""; 0]);
}

#[test]
fn a_birthday_comes_each_year_once_and_on_one_day_of_it() {
    for (yearly, days) in [
        ("feb28", ["2027-02-28", "2028-02-29", "2029-02-28"]),
        ("mar01", ["2027-03-01", "2028-02-29", "2029-03-01"]),
    ] {
        let workflow = json!({
            "name": "Birthday", "start": { "on": "date", "field": "birthday", "at": "08:00", "yearly": yearly },
            "steps": [{ "do": "send", "id": "gift", "template": "gift" }],
        });
        let mut sim = Sim::new(&[("test", workflow)]);
        sim.subscribe();
        sim.set("birthday", Some("1980-02-29"));
        sim.until("2029-12-31T00:00");
        let expected = days.map(|day| format!("{day}T08:00"));
        let expected: Vec<_> = expected.iter().map(|day| ("gift", day.as_str())).collect();
        sim.expect_sent(&expected);
        assert_eq!(sim.live().len(), 1);
        sim.expect_replay();
    }
}

#[test]
fn a_birthday_that_is_corrected_after_it_came_does_not_come_again_this_year() {
    let workflow = json!({
        "name": "Birthday", "start": { "on": "date", "field": "birthday", "yearly": "feb28" },
        "steps": [{ "do": "send", "id": "gift", "template": "gift" }],
    });
    let mut sim = Sim::new(&[("test", workflow)]);
    sim.subscribe();
    sim.set("birthday", Some("1980-11-23"));
    sim.expect_sent(&[("gift", TEN)]);
    sim.set("birthday", Some("1981-11-23"));
    sim.set("birthday", Some("1981-12-24"));
    sim.until("2027-12-31T00:00");
    sim.expect_sent(&[("gift", TEN), ("gift", "2027-12-24T00:00")]);
}

#[test]
fn a_condition_starts_on_its_edge_only() {
    let mut sim = known(json!({ "on": "condition", "if": "fields.points >= 100" }));
    sim.set("points", Some("99"));
    sim.set("points", Some("100"));
    sim.set("points", Some("101"));
    sim.set("city", Some("Roma"));
    sim.order("A", 10);
    assert_eq!(sim.sent.len(), 1);
    sim.set("points", Some("99"));
    sim.set("points", Some("100"));
    assert_eq!(sim.sent.len(), 2);

    let mut sim = known(json!({ "on": "condition", "if": "fields.points >= 100", "becomes": false }));
    sim.set("points", Some("1"));
    sim.set("points", Some("100"));
    assert_eq!(sim.sent.len(), 0);
    sim.set("points", None);
    assert_eq!(sim.sent.len(), 1);
}

#[test]
fn a_group_starts_by_being_entered_or_left() {
    let mut sim = known(json!({ "on": "group", "group": "readers" }));
    sim.join("readers");
    sim.join("readers");
    sim.leave("readers");
    assert_eq!(sim.sent.len(), 1);
    let mut sim = known(json!({ "on": "group", "group": "readers", "change": "left" }));
    sim.leave("readers");
    sim.join("readers");
    assert_eq!(sim.sent.len(), 0);
    sim.leave("readers");
    assert_eq!(sim.sent.len(), 1);
}

#[test]
fn an_open_starts_in_the_mails_that_are_meant_and_by_people() {
    let newsletter = start(json!({ "on": "event", "name": "news" }));
    let check = |of: serde_json::Value, activity: &str, kind, class, mails_before: usize, expected: usize| {
        let on = json!({ "on": "activity", "activity": activity, "of": of });
        let by_open = json!({
            "name": "By open", "start": on, "steps": [{ "do": "send", "id": "thanks", "template": "thanks" }],
        });
        let mut sim = Sim::new(&[("news", newsletter.clone()), ("open", by_open)]);
        sim.subscribe();
        for _ in 0..=mails_before {
            sim.report("news", None);
            sim.advance(sim.now + crate::world::minutes(1));
        }
        sim.sent.rotate_left(1);
        // The first mail of all is opened.
        sim.judged_as("mail", kind, class, sim.now);
        let thanks = sim.sent.iter().filter(|mail| mail.step.as_str() == "thanks").count();
        assert_eq!(thanks, expected, "{activity} {of}");
    };
    let (open, click, human) = (HitKind::Open, HitKind::Click, HitClass::Human);
    check(json!("any"), "opened", open, human, 0, 1);
    check(json!("any"), "opened", click, human, 0, 0);
    check(json!("any"), "clicked", click, human, 0, 1);
    check(json!("any"), "engaged", click, human, 0, 1);
    check(json!("any"), "engaged", open, HitClass::AppleMpp, 0, 0);
    check(json!("last_five"), "opened", open, human, 4, 1);
    check(json!("last_five"), "opened", open, human, 5, 0);
    check(json!({ "template": "hello" }), "opened", open, human, 0, 1);
    check(json!({ "template": "gift" }), "opened", open, human, 0, 0);
}

#[test]
fn an_activity_with_a_delay_is_counted_from_the_hit() {
    let news = start(json!({ "on": "event", "name": "news" }));
    let by_open = json!({
        "name": "By open", "start": { "on": "activity", "activity": "opened", "after": "2d" },
        "steps": [{ "do": "send", "id": "thanks", "template": "thanks" }],
    });
    let mut sim = Sim::new(&[("news", news), ("open", by_open)]);
    sim.subscribe();
    sim.report("news", None);
    sim.until("2026-11-23T12:30");
    sim.judged("mail", HitClass::Human, at("2026-11-23T12:00"));
    // The first one counts.
    sim.until("2026-11-24T12:30");
    sim.judged("mail", HitClass::Human, at("2026-11-24T12:00"));
    sim.until("2026-12-01T00:00");
    sim.expect_sent(&[("mail", TEN), ("thanks", "2026-11-25T12:00")]);
}

#[test]
fn a_cart_that_is_left_alone_starts_and_one_that_is_touched_waits_again() {
    let mut sim = known(json!({ "on": "cart_abandoned", "after": "2h" }));
    sim.cart_touched("c1");
    sim.until("2026-11-23T11:00");
    sim.cart_touched("c1");
    assert_eq!(sim.waiting(), ["- start 2026-11-23T13:00"]);
    sim.until("2026-11-23T12:59");
    sim.expect_sent(&[]);
    sim.until("2026-11-24T00:00");
    sim.expect_sent(&[("mail", "2026-11-23T13:00")]);
    let request = serde_json::to_value(&sim.sent[0].request).unwrap();
    assert_eq!(request["body"]["template"]["vars"]["key"], "c1");
}

#[test]
fn a_cart_that_is_bought_does_not() {
    let mut sim = known(json!({ "on": "cart_abandoned", "after": "2h" }));
    sim.cart_touched("c1");
    sim.cart_touched("c2");
    assert_eq!(sim.live().len(), 2);
    sim.cart_closed("c1");
    sim.until("2026-11-24T00:00");
    sim.expect_sent(&[("mail", "2026-11-23T12:00")]);
    assert_eq!(sim.leaves(), ["start_gone", "finished"]);
}

#[test]
fn conditions_of_entry_are_asked_again_when_a_delay_is_over() {
    let mut workflow = start(json!({ "on": "subscription", "after": "1d" }));
    workflow["who"] = json!({ "not_groups": ["staff"] });
    let mut sim = Sim::new(&[("test", workflow)]);
    sim.subscribe();
    sim.join("staff");
    sim.until("2026-12-01T00:00");
    sim.expect_sent(&[]);
    assert_eq!(sim.leaves(), ["not_who"]);
    assert!(!sim.did().any(|did| *did == Did::Entered));
}

#[test]
fn switching_on_takes_in_who_is_there_only_if_that_is_asked_for() {
    for (on, enrol, expected) in [
        (json!({ "on": "subscription" }), Enrol::ExistingAndFuture, 1),
        (json!({ "on": "subscription" }), Enrol::Future, 0),
        (
            json!({ "on": "group", "group": "readers" }),
            Enrol::ExistingAndFuture,
            1,
        ),
        (json!({ "on": "group", "group": "buyers" }), Enrol::ExistingAndFuture, 0),
        (
            json!({ "on": "group", "group": "buyers", "change": "left" }),
            Enrol::ExistingAndFuture,
            1,
        ),
        (
            json!({ "on": "condition", "if": "fields.points > 1" }),
            Enrol::ExistingAndFuture,
            1,
        ),
        (
            json!({ "on": "condition", "if": "fields.points > 9" }),
            Enrol::ExistingAndFuture,
            0,
        ),
        (json!({ "on": "date", "field": "renewal" }), Enrol::ExistingAndFuture, 1),
        (json!({ "on": "date", "field": "renewal" }), Enrol::Future, 0),
        (json!({ "on": "order" }), Enrol::ExistingAndFuture, 0),
    ] {
        let mut sim = Sim::new(&[]);
        sim.subscribe();
        sim.join("readers");
        sim.set("points", Some("5"));
        sim.set("renewal", Some("2026-12-01"));
        sim.order("A", 10);
        sim.put("test", &start(on.clone()));
        sim.switch("test", WorkflowState::On, enrol);
        sim.until("2027-01-01T00:00");
        assert_eq!(sim.sent.len(), expected, "{on} {enrol:?}");
        if expected == 1 && enrol == Enrol::ExistingAndFuture {
            let (_, _, first) = &sim.records[0];
            assert_eq!(first.cause, MoveCause::Activation(sim.catalogue.version()));
        }
    }
}

#[test]
fn an_activation_offers_a_contact_once() {
    let mut sim = Sim::new(&[]);
    sim.subscribe();
    sim.put("test", &start(json!({ "on": "subscription" })));
    sim.switch("test", WorkflowState::On, Enrol::ExistingAndFuture);
    assert_eq!(sim.sent.len(), 1);
    // A sweep that is done again after a restart.
    let version = sim.catalogue.version();
    sim.activate(version);
    assert_eq!(sim.sent.len(), 1);
}
