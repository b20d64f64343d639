//! What a contact said about each channel.

use minicbor::{Decode, Encode};
use types::contact::{Channel, ChannelConsent, ContactSource};
use types::order::{Grant, Statement};
use types::time::Timestamp;

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

/// What was said last about each channel: at most one for each.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
#[cbor(transparent)]
pub(super) struct Consents(#[n(0)] Vec<ChannelSaid>);

impl Consents {
    pub(super) fn of(&self, channel: Channel) -> Option<&ChannelSaid> {
        self.0.iter().find(|said| said.channel == channel)
    }

    pub(super) fn agrees(&self, channel: Channel) -> bool {
        self.of(channel).is_some_and(|said| said.statement.granted)
    }

    /// Notes what was said about a channel, by a record of `wall`: nobody has said anything in the future.
    ///
    /// Returns when it was said if the contact agrees by it, not having agreed before.
    pub(super) fn note(
        &mut self,
        consent: ChannelConsent,
        source: ContactSource,
        wall: Timestamp,
    ) -> Option<Timestamp> {
        let mut said = ChannelSaid {
            channel: consent.channel,
            statement: consent.statement,
            source,
            asserted: consent.asserted,
        };
        said.statement.at = said.statement.at.min(wall);
        let (granted, at) = (said.statement.granted, said.statement.at);
        let known = self.0.iter_mut().find(|known| known.channel == said.channel);
        let was_granted = known.as_ref().is_some_and(|known| known.statement.granted);
        match known {
            Some(known) if !said.replaces(known) => return None,
            Some(known) => *known = said,
            None => self.0.push(said),
        }
        (granted && !was_granted).then_some(at)
    }
}

/// Returns what a consent to marketing that came with an order, a cart or a message says of mail: it is evidence, or a refusal.
pub(super) fn of_grant(grant: Option<&Grant>, placed_at: Timestamp) -> Option<ChannelConsent> {
    match grant? {
        Grant::Stated(statement) => Some(of_mail(statement.clone())),
        Grant::Bare(false) => Some(of_mail(without_evidence(false, placed_at))),
        // It is about what it came with.
        Grant::Bare(true) => None,
    }
}

/// Returns what the person's own act says of mail: it needs no evidence.
pub(super) fn of_own_act(granted: bool, at: Timestamp) -> ChannelConsent {
    of_mail(without_evidence(granted, at))
}

const fn of_mail(statement: Statement) -> ChannelConsent {
    ChannelConsent {
        channel: Channel::Email,
        statement,
        asserted: false,
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

const fn without_evidence(granted: bool, at: Timestamp) -> Statement {
    Statement {
        granted,
        at,
        text: None,
        source: None,
    }
}
