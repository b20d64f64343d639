//! How contacts go through workflows.

use minicbor::{Decode, Encode};
use serde::Serialize;

use super::Refusal;
use crate::calendar::Zone;
use crate::id::{EventId, MessageId, PersonKey, ShopNumber, WorkflowNumber};
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

/// One thing that an instance did.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub enum Did {
    /// It began its way.
    #[n(0)]
    Entered,
    /// It came to a step.
    #[n(1)]
    Reached {
        /// Which.
        #[n(0)]
        step: Slug,
    },
    /// A mail was decided for it.
    #[n(2)]
    Sent {
        /// At which step.
        #[n(0)]
        step: Slug,
        /// The accepted event that stands for the step's request.
        #[n(1)]
        accepted: EventId,
        /// The mail.
        #[n(2)]
        message: MessageId,
        /// The moment that was chosen for it, if it left a little later: waits are counted from it.
        #[n(3)]
        moment: Option<Timestamp>,
    },
    /// A mail was not sent.
    #[n(3)]
    Suppressed {
        /// At which step.
        #[n(0)]
        step: Slug,
        /// Why.
        #[n(1)]
        reason: Suppressed,
        /// What policy answered, if it was asked.
        #[n(2)]
        refusals: Vec<Refusal>,
    },
    /// A step was put off.
    #[n(4)]
    Delayed {
        /// Which.
        #[n(0)]
        step: Slug,
        /// To when.
        #[n(1)]
        until: Timestamp,
        /// By which rules, in the order in which they moved it: `send_at`, `quiet`, `weekday` and so on, or `off`, `busy`.
        #[n(2)]
        rules: Vec<Line<32>>,
    },
    /// A branch was taken.
    #[n(5)]
    Branched {
        /// Which.
        #[n(0)]
        step: Slug,
        /// Whether its filter held.
        #[n(1)]
        held: bool,
    },
    /// A wait ended.
    #[n(6)]
    Waited {
        /// Which.
        #[n(0)]
        step: Slug,
        /// How.
        #[n(1)]
        ended: WaitEnded,
    },
    /// The contact's groups changed.
    #[n(7)]
    Grouped {
        /// By which step; `None` by leaving.
        #[n(0)]
        step: Option<Slug>,
        /// Into this one.
        #[n(1)]
        join: Option<Slug>,
        /// Out of this one.
        #[n(2)]
        leave: Option<Slug>,
    },
    /// The shop's page was called and answered.
    #[n(8)]
    Called {
        /// By which step.
        #[n(0)]
        step: Slug,
        /// The HTTP status; `None` if there was no answer.
        #[n(1)]
        status: Option<u16>,
        /// Which attempt, from 1.
        #[n(2)]
        attempt: u8,
    },
    /// It could not go on.
    #[n(9)]
    Broke {
        /// At which step, if at one.
        #[n(0)]
        step: Option<Slug>,
        /// What went wrong, for people.
        #[n(1)]
        fault: Line<500>,
    },
}

/// How a wait ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Encode, Decode, Serialize)]
#[serde(rename_all = "snake_case")]
#[cbor(index_only)]
pub enum WaitEnded {
    /// Its time was over.
    #[n(0)]
    Elapsed,
    /// The mail was opened or clicked.
    #[n(1)]
    Engaged,
    /// The mail was not opened or clicked within its limit.
    #[n(2)]
    NotEngaged,
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
}

/// Why a step's mail was not sent. Each has a stable code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Encode, Decode)]
#[cbor(index_only)]
pub enum Suppressed {
    /// Policy refused it; the refusals say why. Consent and suppression end the way, all else skips the step.
    #[n(0)]
    Refused,
    /// The contact is not among those whom the workflow is for.
    #[n(1)]
    NotWho,
    /// No moment to send was left.
    #[n(2)]
    NoSlot,
    /// It came too late.
    #[n(3)]
    Late,
    /// The workflow is off; it waits until it is on again.
    #[n(4)]
    Off,
    /// The template is gone, or does not render.
    #[n(5)]
    Template,
}

impl Suppressed {
    /// Every reason, in the order of the codes.
    pub const ALL: [Self; 6] = [
        Self::Refused,
        Self::NotWho,
        Self::NoSlot,
        Self::Late,
        Self::Off,
        Self::Template,
    ];

    /// Returns the stable code.
    pub const fn code(self) -> &'static str {
        match self {
            Self::Refused => "refused",
            Self::NotWho => "not_who",
            Self::NoSlot => "no_slot",
            Self::Late => "late",
            Self::Off => "off",
            Self::Template => "template",
        }
    }
}

/// The answer of a webhook, or that there was none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct WebhookEnded {
    /// Which instance called.
    #[n(0)]
    pub instance: EventId,
    /// Its epoch then: an answer to an earlier call changes nothing.
    #[n(1)]
    pub epoch: u32,
    /// The HTTP status; `None` if there was no answer.
    #[n(2)]
    pub status: Option<u16>,
}

/// All contacts of a shop in one slot were looked at for a workflow that was switched on. It stands in the slot's first partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Swept {
    /// Whose.
    #[n(0)]
    pub shop: ShopNumber,
    /// Which workflow.
    #[n(1)]
    pub workflow: WorkflowNumber,
    /// The version of the catalogue that switched it on; the greatest number once it is deleted.
    #[n(2)]
    pub activation: u64,
    /// How many entered by it.
    #[n(3)]
    pub entered: u32,
}

/// Something could not be done after several tries, and was set aside for people to look at.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct SetAside {
    /// Whose it was, if known.
    #[n(0)]
    pub shop: Option<ShopNumber>,
    /// The instance or cart whose turn it was.
    #[n(1)]
    pub object: EventId,
    /// The timer that brought it, if one did.
    #[n(2)]
    pub due: Option<Timestamp>,
    /// What went wrong, for people.
    #[n(3)]
    pub fault: Line<500>,
    /// How often it was tried.
    #[n(4)]
    pub tries: u32,
}
