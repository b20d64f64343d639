//! What ends a way early.

use serde_json::json;
use types::contact::ContactChange;
use types::event::{CatalogueChanged, Did, Refusal};
use types::workflow::{Enrol, WorkflowState};

use crate::world::{SHOP, Sim, consent, slug};

fn workflow(extra: serde_json::Value) -> serde_json::Value {
    let mut workflow = json!({
        "name": "Test", "start": { "on": "event", "name": "go" }, "entry": "after_exit",
        "steps": [
            { "do": "send", "id": "one", "template": "hello" },
            { "do": "wait", "id": "day", "for": "1d" },
            { "do": "send", "id": "two", "template": "second" },
        ],
    });
    for (key, value) in extra.as_object().unwrap() {
        workflow[key] = value.clone();
    }
    workflow
}

const ONE: (&str, &str) = ("one", "2026-11-23T10:00");
const TWO: (&str, &str) = ("two", "2026-11-24T10:00");

/// Enters at 10:00, does something an hour later, and expects these mails and this end.
fn check(extra: serde_json::Value, then: impl FnOnce(&mut Sim), sent: &[(&str, &str)], leave: &str) -> Sim {
    let mut sim = Sim::new(&[("test", workflow(extra))]);
    sim.subscribe();
    sim.join("readers");
    sim.report("go", None);
    sim.until("2026-11-23T11:00");
    then(&mut sim);
    sim.until("2026-12-01T00:00");
    sim.expect_sent(sent);
    assert_eq!(sim.leaves(), [leave]);
    sim.expect_replay();
    sim
}

#[test]
fn a_goal_ends_it_when_it_is_reached() {
    let goal = json!({ "goal": "orders.count > 0" });
    check(goal.clone(), |sim| sim.order("A", 10), &[ONE], "goal");
    check(
        goal.clone(),
        |sim| sim.order_placed("A", 10, "pending", sim.now),
        &[ONE, TWO],
        "finished",
    );
    check(goal, |_| (), &[ONE, TWO], "finished");
}

#[test]
fn an_order_ends_it_if_that_is_asked_for() {
    check(
        json!({ "exit": { "on_order": true } }),
        |sim| sim.order("A", 10),
        &[ONE],
        "ordered",
    );
    check(json!({}), |sim| sim.order("A", 10), &[ONE, TWO], "finished");
}

#[test]
fn an_exit_filter_ends_it() {
    let exit = json!({ "exit": { "if": "fields.points > 10" } });
    check(exit.clone(), |sim| sim.set("points", Some("11")), &[ONE], "exit_filter");
    check(exit, |sim| sim.set("points", Some("10")), &[ONE, TWO], "finished");
}

#[test]
fn an_exit_filter_that_only_time_makes_true_is_asked_after_the_wait() {
    let exit = json!({ "exit": { "if": "now > timestamp(\"2026-11-24T00:00:00Z\")" } });
    check(exit, |_| (), &[ONE], "exit_filter");
}

#[test]
fn who_is_no_longer_among_those_it_is_for_misses_the_mail_or_leaves() {
    let who = json!({ "groups": ["readers"], "not_filters": ["fields.vip"] });
    check(json!({ "who": who }), |sim| sim.leave("readers"), &[ONE], "finished");
    check(
        json!({ "who": who }),
        |sim| sim.set("vip", Some("true")),
        &[ONE],
        "finished",
    );
    let strict = json!({ "who": who, "exit": { "when_not_who": true } });
    check(strict.clone(), |sim| sim.leave("readers"), &[ONE], "not_who");
    check(strict, |sim| sim.set("points", Some("1")), &[ONE, TWO], "finished");
    // Who is back in time misses nothing.
    check(
        json!({ "who": who }),
        |sim| {
            sim.leave("readers");
            sim.join("readers");
        },
        &[ONE, TWO],
        "finished",
    );
}

#[test]
fn unsubscribing_ends_it_and_agreeing_again_does_not_bring_it_back() {
    check(
        json!({}),
        |sim| {
            sim.unsubscribe();
            sim.until("2026-11-23T12:00");
            sim.subscribe();
        },
        &[ONE],
        "no_consent",
    );
}

#[test]
fn every_refusal_of_consent_ends_it_and_any_other_skips_the_step() {
    for (refusal, leave) in [
        (Refusal::NoMarketingConsent, "no_consent"),
        (Refusal::ConsentWithdrawn, "no_consent"),
        (Refusal::SuppressedByShop, "no_consent"),
        (Refusal::SuppressedByNetwork, "no_consent"),
        (Refusal::ShopDeleted, "deleted"),
        (Refusal::FrequencyCap, "finished"),
        (Refusal::NoSender, "finished"),
        (Refusal::Expired, "finished"),
    ] {
        let sim = check(json!({}), |sim| sim.refuse = vec![refusal], &[ONE], leave);
        let told = sim
            .did()
            .any(|did| matches!(did, Did::Suppressed { refusals, .. } if *refusals == [refusal]));
        assert!(told, "{refusal:?}");
    }
}

#[test]
fn without_consent_nothing_is_sent() {
    let mut sim = Sim::new(&[("test", workflow(json!({})))]);
    sim.set("points", Some("1"));
    sim.report("go", None);
    sim.expect_sent(&[]);
    assert_eq!(sim.leaves(), ["no_consent"]);
}

#[test]
fn an_assertion_without_evidence_does_not_outweigh_an_unsubscription() {
    let mut sim = Sim::new(&[("test", workflow(json!({})))]);
    sim.subscribe();
    sim.unsubscribe();
    sim.until("2026-11-23T11:00");
    let mut asserted = consent(true, sim.now);
    asserted.asserted = true;
    sim.contact_changed(ContactChange {
        consents: vec![asserted],
        ..ContactChange::default()
    });
    sim.report("go", None);
    sim.expect_sent(&[]);
    assert_eq!(sim.leaves(), ["no_consent"]);
}

#[test]
fn who_comes_to_the_end_and_who_leaves_early_are_grouped_apart() {
    let extra = json!({
        "at_end": { "copy": "done" }, "on_exit": { "move": { "from": "readers", "to": "buyers" } },
        "exit": { "on_order": true },
    });
    let groups = |sim: &Sim| {
        sim.contact()
            .groups()
            .iter()
            .map(ToString::to_string)
            .collect::<Vec<_>>()
    };
    let sim = check(extra.clone(), |_| (), &[ONE, TWO], "finished");
    assert_eq!(groups(&sim), ["done", "readers"]);
    let sim = check(extra, |sim| sim.order("A", 10), &[ONE], "ordered");
    assert_eq!(groups(&sim), ["buyers"]);
}

#[test]
fn a_deleted_workflow_or_shop_does_nothing_more() {
    check(
        json!({ "on_exit": { "copy": "done" } }),
        |sim| sim.delete("test"),
        &[ONE],
        "deleted",
    );
    let gone = |sim: &mut Sim| {
        sim.change(CatalogueChanged::ShopDeleted { id: slug("own") });
        assert!(sim.catalogue.shop_by_number(SHOP).unwrap().deleted);
    };
    check(json!({}), gone, &[ONE], "deleted");
}

#[test]
fn what_ends_it_ends_it_while_the_workflow_is_off() {
    check(
        json!({ "exit": { "on_order": true } }),
        |sim| {
            sim.switch("test", WorkflowState::Off, Enrol::Future);
            sim.order("A", 10);
            sim.switch("test", WorkflowState::On, Enrol::Future);
        },
        &[ONE],
        "ordered",
    );
}
