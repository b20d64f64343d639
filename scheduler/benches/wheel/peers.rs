//! The structures, each driven as its documentation asks.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::rc::Rc;
use std::time::Duration;

use hierarchical_hash_wheel_timer::wheels::cancellable::{
    CancellableTimerEntry, QuadWheelWithOverflow as CancellableQuadWheel,
};
use hierarchical_hash_wheel_timer::wheels::quad_wheel::QuadWheelWithOverflow;
use scheduler::wheel::{Handle, Turn, Wheel};
use tokio::runtime::Runtime;
use tokio::task::unconstrained;
use tokio::time::{Instant, advance, pause};
use tokio_util::time::DelayQueue;
use tokio_util::time::delay_queue::Key;

use super::SPAN;
use super::figures::{Peer, Value};

/// Entries that a turn may look at, as in the runners.
const LIMIT: usize = 2048;

/// The wheel with the values in its table.
pub struct Ours(Wheel<Value>);

impl Default for Ours {
    fn default() -> Self {
        Self(Wheel::new(0))
    }
}

impl Peer for Ours {
    type Handle = Handle;
    const CANCELS: bool = true;

    fn insert(&mut self, due: u32, value: Value) -> Handle {
        self.0.insert(u64::from(due), value)
    }

    fn cancel(&mut self, handle: Handle) {
        self.0.cancel(handle).expect("armed");
    }

    fn fire(&mut self) -> (usize, u64) {
        let (mut count, mut sum) = (0, 0);
        turn(&mut self.0, |tick, [_, due]| {
            // The round before the measured one carries zero.
            sum += if due == 0 { tick } else { u64::from(SPAN + due) };
            count += 1;
        });
        (count, sum)
    }

    fn bytes(&self) -> Option<usize> {
        Some(self.0.bytes())
    }
}

/// The wheel for an owner who has a table of its own, by the handle's index.
pub struct Bare(Wheel<()>);

impl Default for Bare {
    fn default() -> Self {
        Self(Wheel::new(0))
    }
}

impl Peer for Bare {
    type Handle = Handle;
    const CANCELS: bool = true;

    fn insert(&mut self, due: u32, _: Value) -> Handle {
        self.0.insert(u64::from(due), ())
    }

    fn cancel(&mut self, handle: Handle) {
        self.0.cancel(handle).expect("armed");
    }

    fn fire(&mut self) -> (usize, u64) {
        let (mut count, mut sum) = (0, 0);
        turn(&mut self.0, |tick, ()| {
            sum += tick;
            count += 1;
        });
        (count, sum)
    }

    fn bytes(&self) -> Option<usize> {
        Some(self.0.bytes())
    }
}

/// Turns a wheel by an hour, millisecond by millisecond, in bounded turns.
fn turn<T: Copy>(wheel: &mut Wheel<T>, mut fire: impl FnMut(u64, T)) {
    let from = wheel.now();
    for tick in from + 1..=from + u64::from(SPAN) {
        while wheel.advance(tick, LIMIT, |timer| {
            assert!(timer.due == tick, "a timer fires at its tick");
            fire(timer.due, timer.value);
        }) == Turn::Cut
        {}
    }
}

/// The wheel of `hierarchical_hash_wheel_timer` without cancellation.
#[derive(Default)]
pub struct Quad {
    wheel: QuadWheelWithOverflow<Value>,
    now: u32,
}

impl Peer for Quad {
    type Handle = ();
    const CANCELS: bool = false;

    fn insert(&mut self, due: u32, value: Value) {
        let delay = Duration::from_millis(u64::from(due - self.now));
        self.wheel.insert_with_delay(value, delay).expect("due later");
    }

    fn cancel(&mut self, (): ()) {}

    fn fire(&mut self) -> (usize, u64) {
        let (mut count, mut sum) = (0, 0);
        for _ in 0..SPAN {
            self.now += 1;
            for [_, due] in self.wheel.tick() {
                assert!(due == 0 || SPAN + due == self.now, "a timer fires at its tick");
                sum += u64::from(self.now);
                count += 1;
            }
        }
        (count, sum)
    }
}

/// The same crate's wheel with cancellation: a hash map and a reference count per timer.
pub struct CancellableQuad {
    wheel: CancellableQuadWheel<Identified>,
    now: u32,
}

/// The value, which tells its id.
#[derive(Debug)]
struct Identified(Value);

impl CancellableTimerEntry for Identified {
    type Id = u32;

    fn id(&self) -> &u32 {
        let Self([id, _]) = self;
        id
    }
}

impl Default for CancellableQuad {
    fn default() -> Self {
        Self {
            wheel: CancellableQuadWheel::new(),
            now: 0,
        }
    }
}

impl Peer for CancellableQuad {
    type Handle = u32;
    const CANCELS: bool = true;

    fn insert(&mut self, due: u32, value: Value) -> u32 {
        let delay = Duration::from_millis(u64::from(due - self.now));
        let inserted = self.wheel.insert_ref_with_delay(Rc::new(Identified(value)), delay);
        inserted.expect("due later");
        value[0]
    }

    fn cancel(&mut self, id: u32) {
        self.wheel.cancel(&id).expect("armed");
    }

    fn fire(&mut self) -> (usize, u64) {
        let (mut count, mut sum) = (0, 0);
        for _ in 0..SPAN {
            self.now += 1;
            for timer in self.wheel.tick() {
                let Identified([_, due]) = *timer;
                assert!(due == 0 || SPAN + due == self.now, "a timer fires at its tick");
                sum += u64::from(self.now);
                count += 1;
            }
        }
        (count, sum)
    }
}

/// `DelayQueue` under a clock that stands until it is told to go on. It is given the whole hour at once: its best case.
pub struct Delays {
    runtime: Runtime,
    queue: DelayQueue<Value>,
    epoch: Instant,
    now: u32,
}

impl Default for Delays {
    fn default() -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()
            .unwrap();
        let (queue, epoch) = runtime.block_on(async {
            pause();
            (DelayQueue::new(), Instant::now())
        });
        Self {
            runtime,
            queue,
            epoch,
            now: 0,
        }
    }
}

impl Peer for Delays {
    type Handle = Key;
    const CANCELS: bool = true;

    fn insert(&mut self, due: u32, value: Value) -> Key {
        // The queue asks for the clock.
        let _entered = self.runtime.enter();
        self.queue
            .insert_at(value, self.epoch + Duration::from_millis(u64::from(due)))
    }

    fn cancel(&mut self, key: Key) {
        let _entered = self.runtime.enter();
        self.queue.remove(&key);
    }

    fn fire(&mut self) -> (usize, u64) {
        let (queue, epoch) = (&mut self.queue, self.epoch);
        self.now += SPAN;
        self.runtime.block_on(unconstrained(async {
            advance(Duration::from_millis(u64::from(SPAN))).await;
            let (mut count, mut sum) = (0, 0);
            while let Some(timer) = std::future::poll_fn(|context| queue.poll_expired(context)).await {
                sum += (timer.deadline() - epoch).as_millis() as u64;
                count += 1;
            }
            (count, sum)
        }))
    }
}

/// A heap by due tick.
#[derive(Default)]
pub struct Heap {
    heap: BinaryHeap<Reverse<(u32, Value)>>,
    now: u32,
}

impl Peer for Heap {
    type Handle = ();
    const CANCELS: bool = false;

    fn insert(&mut self, due: u32, value: Value) {
        self.heap.push(Reverse((due, value)));
    }

    fn cancel(&mut self, (): ()) {}

    fn fire(&mut self) -> (usize, u64) {
        let (mut count, mut sum) = (0, 0);
        self.now += SPAN;
        while let Some(Reverse((due, _))) = self.heap.pop() {
            assert!(due <= self.now, "no timer is left");
            sum += u64::from(due);
            count += 1;
        }
        (count, sum)
    }
}
