//! What may happen to the contact.

use std::collections::BTreeMap;

use policy::workflow::{CartTurn, Input, MailHit, What};
use types::cart::Cart;
use types::contact::{Channel, ChannelConsent, ContactChange, ContactSource, FieldValue};
use types::event::{
    CartChanged, ContactChanged, Event, EventReported, HitClass, HitKind, OrderAccepted, UnsubscribeScope,
    Unsubscribed, UnsubscribedBy, WebhookEnded,
};
use types::id::MessageId;
use types::order::{Order, Statement};
use types::text::{Line, Slug};
use types::time::Timestamp;

use super::{Called, PERSON, SHOP, Sim, slug};

impl Sim {
    pub(crate) fn contact_changed(&mut self, change: ContactChange) {
        self.changed_by(ContactSource::Api, change);
    }

    pub(crate) fn changed_by(&mut self, source: ContactSource, change: ContactChange) {
        self.tell(&Event::ContactChanged(Box::new(ContactChanged {
            shop: SHOP,
            person: PERSON,
            email: "anna@posta.example".to_owned().try_into().unwrap(),
            source,
            change,
        })));
    }

    /// Anna is known, and says so to mail.
    pub(crate) fn subscribe(&mut self) {
        self.consent(true);
    }

    pub(crate) fn consent(&mut self, granted: bool) {
        let consents = vec![consent(granted, self.now)];
        self.contact_changed(ContactChange {
            consents,
            ..ContactChange::default()
        });
    }

    /// Sets a field, or clears it.
    pub(crate) fn set(&mut self, field: &str, value: Option<&str>) {
        let kind = self.catalogue.field(SHOP, &slug(field)).unwrap().kind;
        let value = value.map(|value| FieldValue::from_text(kind, value).unwrap());
        self.contact_changed(ContactChange {
            fields: BTreeMap::from([(slug(field), value)]),
            ..ContactChange::default()
        });
    }

    pub(crate) fn zone(&mut self, zone: &str) {
        self.contact_changed(ContactChange {
            time_zone: Some(zone.parse().unwrap()),
            ..ContactChange::default()
        });
    }

    pub(crate) fn join(&mut self, group: &str) {
        self.contact_changed(ContactChange {
            join: vec![slug(group)],
            ..ContactChange::default()
        });
    }

    pub(crate) fn leave(&mut self, group: &str) {
        self.contact_changed(ContactChange {
            leave: vec![slug(group)],
            ..ContactChange::default()
        });
    }

    pub(crate) fn order(&mut self, id: &str, euros: i64) {
        self.order_placed(id, euros, "confirmed", self.now);
    }

    pub(crate) fn order_placed(&mut self, id: &str, euros: i64, status: &str, placed_at: Timestamp) {
        let order = serde_json::json!({
            "order_id": id, "placed_at": placed_at, "status": status,
            "customer": { "email": "anna@posta.example" },
            "total": { "amount": euros * 100, "currency": "EUR" },
            "items": [{ "sku": "boot", "title": "Boot", "quantity": 1, "unit_price": euros * 100 }],
        });
        let order: Order = serde_json::from_value(order).unwrap();
        self.tell(&Event::OrderAccepted(Box::new(OrderAccepted {
            shop: SHOP,
            person: PERSON,
            order,
            claims: Vec::new(),
        })));
    }

    pub(crate) fn report(&mut self, name: &str, key: Option<&str>) {
        self.report_at(name, key, self.now);
    }

    pub(crate) fn report_at(&mut self, name: &str, key: Option<&str>, at: Timestamp) {
        self.tell(&Event::EventReported(Box::new(EventReported {
            shop: SHOP,
            person: PERSON,
            email: "anna@posta.example".to_owned().try_into().unwrap(),
            name: slug(name),
            at,
            key: key.map(|key| key.try_into().unwrap()),
            properties: BTreeMap::new(),
            claims: Vec::new(),
        })));
    }

    pub(crate) fn unsubscribe(&mut self) {
        let message = MessageId::new(self.mint.mint(self.now));
        self.tell(&Event::Unsubscribed(Unsubscribed {
            message,
            shop: SHOP,
            scope: UnsubscribeScope::Shop,
            by: UnsubscribedBy::Page,
        }));
    }

    pub(crate) fn cart_touched(&mut self, id: &str) {
        let cart = serde_json::json!({
            "customer": { "email": "anna@posta.example" },
            "items": [{ "sku": "boot", "title": "Boot", "quantity": 1, "unit_price": 9900 }],
            "total": { "amount": 9900, "currency": "EUR" }, "net": 8000,
            "restore_url": "https://www.scarpe.example/cart",
        });
        let cart: Cart = serde_json::from_value(cart).unwrap();
        let id: Line<128> = id.try_into().unwrap();
        self.tell(&Event::CartChanged(Box::new(CartChanged {
            shop: SHOP,
            person: PERSON,
            id: id.clone(),
            cart: Some(Box::new(cart)),
            language: None,
            next: None,
            object: None,
        })));
        self.cart(&id, CartTurn::Touched(self.now));
    }

    pub(crate) fn cart_closed(&mut self, id: &str) {
        self.cart(&id.try_into().unwrap(), CartTurn::Closed);
    }

    fn cart(&mut self, id: &Line<128>, turn: CartTurn) {
        let before = self.contact();
        let event = self.mint.mint(self.now);
        self.happen(event, &before, What::Cart { id, turn });
    }

    /// The mail of a step was opened or clicked now, by somebody or something; it is not judged yet.
    pub(crate) fn hit(&mut self, step: &str) {
        let message = self.mail(step);
        self.mails.0.entry(message).or_default().unjudged = true;
    }

    /// It was opened at a time, as is judged now.
    pub(crate) fn judged(&mut self, step: &str, class: HitClass, at: Timestamp) {
        self.judged_as(step, HitKind::Open, class, at);
    }

    pub(crate) fn judged_as(&mut self, step: &str, kind: HitKind, class: HitClass, at: Timestamp) {
        let message = self.mail(step);
        let known = self.mails.0.entry(message).or_default();
        known.unjudged = false;
        let first = match class {
            HitClass::Human => &mut known.human,
            _ => &mut known.machine,
        };
        *first = Some(first.map_or(at, |first| first.min(at)));
        let before = self.contact();
        if class == HitClass::Human {
            let mut contact = before.clone();
            contact.engaged(kind, at);
            self.contact = contact.encode();
        }
        let hit = MailHit {
            message,
            template: self.template(message),
            kind,
            at,
            class,
        };
        let id = self.mint.mint(self.now);
        self.happen(id, &before, What::Hits(&[hit]));
    }

    pub(crate) fn opened(&mut self, step: &str) {
        self.judged(step, HitClass::Human, self.now);
    }

    /// The last call is answered.
    pub(crate) fn answer(&mut self, status: Option<u16>) {
        let called = self.calls.last().unwrap().clone();
        self.answer_to(&called, status);
    }

    pub(crate) fn answer_to(&mut self, called: &Called, status: Option<u16>) {
        let ended = WebhookEnded {
            instance: called.instance,
            epoch: called.epoch,
            status,
        };
        let id = self.mint.mint(self.now);
        self.go(called.instance, &Input::Answer { id, ended: &ended });
    }

    fn mail(&self, step: &str) -> MessageId {
        let mails = self.sent.iter().rev().find(|mail| mail.step.as_str() == step);
        mails.unwrap_or_else(|| panic!("{step} was not sent")).message
    }

    fn template(&self, message: MessageId) -> Option<Slug> {
        let mail = self.sent.iter().find(|mail| mail.message == message)?;
        match &mail.request.body {
            types::order::Body::Template(used) => Some(used.id.clone()),
            _ => None,
        }
    }
}

pub(crate) fn consent(granted: bool, at: Timestamp) -> ChannelConsent {
    ChannelConsent {
        channel: Channel::Email,
        statement: Statement {
            granted,
            at,
            text: None,
            source: None,
        },
        asserted: false,
    }
}
