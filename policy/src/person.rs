//! What a runner knows about one person: the fold of that person's events.
//!
//! A [`PersonState`] holds what decisions ask (what the person agreed to at each shop, suppressions, recent offers) and
//! what a withdrawal must reach (the ids of the mails of the last 400 days). It is a pure fold: the same events in the
//! same order give the same state, and [`PersonState::fold`] skips what was folded before, so that recovery may
//! replay from any earlier position.
//!
//! Refusals are remembered by their time. Evidence stands against a refusal only if it is later; what a person did, on a mail's page
//! or by its unsubscribe link, is lifted only by a statement with evidence or by the person, never by a shop's bare `true`.
//!
//! The stored form is a CBOR map with integer keys: readers skip keys they do not know, and a number, once used, is never
//! given to another field. Lists that outgrow their bound lose their oldest; a mail that fell off is out of reach of the
//! queues and the tracker's memory, but not of [`PersonState::may_record`].

mod consent;
mod frequency;
mod mails;
mod preference;
mod suppression;

use minicbor::{Decode, Encode};
use types::contact::{Channel, ChannelConsent, ContactSource};
use types::event::{
    Bearing, ContactChanged, Decided, Event, Outcome, SuppressionCause, UnsubscribeScope, Unsubscribed, Verdict,
};
use types::id::{MessageId, ShopNumber};
use types::order::{Consent, Stream};
use types::time::Timestamp;

use consent::Consents;
pub use consent::{Purpose, Said};
use frequency::Frequency;
pub(crate) use frequency::{COUNTED_MAX, WINDOW_MAX};
pub use mails::{MESSAGES_KEPT, MESSAGES_MAX, Sent};
use mails::{Mails, Reach};
use suppression::Suppressions;
pub use suppression::{Suppression, after_outcome};

use crate::settings::FrequencyCap;

/// The state of one person.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct PersonState {
    /// The position of the last event folded in; 0 is none.
    #[n(0)]
    applied: u64,
    #[n(1)]
    consents: Consents,
    #[n(2)]
    suppressions: Suppressions,
    #[n(3)]
    counted: Frequency,
    #[n(4)]
    messages: Mails,
    /// When the person last unsubscribed from every shop of the network.
    #[n(5)]
    left_network: Option<Timestamp>,
}

/// What an event means for mails decided before it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Withdrawal {
    /// Mails that must not be sent any more, if they wait in a queue.
    pub sending: Vec<MessageId>,
    /// Mails whose opens and clicks must not be recorded any more.
    pub tracking: Vec<MessageId>,
}

impl PersonState {
    /// Reads the stored form.
    pub fn decode(bytes: &[u8]) -> Result<Self, minicbor::decode::Error> {
        minicbor::decode(bytes)
    }

    /// Writes the stored form.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(64 + 16 * self.messages.as_slice().len());
        minicbor::encode(self, &mut out).expect("writing CBOR to a vector cannot fail");
        out
    }

    /// Returns the position of the last event folded in; 0 is none.
    pub const fn applied(&self) -> u64 {
        self.applied
    }

    /// Folds the event at `position`, whose record says `wall`. One that was folded before changes nothing.
    pub fn fold(&mut self, position: u64, wall: Timestamp, event: &Event) -> Withdrawal {
        if position <= self.applied {
            return Withdrawal::default();
        }
        self.applied = position;
        self.apply(wall, event)
    }

    /// Applies an event whose record says, or will say, `wall`, leaving the position alone.
    ///
    /// For what was just decided to append and has no position yet; [`PersonState::reached`] sets it afterwards.
    pub fn apply(&mut self, wall: Timestamp, event: &Event) -> Withdrawal {
        match event.bearing(wall) {
            Bearing::Consent { shop, consent, said_at } => self.apply_consent(shop, consent, said_at, wall),
            Bearing::Contact(changed) => self.apply_contact(changed, wall),
            Bearing::Decision(decided) => {
                self.apply_decided(decided, wall);
                Withdrawal::default()
            }
            Bearing::Outcome(ended) => {
                self.apply_outcome(ended.message, &ended.outcome);
                Withdrawal::default()
            }
            Bearing::Suppression(changed) => {
                let suppresses = self.suppressions.change(changed, wall);
                let reach = Reach {
                    shop: changed.shop,
                    stream: changed.stream,
                };
                Withdrawal {
                    sending: if suppresses {
                        self.messages.reached_by(reach)
                    } else {
                        Vec::new()
                    },
                    tracking: Vec::new(),
                }
            }
            Bearing::Unsubscription(unsubscribed) => self.apply_unsubscribed(unsubscribed, wall),
            Bearing::Preference(changed) => self.change_preference(changed, wall),
            Bearing::Erasure { shop } => self.erase(shop, wall),
            Bearing::Nothing => Withdrawal::default(),
        }
    }

    /// Notes that everything up to `position` was applied.
    pub fn reached(&mut self, position: u64) {
        self.applied = self.applied.max(position);
    }

    /// Returns whether an open or click of a shop's mail may be recorded: not if the person withdrew after it was made.
    pub fn may_record(&self, shop: ShopNumber, message: MessageId) -> bool {
        let made = message.event().time();
        let by_shop = self
            .consents
            .of(shop)
            .and_then(|consent| consent.tracking.withdrawn_at());
        let withdrawn = |at: Timestamp| made <= at;
        !by_shop.is_some_and(withdrawn) && !self.left_network.is_some_and(withdrawn)
    }

    /// Returns the mails whose opens and clicks must not be recorded: what the tracker's memory holds after a restart.
    pub fn withdrawn(&self) -> impl Iterator<Item = MessageId> {
        let withdrawn = self
            .messages()
            .iter()
            .filter(|sent| !self.may_record(sent.shop, sent.message));
        withdrawn.map(|sent| sent.message)
    }

    /// Returns the mails decided in the last 400 days, oldest first.
    pub fn messages(&self) -> &[Sent] {
        self.messages.as_slice()
    }

    /// Returns what the person said to a shop about a purpose, if anything.
    pub fn said(&self, shop: ShopNumber, purpose: Purpose) -> Option<&Said> {
        self.consents.of(shop)?.purpose(purpose).last()
    }

    /// Returns when the person last refused a purpose to a shop, by order or by withdrawal.
    pub fn refused_at(&self, shop: ShopNumber, purpose: Purpose) -> Option<Timestamp> {
        let consent = self.consents.of(shop);
        let by_shop = consent.and_then(|consent| consent.purpose(purpose).refused_at());
        match purpose {
            Purpose::Tracking => by_shop.max(self.left_network),
            Purpose::Marketing | Purpose::Sharing => by_shop,
        }
    }

    /// Returns whether evidence allows to record opens and clicks of a shop's next mail.
    pub(crate) fn may_track(&self, shop: ShopNumber, evidence: &Said) -> bool {
        let outweighs = |at: Option<Timestamp>| at.is_none_or(|at| evidence.at > at);
        let consent = self.consents.of(shop);
        evidence.granted
            && outweighs(self.refused_at(shop, Purpose::Tracking))
            && consent.is_none_or(|consent| consent.tracking.is_outweighed_by(evidence))
    }

    /// Returns every entry of a suppression list with the person on it, in the order they were made.
    pub fn suppressions(&self) -> &[Suppression] {
        self.suppressions.as_slice()
    }

    /// Returns the entries that stand in the way of a shop's mail on a stream, given the consent that came with it.
    pub fn suppressed<'a>(
        &'a self,
        shop: ShopNumber,
        stream: Stream,
        evidence: Option<&'a Said>,
    ) -> impl Iterator<Item = &'a Suppression> {
        let resumed_at = self.consents.of(shop).and_then(|consent| consent.resumed_at);
        self.suppressions.standing(shop, stream, evidence, resumed_at)
    }

    /// Returns whether one more offer mail at `now` would pass the cap, or follow the last one too soon.
    pub fn is_capped(&self, cap: &FrequencyCap, now: Timestamp) -> bool {
        self.counted.is_capped(cap, now)
    }

    /// Returns whether the person ever refused a shop's marketing, or unsubscribed from it and has not taken that back.
    pub(crate) fn said_no(&self, shop: ShopNumber) -> bool {
        self.refused_at(shop, Purpose::Marketing).is_some() || self.is_unsubscribed(shop)
    }

    /// Returns whether the person unsubscribed from a shop's offers, or everybody's, and has not taken that back.
    pub(crate) fn is_unsubscribed(&self, shop: ShopNumber) -> bool {
        let mut standing = self.suppressed(shop, Stream::Promotional, None);
        standing.any(|entry| entry.cause == SuppressionCause::Unsubscribed)
    }

    /// Returns what an import says of a contact without the consents that it cannot make, since the person refused or unsubscribed; `None`
    /// if all of it counts.
    ///
    /// To be asked before it is recorded: the contact's own row may know of no refusal, having been erased or not yet made at that time.
    pub fn without_void_consents(&self, changed: &ContactChanged) -> Option<ContactChanged> {
        let is_void = |consent: &ChannelConsent| consent.channel == Channel::Email && consent.statement.granted;
        let applies = changed.source == ContactSource::Import
            && changed.change.consents.iter().any(is_void)
            && self.said_no(changed.shop);
        applies.then(|| {
            let mut changed = changed.clone();
            changed.change.consents.retain(|consent| !is_void(consent));
            changed
        })
    }

    fn apply_consent(
        &mut self,
        shop: ShopNumber,
        consent: &Consent,
        said_at: Timestamp,
        wall: Timestamp,
    ) -> Withdrawal {
        if consent.marketing.is_none() && consent.tracking.is_none() && consent.sharing.is_none() {
            return Withdrawal::default();
        }
        let learned_at = self.messages.learned_at(wall);
        let withdrawn = self.consents.of_mut(shop).note(consent, said_at, (wall, learned_at));
        let of = |stream| Reach {
            shop: Some(shop),
            stream,
        };
        Withdrawal {
            sending: if withdrawn.marketing {
                self.messages.reached_by(of(Some(Stream::Promotional)))
            } else {
                Vec::new()
            },
            tracking: if withdrawn.tracking {
                self.messages.reached_by(of(None))
            } else {
                Vec::new()
            },
        }
    }

    /// Follows what a shop reports that the person said about mail.
    ///
    /// An import makes no consent where the person refused or unsubscribed, whatever evidence it brings.
    fn apply_contact(&mut self, changed: &ContactChanged, wall: Timestamp) -> Withdrawal {
        let shop = changed.shop;
        let learned_at = self.messages.learned_at(wall);
        let mut withdraws = false;
        for consent in changed
            .change
            .consents
            .iter()
            .filter(|consent| consent.channel == Channel::Email)
        {
            let is_imported = changed.source == ContactSource::Import;
            if consent.statement.granted && is_imported && self.said_no(shop) {
                continue;
            }
            let marketing = &mut self.consents.of_mut(shop).marketing;
            withdraws |= marketing.note(Said::reported(consent, wall), learned_at);
        }
        if !withdraws {
            return Withdrawal::default();
        }
        Withdrawal {
            sending: self.messages.reached_by(Reach {
                shop: Some(changed.shop),
                stream: Some(Stream::Promotional),
            }),
            tracking: Vec::new(),
        }
    }

    fn apply_unsubscribed(&mut self, unsubscribed: &Unsubscribed, wall: Timestamp) -> Withdrawal {
        let shop = match unsubscribed.scope {
            UnsubscribeScope::Shop => Some(unsubscribed.shop),
            UnsubscribeScope::Network => None,
        };
        self.suppressions.unsubscribe(shop, wall);
        let learned_at = self.messages.learned_at(wall);
        match shop {
            Some(shop) => self.consents.of_mut(shop).tracking.withdraw(wall, learned_at),
            None => self.left_network = self.left_network.max(Some(learned_at)),
        }
        Withdrawal {
            sending: self.messages.reached_by(Reach {
                shop,
                stream: Some(Stream::Promotional),
            }),
            tracking: self.messages.reached_by(Reach { shop, stream: None }),
        }
    }

    fn apply_decided(&mut self, decided: &Decided, wall: Timestamp) {
        let Verdict::Send(plan) = &decided.verdict else {
            return;
        };
        if plan.stream == Stream::Promotional {
            self.counted.count(plan.message, wall);
        }
        let mail = Sent {
            message: plan.message,
            shop: decided.shop,
            stream: plan.stream,
        };
        self.messages.add(mail, wall);
    }

    /// Gives a mail's place under the cap back if it ended without reaching the person.
    fn apply_outcome(&mut self, message: MessageId, outcome: &Outcome) {
        match outcome {
            Outcome::Failed { .. } | Outcome::Expired | Outcome::Withdrawn => self.counted.give_back(message),
            // In doubt counts: the person may well have it.
            Outcome::Delivered | Outcome::Deferred { .. } | Outcome::InDoubt { .. } => {}
        }
    }
}
