//! What went wrong in other engines, each as a case that must not go wrong here. The names say whose it was.

use serde_json::json;
use types::event::HitClass;
use types::workflow::{Enrol, WorkflowState};

use crate::world::{Sim, at};

fn two_mails(send: serde_json::Value, wait: serde_json::Value) -> serde_json::Value {
    json!({
        "name": "Test", "start": { "on": "event", "name": "go" }, "entry": "per_key", "zone": "Europe/Rome",
        "send": send,
        "steps": [
            { "do": "send", "id": "one", "template": "hello" },
            wait,
            { "do": "send", "id": "two", "template": "second" },
        ],
    })
}

fn wait(duration: &str) -> serde_json::Value {
    json!({ "do": "wait", "id": "wait", "for": duration })
}

fn entered(workflow: serde_json::Value, time: &str) -> Sim {
    let mut sim = Sim::new(&[("test", workflow)]);
    sim.subscribe();
    sim.until(time);
    sim.report("go", Some("a"));
    sim
}

/// Mautic advanced the weekday after it had fixed the hour, and the hour was lost.
#[test]
fn mautic_a_weekday_that_moves_on_keeps_the_hour() {
    let rules = json!({ "send_at": "09:00", "except": { "weekdays": ["sat", "sun"] } });
    let mut sim = entered(two_mails(rules, wait("1d")), "2026-11-26T20:00");
    sim.until("2026-12-10T00:00");
    sim.expect_sent(&[("one", "2026-11-27T08:00"), ("two", "2026-11-30T08:00")]);
}

/// Mautic swapped the ends of a window that wraps midnight: 22 to 8 became 8 to 22.
#[test]
fn mautic_a_night_is_not_a_day() {
    let rules = json!({ "quiet": { "from": "22:00", "to": "08:00" } });
    entered(two_mails(rules.clone(), wait("1d")), "2026-11-24T12:00").expect_sent(&[("one", "2026-11-24T12:00")]);
    entered(two_mails(rules, wait("1d")), "2026-11-24T23:00").expect_sent(&[]);
}

/// Mautic's path for who did not open took one date for a whole batch of contacts.
#[test]
fn mautic_the_path_of_who_does_not_open_is_dated_for_each_entry() {
    let unread = json!({ "do": "wait", "id": "wait", "for": "2d", "after": "no_engagement" });
    let mut sim = entered(two_mails(json!({}), unread), "2026-11-24T08:00");
    sim.until("2026-11-24T09:17");
    sim.report("go", Some("b"));
    sim.until("2026-12-10T00:00");
    let two: Vec<_> = sim
        .sent
        .iter()
        .filter(|mail| mail.step.as_str() == "two")
        .map(|mail| mail.at)
        .collect();
    assert_eq!(two, [at("2026-11-26T08:00"), at("2026-11-26T09:17")]);
}

/// Mautic ignored the seconds when it asked whether something was due.
#[test]
fn mautic_a_minute_is_sixty_seconds() {
    let mut sim = entered(two_mails(json!({}), wait("1h")), "2026-11-24T08:00:45Z");
    sim.until("2026-11-24T09:00:44Z");
    assert_eq!(sim.sent.len(), 1);
    sim.until("2026-11-24T09:00:45Z");
    assert_eq!(sim.sent.len(), 2);
}

/// Mautic's campaigns stopped after some nine steps.
#[test]
fn mautic_a_long_series_comes_to_its_end() {
    let steps: Vec<_> = (0..32)
        .flat_map(|n| {
            [
                json!({ "do": "wait", "id": format!("w{n}"), "for": "1d" }),
                json!({ "do": "send", "id": format!("m{n}"), "template": "hello" }),
            ]
        })
        .collect();
    let mut workflow = two_mails(json!({}), wait("1d"));
    workflow["steps"] = json!(steps);
    let mut sim = entered(workflow, "2026-11-24T08:00");
    sim.until("2027-02-01T00:00");
    assert_eq!(sim.sent.len(), 32);
    assert_eq!(sim.leaves(), ["finished"]);
    // Of the mails of a long way the last sixteen are kept.
    let row = sim.instance(sim.records[0].0);
    assert_eq!(row.sends.len(), policy::workflow::SENDS_KEPT);
    sim.expect_replay();
}

/// Mautic's mails are transactional unless told otherwise, and reach who unsubscribed.
#[test]
fn mautic_who_unsubscribed_gets_nothing_more() {
    let mut sim = entered(two_mails(json!({}), wait("1d")), "2026-11-24T08:00");
    sim.unsubscribe();
    sim.until("2026-12-10T00:00");
    sim.expect_sent(&[("one", "2026-11-24T08:00")]);
    assert_eq!(sim.leaves(), ["no_consent"]);
}

/// Dittofeed asked whether a journey ran only when somebody entered it.
#[test]
fn dittofeed_a_pause_stops_who_is_under_way() {
    let mut sim = entered(two_mails(json!({}), wait("1d")), "2026-11-24T08:00");
    sim.switch("test", WorkflowState::Off, Enrol::Future);
    sim.until("2026-12-10T00:00");
    sim.expect_sent(&[("one", "2026-11-24T08:00")]);
}

/// Dittofeed applied the offset of now to a later day: an hour wrong when the clocks change between.
#[test]
fn dittofeed_a_clock_time_holds_over_a_change_of_clocks() {
    let mut sim = entered(two_mails(json!({ "send_at": "09:00" }), wait("2d")), "2027-03-27T08:00");
    sim.until("2027-04-10T00:00");
    sim.expect_sent(&[("one", "2027-03-27T08:00"), ("two", "2027-03-29T07:00")]);
}

/// Dittofeed and Mautic looked at the weekday in UTC.
#[test]
fn dittofeed_a_weekday_is_the_contacts() {
    let rules = json!({ "except": { "weekdays": ["sun"] } });
    // Monday in Rome, Sunday in UTC; then Sunday in Rome, Saturday in UTC.
    entered(two_mails(rules.clone(), wait("1d")), "2026-11-29T23:30").expect_sent(&[("one", "2026-11-29T23:30")]);
    entered(two_mails(rules, wait("1d")), "2026-11-28T23:30").expect_sent(&[]);
}

/// Laudspeaker's quiet hours had a fixed offset, and open ends: what came exactly when they began slipped through.
#[test]
fn laudspeaker_quiet_hours_follow_the_clocks_and_include_their_first_minute() {
    let rules = json!({ "quiet": { "from": "22:00", "to": "08:00" } });
    let check = |ready: &str, leaves: &str| {
        let mut sim = entered(two_mails(rules.clone(), wait("30d")), ready);
        sim.advance(sim.now + crate::world::minutes(24 * 60));
        sim.expect_sent(&[("one", leaves)]);
    };
    check("2027-01-15T21:00", "2027-01-16T07:00");
    check("2027-01-15T20:59:59Z", "2027-01-15T20:59:59Z");
    check("2027-07-15T20:00", "2027-07-16T06:00");
    check("2027-07-16T06:00", "2027-07-16T06:00");
}

/// `PostHog` parked who waited again when the date moved later, and missed who had it moved earlier.
#[test]
fn posthog_a_date_that_moves_is_followed_both_ways() {
    let workflow = json!({
        "name": "Renewal", "start": { "on": "date", "field": "renewal", "days": -3, "at": "09:00" },
        "steps": [{ "do": "send", "id": "mail", "template": "hello" }],
    });
    for (moved, expected) in [
        (Some("2026-12-20"), &[("mail", "2026-12-17T09:00")][..]),
        (Some("2026-12-05"), &[("mail", "2026-12-02T09:00")]),
        // So early that its time came this morning: at once.
        (Some("2026-11-26"), &[("mail", "2026-11-23T10:00")]),
        // So early that it is long past, or gone: never.
        (Some("2026-11-20"), &[]),
        (None, &[]),
    ] {
        let mut sim = Sim::new(&[("test", workflow.clone())]);
        sim.subscribe();
        sim.set("renewal", Some("2026-12-10"));
        sim.set("renewal", moved);
        sim.until("2027-06-01T00:00");
        sim.expect_sent(expected);
        if expected.is_empty() {
            assert_eq!(sim.leaves(), ["start_gone"]);
        }
    }
}

/// `PostHog` followed the live definition: an edit skipped people who were waiting, and one of a draft sent nothing.
#[test]
fn posthog_an_edit_skips_nobody_who_waits() {
    let mut sim = entered(two_mails(json!({}), wait("1d")), "2026-11-24T08:00");
    let mut edited = two_mails(json!({}), wait("5d"));
    edited["steps"].as_array_mut().unwrap().truncate(1);
    sim.put("test", &edited);
    sim.until("2026-12-10T00:00");
    sim.expect_sent(&[("one", "2026-11-24T08:00"), ("two", "2026-11-25T08:00")]);
}

/// `PostHog`: a workflow that was taken off and put on during a wait sent nothing.
#[test]
fn posthog_off_edited_and_on_during_a_wait_still_sends() {
    let mut sim = entered(two_mails(json!({}), wait("1d")), "2026-11-24T08:00");
    sim.switch("test", WorkflowState::Off, Enrol::Future);
    sim.put("test", &two_mails(json!({}), wait("9d")));
    sim.switch("test", WorkflowState::On, Enrol::Future);
    sim.until("2026-12-10T00:00");
    sim.expect_sent(&[("one", "2026-11-24T08:00"), ("two", "2026-11-25T08:00")]);
}

/// Klaviyo's users got the mail about the cart after they had bought.
#[test]
fn klaviyo_who_bought_is_not_reminded() {
    let workflow = json!({
        "name": "Cart", "start": { "on": "cart_abandoned", "after": "2h" }, "entry": "per_key",
        "exit": { "on_order": true },
        "steps": [
            { "do": "send", "id": "one", "template": "hello" },
            { "do": "wait", "id": "day", "for": "1d" },
            { "do": "send", "id": "two", "template": "second" },
        ],
    });
    let mut sim = Sim::new(&[("test", workflow)]);
    sim.subscribe();
    sim.cart_touched("c1");
    sim.until("2026-11-23T13:00");
    sim.order("A", 99);
    sim.cart_closed("c1");
    sim.until("2026-12-10T00:00");
    sim.expect_sent(&[("one", "2026-11-23T12:00")]);
    assert_eq!(sim.leaves(), ["ordered"]);
}

/// Klaviyo asks its filters when a mail is sent; so must we, and with what is so then.
#[test]
fn klaviyo_filters_are_asked_when_a_mail_goes_out() {
    let mut workflow = two_mails(json!({}), wait("1d"));
    workflow["who"] = json!({ "filters": ["fields.city == \"Roma\""] });
    let mut sim = Sim::new(&[("test", workflow)]);
    sim.subscribe();
    sim.set("city", Some("Roma"));
    sim.report("go", Some("a"));
    sim.set("city", Some("Pisa"));
    sim.until("2026-12-10T00:00");
    sim.expect_sent(&[("one", "2026-11-23T10:00")]);
}

/// Customer.io counts what a machine opened; here it ends no wait.
#[test]
fn customer_io_machines_end_no_wait() {
    for (after, expected) in [("engagement", 1), ("no_engagement", 2)] {
        let watch = json!({ "do": "wait", "id": "wait", "for": "1h", "after": after });
        let mut sim = entered(two_mails(json!({}), watch), "2026-11-24T08:00");
        sim.judged("one", HitClass::AppleMpp, sim.now);
        sim.judged("one", HitClass::Scanner, sim.now);
        sim.until("2027-01-10T00:00");
        assert_eq!(sim.sent.len(), expected, "{after}");
    }
}

/// Sidekiq's jobs ran twice, or were lost between two lists.
#[test]
fn sidekiq_a_timer_that_surfaces_again_does_nothing_twice() {
    let mut sim = entered(two_mails(json!({}), wait("1d")), "2026-11-24T08:00");
    sim.until("2026-11-26T00:00");
    let told = sim.records.clone();
    sim.surface_all_again();
    assert_eq!(sim.records, told);
    assert_eq!(sim.sent.len(), 2);
}

/// n8n began flows from the start after long waits.
#[test]
fn n8n_a_long_wait_goes_on_from_its_step_only() {
    let mut sim = entered(two_mails(json!({}), wait("400d")), "2026-11-24T08:00");
    sim.until("2028-12-31T00:00");
    sim.expect_sent(&[("one", "2026-11-24T08:00"), ("two", "2027-12-29T08:00")]);
}

/// Shops whose clock stood still sent three mails within seconds when it went on.
#[test]
fn wordpress_mails_do_not_pile_up_behind_an_outage() {
    let mut workflow = two_mails(json!({}), wait("1d"));
    workflow["late_after"] = json!("30d");
    workflow["steps"].as_array_mut().unwrap().extend([
        json!({ "do": "wait", "id": "more", "for": "1d" }),
        json!({ "do": "send", "id": "three", "template": "third" }),
    ]);
    let mut sim = entered(workflow, "2026-11-24T08:00");
    sim.outage_until("2026-11-30T12:00");
    sim.until("2026-12-10T00:00");
    sim.expect_sent(&[
        ("one", "2026-11-24T08:00"),
        ("two", "2026-11-30T12:00"),
        ("three", "2026-12-01T12:00"),
    ]);
}

/// Klaviyo and others start on an event that is reported late as if it were new.
#[test]
fn klaviyo_an_old_event_is_counted_from_when_it_happened() {
    let mut workflow = two_mails(json!({}), wait("1d"));
    workflow["steps"].as_array_mut().unwrap().remove(0);
    let mut sim = Sim::new(&[("test", workflow)]);
    sim.subscribe();
    sim.report_at("go", Some("a"), at("2026-11-22T20:00"));
    sim.report_at("go", Some("b"), at("2026-11-01T00:00"));
    // Nothing happens in the future.
    sim.report_at("go", Some("c"), at("2027-01-01T00:00"));
    sim.until("2026-12-10T00:00");
    sim.expect_sent(&[
        ("two", "2026-11-23T10:00"),
        ("two", "2026-11-23T20:00"),
        ("two", "2026-11-24T10:00"),
    ]);
}
