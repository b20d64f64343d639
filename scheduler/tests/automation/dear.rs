//! Workflows whose filters are dear: what they cost is counted, bounded for each event, and makes turns short; nobody else waits for it.

use std::path::Path;
use std::sync::Arc;

use serde_json::{Value, json};
use types::contact::{ContactChange, FieldSpec, FieldValue};
use types::event::{CatalogueChanged, Event};
use types::id::PartitionId;

use crate::fixture::{Node, PUBLISHER, SECOND_PUBLISHER, SetClock, spec};
use crate::steps::automated;
use crate::storm::start_behind;

const ANNA: &str = "anna@example.it";
const BERTA: &str = "berta@example.it";

/// Starts by the event `quiz`, if the filter holds.
fn quiz(filter: &str, steps: &Value) -> Value {
    json!({ "name": "Quiz", "start": { "on": "event", "name": "quiz", "if": filter }, "entry": "after_exit", "steps": steps })
}

/// Furnishes a shop with four workflows of which each costs close to half of an event's budget, and a contact of whom they ask.
async fn dear(folder: &Path) -> Node {
    let node = automated(folder).await;
    for id in ["a", "b"] {
        let spec: FieldSpec = spec(json!({ "type": "text" }));
        let id = id.try_into().unwrap();
        node.change(CatalogueChanged::FieldPut {
            shop: PUBLISHER,
            id,
            spec,
        })
        .await;
    }
    let text = |text: String| Some(FieldValue::Text(text.as_str().try_into().unwrap()));
    let fields = [
        ("a".try_into().unwrap(), text("a".repeat(1_000))),
        ("b".try_into().unwrap(), text("a".repeat(499) + "b")),
    ];
    let change = ContactChange {
        fields: fields.into(),
        ..node.agreed()
    };
    let event = node.contact_changed(ANNA, change);
    node.submit(node.partition(ANNA), event).await;
    let filter = ["fields.a.contains(fields.b)"; 60].join(" || ");
    for number in 0..4 {
        let workflow = quiz(&filter, &json!([{ "do": "send", "id": "first", "template": "hello" }]));
        node.run(&format!("dear{number}"), workflow).await;
    }
    node.settled().await;
    node
}

/// Stops, and starts with so many events of Anna in the inbox, and an order of another shop's customer behind them.
async fn behind(node: Node, folder: &Path, count: usize) -> Node {
    let events: Vec<(PartitionId, Event)> = (0..count)
        .map(|_| (node.partition(ANNA), node.reported(ANNA, "quiz", None)))
        .chain([(node.partition(BERTA), node.order(SECOND_PUBLISHER, BERTA).1)])
        .collect();
    let clock: Arc<SetClock> = Arc::clone(&node.clock);
    node.stop().await;
    let node = start_behind(folder, &clock, |_| events).await;
    // Behind all of them: what it waits for is recorded after they are.
    node.confirmed("carla@example.it").await;
    node.settled().await;
    node
}

/// Returns how many turns there were, and how many submissions they took.
fn turns(node: &Node) -> (f64, f64) {
    node.metric("scheduler_turn_submissions", "")
}

fn orders_mails(node: &Node) -> usize {
    let mails = node.outbox.mails.lock().unwrap();
    mails
        .iter()
        .filter(|mail| mail.partition == node.partition(BERTA))
        .count()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_whose_filters_cost_too_much_is_set_aside_once_and_the_next_order_is_served() {
    let folder = tempfile::tempdir().unwrap();
    let node = dear(folder.path()).await;
    let node = behind(node, folder.path(), 1).await;
    let aside = node.store.state().asides().newest(None, 10).unwrap();
    assert_eq!(aside.len(), 1, "{aside:?}");
    assert!(aside[0].1.fault.contains("more than 200000 steps"), "{aside:?}");
    let records = node.records().await;
    let event = records
        .iter()
        .find(|record| matches!(record.event, Event::EventReported(_)));
    assert_eq!(aside[0].1.object, event.unwrap().id);
    assert_eq!(orders_mails(&node), 1);
    let submitted = turns(&node).1;
    assert!(submitted > 2.0, "{submitted}");
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn dear_events_end_their_turn_early_and_what_is_left_keeps_its_order() {
    let folder = tempfile::tempdir().unwrap();
    let node = dear(folder.path()).await;
    let events = 9;
    let node = behind(node, folder.path(), events).await;
    // Three events cost more than a turn may; the order and the mail behind them are in one turn or two.
    let (turns, submissions) = turns(&node);
    assert!(turns >= 4.0 && submissions >= 11.0, "{turns} turns of {submissions}");
    assert_eq!(orders_mails(&node), 1);
    let records = node.records().await;
    let last = records
        .iter()
        .rposition(|record| matches!(record.event, Event::EventReported(_)));
    let order = records
        .iter()
        .position(|record| matches!(record.event, Event::OrderAccepted(_)));
    assert!(last < order, "{last:?} {order:?}");
    let aside = node.store.state().asides().newest(None, 100).unwrap();
    assert_eq!(aside.len(), events, "each event by itself costs the same");
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn cheap_events_share_a_turn() {
    let folder = tempfile::tempdir().unwrap();
    let node = automated(folder.path()).await;
    for number in 0..20 {
        let steps = json!([{ "do": "exit", "id": "out" }]);
        let filter = r#"consent.email && fields.city in ["Genova", "Roma"] && orders.count > 3"#;
        node.run(&format!("cheap{number}"), quiz(filter, &steps)).await;
    }
    node.subscribe(ANNA).await;
    let node = behind(node, folder.path(), 100).await;
    let (turns, submissions) = turns(&node);
    assert!(turns <= 3.0 && submissions >= 102.0, "{turns} turns of {submissions}");
    assert_eq!(node.store.state().asides().newest(None, 10).unwrap(), []);
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stored_workflow_with_too_many_filters_is_set_aside_with_the_cause_and_others_go_on() {
    let folder = tempfile::tempdir().unwrap();
    let node = automated(folder.path()).await;
    let filter = ["orders.count > 1"; 90].join(" || ");
    let branch = |n: usize| json!({ "do": "branch", "id": format!("b{n}"), "if": filter, "else": "end" });
    let branches: Vec<_> = (0..64).map(branch).collect();
    let workflow =
        |steps: &Value| json!({ "name": "Quiz", "start": { "on": "event", "name": "quiz" }, "steps": steps });
    node.run("big", workflow(&json!(branches))).await;
    let send = json!([{ "do": "send", "id": "first", "template": "hello" }]);
    node.run("usual", workflow(&send)).await;
    node.subscribe(ANNA).await;
    node.report(ANNA, "quiz", None).await;
    assert_eq!(node.sent_steps(), ["first"]);
    let aside = node.store.state().asides().newest(None, 10).unwrap();
    assert_eq!(aside.len(), 1, "{aside:?}");
    assert!(aside[0].1.fault.contains("more than 2000 parts"), "{aside:?}");
    node.stop().await;
}
