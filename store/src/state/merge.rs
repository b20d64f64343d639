//! Several sorted runs of rows as one: what a question that names no slot reads, of each slot a run.

use std::cmp::Ordering;
use std::collections::BinaryHeap;

use super::table::Read;

/// Returns the rows of all runs in their common order, the smallest `order` first; of equals, those of the earlier run.
///
/// Each run must be sorted so itself. A run is read one row ahead at most: so `take(n)` reads `n` rows, and one of each run. An error
/// comes when it is found, ahead of rows that stand before it.
pub(super) fn merge<T, K, I>(runs: impl Iterator<Item = I>, order: impl Fn(&T) -> K) -> impl Iterator<Item = Read<T>>
where
    K: Ord,
    I: Iterator<Item = Read<T>>,
{
    let mut runs: Vec<I> = runs.collect();
    let mut heads = BinaryHeap::with_capacity(runs.len());
    // Runs whose next row is not among the heads.
    let mut behind: Vec<usize> = (0..runs.len()).rev().collect();
    std::iter::from_fn(move || {
        while let Some(run) = behind.pop() {
            match runs.get_mut(run).and_then(Iterator::next) {
                Some(Ok(row)) => heads.push(Head {
                    order: order(&row),
                    run,
                    row,
                }),
                Some(Err(error)) => {
                    behind.push(run);
                    return Some(Err(error));
                }
                None => {}
            }
        }
        let head = heads.pop()?;
        behind.push(head.run);
        Some(Ok(head.row))
    })
}

/// The next row of a run. The smallest is the greatest, since a heap gives that first.
struct Head<K, T> {
    order: K,
    run: usize,
    row: T,
}

impl<K: Ord, T> Ord for Head<K, T> {
    fn cmp(&self, other: &Self) -> Ordering {
        (&other.order, other.run).cmp(&(&self.order, self.run))
    }
}

impl<K: Ord, T> PartialOrd for Head<K, T> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<K: Ord, T> PartialEq for Head<K, T> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl<K: Ord, T> Eq for Head<K, T> {}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::cmp::Reverse;

    use super::*;
    use crate::state::StateError;

    fn merged(runs: &[&[u32]]) -> Vec<u32> {
        let runs = runs.iter().map(|run| run.iter().copied().map(Ok));
        merge(runs, |row| *row).map(|row| row.expect("a row")).collect()
    }

    #[test]
    fn rows_come_in_their_common_order() {
        assert_eq!(merged(&[]), [0; 0]);
        assert_eq!(merged(&[&[], &[1, 4, 4], &[], &[2, 3, 9], &[4]]), [1, 2, 3, 4, 4, 4, 9]);
        let newest = [vec![5_u32, 1], vec![8, 2, 0]].into_iter();
        let newest = merge(newest.map(|run| run.into_iter().map(Ok)), |row| Reverse(*row));
        assert_eq!(newest.map(Result::unwrap).collect::<Vec<_>>(), [8, 5, 2, 1, 0]);
    }

    #[test]
    fn of_equals_the_earlier_run_is_first() {
        let runs = [vec![(1, 'a'), (2, 'a')], vec![(1, 'b'), (2, 'b')]];
        let rows = merge(runs.into_iter().map(|run| run.into_iter().map(Ok)), |(number, _)| {
            *number
        });
        let rows: Vec<_> = rows.map(Result::unwrap).collect();
        assert_eq!(rows, [(1, 'a'), (1, 'b'), (2, 'a'), (2, 'b')]);
    }

    #[test]
    fn no_run_is_read_further_than_one_row_ahead() {
        let read = Cell::new(0);
        let count = |row: u32| {
            read.set(read.get() + 1);
            Ok(row)
        };
        let runs = [0, 100, 200].map(|first| (first..first + 50).map(count));
        let mut rows = merge(runs.into_iter(), |row| *row);
        assert_eq!(read.get(), 0, "nothing before it is asked for");
        for row in 0..5 {
            assert_eq!(rows.next().expect("there are more").expect("a row"), row);
        }
        assert_eq!(read.get(), 5 + 2);
    }

    #[test]
    fn an_error_is_handed_on_and_the_other_rows_after_it() {
        let broken = vec![Ok(1), Err(StateError::Malformed("a row".to_owned())), Ok(3)];
        let runs = [broken, vec![Ok(2)]];
        let rows: Vec<_> = merge(runs.into_iter().map(Vec::into_iter), |row| *row)
            .map(Result::ok)
            .collect();
        assert_eq!(rows, [Some(1), None, Some(2), Some(3)]);
    }
}
