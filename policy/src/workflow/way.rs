//! A way, as a machine: it goes from step to step, asks for mails, and ends with its records and calls.

use std::collections::BTreeMap;

use serde::Serialize;
use types::contact::FieldValue;
use types::event::{MoveCause, Moved, Refusal};
use types::id::{EventId, MessageId, PublicId, WorkflowNumber};
use types::order::MessageRequest;
use types::text::{HttpsUrl, Line, Slug};

use super::enter::begun;
use super::instance::Instance;
use super::walk::{Halt, Turn, Walk, Walked};
use super::world::Broke;

/// The steps that a contact takes in a workflow by one input. The caller drives it with [`Way::go`] until it is done.
///
/// A way has no effects of its own. Its caller records nothing before the way is done, so a way that breaks or is dropped leaves nothing.
pub struct Way<'a>(State<'a>);

enum State<'a> {
    /// Its records were clear at once.
    Clear(Vec<Moved>),
    /// It is among the steps.
    Walking(Box<Walking<'a>>),
    /// It is done, or broke.
    Over,
}

struct Walking<'a> {
    walk: Walk<'a>,
    turn: Turn,
    whose: Whose<'a>,
    cause: MoveCause,
    /// A record that comes after its own: it begins the instance of next year.
    next: Option<Moved>,
}

/// The instance whose record a walk makes.
pub(super) enum Whose<'a> {
    /// One that begins with the record, with the key of its entry.
    Begins(Option<Line<128>>),
    /// One that exists.
    Of(EventId, &'a Instance),
}

/// What a way wants.
#[derive(Debug)]
pub enum Want {
    /// A decision on a mail. The caller answers with [`Way::sent`].
    Send(Box<Send>),
    /// Nothing more: the caller records this.
    Done(Done),
}

/// What a way came to.
#[derive(Debug, Default)]
pub struct Done {
    /// The records to append, in their order, behind those of the allowed mails.
    pub records: Vec<Moved>,
    /// The pages to call once they are appended. Each answer comes back as [`super::Input::Answer`].
    pub calls: Vec<Webhook>,
}

/// A mail that a step asks for.
#[derive(Debug)]
pub struct Send {
    /// Whose step.
    pub workflow: WorkflowNumber,
    /// Which step.
    pub step: Slug,
    /// Which instance; `None` if it enters in the same turn.
    pub instance: Option<EventId>,
    /// What is asked for.
    pub request: MessageRequest,
}

/// The answer to a request for a mail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sent {
    /// Policy allows it. It goes out if the way ends without breaking.
    Accepted {
        /// The event that stands for the request.
        accepted: EventId,
        /// The mail.
        message: MessageId,
    },
    /// Policy refused it; every reason.
    Refused(Vec<Refusal>),
    /// The template is gone, or does not render.
    NoTemplate,
    /// Too many mails are under way: it is to be tried again.
    Busy,
}

impl<'a> Way<'a> {
    /// Returns a way that has these records and asks for nothing.
    pub(super) const fn clear(records: Vec<Moved>) -> Self {
        Self(State::Clear(records))
    }

    /// Returns a way that begins with this turn of a walk; `next` is a record that comes after its own.
    pub(super) fn walking(walk: Walk<'a>, turn: Turn, whose: Whose<'a>, cause: MoveCause, next: Option<Moved>) -> Self {
        Self(State::Walking(Box::new(Walking {
            walk,
            turn,
            whose,
            cause,
            next,
        })))
    }

    /// Goes on until it wants something. `Err` if it broke: it has no records then.
    pub fn go(&mut self) -> Result<Want, Broke> {
        match std::mem::replace(&mut self.0, State::Over) {
            State::Clear(records) => Ok(Want::Done(Done {
                records,
                calls: Vec::new(),
            })),
            State::Walking(mut walking) => {
                let turn = std::mem::replace(&mut walking.turn, Turn::Asked);
                match walking.walk.follow(turn)? {
                    Halt::Asks(send) => {
                        self.0 = State::Walking(walking);
                        Ok(Want::Send(send))
                    }
                    Halt::At(place) => Ok(Want::Done(walking.done(place))),
                }
            }
            State::Over => Ok(Want::Done(Done::default())),
        }
    }

    /// Answers the last [`Want::Send`].
    pub fn sent(&mut self, sent: Sent) {
        if let State::Walking(walking) = &mut self.0 {
            walking.turn = walking.walk.sent(sent);
        }
    }
}

impl Walking<'_> {
    fn done(self, place: types::event::Place) -> Done {
        let Self {
            walk,
            whose,
            cause,
            next,
            ..
        } = self;
        let (workflow, world) = (walk.workflow, walk.world);
        let walked = Walked {
            did: walk.log.did,
            place,
        };
        let own = match whose {
            Whose::Begins(key) => begun(workflow, world, cause, key, walked),
            Whose::Of(id, instance) => instance.moved(id, workflow.version, cause, (walked.did, walked.place)),
        };
        Done {
            records: std::iter::once(own).chain(next).collect(),
            calls: walk.log.calls,
        }
    }
}

/// A call that a step makes.
#[derive(Debug)]
pub struct Webhook {
    /// Which instance; `None` if it enters in the same turn: it then has the id of its record.
    pub instance: Option<EventId>,
    /// The instance's epoch while it waits for the answer.
    pub epoch: u32,
    /// Where to.
    pub url: HttpsUrl,
    /// What is posted.
    pub told: CallBody,
}

/// What is posted to the shop's page: JSON.
#[derive(Debug, Serialize)]
pub struct CallBody {
    /// The workflow's id.
    pub workflow: Slug,
    /// The version with which the contact entered.
    pub version: u32,
    /// Which step.
    pub step: Slug,
    /// Which attempt, from 1.
    pub attempt: u8,
    /// The contact's address.
    pub email: String,
    /// How the person is called.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// What the entry is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// The contact's fields, those that were deleted left out.
    pub fields: BTreeMap<Slug, FieldValue>,
}

impl Webhook {
    /// Returns what is posted, with the instance's id: with the step it names the call, whichever attempt it is.
    pub fn body(&self, instance: PublicId) -> String {
        #[derive(Serialize)]
        struct Body<'a> {
            instance: String,
            #[serde(flatten)]
            told: &'a CallBody,
        }
        let body = Body {
            instance: instance.to_string(),
            told: &self.told,
        };
        serde_json::to_string(&body).expect("texts and finite numbers have a JSON form")
    }
}
