//! A desk keeps the rows of one subject: nobody else reads or changes them but by asking it.
//!
//! Whatever an event changes follows from the event and from what was folded before it, never from the clock, the catalogue or
//! chance. So a replay from any earlier state makes the same rows.
//!
//! An event goes over all desks twice, in the order in which [`crate::desks::Desks`] names them. First each says what it knows of the
//! event's mail, cart or person, as they were before ([`Desk::look`]). Then each folds the event in ([`Desk::apply`]). A desk is given no
//! other: what one has to know from another stands in [`Told`], with who says it.

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

/// What keeps the rows of one subject.
pub(crate) trait Desk {
    /// Says what others have to know of the rows as they were before the event. Changes nothing.
    fn look(&mut self, _entry: &Entry<'_>, _told: &mut Told) -> Result<(), StateError> {
        Ok(())
    }

    /// Folds the event in.
    fn apply(&mut self, entry: &Entry<'_>, told: &mut Told) -> Result<(), StateError>;

    /// Ends the turn, whose last record stands at `position`: hands over what changed in it.
    fn settle(&mut self, position: u64, settled: &mut Settled);

    /// Forgets what state has, now that it has applied everything up to `applied`.
    fn forget(&mut self, _applied: u64) {}

    /// Returns how many rows it holds that state may not have.
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

/// What a turn changed, to be handed to state.
#[derive(Debug, Default)]
pub(crate) struct Settled {
    pub(crate) puts: Vec<Put>,
    /// Mails whose bytes are needed no more.
    pub(crate) released: Vec<MessageId>,
    /// Timers that were armed: the desk of timers takes them.
    pub(crate) armed: Vec<Timer>,
}

/// What desks say to each other of one event.
#[derive(Debug)]
pub(crate) struct Told {
    hour: Hour,
    /// The mail that it is about, if there is one. By the desk of mails, before and after it changed.
    pub(crate) mail: Option<OfMail>,
    /// What the accept says that is decided in it. By the desk of mails.
    pub(crate) cause: Option<Cause>,
    /// Where what of our own caused the mail is counted. By the desks of mails and carts.
    pub(crate) of_origin: Option<Dimensions>,
    /// Whether the mail that ends in it was still to be sent. By the outbox.
    pub(crate) was_queued: bool,
    /// What is left of a cart or an instance that was erased before: nothing, and so it changes nothing. By their desks.
    pub(crate) is_void: bool,
    /// The mails that the erased person got. By the desk of persons.
    pub(crate) sent: Vec<Sent>,
    /// What it erases, with its shop. By the desk of histories.
    pub(crate) erased: Vec<(EventId, ShopNumber)>,
    /// Mails that may not be sent any more. By the desks of persons and mails.
    pub(crate) withdrawn: Vec<MessageId>,
    /// The visits that it is a verdict on. By the desk of mails.
    pub(crate) hits: Vec<(HitKind, Timestamp, HitClass)>,
    /// The cart that it touches, and whether that waits to be bought then. By the desk of carts.
    pub(crate) cart: Option<(EventId, bool)>,
    /// In whose histories it stands. By all.
    pub(crate) objects: Vec<EventId>,
    /// What it makes that is about a person. By all.
    pub(crate) about: Vec<(PersonKey, ShopNumber, EventId)>,
    /// What it counts. By all.
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

/// A mail, as far as others have to know.
#[derive(Clone, Debug)]
pub(crate) struct OfMail {
    pub(crate) person: PersonKey,
    pub(crate) shop: ShopNumber,
    /// Where it is counted; `None` if it is erased, or counts nowhere.
    pub(crate) dimensions: Option<Dimensions>,
    pub(crate) origin: Option<Origin>,
}

impl Told {
    /// Begins with nothing.
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

    /// Returns what of our own caused the mail.
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
