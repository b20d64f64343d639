//! Random workflows, random lives: what must be so whatever happens.

use std::collections::{BTreeMap, HashSet};

use policy::calendar::{ResolvedZone, is_allowed};
use policy::workflow::{Instance, counts};
use proptest::prelude::*;
use serde_json::{Value, json};
use types::calendar::Zone;
use types::event::{HitClass, WaitsOn};
use types::id::EventId;
use types::tally::Measure;
use types::text::Slug;
use types::workflow::{Enrol, WorkflowState};

use crate::world::{Sim, minutes};

/// What may be drawn for one step: a kind, a length, and how far a jump leads.
type Drawn = (u8, u8, usize);

/// Makes a definition without faults of what was drawn.
fn definition(start: u8, entry: u8, rules: u8, drawn: &[Drawn]) -> Value {
    let by_clock = rules % 4 == 3;
    let start = match start % 6 {
        0 => json!({ "on": "event", "name": "go" }),
        1 => json!({ "on": "subscription", "after": "1d" }),
        2 => json!({ "on": "group", "group": "readers" }),
        3 => json!({ "on": "order" }),
        4 => json!({ "on": "date", "field": "renewal", "yearly": "feb28" }),
        _ => json!({ "on": "condition", "if": "fields.points > 10" }),
    };
    let has_key = matches!(start["on"].as_str(), Some("event" | "order"));
    let entry = match entry % 4 {
        0 => json!("once"),
        1 => json!("after_exit"),
        2 => json!({ "every_days": 2 }),
        _ if has_key => json!("per_key"),
        _ => json!("after_exit"),
    };
    let send = match rules % 4 {
        0 => json!({}),
        1 => json!({ "quiet": { "from": "20:00", "to": "09:00" }, "except": { "weekdays": ["sun"] } }),
        2 => json!({ "quiet": { "from": "10:00", "to": "11:00" }, "spread": "2h" }),
        _ => json!({ "send_at": "09:30", "spread": "20m", "except": { "weekdays": ["sat", "sun"] } }),
    };
    let mut steps = Vec::new();
    let mut has_sent = false;
    for (position, (kind, length, far)) in drawn.iter().enumerate() {
        let id = format!("s{position}");
        let jump = match position + 1 + far {
            later if later < drawn.len() => format!("s{later}"),
            _ => "end".to_owned(),
        };
        let unit = if by_clock {
            "d"
        } else {
            ["m", "h", "d", "x24h"][usize::from(*length) % 4]
        };
        let long = format!("{}{unit}", length % 5);
        steps.push(match kind % 10 {
            0..=2 => {
                has_sent = true;
                json!({ "do": "send", "id": id, "template": "hello" })
            }
            4 if has_sent => json!({ "do": "wait", "id": id, "for": long, "after": "send" }),
            5 if has_sent => {
                let limit = "2d";
                json!({ "do": "wait", "id": id, "for": long, "after": "engagement", "limit": limit, "else": jump })
            }
            6 if has_sent => json!({ "do": "wait", "id": id, "for": long, "after": "no_engagement", "else": jump }),
            7 => json!({ "do": "branch", "id": id, "if": "fields.points > 5", "else": jump }),
            8 => json!({ "do": "group", "id": id, "change": { "copy": "done" } }),
            9 => json!({ "do": "webhook", "id": id, "url": "https://api.scarpe.example/hook" }),
            _ => json!({ "do": "wait", "id": id, "for": long }),
        });
    }
    json!({
        "name": "Random", "start": start, "entry": entry, "send": send, "steps": steps, "zone": "Europe/Rome",
        "who": { "not_groups": ["staff"] }, "exit": { "on_order": length_is_odd(drawn) },
        "on_exit": { "copy": "buyers" }, "late_after": "3d",
    })
}

fn length_is_odd(drawn: &[Drawn]) -> bool {
    drawn.len() % 2 == 1
}

/// Lets one thing happen.
fn happen(sim: &mut Sim, what: u8, number: u8) {
    match what % 16 {
        0..=3 => sim.advance(sim.now + minutes(u64::from(number) * 37)),
        4 => {
            let back = sim.now + minutes(u64::from(number) * 11);
            sim.now = back;
            sim.advance(back);
        }
        5 | 6 => sim.report("go", Some(&format!("k{}", number % 4))),
        7 => sim.order(&format!("o{number}"), 10),
        8 => match number % 3 {
            0 => sim.join("readers"),
            1 => sim.leave("readers"),
            _ => sim.join("staff"),
        },
        9 => sim.set("points", Some(&(number % 20).to_string())),
        10 => sim.set(
            "renewal",
            Some(&format!("2026-{:02}-{:02}", 11 + number % 2, 1 + number % 28)),
        ),
        11 => sim.zone(["Europe/Rome", "America/New_York", "Pacific/Kiritimati", "UTC"][usize::from(number) % 4]),
        12 => match sim.sent.last().map(|mail| mail.step.clone()) {
            Some(step) if number.is_multiple_of(3) => sim.hit(step.as_str()),
            Some(step) if number % 3 == 1 => sim.judged(step.as_str(), HitClass::Human, sim.now),
            Some(step) => sim.judged(step.as_str(), HitClass::AppleMpp, sim.now),
            None => {}
        },
        13 => {
            let state = [WorkflowState::Off, WorkflowState::On][usize::from(number) % 2];
            sim.switch("test", state, Enrol::Future);
        }
        14 => match number % 4 {
            0 => sim.unsubscribe(),
            1 => sim.busy = 3,
            _ => sim.subscribe(),
        },
        _ => {
            if !sim.calls.is_empty() {
                sim.answer([Some(200), Some(500), None][usize::from(number) % 3]);
            }
        }
    }
}

fn check(sim: &Sim) {
    // Every mail left at a moment that its contact's clocks allowed.
    let mut seen = HashSet::new();
    for mail in &sim.sent {
        let workflow = sim.catalogue.workflow_by_number(mail.workflow).unwrap();
        let spec = workflow.spec();
        let account = ResolvedZone::of(spec.zone.unwrap());
        let zone = mail
            .request
            .to
            .time_zone
            .as_ref()
            .map(|zone| zone.parse::<Zone>().unwrap());
        let zone = zone.map_or_else(|| account.clone(), ResolvedZone::of);
        let allowed = is_allowed(mail.at, &spec.send, &zone, &account);
        assert_eq!(allowed, Ok(()), "{mail:?}");
        assert!(seen.insert((mail.instance, mail.step.clone())), "twice: {mail:?}");
    }
    // Every instance is over, has a due ahead, or waits to be switched on.
    for id in sim.live() {
        let instance = sim.instance(id);
        let waits = instance.waits().unwrap();
        match waits.due {
            Some(due) => assert!(due >= sim.now, "{waits:?} at {}", sim.now),
            None => assert_eq!(waits.on, WaitsOn::On),
        }
    }
    check_counts(sim);
    sim.expect_replay();
    assert_eq!(sim.broken, []);
}

/// Whoever reached a step passed it, left at it, or waits there.
fn check_counts(sim: &Sim) {
    let mut rows: BTreeMap<EventId, Instance> = BTreeMap::new();
    let mut cells: BTreeMap<Option<Slug>, i64> = BTreeMap::new();
    for (id, wall, moved) in &sim.records {
        let instance = moved.instance.unwrap_or(*id);
        for count in counts(rows.get(&instance), moved) {
            let by = match (count.measure, count.reason) {
                (Measure::Reached, _) => 1,
                (Measure::Passed, _) | (Measure::Left, None) => -1,
                _ => 0,
            };
            *cells.entry(count.step).or_default() += by;
        }
        match rows.get_mut(&instance) {
            Some(row) => row.apply(moved, *wall),
            None => {
                rows.insert(instance, Instance::begin(moved, *wall));
            }
        }
    }
    for row in rows.values().filter(|row| row.has_entered()) {
        if let Some(waits) = row.waits() {
            *cells.entry(waits.step.clone()).or_default() -= 1;
        }
    }
    assert!(cells.values().all(|left| *left == 0), "{cells:?} {:#?}", sim.story());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn whatever_happens(
        (start, entry, rules) in (any::<u8>(), any::<u8>(), any::<u8>()),
        drawn in prop::collection::vec((any::<u8>(), any::<u8>(), 0..4_usize), 1..10),
        life in prop::collection::vec((any::<u8>(), any::<u8>()), 1..60),
        lateness in prop_oneof![Just(0), 0..400_u64],
    ) {
        let mut sim = Sim::new(&[("test", definition(start, entry, rules, &drawn))]);
        sim.subscribe();
        sim.lateness = std::time::Duration::from_secs(lateness);
        for (what, number) in life {
            happen(&mut sim, what, number);
        }
        // The last timers surface.
        sim.lateness = std::time::Duration::ZERO;
        sim.advance(sim.now);
        check(&sim);
        // Left alone and on, everybody comes to an end, or waits for next year.
        sim.switch("test", WorkflowState::On, Enrol::Future);
        sim.advance(sim.now + minutes(60 * 24 * 60));
        check(&sim);
        for id in sim.live() {
            prop_assert!(sim.instance(id).is_armed(), "{:?}", sim.instance(id));
        }
    }
}
