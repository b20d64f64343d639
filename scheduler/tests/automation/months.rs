//! Months of virtual time: contacts come and go on, carts are left and bought, and the process ends whenever it does, with state as far
//! behind as it may be. A failing seed is in the message.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use policy::PersonState;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde_json::json;
use types::event::{CartVerdict, Did, Event, MoveCause, Outcome, Place};
use types::id::EventId;
use types::time::Clock;
use types::workflow::{Enrol, WorkflowState};

use crate::fixture::{Node, PUBLISHER, SetClock, copy, furnished, start_with};

const HOUR: Duration = Duration::from_hours(1);
const DAY: Duration = Duration::from_hours(24);

struct Story {
    seed: u64,
    random: StdRng,
    people: usize,
    carts: usize,
}

impl Story {
    async fn furnish(&self, node: &Node) {
        node.furnish_automation().await;
        let start = json!({ "on": "subscription" });
        let series = json!({ "name": "Series", "start": start, "late_after": "60d",
            "exit": { "on_order": true },
            "send": { "quiet": { "from": "22:00", "to": "08:00" } },
            "zone": "Europe/Rome",
            "steps": [
                { "do": "send", "id": "first", "template": "hello" },
                { "do": "wait", "id": "three", "for": "3d" },
                { "do": "send", "id": "next", "template": "second" },
                { "do": "wait", "id": "read", "for": "10d", "after": "no_engagement", "else": "join" },
                { "do": "send", "id": "last", "template": "third" },
                { "do": "group", "id": "join", "change": { "copy": "friends" } },
            ] });
        node.run("series", series).await;
        let friends = json!({ "name": "Friends", "start": { "on": "group", "group": "friends" }, "steps": [
            { "do": "wait", "id": "pause", "for": "36h" },
            { "do": "send", "id": "friend", "template": "hello" },
        ] });
        node.run("friends", friends).await;
        node.remind(json!({
            "mode": "live", "languages": ["it"], "time_zone": "Europe/Rome", "several": "latest_only",
            "first": { "after": "2h" }, "second": { "after": "24h" },
        }))
        .await;
    }

    /// Does something, or lets time pass.
    async fn step(&mut self, node: &Node) {
        let somebody = format!("p{}@example.it", self.random.random_range(0..self.people.max(1)));
        match self.random.random_range(0..100) {
            0..15 => {
                self.people += 1;
                node.subscribe(&format!("p{}@example.it", self.people)).await;
            }
            15..25 => {
                self.carts += 1;
                node.touch(&somebody, &format!("c{}", self.carts)).await;
            }
            25..32 if self.carts > 0 => {
                // Whose it was is forgotten on purpose: the same id of another person is another cart.
                let cart = self.random.random_range(0..self.carts) + 1;
                node.touch(&somebody, &format!("c{cart}")).await;
            }
            32..36 => {
                let (person, event) = node.order(PUBLISHER, &somebody);
                node.store.intake().accept(person.partition(), event).await.unwrap();
            }
            36..40 => {
                let state = [WorkflowState::Off, WorkflowState::On][self.random.random_range(0..2)];
                node.switch("friends", state, Enrol::Future).await;
            }
            40..45 => {
                let moved = node.clock.now() - Duration::from_mins(self.random.random_range(0..300));
                node.clock.set(moved);
                node.tick().await;
            }
            _ => {
                let by = match self.random.random_range(0..3) {
                    0 => Duration::from_mins(self.random.random_range(1..90)),
                    1 => Duration::from_hours(self.random.random_range(1..30)),
                    _ => Duration::from_hours(self.random.random_range(24..72)),
                };
                let reads: Vec<_> = node.own_mails().into_iter().filter(|_| self.random.random()).collect();
                for mail in reads {
                    let delivered = crate::fixture::ended(mail.plan.message, 1, Outcome::Delivered);
                    node.submit(mail.partition, delivered).await;
                    let opened = types::event::Opened {
                        message: mail.plan.message,
                        shop: PUBLISHER,
                        agent: types::event::AgentClass::Client,
                        network: Some(crate::fixture::HOME),
                        visit: types::event::Visit::Real,
                        suspect: false,
                    };
                    node.clock.advance(Duration::from_mins(5));
                    node.submit(mail.partition, Event::Opened(opened)).await;
                }
                let turn = by / 4 + Duration::from_mins(1);
                node.pass(by, turn).await;
            }
        }
    }

    /// Checks what holds of every journal.
    async fn check(&self, node: &Node) {
        let seed = self.seed;
        let mut epochs: HashMap<EventId, u32> = HashMap::new();
        let mut over: HashMap<EventId, Place> = HashMap::new();
        let mut steps: HashMap<(EventId, String), usize> = HashMap::new();
        let mut reminders: HashMap<(EventId, String), usize> = HashMap::new();
        for record in node.records().await {
            match record.event {
                Event::Moved(moved) => {
                    let id = moved.instance.unwrap_or(record.id);
                    assert!(!over.contains_key(&id), "seed {seed}: {id:?} moves after it was over");
                    let epoch = epochs.entry(id).or_default();
                    assert_eq!(moved.epoch, *epoch + 1, "seed {seed}: {id:?}");
                    *epoch = moved.epoch;
                    if let MoveCause::Timer(due) = moved.cause {
                        assert!(record.wall >= due, "seed {seed}: {id:?} early");
                    }
                    assert!(moved.cause != MoveCause::Fault, "seed {seed}: {moved:?}");
                    for did in &moved.did {
                        if let Did::Sent { step, .. } = did {
                            *steps.entry((id, step.as_str().to_owned())).or_default() += 1;
                        }
                    }
                    if matches!(moved.place, Place::Left(_)) {
                        over.insert(id, moved.place);
                    }
                }
                Event::CartDecided(decided) => {
                    if let Some(due) = decided.due {
                        assert!(record.wall >= due, "seed {seed}: a reminder came early");
                    }
                    if let CartVerdict::Reminded { reminder, .. } = decided.verdict {
                        let key = (decided.cart, reminder.as_str().to_owned());
                        *reminders.entry(key).or_default() += 1;
                    }
                }
                Event::SetAside(aside) => panic!("seed {seed}: {aside:?}"),
                _ => {}
            }
        }
        assert!(
            steps.values().chain(reminders.values()).all(|count| *count == 1),
            "seed {seed}"
        );
        assert_eq!(over.len(), epochs.len(), "seed {seed}: someone is still inside");
        assert!(
            steps.len() > 20 && reminders.len() > 3,
            "seed {seed}: {} {}",
            steps.len(),
            reminders.len()
        );
        node.no_timers(&format!("seed {seed}")).await;
    }
}

/// All that a state folder holds, beside how far it has come.
fn contents(folder: &Path) -> BTreeMap<(String, Vec<u8>), Vec<u8>> {
    let db = fjall::Database::builder(folder).open().unwrap();
    let mut contents = BTreeMap::new();
    for name in db.list_keyspace_names().iter().filter(|name| name.as_ref() != "meta2") {
        let keyspace = db.keyspace(name, fjall::KeyspaceCreateOptions::default).unwrap();
        for entry in keyspace.iter() {
            let (key, value) = entry.into_inner().unwrap();
            let (key, mut value) = (key.to_vec(), value.to_vec());
            if name.as_ref() == "person" {
                // A person remembers the end of the turn that changed it, and a replay has other turns.
                let mut person = PersonState::decode(&value).unwrap();
                person.reached(u64::MAX);
                value = person.encode();
            }
            contents.insert((name.to_string(), key), value);
        }
    }
    contents
}

/// Puts an earlier state in the place of a folder's own: what a crash leaves that lost what was not synced.
fn set_state_back(folder: &Path, earlier: &Path) {
    std::fs::remove_dir_all(folder.join("state")).unwrap();
    copy(earlier, &folder.join("state"));
}

async fn check(seed: u64) {
    let folder = tempfile::tempdir().unwrap();
    let live = folder.path().join("live");
    let mut story = Story {
        seed,
        random: StdRng::seed_from_u64(seed),
        people: 0,
        carts: 0,
    };
    let mut node = furnished(&live).await;
    story.furnish(&node).await;
    let mut earlier = Vec::new();
    for run in 0..8 {
        for _ in 0..25 {
            story.step(&node).await;
        }
        let clock = Arc::clone(&node.clock);
        node.stop().await;
        let kept = folder.path().join(format!("state-{run}"));
        copy(&live.join("state"), &kept);
        earlier.push(kept);
        if story.random.random() {
            let behind = story.random.random_range(0..earlier.len());
            set_state_back(&live, &earlier[behind]);
        }
        clock.advance(Duration::from_hours(story.random.random_range(0..20)));
        node = start_with(&live, clock, story.random.random_range(1..4)).await;
    }
    node.switch("friends", WorkflowState::On, Enrol::Future).await;
    node.tick().await;
    node.pass(60 * DAY, 6 * HOUR).await;
    story.check(&node).await;
    let clock: Arc<SetClock> = Arc::clone(&node.clock);
    node.stop().await;
    start_with(&live, Arc::clone(&clock), 2).await.stop().await;

    let expected = contents(&live.join("state"));
    for behind in [0, 4, 7] {
        let again = folder.path().join(format!("again-{behind}"));
        copy(&live, &again);
        set_state_back(&again, &earlier[behind]);
        let node = start_with(&again, Arc::clone(&clock), 2).await;
        // Rows of timers that meant nothing any more are in no record: they go when they surface again.
        node.tick().await;
        node.stop().await;
        let replayed = contents(&again.join("state"));
        for (row, value) in &expected {
            assert_eq!(
                replayed.get(row),
                Some(value),
                "seed {seed}, from state {behind}: {row:?}"
            );
        }
        assert_eq!(replayed.len(), expected.len(), "seed {seed}, from state {behind}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn months_go_by_with_restarts_and_everything_happens_once() {
    for seed in 0..3 {
        check(seed).await;
    }
}
