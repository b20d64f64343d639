//! The desk of timers, and its window: the timers of one runner that are due soon are in memory; all others are only rows of state.
//!
//! A timer is a row of state, under the instant at which it is due. What is in memory can be read again from there. Each slot has an edge;
//! rows before the edge are in the [`Wheel`]. When an edge comes near, it moves on, page by page. So neither a start nor a hundred million
//! timers cost more than the timers of the next few minutes.
//!
//! ```text
//!  rows of a slot, by instant:   ····· gone ·····│ in the wheel ▓▓▓▓▓▓│ on disk ░░░░░░░░░░░░░░░░░░░░░░░░░░░░
//!                                              now                  edge (up to [`SPAN`] ahead)
//! ```
//!
//! **State lags.** A timer that is armed before the edge goes into the wheel at once. Each is remembered until state has applied
//! its turn: when the edge passes over a row that state did not have yet, it is taken from there. The edge never goes back
//! to what has fired, so that leaves no tombstones to step over.
//!
//! **Epochs.** The window knows rows, not owners. A row that was cancelled or armed anew surfaces like the others; the decider compares its
//! epoch with the owner's and drops it. So reading a row twice is harmless, too.
//!
//! **Time.** Ticks are those of the wall clock, rounded up for what is due and down for what has passed: nothing fires while the clock
//! says less than its instant. A clock that is set forward lets fire what it passed over. One that is set back has the wheel made
//! again, from memory. The runner sleeps by the monotonic clock and looks at the wall clock when it wakes, at least once a second.
//!
//! **Bounds.** [`WINDOW_MAX`] timers. When there are as many, the later half is left to the disk, and the edges fall back to it. When
//! all of them are due already, timers that are armed then wait on the disk.

mod faults;
mod owners;
#[cfg(test)]
mod tests;

use std::collections::{HashMap, VecDeque};
use std::num::NonZeroU64;
use std::ops::Range;
use std::time::Duration;

use foldhash::fast::FixedState;
use store::StateError;
use store::state::{Put, Timer, TimerClass, TimerKey, TimerPut};
use types::event::{Event, MoveCause};
use types::id::{EventId, PartitionId, Slot};
use types::time::Timestamp;

pub(crate) use faults::{Tries, broke, drop_stale, unreadable};
pub(crate) use owners::{Owner, OwnerKey, Owners};

use crate::desk::{Desk, Entry, Settled, Told};
use crate::wheel::{Handle, Scale, Wheel};

/// A tick of the wheel: what firing is late by, at most, beside the time that it takes.
const TICK: NonZeroU64 = NonZeroU64::new(10).expect("not zero");
/// Timers in memory: some 120 bytes each.
pub(crate) const WINDOW_MAX: usize = 262_144;
/// How far ahead rows are read.
const SPAN: Duration = Duration::from_mins(10);
/// How near an edge comes before it moves on.
const NEAR: Duration = Duration::from_mins(5);
/// Rows read at once: less than a millisecond.
const PAGE: usize = 512;
/// Entries that the wheel looks at in one turn: as many as fire in one, and what moves down its levels.
const LOOKS: usize = 4096;

/// The timers of a runner that are due soon.
#[derive(Debug)]
pub(crate) struct Timers {
    wheel: Wheel<TimerKey>,
    scale: Scale,
    /// Every row that is in the window, until it is done.
    armed: HashMap<TimerKey, Armed, FixedState>,
    /// What is due and not taken yet, in order.
    ready: VecDeque<TimerKey>,
    slots: Vec<Edge>,
    /// Rows that state may not have yet, by the position of their turn.
    unapplied: VecDeque<(u64, Timer)>,
    window_max: usize,
    /// Rows that ended in this turn.
    puts: Vec<Put>,
    new: NewTimers,
}

/// How many timers were armed, by what kind of owner they have.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct NewTimers {
    pub(crate) workflows: u64,
    pub(crate) carts: u64,
}

/// A timer in the window.
#[derive(Clone, Copy, Debug)]
struct Armed {
    epoch: u32,
    class: TimerClass,
    /// When it is handed out: when it is due, or later, if it was put off.
    at: Timestamp,
    /// How often it was put off.
    tries: u32,
    place: Place,
}

#[derive(Clone, Copy, Debug)]
enum Place {
    /// In the wheel.
    Filed(Handle),
    /// In `ready`.
    Ready,
    /// Taken, and not ended or put off yet.
    Taken,
}

/// How far the rows of a slot have been read.
#[derive(Clone, Copy, Debug)]
struct Edge {
    slot: Slot,
    /// All rows before it are in the window, or were.
    at: TimerKey,
}

/// A timer that is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Surfaced {
    /// Its row.
    pub(crate) timer: Timer,
    /// How often it was put off before.
    pub(crate) tries: u32,
}

impl Timers {
    /// Makes the window of the partitions in `range`, whole slots. Nothing is read yet.
    pub(crate) fn new(range: &Range<u16>) -> Self {
        Self::bounded(range, WINDOW_MAX)
    }

    fn bounded(range: &Range<u16>, window_max: usize) -> Self {
        let first = |slot: &Slot| u16::from(slot.number()) * Slot::PARTITIONS;
        let slots = Slot::all().filter(|slot| range.contains(&first(slot)));
        let edge = |slot| Edge {
            slot,
            at: before(Timestamp::from_millis(0)),
        };
        Self {
            wheel: Wheel::new(0),
            scale: Scale::new(Timestamp::from_millis(0), TICK),
            armed: HashMap::default(),
            ready: VecDeque::new(),
            slots: slots.map(edge).collect(),
            unapplied: VecDeque::new(),
            window_max,
            puts: Vec::new(),
            new: NewTimers::default(),
        }
    }

    /// Notes a row that a turn sets, which stands at `position`. It takes the place of an earlier one of the same owner and instant.
    pub(crate) fn set(&mut self, position: u64, timer: Timer) {
        self.unapplied.push_back((position, timer));
        let key = timer.key();
        if self.armed.len() >= self.window_max && !self.armed.contains_key(&key) {
            self.make_room(key);
        }
        // One that is in the window surfaces from there, also where the edge fell back behind it: with its new epoch, or its row would be
        // dropped as one that means nothing any more.
        let is_known = self.armed.contains_key(&key);
        if is_known || self.edge_mut(timer.partition).is_some_and(|edge| key < edge.at) {
            self.insert(timer);
        }
    }

    /// Ends a timer's row: its work is recorded, or it was stale.
    pub(crate) fn surfaced(&mut self, partition: PartitionId, owner: EventId, due: Timestamp) {
        let key = TimerKey { due, partition, owner };
        self.done(key);
        self.puts.push(Put::Timer(TimerPut::Delete(key)));
    }

    /// Returns whether rows ended since the last turn did.
    pub(crate) fn has_ended_rows(&self) -> bool {
        !self.puts.is_empty()
    }

    /// Takes how many timers were armed since this was last asked.
    pub(crate) fn take_new(&mut self) -> NewTimers {
        std::mem::take(&mut self.new)
    }

    /// Returns whether rows should be read now: an edge is near, and there is room.
    pub(crate) fn wants(&self, now: Timestamp) -> bool {
        self.nearest().is_some_and(|edge| self.wants_of(edge, now))
    }

    /// Reads one page of the slot whose edge is nearest, if it is near. `read` returns rows from a key on, before an instant, and at
    /// most as many as it is asked for; it sees all that [`Timers::forget`] was told of. Returns whether a page was read.
    pub(crate) fn load(
        &mut self,
        now: Timestamp,
        read: impl FnOnce(Slot, TimerKey, Timestamp, usize) -> Result<Vec<Timer>, StateError>,
    ) -> Result<bool, StateError> {
        let Some(edge) = self.nearest().filter(|edge| self.wants_of(*edge, now)) else {
            return Ok(false);
        };
        let mut edge = edge;
        if self.armed.len() >= self.window_max {
            self.make_room(edge.at);
            edge = self.nearest().unwrap_or(edge);
            if self.armed.len() >= self.window_max {
                // All of them are due: they fire first.
                return Ok(false);
            }
        }
        let until = now + SPAN;
        let page_max = PAGE.min(self.window_max / 8);
        let page = read(edge.slot, edge.at, until, page_max)?;
        let passed = match page.last() {
            Some(last) if page.len() >= page_max => after(last.key()),
            _ => before(until),
        };
        for timer in page {
            self.insert(timer);
        }
        // What state did not have when it was read, and is passed over now. It stays among the unapplied: the edge may fall back.
        let missed = |timer: &Timer| Slot::of(timer.partition) == edge.slot && (edge.at..passed).contains(&timer.key());
        let unapplied = self.unapplied.iter().map(|(_, timer)| *timer);
        for timer in unapplied.filter(missed).collect::<Vec<_>>() {
            self.insert(timer);
        }
        if let Some(own) = self.slots.iter_mut().find(|own| own.slot == edge.slot) {
            own.at = passed;
        }
        Ok(true)
    }

    /// Moves on to `now`: what is due then can be taken. Returns whether the clock was set back since.
    pub(crate) fn advance(&mut self, now: Timestamp) -> bool {
        let reached = self.scale.reached(now);
        let is_back = reached < self.wheel.now();
        if is_back {
            self.rebuild(reached);
        }
        let (armed, ready) = (&mut self.armed, &mut self.ready);
        // A cut turn goes on with the next one: its remainder is due, so nobody sleeps.
        let _turn = self.wheel.advance(reached, LOOKS, |fired| {
            if let Some(armed) = armed.get_mut(&fired.value) {
                armed.place = Place::Ready;
                ready.push_back(fired.value);
            }
        });
        is_back
    }

    /// Takes the timer that has been due the longest, if one is due. The caller ends it with [`Timers::surfaced`] or puts it off.
    pub(crate) fn take(&mut self) -> Option<Surfaced> {
        while let Some(key) = self.ready.pop_front() {
            if let Some(armed) = self.armed.get_mut(&key) {
                armed.place = Place::Taken;
                return Some(Surfaced {
                    timer: armed.timer(key),
                    tries: armed.tries,
                });
            }
        }
        None
    }

    /// Takes back what was taken and not worked on, in the order in which it was taken.
    pub(crate) fn give_back(&mut self, surfaced: &[Surfaced]) {
        for surfaced in surfaced.iter().rev() {
            let key = surfaced.timer.key();
            if let Some(armed) = self.armed.get_mut(&key) {
                armed.place = Place::Ready;
                self.ready.push_front(key);
            }
        }
    }

    /// Ends a row: it was taken, or its deletion is recorded.
    pub(crate) fn done(&mut self, key: TimerKey) {
        if let Some(Armed {
            place: Place::Filed(handle),
            ..
        }) = self.armed.remove(&key)
        {
            self.wheel.cancel(handle);
        }
    }

    /// Puts a timer off that was taken and could not be worked on: it is handed out again at `at`, with one try more.
    pub(crate) fn put_off(&mut self, key: TimerKey, at: Timestamp) {
        self.wait(key, at);
        if let Some(armed) = self.armed.get_mut(&key) {
            armed.tries += 1;
        }
    }

    /// Has a timer wait that was taken: it is handed out again at `at`.
    pub(crate) fn wait(&mut self, key: TimerKey, at: Timestamp) {
        if let Some(armed) = self.armed.get_mut(&key) {
            armed.at = at;
            armed.place = Place::Filed(self.wheel.insert(self.scale.due(at), key));
        }
    }

    /// Returns how long nothing is to be done, from `now` on; `None` if nothing is in the window.
    pub(crate) fn rest(&self, now: Timestamp) -> Option<Duration> {
        if !self.ready.is_empty() {
            return Some(Duration::ZERO);
        }
        Some(self.scale.begins(self.wheel.next_due()?).since(now))
    }

    /// Returns since when the timer that is due the longest has been due.
    pub(crate) fn overdue(&self) -> Option<Timestamp> {
        self.ready.front().map(|key| key.due)
    }

    /// Returns how many timers are in the window.
    pub(crate) fn len(&self) -> usize {
        self.armed.len()
    }

    /// Puts a row into the window, once.
    fn insert(&mut self, timer: Timer) {
        let key = timer.key();
        if let Some(armed) = self.armed.get_mut(&key) {
            // A row that is set again has a later epoch; one that is read again has this one, or an earlier that state still has.
            if timer.epoch > armed.epoch {
                armed.epoch = timer.epoch;
                armed.class = timer.class;
                if let Place::Taken = armed.place {
                    armed.at = key.due;
                    armed.tries = 0;
                    armed.place = Place::Filed(self.wheel.insert(self.scale.due(key.due), key));
                }
            }
            return;
        }
        let armed = Armed {
            epoch: timer.epoch,
            class: timer.class,
            at: timer.due,
            tries: 0,
            place: Place::Filed(self.wheel.insert(self.scale.due(timer.due), key)),
        };
        self.armed.insert(key, armed);
    }

    /// Leaves the later half of what is not due yet to the disk. If all is due, then the row that room is needed for.
    fn make_room(&mut self, for_key: TimerKey) {
        let is_filed = |armed: &Armed| armed.tries == 0 && matches!(armed.place, Place::Filed(_));
        let filed = self.armed.iter().filter(|(_, armed)| is_filed(armed));
        let mut keys: Vec<_> = filed.map(|(key, _)| *key).collect();
        let middle = keys.len() / 2;
        let cut = if keys.len() > self.window_max / 2 {
            *keys.select_nth_unstable(middle).1
        } else {
            for_key
        };
        for key in keys.into_iter().filter(|key| *key >= cut) {
            self.done(key);
        }
        for edge in &mut self.slots {
            edge.at = edge.at.min(cut);
        }
    }

    /// Files everything anew from an earlier tick on: the clock was set back, and what was due may not be so any more.
    fn rebuild(&mut self, tick: u64) {
        self.wheel = Wheel::new(tick);
        self.ready.clear();
        let mut rows: Vec<_> = self.armed.keys().copied().collect();
        // The wheel keeps the order of insertion within a tick.
        rows.sort_unstable();
        for key in rows {
            if let Some(armed) = self.armed.get_mut(&key)
                && !matches!(armed.place, Place::Taken)
            {
                armed.place = Place::Filed(self.wheel.insert(self.scale.due(armed.at), key));
            }
        }
    }

    fn nearest(&self) -> Option<Edge> {
        self.slots.iter().copied().min_by_key(|edge| edge.at)
    }

    fn wants_of(&self, edge: Edge, now: Timestamp) -> bool {
        // A full window reads on when there is room for long enough, or when what is due may be missing from it.
        let room = self.armed.len() < self.window_max - self.window_max / 4;
        edge.at < before(now + NEAR) && (room || edge.at < before(now + Duration::from_millis(1)))
    }

    fn edge_mut(&mut self, partition: PartitionId) -> Option<&mut Edge> {
        let slot = Slot::of(partition);
        self.slots.iter_mut().find(|edge| edge.slot == slot)
    }
}

impl Desk for Timers {
    fn apply(&mut self, entry: &Entry<'_>, _: &mut Told) -> Result<(), StateError> {
        match entry.event {
            Event::Moved(moved) => {
                if let MoveCause::Timer(due) = moved.cause {
                    self.surfaced(entry.partition, moved.instance.unwrap_or(entry.id), due);
                }
            }
            Event::CartDecided(decided) => {
                if let Some(due) = decided.due {
                    self.surfaced(entry.partition, decided.cart, due);
                }
            }
            Event::SetAside(aside) => {
                if let Some(due) = aside.due {
                    self.surfaced(entry.partition, aside.object, due);
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// Takes the timers that the owners' desks armed, so this desk is settled behind them.
    fn settle(&mut self, position: u64, settled: &mut Settled) {
        // Rows of timers that surfaced are deleted first: an owner may be armed anew for the same instant.
        settled.puts.append(&mut self.puts);
        for timer in settled.armed.drain(..) {
            settled.puts.push(Put::Timer(TimerPut::Set(timer)));
            self.set(position, timer);
            match timer.class {
                TimerClass::Workflow => self.new.workflows += 1,
                TimerClass::Cart => self.new.carts += 1,
            }
        }
    }

    fn forget(&mut self, applied: u64) {
        while self.unapplied.front().is_some_and(|(position, _)| *position <= applied) {
            self.unapplied.pop_front();
        }
    }
}

impl Armed {
    fn timer(&self, key: TimerKey) -> Timer {
        Timer {
            due: key.due,
            partition: key.partition,
            owner: key.owner,
            epoch: self.epoch,
            class: self.class,
        }
    }
}

/// Returns the first key of an instant.
fn before(at: Timestamp) -> TimerKey {
    TimerKey {
        due: at,
        partition: PartitionId::new(0).expect("the first partition"),
        owner: EventId::from_raw(0),
    }
}

/// Returns the key after a key.
fn after(key: TimerKey) -> TimerKey {
    TimerKey {
        owner: EventId::from_raw(key.owner.raw().saturating_add(1)),
        ..key
    }
}
