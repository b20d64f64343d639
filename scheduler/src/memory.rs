//! A desk's rows in memory: those that state does not have yet.
//!
//! A desk reads a changed row from here until state has applied the row's turn, and from state afterwards. So memory
//! is bounded by the lag of state, which has a bound of its own, and not by the number of persons. A row that was only
//! read is kept as long: the same turn often reads it again.

use std::collections::{HashMap, VecDeque};
use std::hash::Hash;

use foldhash::fast::FixedState;

/// The newest values by key, each held until state has applied the position that set it.
#[derive(Debug)]
pub(crate) struct Unapplied<K, V> {
    values: HashMap<K, (Changed, V), FixedState>,
    order: VecDeque<(u64, K)>,
    /// Keys changed since the last [`Unapplied::settle`], in order of first change.
    changed: Vec<K>,
}

impl<K, V> Default for Unapplied<K, V> {
    fn default() -> Self {
        Self {
            values: HashMap::default(),
            order: VecDeque::new(),
            changed: Vec::new(),
        }
    }
}

/// Where a value last changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Changed {
    /// In the running turn, which is not in the journal yet.
    Now,
    /// In the turn that ended at this position of the journal.
    At(u64),
}

/// The position of a value that was read and did not change: state has applied it.
const READ: u64 = 0;

impl<K: Clone + Eq + Hash, V> Unapplied<K, V> {
    /// Returns the remembered value.
    pub(crate) fn get(&self, key: &K) -> Option<&V> {
        self.values.get(key).map(|(_, value)| value)
    }

    /// Remembers a value as state has it, for as long as what was changed before is remembered.
    pub(crate) fn keep(&mut self, key: K, value: V) {
        self.values.insert(key.clone(), (Changed::At(READ), value));
        self.order.push_back((READ, key));
    }

    /// Sets the value of a key in this turn.
    pub(crate) fn set(&mut self, key: K, value: V) {
        if self
            .values
            .insert(key.clone(), (Changed::Now, value))
            .is_none_or(|(changed, _)| changed != Changed::Now)
        {
            self.changed.push(key);
        }
    }

    /// Returns a remembered value to change it in this turn, or `None` if state is to be asked.
    pub(crate) fn edit(&mut self, key: K) -> Option<&mut V> {
        let (changed, value) = self.values.get_mut(&key)?;
        if *changed != Changed::Now {
            *changed = Changed::Now;
            self.changed.push(key);
        }
        Some(value)
    }

    /// Forgets a value that is remembered, also one that changed in this turn.
    pub(crate) fn drop_value(&mut self, key: &K) {
        self.values.remove(key);
    }

    /// Returns the remembered keys, in no order.
    pub(crate) fn keys(&self) -> impl Iterator<Item = &K> {
        self.values.keys()
    }

    /// Ends the turn: what changed in it became part of the journal up to `position`. Hands each changed value to `put`.
    pub(crate) fn settle(&mut self, position: u64, mut put: impl FnMut(K, &mut V)) {
        for key in self.changed.drain(..) {
            if let Some((changed, value)) = self.values.get_mut(&key) {
                *changed = Changed::At(position);
                self.order.push_back((position, key.clone()));
                put(key, value);
            }
        }
    }

    /// Forgets what state has applied.
    pub(crate) fn forget(&mut self, applied: u64) {
        while let Some((position, key)) = self.order.front().cloned() {
            if position > applied {
                return;
            }
            self.order.pop_front();
            if self
                .values
                .get(&key)
                .is_some_and(|(changed, _)| *changed == Changed::At(position))
            {
                self.values.remove(&key);
            }
        }
    }

    /// Returns how many values are held.
    pub(crate) fn len(&self) -> usize {
        self.values.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_stays_until_its_own_position_is_applied() {
        let mut memory = Unapplied::default();
        memory.set(1, "a");
        memory.settle(10, |_, _| {});
        memory.set(1, "b");
        memory.settle(20, |_, _| {});
        memory.forget(10);
        assert_eq!(memory.get(&1), Some(&"b"));
        memory.forget(20);
        assert_eq!(memory.len(), 0);
    }

    #[test]
    fn a_value_that_is_edited_is_put_with_its_turn() {
        let mut memory = Unapplied::default();
        assert_eq!(memory.edit(1), None::<&mut i32>);
        memory.set(1, 5);
        memory.settle(10, |_, _| {});
        *memory.edit(1).expect("set above") += 1;
        *memory.edit(1).expect("set above") += 1;
        let mut puts = Vec::new();
        memory.settle(20, |key, value| puts.push((key, *value)));
        assert_eq!(puts, [(1, 7)]);
        memory.forget(10);
        assert_eq!(memory.get(&1), Some(&7));
    }

    #[test]
    fn a_value_that_was_read_is_put_only_if_it_changes() {
        let mut memory = Unapplied::default();
        memory.set(1, "a");
        memory.settle(10, |_, _| {});
        memory.keep(2, "read");
        memory.keep(3, "read");
        *memory.edit(3).expect("kept above") = "changed";
        let mut puts = Vec::new();
        memory.settle(20, |key, value| puts.push((key, *value)));
        assert_eq!(puts, [(3, "changed")]);
        memory.forget(10);
        assert_eq!((memory.get(&2), memory.get(&3)), (None, Some(&"changed")));
    }

    #[test]
    fn a_change_of_the_running_turn_is_never_forgotten() {
        let mut memory = Unapplied::default();
        memory.set(1, "a");
        memory.settle(10, |_, _| {});
        memory.set(1, "b");
        memory.forget(10);
        assert_eq!(memory.get(&1), Some(&"b"));
    }

    #[test]
    fn each_changed_key_is_put_once_a_turn() {
        let mut memory = Unapplied::default();
        memory.set(1, "a");
        memory.set(2, "x");
        memory.set(1, "b");
        let mut puts = Vec::new();
        memory.settle(10, |key, value| puts.push((key, *value)));
        assert_eq!(puts, [(1, "b"), (2, "x")]);
    }
}
