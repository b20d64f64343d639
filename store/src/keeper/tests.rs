use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Instant;

use prometheus::Registry;
use tempfile::TempDir;
use types::event::{AttemptClaimed, Event};
use types::id::{Attempt, MessageId, PartitionId};
use types::time::Timestamp;

use super::*;
use crate::{Batch, Position, Settings, Store, Turn};

#[derive(Debug)]
struct SetClock(AtomicU64);

impl Clock for SetClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.0.load(Ordering::Relaxed))
    }
}

const SEGMENT: u64 = 8 << 10;

/// Opens a store whose keeper never rests, with these many bytes of journal at most.
fn open(dir: &TempDir, clock: &Arc<SetClock>, journal_bytes_max: u64) -> Store {
    let settings = Settings {
        data_dir: dir.path().to_owned(),
        runners: 1,
        segment_bytes: SEGMENT,
        journal_bytes_max,
        checkpoint_interval: Duration::from_millis(2),
        disk_floor_bytes: 0,
        ..Settings::default()
    };
    let clock: Arc<dyn Clock> = Arc::<SetClock>::clone(clock);
    crate::open(settings, clock, &Registry::new()).expect("opens").0
}

/// Appends records, and takes them to state.
fn fill(store: &Store, records: u64) {
    for n in 0..records {
        let partition = PartitionId::new(7).expect("a partition");
        let event = Event::AttemptClaimed(AttemptClaimed {
            message: MessageId::from_raw(n),
            attempt: Attempt(1),
        });
        let mut batch = Batch::new();
        batch.push(store.journal().mint(), partition, Timestamp::default(), &event);
        let position = store.journal().append(batch).expect("open");
        store.state().submit(Turn {
            range: 0..1025,
            position,
            puts: Vec::new(),
            released: Vec::new(),
        });
    }
}

fn wait_for(what: &str, condition: impl Fn() -> bool) {
    let began = Instant::now();
    while !condition() {
        assert!(began.elapsed() < Duration::from_secs(20), "in vain: {what}");
        thread::sleep(Duration::from_millis(1));
    }
}

/// Waits until the keeper has gone round twice: whatever it was to do when this was called, it has done.
fn rounds(store: &Store) {
    let metrics = store.0.segments.metrics();
    let seen = metrics.keeper_rounds.get();
    wait_for("two rounds", || metrics.keeper_rounds.get() >= seen + 2);
}

#[test]
fn what_is_too_old_is_kept_for_who_follows_until_it_has_passed() {
    let (dir, clock) = (
        TempDir::new().expect("a directory"),
        Arc::new(SetClock(AtomicU64::new(1_795_291_200_000))),
    );
    let store = open(&dir, &clock, 1 << 30);
    let segments = Arc::clone(&store.0.segments);
    segments.hold_after(0);
    fill(&store, 2000);
    let last = store.journal().durable().borrow().0;
    wait_for("state", || {
        store.state().applied(PartitionId::CATALOGUE) == Position(2000)
    });
    clock.0.fetch_add(31 * 86_400_000, Ordering::Relaxed);
    rounds(&store);
    assert_eq!(segments.first(), 1);
    assert!(segments.metrics().journal_held.get() > 2, "{last}");
    segments.hold_after(1000);
    wait_for("what was passed to go", || segments.first() > 500);
    rounds(&store);
    assert!(segments.first() <= 1001, "{}", segments.first());
    segments.hold_after(u64::MAX);
    wait_for("all but the open segment to go", || segments.list().len() == 1);
    wait_for("the gauge", || segments.metrics().journal_held.get() == 0);
}

#[test]
fn the_bound_of_the_journal_wins_over_who_follows() {
    let (dir, clock) = (
        TempDir::new().expect("a directory"),
        Arc::new(SetClock(AtomicU64::new(1_795_291_200_000))),
    );
    let store = open(&dir, &clock, 4 * SEGMENT);
    let segments = Arc::clone(&store.0.segments);
    segments.hold_after(0);
    fill(&store, 2000);
    wait_for("the oldest to go", || segments.first() > 1);
    let bytes = || segments.list().iter().map(|segment| segment.bytes).sum::<u64>();
    wait_for("the bound", || bytes() <= 4 * SEGMENT);
}

#[test]
fn what_is_too_old_goes_even_if_its_segment_was_never_filled() {
    let (dir, clock) = (
        TempDir::new().expect("a directory"),
        Arc::new(SetClock(AtomicU64::new(1_795_291_200_000))),
    );
    let store = open(&dir, &clock, 1 << 30);
    let segments = Arc::clone(&store.0.segments);
    let day = 86_400_000;
    // Two records a day fill no segment in months.
    for days in 1..=80 {
        fill(&store, 2);
        wait_for("the commit", || store.journal().durable().borrow().0 == 2 * days);
        clock.0.fetch_add(day, Ordering::Relaxed);
    }
    wait_for("state", || {
        store.state().applied(PartitionId::CATALOGUE) == Position(160)
    });
    rounds(&store);
    let kept = 160 - segments.first() + 1;
    assert!((60..=78).contains(&kept), "records of {} days are kept", kept / 2);
    assert!(segments.list().len() <= 6, "{}", segments.list().len());
}
