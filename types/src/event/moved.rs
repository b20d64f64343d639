//! A contact went on in a workflow.

use minicbor::{Decode, Encode};
use serde::Serialize;

use super::notice::{optional_text, text};
use super::payload::{About, Payload};
use super::{Did, PublicDid, Telling};
use crate::calendar::Zone;
use crate::id::{EventId, PersonKey, PublicId, ShopNumber, WorkflowNumber};
use crate::text::{Line, Slug};
use crate::time::Timestamp;

/// A contact entered a workflow, went on in it, or left it. One record holds all that one cause made it do; recovery applies it and
/// never decides again.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Moved {
    /// Whose workflow.
    #[n(0)]
    pub shop: ShopNumber,
    /// Which.
    #[n(1)]
    pub workflow: WorkflowNumber,
    /// The version with which the contact entered.
    #[n(2)]
    pub version: u32,
    /// Who.
    #[n(3)]
    pub person: PersonKey,
    /// The instance; `None` if this enters: the instance then has this record's own id.
    #[n(4)]
    pub instance: Option<EventId>,
    /// The instance's epoch from now on: timers of earlier ones are dropped when they surface.
    #[n(5)]
    pub epoch: u32,
    /// Why now.
    #[n(6)]
    pub cause: MoveCause,
    /// What the entry is about, for entries by key: an event's key, an order's or a cart's id.
    #[n(7)]
    pub key: Option<Line<128>>,
    /// What happened, in order.
    #[n(8)]
    pub did: Vec<Did>,
    /// Where the instance stands now.
    #[n(9)]
    pub place: Place,
}

/// Why an instance moved.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub enum MoveCause {
    /// An event of the contact.
    #[n(0)]
    Event(#[n(0)] EventId),
    /// A timer that was due then.
    #[n(1)]
    Timer(#[n(0)] Timestamp),
    /// The workflow was switched on, by this version of the catalogue; or it was found deleted, in this one, by who waited for that.
    #[n(2)]
    Activation(#[n(0)] u64),
    /// The zone data or the contact's zone changed: only `due` may have moved.
    #[n(3)]
    Zone,
    /// Something made it impossible to go on; `did` says what.
    #[n(4)]
    Fault,
}

/// Where an instance stands.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub enum Place {
    /// It waits.
    #[n(0)]
    Waits(#[n(0)] Waits),
    /// It is over.
    #[n(1)]
    Left(#[n(0)] Leave),
}

impl Place {
    /// Returns where an instance stands, as a sentence for people.
    pub fn sentence(&self) -> String {
        match self {
            Self::Waits(waits) => waits.sentence(),
            Self::Left(leave) => format!("It is over: {}.", leave.sentence()),
        }
    }
}

/// What an instance waits for: the instant at which it goes on, and beside it the rule that the instant was made of.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Waits {
    /// The step at which it waits, that is not done yet; `None` before the first: a start with a delay.
    #[n(0)]
    pub step: Option<Slug>,
    /// For what.
    #[n(1)]
    pub on: WaitsOn,
    /// When it goes on by itself; `None` if never.
    #[n(2)]
    pub due: Option<Timestamp>,
    /// From where the wait is counted; with the step's own wait, the sending rules and the zone it makes `due`.
    #[n(3)]
    pub base: Timestamp,
    /// The zone that it was counted in.
    #[n(4)]
    pub zone: Zone,
}

impl Waits {
    /// Returns for what an instance waits, as a sentence for people.
    pub fn sentence(&self) -> String {
        let at = self
            .step
            .as_ref()
            .map(|step| format!("at step {step} "))
            .unwrap_or_default();
        let until = self.due.map(|due| format!(", until {due}")).unwrap_or_default();
        let on = match self.on {
            WaitsOn::Start => "for its start",
            WaitsOn::Time => "for its time",
            WaitsOn::Engagement => "for an open or a click",
            WaitsOn::NoEngagement => "unless the mail is opened or clicked",
            WaitsOn::Slot => "for a moment at which mails may go",
            WaitsOn::Webhook => "for the answer of the shop's page",
            WaitsOn::On => "for the workflow to be switched on",
            WaitsOn::Verdict => "for a verdict on an open or a click",
        };
        format!("It waits {at}{on}{until}.")
    }
}

/// What an instance waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Encode, Decode, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
#[cbor(index_only)]
pub enum WaitsOn {
    /// The time of its start.
    #[n(0)]
    Start,
    /// The end of a wait.
    #[n(1)]
    Time,
    /// An open or a click; `due` is the limit.
    #[n(2)]
    Engagement,
    /// No open and no click until `due`.
    #[n(3)]
    NoEngagement,
    /// A moment at which mails may go.
    #[n(4)]
    Slot,
    /// The answer of a webhook; `due` is when it is called again.
    #[n(5)]
    Webhook,
    /// The workflow's being switched on again.
    #[n(6)]
    On,
    /// A verdict on an open or a click that is not judged yet.
    #[n(7)]
    Verdict,
}

/// Why an instance is over. Each has a stable code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Encode, Decode)]
#[cbor(index_only)]
pub enum Leave {
    /// It came to the end.
    #[n(0)]
    Finished,
    /// It reached the goal.
    #[n(1)]
    Goal,
    /// An order ended it.
    #[n(2)]
    Ordered,
    /// The exit filter held.
    #[n(3)]
    ExitFilter,
    /// The contact is not among those whom it is for any more.
    #[n(4)]
    NotWho,
    /// The contact withdrew, or never gave, its consent, or is suppressed.
    #[n(5)]
    NoConsent,
    /// The mail was opened or clicked, and the wait was for its not being.
    #[n(6)]
    Engaged,
    /// The mail was not opened or clicked in time.
    #[n(7)]
    NotEngaged,
    /// No moment to send was left.
    #[n(8)]
    NoSlot,
    /// The step came too late.
    #[n(9)]
    Late,
    /// An exit step.
    #[n(10)]
    ExitStep,
    /// The start's date or condition is gone before it came.
    #[n(11)]
    StartGone,
    /// The workflow, or the shop, was deleted.
    #[n(12)]
    Deleted,
    /// It could not go on and was set aside.
    #[n(13)]
    Broken,
}

impl Leave {
    /// Every reason, in the order of the codes.
    pub const ALL: [Self; 14] = [
        Self::Finished,
        Self::Goal,
        Self::Ordered,
        Self::ExitFilter,
        Self::NotWho,
        Self::NoConsent,
        Self::Engaged,
        Self::NotEngaged,
        Self::NoSlot,
        Self::Late,
        Self::ExitStep,
        Self::StartGone,
        Self::Deleted,
        Self::Broken,
    ];

    /// Returns the stable code.
    pub const fn code(self) -> &'static str {
        match self {
            Self::Finished => "finished",
            Self::Goal => "goal",
            Self::Ordered => "ordered",
            Self::ExitFilter => "exit_filter",
            Self::NotWho => "not_who",
            Self::NoConsent => "no_consent",
            Self::Engaged => "engaged",
            Self::NotEngaged => "not_engaged",
            Self::NoSlot => "no_slot",
            Self::Late => "late",
            Self::ExitStep => "exit_step",
            Self::StartGone => "start_gone",
            Self::Deleted => "deleted",
            Self::Broken => "broken",
        }
    }

    /// Returns the reason with this code.
    pub fn of_code(code: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|leave| leave.code() == code)
    }

    /// Returns why an instance is over, for people, without a full stop.
    pub const fn sentence(self) -> &'static str {
        match self {
            Self::Finished => "it came to the end",
            Self::Goal => "it reached the goal",
            Self::Ordered => "the contact ordered",
            Self::ExitFilter => "the exit filter held",
            Self::NotWho => "the contact is not among those whom the workflow is for any more",
            Self::NoConsent => "the contact's consent is missing or withdrawn, or it is suppressed",
            Self::Engaged => "the mail was opened or clicked",
            Self::NotEngaged => "the mail was not opened or clicked in time",
            Self::NoSlot => "no moment to send was left",
            Self::Late => "the step came too late",
            Self::ExitStep => "an exit step",
            Self::StartGone => "the start's date or condition was gone before it came",
            Self::Deleted => "the workflow or the shop was deleted",
            Self::Broken => "it could not go on and was set aside",
        }
    }
}

/// What the outside sees.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PublicMove {
    /// The workflow's id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub workflow: Option<Slug>,
    /// The version with which the contact entered.
    pub version: u32,
    /// The instance: the same in all that is told of it.
    #[serde(serialize_with = "text")]
    pub instance: PublicId,
    /// Why now: `event`, `timer`, `activation`, `zone` or `fault`.
    pub cause: &'static str,
    /// The event that did it.
    #[serde(serialize_with = "optional_text", skip_serializing_if = "Option::is_none")]
    pub event: Option<PublicId>,
    /// What happened, in order.
    pub did: Vec<PublicDid>,
    /// For what it waits now; missing if it is over.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub waits: Option<PublicWaits>,
    /// Why it is over; missing if it is not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<&'static str>,
}

/// For what an instance waits.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PublicWaits {
    /// At which step; missing before the first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub step: Option<Slug>,
    /// For what.
    pub on: WaitsOn,
    /// When it goes on by itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub due: Option<Timestamp>,
}

impl Payload for Moved {
    type Public = PublicMove;

    fn name(&self) -> &'static str {
        match &self.place {
            Place::Left(_) => "workflow.left",
            Place::Waits(_) if self.did.contains(&Did::Entered) => "workflow.entered",
            Place::Waits(_) => "workflow.moved",
        }
    }

    fn about(&self) -> About {
        About::person(self.shop, self.person)
    }

    fn sentence(&self) -> String {
        let did = self.did.iter().map(Did::sentence);
        let sentences: Vec<_> = did.chain([self.place.sentence()]).collect();
        sentences.join(" ")
    }

    fn public(&self, telling: &Telling<'_>) -> Option<PublicMove> {
        let (cause, event) = match self.cause {
            MoveCause::Event(event) => ("event", Some(telling.public(event))),
            MoveCause::Timer(_) => ("timer", None),
            MoveCause::Activation(_) => ("activation", None),
            MoveCause::Zone => ("zone", None),
            MoveCause::Fault => ("fault", None),
        };
        let (waits, reason) = match &self.place {
            Place::Waits(waits) => {
                let waits = PublicWaits {
                    step: waits.step.clone(),
                    on: waits.on,
                    due: waits.due,
                };
                (Some(waits), None)
            }
            Place::Left(leave) => (None, Some(leave.code())),
        };
        let workflow = telling.catalogue.workflow_by_number(self.workflow);
        Some(PublicMove {
            workflow: workflow.map(|workflow| workflow.id.clone()),
            version: self.version,
            instance: telling.public(self.instance.unwrap_or(telling.id.event)),
            cause,
            event,
            did: self.did.iter().map(|did| did.public(telling)).collect(),
            waits,
            reason,
        })
    }
}
