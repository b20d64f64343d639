//! What a stretch of the journal may have changed, found from the records alone: for when nobody remembers.
//!
//! It may say too much, never too little, and rests on three rules of the fold. An event changes the counts of no mail but
//! the one it names, except an erasure. It changes no cell of an hour before its own and before those of the events that it
//! names (a verdict is counted in the hour of its hit, and a unique count moves to a later one). First visits change by leads
//! alone, in the event's partition.

use std::collections::BTreeSet;

use types::event::Event;
use types::id::{EventId, MessageId, Slot};
use types::tally::Hour;

use crate::journal::Record;

/// Hours by which the wall clock may have been set back.
const CLOCK_HOURS: u32 = 2;

/// What is to be read from state once the stretch is at its end.
#[derive(Debug)]
pub(super) struct Touched {
    /// By slot: cells of this hour and later ones.
    cells: Vec<Option<Hour>>,
    /// Partitions whose first visits may have changed.
    pub(super) visits: BTreeSet<PartitionNumber>,
    /// Partitions of which any mail may have changed.
    pub(super) mails: BTreeSet<PartitionNumber>,
}

/// A partition's number: partitions do not sort.
pub(super) type PartitionNumber = u16;

impl Touched {
    pub(super) fn nothing() -> Self {
        Self {
            cells: vec![None; usize::from(Slot::COUNT)],
            visits: BTreeSet::new(),
            mails: BTreeSet::new(),
        }
    }

    pub(super) fn is_nothing(&self) -> bool {
        self.visits.is_empty() && self.mails.is_empty() && self.first_hour().is_none()
    }

    /// Adds all that a slot has from an hour on.
    pub(super) fn everything(&mut self, slot: Slot, from: Hour) {
        self.hour(slot, from);
        let first = u16::from(slot.number()) * Slot::PARTITIONS;
        self.visits.extend(first..first + Slot::PARTITIONS);
        self.mails.extend(first..first + Slot::PARTITIONS);
    }

    /// Adds what a record may have changed, beside the mail that it names.
    pub(super) fn record(&mut self, record: &Record) {
        let slot = Slot::of(record.partition);
        self.hour(slot, Hour::of(record.wall));
        // An event's id never runs backwards, so where the clock was set back it is later than the event's own time.
        let early = |id: EventId| Hour(Hour::of(id.time()).0.saturating_sub(CLOCK_HOURS));
        each_named(&record.event, &mut |id| self.hour(slot, early(id)));
        let partition = record.partition.number();
        match record.event {
            Event::LeadDecided(_) | Event::LeadSettled(_) => {
                self.visits.insert(partition);
            }
            Event::PersonErased(_) => {
                self.mails.insert(partition);
            }
            _ => {}
        }
    }

    /// Returns the hour from which on a slot's cells may have changed.
    pub(super) fn hour_of(&self, slot: Slot) -> Option<Hour> {
        self.cells.get(usize::from(slot.number())).copied().flatten()
    }

    /// Returns the first hour of any slot.
    pub(super) fn first_hour(&self) -> Option<Hour> {
        self.cells.iter().flatten().copied().min()
    }

    fn hour(&mut self, slot: Slot, hour: Hour) {
        if let Some(first) = self.cells.get_mut(usize::from(slot.number())) {
            *first = Some(first.map_or(hour, |first| first.min(hour)));
        }
    }
}

/// Returns the mail whose counts an event may change.
pub(super) fn mail(event: &Event) -> Option<MessageId> {
    match event {
        Event::Opened(event) => Some(event.message),
        Event::Clicked(event) => Some(event.message),
        Event::Judged(event) => Some(event.message),
        Event::Landed(event) => Some(event.message),
        Event::LeadDecided(event) => Some(event.message),
        Event::LeadSettled(event) => Some(event.message),
        Event::OrderAccepted(_)
        | Event::MessageAccepted(_)
        | Event::Decided(_)
        | Event::AttemptClaimed(_)
        | Event::AttemptEnded(_)
        | Event::CatalogueChanged(_)
        | Event::SuppressionChanged(_)
        | Event::Unsubscribed(_)
        | Event::AggregateCounted(_)
        | Event::PreferenceChanged(_)
        | Event::PersonErased(_)
        | Event::ContactChanged(_)
        | Event::EventReported(_)
        | Event::CartChanged(_)
        | Event::CartDecided(_)
        | Event::Moved(_)
        | Event::WebhookEnded(_)
        | Event::Swept(_)
        | Event::SetAside(_) => None,
    }
}

/// Tells which events another names, the mail aside: nothing is counted in the hour in which that was decided.
fn each_named(event: &Event, tell: &mut impl FnMut(EventId)) {
    match event {
        Event::Decided(event) => tell(event.cause),
        Event::Clicked(event) => event.click.into_iter().for_each(tell),
        Event::Judged(event) => event.hits.iter().map(|verdict| verdict.hit).for_each(tell),
        Event::Landed(event) => tell(event.click),
        Event::LeadDecided(event) => {
            tell(event.click);
            tell(event.landing);
        }
        Event::LeadSettled(event) => tell(event.claimed),
        Event::OrderAccepted(_)
        | Event::MessageAccepted(_)
        | Event::AttemptClaimed(_)
        | Event::AttemptEnded(_)
        | Event::CatalogueChanged(_)
        | Event::SuppressionChanged(_)
        | Event::Unsubscribed(_)
        | Event::Opened(_)
        | Event::AggregateCounted(_)
        | Event::PreferenceChanged(_)
        | Event::PersonErased(_)
        | Event::ContactChanged(_)
        | Event::EventReported(_)
        | Event::CartChanged(_)
        | Event::CartDecided(_)
        | Event::Moved(_)
        | Event::WebhookEnded(_)
        | Event::Swept(_)
        | Event::SetAside(_) => {}
    }
}
