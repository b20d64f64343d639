//! The line in front of the signing threads.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// Mails that wait, in two lanes, each first come first served.
///
/// What a shop asked for is taken first, and what we ourselves came to send (reminders, workflows' mails) only when
/// nothing of that waits: a workflow that is switched on for a hundred thousand contacts keeps no order's mail waiting. The
/// second lane is not starved for long, since orders come at the pace of people.
///
/// It has no bound of its own and never waits: what is in it holds an admission, and those are bounded before an accept
/// is journaled. A lock and a condition are enough: each mail keeps a thread busy ten thousand times longer than the
/// lock is held.
#[derive(Debug)]
pub(super) struct Queue<T> {
    line: Mutex<Line<T>>,
    arrived: Condvar,
}

#[derive(Debug)]
struct Line<T> {
    first: VecDeque<T>,
    bulk: VecDeque<T>,
    closed: bool,
}

/// Where a mail waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lane {
    /// Before all others: a shop asked for it.
    First,
    /// Behind all others: nobody waits for it.
    Bulk,
}

impl<T> Queue<T> {
    pub(super) const fn new() -> Self {
        Self {
            line: Mutex::new(Line {
                first: VecDeque::new(),
                bulk: VecDeque::new(),
                closed: false,
            }),
            arrived: Condvar::new(),
        }
    }

    /// Puts one at the end of its lane. Once closed, it comes back.
    pub(super) fn push(&self, lane: Lane, item: T) -> Result<(), T> {
        let mut waiting = self.lock();
        if waiting.closed {
            return Err(item);
        }
        match lane {
            Lane::First => waiting.first.push_back(item),
            Lane::Bulk => waiting.bulk.push_back(item),
        }
        drop(waiting);
        self.arrived.notify_one();
        Ok(())
    }

    /// Takes the next, waiting for it; `None` once closed and empty.
    pub(super) fn pop(&self) -> Option<T> {
        let mut line = self.lock();
        loop {
            let next = line.first.pop_front();
            if let Some(item) = next.or_else(|| line.bulk.pop_front()) {
                return Some(item);
            }
            if line.closed {
                return None;
            }
            line = self.arrived.wait(line).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Lets nothing more in; what waits is still taken.
    pub(super) fn close(&self) {
        self.lock().closed = true;
        self.arrived.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, Line<T>> {
        self.line.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_shop_asked_for_never_waits_behind_a_storm() {
        let queue = Queue::new();
        for mail in 0..1_000 {
            queue.push(Lane::Bulk, mail).unwrap();
        }
        assert_eq!(queue.pop(), Some(0));
        queue.push(Lane::First, 5_000).unwrap();
        queue.push(Lane::Bulk, 1_000).unwrap();
        queue.push(Lane::First, 5_001).unwrap();
        let taken: Vec<_> = (0..4).map_while(|_| queue.pop()).collect();
        assert_eq!(taken, [5_000, 5_001, 1, 2]);
    }

    #[test]
    fn a_closed_queue_gives_out_both_lanes_and_takes_nothing() {
        let queue = Queue::new();
        queue.push(Lane::Bulk, 2).unwrap();
        queue.push(Lane::First, 1).unwrap();
        queue.close();
        assert_eq!(queue.push(Lane::First, 3), Err(3));
        assert_eq!((queue.pop(), queue.pop(), queue.pop()), (Some(1), Some(2), None));
    }
}
