//! One contact of one shop, its workflows, timers and mails, and a clock that tests move.
//!
//! It does what a runner does, in the order in which a runner does it: an event is folded, live instances are offered it, then the
//! starts; what they record is folded at once and offered again. Rows are kept as bytes only.

mod desk;
mod events;
mod expect;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use policy::contact::{ContactState, MailSent};
use policy::filter::{Schema, Steps};
use policy::settings::FrequencyCap;
use policy::workflow::{
    Broke, Compiled, Completeness, Engagement, Fault, Happened, Input, Instance, Mails, Trigger, Vocabulary, What,
    World, Zones, check, enter, failed, listens, resume, rezone,
};
use policy::{PersonState, Settings};
use types::catalogue::Catalogue;
use types::event::{CatalogueChanged, Event, Moved, Refusal};
use types::id::{EventId, IdMint, MessageId, PersonKey, ShopNumber, WorkflowNumber};
use types::order::MessageRequest;
use types::text::Slug;
use types::time::Timestamp;
use types::workflow::{Enrol, WorkflowSpec, WorkflowState};

use desk::Desk;
pub(crate) use events::consent;

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
pub(crate) const GROUPS: [&str; 4] = ["buyers", "readers", "done", "staff"];
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
        let named: BTreeSet<EventId> = self
            .contact()
            .enrolments()
            .live()
            .map(|(_, live)| live.instance)
            .collect();
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
            let made = self.with_desk(|world, desk| desk.walk(enter(&compiled, world, trigger)));
            if !listens(&workflow.spec().start, trigger) {
                assert_eq!(made, Ok(Vec::new()), "{} does not listen", workflow.id);
            }
            self.take(made.unwrap());
        }
    }

    fn go(&mut self, id: EventId, input: &Input<'_>) {
        let instance = self.instance(id);
        let compiled = self.compiled(&instance);
        let made = self.with_desk(|world, desk| desk.walk(resume(&compiled, world, id, &instance, input)));
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
        let version = if instance.is_armed() {
            workflow.version
        } else {
            instance.version
        };
        Compiled::of(workflow, version, &Schema::of(&self.catalogue, SHOP)).unwrap()
    }

    fn with_desk<T>(&mut self, engine: impl FnOnce(&World<'_>, &mut Desk<'_>) -> T) -> T {
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
            steps: &Steps::default(),
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
            let moved = self.with_desk(|world, _| rezone(&compiled, world, id, &instance));
            self.take(moved.into_iter().collect());
        }
    }
}

/// So much time.
pub(crate) fn minutes(minutes: u64) -> Duration {
    Duration::from_mins(minutes)
}
