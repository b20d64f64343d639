//! What the engine may do beside recording.

use std::collections::BTreeMap;

use serde::Serialize;
use types::contact::FieldValue;
use types::event::Refusal;
use types::id::{EventId, MessageId, PublicId, WorkflowNumber};
use types::order::MessageRequest;
use types::text::{HttpsUrl, Slug};

/// What the engine may do beside recording. What it asks for is recorded in the same append as the instance's own record.
pub trait Hands {
    /// Decides on a mail and, if policy lets it go, records the request and the decision.
    fn send(&mut self, send: Send<'_>) -> Sent;

    /// Calls a page of the shop, once the records are made. The answer comes back as [`super::Input::Answer`].
    fn call(&mut self, webhook: Webhook<'_>);
}

/// A mail that a step asks for.
#[derive(Debug)]
pub struct Send<'a> {
    /// Whose step.
    pub workflow: WorkflowNumber,
    /// Which step.
    pub step: &'a Slug,
    /// Which instance; `None` if it enters in the same turn.
    pub instance: Option<EventId>,
    /// What is asked for.
    pub request: MessageRequest,
}

/// What became of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sent {
    /// It goes out.
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
    /// Too many mails are under way: nothing was recorded, and it is to be tried again.
    Busy,
}

/// A call that a step makes.
#[derive(Debug)]
pub struct Webhook<'a> {
    /// Which instance; `None` if it enters in the same turn: it then has the id of its record.
    pub instance: Option<EventId>,
    /// The instance's epoch while it waits for the answer.
    pub epoch: u32,
    /// Where to.
    pub url: &'a HttpsUrl,
    /// What is told.
    pub told: Told<'a>,
}

/// What the shop's page is told: JSON.
#[derive(Debug, Serialize)]
pub struct Told<'a> {
    /// The workflow's id.
    pub workflow: &'a Slug,
    /// The version with which the contact entered.
    pub version: u32,
    /// Which step.
    pub step: &'a Slug,
    /// Which attempt, from 1.
    pub attempt: u8,
    /// The contact's address.
    pub email: &'a str,
    /// How the person is called.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<&'a str>,
    /// What the entry is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<&'a str>,
    /// The contact's fields, those that were deleted left out.
    pub fields: BTreeMap<&'a Slug, &'a FieldValue>,
}

impl Webhook<'_> {
    /// Returns what is posted, with the instance's id: with the step it names the call, whichever attempt it is.
    pub fn body(&self, instance: PublicId) -> String {
        #[derive(Serialize)]
        struct Body<'a> {
            instance: String,
            #[serde(flatten)]
            told: &'a Told<'a>,
        }
        let body = Body {
            instance: instance.to_string(),
            told: &self.told,
        };
        serde_json::to_string(&body).expect("texts and finite numbers have a JSON form")
    }
}
