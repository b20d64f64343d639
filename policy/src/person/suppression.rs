//! The suppression lists a person is on: the network's and each shop's, for one stream or both.

use minicbor::{Decode, Encode};
use types::event::{AttemptEnded, FailureClass, Outcome, SuppressionCause, SuppressionChanged};
use types::id::{PersonKey, ShopNumber};
use types::order::Stream;
use types::time::Timestamp;

use super::Said;

/// One entry of a suppression list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Suppression {
    /// Whose list; `None` is the network's.
    #[n(0)]
    pub shop: Option<ShopNumber>,
    /// On which stream; `None` is both.
    #[n(1)]
    pub stream: Option<Stream>,
    /// Why.
    #[n(2)]
    pub cause: SuppressionCause,
    /// Since when.
    #[n(3)]
    pub at: Timestamp,
}

impl Suppression {
    fn covers(&self, shop: ShopNumber, stream: Stream) -> bool {
        self.shop.is_none_or(|own| own == shop) && self.stream.is_none_or(|own| own == stream)
    }

    /// Returns whether later consent lifts the entry: only an unsubscription, and only by a statement with evidence.
    fn lifted_by(&self, evidence: &Said) -> bool {
        self.is_own_act() && evidence.is_evidence_after(Some(self.at))
    }

    /// Returns whether the person put themselves on the list, and so may take themselves off.
    fn is_own_act(&self) -> bool {
        match self.cause {
            SuppressionCause::Unsubscribed => true,
            SuppressionCause::HardBounce | SuppressionCause::Complaint | SuppressionCause::Manual => false,
        }
    }
}

/// Returns the entry that a mail's outcome puts on the network's list: a mailbox that does not exist gets no more mail.
pub fn after_outcome(person: PersonKey, ended: &AttemptEnded) -> Option<SuppressionChanged> {
    match ended.outcome {
        Outcome::Failed {
            class: FailureClass::BadMailbox,
        } => Some(SuppressionChanged {
            person,
            shop: None,
            stream: None,
            cause: Some(SuppressionCause::HardBounce),
        }),
        _ => None,
    }
}

/// The entries with the person on them, in the order they were made.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
#[cbor(transparent)]
pub(super) struct Suppressions(#[n(0)] Vec<Suppression>);

impl Suppressions {
    pub(super) fn as_slice(&self) -> &[Suppression] {
        &self.0
    }

    /// Returns the entries that stand in the way of a shop's mail on a stream, given the consent that came with it, and when the
    /// person last took back having unsubscribed from that shop.
    pub(super) fn standing<'a>(
        &'a self,
        shop: ShopNumber,
        stream: Stream,
        evidence: Option<&'a Said>,
        resumed_at: Option<Timestamp>,
    ) -> impl Iterator<Item = &'a Suppression> {
        let resumed = move |entry: &Suppression| entry.is_own_act() && resumed_at > Some(entry.at);
        let covering = self.0.iter().filter(move |entry| entry.covers(shop, stream));
        covering.filter(move |entry| !resumed(entry) && !evidence.is_some_and(|said| entry.lifted_by(said)))
    }

    /// Puts the person on a list, or takes them off whatever the cause was; returns whether it suppresses.
    pub(super) fn change(&mut self, changed: &SuppressionChanged, at: Timestamp) -> bool {
        let Some(cause) = changed.cause else {
            let same = |entry: &Suppression| (entry.shop, entry.stream) == (changed.shop, changed.stream);
            self.0.retain(|entry| !same(entry));
            return false;
        };
        self.suppress(Suppression {
            shop: changed.shop,
            stream: changed.stream,
            cause,
            at,
        });
        true
    }

    /// Puts the person on the promotional list of a shop, or of the network.
    pub(super) fn unsubscribe(&mut self, shop: Option<ShopNumber>, at: Timestamp) {
        self.suppress(Suppression {
            shop,
            stream: Some(Stream::Promotional),
            cause: SuppressionCause::Unsubscribed,
            at,
        });
    }

    /// Adds an entry. One per list, stream and cause is enough: the latest.
    fn suppress(&mut self, new: Suppression) {
        let same = |entry: &Suppression| (entry.shop, entry.stream, entry.cause) == (new.shop, new.stream, new.cause);
        match self.0.iter_mut().find(|entry| same(entry)) {
            Some(entry) => entry.at = entry.at.max(new.at),
            None => self.0.push(new),
        }
    }
}
