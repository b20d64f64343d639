//! The wheel beside a sorted map, at the edges of its levels, and over many cycles.

use std::collections::{BTreeMap, HashMap};

use proptest::prelude::*;

use super::{Fired, Handle, Turn, Wheel};

/// Where something changes: the spans of the levels, how far the uppermost one reaches, and what a tick has bits for.
const EDGES: [u64; 12] = [
    0,
    1 << 8,
    1 << 16,
    1 << 24,
    (1 << 24) * 254,
    (1 << 24) * 255,
    1 << 31,
    1 << 32,
    (1 << 32) + (1 << 24),
    1 << 33,
    1 << 40,
    1 << 63,
];

/// The edges, and two ticks to either side.
fn around_edges() -> impl Iterator<Item = u64> {
    EDGES
        .into_iter()
        .flat_map(|edge| (edge.saturating_sub(2)..=edge + 2).collect::<Vec<_>>())
}

#[derive(Debug, Clone)]
enum Step {
    /// Arms a timer this many ticks ahead.
    Arm(u64),
    /// Arms a timer this many ticks ago.
    ArmLate(u64),
    /// Cancels one of the timers armed so far, whatever became of it.
    Cancel(prop::sample::Index),
    /// Goes this many ticks ahead.
    Advance(u64),
    /// Goes to the next tick at which something might be due.
    Jump,
}

fn ticks() -> impl Strategy<Value = u64> {
    prop_oneof![
        4 => 0_u64..4,
        4 => 0_u64..1 << 10,
        2 => 0_u64..1 << 18,
        1 => 0_u64..1 << 26,
        1 => 0_u64..1 << 34,
        1 => prop::sample::select(around_edges().filter(|ticks| *ticks < 1 << 41).collect::<Vec<_>>()),
    ]
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        8 => ticks().prop_map(Step::Arm),
        1 => ticks().prop_map(Step::ArmLate),
        3 => any::<prop::sample::Index>().prop_map(Step::Cancel),
        3 => ticks().prop_map(Step::Advance),
        2 => Just(Step::Jump),
    ];
    prop::collection::vec(step, 1..200)
}

/// The wheel and what it should hold.
struct Twin {
    wheel: Wheel<u64>,
    /// What is armed: by due tick, then in order of arming.
    armed: BTreeMap<(u64, u64), Handle>,
    /// The due tick of each timer that was armed, by the order of arming.
    due: Vec<u64>,
    handles: Vec<Handle>,
    limit: usize,
    /// Turns that were cut.
    cuts: usize,
    fired: usize,
    cancelled: usize,
}

impl Twin {
    fn new(now: u64, limit: usize) -> Self {
        Self {
            wheel: Wheel::new(now),
            armed: BTreeMap::new(),
            due: Vec::new(),
            handles: Vec::new(),
            limit,
            cuts: 0,
            fired: 0,
            cancelled: 0,
        }
    }

    fn arm(&mut self, due: u64) {
        let id = self.due.len() as u64;
        let handle = self.wheel.insert(due, id);
        let due = due.max(self.wheel.now());
        self.armed.insert((due, id), handle);
        self.due.push(due);
        self.handles.push(handle);
    }

    fn cancel(&mut self, id: usize) {
        let key = (self.due[id], id as u64);
        let expected = self.armed.remove(&key).map(|_| id as u64);
        assert_eq!(self.wheel.peek(self.handles[id]), expected);
        assert_eq!(self.wheel.cancel(self.handles[id]), expected, "timer {id}");
        self.cancelled += usize::from(expected.is_some());
    }

    /// One turn: what fires is armed and due, in order of ticks, and bounded.
    fn turn(&mut self, to: u64) -> Turn {
        let mut fired: Vec<Fired<u64>> = Vec::new();
        let turn = self.wheel.advance(to, self.limit, |timer| fired.push(timer));
        assert!(fired.len() <= self.limit);
        let reached = self.wheel.now();
        let mut last = 0;
        for timer in fired {
            let key = (timer.due, timer.value);
            assert!(timer.due <= reached, "{timer:?} fired at {reached}");
            assert!(timer.due >= last, "{timer:?} fired after {last}");
            last = timer.due;
            if self.limit == usize::MAX {
                assert_eq!(
                    self.armed.first_key_value(),
                    Some((&key, &timer.handle)),
                    "order of arming"
                );
            }
            assert_eq!(self.armed.remove(&key), Some(timer.handle), "{timer:?} is not armed");
            assert_eq!(self.wheel.cancel(timer.handle), None, "{timer:?} fired");
            self.fired += 1;
        }
        assert_eq!(self.wheel.len(), self.armed.len());
        self.cuts += usize::from(turn == Turn::Cut);
        turn
    }

    /// Turns until the wheel is there: nothing that is due then is left.
    fn advance(&mut self, to: u64) {
        let to = to.max(self.wheel.now());
        while self.turn(to) == Turn::Cut {
            assert!(self.wheel.now() <= to);
        }
        assert_eq!(self.wheel.now(), to);
        if let Some(((due, id), _)) = self.armed.first_key_value() {
            assert!(*due > to, "timer {id}, due at {due}, has not fired at {to}");
        }
        // Each cut turn looked at `limit` entries; each entry is looked at once per level and once beyond.
        assert!(
            self.cuts.saturating_mul(self.limit) <= 5 * self.due.len(),
            "{} cuts",
            self.cuts
        );
    }

    /// The hint is never late, and there is none when nothing is left.
    fn check_hint(&self) {
        let hint = self.wheel.next_due();
        if let Some(((due, _), _)) = self.armed.first_key_value() {
            let hint = hint.expect("something is armed");
            assert!(hint <= *due && hint >= self.wheel.now(), "{hint}, but {due} is due");
        }
        if self.due.len() == self.fired {
            assert_eq!(hint, None);
        }
    }

    fn take(&mut self, step: &Step) {
        match *step {
            Step::Arm(ticks) => self.arm(self.wheel.now().saturating_add(ticks)),
            Step::ArmLate(ticks) => self.arm(self.wheel.now().saturating_sub(ticks)),
            Step::Cancel(index) if !self.due.is_empty() => self.cancel(index.index(self.due.len())),
            Step::Cancel(_) => {}
            Step::Advance(ticks) => self.advance(self.wheel.now().saturating_add(ticks)),
            Step::Jump => {
                if let Some(tick) = self.wheel.next_due() {
                    self.advance(tick);
                }
            }
        }
        self.check_hint();
    }

    /// Goes from hint to hint until nothing is filed, as an owner that sleeps in between.
    fn run_out(&mut self) {
        let mut wakes = 0;
        while let Some(tick) = self.wheel.next_due() {
            self.advance(tick);
            wakes += 1;
        }
        assert!(wakes <= 5 * self.due.len(), "{wakes} wakes");
        assert!(self.wheel.is_empty() && self.armed.is_empty());
        assert_eq!(self.fired + self.cancelled, self.due.len());
    }
}

fn start() -> impl Strategy<Value = u64> {
    prop_oneof![
        prop::sample::select(around_edges().collect::<Vec<_>>()),
        0_u64..1 << 34,
        Just(u64::MAX - (1 << 20)),
    ]
}

proptest! {
    #[test]
    fn whatever_is_armed_fires_once_in_order_or_was_cancelled(now in start(), steps in steps()) {
        let mut twin = Twin::new(now, usize::MAX);
        for step in &steps {
            twin.take(step);
        }
        twin.run_out();
    }

    #[test]
    fn turns_are_bounded_and_the_remainder_is_carried(now in start(), limit in 1_usize..8, steps in steps()) {
        let mut twin = Twin::new(now, limit);
        for step in &steps {
            twin.take(step);
        }
        twin.run_out();
    }

    #[test]
    fn timers_may_be_armed_and_cancelled_between_the_turns_of_a_remainder(
        now in start(), limit in 1_usize..4, rounds in prop::collection::vec((ticks(), ticks(), any::<prop::sample::Index>()), 1..200),
    ) {
        let mut twin = Twin::new(now, limit);
        let mut to = now;
        for (due, ahead, cancelled) in rounds {
            twin.arm(twin.wheel.now().saturating_add(due));
            twin.arm(to.saturating_add(due));
            to = to.saturating_add(ahead);
            // At most one turn, so that the wheel may lag behind.
            let _ = twin.turn(to);
            twin.cancel(cancelled.index(twin.due.len()));
            twin.check_hint();
        }
        twin.run_out();
    }
}

/// Goes to the tick before `due` in halves, sees nothing fire, and sees it fire one tick later.
fn check_bisected(now: u64, due: u64) {
    let mut wheel = Wheel::new(now);
    wheel.insert(due, ());
    let mut fired = Vec::new();
    while wheel.now() + 1 < due {
        let middle = wheel.now() + (due - wheel.now()).div_ceil(2).min(due - 1 - wheel.now());
        assert_eq!(
            wheel.advance(middle, usize::MAX, |timer| fired.push(timer.due)),
            Turn::Done
        );
        assert!(fired.is_empty(), "armed at {now} for {due}, fired at {middle}");
        let hint = wheel.next_due().expect("armed");
        assert!(
            hint > middle && hint <= due,
            "armed at {now} for {due}, hint {hint} at {middle}"
        );
    }
    assert_eq!(
        wheel.advance(due, usize::MAX, |timer| fired.push(timer.due)),
        Turn::Done
    );
    assert_eq!(fired, [due], "armed at {now} for {due}");
    assert_eq!((wheel.now(), wheel.next_due(), wheel.len()), (due, None, 0));
}

#[test]
fn a_timer_at_any_edge_fires_at_its_tick_from_any_edge() {
    for now in around_edges() {
        for ahead in around_edges().filter(|ahead| *ahead > 0) {
            check_bisected(now, now.saturating_add(ahead));
        }
    }
    for due in around_edges().filter(|due| *due > 0) {
        check_bisected(0, due);
        check_bisected(due - 1, due);
    }
    check_bisected(u64::MAX - (1 << 33), u64::MAX);
}

#[test]
fn one_jump_over_everything_fires_everything_in_order() {
    let mut wheel = Wheel::new(0);
    let mut due: Vec<_> = around_edges().collect();
    for due in due.iter().rev() {
        wheel.insert(*due, ());
    }
    let mut fired = Vec::new();
    assert_eq!(
        wheel.advance(u64::MAX, usize::MAX, |timer| fired.push(timer.due)),
        Turn::Done
    );
    due.sort_unstable();
    assert_eq!(fired, due);
}

#[test]
fn what_is_late_already_fires_in_the_next_turn_even_if_time_stands_still() {
    let mut wheel = Wheel::new(1000);
    wheel.insert(3, 'a');
    wheel.insert(1000, 'b');
    assert_eq!(wheel.next_due(), Some(1000));
    let mut fired = Vec::new();
    assert_eq!(
        wheel.advance(1000, 1, |timer| fired.push((timer.due, timer.value))),
        Turn::Cut
    );
    assert_eq!(
        wheel.advance(5, 1, |timer| fired.push((timer.due, timer.value))),
        Turn::Done
    );
    assert_eq!(fired, [(1000, 'a'), (1000, 'b')]);
    assert_eq!(wheel.now(), 1000);
}

#[test]
fn a_limit_of_nothing_does_nothing() {
    let mut wheel = Wheel::new(0);
    wheel.insert(5, ());
    assert_eq!(wheel.advance(9, 0, |_| panic!("nothing may fire")), Turn::Cut);
    assert_eq!(wheel.len(), 1);
}

#[test]
fn timers_beyond_the_levels_keep_their_order_among_themselves_and_with_those_armed_nearer() {
    let span = 1 << 24;
    let due = 256 * span + 7;
    let mut wheel = Wheel::new(0);
    wheel.insert(due, 1);
    wheel.insert(due, 2);
    wheel.insert(200 * span, 0);
    wheel.insert(5, 5);
    let turn = wheel.advance(5, usize::MAX, |timer| assert_eq!(timer.value, 5));
    assert_eq!(turn, Turn::Done);
    assert_eq!(
        wheel.next_due(),
        Some(span),
        "they move in when the uppermost level reaches them"
    );
    assert_eq!(wheel.advance(span, usize::MAX, |_| panic!("early")), Turn::Done);
    wheel.insert(due, 3);
    let mut fired = Vec::new();
    assert_eq!(
        wheel.advance(due, usize::MAX, |timer| fired.push(timer.value)),
        Turn::Done
    );
    assert_eq!(fired, [0, 1, 2, 3]);
}

#[test]
fn timers_beyond_the_levels_move_in_within_the_limit() {
    let mut wheel = Wheel::new(0);
    for id in 0..95 {
        wheel.insert((1 << 32) + id % 2, ());
    }
    let turns = (1..100).find(|_| wheel.advance(1 << 24, 10, |_| panic!("early")) == Turn::Done);
    assert_eq!(turns, Some(10));
}

#[test]
fn a_place_that_is_used_again_is_not_fired_by_the_entry_that_had_it_before() {
    for (first, second) in [
        (10, 20),
        (20, 10),
        (10, 10),
        (300, 5000),
        (5000, 300),
        (1 << 30, 70_000),
    ] {
        let mut wheel = Wheel::new(0);
        let old = wheel.insert(first, 'a');
        assert_eq!(wheel.cancel(old), Some('a'));
        let new = wheel.insert(second, 'b');
        assert_eq!(old.index(), new.index(), "the place is used again");
        assert_eq!((wheel.cancel(old), wheel.peek(old)), (None, None));
        assert_eq!(wheel.peek(new), Some('b'));
        let mut fired = Vec::new();
        let end = first.max(second);
        assert_eq!(wheel.advance(end, usize::MAX, |timer| fired.push(timer)), Turn::Done);
        let expected = Fired {
            handle: new,
            due: second,
            value: 'b',
        };
        assert_eq!(fired, [expected], "{first} cancelled, {second} armed");
        assert_eq!(wheel.cancel(new), None);
    }
}

#[test]
fn handles_name_one_timer_each_however_often_places_are_used_again() {
    let mut wheel = Wheel::new(0);
    let mut seen = HashMap::new();
    for id in 0..100_000_u64 {
        let handle = wheel.insert(id / 7 + 1, id);
        assert_eq!(seen.insert(handle, id), None);
        if id % 3 == 0 {
            wheel.cancel(handle);
        }
        if id % 7 == 0 {
            let turn = wheel.advance(id / 7, usize::MAX, |timer| {
                assert_eq!(seen.get(&timer.handle), Some(&timer.value));
            });
            assert_eq!(turn, Turn::Done);
        }
    }
}

/// Arms and ends 50,000 timers per cycle; what the wheel holds has to be the same after each.
fn check_memory(cancelled: impl Fn(u64) -> bool) {
    let mut wheel = Wheel::new(0);
    let mut most = Vec::new();
    for cycle in 0..20 {
        let handles: Vec<_> = (0..50_000_u64)
            .map(|id| wheel.insert(wheel.now() + 1 + id * 17 % 100_000, id))
            .collect();
        most.push(wheel.bytes());
        for (id, handle) in (0..).zip(handles) {
            if cancelled(id) {
                wheel.cancel(handle);
            }
        }
        assert_eq!(wheel.advance((cycle + 1) * 100_000, usize::MAX, |_| ()), Turn::Done);
        assert_eq!((wheel.len(), wheel.next_due()), (0, None));
        let idle = wheel.bytes();
        assert!(idle < 600_000, "{idle} bytes are held for nothing");
    }
    let (first, last) = (most[0], most[19]);
    assert!(
        last < first + first / 8,
        "{first} bytes in the first cycle, {last} in the last"
    );
    // Eleven for the entry, twelve or sixteen for the place, and blocks that are not full: 1,024 slots at most.
    assert!(
        first < 50_000 * (11 + 16) + (16_384 * 16) + 1024 * 1024,
        "{first} bytes"
    );
}

#[test]
fn memory_is_used_again_when_timers_fire() {
    check_memory(|_| false);
}

#[test]
fn memory_is_used_again_when_timers_are_cancelled() {
    check_memory(|_| true);
    check_memory(|id| id % 3 == 0);
}
