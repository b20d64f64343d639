//! A desk keeps the rows of one subject. Only the desk changes them. Deciders read a row through its desk, because state may be behind; only
//! scans for keys (sweeps, the start) read state itself.
//!
//! What an event changes follows from the event and from the events folded before it, never from the clock, the catalogue or chance. So a
//! replay from any earlier state makes the same rows.
//!
//! # Two passes
//!
//! An event goes over all desks twice, in the order of [`crate::desks::Desks`]:
//!
//! 1. [`Desk::look`]: each desk writes into [`Told`] what other desks need to know of its rows as they were before the event.
//! 2. [`Desk::apply`]: each desk folds the event into its own rows. It may write more facts, for the desks behind it.
//!
//! No desk calls another. A fact that is written in the first pass is there for every desk in the second. A fact that is written in the
//! second pass is there for the desks behind its writer, so the order of the desks matters.
//!
//! Example: an attempt ends. In the first pass the outbox writes that the mail was still queued. In the second, the desk of mails stands
//! before the outbox, reads this fact and counts the end. Then the outbox removes its row. A second report of the same end finds no row:
//! it is not counted again.

use bytes::Bytes;
use policy::hits::MailState;
use policy::person::Sent;
use store::StateError;
use store::state::{Put, Timer};
use types::event::{Event, HitClass, HitKind, Origin};
use types::id::{CampaignNumber, EventId, MessageId, PartitionId, PersonKey, ShopNumber};
use types::tally::{Dimensions, Hour, Measure};
use types::time::Timestamp;

use crate::mail::Cause;

/// Keeps the rows of one subject, those in memory that state does not have yet.
pub(crate) trait Desk {
    /// Writes what other desks need to know of the rows as they were before the event. Changes no row.
    fn look(&mut self, _entry: &Entry<'_>, _told: &mut Told) -> Result<(), StateError> {
        Ok(())
    }

    /// Folds the event into the rows.
    fn apply(&mut self, entry: &Entry<'_>, told: &mut Told) -> Result<(), StateError>;

    /// Ends the turn, whose last record stands at `position`: hands over each row that changed in it.
    fn settle(&mut self, position: u64, settled: &mut Settled);

    /// Forgets the rows that state has, now that it has applied everything up to `applied`.
    fn forget(&mut self, _applied: u64) {}

    /// Returns how many rows it has in memory, for the metric of rows that state does not have.
    fn held(&self) -> usize {
        0
    }
}

/// An event with where and when it stands in the journal.
#[derive(Clone, Debug)]
pub(crate) struct Entry<'a> {
    pub(crate) id: EventId,
    pub(crate) partition: PartitionId,
    pub(crate) wall: Timestamp,
    pub(crate) event: &'a Event,
    /// The event as the journal encodes it.
    pub(crate) payload: Bytes,
}

/// What a turn changed, for state to apply.
#[derive(Debug, Default)]
pub(crate) struct Settled {
    pub(crate) puts: Vec<Put>,
    /// Mails whose bytes in the spool are needed no more.
    pub(crate) released: Vec<MessageId>,
    /// Timers that were armed. The desk of timers is settled last and takes them.
    pub(crate) armed: Vec<Timer>,
}

/// The facts about one event that desks write for each other. Each field names the desks that write it and the desks that read it.
#[derive(Debug)]
pub(crate) struct Told {
    hour: Hour,
    /// The mail that the event is about. Mails write it, as it was and again as it changed; persons, leads and contacts read it.
    pub(crate) mail: Option<OfMail>,
    /// The accept on which the event decides. Mails write it; mails, and persons and contacts by [`Told::is_counted`], read it.
    pub(crate) cause: Option<Cause>,
    /// The cell of the workflow step or cart that caused the mail. Mails and carts write it; [`Told::count_mail`] reads it.
    pub(crate) of_origin: Option<Dimensions>,
    /// Whether the mail was still to be sent when the event ended it. The outbox writes it; mails read it.
    pub(crate) was_queued: bool,
    /// Whether the event's cart or instance was erased before: the event then changes nothing. Carts and instances write it; they, persons and
    /// contacts read it.
    pub(crate) is_void: bool,
    /// The mails that the erased person got. Persons write it; histories read it.
    pub(crate) sent: Vec<Sent>,
    /// The objects that the event erases, with their shops. Histories write it; mails, carts, instances and histories read it.
    pub(crate) erased: Vec<(EventId, ShopNumber)>,
    /// Mails that may not be sent any more. Persons and mails write it; the outbox takes it.
    pub(crate) withdrawn: Vec<MessageId>,
    /// The opens and clicks that the event judges. Mails write it; contacts read it.
    pub(crate) hits: Vec<(HitKind, Timestamp, HitClass)>,
    /// The cart that the event touches, and whether the cart waits to be bought afterwards. Carts write it; contacts read it.
    pub(crate) cart: Option<(EventId, bool)>,
    /// The objects in whose histories the event stands. Mails, carts, instances and contacts write it; histories read it.
    pub(crate) objects: Vec<EventId>,
    /// The objects that the event makes, with the person whom each is about. Mails, carts, instances and contacts write it; histories read it.
    pub(crate) about: Vec<(PersonKey, ShopNumber, EventId)>,
    /// What the event counts. Persons, mails, leads, carts and instances write it; tallies take it.
    pub(crate) counts: Vec<Count>,
}

/// A change of one cell.
#[derive(Debug)]
pub(crate) struct Count {
    pub(crate) dimensions: Dimensions,
    pub(crate) hour: Hour,
    pub(crate) measure: Measure,
    pub(crate) by: i64,
}

/// A mail, as far as other desks need to know it.
#[derive(Clone, Debug)]
pub(crate) struct OfMail {
    pub(crate) person: PersonKey,
    pub(crate) shop: ShopNumber,
    /// The cell in which it is counted; `None` if it is erased, or counts nowhere.
    pub(crate) dimensions: Option<Dimensions>,
    pub(crate) origin: Option<Origin>,
}

impl Told {
    /// Begins without facts.
    pub(crate) fn of(entry: &Entry<'_>) -> Self {
        Self {
            hour: Hour::of(entry.wall),
            mail: None,
            cause: None,
            of_origin: None,
            was_queued: false,
            is_void: false,
            sent: Vec::new(),
            erased: Vec::new(),
            withdrawn: Vec::new(),
            hits: Vec::new(),
            cart: None,
            objects: Vec::new(),
            about: Vec::new(),
            counts: Vec::new(),
        }
    }

    /// Returns whether the decided mail counts anywhere, as one to the person: copies and tests of reminders go to the shop.
    pub(crate) fn is_counted(&self) -> bool {
        self.cause.as_ref().is_none_or(Cause::is_counted)
    }

    /// Returns the workflow step or cart that caused the mail; `None` if a shop's request did.
    pub(crate) fn origin(&self) -> Option<&Origin> {
        let of_mail = self.mail.as_ref().and_then(|mail| mail.origin.as_ref());
        of_mail.or_else(|| self.cause.as_ref()?.origin())
    }

    /// Counts something in the hour of the record.
    pub(crate) fn count(&mut self, dimensions: Dimensions, measure: Measure, by: i64) {
        self.count_at(self.hour, dimensions, measure, by);
    }

    /// Counts something in an hour.
    pub(crate) fn count_at(&mut self, hour: Hour, dimensions: Dimensions, measure: Measure, by: i64) {
        self.counts.push(Count {
            dimensions,
            hour,
            measure,
            by,
        });
    }

    /// Counts something of the mail, where it counts, in the hour of the record.
    pub(crate) fn count_mail(&mut self, measure: Measure) {
        self.count_mail_at(self.hour, measure, 1);
    }

    /// Counts something of the mail, where it counts, in an hour.
    pub(crate) fn count_mail_at(&mut self, hour: Hour, measure: Measure, by: i64) {
        let Some(dimensions) = self.mail.as_ref().and_then(|mail| mail.dimensions.clone()) else {
            return;
        };
        if let Some(origin) = self.of_origin.clone() {
            self.count_at(hour, origin, measure, by);
        }
        self.count_at(hour, dimensions, measure, by);
    }

    /// Counts something of the mail and of one offer in it, in the hour of the record.
    pub(crate) fn count_offer(&mut self, publisher: ShopNumber, campaign: CampaignNumber, measure: Measure) {
        self.count_mail(measure);
        self.count(Dimensions::Offer { campaign, publisher }, measure, 1);
    }
}

impl OfMail {
    pub(crate) fn of(mail: &MailState) -> Self {
        let dimensions = || {
            Some(Dimensions::Mails {
                shop: mail.shop(),
                stream: mail.stream()?,
                provider: mail.provider()?,
                template: mail.template().cloned(),
            })
        };
        Self {
            person: *mail.person(),
            shop: mail.shop(),
            dimensions: counts(mail.origin()).then(dimensions).flatten(),
            origin: mail.origin().cloned(),
        }
    }
}

/// Returns whether a mail of this origin counts anywhere: copies and tests of reminders do not.
pub(crate) fn counts(origin: Option<&Origin>) -> bool {
    !origin.is_some_and(Origin::is_for_shop)
}
