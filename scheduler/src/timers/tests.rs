//! The window against a model: owners with at most one timer each, and rows of state that lag behind.

use std::collections::{BTreeMap, VecDeque};

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::*;

/// Slots 0 and 1.
const RANGE: Range<u16> = 0..2 * Slot::PARTITIONS;

/// A turn's rows: what it sets, or deletes.
type Puts = Vec<(TimerKey, Option<Timer>)>;

struct Model {
    random: StdRng,
    now: Timestamp,
    timers: Timers,
    window_max: usize,
    owners: Vec<Owner>,
    rows: BTreeMap<(Slot, TimerKey), Timer>,
    /// Turns that state does not have yet.
    turns: VecDeque<(u64, Puts)>,
    position: u64,
    fired: usize,
    stale: usize,
}

#[derive(Clone, Copy, Default)]
struct Owner {
    epoch: u32,
    due: Option<Timestamp>,
}

impl Model {
    fn new(seed: u64, window_max: usize) -> Self {
        Self {
            random: StdRng::seed_from_u64(seed),
            now: Timestamp::from_millis(1_800_000_000_000),
            timers: Timers::bounded(&RANGE, window_max),
            window_max,
            owners: vec![Owner::default(); 300],
            rows: BTreeMap::new(),
            turns: VecDeque::new(),
            position: 0,
            fired: 0,
            stale: 0,
        }
    }

    fn partition(owner: usize) -> PartitionId {
        PartitionId::new(u16::try_from(owner).unwrap() % RANGE.end).unwrap()
    }

    /// Arms an owner's timer anew, which also cancels the one before.
    fn arm(&mut self) {
        let index = self.random.random_range(0..self.owners.len());
        let ahead = match self.random.random_range(0..10) {
            // The past, and the very same instant again and again.
            0 => Duration::ZERO,
            1..=5 => Duration::from_millis(self.random.random_range(0..200_000)),
            6 | 7 => Duration::from_mins(self.random.random_range(0..30)),
            _ => Duration::from_hours(self.random.random_range(0..200)),
        };
        let due = match self.random.random_range(0..8) {
            0 => None,
            1 => self.owners[index].due.or(Some(self.now - Duration::from_secs(5))),
            _ => Some(self.now + ahead),
        };
        let owner = &mut self.owners[index];
        owner.epoch += 1;
        owner.due = due;
        let timer = due.map(|due| Timer {
            due,
            partition: Self::partition(index),
            owner: EventId::from_raw(index as u64),
            epoch: owner.epoch,
            class: TimerClass::Workflow,
        });
        self.turn(Vec::new(), timer);
    }

    fn turn(&mut self, mut puts: Puts, timer: Option<Timer>) {
        self.position += 1;
        if let Some(timer) = timer {
            puts.push((timer.key(), Some(timer)));
            self.timers.set(self.position, timer);
        }
        self.turns.push_back((self.position, puts));
    }

    /// State applies a turn.
    fn apply(&mut self) {
        let Some((position, puts)) = self.turns.pop_front() else {
            return;
        };
        for (key, put) in puts {
            let row = (Slot::of(key.partition), key);
            match put {
                Some(timer) => self.rows.insert(row, timer),
                None => self.rows.remove(&row),
            };
        }
        self.timers.forget(position);
    }

    /// The process ends and starts: the journal has all turns, so state gets them.
    fn restart(&mut self) {
        while !self.turns.is_empty() {
            self.apply();
        }
        self.timers = Timers::bounded(&RANGE, self.window_max);
    }

    /// Looks at everything that is due.
    fn look(&mut self) {
        self.timers.advance(self.now);
        loop {
            let rows = &self.rows;
            let read = |slot, from: TimerKey, until, limit| {
                let rows = rows.range((slot, from)..(slot, before(until).max(from)));
                Ok(rows.take(limit).map(|(_, timer)| *timer).collect())
            };
            let loaded = self.timers.load(self.now, read).unwrap();
            self.timers.advance(self.now);
            let mut taken = false;
            while let Some(surfaced) = self.timers.take() {
                taken = true;
                self.surfaced(surfaced.timer);
            }
            if !loaded && !taken && self.timers.rest(self.now) != Some(Duration::ZERO) {
                break;
            }
        }
        for (index, owner) in self.owners.iter().enumerate() {
            let late = owner
                .due
                .is_some_and(|due| due + Duration::from_millis(TICK.get()) <= self.now);
            assert!(
                !late,
                "the timer of {index} was lost, due {:?} at {:?}",
                owner.due, self.now
            );
        }
    }

    fn surfaced(&mut self, timer: Timer) {
        assert!(timer.due <= self.now, "early: {timer:?} at {:?}", self.now);
        self.timers.done(timer.key());
        let owner = &mut self.owners[usize::try_from(timer.owner.raw()).unwrap()];
        if owner.epoch == timer.epoch {
            assert_eq!(owner.due, Some(timer.due), "fired twice");
            owner.epoch += 1;
            owner.due = None;
            self.fired += 1;
        } else {
            self.stale += 1;
        }
        self.turn(vec![(timer.key(), None)], None);
    }

    fn step(&mut self) {
        match self.random.random_range(0..1000) {
            0..500 => self.arm(),
            500..700 => self.apply(),
            700..985 => {
                let by = self.random.random_range(0..2_000);
                self.now = self.now + Duration::from_millis(by);
                self.look();
            }
            985..990 => {
                self.now = self.now + Duration::from_mins(self.random.random_range(0..300));
                self.look();
            }
            990..995 => {
                self.now = self.now - Duration::from_mins(self.random.random_range(0..200));
                self.look();
            }
            _ => self.restart(),
        }
    }
}

fn check(seed: u64, window_max: usize) {
    let mut model = Model::new(seed, window_max);
    for _ in 0..50_000 {
        model.step();
    }
    // In the end everything that is armed fires.
    let armed = model.owners.iter().filter(|owner| owner.due.is_some()).count();
    let before = model.fired;
    model.now = model.now + Duration::from_hours(1000);
    model.look();
    assert_eq!(model.fired - before, armed, "seed {seed}");
    assert!(
        model.fired > 1000 && model.stale > 1000,
        "{} {}",
        model.fired,
        model.stale
    );
    while !model.turns.is_empty() {
        model.apply();
    }
    assert!(model.rows.is_empty(), "every row is gone once it surfaced");
}

#[test]
fn every_timer_fires_once_and_none_early_whatever_clock_and_state_do() {
    for seed in 0..4 {
        check(seed, WINDOW_MAX);
    }
}

#[test]
fn a_full_window_leaves_the_rest_to_the_disk() {
    for seed in 10..14 {
        check(seed, 40);
    }
}

#[test]
fn one_that_is_armed_anew_for_the_same_instant_is_known_though_the_edge_fell_back() {
    let mut timers = Timers::bounded(&RANGE, 8);
    let now = Timestamp::from_millis(1_800_000_000_000);
    let timer = |owner: u64, due, epoch| Timer {
        due,
        partition: Model::partition(3),
        owner: EventId::from_raw(owner),
        epoch,
        class: TimerClass::Cart,
    };
    for _ in 0..2 {
        timers.load(now, |_, _, _, _| Ok(Vec::new())).unwrap();
    }
    (0..8).for_each(|owner| timers.set(1, timer(owner, now, 1)));
    timers.advance(now);
    // The window is full of what is due: one that was due earlier waits on the disk, and the edge falls back to it.
    timers.set(2, timer(9, now - Duration::from_secs(5), 1));
    timers.set(3, timer(0, now, 2));
    let surfaced = timers.take().unwrap();
    assert_eq!(surfaced.timer, timer(0, now, 2));
}

#[test]
fn a_timer_that_is_put_off_comes_again_with_its_tries() {
    let mut model = Model::new(1, WINDOW_MAX);
    let timer = Timer {
        due: model.now,
        partition: Model::partition(3),
        owner: EventId::from_raw(3),
        epoch: 1,
        class: TimerClass::Cart,
    };
    model.timers.advance(model.now);
    model.timers.set(1, timer);
    model.timers.load(model.now, |_, _, _, _| Ok(vec![timer])).unwrap();
    model.timers.advance(model.now);
    assert_eq!(model.timers.take(), Some(Surfaced { timer, tries: 0 }));
    let later = model.now + Duration::from_mins(1);
    model.timers.put_off(timer.key(), later);
    model.timers.advance(later - Duration::from_millis(10));
    assert_eq!(model.timers.take(), None);
    model.timers.advance(later);
    assert_eq!(model.timers.take(), Some(Surfaced { timer, tries: 1 }));
    model.timers.done(timer.key());
    assert_eq!(model.timers.len(), 0);
}
