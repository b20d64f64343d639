//! What is known of one cart, and when its next reminder is due.

use std::time::Duration;

use minicbor::{Decode, Encode};
use types::cart::{Cart, CartSpec, Payment, Reminder};
use types::event::{CartChanged, CartDecided, CartVerdict, Event, NextReminder, Recovery};
use types::id::{EventId, MessageId, PersonKey, ShopNumber};
use types::locale::Language;
use types::money::Money;
use types::order::{Consent, Customer, Item};
use types::text::{HttpsUrl, Line};
use types::time::Timestamp;

use crate::contact::ContentKeys;

/// A cart, as events made it.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct CartState {
    #[n(0)]
    cart: EventId,
    #[n(1)]
    shop: ShopNumber,
    #[n(2)]
    person: PersonKey,
    #[n(3)]
    id: Line<128>,
    #[n(4)]
    customer: Customer,
    #[n(5)]
    consent: Consent,
    #[n(6)]
    items: Vec<Item>,
    #[n(7)]
    total: Money,
    #[n(8)]
    net: i64,
    #[n(9)]
    payment: Option<Payment>,
    #[n(10)]
    restore_url: HttpsUrl,
    #[n(11)]
    language: Language,
    #[n(12)]
    touched_at: Timestamp,
    #[n(13)]
    epoch: u32,
    #[n(14)]
    next: Option<NextReminder>,
    /// Reminders that went out to the buyer; never more than one of each, the first one first.
    #[n(15)]
    sent: Vec<SentReminder>,
    /// Reminders that were due since the last touch, whatever became of them.
    #[n(16)]
    decided: Vec<Reminder>,
    #[n(17)]
    closed: Option<Closed>,
}

/// A reminder that went out to the buyer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct SentReminder {
    /// Which.
    #[n(0)]
    pub reminder: Reminder,
    /// The mail.
    #[n(1)]
    pub message: MessageId,
    /// When it was decided.
    #[n(2)]
    pub at: Timestamp,
}

/// How a cart ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
struct Closed {
    #[n(0)]
    order: EventId,
    #[n(1)]
    at: Timestamp,
    #[n(2)]
    recovery: Recovery,
    /// What it held.
    #[n(3)]
    content: ContentKeys,
}

/// Fills in what a touch is to be recorded with: its moment, the language, and when the next reminder is due.
///
/// `before` is the cart as it stands, if it does; `home` is the shop's language, for customers whose locale is none of
/// ours; `spec` is how the shop reminds, if it does. `wall` is the record's time: nothing was touched later than that.
pub fn prepare(
    changed: &mut CartChanged,
    before: Option<&CartState>,
    spec: Option<&CartSpec>,
    home: Language,
    wall: Timestamp,
) {
    (changed.language, changed.next) = (None, None);
    let Some(cart) = &mut changed.cart else {
        return;
    };
    cart.touched_at = Some(touched_at(cart, wall));
    let locale = cart.customer.locale.as_deref();
    changed.language = Some(locale.and_then(Language::of_tag).unwrap_or(home));
    let after = match before {
        Some(before) => before
            .clone()
            .apply(wall, &Event::CartChanged(Box::new(changed.clone()))),
        // Until it is recorded, a new cart has no name.
        None => CartState::new(EventId::from_raw(0), wall, changed),
    };
    changed.next = after.zip(spec).and_then(|(after, spec)| after.due(spec));
}

fn touched_at(cart: &Cart, wall: Timestamp) -> Timestamp {
    cart.touched_at.unwrap_or(wall).min(wall)
}

impl CartState {
    /// Makes a cart of the event that puts it first, whose id is `cart`. `None` if the event puts none.
    pub fn new(cart: EventId, wall: Timestamp, changed: &CartChanged) -> Option<Self> {
        let put = changed.cart.as_deref()?;
        Some(Self {
            cart,
            shop: changed.shop,
            person: changed.person,
            id: changed.id.clone(),
            customer: put.customer.clone(),
            consent: put.consent.clone(),
            items: put.items.clone(),
            total: put.total,
            net: put.net,
            payment: put.payment,
            restore_url: put.restore_url.clone(),
            language: changed.language.unwrap_or(Language::En),
            touched_at: touched_at(put, wall),
            epoch: 0,
            next: changed.next,
            sent: Vec::new(),
            decided: Vec::new(),
            closed: None,
        })
    }

    /// Applies an event of this cart whose record says `wall`. `None` if the cart is none any more: its row goes.
    ///
    /// Each change sets a new epoch, so that a timer armed before it is told by its own. Events of other kinds, and
    /// touches older than the last one, change nothing.
    #[must_use]
    pub fn apply(mut self, wall: Timestamp, event: &Event) -> Option<Self> {
        match event {
            Event::CartChanged(changed) => match changed.cart.as_deref() {
                Some(cart) => self.touch(wall, changed, cart),
                None => return None,
            },
            Event::CartDecided(decided) => self.decided(wall, decided),
            _ => {}
        }
        Some(self)
    }

    fn touch(&mut self, wall: Timestamp, changed: &CartChanged, cart: &Cart) {
        let touched_at = touched_at(cart, wall);
        if touched_at < self.touched_at {
            return;
        }
        self.customer = cart.customer.clone();
        self.consent = cart.consent.clone();
        self.items.clone_from(&cart.items);
        self.total = cart.total;
        self.net = cart.net;
        self.payment = cart.payment;
        self.restore_url = cart.restore_url.clone();
        self.language = changed.language.unwrap_or(self.language);
        // Told again of the same touch, the reminders that were due since then are not due once more.
        if touched_at > self.touched_at {
            self.decided.clear();
        }
        self.touched_at = touched_at;
        let holds = self.content();
        if self.closed.is_some_and(|closed| closed.content != holds) {
            self.closed = None;
            self.sent.clear();
        }
        self.next = changed.next.filter(|_| self.closed.is_none());
        self.epoch = self.epoch.wrapping_add(1);
    }

    fn decided(&mut self, wall: Timestamp, decided: &CartDecided) {
        match &decided.verdict {
            CartVerdict::Reminded {
                reminder,
                message,
                test,
                ..
            } => {
                self.decided.push(*reminder);
                if !test {
                    self.sent.push(SentReminder {
                        reminder: *reminder,
                        message: *message,
                        at: wall,
                    });
                }
            }
            CartVerdict::Suppressed { reminder, .. } | CartVerdict::WouldRemind { reminder } => {
                self.decided.push(*reminder);
            }
            CartVerdict::Ordered { order, recovery, .. } => {
                self.closed = Some(Closed {
                    order: *order,
                    at: wall,
                    recovery: *recovery,
                    content: self.content(),
                });
            }
        }
        self.next = decided.next.filter(|_| self.closed.is_none());
        self.epoch = self.epoch.wrapping_add(1);
    }

    /// Names what is in it.
    pub fn content(&self) -> ContentKeys {
        ContentKeys::of(&self.items)
    }

    /// Returns which reminder is due next and when, as the shop reminds now; it may lie in the past.
    ///
    /// Between the two there is never less time than the settings put there, however late the first went out.
    pub fn due(&self, spec: &CartSpec) -> Option<NextReminder> {
        if self.closed.is_some() {
            return None;
        }
        let first = spec.first.as_ref().map(|first| seconds(first.after.nominal_seconds()));
        let second = spec
            .second
            .as_ref()
            .map(|second| seconds(second.after.nominal_seconds()));
        if let Some(first) = first.filter(|_| self.is_open(Reminder::First)) {
            return Some(NextReminder {
                reminder: Reminder::First,
                due: self.touched_at + first,
            });
        }
        let second = second.filter(|_| self.is_open(Reminder::Second))?;
        let gap = second.saturating_sub(first.unwrap_or_default());
        let after_first = self.sent(Reminder::First).map(|sent| sent.at + gap);
        let due = self.touched_at + second;
        Some(NextReminder {
            reminder: Reminder::Second,
            due: after_first.map_or(due, |after_first| after_first.max(due)),
        })
    }

    /// Returns what is due once this verdict is recorded at `wall`: what a `CartDecided` carries as `next`.
    pub fn due_after(&self, verdict: &CartVerdict, spec: Option<&CartSpec>, wall: Timestamp) -> Option<NextReminder> {
        let mut after = self.clone();
        let decided = CartDecided {
            shop: self.shop,
            person: self.person,
            cart: self.cart,
            due: None,
            verdict: verdict.clone(),
            next: None,
        };
        after.decided(wall, &decided);
        after.due(spec?)
    }

    /// Returns whether a reminder can still come: it did not go out, and was not due since the last touch.
    fn is_open(&self, reminder: Reminder) -> bool {
        self.sent(reminder).is_none() && !self.decided.contains(&reminder)
    }

    /// Returns the cart's reminder that went out to the buyer, if it did.
    pub fn sent(&self, reminder: Reminder) -> Option<&SentReminder> {
        self.sent.iter().find(|sent| sent.reminder == reminder)
    }

    /// Returns the reminders that went out to the buyer, in their order.
    pub fn reminders(&self) -> &[SentReminder] {
        &self.sent
    }

    /// Returns the event by which the cart was first put: its name.
    pub const fn cart(&self) -> EventId {
        self.cart
    }

    /// Returns whose shop's it is.
    pub const fn shop(&self) -> ShopNumber {
        self.shop
    }

    /// Returns whose it is.
    pub const fn person(&self) -> PersonKey {
        self.person
    }

    /// Returns the shop's own id of it.
    pub const fn id(&self) -> &Line<128> {
        &self.id
    }

    /// Returns whose it is, as the shop knows them.
    pub const fn customer(&self) -> &Customer {
        &self.customer
    }

    /// Returns what the buyer agreed to; what says no time was said at the last touch.
    pub const fn consent(&self) -> &Consent {
        &self.consent
    }

    /// Returns what is in it.
    pub fn items(&self) -> &[Item] {
        &self.items
    }

    /// Returns what it comes to.
    pub const fn total(&self) -> Money {
        self.total
    }

    /// Returns the goods net of VAT, in minor units of the total's currency.
    pub const fn net(&self) -> i64 {
        self.net
    }

    /// Returns where the payment of its order stands.
    pub const fn payment(&self) -> Option<Payment> {
        self.payment
    }

    /// Returns the page that opens it again.
    pub const fn restore_url(&self) -> &HttpsUrl {
        &self.restore_url
    }

    /// Returns the language that its last touch fixed.
    pub const fn language(&self) -> Language {
        self.language
    }

    /// Returns when it was touched last: the moment of abandonment.
    pub const fn touched_at(&self) -> Timestamp {
        self.touched_at
    }

    /// Returns how often it changed: a timer of another epoch is not its timer.
    pub const fn epoch(&self) -> u32 {
        self.epoch
    }

    /// Returns the reminder to come: what its timer is armed for.
    pub const fn next(&self) -> Option<NextReminder> {
        self.next
    }

    /// Returns the order that closed it and what the reminders had to do with it, or `None` while it is open.
    pub fn ordered(&self) -> Option<(EventId, Recovery)> {
        self.closed.map(|closed| (closed.order, closed.recovery))
    }

    /// Returns whether no order has closed it.
    pub const fn is_waiting(&self) -> bool {
        self.closed.is_none()
    }

    /// Reads a cart as [`CartState::encode`] wrote it.
    pub fn decode(bytes: &[u8]) -> Result<Self, minicbor::decode::Error> {
        minicbor::decode(bytes)
    }

    /// Writes the cart as CBOR.
    pub fn encode(&self) -> Vec<u8> {
        minicbor::to_vec(self).expect("writing CBOR to a vector cannot fail")
    }
}

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}
