//! Random histories on a real store: statistics are what a recount of the journal says, and a replay makes the same state.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    unreachable_pub,
    reason = "tests state expectations"
)]

mod declared;
#[path = "../fixture/mod.rs"]
mod fixture;
mod history;
mod recount;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use declared::Written;
use fixture::{PUBLISHER, copy, furnished, start_at};
use history::History;
use policy::PersonState;
use types::time::Clock;

const SEEDS: std::ops::Range<u64> = 0..8;
const STEPS: usize = 120;

#[tokio::test(flavor = "multi_thread")]
async fn cells_are_what_a_recount_of_the_journal_says() {
    for seed in SEEDS {
        let folder = tempfile::tempdir().unwrap();
        let node = furnished(folder.path()).await;
        History::new(seed).run(&node, STEPS).await;
        // What is due is judged now, not while both are read.
        node.tick().await;
        let recount = recount::recount(&node.records().await);
        let mut cells = node.cells().await;
        cells.retain(|(_, counts)| counts.iter().next().is_some());
        assert!(cells.len() > 3, "seed {seed}");
        for (cell, recounted) in cells.iter().zip(&recount) {
            assert_eq!(cell, recounted, "seed {seed}");
        }
        assert_eq!(cells.len(), recount.len(), "seed {seed}");
        node.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_count_changes_that_no_event_of_its_turn_declares() {
    let mut changed = [0; 3];
    for seed in SEEDS {
        let folder = tempfile::tempdir().unwrap();
        let node = furnished(folder.path()).await;
        let written = Arc::<Written>::default();
        node.store.observe(Arc::clone(&written) as Arc<dyn store::Observer>);
        History::new(seed).run(&node, STEPS).await;
        // Random people hardly ever come to a lead: one that is claimed, then confirmed or voided.
        let sent = node.delivered(PUBLISHER, "lead@example.it").await;
        let click = node.visit(&sent).await;
        node.after(Duration::from_mins(3)).await;
        if seed % 2 == 0 {
            let began = node.clock.now();
            node.clock.set(click.time());
            for place in (0..3).filter(|place| *place != sent.place()) {
                node.click(&sent, place).await;
            }
            node.clock.set(began);
        }
        node.after(Duration::from_mins(40)).await;
        node.settled().await;
        for (all, some) in changed.iter_mut().zip(written.check(&node.records().await)) {
            *all += some;
        }
        node.stop().await;
    }
    let [cells, mails, visits] = changed;
    assert!(cells > 100 && mails > 100 && visits >= 8, "{changed:?}");
}

/// All that a state folder holds, beside how far it has come.
fn contents(folder: &Path) -> BTreeMap<(String, Vec<u8>), Vec<u8>> {
    let db = fjall::Database::builder(folder).open().unwrap();
    let mut contents = BTreeMap::new();
    for name in db.list_keyspace_names() {
        if name.as_ref() == "meta2" {
            continue;
        }
        let keyspace = db.keyspace(&name, fjall::KeyspaceCreateOptions::default).unwrap();
        for entry in keyspace.iter() {
            let (key, mut value) = entry
                .into_inner()
                .map(|(key, value)| (key.to_vec(), value.to_vec()))
                .unwrap();
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

#[tokio::test(flavor = "multi_thread")]
async fn a_replay_from_any_earlier_state_makes_the_same_state() {
    for seed in SEEDS {
        let folder = tempfile::tempdir().unwrap();
        let live = folder.path().join("live");
        let mut history = History::new(seed);
        let node = furnished(&live).await;
        history.run(&node, 10).await;
        node.tick().await;
        let mut clock = Arc::clone(&node.clock);
        node.stop().await;
        // The state of each stop, to start again from.
        let mut earlier = Vec::new();
        for part in 0..3 {
            let kept = folder.path().join(format!("state-{part}"));
            copy(&live.join("state"), &kept);
            earlier.push(kept);
            let node = start_at(&live, clock).await;
            history.run(&node, STEPS / 3).await;
            node.tick().await;
            clock = Arc::clone(&node.clock);
            node.stop().await;
        }
        // A start settles what the last run left open; once that is in the journal, the next one only replays.
        start_at(&live, Arc::clone(&clock)).await.stop().await;
        let expected = contents(&live.join("state"));
        assert!(expected.len() > 50, "seed {seed}: {}", expected.len());
        for (part, state) in earlier.iter().enumerate() {
            let again = folder.path().join(format!("again-{part}"));
            copy(&live, &again);
            std::fs::remove_dir_all(again.join("state")).unwrap();
            copy(state, &again.join("state"));
            start_at(&again, Arc::clone(&clock)).await.stop().await;
            let replayed = contents(&again.join("state"));
            for (row, value) in &expected {
                assert_eq!(
                    replayed.get(row),
                    Some(value),
                    "seed {seed}, from state {part}: {row:?}"
                );
            }
            assert_eq!(replayed.len(), expected.len(), "seed {seed}, from state {part}");
        }
    }
}
