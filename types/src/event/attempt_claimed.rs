//! An attempt to deliver began.

use minicbor::{Decode, Encode};

use super::Telling;
use super::payload::{About, Payload, Silent};
use crate::id::{Attempt, MessageId};

/// A session took a message. After a crash, a claim without an end means `in_doubt`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct AttemptClaimed {
    /// Which message.
    #[n(0)]
    pub message: MessageId,
    /// Which attempt this is.
    #[n(1)]
    pub attempt: Attempt,
}

impl Payload for AttemptClaimed {
    /// What follows it says more.
    type Public = Silent;

    const IS_PUBLIC: bool = false;

    fn about(&self) -> About {
        About {
            mail: Some(self.message),
            ..About::default()
        }
    }

    fn sentence(&self) -> String {
        format!("Attempt {} began.", self.attempt.0)
    }

    fn public(&self, _telling: &Telling<'_>) -> Option<Silent> {
        None
    }
}
