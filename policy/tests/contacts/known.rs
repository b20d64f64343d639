//! A contact and the person it is, told the same events.

use policy::PersonState;
use policy::contact::ContactState;
use policy::person::Purpose;
use serde_json::json;
use types::contact::{Channel, ChannelConsent, ContactChange, ContactSource};
use types::event::{
    ContactChanged, Decided, Event, OrderAccepted, Plan, Tracking, UnsubscribeScope, Unsubscribed, UnsubscribedBy,
    Verdict,
};
use types::id::{IdMint, MessageId, PersonKey, ShopNumber};
use types::locale::Language;
use types::order::{Order, Statement, Stream};
use types::text::Slug;
use types::time::Timestamp;

pub(crate) const API: ContactSource = ContactSource::Api;
pub(crate) const IMPORT: ContactSource = ContactSource::Import;

pub(crate) const SHOP: ShopNumber = ShopNumber(1);
pub(crate) const PERSON: PersonKey = PersonKey::from_bytes([7; 16]);

pub(crate) fn at(hour: u64) -> Timestamp {
    "2026-11-01T00:00:00Z".parse::<Timestamp>().unwrap() + std::time::Duration::from_hours(hour)
}

pub(crate) fn slug(id: &str) -> Slug {
    id.try_into().unwrap()
}

/// A contact and the person it is, told the same events at hours of November.
pub(crate) struct Known {
    pub(crate) contact: ContactState,
    pub(crate) person: PersonState,
    pub(crate) mint: IdMint,
}

impl Known {
    pub(crate) fn new() -> Self {
        Self {
            contact: ContactState::default(),
            person: PersonState::default(),
            mint: IdMint::new(0, None),
        }
    }

    pub(crate) fn tell(&mut self, hour: u64, event: &Event) -> policy::person::Withdrawal {
        let id = self.mint.mint(at(hour));
        self.contact.apply(id, at(hour), event);
        let contact = ContactState::decode(&self.contact.encode()).unwrap();
        assert_eq!(contact, self.contact);
        self.person.apply(at(hour), event)
    }

    pub(crate) fn change(
        &mut self,
        hour: u64,
        source: ContactSource,
        change: ContactChange,
    ) -> policy::person::Withdrawal {
        let changed = ContactChanged {
            shop: SHOP,
            person: PERSON,
            email: "Anna@posta.example".to_owned().try_into().unwrap(),
            source,
            change,
        };
        self.tell(hour, &Event::ContactChanged(Box::new(changed)))
    }

    pub(crate) fn says(
        &mut self,
        hour: u64,
        source: ContactSource,
        consent: ChannelConsent,
    ) -> policy::person::Withdrawal {
        let consents = vec![consent];
        self.change(
            hour,
            source,
            ContactChange {
                consents,
                ..ContactChange::default()
            },
        )
    }

    pub(crate) fn order(&mut self, hour: u64, status: &str, amount: i64, currency: &str, consent: &serde_json::Value) {
        let order = json!({
            "order_id": "A", "placed_at": at(hour), "status": status, "consent": consent,
            "customer": { "email": "anna@posta.example", "name": "Anna", "locale": "it-IT", "time_zone": "Europe/Rome" },
            "total": { "amount": amount, "currency": currency },
            "items": [{ "sku": "boot", "title": "Boot", "quantity": 1, "unit_price": amount }],
        });
        let order: Order = serde_json::from_value(order).unwrap();
        let accepted = OrderAccepted {
            shop: SHOP,
            person: PERSON,
            order,
            claims: Vec::new(),
        };
        self.tell(hour, &Event::OrderAccepted(Box::new(accepted)));
    }

    pub(crate) fn unsubscribes(&mut self, hour: u64) {
        let message = MessageId::new(self.mint.mint(at(hour)));
        self.tell(
            hour,
            &Event::Unsubscribed(Unsubscribed {
                message,
                shop: SHOP,
                scope: UnsubscribeScope::Shop,
                by: UnsubscribedBy::Page,
            }),
        );
    }

    pub(crate) fn mailed(&mut self, hour: u64) -> MessageId {
        let message = MessageId::new(self.mint.mint(at(hour)));
        let plan = Plan {
            message,
            stream: Stream::Promotional,
            language: Language::It,
            catalogue: 1,
            date: at(hour),
            expires: at(hour + 24),
            tracking: Tracking::Individual,
            offers: Vec::new(),
            late: false,
            test: false,
            template: None,
        };
        let decided = Decided {
            cause: message.event(),
            shop: SHOP,
            person: PERSON,
            verdict: Verdict::Send(plan),
        };
        self.tell(hour, &Event::Decided(Box::new(decided)));
        message
    }

    pub(crate) fn agrees(&self) -> bool {
        self.contact.agrees(Channel::Email)
    }

    /// Returns what the person said to the shop about mail, as decisions know it.
    pub(crate) fn said(&self) -> Option<bool> {
        self.person.said(SHOP, Purpose::Marketing).map(|said| said.granted)
    }
}

pub(crate) fn consent(granted: bool, hour: u64) -> ChannelConsent {
    ChannelConsent {
        channel: Channel::Email,
        statement: Statement {
            granted,
            at: at(hour),
            text: None,
            source: Some("checkout".try_into().unwrap()),
        },
        asserted: false,
    }
}
