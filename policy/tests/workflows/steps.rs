//! Every kind of step.

use serde_json::json;
use types::event::{Did, HitClass, Leave, Place, Refusal};

use crate::world::{Sim, at, minutes};

fn on_subscription(steps: serde_json::Value) -> serde_json::Value {
    json!({ "name": "Test", "start": { "on": "subscription" }, "steps": steps })
}

fn sim(steps: serde_json::Value) -> Sim {
    let mut sim = Sim::new(&[("test", on_subscription(steps))]);
    sim.subscribe();
    sim
}

#[test]
fn a_series_of_mails_goes_out_with_its_waits_and_ends() {
    let mut sim = sim(json!([
        { "do": "send", "id": "first", "template": "hello" },
        { "do": "wait", "id": "day", "for": "1d" },
        { "do": "send", "id": "next", "template": "second" },
    ]));
    assert_eq!(sim.waiting(), ["day time 2026-11-24T10:00"]);
    sim.until("2026-12-01T00:00");
    sim.expect_sent(&[("first", "2026-11-23T10:00"), ("next", "2026-11-24T10:00")]);
    assert_eq!(sim.leaves(), ["finished"]);
    sim.expect_replay();
}

#[test]
fn a_mail_sees_the_fields_the_address_and_the_key_as_texts() {
    let workflow = json!({
        "name": "Thanks", "start": { "on": "order" }, "entry": "per_key",
        "steps": [{ "do": "send", "id": "thanks", "template": "thanks" }],
    });
    let mut sim = Sim::new(&[("test", workflow)]);
    sim.subscribe();
    sim.set("birthday", Some("1980-02-29"));
    sim.set("points", Some("12.50"));
    sim.set("vip", Some("yes"));
    sim.order("A-17", 99);
    let request = serde_json::to_value(&sim.sent[0].request).unwrap();
    assert_eq!(
        request["body"]["template"]["vars"],
        json!({
            "birthday": "1980-02-29", "points": "12.5", "vip": "true",
            "email": "anna@posta.example", "name": "", "key": "A-17",
        })
    );
    assert_eq!(request["stream"], "promotional");
    assert_eq!(request["consent"]["marketing"]["at"], "2026-11-23T10:00:00.000Z");
}

#[test]
fn a_branch_goes_one_way_or_the_other_or_to_the_end() {
    for (city, expected) in [
        (
            Some("Roma"),
            &[("rome", "2026-11-23T10:00"), ("all", "2026-11-23T10:00")][..],
        ),
        (Some("Pisa"), &[("all", "2026-11-23T10:00")]),
        (None, &[("all", "2026-11-23T10:00")]),
    ] {
        let steps = json!([
            { "do": "branch", "id": "city", "if": "fields.city == \"Roma\"", "else": "all" },
            { "do": "send", "id": "rome", "template": "hello" },
            { "do": "send", "id": "all", "template": "second" },
        ]);
        let mut sim = Sim::new(&[("test", on_subscription(steps))]);
        sim.set("city", city);
        sim.subscribe();
        sim.expect_sent(expected);
    }
    let sim = sim(json!([
        { "do": "branch", "id": "all", "if": "consent.email", "then": "end", "else": "mail" },
        { "do": "send", "id": "mail", "template": "hello" },
    ]));
    sim.expect_sent(&[]);
    assert_eq!(sim.leaves(), ["finished"]);
}

#[test]
fn a_group_step_changes_what_later_steps_see_and_starts_what_waits_for_it() {
    let grouping = on_subscription(json!([
        { "do": "group", "id": "in", "change": { "copy": "readers" } },
        { "do": "branch", "id": "in-it", "if": "\"readers\" in groups", "else": "end" },
        { "do": "group", "id": "move", "change": { "move": { "from": "readers", "to": "buyers" } } },
        { "do": "group", "id": "again", "change": { "move": { "from": "readers", "to": "done" } } },
        { "do": "group", "id": "out", "change": { "leave": "staff" } },
    ]));
    let started = json!({
        "name": "By group", "start": { "on": "group", "group": "buyers" },
        "steps": [{ "do": "send", "id": "mail", "template": "hello" }],
    });
    let mut sim = Sim::new(&[("a", grouping), ("b", started)]);
    sim.subscribe();
    let groups: Vec<_> = sim.contact().groups().iter().map(ToString::to_string).collect();
    assert_eq!(groups, ["buyers"]);
    // What changes nothing is not told.
    let grouped = sim.did().filter(|did| matches!(did, Did::Grouped { .. })).count();
    assert_eq!(grouped, 2);
    sim.expect_sent(&[("mail", "2026-11-23T10:00")]);
}

#[test]
fn an_exit_step_leaves() {
    let sim = sim(json!([
        { "do": "exit", "id": "out" },
        { "do": "send", "id": "never", "template": "hello" },
    ]));
    sim.expect_sent(&[]);
    assert_eq!(sim.leaves(), ["exit_step"]);
}

#[test]
fn hours_pass_and_days_are_the_calendars() {
    // The clocks go back in Rome on 25 October 2026, forward on 28 March 2027.
    for (wait, expected) in [
        ("24h", "2027-03-28T09:00"),
        ("1x24h", "2027-03-28T09:00"),
        ("1d", "2027-03-28T08:00"),
        ("90m", "2027-03-27T10:30"),
    ] {
        let steps = json!([
            { "do": "wait", "id": "wait", "for": wait },
            { "do": "send", "id": "mail", "template": "hello" },
        ]);
        let mut sim = Sim::new(&[("test", on_subscription(steps))]);
        sim.until("2027-03-27T09:00");
        sim.zone("Europe/Rome");
        sim.subscribe();
        sim.until("2027-03-29T00:00");
        sim.expect_sent(&[("mail", expected)]);
    }
}

#[test]
fn a_wait_after_a_mail_is_counted_from_its_acceptance() {
    let mut sim = sim(json!([
        { "do": "send", "id": "one", "template": "hello" },
        { "do": "wait", "id": "hour", "for": "1h" },
        { "do": "send", "id": "two", "template": "second" },
        { "do": "wait", "id": "since-one", "for": "3h", "after": "send", "of": "one" },
        { "do": "send", "id": "three", "template": "third" },
    ]));
    sim.until("2026-11-24T00:00");
    sim.expect_sent(&[
        ("one", "2026-11-23T10:00"),
        ("two", "2026-11-23T11:00"),
        ("three", "2026-11-23T13:00"),
    ]);
}

fn engagement() -> serde_json::Value {
    json!([
        { "do": "send", "id": "one", "template": "hello" },
        { "do": "wait", "id": "read", "for": "2h", "after": "engagement", "limit": "3d", "else": "again" },
        { "do": "send", "id": "two", "template": "second" },
        { "do": "exit", "id": "out" },
        { "do": "send", "id": "again", "template": "again" },
    ])
}

#[test]
fn an_open_is_waited_for_and_counted_from() {
    let mut sim = sim(engagement());
    assert_eq!(sim.waiting(), ["read engagement 2026-11-26T10:00"]);
    sim.until("2026-11-24T12:02");
    // Opened at 12:00, judged two minutes later: the hit's time counts.
    sim.judged("one", HitClass::Human, at("2026-11-24T12:00"));
    assert_eq!(sim.waiting(), ["read time 2026-11-24T14:00"]);
    sim.until("2026-12-24T00:00");
    sim.expect_sent(&[("one", "2026-11-23T10:00"), ("two", "2026-11-24T14:00")]);
    assert_eq!(sim.leaves(), ["exit_step"]);
}

#[test]
fn an_open_that_does_not_come_ends_the_wait_at_its_limit() {
    let mut sim = sim(engagement());
    sim.until("2026-12-24T00:00");
    sim.expect_sent(&[("one", "2026-11-23T10:00"), ("again", "2026-11-26T10:00")]);
    // One that comes now does not recall anything.
    sim.opened("one");
    assert_eq!(sim.sent.len(), 2);
}

#[test]
fn without_another_way_who_does_not_open_leaves() {
    let mut sim = sim(json!([
        { "do": "send", "id": "one", "template": "hello" },
        { "do": "wait", "id": "read", "for": "0h", "after": "engagement" },
        { "do": "send", "id": "two", "template": "second" },
    ]));
    assert_eq!(sim.waiting(), ["read engagement 2026-12-23T10:00"]);
    sim.until("2027-01-01T00:00");
    sim.expect_sent(&[("one", "2026-11-23T10:00")]);
    assert_eq!(sim.leaves(), ["not_engaged"]);
}

fn no_engagement() -> serde_json::Value {
    json!([
        { "do": "send", "id": "one", "template": "hello" },
        { "do": "wait", "id": "unread", "for": "2d", "after": "no_engagement" },
        { "do": "send", "id": "two", "template": "second" },
    ])
}

#[test]
fn who_does_not_open_in_time_is_written_to_again() {
    let mut sim = sim(no_engagement());
    sim.until("2026-12-01T00:00");
    sim.expect_sent(&[("one", "2026-11-23T10:00"), ("two", "2026-11-25T10:00")]);
}

#[test]
fn who_opens_is_not() {
    let mut sim = sim(no_engagement());
    sim.until("2026-11-24T00:00");
    sim.opened("one");
    assert_eq!(sim.leaves(), ["engaged"]);
    sim.until("2026-12-01T00:00");
    sim.expect_sent(&[("one", "2026-11-23T10:00")]);
}

#[test]
fn an_open_that_is_not_judged_when_the_time_is_over_is_waited_for() {
    for (class, expected) in [
        (HitClass::Human, &[("one", "2026-11-23T10:00")][..]),
        (
            HitClass::Scanner,
            &[("one", "2026-11-23T10:00"), ("two", "2026-11-25T10:01")],
        ),
    ] {
        let mut sim = sim(no_engagement());
        sim.until("2026-11-25T09:59");
        sim.hit("one");
        sim.until("2026-11-25T10:00");
        assert_eq!(sim.waiting(), ["unread verdict 2026-11-25T10:02"]);
        sim.until("2026-11-25T10:01");
        sim.judged("one", class, at("2026-11-25T09:59"));
        sim.until("2026-12-01T00:00");
        sim.expect_sent(expected);
    }
}

#[test]
fn a_verdict_that_never_comes_is_not_waited_for_for_ever() {
    let mut sim = sim(no_engagement());
    sim.until("2026-11-25T09:59");
    sim.hit("one");
    sim.until("2026-12-01T00:00");
    sim.expect_sent(&[("one", "2026-11-23T10:00"), ("two", "2026-11-25T10:02")]);
}

#[test]
fn a_mail_that_was_not_sent_is_not_waited_on() {
    let steps = json!([
        { "do": "send", "id": "one", "template": "hello" },
        { "do": "wait", "id": "read", "for": "1h", "after": "engagement", "else": "two" },
        { "do": "exit", "id": "out" },
        { "do": "send", "id": "two", "template": "second" },
    ]);
    let mut sim = Sim::new(&[("test", on_subscription(steps))]);
    sim.refuse = vec![Refusal::FrequencyCap];
    sim.subscribe();
    sim.expect_sent(&[]);
    assert_eq!(sim.leaves(), ["finished"]);
}

fn webhook() -> serde_json::Value {
    json!([
        { "do": "webhook", "id": "hook", "url": "https://api.scarpe.example/hook" },
        { "do": "send", "id": "mail", "template": "hello" },
    ])
}

#[test]
fn a_webhook_is_called_with_the_contact_and_its_answer_is_waited_for() {
    let mut sim = Sim::new(&[("test", on_subscription(webhook()))]);
    sim.set("points", Some("3"));
    sim.subscribe();
    assert_eq!(sim.waiting(), ["hook webhook 2026-11-23T10:00"]);
    let body = &sim.calls[0].body;
    assert_eq!(body["workflow"], "test");
    assert_eq!(body["step"], "hook");
    assert_eq!(body["attempt"], 1);
    assert_eq!(body["email"], "anna@posta.example");
    assert_eq!(body["fields"]["points"], 3.0);
    sim.answer(Some(204));
    sim.expect_sent(&[("mail", "2026-11-23T10:00")]);
    // The same answer again changes nothing.
    sim.answer(Some(204));
    assert_eq!(sim.sent.len(), 1);
}

#[test]
fn what_a_page_refuses_is_not_asked_again() {
    for status in [400, 404, 410, 499] {
        let mut sim = sim(webhook());
        sim.answer(Some(status));
        assert_eq!((sim.calls.len(), sim.sent.len()), (1, 1), "{status}");
    }
}

#[test]
fn a_page_that_does_not_answer_is_called_four_times_and_then_left_alone() {
    let mut sim = sim(webhook());
    sim.answer(Some(503));
    sim.until("2026-11-23T10:01");
    // No answer: known after half a minute.
    sim.until("2026-11-23T10:30");
    sim.answer(None);
    sim.until("2026-11-24T00:00");
    let calls: Vec<_> = sim
        .calls
        .iter()
        .map(|call| (call.at, call.body["attempt"].clone()))
        .collect();
    assert_eq!(
        calls,
        [
            (at("2026-11-23T10:00"), json!(1)),
            (at("2026-11-23T10:01"), json!(2)),
            (at("2026-11-23T10:11:30Z"), json!(3)),
            (at("2026-11-23T11:12:00Z"), json!(4)),
        ]
    );
    sim.expect_sent(&[("mail", "2026-11-23T11:12:30Z")]);
    // An answer to an earlier call comes late.
    let first = sim.calls[0].clone();
    sim.answer_to(&first, Some(200));
    assert_eq!(sim.leaves(), ["finished"]);
}

#[test]
fn too_many_mails_under_way_put_a_step_off_by_a_second() {
    let mut sim = Sim::new(&[(
        "test",
        on_subscription(json!([{ "do": "send", "id": "mail", "template": "hello" }])),
    )]);
    sim.busy = 2;
    sim.subscribe();
    sim.advance(sim.now + minutes(1));
    sim.expect_sent(&[("mail", "2026-11-23T10:00:02Z")]);
    let busy = sim
        .did()
        .filter(|did| matches!(did, Did::Delayed { rules, .. } if *rules[0] == *"busy"));
    assert_eq!(busy.count(), 2);
}

#[test]
fn a_template_that_is_gone_skips_its_step() {
    let steps = json!([
        { "do": "wait", "id": "day", "for": "1d" },
        { "do": "send", "id": "gone", "template": "gift" },
        { "do": "send", "id": "kept", "template": "hello" },
    ]);
    let mut sim = sim(steps);
    sim.change(types::event::CatalogueChanged::TemplateDeleted {
        shop: crate::world::SHOP,
        id: crate::world::slug("gift"),
    });
    sim.until("2026-12-01T00:00");
    sim.expect_sent(&[("kept", "2026-11-24T10:00")]);
}

#[test]
fn values_of_a_field_that_was_deleted_are_told_to_nobody() {
    let mut sim = Sim::new(&[(
        "test",
        on_subscription(json!([
            { "do": "wait", "id": "day", "for": "1d" },
            { "do": "send", "id": "mail", "template": "hello" },
            { "do": "webhook", "id": "call", "url": "https://www.scarpe.example/hook" },
        ])),
    )]);
    sim.set("city", Some("Roma"));
    sim.set("points", Some("7"));
    sim.subscribe();
    sim.change(types::event::CatalogueChanged::FieldDeleted {
        shop: crate::world::SHOP,
        id: crate::world::slug("city"),
    });
    sim.until("2026-12-01T00:00");
    let request = serde_json::to_value(&sim.sent[0].request).unwrap();
    let vars = &request["body"]["template"]["vars"];
    assert_eq!((&vars["points"], vars.get("city")), (&json!("7"), None));
    assert_eq!(sim.calls[0].body["fields"], json!({ "points": 7.0 }));
}

#[test]
fn a_group_that_was_deleted_is_none_of_a_contacts_groups() {
    let mut sim = Sim::new(&[(
        "test",
        on_subscription(json!([
            { "do": "wait", "id": "day", "for": "1d" },
            { "do": "branch", "id": "any", "if": "size(groups) > 0", "else": "end" },
            { "do": "send", "id": "mail", "template": "hello" },
        ])),
    )]);
    sim.join(crate::world::GROUPS[0]);
    sim.subscribe();
    sim.change(types::event::CatalogueChanged::GroupDeleted {
        shop: crate::world::SHOP,
        id: crate::world::slug(crate::world::GROUPS[0]),
    });
    sim.until("2026-12-01T00:00");
    sim.expect_sent(&[]);
    assert_eq!(sim.leaves(), ["finished"]);
}

#[test]
fn a_filter_that_cannot_be_asked_is_tried_three_times_and_sets_the_instance_aside() {
    let mut sim = sim(json!([
        { "do": "send", "id": "mail", "template": "hello" },
        { "do": "branch", "id": "city", "if": "fields.city == \"Roma\"", "else": "end" },
    ]));
    // Sent, and gone through: nothing is broken.
    assert_eq!(sim.leaves(), ["finished"]);

    let delayed = on_subscription(json!([
        { "do": "wait", "id": "day", "for": "1d" },
        { "do": "send", "id": "mail", "template": "hello" },
        { "do": "branch", "id": "city", "if": "fields.city == \"Roma\"", "else": "end" },
    ]));
    sim = Sim::new(&[("test", delayed)]);
    sim.subscribe();
    sim.change(types::event::CatalogueChanged::FieldDeleted {
        shop: crate::world::SHOP,
        id: crate::world::slug("city"),
    });
    sim.until("2026-12-01T00:00");
    // The mail went out once, though its walk broke behind it.
    sim.expect_sent(&[("mail", "2026-11-24T10:00")]);
    assert_eq!(sim.broken.len(), 3);
    let (_, wall, last) = sim.records.last().unwrap();
    assert_eq!(*wall, at("2026-11-24T10:06"));
    assert_eq!(last.place, Place::Left(Leave::Broken));
    assert!(matches!(&last.did[..], [Did::Broke { step: Some(step), .. }] if step.as_str() == "city"));
    sim.expect_replay();
}

#[test]
fn an_answer_to_an_earlier_call_is_none_to_the_one_under_way() {
    let mut sim = sim(webhook());
    let first = sim.calls[0].clone();
    sim.until("2026-11-23T10:05");
    assert_eq!(sim.calls.len(), 2);
    // The second was given up after half a minute too, and the third is not made yet.
    sim.answer_to(&first, Some(200));
    sim.expect_sent(&[]);
    sim.until("2026-11-23T10:12");
    assert_eq!(sim.calls.len(), 3);
    sim.answer_to(&first, Some(200));
    sim.expect_sent(&[]);
    sim.answer(Some(200));
    sim.expect_sent(&[("mail", "2026-11-23T10:12")]);
}
