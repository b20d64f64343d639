//! One contact of one shop, its workflows, timers and mails, and a clock that tests move.
//!
//! It does what a runner does, in the order in which a runner does it: an event is folded, live instances are offered it, then the
//! starts; what they record is folded at once and offered again. Rows are kept as bytes only.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use policy::contact::{ContactState, MailSent};
use policy::filter::Schema;
use policy::settings::FrequencyCap;
use policy::workflow::{
    Broke, CartTurn, Compiled, Completeness, Engagement, Fault, Hands, Happened, Input, Instance, MailHit, Mails, Send,
    Sent, Trigger, Vocabulary, Webhook, What, World, Zones, check, enter, failed, resume, rezone,
};
use policy::{Decision, MessageFacts, PersonState, Settings, decide_message};
use types::cart::Cart;
use types::catalogue::Catalogue;
use types::contact::{Channel, ChannelConsent, ContactChange, ContactSource, FieldValue};
use types::event::{
    CartChanged, CatalogueChanged, ContactChanged, Decided, Event, EventReported, HitClass, HitKind, MessageAccepted,
    Moved, OrderAccepted, Origin, Place, Refusal, UnsubscribeScope, Unsubscribed, UnsubscribedBy, Verdict,
    WebhookEnded,
};
use types::id::{EventId, IdMint, MessageId, PartitionId, PersonKey, PublicId, ShopNumber, WorkflowNumber};
use types::order::{MessageRequest, Order, Statement};
use types::text::{Line, Slug};
use types::time::Timestamp;
use types::workflow::{Enrol, WorkflowSpec, WorkflowState};

pub(crate) const SHOP: ShopNumber = ShopNumber(1);
pub(crate) const PERSON: PersonKey = PersonKey::from_bytes([7; 16]);

/// Fields by their types, groups and templates that every test may name.
const FIELDS: [(&str, &str); 6] = [
    ("birthday", "date"),
    ("renewal", "date"),
    ("city", "text"),
    ("zone", "text"),
    ("points", "number"),
    ("vip", "boolean"),
];
const GROUPS: [&str; 4] = ["buyers", "readers", "done", "staff"];
const TEMPLATES: [&str; 6] = ["hello", "second", "third", "gift", "again", "thanks"];

pub(crate) fn slug(id: &str) -> Slug {
    id.try_into().unwrap()
}

/// Reads `2026-11-23T10:00` as UTC; whole RFC 3339 times too.
pub(crate) fn at(text: &str) -> Timestamp {
    text.parse().or_else(|_| format!("{text}:00Z").parse()).unwrap()
}

pub(crate) fn catalogue() -> Catalogue {
    let mut catalogue = Catalogue::default();
    let spec = serde_json::json!({
        "name": "Scarpe Roma", "url": "https://www.scarpe.example/", "language": "it", "country": "IT",
        "promotional": { "address": "ciao@scarpe-offerte.example" }, "postal_address": "Via Roma 1, Roma",
    });
    let begin = at("2026-01-01T00:00");
    let mut put = |change: CatalogueChanged| catalogue.apply(&change, begin);
    put(CatalogueChanged::ShopPut {
        id: slug("own"),
        spec: serde_json::from_value(spec).unwrap(),
    });
    for (id, kind) in FIELDS {
        put(CatalogueChanged::FieldPut {
            shop: SHOP,
            id: slug(id),
            spec: serde_json::from_value(serde_json::json!({ "type": kind })).unwrap(),
        });
    }
    for id in GROUPS {
        put(CatalogueChanged::GroupPut {
            shop: SHOP,
            id: slug(id),
            spec: serde_json::from_value(serde_json::json!({ "name": id })).unwrap(),
        });
    }
    for id in TEMPLATES {
        let spec = serde_json::json!({
            "kind": "message", "sources": { "it": { "subject": "s", "html": "h", "text": "t" } },
        });
        put(CatalogueChanged::TemplatePut {
            shop: SHOP,
            id: slug(id),
            spec: serde_json::from_value(spec).unwrap(),
        });
    }
    catalogue
}

/// Reads a definition and finds its faults.
pub(crate) fn faults(json: &serde_json::Value, completeness: Completeness) -> Vec<Fault> {
    let spec: WorkflowSpec = serde_json::from_value(json.clone()).unwrap();
    check(&spec, &Vocabulary::of(&catalogue(), SHOP), completeness)
}

/// A mail that went out.
#[derive(Clone, Debug)]
pub(crate) struct Mail {
    pub(crate) at: Timestamp,
    pub(crate) message: MessageId,
    pub(crate) workflow: WorkflowNumber,
    pub(crate) step: Slug,
    pub(crate) instance: EventId,
    pub(crate) request: MessageRequest,
}

/// A call that was made.
#[derive(Clone, Debug)]
pub(crate) struct Called {
    pub(crate) at: Timestamp,
    pub(crate) instance: EventId,
    pub(crate) epoch: u32,
    pub(crate) body: serde_json::Value,
}

#[derive(Default)]
struct MailBox(HashMap<MessageId, Engagement>);

impl Mails for MailBox {
    fn engagement(&self, message: MessageId) -> Engagement {
        self.0.get(&message).copied().unwrap_or_default()
    }
}

pub(crate) struct Sim {
    pub(crate) now: Timestamp,
    pub(crate) catalogue: Catalogue,
    contact: Vec<u8>,
    pub(crate) person: PersonState,
    mint: IdMint,
    rows: BTreeMap<EventId, Vec<u8>>,
    timers: BTreeSet<(Timestamp, EventId, u32)>,
    /// Every timer that was ever set.
    armed: BTreeSet<(Timestamp, EventId, u32)>,
    mails: MailBox,
    zones: Zones,
    pub(crate) settings: Settings,
    pub(crate) sent: Vec<Mail>,
    pub(crate) calls: Vec<Called>,
    /// Every record that was made, with its id and wall time.
    pub(crate) records: Vec<(EventId, Timestamp, Moved)>,
    pub(crate) broken: Vec<Broke>,
    /// How long after they are due timers surface.
    pub(crate) lateness: Duration,
    /// How many sends find no place.
    pub(crate) busy: u32,
    /// What policy answers instead of deciding.
    pub(crate) refuse: Vec<Refusal>,
}

impl Sim {
    /// Begins on Monday 23 November 2026, 10:00 UTC, with these workflows switched on.
    pub(crate) fn new(workflows: &[(&str, serde_json::Value)]) -> Self {
        let mut sim = Self {
            now: at("2026-11-23T10:00"),
            catalogue: catalogue(),
            contact: ContactState::default().encode(),
            person: PersonState::default(),
            mint: IdMint::new(0, None),
            rows: BTreeMap::new(),
            timers: BTreeSet::new(),
            armed: BTreeSet::new(),
            mails: MailBox::default(),
            zones: Zones::default(),
            settings: Settings {
                frequency: FrequencyCap {
                    mails_max: 256,
                    ..Settings::default().frequency
                },
                ..Settings::default()
            },
            sent: Vec::new(),
            calls: Vec::new(),
            records: Vec::new(),
            broken: Vec::new(),
            lateness: Duration::ZERO,
            busy: 0,
            refuse: Vec::new(),
        };
        for (id, json) in workflows {
            sim.put(id, json);
            sim.switch(id, WorkflowState::On, Enrol::Future);
        }
        sim
    }

    pub(crate) fn put(&mut self, id: &str, json: &serde_json::Value) {
        let spec: WorkflowSpec = serde_json::from_value(json.clone()).unwrap();
        let faults = check(&spec, &Vocabulary::of(&self.catalogue, SHOP), Completeness::Complete);
        assert_eq!(faults, [], "{json:#}");
        self.change(CatalogueChanged::WorkflowPut {
            shop: SHOP,
            id: slug(id),
            spec: Box::new(spec),
        });
    }

    pub(crate) fn change(&mut self, change: CatalogueChanged) {
        self.catalogue.apply(&change, self.now);
    }

    /// Switches a workflow, and does what a runner's sweeps do then.
    pub(crate) fn switch(&mut self, id: &str, state: WorkflowState, enrol: Enrol) {
        self.change(CatalogueChanged::WorkflowSwitched {
            shop: SHOP,
            id: slug(id),
            state,
            enrol,
        });
        if state != WorkflowState::On {
            return;
        }
        let version = self.catalogue.version();
        for instance in self.live() {
            self.go(instance, &Input::On { version });
        }
        if enrol == Enrol::ExistingAndFuture {
            self.activate(version);
        }
    }

    /// Offers the contact to what was switched on.
    pub(crate) fn activate(&mut self, version: u64) {
        self.enter_all(&Trigger::Activation { version });
    }

    pub(crate) fn delete(&mut self, id: &str) {
        self.change(CatalogueChanged::WorkflowDeleted {
            shop: SHOP,
            id: slug(id),
        });
    }

    pub(crate) fn contact(&self) -> ContactState {
        ContactState::decode(&self.contact).unwrap()
    }

    pub(crate) fn instance(&self, id: EventId) -> Instance {
        Instance::decode(&self.rows[&id]).unwrap()
    }

    /// Returns the live instances, as the contact names them; the rows say the same.
    pub(crate) fn live(&self) -> Vec<EventId> {
        let named: BTreeSet<EventId> = self.contact().live().map(|(_, live)| live.instance).collect();
        let kept = self.rows.keys().filter(|id| self.instance(**id).waits().is_some());
        assert_eq!(named, kept.copied().collect::<BTreeSet<_>>());
        named.into_iter().collect()
    }

    /// Lets an event of the contact happen.
    pub(crate) fn tell(&mut self, event: &Event) {
        let id = self.mint.mint(self.now);
        let before = self.contact();
        let mut contact = before.clone();
        contact.apply(id, self.now, event);
        self.contact = contact.encode();
        self.person.apply(self.now, event);
        self.happen(id, &before, What::Event(event));
    }

    fn happen(&mut self, id: EventId, before: &ContactState, what: What<'_>) {
        let happened = Happened {
            id,
            wall: self.now,
            before: before.exists().then_some(before),
            what,
        };
        for instance in self.live() {
            self.go(instance, &Input::Happened(happened));
        }
        self.enter_all(&Trigger::Happened(happened));
    }

    fn enter_all(&mut self, trigger: &Trigger<'_>) {
        let workflows: Vec<_> = self.catalogue.workflows(SHOP).cloned().collect();
        for workflow in workflows {
            let compiled = Compiled::of(&workflow, workflow.version, &Schema::of(&self.catalogue, SHOP)).unwrap();
            let made = self.with_hands(|world, hands| enter(&compiled, world, trigger, hands));
            self.take(made.unwrap());
        }
    }

    fn go(&mut self, id: EventId, input: &Input<'_>) {
        let instance = self.instance(id);
        let compiled = self.compiled(&instance);
        let made = self.with_hands(|world, hands| resume(&compiled, world, id, &instance, input, hands));
        match made {
            Ok(made) => self.take(made),
            Err(broke) => {
                let moved = failed(id, &instance, input, &broke, self.now);
                self.broken.push(broke);
                self.take(vec![moved]);
            }
        }
    }

    fn compiled(&self, instance: &Instance) -> Compiled {
        let workflow = self.catalogue.workflow_by_number(instance.workflow).unwrap();
        let version = match instance.is_armed() {
            true => workflow.version,
            false => instance.version,
        };
        Compiled::of(workflow, version, &Schema::of(&self.catalogue, SHOP)).unwrap()
    }

    fn with_hands<T>(&mut self, engine: impl FnOnce(&World<'_>, &mut Desk<'_>) -> T) -> T {
        let contact = self.contact();
        let person = self.person.clone();
        let world = World {
            now: self.now,
            catalogue: &self.catalogue,
            key: PERSON,
            person: &person,
            contact: &contact,
            zones: &self.zones,
            mails: &self.mails,
        };
        let mut desk = Desk {
            now: self.now,
            catalogue: &self.catalogue,
            settings: &self.settings,
            mint: &self.mint,
            person: &mut self.person,
            busy: &mut self.busy,
            refuse: &self.refuse,
            sent: Vec::new(),
            called: Vec::new(),
        };
        let answer = engine(&world, &mut desk);
        let (sent, called) = (desk.sent, desk.called);
        let mut contact = contact;
        for (mail, instance) in sent {
            contact.sent(MailSent {
                message: mail.message,
                template: None,
            });
            self.sent.push(Mail {
                // Who enters has the id of the record, which is minted next.
                instance: instance.unwrap_or(EventId::from_raw(0)),
                ..mail
            });
        }
        self.calls.extend(called);
        self.contact = contact.encode();
        answer
    }

    /// Appends records: folds each, and offers group changes again.
    fn take(&mut self, made: Vec<Moved>) {
        for moved in made {
            let id = self.mint.mint(self.now);
            let instance = moved.instance.unwrap_or(id);
            let before = self.contact();
            let event = Event::Moved(Box::new(moved.clone()));
            let mut contact = before.clone();
            contact.apply(id, self.now, &event);
            self.contact = contact.encode();
            let row = match self.rows.get(&instance) {
                Some(row) => {
                    let mut row = Instance::decode(row).unwrap();
                    assert_eq!(moved.epoch, row.epoch + 1);
                    row.apply(&moved, self.now);
                    row
                }
                None => Instance::begin(&moved, self.now),
            };
            if let Some(due) = row.due() {
                self.timers.insert((due, instance, row.epoch));
                self.armed.insert((due, instance, row.epoch));
            }
            self.rows.insert(instance, row.encode());
            for mail in &mut self.sent {
                if mail.instance == EventId::from_raw(0) {
                    mail.instance = instance;
                }
            }
            for call in &mut self.calls {
                if call.instance == EventId::from_raw(0) {
                    call.instance = instance;
                }
            }
            self.records.push((id, self.now, moved));
            if before.groups() != contact.groups() {
                self.happen(id, &before, What::Event(&event));
            }
        }
    }

    /// Lets time pass: every timer fires when it is due.
    pub(crate) fn until(&mut self, time: &str) {
        self.advance(at(time));
    }

    pub(crate) fn advance(&mut self, to: Timestamp) {
        while let Some(timer) = self.timers.first().copied().filter(|(due, ..)| *due <= to) {
            self.timers.remove(&timer);
            let (due, instance, epoch) = timer;
            self.now = self.now.max(due + self.lateness);
            let row = self.instance(instance);
            if row.epoch == epoch {
                assert!(self.now >= due);
                self.go(instance, &Input::Timer { due });
            }
        }
        self.now = self.now.max(to);
    }

    /// Lets every timer that was ever set surface once more.
    pub(crate) fn surface_all_again(&mut self) {
        self.timers.clone_from(&self.armed);
        self.advance(self.now);
    }

    /// Lets time pass while nothing works.
    pub(crate) fn outage_until(&mut self, time: &str) {
        self.now = at(time);
        self.advance(self.now);
    }

    /// Lets every wait be computed again, as a start with new zone data does.
    pub(crate) fn rezone(&mut self) {
        for id in self.live() {
            let instance = self.instance(id);
            let compiled = self.compiled(&instance);
            let moved = self.with_hands(|world, _| rezone(&compiled, world, id, &instance));
            self.take(moved.into_iter().collect());
        }
    }

    // What may happen.

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

    // What is expected.

    /// Expects exactly these mails: step and time.
    pub(crate) fn expect_sent(&self, expected: &[(&str, &str)]) {
        let sent: Vec<_> = self.sent.iter().map(|mail| (mail.step.as_str(), mail.at)).collect();
        let expected: Vec<_> = expected.iter().map(|(step, time)| (*step, at(time))).collect();
        assert_eq!(sent, expected, "{:#?}", self.story());
    }

    /// Returns how each instance that is over ended, in the order in which they began.
    pub(crate) fn leaves(&self) -> Vec<&'static str> {
        let rows = self.rows.keys().map(|id| self.instance(*id).place);
        rows.filter_map(|place| match place {
            Place::Left(why) => Some(why.code()),
            Place::Waits(_) => None,
        })
        .collect()
    }

    /// Returns what each live instance waits for, and until when.
    pub(crate) fn waiting(&self) -> Vec<String> {
        let live = self.live();
        let waits = live.into_iter().map(|id| self.instance(id));
        waits
            .filter_map(|instance| {
                let waits = instance.waits()?;
                let on = serde_json::to_value(waits.on).unwrap();
                let due = waits.due.map_or("-".to_owned(), |due| minute(due));
                let step = waits.step.as_ref().map_or("-", Slug::as_str);
                Some(format!("{step} {} {due}", on.as_str().unwrap()))
            })
            .collect()
    }

    /// Returns every record in words.
    pub(crate) fn story(&self) -> Vec<String> {
        let told = |(id, wall, moved): &(EventId, Timestamp, Moved)| {
            let instance = moved.instance.unwrap_or(*id);
            format!("{wall} {instance:?}: {:?} {:?}", moved.did, moved.place)
        };
        self.records.iter().map(told).collect()
    }

    pub(crate) fn did(&self) -> impl Iterator<Item = &types::event::Did> {
        self.records.iter().flat_map(|(_, _, moved)| &moved.did)
    }

    /// Makes every row again from the records alone.
    pub(crate) fn expect_replay(&self) {
        let mut rows: BTreeMap<EventId, Instance> = BTreeMap::new();
        for (id, wall, moved) in &self.records {
            let instance = moved.instance.unwrap_or(*id);
            match rows.get_mut(&instance) {
                Some(row) => row.apply(moved, *wall),
                None => {
                    rows.insert(instance, Instance::begin(moved, *wall));
                }
            }
        }
        let encoded: BTreeMap<EventId, Vec<u8>> = rows.iter().map(|(id, row)| (*id, row.encode())).collect();
        assert_eq!(encoded, self.rows);
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

/// Writes `2026-11-23T10:00`.
fn minute(at: Timestamp) -> String {
    at.to_string().chars().take(16).collect()
}

/// What a runner's hands do.
struct Desk<'a> {
    now: Timestamp,
    catalogue: &'a Catalogue,
    settings: &'a Settings,
    mint: &'a IdMint,
    person: &'a mut PersonState,
    busy: &'a mut u32,
    refuse: &'a [Refusal],
    sent: Vec<(Mail, Option<EventId>)>,
    called: Vec<Called>,
}

impl Hands for Desk<'_> {
    fn send(&mut self, send: Send<'_>) -> Sent {
        let types::order::Body::Template(used) = &send.request.body else {
            panic!("a step's mail is made with a template");
        };
        if self.catalogue.template(SHOP, &used.id).is_none() {
            return Sent::NoTemplate;
        }
        if *self.busy > 0 {
            *self.busy -= 1;
            return Sent::Busy;
        }
        if !self.refuse.is_empty() {
            return Sent::Refused(self.refuse.to_vec());
        }
        let origin = Origin::Workflow {
            workflow: send.workflow,
            step: send.step.clone(),
            instance: send.instance,
        };
        let accepted = self.mint.mint(self.now);
        let asked = Event::MessageAccepted(Box::new(MessageAccepted {
            shop: SHOP,
            person: PERSON,
            request: send.request.clone(),
            claims: Vec::new(),
            origin: Some(origin.clone()),
        }));
        self.person.apply(self.now, &asked);
        let facts = MessageFacts {
            request: &send.request,
            origin: Some(&origin),
            accepted_at: self.now,
            shop: self.catalogue.shop_by_number(SHOP).unwrap(),
            catalogue: self.catalogue.version(),
            person: self.person,
            settings: self.settings,
        };
        let message = MessageId::new(self.mint.mint(self.now));
        match decide_message(&facts, self.now) {
            Decision::Refuse(refusals) => Sent::Refused(refusals),
            decision @ Decision::Send(_) => {
                let verdict: Verdict = decision.verdict(|| message);
                self.person.apply(
                    self.now,
                    &Event::Decided(Box::new(Decided {
                        cause: accepted,
                        shop: SHOP,
                        person: PERSON,
                        verdict,
                    })),
                );
                let mail = Mail {
                    at: self.now,
                    message,
                    workflow: send.workflow,
                    step: send.step.clone(),
                    instance: EventId::from_raw(0),
                    request: send.request,
                };
                self.sent.push((mail, send.instance));
                Sent::Accepted { accepted, message }
            }
        }
    }

    fn call(&mut self, webhook: Webhook<'_>) {
        let instance = webhook.instance.unwrap_or(EventId::from_raw(0));
        let public = PublicId {
            partition: PartitionId::new(0).unwrap(),
            event: instance,
        };
        self.called.push(Called {
            at: self.now,
            instance,
            epoch: webhook.epoch,
            body: serde_json::from_str(&webhook.body(public)).unwrap(),
        });
    }
}

/// So much time.
pub(crate) fn minutes(minutes: u64) -> Duration {
    Duration::from_mins(minutes)
}
