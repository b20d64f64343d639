//! The line in front of the signing threads.
//!
//! # Three lanes
//!
//! Mails wait in the [`Lane`] of their kind: those of orders before the messages that shops ask for, one by one or in
//! batches, and both before what we ourselves came to send (workflows' mails, reminders). A batch of a thousand messages, or
//! a workflow that is switched on for a hundred thousand contacts, keeps no order's mail waiting.
//!
//! Precedence alone would starve the later lanes while orders come faster than they are made. So a lane that waits is
//! owed a sixteenth of the time that mails of the lanes before it take, and has the next thread when it is owed some. It
//! may take more than it is owed, since nobody knows what a mail will cost; it then waits until it is even. One thread at
//! a time is lent like that to a lane. All of it is counted in time and not in mails, for one mail may take as long as fifty.
//!
//! # Turns
//!
//! Within a lane, shops take turns by what their mails took: see `turns.rs`.
//!
//! # Bounds
//!
//! The line has no bound of its own and never waits: what is in it holds an admission, and those are bounded before an
//! accept is journaled. A push, a pop and a charge take steps by the logarithm of the number of shops that wait. A lock and
//! a condition are enough: each mail keeps a thread busy a thousand times longer than the lock is held.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use types::id::ShopNumber;

use super::turns::Turns;

/// A lane that waits is owed the time of the lanes before it, divided by this.
const SHARE: u32 = 16;

/// Mails that wait for a signing thread.
#[derive(Debug)]
pub struct Queue<T> {
    line: Mutex<Line<T>>,
    arrived: Condvar,
}

/// Where a mail waits. What comes first here goes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Lane {
    /// The mail of an order: a buyer waits for it.
    Orders,
    /// A message that a shop asked for.
    Messages,
    /// What we ourselves came to send: nobody waits for it.
    Own,
}

impl Lane {
    /// All lanes, the first first.
    const ALL: [Self; 3] = [Self::Orders, Self::Messages, Self::Own];
}

/// Says of one that was taken whose it is: [`Queue::done`] takes it back.
#[must_use = "a shop whose mails are never charged has its turn again at once"]
#[derive(Debug)]
pub struct Turn {
    lane: Lane,
    shop: ShopNumber,
    kind: Kind,
}

impl Turn {
    /// Returns whose turn it is.
    pub const fn shop(&self) -> ShopNumber {
        self.shop
    }
}

/// How one came to be taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// Nothing waited in the lanes before.
    InOrder,
    /// Something did, but its lane was owed time.
    Lent,
}

#[derive(Debug)]
struct Line<T> {
    orders: Waiting<T>,
    messages: Waiting<T>,
    own: Waiting<T>,
    closed: bool,
}

/// One lane.
#[derive(Debug)]
struct Waiting<T> {
    turns: Turns<T>,
    /// What it was owed since it last had its turn in order.
    owed: Duration,
    /// What it was lent since then.
    lent: Duration,
    /// Whether a thread is lent to it now.
    is_lent: bool,
}

impl<T> Default for Waiting<T> {
    fn default() -> Self {
        Self {
            turns: Turns::default(),
            owed: Duration::ZERO,
            lent: Duration::ZERO,
            is_lent: false,
        }
    }
}

impl<T> Waiting<T> {
    fn push(&mut self, shop: ShopNumber, item: T) {
        if self.turns.is_empty() {
            // Who did not wait is owed nothing; what it took too much, it still has.
            self.owed = self.owed.min(self.lent);
        }
        self.turns.push(shop, item);
    }

    fn is_due(&self) -> bool {
        !self.turns.is_empty() && !self.is_lent && self.owed > self.lent
    }
}

impl<T> Default for Queue<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T> Queue<T> {
    /// Makes an empty one.
    pub fn new() -> Self {
        Self {
            line: Mutex::new(Line {
                orders: Waiting::default(),
                messages: Waiting::default(),
                own: Waiting::default(),
                closed: false,
            }),
            arrived: Condvar::new(),
        }
    }

    /// Puts one behind the others of its shop in its lane. Once closed, it comes back.
    pub fn push(&self, lane: Lane, shop: ShopNumber, item: T) -> Result<(), T> {
        let mut waiting = self.lock();
        if waiting.closed {
            return Err(item);
        }
        waiting.lane(lane).push(shop, item);
        drop(waiting);
        self.arrived.notify_one();
        Ok(())
    }

    /// Takes the next, waiting for it; `None` once closed and empty. What it took is told to [`Queue::done`].
    pub fn pop(&self) -> Option<(Turn, T)> {
        let mut line = self.lock();
        loop {
            if let Some(taken) = line.take() {
                return Some(taken);
            }
            if line.closed {
                return None;
            }
            line = self.arrived.wait(line).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Takes the next, if one waits.
    pub fn try_pop(&self) -> Option<(Turn, T)> {
        self.lock().take()
    }

    /// Takes note of how long a thread was held by what [`Queue::pop`] gave it.
    #[expect(clippy::needless_pass_by_value, reason = "a turn is charged once, and then gone")]
    pub fn done(&self, turn: Turn, cost: Duration) {
        self.lock().charge(&turn, cost);
    }

    /// Lets nothing more in; what waits is still taken.
    pub fn close(&self) {
        self.lock().closed = true;
        self.arrived.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, Line<T>> {
        self.line.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T> Line<T> {
    const fn lane(&mut self, lane: Lane) -> &mut Waiting<T> {
        match lane {
            Lane::Orders => &mut self.orders,
            Lane::Messages => &mut self.messages,
            Lane::Own => &mut self.own,
        }
    }

    fn take(&mut self) -> Option<(Turn, T)> {
        let first = Lane::ALL.into_iter().find(|lane| !self.lane(*lane).turns.is_empty())?;
        let due = Lane::ALL
            .into_iter()
            .rev()
            .find(|lane| *lane > first && self.lane(*lane).is_due());
        let (lane, kind) = due.map_or((first, Kind::InOrder), |lane| (lane, Kind::Lent));
        let waiting = self.lane(lane);
        let (shop, item) = waiting.turns.pop()?;
        match kind {
            Kind::InOrder => (waiting.owed, waiting.lent) = (Duration::ZERO, Duration::ZERO),
            Kind::Lent => waiting.is_lent = true,
        }
        Some((Turn { lane, shop, kind }, item))
    }

    fn charge(&mut self, turn: &Turn, cost: Duration) {
        let &Turn { lane, shop, kind } = turn;
        let waiting = self.lane(lane);
        waiting.turns.charge(shop, cost);
        if kind == Kind::Lent {
            waiting.is_lent = false;
            waiting.lent = waiting.lent.saturating_add(cost);
        }
        for behind in Lane::ALL.into_iter().filter(|behind| *behind > lane) {
            let behind = self.lane(behind);
            if !behind.turns.is_empty() {
                behind.owed = behind.owed.saturating_add(cost / SHARE);
            }
        }
    }
}

#[cfg(test)]
mod tests;
