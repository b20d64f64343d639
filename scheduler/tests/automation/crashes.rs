//! A crash after each append of a workflow's and a cart's way: what was lost is done again, what was not is not done twice.

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use store::Record;
use types::event::{CartVerdict, Did, Event, Place};
use types::id::WorkflowNumber;
use types::tally::{CellKey, Counts, Hour};
use types::time::Clock;

use crate::fixture::{Node, PUBLISHER, SetClock, copy, furnished, start_at};

const ANNA: &str = "anna@example.it";
const HOUR: Duration = Duration::from_hours(1);

/// Returns whether an event comes from outside; all others are what the runners make of it.
const fn is_told(event: &Event) -> bool {
    matches!(
        event,
        Event::ContactChanged(_) | Event::CartChanged(_) | Event::OrderAccepted(_)
    )
}

/// What became of it all, in words.
async fn outcome(node: &Node) -> Vec<String> {
    let mut outcome = Vec::new();
    for record in node.records().await {
        match record.event {
            Event::Moved(moved) => {
                let steps = moved.did.iter().filter_map(|did| match did {
                    Did::Sent { step, .. } => Some(format!("sent {step}")),
                    Did::Suppressed { step, .. } => Some(format!("not sent {step}")),
                    _ => None,
                });
                outcome.extend(steps);
                if let Place::Left(leave) = moved.place {
                    outcome.push(leave.code().to_owned());
                }
            }
            Event::CartDecided(decided) => outcome.push(match decided.verdict {
                CartVerdict::Reminded { reminder, .. } => format!("{} reminder", reminder.as_str()),
                CartVerdict::Suppressed { reminder, reasons, .. } => format!("no {} {reasons:?}", reminder.as_str()),
                CartVerdict::WouldRemind { .. } => "would remind".to_owned(),
                CartVerdict::Ordered { recovery, .. } => format!("ordered {recovery:?}"),
            }),
            Event::Decided(_) => outcome.push("decided".to_owned()),
            Event::SetAside(aside) => outcome.push(format!("set aside: {}", aside.fault)),
            _ => {}
        }
    }
    outcome
}

async fn cells(node: &Node) -> Vec<(CellKey, Counts)> {
    let mut cells = node.cells().await;
    let hours = Hour(0)..Hour(u32::MAX);
    let state = node.store.state();
    cells.extend(
        state
            .cells()
            .of_steps(WorkflowNumber(1), hours.clone())
            .map(Result::unwrap),
    );
    cells.extend(state.cells().of_carts(PUBLISHER, hours).map(Result::unwrap));
    cells
}

#[tokio::test(flavor = "multi_thread")]
async fn whichever_append_was_the_last_everything_happens_once() {
    let folder = tempfile::tempdir().unwrap();
    let (base, whole) = (folder.path().join("base"), folder.path().join("whole"));
    let node = furnished(&base).await;
    node.furnish_automation().await;
    let series = json!({ "name": "Series", "start": { "on": "subscription" }, "steps": [
        { "do": "send", "id": "first", "template": "hello" },
        { "do": "wait", "id": "day", "for": "24h" },
        { "do": "send", "id": "next", "template": "second" },
        { "do": "wait", "id": "hour", "for": "1h" },
        { "do": "group", "id": "join", "change": { "copy": "friends" } },
    ] });
    node.run("series", series).await;
    node.remind(json!({
        "mode": "live", "languages": ["it"], "time_zone": "Europe/Rome",
        "first": { "after": "2h" }, "second": { "after": "23h" },
    }))
    .await;
    // Sweeps are over: what is appended behind the runners' backs must be the last there is.
    node.tick().await;
    let furniture = node.records().await.len();
    node.stop().await;

    copy(&base, &whole);
    let node = start_at(&whole, Arc::default()).await;
    node.subscribe(ANNA).await;
    node.after(HOUR).await;
    node.touch(ANNA, "c-1").await;
    node.pass(30 * HOUR, HOUR / 2).await;
    let (person, order) = node.order(PUBLISHER, ANNA);
    node.store.intake().accept(person.partition(), order).await.unwrap();
    node.pass(HOUR, HOUR).await;
    let (expected, counted) = (outcome(&node).await, cells(&node).await);
    for part in [
        "sent first",
        "first reminder",
        "no second [Refused]",
        "sent next",
        "finished",
        "ordered Influenced",
    ] {
        assert_eq!(
            expected.iter().filter(|done| *done == part).count(),
            1,
            "{part}: {expected:?}"
        );
    }
    let records = node.records().await.split_off(furniture);
    let end = node.clock.now();
    node.stop().await;

    // The clock moves between any two appends, and not within one.
    let cuts = (1..=records.len()).filter(|at| records.get(*at).is_none_or(|next| next.wall != records[at - 1].wall));
    for kept in cuts.collect::<Vec<_>>() {
        let crashed = folder.path().join(format!("after-{kept}"));
        copy(&base, &crashed);
        let (before, lost) = records.split_at(kept);
        let clock: Arc<SetClock> = Arc::default();
        let node = start_at(&crashed, Arc::clone(&clock)).await;
        node.append_records(before).await;
        node.stop().await;

        clock.set(before.last().unwrap().wall);
        let node = start_at(&crashed, Arc::clone(&clock)).await;
        for record in lost {
            clock.reach(record.wall);
            node.tick().await;
            if is_told(&record.event) {
                node.submit(record.partition, untouched(record)).await;
                node.settled().await;
            }
        }
        clock.reach(end);
        node.tick().await;
        assert_eq!(outcome(&node).await, expected, "after record {kept}");
        assert_eq!(cells(&node).await, counted, "after record {kept}");
        node.no_timers(&format!("after record {kept}")).await;
        node.stop().await;
    }
}

/// Returns a record's event as it was told: without what the runner filled in.
fn untouched(record: &Record) -> Event {
    match record.event.clone() {
        Event::CartChanged(mut changed) => {
            (changed.language, changed.next, changed.object) = (None, None, None);
            Event::CartChanged(changed)
        }
        event => event,
    }
}
