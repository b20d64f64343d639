//! What every payload says of itself, so that nobody else keeps a list of events.

use minicbor::{Decode, Encode};
use serde::Serialize;

use super::notice::Telling;
use super::{AttemptEnded, Claim, ContactChanged, Decided, PreferenceChanged, SuppressionChanged, Unsubscribed};
use crate::id::{EventId, MessageId, PersonKey, ShopNumber};
use crate::order::Consent;
use crate::tally::Hour;
use crate::time::Timestamp;

/// Hours by which the wall clock may have been set back.
const CLOCK_HOURS: u32 = 2;

/// The public names of an event, as its line in the table lists them.
pub trait Named {
    /// Never empty. Several where one payload stands for several things that happen, told apart by [`Payload::name`].
    const NAMES: &'static [&'static str];
}

/// The payload of an event. Each is in a file of its own, with this beside it.
pub trait Payload: Named + Encode<()> + for<'b> Decode<'b, ()> {
    /// What the outside sees of it; [`Silent`] if nothing.
    type Public: Serialize;

    /// Whether the outside sees it at all.
    const IS_PUBLIC: bool = true;

    /// Returns the public name of what happened: one of [`Named::NAMES`].
    fn name(&self) -> &'static str {
        Self::NAMES.first().copied().unwrap_or_default()
    }

    /// Returns which mail, whose shop and which person it is about, as far as it says so itself.
    fn about(&self) -> About;

    /// Returns what happened as sentences for people: in stories, timelines and `staffetta explain`.
    fn sentence(&self) -> String;

    /// Returns what the outside sees; `None` if nothing. Never an address, a name, a network, a key of a person, nor words
    /// of others in which one could stand.
    fn public(&self, telling: &Telling<'_>) -> Option<Self::Public>;

    /// Returns whether a shop that it is not about sees it all the same, as a party: without the mail.
    fn concerns(&self, _shop: ShopNumber, _telling: &Telling<'_>) -> bool {
        false
    }

    /// Notes which of the counts that readers see it changes. A projection reads these again and no others, so saying too
    /// much costs time, and saying too little leaves a wrong count.
    fn touches(&self, _touched: &mut Touched) {}

    /// Returns what it says of what the person may be sent, its record being of `wall`.
    fn bearing(&self, _wall: Timestamp) -> Bearing<'_> {
        Bearing::Nothing
    }

    /// Returns the names that it claims.
    fn claims(&self) -> &[Claim] {
        &[]
    }

    /// Returns whose life it begins or ends: a mail's bytes are kept in the spool in between.
    fn life(&self) -> Option<Life> {
        None
    }

    /// Returns what is still to be done about it when the records that follow it were lost in a crash.
    fn duty(&self) -> Duty<'_> {
        Duty::Nothing
    }
}

/// The public form of an event that the outside does not see.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum Silent {}

/// The public form of an event whose name says all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct NoMore {}

/// What an event is about.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct About {
    /// The mail.
    pub mail: Option<MessageId>,
    /// Whose mail, order, contact or cart it is. Where it names a mail and no shop, the mail's history says whose it is.
    pub shop: Option<ShopNumber>,
    /// The person.
    pub person: Option<PersonKey>,
}

impl About {
    /// Returns whether only the mail's history says whose it is.
    pub const fn is_looked_up(&self) -> bool {
        self.shop.is_none() && self.mail.is_some()
    }

    /// Says that an event is about a mail of a shop.
    pub const fn mail(message: MessageId, shop: ShopNumber) -> Self {
        Self {
            mail: Some(message),
            shop: Some(shop),
            person: None,
        }
    }

    /// Says that an event is about a person, as a shop knows them.
    pub const fn person(shop: ShopNumber, person: PersonKey) -> Self {
        Self {
            mail: None,
            shop: Some(shop),
            person: Some(person),
        }
    }
}

/// Which counts an event changes. Those of the hour of its own record it may always change.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Touched {
    /// The counts of this mail.
    pub mail: Option<MessageId>,
    /// The counts of any mail of the event's partition.
    pub every_mail: bool,
    /// First visits of the event's partition.
    pub first_visits: bool,
    /// The earliest of the events in whose hour it is counted; `None` if none is earlier than its own.
    pub since: Option<EventId>,
}

impl Touched {
    /// Returns the first hour whose cells it may change, its record being of `wall`.
    pub fn first_hour(&self, wall: Timestamp) -> Hour {
        let own = Hour::of(wall);
        // An event's id never runs backwards, so where the clock was set back it is later than the event's own time.
        let early = |event: EventId| Hour(Hour::of(event.time()).0.saturating_sub(CLOCK_HOURS));
        self.since.map_or(own, |event| early(event).min(own))
    }

    /// Notes that cells of the hour of an earlier event, and of later hours, change.
    pub fn hour_of(&mut self, event: EventId) {
        self.since = Some(self.since.map_or(event, |since| since.min(event)));
    }
}

/// What an event says of what a person may be sent. Everything else that happens leaves that as it was.
#[derive(Clone, Copy, Debug)]
pub enum Bearing<'a> {
    /// Nothing.
    Nothing,
    /// What the person agreed to, as it came with an order, a message or a cart.
    Consent {
        /// Who reports it.
        shop: ShopNumber,
        /// What.
        consent: &'a Consent,
        /// When it was said.
        said_at: Timestamp,
    },
    /// What a shop says of its contact.
    Contact(&'a ContactChanged),
    /// A mail was decided, or refused.
    Decision(&'a Decided),
    /// An attempt ended.
    Outcome(&'a AttemptEnded),
    /// A suppression list changed.
    Suppression(&'a SuppressionChanged),
    /// The person unsubscribed.
    Unsubscription(&'a Unsubscribed),
    /// The person changed a preference.
    Preference(&'a PreferenceChanged),
    /// The person's data are erased.
    Erasure {
        /// Of one shop; `None` is of all.
        shop: Option<ShopNumber>,
    },
}

/// What an event means for a mail's life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Life {
    /// It was decided, and is to be sent.
    Begins(MessageId),
    /// Nothing more happens to it.
    Ends(MessageId),
}

/// What a start owes to an event whose consequences a crash may have cut off.
#[derive(Clone, Copy, Debug)]
pub enum Duty<'a> {
    /// Nothing: what it causes stands in the same append.
    Nothing,
    /// A decision.
    Decide,
    /// Nothing, and it is the decision on this cause.
    Decided(EventId),
    /// A suppression, if its outcome asks for one.
    Suppress(&'a AttemptEnded),
    /// Nothing, and it is such a suppression.
    Suppressed(&'a SuppressionChanged),
}
