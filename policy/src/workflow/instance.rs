//! A contact's way through a workflow.

use minicbor::{Decode, Encode};
use types::event::{Did, MoveCause, Moved, Place, Waits, WaitsOn};
use types::id::{EventId, MessageId, PersonKey, ShopNumber, WorkflowNumber};
use types::text::{Line, Slug};
use types::time::Timestamp;

/// How many mails of an instance are kept: what waits are counted from.
pub const SENDS_KEPT: usize = 16;

/// A contact's way through a workflow: a row of state, the fold of its [`Moved`] records.
///
/// The stored form is a CBOR map with integer keys: readers skip keys they do not know, and a number, once used, is never
/// given to another field.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Instance {
    /// Whose workflow.
    #[n(0)]
    pub shop: ShopNumber,
    /// Which.
    #[n(1)]
    pub workflow: WorkflowNumber,
    /// The version with which the contact entered; while it waits for the time of its start, the one of its last record.
    #[n(2)]
    pub version: u32,
    /// Who.
    #[n(3)]
    pub person: PersonKey,
    /// What the entry is about.
    #[n(4)]
    pub key: Option<Line<128>>,
    /// One more with each record.
    #[n(5)]
    pub epoch: u32,
    /// When the contact entered; `None` while it waits for the time of its start.
    #[n(6)]
    pub entered_at: Option<Timestamp>,
    /// Where it stands.
    #[n(7)]
    pub place: Place,
    /// The mails that it sent, oldest first, at most [`SENDS_KEPT`].
    #[n(8)]
    #[cbor(default)]
    pub sends: Vec<StepSent>,
    /// How often its webhook was called since it came to the step where it stands.
    #[n(9)]
    #[cbor(default)]
    pub attempt: u8,
    /// How often in a row it could not go on.
    #[n(10)]
    #[cbor(default)]
    pub tries: u8,
}

/// A mail that a step sent.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct StepSent {
    /// Which step.
    #[n(0)]
    pub step: Slug,
    /// The mail.
    #[n(1)]
    pub message: MessageId,
    /// The moment that was chosen for it, if it left a little later.
    #[n(2)]
    pub moment: Option<Timestamp>,
}

impl StepSent {
    /// Returns when the mail was accepted for delivery: the moment that was chosen for it, or the time of its id.
    pub fn at(&self) -> Timestamp {
        self.moment.unwrap_or_else(|| self.message.event().time())
    }
}

impl Instance {
    /// Begins the row of an instance, by the record that made it, of `wall`.
    pub fn begin(moved: &Moved, wall: Timestamp) -> Self {
        let mut instance = Self {
            shop: moved.shop,
            workflow: moved.workflow,
            version: moved.version,
            person: moved.person,
            key: moved.key.clone(),
            epoch: 0,
            entered_at: None,
            place: moved.place.clone(),
            sends: Vec::new(),
            attempt: 0,
            tries: 0,
        };
        instance.apply(moved, wall);
        instance
    }

    /// Applies a record of this instance, of `wall`.
    pub fn apply(&mut self, moved: &Moved, wall: Timestamp) {
        self.epoch = moved.epoch;
        self.version = moved.version;
        for did in &moved.did {
            match did {
                Did::Entered => self.entered_at = Some(wall),
                Did::Reached { .. } => self.attempt = 0,
                Did::Sent {
                    step, message, moment, ..
                } => {
                    self.sends.push(StepSent {
                        step: step.clone(),
                        message: *message,
                        moment: *moment,
                    });
                    let surplus = self.sends.len().saturating_sub(SENDS_KEPT);
                    self.sends.drain(..surplus);
                }
                Did::Called { attempt, .. } => self.attempt = *attempt,
                _ => {}
            }
        }
        self.tries = match moved.cause {
            MoveCause::Fault => self.tries.saturating_add(1),
            _ => 0,
        };
        self.place = moved.place.clone();
    }

    /// Reads the stored form.
    pub fn decode(bytes: &[u8]) -> Result<Self, minicbor::decode::Error> {
        minicbor::decode(bytes)
    }

    /// Writes the stored form.
    pub fn encode(&self) -> Vec<u8> {
        minicbor::to_vec(self).expect("writing CBOR to a vector cannot fail")
    }

    /// Returns what it waits for, unless it is over.
    pub const fn waits(&self) -> Option<&Waits> {
        match &self.place {
            Place::Waits(waits) => Some(waits),
            Place::Left(_) => None,
        }
    }

    /// Returns when its timer is due, if it has one: the timer carries [`Instance::epoch`].
    pub fn due(&self) -> Option<Timestamp> {
        self.waits()?.due
    }

    /// Returns whether the contact entered by it. One that never did counts nowhere.
    pub const fn has_entered(&self) -> bool {
        self.entered_at.is_some()
    }

    /// Returns whether it waits for the time of its start.
    pub fn is_armed(&self) -> bool {
        self.waits().is_some() && !self.has_entered()
    }

    /// Returns whether a change of the zone's rules may move its timer.
    pub fn is_civil(&self) -> bool {
        self.waits().is_some_and(|waits| {
            waits.due.is_some()
                && match waits.on {
                    WaitsOn::Start | WaitsOn::Time | WaitsOn::Engagement | WaitsOn::NoEngagement | WaitsOn::Slot => {
                        true
                    }
                    WaitsOn::Webhook | WaitsOn::On | WaitsOn::Verdict => false,
                }
        })
    }

    /// Returns the record by which this instance, which has this id, does something by a version and comes to another place.
    pub(super) fn moved(&self, id: EventId, version: u32, cause: MoveCause, (did, place): (Vec<Did>, Place)) -> Moved {
        Moved {
            shop: self.shop,
            workflow: self.workflow,
            version,
            person: self.person,
            instance: Some(id),
            epoch: self.epoch.saturating_add(1),
            cause,
            key: self.key.clone(),
            did,
            place,
        }
    }
}
