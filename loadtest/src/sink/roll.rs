//! Which mails came, where nobody says which were to come: a sink that stands alone.

use serde::Serialize;

use crate::ledger::{Kind, Tag, Taking};

/// The highest number that is kept; 16 MiB for each kind at most.
const NUMBER_MAX: u32 = (1 << 27) - 1;

/// A bit for each number of each kind, as far as mails came.
#[derive(Debug, Default)]
pub(super) struct Roll {
    kinds: [Column; Kind::ALL.len()],
}

#[derive(Debug, Default)]
struct Column {
    bits: Vec<u64>,
    taken: u64,
    copies: u64,
    end: u32,
}

/// What came of one kind.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Came {
    /// Whose tags begin with this letter.
    pub(crate) letter: char,
    /// Different mails.
    pub(crate) taken: u64,
    /// Mails that came before.
    pub(crate) copies: u64,
    /// Numbers below the highest one that did not come: lost, if every number was sent.
    pub(crate) gaps: u64,
    /// The first of them.
    pub(crate) first_gaps: Vec<u32>,
}

impl Roll {
    /// Notes that a mail came.
    pub(super) fn take(&mut self, tag: Tag) -> Taking {
        let kind = Kind::ALL.iter().position(|kind| *kind == tag.kind);
        let column = kind.and_then(|kind| self.kinds.get_mut(kind));
        let Some(column) = column.filter(|_| tag.number <= NUMBER_MAX) else {
            return Taking::Stranger;
        };
        let word = usize::try_from(tag.number / 64).unwrap_or(usize::MAX);
        if word >= column.bits.len() {
            column.bits.resize(word + 1, 0);
        }
        let bit = 1_u64 << (tag.number % 64);
        let Some(word) = column.bits.get_mut(word) else {
            return Taking::Stranger;
        };
        if *word & bit > 0 {
            column.copies += 1;
            return Taking::Again;
        }
        *word |= bit;
        column.taken += 1;
        column.end = column.end.max(tag.number + 1);
        Taking::First(std::time::Duration::ZERO)
    }

    /// Returns what came of each kind of which anything did.
    pub(super) fn came(&self) -> Vec<Came> {
        let kinds = Kind::ALL.into_iter().zip(&self.kinds);
        kinds
            .filter(|(_, column)| column.taken > 0)
            .map(|(kind, column)| Came {
                letter: kind.letter(),
                taken: column.taken,
                copies: column.copies,
                gaps: u64::from(column.end) - column.taken,
                first_gaps: (0..column.end).filter(|number| !column.has(*number)).take(20).collect(),
            })
            .collect()
    }
}

impl Column {
    fn has(&self, number: u32) -> bool {
        let word = usize::try_from(number / 64).ok().and_then(|word| self.bits.get(word));
        word.is_some_and(|word| word & (1 << (number % 64)) > 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn copies_and_gaps_are_found_without_being_told_what_was_to_come() {
        let mut roll = Roll::default();
        let mut take = |number| {
            roll.take(Tag {
                kind: Kind::Message,
                number,
            })
        };
        assert!(matches!(take(0), Taking::First(_)));
        assert!(matches!(take(200), Taking::First(_)));
        assert_eq!(take(200), Taking::Again);
        assert_eq!(take(u32::MAX), Taking::Stranger);
        let came = roll.came();
        assert_eq!(came.len(), 1);
        assert_eq!(
            (came[0].letter, came[0].taken, came[0].copies, came[0].gaps),
            ('m', 2, 1, 199)
        );
        assert_eq!(came[0].first_gaps, (1..=20).collect::<Vec<_>>());
    }
}
