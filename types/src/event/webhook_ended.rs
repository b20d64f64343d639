//! A workflow's webhook was answered.

use minicbor::{Decode, Encode};

use super::Telling;
use super::payload::{About, Payload, Silent};
use crate::id::EventId;

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

impl Payload for WebhookEnded {
    /// What it made its instance do is an event of its own.
    type Public = Silent;

    const IS_PUBLIC: bool = false;

    fn about(&self) -> About {
        About::default()
    }

    fn sentence(&self) -> String {
        match self.status {
            Some(status) => format!("The shop's page answered {status}."),
            None => "The shop's page did not answer.".to_owned(),
        }
    }

    fn public(&self, _telling: &Telling<'_>) -> Option<Silent> {
        None
    }
}
