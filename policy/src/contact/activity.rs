//! What a contact ordered, was sent, and did with it.

use minicbor::{Decode, Encode};
use types::event::HitKind;
use types::id::{EventId, MessageId};
use types::money::Money;
use types::order::Order;
use types::text::Slug;
use types::time::Timestamp;

use super::content::{CONTENT_KEPT, ContentKeys};

/// How many of the mails sent last are kept: the last five as of an open or click that is judged minutes later.
const SENT_MAX: usize = 10;
/// How many of these an activity in "the last five mails" is about.
const LAST_FIVE: usize = 5;
/// How many orders of the last 48 hours are kept with their content.
const ORDERED_MAX: usize = 16;
/// How many currencies are summed up apart.
const CURRENCIES_MAX: usize = 8;

/// What a contact ordered, was sent, and did with it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Activity {
    /// Confirmed orders.
    #[n(0)]
    orders: u32,
    /// What they came to, by currency.
    #[n(1)]
    #[cbor(default)]
    totals: Vec<Money>,
    #[n(2)]
    first_order_at: Option<Timestamp>,
    #[n(3)]
    last_order_at: Option<Timestamp>,
    /// The latest orders, oldest first.
    #[n(4)]
    #[cbor(default)]
    ordered: Vec<Ordered>,
    #[n(5)]
    last_opened_at: Option<Timestamp>,
    #[n(6)]
    last_clicked_at: Option<Timestamp>,
    /// The latest mails, oldest first.
    #[n(7)]
    #[cbor(default)]
    sent: Vec<MailSent>,
}

/// A confirmed order of the last 48 hours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Ordered {
    /// The accepted order.
    #[n(0)]
    pub order: EventId,
    /// When it was placed; never later than its record.
    #[n(1)]
    pub at: Timestamp,
    /// What was in it.
    #[n(2)]
    pub content: ContentKeys,
}

/// A mail that was decided for the contact.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct MailSent {
    /// The mail; its id tells when.
    #[n(0)]
    pub message: MessageId,
    /// The template that it was made with.
    #[n(1)]
    pub template: Option<Slug>,
}

impl MailSent {
    fn at(&self) -> Timestamp {
        self.message.event().time()
    }
}

impl Activity {
    /// Returns how many confirmed orders there were.
    pub const fn orders(&self) -> u32 {
        self.orders
    }

    /// Returns what they came to, one sum for each currency.
    pub fn totals(&self) -> &[Money] {
        &self.totals
    }

    /// Returns what all orders came to, in minor units: 0 without orders, `None` if they are in more than one currency.
    pub fn total(&self) -> Option<i64> {
        match self.totals.as_slice() {
            [] => Some(0),
            [one] => Some(one.amount),
            _ => None,
        }
    }

    /// Returns when the first was placed.
    pub const fn first_order_at(&self) -> Option<Timestamp> {
        self.first_order_at
    }

    /// Returns when the last was placed.
    pub const fn last_order_at(&self) -> Option<Timestamp> {
        self.last_order_at
    }

    /// Returns the orders of the last 48 hours before the latest one, at most 16, in the order in which they came.
    pub fn ordered(&self) -> &[Ordered] {
        &self.ordered
    }

    /// Returns when a person last opened a mail of the shop.
    pub const fn last_opened_at(&self) -> Option<Timestamp> {
        self.last_opened_at
    }

    /// Returns when a person last followed a link in one.
    pub const fn last_clicked_at(&self) -> Option<Timestamp> {
        self.last_clicked_at
    }

    /// Returns when the last mail of the shop was decided.
    pub fn last_sent_at(&self) -> Option<Timestamp> {
        self.sent.last().map(MailSent::at)
    }

    /// Returns whether a mail was among the last five that had been sent at a moment.
    pub fn is_of_last_five(&self, message: MessageId, at: Timestamp) -> bool {
        let before = self.sent.iter().rev().filter(|mail| mail.at() <= at);
        before.take(LAST_FIVE).any(|mail| mail.message == message)
    }

    pub(super) fn note_order(&mut self, id: EventId, order: &Order, wall: Timestamp) {
        let at = order.placed_at.min(wall);
        self.orders = self.orders.saturating_add(1);
        let room = self.totals.len() < CURRENCIES_MAX;
        match self.totals.iter_mut().find(|sum| sum.currency == order.total.currency) {
            Some(sum) => sum.amount = sum.amount.saturating_add(order.total.amount),
            None if room => self.totals.push(order.total),
            None => {}
        }
        self.first_order_at = Some(self.first_order_at.map_or(at, |first| first.min(at)));
        self.last_order_at = self.last_order_at.max(Some(at));
        self.ordered.retain(|ordered| wall.since(ordered.at) <= CONTENT_KEPT);
        self.ordered.push(Ordered {
            order: id,
            at,
            content: ContentKeys::of(&order.items),
        });
        let surplus = self.ordered.len().saturating_sub(ORDERED_MAX);
        self.ordered.drain(..surplus);
    }

    pub(super) fn note_sent(&mut self, mail: MailSent) {
        if self.sent.iter().any(|known| known.message == mail.message) {
            return;
        }
        let at = self.sent.partition_point(|known| known.message < mail.message);
        self.sent.insert(at, mail);
        let surplus = self.sent.len().saturating_sub(SENT_MAX);
        self.sent.drain(..surplus);
    }

    pub(super) fn note_engaged(&mut self, kind: HitKind, at: Timestamp) {
        let last = match kind {
            HitKind::Open => &mut self.last_opened_at,
            HitKind::Click => &mut self.last_clicked_at,
            HitKind::Landing => return,
        };
        *last = (*last).max(Some(at));
    }
}
