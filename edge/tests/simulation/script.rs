//! What shops and recipients do, and what befalls the node: drawn from the seed.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use store::Store;
use types::contact::{Channel, ChannelConsent, ContactChange, ContactSource};
use types::event::{
    AgentClass, CartChanged, CatalogueChanged, Clicked, ContactChanged, Event, EventReported, Landed, LandingVia,
    MessageAccepted, Opened, OrderAccepted, PersonErased, UnsubscribeScope, Unsubscribed, UnsubscribedBy, Visit,
};
use types::id::{CampaignNumber, EventId, MessageId, PartitionId, PersonKey, ShopNumber};
use types::network::Network;
use types::order::Statement;
use types::text::{Line, Slug};
use types::time::Clock;
use types::workflow::{Enrol, WorkflowState};

use crate::clock::SimClock;
use crate::disk::SimDisk;

const PUBLISHERS: [ShopNumber; 2] = [ShopNumber(1), ShopNumber(2)];
const PEOPLE: u32 = 40;
const HOSTS: [&str; 3] = ["libero.it", "gmail.com", "posta.example"];
/// What shops do in one life at most.
const ACTS_MAX: u32 = 60;
/// How far the clock is set forward at most, in minutes.
const AHEAD_MINUTES: i64 = 12 * 60;

/// How a life ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// The power is cut: what was not committed is lost.
    Cut,
    /// The disk failed.
    Failed,
    /// In order.
    Drained,
}

/// A mail that was decided.
#[derive(Clone, Debug)]
pub struct Sent {
    pub partition: PartitionId,
    pub message: MessageId,
    pub shop: ShopNumber,
    pub offers: Vec<CampaignNumber>,
}

/// What happens in a week.
pub struct Script {
    random: StdRng,
    clock: Arc<SimClock>,
    is_furnished: bool,
    sent: Vec<Sent>,
    clicks: Vec<(EventId, Sent)>,
    /// What was answered as durable.
    answered: Arc<Mutex<Vec<EventId>>>,
    acts: u32,
}

impl Script {
    pub fn new(seed: u64, clock: Arc<SimClock>) -> Self {
        Self {
            random: StdRng::seed_from_u64(seed),
            clock,
            is_furnished: false,
            sent: Vec::new(),
            clicks: Vec::new(),
            answered: Arc::default(),
            acts: 0,
        }
    }

    /// Returns the orders and messages that were answered as durable.
    pub fn answered(&self) -> Vec<EventId> {
        self.answered.lock().unwrap().clone()
    }

    /// Plays one life; `decided` returns the mails that were decided since it was asked last.
    pub async fn live(&mut self, store: &Store, disk: &SimDisk, decided: impl Fn() -> Vec<Sent>) -> End {
        if !self.is_furnished {
            for change in furniture() {
                submit(store, PartitionId::CATALOGUE, Event::CatalogueChanged(Box::new(change))).await;
            }
            self.is_furnished = true;
        }
        for _ in 0..self.random.random_range(ACTS_MAX / 4..ACTS_MAX) {
            self.act(store);
            self.sent.extend(decided());
            let newest = self.sent.len().saturating_sub(50);
            self.sent.drain(..newest);
            let pause = match self.random.random_range(0..10) {
                0..4 => 0,
                4..8 => self.random.random_range(1..1000),
                _ => self.random.random_range(1000..20_000),
            };
            tokio::time::sleep(Duration::from_millis(pause)).await;
        }
        match self.random.random_range(0..10) {
            0..4 => End::Cut,
            4..7 => {
                disk.fail();
                self.act(store);
                let mut failed = store.failed();
                let failing = failed.wait_for(|failed| *failed);
                // Nothing may have been left to be written.
                let _ = tokio::time::timeout(Duration::from_mins(2), failing).await;
                End::Failed
            }
            _ => End::Drained,
        }
    }

    /// Does one thing. It is handed in beside whatever is under way, and mostly not waited for.
    fn act(&mut self, store: &Store) {
        self.acts += 1;
        let shop = *PUBLISHERS.choose(&mut self.random).unwrap();
        let email = self.someone();
        let person = store.secrets().person_keyer().key(&email.as_str().try_into().unwrap());
        let partition = person.partition();
        let event = match self.random.random_range(0..100) {
            0..35 => self.order(shop, person, &email),
            35..42 => Event::MessageAccepted(Box::new(MessageAccepted {
                shop,
                person,
                request: read(json!({
                    "to": { "email": email }, "body": { "content": { "subject": "Order", "text": "Confirmed." } },
                })),
                claims: Vec::new(),
                origin: None,
            })),
            42..50 => self.subscribed(person, &email),
            50..58 => self.touched(person, &email),
            58..64 => self.reported(person, &email),
            64..84 => return self.visit(store),
            84..87 => match self.mail() {
                Some(sent) => {
                    return hand_in(
                        store,
                        sent.partition,
                        Event::Unsubscribed(Unsubscribed {
                            message: sent.message,
                            shop: sent.shop,
                            scope: UnsubscribeScope::Shop,
                            by: UnsubscribedBy::OneClick,
                        }),
                    );
                }
                None => return,
            },
            87..89 => Event::PersonErased(PersonErased { person, shop: None }),
            89..91 => {
                let state = *[WorkflowState::On, WorkflowState::Off]
                    .choose(&mut self.random)
                    .unwrap();
                let change = CatalogueChanged::WorkflowSwitched {
                    shop: PUBLISHERS[0],
                    id: slug("series"),
                    state,
                    enrol: Enrol::ExistingAndFuture,
                };
                return hand_in(store, PartitionId::CATALOGUE, Event::CatalogueChanged(Box::new(change)));
            }
            91..93 => return self.clock.set_by(-self.random.random_range(1..900_000)),
            _ => return self.clock.set_by(self.random.random_range(1..AHEAD_MINUTES) * 60_000),
        };
        match event {
            Event::OrderAccepted(_) | Event::MessageAccepted(_) => {
                let store = store.clone();
                // Whoever posted it may have gone away.
                let answered = Arc::clone(&self.answered);
                tokio::spawn(async move {
                    if let Ok(receipt) = store.intake().accept(partition, event).await {
                        answered.lock().unwrap().push(receipt.id);
                    }
                });
            }
            event => hand_in(store, partition, event),
        }
    }

    fn someone(&mut self) -> String {
        let number = self.random.random_range(0..PEOPLE);
        format!("person{number}@{}", HOSTS[number as usize % HOSTS.len()])
    }

    fn mail(&mut self) -> Option<Sent> {
        self.sent.choose(&mut self.random).cloned()
    }

    fn order(&mut self, shop: ShopNumber, person: PersonKey, email: &str) -> Event {
        let order = read(json!({
            "order_id": format!("o-{}", self.acts), "status": "confirmed",
            "placed_at": self.clock.now() - Duration::from_secs(self.random.random_range(1..400)),
            "customer": { "email": email, "locale": "it" },
            "consent": { "marketing": self.random.random_bool(0.9), "tracking": self.random.random_bool(0.8) },
            "total": { "amount": self.random.random_range(100..9000), "currency": "EUR" },
        }));
        Event::OrderAccepted(Box::new(OrderAccepted {
            shop,
            person,
            order,
            claims: Vec::new(),
        }))
    }

    fn subscribed(&mut self, person: PersonKey, email: &str) -> Event {
        let statement = Statement {
            granted: self.random.random_bool(0.9),
            at: self.clock.now(),
            text: Some("v1".try_into().unwrap()),
            source: Some("site".try_into().unwrap()),
        };
        Event::ContactChanged(Box::new(ContactChanged {
            shop: PUBLISHERS[0],
            person,
            email: email.try_into().unwrap(),
            source: ContactSource::Api,
            change: ContactChange {
                consents: vec![ChannelConsent {
                    channel: Channel::Email,
                    statement,
                    asserted: false,
                }],
                ..ContactChange::default()
            },
        }))
    }

    fn touched(&mut self, person: PersonKey, email: &str) -> Event {
        let cart = read(json!({
            "customer": { "email": email, "locale": "it" },
            "consent": { "marketing": { "granted": true, "at": self.clock.now(), "text": "v1" }, "tracking": true },
            "items": [{ "sku": "s", "title": "Caffè", "quantity": 1, "unit_price": 500 }],
            "total": { "amount": 500, "currency": "EUR" }, "net": 410,
            "restore_url": "https://shop.example/cart/1",
        }));
        Event::CartChanged(Box::new(CartChanged {
            shop: PUBLISHERS[0],
            person,
            id: Line::try_from(format!("cart-{}", self.random.random_range(0..20))).unwrap(),
            cart: Some(Box::new(cart)),
            language: None,
            next: None,
            object: None,
        }))
    }

    fn reported(&mut self, person: PersonKey, email: &str) -> Event {
        Event::EventReported(Box::new(EventReported {
            shop: PUBLISHERS[0],
            person,
            email: email.try_into().unwrap(),
            name: slug("quiz"),
            at: self.clock.now(),
            key: None,
            properties: BTreeMap::new(),
            claims: Vec::new(),
        }))
    }

    /// An open, a click or a landing, as the tracker offers it.
    fn visit(&mut self, store: &Store) {
        let network = Some(Network::V4([192, 0, self.random.random_range(0..3)]));
        if self.random.random_bool(0.3)
            && let Some((click, sent)) = self.clicks.choose(&mut self.random).cloned()
        {
            let landed = Landed {
                click,
                message: sent.message,
                shop: sent.shop,
                campaign: sent.offers[0],
                via: LandingVia::Snippet,
                new_visitor: Some(true),
                proven: true,
                network,
                agent: AgentClass::Client,
            };
            return hand_in(store, sent.partition, Event::Landed(Box::new(landed)));
        }
        let Some(sent) = self.mail() else { return };
        let event = if sent.offers.is_empty() || self.random.random_bool(0.5) {
            Event::Opened(Opened {
                message: sent.message,
                shop: sent.shop,
                agent: AgentClass::Client,
                network,
                visit: Visit::Real,
                suspect: false,
            })
        } else {
            let click = store.journal().mint();
            self.clicks.push((click, sent.clone()));
            Event::Clicked(Clicked {
                message: sent.message,
                shop: sent.shop,
                campaign: sent.offers[0],
                slot: 0,
                agent: AgentClass::Client,
                click: Some(click),
                network,
                visit: Visit::Real,
                suspect: false,
                untrusted: false,
            })
        };
        // Refused only if the lane is full.
        let _ = store.intake().offer(sent.partition, event);
    }
}

/// Hands an event in and goes on.
fn hand_in(store: &Store, partition: PartitionId, event: Event) {
    let store = store.clone();
    tokio::spawn(async move { drop(store.intake().submit(partition, event).await) });
}

async fn submit(store: &Store, partition: PartitionId, event: Event) {
    store.intake().submit(partition, event).await.unwrap();
}

/// Two publishers, three advertisers with a campaign each, and the first publisher's automation.
fn furniture() -> Vec<CatalogueChanged> {
    let mut changes = Vec::new();
    for id in ["publisher", "second", "a1", "a2", "a3"] {
        changes.push(CatalogueChanged::ShopPut {
            id: slug(id),
            spec: read(json!({
                "name": id, "url": "https://shop.example/", "language": "it", "country": "IT",
                "promotional": { "address": "offers@news.shop.example" },
                "transactional": { "address": "orders@shop.example" }, "postal_address": "Via Roma 1",
            })),
        });
    }
    for (id, advertiser) in [("c1", "a1"), ("c2", "a2"), ("c3", "a3")] {
        changes.push(CatalogueChanged::CampaignPut {
            id: slug(id),
            spec: read(json!({
                "advertiser": advertiser, "price": { "amount": 90, "currency": "EUR" },
                "landing_url": "https://a.example/",
                "creatives": { "it": { "title": "Caffè", "text": "Buono.", "button": "Vai" } },
            })),
        });
    }
    let shop = PUBLISHERS[0];
    changes.push(CatalogueChanged::GroupPut {
        shop,
        id: slug("friends"),
        spec: read(json!({ "name": "friends" })),
    });
    for id in ["hello", "second"] {
        let source = json!({ "subject": "Ciao", "html": "<p>Ciao</p>", "text": "Ciao" });
        changes.push(CatalogueChanged::TemplatePut {
            shop,
            id: slug(id),
            spec: read(json!({ "kind": "message", "sources": { "it": source } })),
        });
    }
    let series = json!({ "name": "Series", "start": { "on": "subscription" }, "entry": "after_exit", "steps": [
        { "do": "send", "id": "first", "template": "hello" },
        { "do": "wait", "id": "day", "for": "24h" },
        { "do": "send", "id": "next", "template": "second" },
        { "do": "wait", "id": "hour", "for": "1h" },
        { "do": "group", "id": "join", "change": { "copy": "friends" } },
    ] });
    let reader = json!({ "name": "Reader", "start": { "on": "event", "name": "quiz" }, "entry": "after_exit", "steps": [
        { "do": "send", "id": "first", "template": "hello" },
        { "do": "wait", "id": "read", "for": "1h", "after": "engagement" },
        { "do": "send", "id": "next", "template": "second" },
    ] });
    for (id, workflow) in [("series", series), ("reader", reader)] {
        changes.push(CatalogueChanged::WorkflowPut {
            shop,
            id: slug(id),
            spec: Box::new(read(workflow)),
        });
        changes.push(CatalogueChanged::WorkflowSwitched {
            shop,
            id: slug(id),
            state: WorkflowState::On,
            enrol: Enrol::Future,
        });
    }
    changes.push(CatalogueChanged::CartsPut {
        shop,
        spec: read(json!({
            "mode": "live", "languages": ["it"], "time_zone": "Europe/Rome",
            "first": { "after": "2h" }, "second": { "after": "23h" },
        })),
    });
    changes
}

fn read<T: DeserializeOwned>(json: Value) -> T {
    serde_json::from_value(json).unwrap()
}

fn slug(text: &str) -> Slug {
    text.try_into().unwrap()
}
