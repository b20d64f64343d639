//! Contacts that are looked at one after the other: new zone data, and workflows that are deleted.

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use types::event::{CatalogueChanged, Event, MoveCause, Moved, Place, Swept};
use types::id::{PartitionId, WorkflowNumber};
use types::workflow::{Enrol, WorkflowState};

use crate::fixture::{PUBLISHER, start_with};
use crate::steps::{automated, series};

const ANNA: &str = "anna@example.it";
const HOUR: Duration = Duration::from_hours(1);

#[tokio::test(flavor = "multi_thread")]
async fn who_waits_for_a_workflow_that_is_off_leaves_when_it_is_deleted() {
    let folder = tempfile::tempdir().unwrap();
    let node = automated(folder.path()).await;
    node.run("welcome", series(&json!({ "on": "subscription" }))).await;
    node.subscribe(ANNA).await;
    node.switch("welcome", WorkflowState::Off, Enrol::Future).await;
    node.after(25 * HOUR).await;
    assert_eq!(node.leaves().await, [""; 0]);
    let (shop, id) = (PUBLISHER, "welcome".try_into().unwrap());
    node.change(CatalogueChanged::WorkflowDeleted { shop, id }).await;
    node.tick().await;
    assert_eq!(node.leaves().await, ["deleted"]);
    assert!(node.contact(ANNA).await.unwrap().enrolments().live().next().is_none());
    let swept = || async {
        let records = node.records().await.into_iter();
        records.filter(|record| matches!(record.event, Event::Swept(_))).count()
    };
    let before = swept().await;
    let (shop, spec) = (PUBLISHER, crate::fixture::spec(json!({ "type": "text" })));
    let id = "town".try_into().unwrap();
    node.change(CatalogueChanged::FieldPut { shop, id, spec }).await;
    node.tick().await;
    assert_eq!(swept().await, before, "once");
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn new_zone_data_move_what_was_counted_by_the_old() {
    let folder = tempfile::tempdir().unwrap();
    let node = automated(folder.path()).await;
    node.run("welcome", series(&json!({ "on": "subscription" }))).await;
    node.subscribe(ANNA).await;
    node.tick().await;
    let instance = node
        .contact(ANNA)
        .await
        .unwrap()
        .enrolments()
        .live()
        .next()
        .unwrap()
        .1
        .instance;
    let entered = node.moves().await.remove(0);
    let Place::Waits(waits) = &entered.place else {
        panic!("{entered:?}")
    };
    let due = waits.due.unwrap();
    // What another version of the data would have left: an hour off.
    let mut waits = waits.clone();
    waits.due = Some(due + HOUR);
    let moved = Moved {
        instance: Some(instance),
        epoch: entered.epoch + 1,
        cause: MoveCause::Zone,
        did: Vec::new(),
        place: Place::Waits(waits),
        ..entered
    };
    let swept = Event::Swept(Swept {
        shop: PUBLISHER,
        workflow: WorkflowNumber(0),
        activation: 1,
        entered: 0,
    });
    let first = PartitionId::new(0).unwrap();
    node.append(node.partition(ANNA), &[Event::Moved(Box::new(moved))])
        .await;
    node.append(first, &[swept]).await;
    let clock = Arc::clone(&node.clock);
    node.stop().await;

    let node = start_with(folder.path(), clock, 1).await;
    node.tick().await;
    let last = node.moves().await.pop().unwrap();
    let Place::Waits(waits) = &last.place else {
        panic!("{last:?}")
    };
    assert_eq!((last.cause, waits.due, last.epoch), (MoveCause::Zone, Some(due), 3));
    node.sent_steps();
    node.clock.set(due);
    node.tick().await;
    assert_eq!(node.sent_steps(), ["next"]);
    node.stop().await;
}
