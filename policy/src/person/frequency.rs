//! How many offers a person had lately, over all shops of the network.

use std::time::Duration;

use minicbor::{Decode, Encode};
use types::id::MessageId;
use types::time::Timestamp;

use crate::settings::FrequencyCap;

/// How long a counted mail is remembered: the longest window that settings allow.
pub(crate) const WINDOW_MAX: Duration = Duration::from_hours(31 * 24);
/// How many counted mails are remembered, the newest: the highest cap that settings allow.
pub(crate) const COUNTED_MAX: u16 = 256;

/// A mail that counts against the cap.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
struct Counted {
    #[n(0)]
    message: MessageId,
    #[n(1)]
    at: Timestamp,
}

/// The offer mails that count against the cap, oldest first.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
#[cbor(transparent)]
pub(super) struct Frequency(#[n(0)] Vec<Counted>);

impl Frequency {
    /// Returns whether one more offer mail at `now` would pass the cap, or follow the last one too soon.
    pub(super) fn is_capped(&self, cap: &FrequencyCap, now: Timestamp) -> bool {
        let since = now - cap.window;
        let recent = self.0.iter().filter(|counted| counted.at > since).count();
        let too_soon = self.0.last().is_some_and(|last| now.since(last.at) < cap.gap_min);
        recent >= usize::from(cap.mails_max) || too_soon
    }

    /// Counts a mail that was decided at `at`.
    pub(super) fn count(&mut self, message: MessageId, at: Timestamp) {
        let oldest = at - WINDOW_MAX;
        self.0.retain(|counted| counted.at >= oldest);
        self.0.push(Counted { message, at });
        let surplus = self.0.len().saturating_sub(COUNTED_MAX.into());
        self.0.drain(..surplus);
    }

    /// Forgets the counted mails that `of` tells.
    pub(super) fn forget(&mut self, of: impl Fn(MessageId) -> bool) {
        self.0.retain(|counted| !of(counted.message));
    }

    /// Gives a mail's place under the cap back.
    pub(super) fn give_back(&mut self, message: MessageId) {
        self.0.retain(|counted| counted.message != message);
    }
}
