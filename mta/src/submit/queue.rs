//! The line in front of the signing threads.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// Mails that wait, first come first served.
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
    waiting: VecDeque<T>,
    closed: bool,
}

impl<T> Queue<T> {
    pub(super) const fn new() -> Self {
        Self {
            line: Mutex::new(Line {
                waiting: VecDeque::new(),
                closed: false,
            }),
            arrived: Condvar::new(),
        }
    }

    /// Puts one at the end. Once closed, it comes back.
    pub(super) fn push(&self, item: T) -> Result<(), T> {
        let mut line = self.lock();
        if line.closed {
            return Err(item);
        }
        line.waiting.push_back(item);
        drop(line);
        self.arrived.notify_one();
        Ok(())
    }

    /// Takes the first, waiting for it; `None` once closed and empty.
    pub(super) fn pop(&self) -> Option<T> {
        let mut line = self.lock();
        loop {
            if let Some(item) = line.waiting.pop_front() {
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
