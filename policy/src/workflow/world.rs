//! What the engine reads, and its inputs.

use std::cell::RefCell;
use std::collections::HashMap;

use types::calendar::Zone;
use types::catalogue::Catalogue;
use types::event::{Event, HitClass, HitKind, WebhookEnded};
use types::id::{EventId, MessageId, PersonKey};
use types::text::{Line, Slug};
use types::time::Timestamp;

use crate::calendar::ResolvedZone;
use crate::contact::ContactState;
use crate::filter::Steps;
use crate::hits::MailState;
use crate::person::PersonState;

/// What is known when an instance enters or goes on.
#[derive(Clone, Copy)]
pub struct World<'a> {
    /// The wall time of the records that are made.
    pub now: Timestamp,
    /// The catalogue in force.
    pub catalogue: &'a Catalogue,
    /// Who it is about.
    pub key: PersonKey,
    /// The person, as decisions on mails know it.
    pub person: &'a PersonState,
    /// The contact of the workflow's shop, what happened already folded in.
    pub contact: &'a ContactState,
    /// Zones that were resolved before.
    pub zones: &'a Zones,
    /// What became of the mails that instances sent.
    pub mails: &'a dyn Mails,
    /// What filters may still cost: of what happened, all of it that its shop's workflows ask.
    pub steps: &'a Steps,
}

/// What became of mails.
pub trait Mails {
    /// Returns what was done with a mail so far; nothing, for one that is not known any more.
    fn engagement(&self, message: MessageId) -> Engagement;
}

/// What was done with a mail so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Engagement {
    /// When a person first opened it or followed a link in it, as judged, be it for the time being.
    pub human: Option<Timestamp>,
    /// When a machine first did.
    pub machine: Option<Timestamp>,
    /// Whether there are opens or clicks that are not judged yet.
    pub unjudged: bool,
}

impl Engagement {
    /// Reads it from the mail's row.
    pub fn of(mail: &MailState) -> Self {
        let mut engagement = Self::default();
        for (hit, given) in mail.hits() {
            let first = match given {
                None => {
                    engagement.unjudged = true;
                    continue;
                }
                Some((_, class)) if class.is_qualified() => &mut engagement.human,
                Some((_, class)) if class.is_machine() => &mut engagement.machine,
                Some(_) => continue,
            };
            *first = Some(first.map_or(hit.at, |known| known.min(hit.at)));
        }
        engagement
    }
}

/// Zones with their rules parsed, each once. For one thread.
#[derive(Debug, Default)]
pub struct Zones(RefCell<HashMap<Zone, ResolvedZone>>);

impl Zones {
    /// Returns a zone with its rules.
    pub fn resolved(&self, zone: Zone) -> ResolvedZone {
        let mut known = self.0.borrow_mut();
        known.entry(zone).or_insert_with(|| ResolvedZone::of(zone)).clone()
    }
}

/// What may bring a contact into a workflow, or end its way through one.
#[derive(Clone, Copy)]
pub enum Trigger<'a> {
    /// Something happened to the contact.
    Happened(Happened<'a>),
    /// The workflow was switched on, and takes in who is there already.
    Activation {
        /// The version of the catalogue that switched it on.
        version: u64,
    },
}

/// Something that happened to a contact.
#[derive(Clone, Copy)]
pub struct Happened<'a> {
    /// The record that says so.
    pub id: EventId,
    /// Its wall time.
    pub wall: Timestamp,
    /// The contact as it was before, changed by this or not; `None` if there was none.
    pub before: Option<&'a ContactState>,
    /// What it was.
    pub what: What<'a>,
}

/// What happened to a contact. What it changed about the contact is told by [`Happened::before`].
#[derive(Clone, Copy)]
pub enum What<'a> {
    /// An event of this person at this shop, whichever: orders, reported events, changes, withdrawals.
    Event(&'a Event),
    /// Opens and clicks of mails of this shop were judged: those whose verdict is new or has changed.
    Hits(&'a [MailHit]),
    /// Something happened to a cart.
    Cart {
        /// The shop's own id of it.
        id: &'a Line<128>,
        /// What.
        turn: CartTurn,
    },
}

/// What happened to a cart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CartTurn {
    /// It was touched, at this time, and is open.
    Touched(Timestamp),
    /// It was ordered or deleted, or is another person's.
    Closed,
}

/// An open or a click that was judged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MailHit {
    /// Which mail.
    pub message: MessageId,
    /// The template that it was made with.
    pub template: Option<Slug>,
    /// An open or a click.
    pub kind: HitKind,
    /// When it was made.
    pub at: Timestamp,
    /// Who or what made it.
    pub class: HitClass,
}

/// What makes an instance go on.
#[derive(Clone, Copy)]
pub enum Input<'a> {
    /// Something happened to its contact.
    Happened(Happened<'a>),
    /// Its timer surfaced: the one of its epoch.
    Timer {
        /// When it was due.
        due: Timestamp,
    },
    /// Its webhook was answered, or not.
    Answer {
        /// The record that says so.
        id: EventId,
        /// The answer.
        ended: &'a WebhookEnded,
    },
    /// Its workflow was switched on again.
    On {
        /// The version of the catalogue that did it.
        version: u64,
    },
}

/// Why an instance could not go on, or nobody could enter.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{fault}")]
pub struct Broke {
    /// At which step, if at one.
    pub step: Option<Slug>,
    /// What went wrong, for people.
    pub fault: Line<500>,
}

impl Broke {
    /// Tells what went wrong; what is too long, or no line, is cut.
    pub fn at(step: Option<&Slug>, fault: &str) -> Self {
        let printable = fault
            .chars()
            .filter(|c| !c.is_control() && !matches!(c, '\u{2028}' | '\u{2029}'));
        let line: String = printable.take(500).collect();
        Self {
            step: step.cloned(),
            fault: Line::try_from(line).expect("no control character, at most 500 characters"),
        }
    }
}
