//! When mails may go, whether a workflow runs, and how late a step may be.

use serde_json::json;
use types::event::{Did, Suppressed, WaitsOn};
use types::workflow::{Enrol, WorkflowState};

use crate::world::Sim;

/// A mail, some days, another mail, by these sending rules; 23 November 2026 is a Monday.
fn workflow(send: serde_json::Value, wait: &str) -> serde_json::Value {
    json!({
        "name": "Test", "start": { "on": "subscription" }, "send": send, "zone": "Europe/Rome",
        "steps": [
            { "do": "send", "id": "one", "template": "hello" },
            { "do": "wait", "id": "wait", "for": wait },
            { "do": "send", "id": "two", "template": "second" },
        ],
    })
}

fn check(send: serde_json::Value, begin: &str, one: &str, two: &str) -> Sim {
    let mut sim = Sim::new(&[("test", workflow(send, "1d"))]);
    sim.until(begin);
    sim.subscribe();
    sim.until("2027-06-01T00:00");
    sim.expect_sent(&[("one", one), ("two", two)]);
    sim.expect_replay();
    sim
}

#[test]
fn as_soon_as_possible_is_at_once() {
    check(json!({}), "2026-11-23T10:00", "2026-11-23T10:00", "2026-11-24T10:00");
}

#[test]
fn a_clock_time_is_the_next_one() {
    let nine = json!({ "send_at": "09:00" });
    check(nine.clone(), "2026-11-23T10:00", "2026-11-24T08:00", "2026-11-25T08:00");
    check(nine, "2026-11-24T08:00", "2026-11-24T08:00", "2026-11-25T08:00");
}

#[test]
fn quiet_hours_are_over_at_their_end() {
    let quiet = json!({ "quiet": { "from": "22:00", "to": "08:00" } });
    let sim = check(quiet, "2026-11-23T21:30", "2026-11-24T07:00", "2026-11-25T07:00");
    let delayed = sim.did().find_map(|did| match did {
        Did::Delayed { rules, .. } => Some(rules.iter().map(ToString::to_string).collect::<Vec<_>>()),
        _ => None,
    });
    assert_eq!(delayed.unwrap(), ["quiet"]);
}

#[test]
fn excepted_days_are_left_out() {
    let except = json!({ "except": { "weekdays": ["sat", "sun"], "dates": ["2026-11-30"], "yearly": ["12-01"] } });
    check(except, "2026-11-28T10:00", "2026-12-01T23:00", "2026-12-02T23:00");
}

#[test]
fn what_would_go_after_the_active_days_is_dropped() {
    let active = json!({ "active": { "from": "2026-11-20", "to": "2026-11-25" } });
    let mut sim = Sim::new(&[("test", workflow(active, "2d"))]);
    sim.subscribe();
    sim.until("2027-06-01T00:00");
    sim.expect_sent(&[("one", "2026-11-23T10:00")]);
    assert_eq!(sim.leaves(), ["no_slot"]);
    let told = |did: &Did| {
        matches!(
            did,
            Did::Suppressed {
                reason: Suppressed::NoSlot,
                ..
            }
        )
    };
    assert!(sim.did().any(told));
}

#[test]
fn a_spread_is_the_same_for_the_same_contact_and_within_its_bound() {
    let spread = json!({ "send_at": "09:00", "spread": "30m" });
    let mut sim = Sim::new(&[("test", workflow(spread, "1d"))]);
    sim.subscribe();
    sim.until("2026-12-01T00:00");
    let first: Vec<_> = sim.sent.iter().map(|mail| mail.at).collect();
    let slots = ["2026-11-24T08:00", "2026-11-25T08:00"].map(crate::world::at);
    for (at, slot) in first.iter().zip(slots) {
        assert!(*at >= slot && *at < slot + crate::world::minutes(30), "{at}");
        assert_ne!(*at, slot);
    }
    let mut again = Sim::new(&[("test", workflow(json!({ "send_at": "09:00", "spread": "30m" }), "1d"))]);
    again.subscribe();
    again.until("2026-12-01T00:00");
    assert_eq!(again.sent.iter().map(|mail| mail.at).collect::<Vec<_>>(), first);
}

#[test]
fn what_is_due_in_an_outage_goes_out_after_it_but_not_in_quiet_hours() {
    let quiet = json!({ "quiet": { "from": "22:00", "to": "08:00" } });
    let mut sim = Sim::new(&[("test", workflow(quiet, "1d"))]);
    sim.subscribe();
    sim.outage_until("2026-11-24T23:30");
    sim.expect_sent(&[("one", "2026-11-23T10:00")]);
    sim.until("2026-12-01T00:00");
    sim.expect_sent(&[("one", "2026-11-23T10:00"), ("two", "2026-11-25T07:00")]);
}

#[test]
fn what_is_too_late_is_not_done() {
    for (late_after, outage, sent) in [
        (None, "2026-11-25T10:00", 2),
        (None, "2026-11-25T10:01", 1),
        (Some("2h"), "2026-11-24T12:00", 2),
        (Some("2h"), "2026-11-24T12:01", 1),
    ] {
        let mut workflow = workflow(json!({}), "1d");
        if let Some(late_after) = late_after {
            workflow["late_after"] = json!(late_after);
        }
        let mut sim = Sim::new(&[("test", workflow)]);
        sim.subscribe();
        sim.outage_until(outage);
        sim.until("2026-12-24T00:00");
        assert_eq!(sim.sent.len(), sent, "{late_after:?} {outage}");
        assert_eq!(sim.leaves(), [if sent == 2 { "finished" } else { "late" }]);
    }
}

#[test]
fn a_start_that_surfaces_too_late_brings_nobody_in() {
    let mut workflow = workflow(json!({}), "1d");
    workflow["start"] = json!({ "on": "subscription", "after": "1d" });
    let mut sim = Sim::new(&[("test", workflow)]);
    sim.subscribe();
    sim.outage_until("2026-11-26T00:00");
    sim.expect_sent(&[]);
    assert_eq!(sim.leaves(), ["late"]);
    assert_eq!(sim.did().count(), 0);
}

#[test]
fn while_it_is_off_its_time_passes_and_nothing_goes_out() {
    let mut sim = Sim::new(&[("test", workflow(json!({}), "1d"))]);
    sim.subscribe();
    sim.switch("test", WorkflowState::Off, Enrol::Future);
    sim.until("2026-11-24T20:00");
    assert_eq!(sim.waiting(), ["wait on -"]);
    sim.expect_sent(&[("one", "2026-11-23T10:00")]);
    let off = sim.did().filter(|did| {
        matches!(
            did,
            Did::Suppressed {
                reason: Suppressed::Off,
                ..
            }
        )
    });
    assert_eq!(off.count(), 1);
    sim.switch("test", WorkflowState::On, Enrol::Future);
    sim.expect_sent(&[("one", "2026-11-23T10:00"), ("two", "2026-11-24T20:00")]);
}

#[test]
fn who_waits_longer_than_it_is_off_notices_nothing() {
    let mut sim = Sim::new(&[("test", workflow(json!({}), "1d"))]);
    sim.subscribe();
    sim.switch("test", WorkflowState::Off, Enrol::Future);
    sim.until("2026-11-24T09:00");
    sim.switch("test", WorkflowState::On, Enrol::Future);
    sim.until("2026-12-24T00:00");
    sim.expect_sent(&[("one", "2026-11-23T10:00"), ("two", "2026-11-24T10:00")]);
}

#[test]
fn who_is_late_when_it_is_switched_on_leaves() {
    let mut sim = Sim::new(&[("test", workflow(json!({}), "1d"))]);
    sim.subscribe();
    sim.switch("test", WorkflowState::Off, Enrol::Future);
    sim.until("2026-11-25T10:01");
    sim.switch("test", WorkflowState::On, Enrol::Future);
    sim.expect_sent(&[("one", "2026-11-23T10:00")]);
    assert_eq!(sim.leaves(), ["late"]);
}

#[test]
fn an_open_while_it_is_off_is_not_forgotten() {
    for (after, sent) in [("engagement", 2), ("no_engagement", 1)] {
        let mut workflow = workflow(json!({}), "2h");
        workflow["steps"][1]["after"] = json!(after);
        let mut sim = Sim::new(&[("test", workflow)]);
        sim.subscribe();
        sim.switch("test", WorkflowState::Off, Enrol::Future);
        sim.until("2026-11-23T11:00");
        sim.opened("one");
        sim.until("2026-11-23T14:00");
        assert_eq!(sim.sent.len(), 1);
        sim.switch("test", WorkflowState::On, Enrol::Future);
        sim.until("2026-12-31T00:00");
        assert_eq!(sim.sent.len(), sent, "{after}: {:#?}", sim.story());
    }
}

#[test]
fn a_moment_that_came_while_it_was_off_is_chosen_again() {
    let mut sim = Sim::new(&[("test", workflow(json!({ "send_at": "09:00" }), "1d"))]);
    sim.subscribe();
    sim.switch("test", WorkflowState::Off, Enrol::Future);
    sim.until("2026-11-24T14:00");
    sim.switch("test", WorkflowState::On, Enrol::Future);
    sim.until("2026-11-26T00:00");
    sim.expect_sent(&[("one", "2026-11-25T08:00")]);
}

#[test]
fn a_contact_that_moves_takes_its_waits_along() {
    for (send, wait, expected) in [
        // Nine in the morning in New York.
        (json!({ "send_at": "09:00" }), "1d", "2026-11-25T14:00"),
        // A day is one on its calendar; so many hours are hours.
        (json!({}), "3d", "2026-11-26T10:00"),
        (json!({}), "24h", "2026-11-24T10:00"),
    ] {
        let mut sim = Sim::new(&[("test", workflow(send.clone(), wait))]);
        sim.subscribe();
        sim.until("2026-11-24T09:00");
        sim.zone("America/New_York");
        sim.until("2026-12-24T00:00");
        let last = sim.sent.last().unwrap();
        assert_eq!(
            (last.step.as_str(), last.at),
            ("two", crate::world::at(expected)),
            "{send}"
        );
    }
}

#[test]
fn a_wait_over_a_change_of_clocks_moves_with_the_zone() {
    // Ten in Rome stays ten in Rome over the change of 28 March; in New York the clocks changed before.
    let mut sim = Sim::new(&[("test", workflow(json!({}), "3d"))]);
    sim.until("2027-03-26T09:00");
    sim.subscribe();
    assert_eq!(sim.waiting(), ["wait time 2027-03-29T08:00"]);
    sim.zone("America/New_York");
    assert_eq!(sim.waiting(), ["wait time 2027-03-29T09:00"]);
    let epochs: Vec<_> = sim.records.iter().map(|(_, _, moved)| moved.epoch).collect();
    assert_eq!(epochs, [1, 2]);
    // Computed again, nothing moves, and nothing is recorded.
    sim.rezone();
    assert_eq!(sim.records.len(), 2);
    sim.until("2027-04-01T00:00");
    sim.expect_sent(&[("one", "2027-03-26T09:00"), ("two", "2027-03-29T09:00")]);
}

#[test]
fn the_zone_is_the_fields_then_the_contacts_then_the_workflows() {
    for (field, own, expected) in [
        (Some("America/New_York"), Some("Asia/Tokyo"), "2026-11-23T14:00"),
        (Some("UTC+02"), None, "2026-11-24T07:00"),
        (Some("nowhere"), Some("Asia/Tokyo"), "2026-11-24T00:00"),
        (None, Some("Asia/Tokyo"), "2026-11-24T00:00"),
        (None, None, "2026-11-24T08:00"),
    ] {
        let mut workflow = workflow(json!({ "send_at": "09:00" }), "1d");
        workflow["zone_field"] = json!("zone");
        let mut sim = Sim::new(&[("test", workflow)]);
        sim.set("zone", field);
        if let Some(own) = own {
            sim.zone(own);
        }
        sim.subscribe();
        sim.until("2026-11-24T09:00");
        assert_eq!(sim.sent[0].at, crate::world::at(expected), "{field:?} {own:?}");
    }
}

#[test]
fn machines_count_only_if_that_is_asked_for() {
    for (machine_opens, leave) in [("ignore", "finished"), ("count", "engaged")] {
        let mut workflow = workflow(json!({}), "2h");
        workflow["steps"][1]["after"] = json!("no_engagement");
        workflow["machine_opens"] = json!(machine_opens);
        let mut sim = Sim::new(&[("test", workflow)]);
        sim.subscribe();
        sim.judged("one", types::event::HitClass::AppleMpp, sim.now);
        sim.until("2026-12-01T00:00");
        assert_eq!(sim.leaves(), [leave]);
    }
}

#[test]
fn what_waits_can_be_told_from_the_row() {
    let mut sim = Sim::new(&[("test", workflow(json!({ "send_at": "09:00" }), "1d"))]);
    sim.subscribe();
    let id = sim.live()[0];
    let instance = sim.instance(id);
    let waits = instance.waits().unwrap();
    assert_eq!(waits.on, WaitsOn::Slot);
    assert_eq!(waits.zone.to_string(), "Europe/Rome");
    assert_eq!(instance.due(), Some(crate::world::at("2026-11-24T08:00")));
    assert!(instance.is_civil() && instance.has_entered() && !instance.is_armed());
}

#[test]
fn a_daily_series_at_a_clock_time_stays_daily_though_each_mail_leaves_a_little_late() {
    for spread in [None, Some("30m")] {
        let mut send = json!({ "send_at": "09:00" });
        if let Some(spread) = spread {
            send["spread"] = json!(spread);
        }
        for after in ["reached", "send"] {
            let mut workflow = workflow(send.clone(), "1d");
            workflow["steps"][1]["after"] = json!(after);
            let mut sim = Sim::new(&[("test", workflow)]);
            sim.subscribe();
            // Timers surface some seconds after they were due.
            sim.lateness = std::time::Duration::from_secs(7);
            sim.until("2026-11-30T00:00");
            let days: Vec<_> = sim
                .sent
                .iter()
                .map(|mail| mail.at.to_string()[..10].to_owned())
                .collect();
            assert_eq!(
                days,
                ["2026-11-24", "2026-11-25"],
                "{spread:?} {after}: {:#?}",
                sim.story()
            );
        }
    }
}

#[test]
fn after_an_outage_the_clock_time_is_waited_for_again() {
    let mut sim = Sim::new(&[("test", workflow(json!({ "send_at": "09:00" }), "1d"))]);
    sim.subscribe();
    sim.outage_until("2026-11-24T12:00");
    sim.expect_sent(&[]);
    sim.until("2026-12-01T00:00");
    sim.expect_sent(&[("one", "2026-11-25T08:00"), ("two", "2026-11-26T08:00")]);
}

#[test]
fn a_start_whose_time_came_while_it_was_off_is_made_up_for_unless_it_is_too_late() {
    for (start, on_at, expected) in [
        (
            json!({ "on": "subscription", "after": "3d" }),
            "2026-11-26T20:00",
            Some("2026-11-26T20:00"),
        ),
        (json!({ "on": "subscription", "after": "3d" }), "2026-11-28T20:00", None),
        (
            json!({ "on": "date", "field": "renewal" }),
            "2026-11-26T20:00",
            Some("2026-11-26T20:00"),
        ),
        (json!({ "on": "date", "field": "renewal" }), "2026-11-28T20:00", None),
    ] {
        let mut workflow = workflow(json!({}), "1d");
        workflow["start"] = start.clone();
        let mut sim = Sim::new(&[("test", workflow)]);
        sim.subscribe();
        sim.set("renewal", Some("2026-11-26"));
        sim.switch("test", WorkflowState::Off, Enrol::Future);
        sim.until("2026-11-26T19:00");
        assert_eq!(sim.waiting(), ["- on -"]);
        sim.until(on_at);
        sim.switch("test", WorkflowState::On, Enrol::Future);
        let sent: Vec<_> = expected.iter().map(|time| ("one", *time)).collect();
        sim.expect_sent(&sent);
        assert_eq!(sim.leaves().len(), usize::from(expected.is_none()), "{start}");
    }
}

#[test]
fn a_birthday_that_passed_while_it_was_off_comes_next_year() {
    let mut workflow = workflow(json!({}), "1d");
    workflow["start"] = json!({ "on": "date", "field": "birthday", "yearly": "mar01" });
    let mut sim = Sim::new(&[("test", workflow)]);
    sim.subscribe();
    sim.set("birthday", Some("1980-11-26"));
    sim.switch("test", WorkflowState::Off, Enrol::Future);
    sim.until("2026-12-26T00:00");
    sim.switch("test", WorkflowState::On, Enrol::Future);
    assert_eq!(sim.waiting(), ["- start 2027-11-25T23:00"]);
    sim.until("2027-11-26T00:00");
    sim.expect_sent(&[("one", "2027-11-25T23:00")]);
}

#[test]
fn what_is_deleted_while_it_is_off_is_over_with_the_next_event() {
    let mut sim = Sim::new(&[("test", workflow(json!({}), "1d"))]);
    sim.subscribe();
    sim.switch("test", WorkflowState::Off, Enrol::Future);
    sim.until("2026-11-25T00:00");
    sim.delete("test");
    sim.set("points", Some("1"));
    assert_eq!(sim.leaves(), ["deleted"]);
}

#[test]
fn a_moment_that_was_chosen_is_asked_again_when_it_surfaces() {
    let quiet = json!({ "quiet": { "from": "22:00", "to": "08:00" } });
    let mut sim = Sim::new(&[("test", workflow(quiet, "1d"))]);
    sim.until("2026-11-23T21:30");
    sim.subscribe();
    assert_eq!(sim.waiting(), ["one slot 2026-11-24T07:00"]);
    // Nothing worked until the next night.
    sim.outage_until("2026-11-24T22:00");
    sim.expect_sent(&[]);
    assert_eq!(sim.waiting(), ["one slot 2026-11-25T07:00"]);
    // The contact moved to where it is night then.
    sim.zone("America/Los_Angeles");
    sim.until("2026-11-25T15:59");
    sim.expect_sent(&[]);
    sim.until("2026-11-25T16:00");
    sim.expect_sent(&[("one", "2026-11-25T16:00")]);
}

#[test]
fn what_was_ready_in_the_last_moment_does_not_leave_in_the_first_quiet_one() {
    let quiet = json!({ "quiet": { "from": "22:00", "to": "08:00" } });
    let mut sim = Sim::new(&[("test", workflow(quiet, "1d"))]);
    sim.until("2026-11-23T20:59:58Z");
    sim.subscribe();
    // The timer surfaces at 22:00:05 in Rome, seven seconds late.
    sim.lateness = std::time::Duration::from_secs(7);
    sim.until("2026-11-25T00:00");
    sim.expect_sent(&[("one", "2026-11-23T20:59:58Z")]);
    assert_eq!(sim.waiting(), ["two slot 2026-11-25T07:00"]);
}
