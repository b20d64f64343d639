//! What cannot be done: no place for a mail, rows that are damaged.

use std::time::Duration;

use serde_json::json;
use store::state::{Put, Turn, WorkflowPut};
use types::id::EventId;

use crate::fixture::{Node, PUBLISHER};
use crate::steps::{automated, series};

const ANNA: &str = "anna@example.it";
const HOUR: Duration = Duration::from_hours(1);

#[tokio::test(flavor = "multi_thread")]
async fn a_step_waits_while_no_place_is_free() {
    let folder = tempfile::tempdir().unwrap();
    let node = automated(folder.path()).await;
    node.run("welcome", series(&json!({ "on": "subscription" }))).await;
    let places: Vec<_> = std::iter::from_fn(|| node.store.intake().try_admit()).collect();
    node.subscribe(ANNA).await;
    node.after(HOUR).await;
    assert_eq!(node.sent_steps(), [""; 0]);
    node.pass(Duration::from_secs(10), Duration::from_secs(1)).await;
    assert_eq!(
        node.moves().await.len(),
        1,
        "that it waits is told once, however long it does"
    );
    drop(places);
    node.after(Duration::from_secs(1)).await;
    assert_eq!(node.sent_steps(), ["first"]);
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_instance_is_set_aside_after_three_tries_and_others_go_on() {
    let folder = tempfile::tempdir().unwrap();
    let node = automated(folder.path()).await;
    node.run("welcome", series(&json!({ "on": "subscription" }))).await;
    let other = "berta@example.it";
    node.subscribe(ANNA).await;
    node.subscribe(other).await;
    node.sent_steps();
    // The sweeps are over: they would tell of it too.
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
    node.damage(ANNA, instance).await;
    node.after(24 * HOUR).await;
    assert_eq!(node.sent_steps(), ["next"], "the other one");
    assert_eq!(node.store.state().asides().newest(None, 10).unwrap(), []);
    node.after(Duration::from_mins(1)).await;
    assert_eq!(node.store.state().asides().newest(None, 10).unwrap(), []);
    node.after(Duration::from_mins(5)).await;
    node.no_timers("it is told, and not tried for ever").await;
    let aside = node.store.state().asides().newest(None, 10).unwrap();
    let told: Vec<_> = aside.iter().map(|(_, aside)| (aside.object, aside.tries)).collect();
    assert_eq!(told, [(instance, 3)]);

    // Whatever the contact does is recorded and answered; that nothing came of it is told.
    let bought = node.accept(PUBLISHER, ANNA).await;
    assert!(bought.is_some());
    let aside = node.store.state().asides().newest(None, 10).unwrap();
    assert_eq!(aside.len(), 2, "{aside:?}");
    assert!(aside.iter().all(|(_, aside)| aside.fault.contains("workflow")));
    node.stop().await;
}

impl Node {
    /// Writes what is no instance where one is.
    async fn damage(&self, email: &str, instance: EventId) {
        self.settled().await;
        let (partition, state) = (self.partition(email), self.store.state());
        let put = WorkflowPut::Instance {
            partition,
            instance,
            value: Some(vec![0xff]),
        };
        state.submit(Turn {
            range: partition.number()..partition.number() + 1,
            position: state.applied(partition),
            puts: vec![Put::Workflow(put)],
            released: Vec::new(),
        });
        while state.workflows().instance(partition, instance).unwrap() != Some(vec![0xff]) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}
