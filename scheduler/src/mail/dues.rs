//! The scan for mails that are due to be judged, and the place where it goes on.
//!
//! Due rows stand in state by time, the rows of all runners together. A scan starts where the last one ended, so that it never
//! passes the tombstones of mails that were judged before. State lags: a scan sees a row only after state has applied the turn that set
//! it. Until then the scan's place does not move beyond the earliest such row.

use std::collections::VecDeque;
use std::time::Duration;

use policy::hits::MailState;
use store::StateError;
use types::id::{MessageId, PartitionId};
use types::time::Timestamp;

use super::Mails;

/// Rows read at once.
const PAGE: usize = 1024;
/// Pages that one scan reads. They have the rows of all runners; the scan looks up only those of its own partitions.
const PAGES_MAX: usize = 16;

/// The scan's place, and what holds it there.
#[derive(Debug, Default)]
pub(crate) struct Dues {
    /// All rows before it are gone, or their deletion is on its way to state.
    cursor: Timestamp,
    /// The earliest row of each turn that state does not have yet, by the turn's position.
    unapplied: VecDeque<(u64, Timestamp)>,
    /// The earliest row of the running turn.
    earliest: Option<Timestamp>,
}

impl Dues {
    /// Notes a row that the running turn sets.
    pub(crate) fn set(&mut self, at: Timestamp) {
        self.cursor = self.cursor.min(at);
        self.earliest = Some(self.earliest.map_or(at, |earliest| earliest.min(at)));
    }

    /// Ends the turn, which stands at `position`.
    pub(crate) fn settle(&mut self, position: u64) {
        if let Some(earliest) = self.earliest.take() {
            self.unapplied.push_back((position, earliest));
        }
    }

    /// Returns where the scan starts, now that state has applied `applied`.
    pub(crate) fn start(&mut self, applied: u64) -> Timestamp {
        while self.unapplied.front().is_some_and(|(position, _)| *position <= applied) {
            self.unapplied.pop_front();
        }
        self.cursor
    }

    /// Moves the scan's place to `seen`: all rows before it that were in state when the scan started were taken.
    pub(crate) fn passed(&mut self, seen: Timestamp) {
        let unapplied = self.unapplied.iter().map(|(_, at)| *at);
        self.cursor = unapplied.chain(self.earliest).fold(seen, Timestamp::min);
    }
}

/// What is due.
#[derive(Debug, Default)]
pub(crate) struct Due {
    /// The mails, the longest due first.
    pub(crate) mails: Vec<(PartitionId, MessageId)>,
    /// When the first of them was.
    pub(crate) earliest: Option<Timestamp>,
    /// Whether the scan ended before it had seen all that are due.
    pub(crate) more: bool,
}

impl Mails {
    /// Returns the mails of these partitions that are due at `now`, up to `max`. Each is handed out once, unless it is still due
    /// when its turn is over.
    /// State has applied everything up to `applied`, read before the call, so that the scan sees all that is said to be applied.
    pub(crate) fn due(&mut self, applied: u64, now: Timestamp, max: usize) -> Result<Due, StateError> {
        let mut from = self.dues.start(applied);
        let until = now + Duration::from_millis(1);
        let mut due = Due::default();
        let mut page_max = PAGE;
        for _ in 0..PAGES_MAX {
            let mut page = self
                .store
                .state()
                .mails()
                .due(self.range.clone(), from, until, page_max)?;
            let is_last = page.len() < page_max;
            let seen = match page.last() {
                Some((last, ..)) if !is_last => *last,
                _ => until,
            };
            // More rows may stand at the moment at which the page ends: the next page has them all.
            page.retain(|(at, ..)| *at < seen);
            for (at, partition, message) in page {
                if due.mails.len() >= max {
                    due.more = true;
                    self.dues.passed(at);
                    return Ok(due);
                }
                if self.is_due(now, partition, message)? {
                    due.earliest.get_or_insert(at);
                    due.mails.push((partition, message));
                }
            }
            if is_last {
                self.dues.passed(until);
                return Ok(due);
            }
            // A page of one moment alone is read again, larger.
            if seen == from {
                page_max *= 2;
            }
            from = seen;
        }
        due.more = true;
        self.dues.passed(from);
        Ok(due)
    }

    /// Returns whether a row of state is of these partitions and still valid: its deletion may be on its way to state.
    fn is_due(&mut self, now: Timestamp, partition: PartitionId, message: MessageId) -> Result<bool, StateError> {
        if !self.range.contains(&partition.number()) {
            return Ok(false);
        }
        Ok(self
            .get(partition, message)?
            .and_then(MailState::due)
            .is_some_and(|due| due <= now))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: u64) -> Timestamp {
        Timestamp::from_millis(second * 1000)
    }

    #[test]
    fn the_scan_waits_for_rows_that_state_does_not_have() {
        let mut dues = Dues::default();
        dues.set(at(50));
        dues.settle(7);
        dues.set(at(90));
        dues.settle(9);
        assert_eq!(dues.start(6), at(0));
        dues.passed(at(100));
        assert_eq!(dues.start(7), at(50));
        dues.passed(at(100));
        assert_eq!(dues.start(9), at(90));
        dues.passed(at(100));
        assert_eq!(dues.start(9), at(100));
    }

    #[test]
    fn a_row_that_is_set_in_the_past_takes_the_scan_back() {
        let mut dues = Dues::default();
        dues.start(0);
        dues.passed(at(100));
        dues.set(at(30));
        dues.passed(at(110));
        assert_eq!(dues.start(0), at(30));
        dues.settle(5);
        assert_eq!(dues.start(5), at(30));
    }
}
