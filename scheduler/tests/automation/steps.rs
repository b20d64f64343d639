//! Workflows from their start to their end.

use std::time::Duration;

use serde_json::{Value, json};
use store::state::{Timer, TimerClass};
use types::event::{Did, Event, Outcome, PersonErased, WebhookEnded};
use types::id::WorkflowNumber;
use types::tally::{Dimensions, Hour, Measure};
use types::text::Slug;
use types::time::Clock;
use types::workflow::{Enrol, WorkflowState};

use crate::fixture::{Node, PUBLISHER, furnished, start_at};

const ANNA: &str = "anna@example.it";
const HOUR: Duration = Duration::from_hours(1);

pub async fn automated(folder: &std::path::Path) -> Node {
    let node = furnished(folder).await;
    node.furnish_automation().await;
    node
}

pub fn series(start: &Value) -> Value {
    json!({ "name": "Series", "start": start, "steps": [
        { "do": "send", "id": "first", "template": "hello" },
        { "do": "wait", "id": "day", "for": "24h" },
        { "do": "send", "id": "next", "template": "second" },
    ] })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_contact_enters_is_sent_to_waits_and_comes_to_the_end() {
    let folder = tempfile::tempdir().unwrap();
    let node = automated(folder.path()).await;
    node.run("welcome", series(&json!({ "on": "subscription" }))).await;
    node.subscribe(ANNA).await;
    assert_eq!(node.sent_steps(), ["first"]);
    let contact = node.contact(ANNA).await.unwrap();
    let (workflow, live) = contact.enrolments().live().next().expect("an instance");
    assert_eq!(workflow, WorkflowNumber(1));
    let timer = Timer {
        due: node.clock.now() + 24 * HOUR,
        partition: node.partition(ANNA),
        owner: live.instance,
        epoch: 1,
        class: TimerClass::Workflow,
    };
    assert_eq!(node.timers(), [timer]);

    node.after(23 * HOUR).await;
    node.clock.set(timer.due - Duration::from_millis(1));
    node.tick().await;
    assert_eq!(node.sent_steps(), [""; 0], "nothing fires early");
    node.after(Duration::from_millis(10)).await;
    assert_eq!(node.sent_steps(), ["next"]);
    assert_eq!(node.leaves().await, ["finished"]);
    node.no_timers("a timer's row goes when it surfaces").await;
    assert!(node.contact(ANNA).await.unwrap().enrolments().live().next().is_none());
    node.subscribe(ANNA).await;
    assert_eq!(node.sent_steps(), [""; 0], "once is once");
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_timer_fires_by_itself_when_its_time_has_come() {
    let folder = tempfile::tempdir().unwrap();
    let node = automated(folder.path()).await;
    node.run("welcome", series(&json!({ "on": "subscription" }))).await;
    node.subscribe(ANNA).await;
    node.sent_steps();
    node.clock.advance(24 * HOUR);
    // Nobody asks: the runner looks at the clock itself, once a second at least.
    let sent = async {
        loop {
            let sent = node.sent_steps();
            if !sent.is_empty() {
                return sent;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let sent = tokio::time::timeout(Duration::from_secs(10), sent)
        .await
        .expect("it fires");
    assert_eq!(sent, ["next"]);
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_finds_the_timers_that_the_last_run_armed() {
    let folder = tempfile::tempdir().unwrap();
    let node = automated(folder.path()).await;
    node.run("welcome", series(&json!({ "on": "subscription" }))).await;
    node.subscribe(ANNA).await;
    let clock = std::sync::Arc::clone(&node.clock);
    node.stop().await;

    clock.advance(25 * HOUR);
    let node = start_at(folder.path(), std::sync::Arc::clone(&clock)).await;
    node.tick().await;
    // The first mail has no bytes yet, and is given to the outbox again.
    assert_eq!(node.sent_steps(), ["first", "next"]);
    node.tick().await;
    assert_eq!(node.sent_steps(), [""; 0]);
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_is_set_back_fires_nothing_twice_and_nothing_early() {
    let folder = tempfile::tempdir().unwrap();
    let node = automated(folder.path()).await;
    node.run("welcome", series(&json!({ "on": "subscription" }))).await;
    node.subscribe(ANNA).await;
    node.sent_steps();
    let due = node.clock.now() + 24 * HOUR;
    node.clock.set(node.clock.now() - 5 * HOUR);
    node.tick().await;
    node.after(24 * HOUR).await;
    assert_eq!(node.sent_steps(), [""; 0]);
    node.clock.set(due);
    node.tick().await;
    assert_eq!(node.sent_steps(), ["next"]);
    node.clock.set(due - 20 * HOUR);
    node.tick().await;
    node.after(40 * HOUR).await;
    assert_eq!(node.sent_steps(), [""; 0]);
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_steps_do_counts_with_their_mails() {
    let folder = tempfile::tempdir().unwrap();
    let node = automated(folder.path()).await;
    node.run("welcome", series(&json!({ "on": "subscription" }))).await;
    node.subscribe(ANNA).await;
    let mail = node.own_mails().remove(0);
    let ended = crate::fixture::ended(mail.plan.message, 1, Outcome::Delivered);
    node.submit(mail.partition, ended).await;
    node.settled().await;
    let cells = node.step_cells(WorkflowNumber(1)).await;
    let count = |step: Option<&str>, measure| {
        let is_it = |dimensions: &Dimensions| matches!(dimensions, Dimensions::Step { step: own, reason: None, .. } if own.as_ref().map(Slug::as_str) == step);
        let cells = cells.iter().filter(|(key, _)| is_it(&key.dimensions));
        cells.map(|(_, counts)| counts.get(measure)).sum::<u64>()
    };
    assert_eq!(count(None, Measure::Reached), 1);
    assert_eq!(count(Some("first"), Measure::Reached), 1);
    assert_eq!(count(Some("first"), Measure::Passed), 1);
    assert_eq!(count(Some("first"), Measure::Sent), 1);
    assert_eq!(count(Some("first"), Measure::Delivered), 1);
    assert_eq!(
        (
            count(Some("day"), Measure::Reached),
            count(Some("day"), Measure::Passed)
        ),
        (1, 0)
    );
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_open_that_is_judged_a_persons_lets_its_instance_go_on_from_the_open() {
    let folder = tempfile::tempdir().unwrap();
    let node = automated(folder.path()).await;
    let workflow = json!({ "name": "Read", "start": { "on": "subscription" }, "steps": [
        { "do": "send", "id": "first", "template": "hello" },
        { "do": "wait", "id": "read", "for": "1h", "after": "engagement" },
        { "do": "send", "id": "next", "template": "second" },
    ] });
    node.run("read", workflow).await;
    node.subscribe(ANNA).await;
    let mail = node.own_mails().remove(0);
    let ended = crate::fixture::ended(mail.plan.message, 1, Outcome::Delivered);
    node.submit(mail.partition, ended).await;
    node.after(5 * HOUR).await;
    assert_eq!(node.sent_steps(), [""; 0]);
    let opened = types::event::Opened {
        message: mail.plan.message,
        shop: PUBLISHER,
        agent: types::event::AgentClass::Client,
        network: Some(crate::fixture::HOME),
        visit: types::event::Visit::Real,
        suspect: false,
    };
    node.submit(mail.partition, Event::Opened(opened)).await;
    let opened_at = node.clock.now();
    // The verdict comes two minutes later; the wait is counted from the open.
    node.after(Duration::from_mins(2)).await;
    assert!(node.contact(ANNA).await.unwrap().activity().last_opened_at() == Some(opened_at));
    node.after(Duration::from_mins(57)).await;
    assert_eq!(node.sent_steps(), [""; 0]);
    node.after(Duration::from_mins(1)).await;
    assert_eq!(node.sent_steps(), ["next"]);
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_workflow_that_is_off_waits_and_goes_on_when_it_is_switched_on() {
    let folder = tempfile::tempdir().unwrap();
    let node = automated(folder.path()).await;
    node.run("welcome", series(&json!({ "on": "subscription" }))).await;
    node.subscribe(ANNA).await;
    node.sent_steps();
    node.switch("welcome", WorkflowState::Off, Enrol::Future).await;
    node.after(25 * HOUR).await;
    assert_eq!(node.sent_steps(), [""; 0]);
    node.after(HOUR).await;
    assert_eq!(node.sent_steps(), [""; 0]);
    node.switch("welcome", WorkflowState::On, Enrol::Future).await;
    node.tick().await;
    assert_eq!(node.sent_steps(), ["next"]);
    assert_eq!(node.leaves().await, ["finished"]);
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_activation_takes_in_who_is_there_already_once_also_if_it_is_cut_off() {
    let folder = tempfile::tempdir().unwrap();
    let mut node = automated(folder.path()).await;
    let emails: Vec<_> = (0..40).map(|number| format!("anna{number}@example.it")).collect();
    for email in &emails {
        let mut change = node.agreed();
        change.join = vec!["buyers".try_into().unwrap()];
        let event = node.contact_changed(email, change);
        node.submit(node.partition(email), event).await;
    }
    node.settled().await;
    let start = json!({ "on": "group", "group": "buyers" });
    node.put_workflow("buyers", series(&start)).await;
    node.switch("buyers", WorkflowState::On, Enrol::ExistingAndFuture).await;
    // The process ends whenever it does; each start goes on.
    for _ in 0..4 {
        tokio::time::sleep(Duration::from_millis(30)).await;
        let clock = std::sync::Arc::clone(&node.clock);
        node.stop().await;
        node = start_at(folder.path(), clock).await;
    }
    node.tick().await;
    let entered = node
        .moves()
        .await
        .into_iter()
        .filter(|moved| moved.did.contains(&Did::Entered));
    let mut persons: Vec<_> = entered.map(|moved| moved.person).collect();
    persons.sort_unstable();
    let mut expected: Vec<_> = emails.iter().map(|email| node.person(email)).collect();
    expected.sort_unstable();
    assert_eq!(persons, expected);
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_step_that_changes_groups_brings_the_contact_into_another_workflow() {
    let folder = tempfile::tempdir().unwrap();
    let node = automated(folder.path()).await;
    node.run("friends", series(&json!({ "on": "group", "group": "friends" })))
        .await;
    let steps = json!([{ "do": "group", "id": "join", "change": { "copy": "friends" } }]);
    let workflow = json!({ "name": "Join", "start": { "on": "event", "name": "quiz" }, "steps": steps });
    node.run("join", workflow).await;
    node.subscribe(ANNA).await;
    node.report(ANNA, "quiz", None).await;
    assert_eq!(node.sent_steps(), ["first"]);
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn workflows_that_set_each_other_off_for_ever_are_stopped_and_set_aside() {
    let folder = tempfile::tempdir().unwrap();
    let node = automated(folder.path()).await;
    for (id, group, change) in [
        ("in", "left", json!({ "copy": "friends" })),
        ("out", "entered", json!({ "leave": "friends" })),
    ] {
        let start = json!({ "on": "group", "group": "friends", "change": group });
        let steps = json!([{ "do": "group", "id": "turn", "change": change }]);
        let workflow = json!({ "name": id, "start": start, "steps": steps, "entry": "after_exit" });
        node.run(id, workflow).await;
    }
    let mut change = node.agreed();
    change.join = vec!["friends".try_into().unwrap()];
    let event = node.contact_changed(ANNA, change);
    node.submit(node.partition(ANNA), event).await;
    node.settled().await;
    let aside = node.store.state().asides().newest(None, 10).unwrap();
    assert_eq!(aside.len(), 1, "{aside:?}");
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_of_a_page_lets_its_instance_go_on() {
    let folder = tempfile::tempdir().unwrap();
    let node = automated(folder.path()).await;
    let steps = json!([
        { "do": "webhook", "id": "tell", "url": "https://shop.example/hook" },
        { "do": "send", "id": "after", "template": "hello" },
    ]);
    let workflow = json!({ "name": "Tell", "start": { "on": "subscription" }, "steps": steps });
    node.run("tell", workflow).await;
    node.subscribe(ANNA).await;
    let call = node.outbox.calls.lock().unwrap().pop().expect("a call");
    assert_eq!(call.url.as_str(), "https://shop.example/hook");
    assert_eq!(node.sent_steps(), [""; 0]);
    let ended = |epoch| {
        Event::WebhookEnded(WebhookEnded {
            instance: call.instance,
            epoch,
            status: Some(200),
        })
    };
    node.submit(call.partition, ended(call.epoch + 1)).await;
    node.settled().await;
    assert_eq!(node.sent_steps(), [""; 0], "another call's answer");
    node.submit(call.partition, ended(call.epoch)).await;
    node.settled().await;
    assert_eq!(node.sent_steps(), ["after"]);
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_left_of_an_erased_contact_and_its_timers_find_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let node = automated(folder.path()).await;
    node.run("welcome", series(&json!({ "on": "subscription" }))).await;
    node.subscribe(ANNA).await;
    node.touch(ANNA, "c-1").await;
    let contact = node.contact(ANNA).await.unwrap();
    let instance = contact.enrolments().live().next().unwrap().1.instance;
    let (object, cart) = (contact.object().unwrap(), contact.carts()[0]);
    let (person, partition) = (node.person(ANNA), node.partition(ANNA));
    let erased = PersonErased {
        person,
        shop: Some(PUBLISHER),
    };
    let state = node.store.state();
    for object in [object, instance, cart] {
        assert_ne!(state.histories().of(partition, object).unwrap(), []);
    }
    node.submit(partition, Event::PersonErased(erased)).await;
    assert!(node.contact(ANNA).await.is_none());
    assert!(node.instance(ANNA, instance).await.is_none() && node.cart(ANNA, "c-1").await.is_none());
    assert_eq!(
        state.carts().named(PUBLISHER, &"c-1".try_into().unwrap()).unwrap(),
        None
    );
    for object in [object, instance, cart] {
        assert_eq!(state.histories().of(partition, object).unwrap(), []);
    }
    node.sent_steps();
    let cells = node.step_cells(WorkflowNumber(1)).await;
    let left: Vec<_> = cells
        .iter()
        .filter(|(_, counts)| counts.get(Measure::Left) == 1)
        .filter_map(|(key, _)| match &key.dimensions {
            Dimensions::Step { step, reason, .. } => {
                Some((step.as_ref().map(Slug::as_str), reason.as_ref().map(Slug::as_str)))
            }
            _ => None,
        })
        .collect();
    assert_eq!(
        left,
        [(Some("day"), None), (Some("day"), Some("erased"))],
        "it no longer waits there"
    );
    node.after(48 * HOUR).await;
    assert_eq!(node.sent_steps(), [""; 0]);
    node.no_timers("in the end").await;
    assert_eq!(state.histories().about(partition, &person).unwrap().len(), 0);
    node.stop().await;
}

impl Node {
    async fn step_cells(&self, workflow: WorkflowNumber) -> Vec<(types::tally::CellKey, types::tally::Counts)> {
        self.settled().await;
        let cells = self.store.state().cells().of_steps(workflow, Hour(0)..Hour(u32::MAX));
        cells.map(Result::unwrap).collect()
    }
}
