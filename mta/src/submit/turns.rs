//! The shops of one lane take turns, by the time that their mails took.
//!
//! # The rule
//!
//! Each shop has an account of the time that signing threads spent on its mails. The next mail is one of the shop that
//! has the fewest mails in the making and, among equals, the least time on its account. So a shop whose mail takes a
//! hundred times longer than another's has a hundred times fewer turns, and no shop has a second thread while another
//! one waits for its first.
//!
//! Time, and not bytes or a count of mails: what a mail costs is known only when it is made. A short template may loop
//! for milliseconds, a long text may not, and a first mail makes keys. So an account is charged afterwards, with the time
//! that the thread was held. What is not charged yet is seen as mails in the making, which is why these count first.
//!
//! # Those who come, and those who go
//!
//! A shop that comes starts at the `level`: the time on the account whose turn was last. It can neither ask for the time
//! in which it wanted nothing nor be made to wait until it is even with what others had before. A shop whose mails are
//! all made leaves nothing behind, unless its account stands above the level: then the account stays until the level has
//! come up to it. Otherwise a shop that sends one heavy mail after the other, each when the last is made, would be new
//! each time, and always next. When nothing at all waits or is made, all accounts go, and the level is zero again.
//!
//! So there is at most one account for each shop that has mails here or had some since the lane was last empty.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::time::Duration;

use types::id::ShopNumber;

/// The least that a mail is charged: the clock may not have moved.
const COST_MIN: Duration = Duration::from_micros(1);

/// What waits in one lane, by shop.
#[derive(Debug)]
pub(super) struct Turns<T> {
    accounts: HashMap<ShopNumber, Account<T>>,
    /// The shops that have something waiting, in the order of their turns.
    next: BTreeMap<Rank, ShopNumber>,
    /// The shops that have nothing here any more and stand above the level.
    above: BTreeSet<(Duration, ShopNumber)>,
    /// Where a shop starts that comes.
    level: Duration,
    /// How many times a shop began to wait.
    arrivals: u64,
    /// How many are taken and not yet charged.
    making: usize,
}

#[derive(Debug)]
struct Account<T> {
    waiting: VecDeque<T>,
    rank: Rank,
}

/// Whose turn is sooner: the lesser's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Rank {
    /// How many mails of the shop are in the making.
    making: usize,
    /// What its mails took.
    took: Duration,
    /// Who waits longer. No two shops have the same.
    arrival: u64,
}

impl<T> Default for Turns<T> {
    fn default() -> Self {
        Self {
            accounts: HashMap::new(),
            next: BTreeMap::new(),
            above: BTreeSet::new(),
            level: Duration::ZERO,
            arrivals: 0,
            making: 0,
        }
    }
}

impl<T> Turns<T> {
    /// Returns whether nothing waits.
    pub(super) fn is_empty(&self) -> bool {
        self.next.is_empty()
    }

    /// Puts one behind the others of its shop.
    pub(super) fn push(&mut self, shop: ShopNumber, item: T) {
        let account = self.accounts.entry(shop).or_insert_with(|| Account {
            waiting: VecDeque::new(),
            rank: Rank {
                making: 0,
                took: self.level,
                arrival: 0,
            },
        });
        if account.waiting.is_empty() {
            self.above.remove(&(account.rank.took, shop));
            account.rank.took = account.rank.took.max(self.level);
            account.rank.arrival = self.arrivals;
            self.arrivals += 1;
            self.next.insert(account.rank, shop);
        }
        account.waiting.push_back(item);
    }

    /// Takes the first of the shop whose turn it is. [`Turns::charge`] must follow.
    pub(super) fn pop(&mut self) -> Option<(ShopNumber, T)> {
        let (rank, shop) = self.next.pop_first()?;
        let account = self.accounts.get_mut(&shop)?;
        let item = account.waiting.pop_front()?;
        account.rank.making += 1;
        if account.waiting.is_empty() {
            // The buffer of a large batch does not stay with the account.
            account.waiting = VecDeque::new();
        } else {
            self.next.insert(account.rank, shop);
        }
        self.making += 1;
        self.level = self.level.max(rank.took);
        while let Some(&(_, shop)) = self.above.first().filter(|(took, _)| *took <= self.level) {
            self.above.pop_first();
            self.accounts.remove(&shop);
        }
        Some((shop, item))
    }

    /// Puts on a shop's account what one that was taken has cost.
    pub(super) fn charge(&mut self, shop: ShopNumber, cost: Duration) {
        self.making = self.making.saturating_sub(1);
        if self.making == 0 && self.next.is_empty() {
            self.accounts.clear();
            self.above.clear();
            self.level = Duration::ZERO;
            return;
        }
        let Some(account) = self.accounts.get_mut(&shop) else {
            return;
        };
        let waits = self.next.remove(&account.rank).is_some();
        account.rank.making = account.rank.making.saturating_sub(1);
        account.rank.took = account.rank.took.saturating_add(cost.max(COST_MIN));
        let Rank { making, took, .. } = account.rank;
        if waits {
            self.next.insert(account.rank, shop);
        } else if making == 0 && took <= self.level {
            self.accounts.remove(&shop);
        } else if making == 0 {
            self.above.insert((took, shop));
        }
    }

    /// Returns how many shops have an account.
    #[cfg(test)]
    pub(super) fn accounts(&self) -> usize {
        self.accounts.len()
    }
}
