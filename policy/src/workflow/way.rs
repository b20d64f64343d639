//! A way under way: from step to step, as a machine that says what it wants and is given the answer.

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

/// What a contact does in a workflow by one thing that happened: asked with [`Way::go`] until it is done.
///
/// It is a value like others. Nothing that it wanted has happened before it is done, so one that breaks, or is dropped, has done nothing.
pub struct Way<'a>(State<'a>);

enum State<'a> {
    /// It was clear at once.
    Clear(Vec<Moved>),
    /// It goes from step to step.
    Walking(Box<Walking<'a>>),
    /// It said all.
    Over,
}

struct Walking<'a> {
    walk: Walk<'a>,
    turn: Turn,
    whose: Whose<'a>,
    cause: MoveCause,
    /// A record that comes after its own: the instance of next year.
    next: Option<Moved>,
}

/// Whose record a walk makes.
pub(super) enum Whose<'a> {
    /// One that begins with it, about this.
    Begins(Option<Line<128>>),
    /// One that there is.
    Of(EventId, &'a Instance),
}

/// What a way wants.
#[derive(Debug)]
pub enum Want {
    /// A decision on a mail; answered with [`Way::sent`].
    Send(Box<Send>),
    /// Nothing more.
    Done(Done),
}

/// What a way came to.
#[derive(Debug, Default)]
pub struct Done {
    /// The records to append, in their order: behind those of the mails that it was allowed.
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

/// What became of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sent {
    /// It goes out, if the way comes to its end.
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
    /// Returns one that makes these records and wants nothing.
    pub(super) const fn clear(records: Vec<Moved>) -> Self {
        Self(State::Clear(records))
    }

    /// Returns one that goes on with a turn; `next` is a record that comes after its own.
    pub(super) fn walking(walk: Walk<'a>, turn: Turn, whose: Whose<'a>, cause: MoveCause, next: Option<Moved>) -> Self {
        Self(State::Walking(Box::new(Walking {
            walk,
            turn,
            whose,
            cause,
            next,
        })))
    }

    /// Goes on, until it wants something.
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

    /// Answers what it wanted to send.
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
    /// What is told.
    pub told: Told,
}

/// What the shop's page is told: JSON.
#[derive(Debug, Serialize)]
pub struct Told {
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
            told: &'a Told,
        }
        let body = Body {
            instance: instance.to_string(),
            told: &self.told,
        };
        serde_json::to_string(&body).expect("texts and finite numbers have a JSON form")
    }
}
