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
            self.meters.note(measure, at, latency);
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
