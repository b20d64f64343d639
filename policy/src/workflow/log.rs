//! What an instance did in one reaction, as its record tells.

use types::event::{Did, Refusal, Suppressed};
use types::text::{Line, Slug};
use types::time::Timestamp;

use super::way::Webhook;

/// What a walk did so far.
#[derive(Default)]
pub(super) struct Log {
    /// In its order.
    pub(super) did: Vec<Did>,
    /// The pages to call.
    pub(super) calls: Vec<Webhook>,
    /// Whether something was sent: what comes after it is tried alone if it breaks.
    pub(super) has_sent: bool,
}

impl Log {
    pub(super) fn push(&mut self, did: Did) {
        self.did.push(did);
    }

    /// Notes that a step was come to; returns where the log stands then.
    pub(super) fn reached(&mut self, step: &Slug) -> usize {
        self.push(Did::Reached { step: step.clone() });
        self.did.len()
    }

    /// Takes back what was done after the log stood there.
    pub(super) fn back_to(&mut self, stood: usize) {
        self.did.truncate(stood);
    }

    /// Notes that a step did not send, or waits to be switched on.
    pub(super) fn suppressed(&mut self, step: &Slug, reason: Suppressed, refusals: Vec<Refusal>) {
        self.push(Did::Suppressed {
            step: step.clone(),
            reason,
            refusals,
        });
    }

    /// Notes that a mail leaves later, by these rules.
    pub(super) fn delayed(&mut self, step: &Slug, until: Timestamp, rules: impl IntoIterator<Item = &'static str>) {
        let line = |name| Line::try_from(name).expect("a rule's name is a short word");
        self.push(Did::Delayed {
            step: step.clone(),
            until,
            rules: rules.into_iter().map(line).collect(),
        });
    }
}
