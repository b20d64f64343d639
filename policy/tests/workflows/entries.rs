//! How often one contact may enter, and by which version.

use serde_json::json;
use types::workflow::{Enrol, WorkflowState};

use crate::world::Sim;

fn workflow(entry: serde_json::Value) -> serde_json::Value {
    json!({
        "name": "Test", "start": { "on": "event", "name": "go" }, "entry": entry,
        "steps": [
            { "do": "wait", "id": "day", "for": "1d" },
            { "do": "send", "id": "mail", "template": "hello" },
        ],
    })
}

/// Reports at these times with these keys, and expects mails on these days of November and December.
fn check(entry: serde_json::Value, reports: &[(&str, Option<&str>)], expected: &[&str]) {
    let mut sim = Sim::new(&[("test", workflow(entry))]);
    sim.subscribe();
    for (time, key) in reports {
        sim.until(time);
        sim.report("go", *key);
    }
    sim.until("2027-06-01T00:00");
    let sent: Vec<_> = expected.iter().map(|time| ("mail", *time)).collect();
    sim.expect_sent(&sent);
    sim.expect_replay();
}

#[test]
fn once_is_for_ever() {
    check(
        json!("once"),
        &[
            ("2026-11-23T10:00", None),
            ("2026-11-23T11:00", Some("x")),
            ("2026-11-30T10:00", None),
        ],
        &["2026-11-24T10:00"],
    );
}

#[test]
fn after_exit_is_not_while_inside() {
    check(
        json!("after_exit"),
        &[
            ("2026-11-23T10:00", None),
            ("2026-11-23T11:00", None),
            ("2026-11-24T10:00", None),
        ],
        &["2026-11-24T10:00", "2026-11-25T10:00"],
    );
}

#[test]
fn every_so_many_days_is_counted_on_the_calendar_from_the_last_entry() {
    check(
        json!({ "every_days": 7 }),
        &[
            ("2026-11-23T10:00", None),
            ("2026-11-29T23:59", None),
            ("2026-11-30T00:00", None),
            ("2026-12-06T10:00", None),
        ],
        &["2026-11-24T10:00", "2026-12-01T00:00"],
    );
}

#[test]
fn by_key_is_once_for_each_and_several_at_once() {
    check(
        json!("per_key"),
        &[
            ("2026-11-23T10:00", Some("a")),
            ("2026-11-23T10:00", Some("b")),
            ("2026-11-23T11:00", Some("a")),
            // Without a key it cannot be told from another.
            ("2026-11-23T11:00", None),
            ("2026-11-25T10:00", Some("b")),
            ("2026-11-25T10:00", Some("c")),
        ],
        &["2026-11-24T10:00", "2026-11-24T10:00", "2026-11-26T10:00"],
    );
}

#[test]
fn at_most_32_keys_are_inside_at_once() {
    let mut sim = Sim::new(&[("test", workflow(json!("per_key")))]);
    sim.subscribe();
    for key in 0..40 {
        sim.report("go", Some(&format!("k{key}")));
    }
    assert_eq!(sim.live().len(), 32);
}

#[test]
fn once_survives_off_and_on_and_edits() {
    let mut sim = Sim::new(&[("test", workflow(json!("once")))]);
    sim.subscribe();
    sim.report("go", None);
    sim.until("2026-11-25T00:00");
    sim.switch("test", WorkflowState::Off, Enrol::Future);
    sim.put("test", &workflow(json!("once")));
    sim.switch("test", WorkflowState::On, Enrol::ExistingAndFuture);
    sim.report("go", None);
    sim.until("2026-12-25T00:00");
    sim.expect_sent(&[("mail", "2026-11-24T10:00")]);
}

#[test]
fn a_workflow_put_anew_after_it_was_deleted_is_another_one() {
    let mut sim = Sim::new(&[("test", workflow(json!("once")))]);
    sim.subscribe();
    sim.report("go", None);
    sim.until("2026-11-25T00:00");
    sim.delete("test");
    sim.put("test", &workflow(json!("once")));
    sim.switch("test", WorkflowState::On, Enrol::Future);
    sim.report("go", None);
    sim.until("2026-12-25T00:00");
    sim.expect_sent(&[("mail", "2026-11-24T10:00"), ("mail", "2026-11-26T00:00")]);
}

#[test]
fn nobody_enters_a_draft_or_one_that_is_off() {
    let mut sim = Sim::new(&[]);
    sim.put("test", &workflow(json!("once")));
    sim.subscribe();
    sim.report("go", None);
    sim.switch("test", WorkflowState::On, Enrol::Future);
    sim.switch("test", WorkflowState::Off, Enrol::Future);
    sim.report("go", None);
    assert_eq!(sim.records, []);
}

#[test]
fn who_is_inside_keeps_the_version_and_who_enters_gets_the_new_one() {
    let mut sim = Sim::new(&[("test", workflow(json!("after_exit")))]);
    sim.subscribe();
    sim.report("go", None);
    let mut edited = workflow(json!("after_exit"));
    edited["steps"] = json!([{ "do": "send", "id": "new", "template": "second" }]);
    sim.put("test", &edited);
    sim.until("2026-11-24T12:00");
    sim.report("go", None);
    sim.expect_sent(&[("mail", "2026-11-24T10:00"), ("new", "2026-11-24T12:00")]);
}

#[test]
fn who_is_armed_enters_by_the_version_in_force_then() {
    let mut armed = workflow(json!("after_exit"));
    armed["start"] = json!({ "on": "date", "field": "renewal", "at": "09:00" });
    let mut sim = Sim::new(&[("test", armed.clone())]);
    sim.subscribe();
    sim.set("renewal", Some("2026-12-01"));
    armed["steps"] = json!([{ "do": "send", "id": "new", "template": "second" }]);
    armed["start"]["days"] = json!(2);
    sim.put("test", &armed);
    sim.until("2026-12-20T00:00");
    sim.expect_sent(&[("new", "2026-12-03T09:00")]);
    assert_eq!(sim.records.last().unwrap().2.version, 2);
}
