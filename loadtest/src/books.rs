//! What the generator and the sink write down together.

use std::sync::Arc;

use crate::ledger::{Kind, Ledger, Tag, Taking};
use crate::meter::{Measure, Meters};

/// A run's ledger of mails and its latencies; clones share them.
#[derive(Clone, Debug)]
pub(crate) struct Books {
    pub(crate) ledger: Arc<Ledger>,
    pub(crate) meters: Arc<Meters>,
}

impl Books {
    /// Empty books for so many mails of each kind, in the order of [`Kind::ALL`]; what is measured before `started` is left out.
    pub(crate) fn new(counts: [u32; Kind::ALL.len()], started: std::time::Instant) -> Self {
        let books = Self::waiting(counts);
        books.meters.begin(started);
        books
    }

    /// The same, of a run that has not begun: nothing is measured until its meters are told to begin.
    pub(crate) fn waiting(counts: [u32; Kind::ALL.len()]) -> Self {
        Self {
            ledger: Arc::new(Ledger::new(counts)),
            meters: Arc::default(),
        }
    }

    /// Notes that a receiver answered a mail with 250 at `at`: in the ledger, and, if it is the first of its tag, how long it took.
    pub(crate) fn take(&self, tag: Tag, at: std::time::Instant) -> Taking {
        let taking = self.ledger.take(tag, at);
        if let (Taking::First(latency), Some(measure)) = (taking, delivered(tag.kind)) {
            // What was due in the warm-up is no figure, even if it comes later; as with requests.
            let since = self
                .meters
                .started()
                .map(|started| at.saturating_duration_since(started));
            if since.is_some_and(|since| latency <= since) {
                self.meters.note(measure, at, latency);
            }
        }
        taking
    }
}

/// Returns what a mail's arrival is a measure of. None: mails before the run are not measured.
const fn delivered(kind: Kind) -> Option<Measure> {
    match kind {
        Kind::Order => Some(Measure::OrderDelivered),
        Kind::Message => Some(Measure::MessageDelivered),
        Kind::Timer => Some(Measure::TimerFired),
        Kind::Prepared => None,
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;

    #[test]
    fn a_mail_due_in_the_warm_up_is_no_figure_whenever_it_comes() {
        let began = Instant::now();
        let started = began + Duration::from_secs(5);
        let books = Books::new([2, 0, 0, 0], started);
        let tag = |number| Tag {
            kind: Kind::Order,
            number,
        };
        books.ledger.ask(tag(0), began + Duration::from_secs(4));
        books.ledger.ask(tag(1), started);
        for number in 0..2 {
            books.take(tag(number), started + Duration::from_secs(3));
        }
        let read = books.meters.read(Measure::OrderDelivered);
        assert_eq!(read.micros.len(), 1);
        assert!(
            (2_990_000..=3_010_000).contains(&read.micros.max()),
            "{}",
            read.micros.max()
        );
        assert_eq!(books.ledger.account(Kind::Order).taken, 2);
    }
}
