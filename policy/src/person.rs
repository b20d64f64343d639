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
mod preference;
mod suppression;

use minicbor::{Decode, Encode};
use types::event::{Bearing, ContactChanged, Decided, Event, Outcome, UnsubscribeScope, Unsubscribed, Verdict};
use types::id::{MessageId, ShopNumber};
use types::order::{Consent, Stream};
use types::time::Timestamp;

use consent::ShopConsent;
pub use consent::{Purpose, Said};
use frequency::Counted;
pub(crate) use frequency::{COUNTED_MAX, WINDOW_MAX};
pub use suppression::{Suppression, after_outcome};

/// How long a mail's id is kept: as long as its links work.
pub const MESSAGES_KEPT: std::time::Duration = std::time::Duration::from_hours(400 * 24);
/// How many mails of one person are kept at most, the newest: 5 for each of those days.
pub const MESSAGES_MAX: usize = 2_000;

/// The state of one person.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct PersonState {
    /// The position of the last event folded in; 0 is none.
    #[n(0)]
    applied: u64,
    /// By shop, in ascending order.
    #[n(1)]
    consents: Vec<ShopConsent>,
    #[n(2)]
    suppressions: Vec<Suppression>,
    /// Offer mails that count against the cap, oldest first.
    #[n(3)]
    counted: Vec<Counted>,
    /// Mails decided, oldest first.
    #[n(4)]
    messages: Vec<Sent>,
    /// When the person last unsubscribed from every shop of the network.
    #[n(5)]
    left_network: Option<Timestamp>,
}

/// A mail that was decided for the person.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Sent {
    /// Its id, which tells its time.
    #[n(0)]
    pub message: MessageId,
    /// Whose it is.
    #[n(1)]
    pub shop: ShopNumber,
    /// Its stream.
    #[n(2)]
    pub stream: Stream,
}

/// What an event means for mails decided before it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Withdrawal {
    /// Mails that must not be sent any more, if they wait in a queue.
    pub sending: Vec<MessageId>,
    /// Mails whose opens and clicks must not be recorded any more.
    pub tracking: Vec<MessageId>,
}

/// Whose mails, on which streams, a withdrawal reaches.
#[derive(Clone, Copy)]
struct Reach {
    shop: Option<ShopNumber>,
    stream: Option<Stream>,
}

impl PersonState {
    /// Reads the stored form.
    pub fn decode(bytes: &[u8]) -> Result<Self, minicbor::decode::Error> {
        minicbor::decode(bytes)
    }

    /// Writes the stored form.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(64 + 16 * self.messages.len());
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
                let suppresses = self.change_suppression(changed, wall);
                let reach = Reach {
                    shop: changed.shop,
                    stream: changed.stream,
                };
                Withdrawal {
                    sending: if suppresses { self.reached_by(reach) } else { Vec::new() },
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
        let by_shop = self.consent(shop).and_then(|consent| consent.tracking.withdrawn_at());
        let withdrawn = |at: Timestamp| made <= at;
        !by_shop.is_some_and(withdrawn) && !self.left_network.is_some_and(withdrawn)
    }

    /// Returns the mails whose opens and clicks must not be recorded: what the tracker's memory holds after a restart.
    pub fn withdrawn(&self) -> impl Iterator<Item = MessageId> {
        let withdrawn = self
            .messages
            .iter()
            .filter(|sent| !self.may_record(sent.shop, sent.message));
        withdrawn.map(|sent| sent.message)
    }

    /// Returns the mails decided in the last 400 days, oldest first.
    pub fn messages(&self) -> &[Sent] {
        &self.messages
    }

    /// Returns what the person said to a shop about a purpose, if anything.
    pub fn said(&self, shop: ShopNumber, purpose: Purpose) -> Option<&Said> {
        self.consent(shop)?.purpose(purpose).last()
    }

    fn apply_consent(
        &mut self,
        shop: ShopNumber,
        consent: &Consent,
        said_at: Timestamp,
        wall: Timestamp,
    ) -> Withdrawal {
        let withdrawn = self.note_consent(shop, consent, said_at, wall);
        let of = |stream| Reach {
            shop: Some(shop),
            stream,
        };
        Withdrawal {
            sending: if withdrawn.marketing {
                self.reached_by(of(Some(Stream::Promotional)))
            } else {
                Vec::new()
            },
            tracking: if withdrawn.tracking {
                self.reached_by(of(None))
            } else {
                Vec::new()
            },
        }
    }

    fn apply_contact(&mut self, changed: &ContactChanged, wall: Timestamp) -> Withdrawal {
        if !self.note_contact(changed, wall) {
            return Withdrawal::default();
        }
        Withdrawal {
            sending: self.reached_by(Reach {
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
        self.note_unsubscribed(shop, wall);
        let learned_at = self.learned_at(wall);
        match shop {
            Some(shop) => self.consent_mut(shop).tracking.withdraw(wall, learned_at),
            None => self.left_network = self.left_network.max(Some(learned_at)),
        }
        Withdrawal {
            sending: self.reached_by(Reach {
                shop,
                stream: Some(Stream::Promotional),
            }),
            tracking: self.reached_by(Reach { shop, stream: None }),
        }
    }

    /// Returns the time of something that is told at `wall` as mails' ids count it: never before a mail that was made before.
    ///
    /// Ids go on rising when the clock is set back; `wall` alone would leave the mails of the lost time out.
    fn learned_at(&self, wall: Timestamp) -> Timestamp {
        let newest = self.messages.last().map(|sent| sent.message.event().time());
        newest.map_or(wall, |newest| newest.max(wall))
    }

    fn apply_decided(&mut self, decided: &Decided, wall: Timestamp) {
        let Verdict::Send(plan) = &decided.verdict else {
            return;
        };
        if plan.stream == Stream::Promotional {
            self.count(plan.message, wall);
        }
        let oldest = wall - MESSAGES_KEPT;
        self.messages.retain(|sent| sent.message.event().time() >= oldest);
        self.messages.push(Sent {
            message: plan.message,
            shop: decided.shop,
            stream: plan.stream,
        });
        let surplus = self.messages.len().saturating_sub(MESSAGES_MAX);
        self.messages.drain(..surplus);
    }

    /// Gives a mail's place under the cap back if it ended without reaching the person.
    fn apply_outcome(&mut self, message: MessageId, outcome: &Outcome) {
        match outcome {
            Outcome::Failed { .. } | Outcome::Expired | Outcome::Withdrawn => self.give_back(message),
            // In doubt counts: the person may well have it.
            Outcome::Delivered | Outcome::Deferred { .. } | Outcome::InDoubt { .. } => {}
        }
    }

    fn reached_by(&self, reach: Reach) -> Vec<MessageId> {
        let reached = self.messages.iter().filter(|sent| {
            reach.shop.is_none_or(|shop| shop == sent.shop) && reach.stream.is_none_or(|stream| stream == sent.stream)
        });
        reached.map(|sent| sent.message).collect()
    }
}
