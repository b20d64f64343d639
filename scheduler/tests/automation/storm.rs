//! Many timers at once beside orders, and what cannot be done at all.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use prometheus::Registry;
use scheduler::{Deps, Scheduler, Settings};
use serde_json::json;
use types::address::PersonKeyer;
use types::contact::{ContactChange, FieldValue};
use types::event::{Event, MoveCause};
use types::id::{PartitionId, Slot};
use types::port::{Outbox, Webhooks};
use types::time::Clock;
use types::withdrawals::Withdrawals;

use crate::fixture::{Kept, Node, PUBLISHER, SetClock, furnished};

/// What `runner.rs` says of its turns.
const TURN_MAX: usize = 128;
/// Timers between two turns of orders: one turn of theirs, and that of a tick.
const FIRES_MAX: usize = 2 * 64;

async fn waiting(folder: &Path, contacts: usize) -> Arc<SetClock> {
    let node = furnished(folder).await;
    node.furnish_automation().await;
    let steps = json!([
        { "do": "wait", "id": "hour", "for": "1h" },
        { "do": "group", "id": "join", "change": { "copy": "friends" } },
    ]);
    let workflow = json!({ "name": "Wait", "start": { "on": "event", "name": "quiz" }, "steps": steps });
    node.run("wait", workflow).await;
    // All in one slot: one page of timers is more than fires in a turn.
    let emails = (0..).map(|number| format!("anna{number}@example.it"));
    let first = emails.filter(|email| Slot::of(node.partition(email)).number() == 0);
    for email in first.take(contacts) {
        let event = node.reported(&email, "quiz", None);
        node.store.intake().tell(node.partition(&email), event).await.unwrap();
    }
    // What was only told may still be in the inboxes.
    while node.timers().len() < contacts {
        node.tick().await;
    }
    let clock = Arc::clone(&node.clock);
    node.stop().await;
    clock
}

/// Starts one runner whose inbox is full of orders, at a moment at which all timers are due.
async fn start_full(folder: &Path, clock: &Arc<SetClock>, orders: usize) -> Node {
    let order = |keyer: &PersonKeyer, number| {
        let email = format!("buyer{number}@example.it");
        let person = keyer.key(&email.as_str().try_into().unwrap());
        let order = crate::fixture::spec(json!({
            "order_id": email, "placed_at": clock.now(), "status": "confirmed",
            "customer": { "email": email, "locale": "it" }, "total": { "amount": 100, "currency": "EUR" },
        }));
        let accepted = types::event::OrderAccepted {
            shop: PUBLISHER,
            person,
            order,
            claims: Vec::new(),
        };
        (person.partition(), Event::OrderAccepted(Box::new(accepted)))
    };
    let orders = |keyer: &PersonKeyer| (0..orders).map(|number| order(keyer, number)).collect();
    start_behind(folder, clock, orders).await
}

/// Starts one runner whose inbox has these events already.
pub async fn start_behind(
    folder: &Path,
    clock: &Arc<SetClock>,
    events: impl FnOnce(&PersonKeyer) -> Vec<(PartitionId, Event)>,
) -> Node {
    let settings = store::Settings {
        data_dir: folder.to_owned(),
        disk_floor_bytes: 0,
        runners: 1,
        ..store::Settings::default()
    };
    let time: Arc<dyn Clock> = Arc::clone(clock) as _;
    let (store, replay) = store::open(settings, Arc::clone(&time), &Registry::new()).unwrap();
    for (partition, event) in events(&store.secrets().person_keyer()) {
        store.intake().tell(partition, event).await.unwrap();
    }
    let outbox = Arc::new(Kept::default());
    let withdrawals = Arc::new(Withdrawals::default());
    let registry = Registry::new();
    let deps = Deps {
        store: store.clone(),
        outbox: Arc::clone(&outbox) as Arc<dyn Outbox>,
        webhooks: Arc::clone(&outbox) as Arc<dyn Webhooks>,
        withdrawals: Arc::clone(&withdrawals),
        clock: time,
        registry: registry.clone(),
        runtime: tokio::runtime::Handle::current(),
        place: scheduler::Place::Threads,
        seed: 1,
    };
    let started = tokio::task::spawn_blocking(move || Scheduler::start(&Settings::default(), deps, replay));
    let (scheduler, survivors) = started.await.unwrap().unwrap();
    Node {
        store,
        scheduler,
        outbox,
        survivors,
        clock: Arc::clone(clock),
        withdrawals,
        registry,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn orders_and_timers_take_turns_however_many_there_are_of_each() {
    let folder = tempfile::tempdir().unwrap();
    let (timers, orders) = (3_000, 1_000);
    let clock = waiting(folder.path(), timers).await;
    clock.advance(Duration::from_hours(2));
    let node = start_full(folder.path(), &clock, orders).await;
    // Nobody asks for a look: an answer would take all timers at once.
    let is_order = |record: &store::Record| matches!(record.event, Event::OrderAccepted(_));
    while !node.timers().is_empty() || node.records().await.iter().filter(|record| is_order(record)).count() < orders {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    // What each record is a turn of: runs of orders, and of timers between them.
    let (mut run, mut fired, mut seen) = (0, 0, 0);
    for record in node.records().await {
        match &record.event {
            Event::OrderAccepted(_) => {
                assert!(run <= FIRES_MAX, "{run} timers before an order that waited");
                run = 0;
                seen += 1;
            }
            Event::Moved(moved) if matches!(moved.cause, MoveCause::Timer(_)) => {
                fired += 1;
                // What fires before the first order and after the last one kept nobody waiting.
                if seen > 0 && seen < orders {
                    run += 1;
                }
            }
            _ => {}
        }
    }
    assert_eq!((seen, fired), (orders, timers));
    assert!(orders > 4 * TURN_MAX, "several turns of the inbox");
    node.no_timers("in the end").await;
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_go_on_is_tried_three_times_and_set_aside() {
    let folder = tempfile::tempdir().unwrap();
    let node = furnished(folder.path()).await;
    node.furnish_automation().await;
    let steps = json!([
        { "do": "wait", "id": "hour", "for": "1h" },
        { "do": "branch", "id": "rich", "if": "fields.points > 5.0", "else": "end" },
        { "do": "send", "id": "mail", "template": "hello" },
    ]);
    let workflow = json!({ "name": "Points", "start": { "on": "subscription" }, "steps": steps });
    node.run("points", workflow).await;
    let mut change: ContactChange = node.agreed();
    let points = FieldValue::from_text(types::contact::FieldType::Number, "7").unwrap();
    change.fields.insert("points".try_into().unwrap(), Some(points));
    let event = node.contact_changed("anna@example.it", change);
    node.submit(node.partition("anna@example.it"), event).await;
    // The field goes while the contact waits: the filter names nothing any more.
    let (shop, id) = (PUBLISHER, "points".try_into().unwrap());
    node.change(types::event::CatalogueChanged::FieldDeleted { shop, id })
        .await;
    node.after(Duration::from_hours(1)).await;
    let aside = |node: &Node| node.store.state().asides().newest(None, 10).unwrap();
    assert_eq!(aside(&node), []);
    node.after(Duration::from_mins(1)).await;
    assert_eq!(aside(&node), []);
    node.after(Duration::from_mins(5)).await;
    let found = aside(&node);
    assert_eq!(found.len(), 1);
    assert_eq!((found[0].1.tries, found[0].1.shop), (3, Some(PUBLISHER)));
    assert!(found[0].1.fault.contains("points"), "{}", found[0].1.fault);
    assert_eq!(node.leaves().await, ["broken"]);
    node.after(Duration::from_hours(48)).await;
    assert_eq!(aside(&node).len(), 1, "it never comes again");
    node.no_timers("set aside").await;
    node.stop().await;
}

/// Time as it passes.
struct Running {
    base: types::time::Timestamp,
    began: std::time::Instant,
}

impl Clock for Running {
    fn now(&self) -> types::time::Timestamp {
        self.base + self.began.elapsed()
    }
}

/// How late timers fire at 20,000 a second: `cargo test --release --test automation -- --ignored --nocapture lateness`.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "a measurement, not a test"]
async fn lateness() {
    let folder = tempfile::tempdir().unwrap();
    let prepared = waiting(folder.path(), 0).await;
    let clock = Arc::new(Running {
        base: prepared.now(),
        began: std::time::Instant::now(),
    });
    let settings = store::Settings {
        data_dir: folder.path().to_owned(),
        disk_floor_bytes: 0,
        runners: 2,
        ..store::Settings::default()
    };
    let time: Arc<dyn Clock> = Arc::clone(&clock) as _;
    let registry = Registry::new();
    let (store, replay) = store::open(settings, Arc::clone(&time), &Registry::new()).unwrap();
    let outbox = Arc::new(Kept::default());
    let deps = Deps {
        store: store.clone(),
        outbox: Arc::clone(&outbox) as Arc<dyn Outbox>,
        webhooks: Arc::clone(&outbox) as Arc<dyn Webhooks>,
        withdrawals: Arc::new(Withdrawals::default()),
        clock: time,
        registry: registry.clone(),
        runtime: tokio::runtime::Handle::current(),
        place: scheduler::Place::Threads,
        seed: 1,
    };
    let started = tokio::task::spawn_blocking(move || Scheduler::start(&Settings::default(), deps, replay));
    let (scheduler, _) = started.await.unwrap().unwrap();
    let keyer = store.secrets().person_keyer();
    let (timers, per_second) = (100_000_u64, 20_000);
    let lead = Duration::from_secs(40);
    let first = clock.now() - Duration::from_hours(1) + lead;
    for number in 0..timers {
        let email: types::address::EmailAddress = format!("anna{number}@example.it").as_str().try_into().unwrap();
        let person = keyer.key(&email);
        let reported = types::event::EventReported {
            shop: PUBLISHER,
            person,
            email,
            name: "quiz".try_into().unwrap(),
            at: first + Duration::from_micros(number * 1_000_000 / per_second),
            key: None,
            properties: std::collections::BTreeMap::new(),
            claims: Vec::new(),
        };
        let event = Event::EventReported(Box::new(reported));
        store.intake().tell(person.partition(), event).await.unwrap();
    }
    println!("{timers} told after {:?} of {lead:?}", clock.began.elapsed());
    tokio::time::sleep((lead + Duration::from_secs(8)).saturating_sub(clock.began.elapsed())).await;
    for family in registry.gather() {
        if ["timer", "fire", "engine", "turn_seconds"]
            .iter()
            .any(|part| family.name().contains(part))
        {
            println!("{family:?}");
        }
    }
    tokio::task::spawn_blocking(move || scheduler.drain()).await.unwrap();
    store.close().await;
}
