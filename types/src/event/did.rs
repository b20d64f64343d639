//! What an instance of a workflow did on one move.

use minicbor::{Decode, Encode};
use serde::Serialize;

use super::notice::text;
use super::{Refusal, Telling};
use crate::id::{EventId, MessageId, PublicId};
use crate::text::{Line, Slug};
use crate::time::Timestamp;

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

impl Did {
    /// Returns what was done, as a sentence for people.
    pub fn sentence(&self) -> String {
        match self {
            Self::Entered => "The contact entered.".to_owned(),
            Self::Reached { step } => format!("It came to step {step}."),
            Self::Sent { step, .. } => format!("Step {step} sent a mail."),
            Self::Suppressed { step, reason, refusals } => {
                let mut text = format!("Step {step} sent nothing: {}.", reason.sentence());
                for refusal in refusals {
                    text.push(' ');
                    text.push_str(refusal.sentence());
                }
                text
            }
            Self::Delayed { step, until, rules } => {
                let rules: Vec<&str> = rules.iter().map(|rule| &**rule).collect();
                format!("Step {step} was put off to {until} by {}.", rules.join(", "))
            }
            Self::Branched { step, held } => {
                let held = if *held { "held" } else { "did not hold" };
                format!("The filter of step {step} {held}.")
            }
            Self::Waited { step, ended } => {
                let ended = match ended {
                    WaitEnded::Elapsed => "its time was over",
                    WaitEnded::Engaged => "the mail was opened or clicked",
                    WaitEnded::NotEngaged => "the mail was not opened or clicked in time",
                };
                format!("The wait of step {step} ended: {ended}.")
            }
            Self::Grouped { join, leave, .. } => {
                let into = join.as_ref().map(|group| format!(" into group {group}"));
                let out = leave.as_ref().map(|group| format!(" out of group {group}"));
                let moves: Vec<String> = out.into_iter().chain(into).collect();
                format!("The contact came{}.", moves.join(" and"))
            }
            Self::Called { step, status, attempt } => match status {
                Some(status) => {
                    format!("Step {step} called the shop's page, attempt {attempt}, which answered {status}.")
                }
                None => format!("Step {step} called the shop's page, attempt {attempt}, and got no answer."),
            },
            Self::Broke { step, fault } => match step {
                Some(step) => format!("Step {step} could not be done: {fault}."),
                None => format!("It could not go on: {fault}."),
            },
        }
    }

    pub(super) fn public(&self, telling: &Telling<'_>) -> PublicDid {
        match self {
            Self::Entered => PublicDid::Entered,
            Self::Reached { step } => PublicDid::Reached { step: step.clone() },
            Self::Sent { step, message, .. } => PublicDid::Sent {
                step: step.clone(),
                message: telling.public(message.event()),
            },
            Self::Suppressed { step, reason, refusals } => PublicDid::Suppressed {
                step: step.clone(),
                reason: reason.code(),
                refusals: Refusal::codes(refusals),
            },
            Self::Delayed { step, until, rules } => PublicDid::Delayed {
                step: step.clone(),
                until: *until,
                rules: rules.iter().map(ToString::to_string).collect(),
            },
            Self::Branched { step, held } => PublicDid::Branched {
                step: step.clone(),
                held: *held,
            },
            Self::Waited { step, ended } => PublicDid::Waited {
                step: step.clone(),
                ended: *ended,
            },
            Self::Grouped { step, join, leave } => PublicDid::Grouped {
                step: step.clone(),
                join: join.clone(),
                leave: leave.clone(),
            },
            Self::Called { step, status, attempt } => PublicDid::Called {
                step: step.clone(),
                status: *status,
                attempt: *attempt,
            },
            // What went wrong is in words that may hold a person's: the API tells it.
            Self::Broke { step, .. } => PublicDid::Broke { step: step.clone() },
        }
    }
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

    /// Returns why a step's mail was not sent, for people, without a full stop.
    pub const fn sentence(self) -> &'static str {
        match self {
            Self::Refused => "the mail was refused",
            Self::NotWho => "the contact is not among those whom the workflow is for",
            Self::NoSlot => "no moment to send was left",
            Self::Late => "it came too late",
            Self::Off => "the workflow is off",
            Self::Template => "the template is gone or does not render",
        }
    }
}

/// One thing that an instance did, as the outside sees it.
#[expect(missing_docs, reason = "docs/formats/events.md tells each field")]
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "did", rename_all = "snake_case")]
pub enum PublicDid {
    Entered,
    Reached {
        step: Slug,
    },
    Sent {
        step: Slug,
        #[serde(serialize_with = "text")]
        message: PublicId,
    },
    Suppressed {
        step: Slug,
        reason: &'static str,
        #[serde(skip_serializing_if = "Vec::is_empty")]
        refusals: Vec<&'static str>,
    },
    Delayed {
        step: Slug,
        until: Timestamp,
        rules: Vec<String>,
    },
    Branched {
        step: Slug,
        held: bool,
    },
    Waited {
        step: Slug,
        ended: WaitEnded,
    },
    Grouped {
        #[serde(skip_serializing_if = "Option::is_none")]
        step: Option<Slug>,
        #[serde(skip_serializing_if = "Option::is_none")]
        join: Option<Slug>,
        #[serde(skip_serializing_if = "Option::is_none")]
        leave: Option<Slug>,
    },
    Called {
        step: Slug,
        #[serde(skip_serializing_if = "Option::is_none")]
        status: Option<u16>,
        attempt: u8,
    },
    Broke {
        #[serde(skip_serializing_if = "Option::is_none")]
        step: Option<Slug>,
    },
}
