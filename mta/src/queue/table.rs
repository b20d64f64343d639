//! Rows that are found by name or by place; the places of rows that are forgotten are used again.

use std::collections::HashMap;
use std::sync::Arc;

use foldhash::fast::RandomState;

/// Named rows.
#[derive(Debug)]
pub(super) struct Table<T> {
    /// Rows that were forgotten stay until their places are used again.
    rows: Vec<T>,
    places: HashMap<Arc<str>, u32, RandomState>,
    free: Vec<u32>,
}

impl<T> Table<T> {
    pub(super) fn new() -> Self {
        Self {
            rows: Vec::new(),
            places: HashMap::default(),
            free: Vec::new(),
        }
    }

    /// Returns how many rows have a name.
    pub(super) fn len(&self) -> usize {
        self.places.len()
    }

    pub(super) fn find(&self, name: &str) -> Option<u32> {
        self.places.get(name).copied()
    }

    pub(super) fn get(&self, place: u32) -> Option<&T> {
        self.rows.get(place as usize)
    }

    pub(super) fn get_mut(&mut self, place: u32) -> Option<&mut T> {
        self.rows.get_mut(place as usize)
    }

    /// Returns all rows in the order of their places, those that were forgotten included.
    pub(super) fn rows(&self) -> std::slice::Iter<'_, T> {
        self.rows.iter()
    }

    pub(super) fn rows_mut(&mut self) -> std::slice::IterMut<'_, T> {
        self.rows.iter_mut()
    }

    /// Adds a row under a name that no row has.
    pub(super) fn add(&mut self, name: Arc<str>, row: T) -> u32 {
        let place = self.free.pop().unwrap_or_else(|| {
            u32::try_from(self.rows.len()).expect("fewer rows than messages, whose slots have 32 bits")
        });
        match self.rows.get_mut(place as usize) {
            Some(free) => *free = row,
            None => self.rows.push(row),
        }
        self.places.insert(name, place);
        place
    }

    /// Forgets the rows that are not to be kept.
    pub(super) fn retain(&mut self, mut keep: impl FnMut(u32, &mut T) -> bool) {
        let (rows, free) = (&mut self.rows, &mut self.free);
        self.places.retain(|_, place| {
            let kept = rows.get_mut(*place as usize).is_some_and(|row| keep(*place, row));
            if !kept {
                free.push(*place);
            }
            kept
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_of_forgotten_rows_are_used_again() {
        let mut table = Table::new();
        let places: Vec<u32> = ["a", "b", "c"]
            .iter()
            .map(|name| table.add((*name).into(), *name))
            .collect();
        assert_eq!(places, [0, 1, 2]);
        table.retain(|_, row| *row != "b");
        assert_eq!((table.len(), table.find("b"), table.find("c")), (2, None, Some(2)));
        assert_eq!(table.add("d".into(), "d"), 1);
        assert_eq!(table.rows().copied().collect::<Vec<_>>(), ["a", "d", "c"]);
    }
}
