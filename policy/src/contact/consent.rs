//! What a contact said about each channel.

use minicbor::{Decode, Encode};
use types::contact::{Channel, ChannelConsent, ContactSource};
use types::order::{Grant, Statement};
use types::time::Timestamp;

use super::ContactState;

/// What was said last about a channel, and who told us.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct ChannelSaid {
    /// About which channel.
    #[n(0)]
    pub channel: Channel,
    /// What was said, when, where, on which wording.
    #[n(1)]
    pub statement: Statement,
    /// Who told us.
    #[n(2)]
    pub source: ContactSource,
    /// Whether the shop only asserts it, without evidence.
    #[n(3)]
    #[cbor(default)]
    pub asserted: bool,
}

impl ContactState {
    /// Notes what was said about a channel, by a record of `wall`: nobody has said anything in the future.
    pub(super) fn note_consent(&mut self, consent: &ChannelConsent, source: ContactSource, wall: Timestamp) {
        let mut said = ChannelSaid {
            channel: consent.channel,
            statement: consent.statement.clone(),
            source,
            asserted: consent.asserted,
        };
        said.statement.at = said.statement.at.min(wall);
        let known = self.consents.iter_mut().find(|known| known.channel == said.channel);
        let was_granted = known.as_ref().is_some_and(|known| known.statement.granted);
        let granted = said.statement.granted;
        match known {
            Some(known) if !said.replaces(known) => return,
            Some(known) => *known = said,
            None => self.consents.push(said),
        }
        if consent.channel == Channel::Email && granted && !was_granted {
            self.subscribed_at = self.subscribed_at.max(Some(consent.statement.at.min(wall)));
        }
    }

    /// Notes a consent to marketing that came with an order, a cart or a message: evidence, or a refusal.
    pub(super) fn note_grant(&mut self, grant: Option<&Grant>, placed_at: Timestamp, wall: Timestamp) {
        let statement = match grant {
            Some(Grant::Stated(statement)) => statement.clone(),
            Some(Grant::Bare(false)) => refusal(placed_at),
            // It is about what it came with.
            Some(Grant::Bare(true)) | None => return,
        };
        if self.exists() {
            let consent = ChannelConsent {
                channel: Channel::Email,
                statement,
                asserted: false,
            };
            self.note_consent(&consent, ContactSource::Api, wall);
        }
    }

    /// Notes that the person says that unsubscribing was a mistake: an own act is evidence enough.
    pub(super) fn note_resumed(&mut self, wall: Timestamp) {
        if self.consent(Channel::Email).is_none_or(|said| said.statement.granted) {
            return;
        }
        let consent = ChannelConsent {
            channel: Channel::Email,
            statement: Statement {
                granted: true,
                ..refusal(wall)
            },
            asserted: false,
        };
        self.note_consent(&consent, ContactSource::Api, wall);
    }

    /// Notes that the person unsubscribed from this shop, or from all.
    pub(super) fn note_unsubscribed(&mut self, wall: Timestamp) {
        if self.exists() {
            let consent = ChannelConsent {
                channel: Channel::Email,
                statement: refusal(wall),
                asserted: false,
            };
            self.note_consent(&consent, ContactSource::Api, wall);
        }
    }
}

impl ChannelSaid {
    /// Returns whether this takes the place of what was said before: it is not older, and not an import's word against more than an
    /// import's.
    fn replaces(&self, known: &Self) -> bool {
        let later = self.statement.at >= known.statement.at;
        if !self.statement.granted {
            return later;
        }
        let lifts = !known.statement.granted;
        match self.source {
            ContactSource::Import => later && !lifts && known.source == ContactSource::Import,
            // A bare assertion made at the very time of a refusal does not lift it.
            ContactSource::Api | ContactSource::Workflow => later && (!lifts || self.statement.at > known.statement.at),
        }
    }
}

fn refusal(at: Timestamp) -> Statement {
    Statement {
        granted: false,
        at,
        text: None,
        source: None,
    }
}
