//! A whole API on ephemeral ports over a real store in a temporary folder.
//!
//! What the product's runners do is done by a small double (`runner.rs`): it journals through the store, folds just
//! enough for the API to answer from, and "delivers" every mail at once.

#![allow(dead_code, unreachable_pub, reason = "each test file uses its own part")]
#![allow(clippy::format_push_string, reason = "requests are written to be read")]

pub mod http;
pub mod runner;

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};
use store::state::{CellPut, LeadPut, MailPut};
use store::{Put, Store, Turn};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use types::id::MessageId;
use types::port::{Queues, SiteLimits, SiteView};
use types::time::{Clock, Timestamp};
use types::token::TokenKeys;

#[allow(unused_imports, reason = "each test file uses its own part")]
pub use http::{Answer, Client};

/// 2026-11-21T20:15:00Z, where every test's clock starts.
pub const NOON: u64 = 1_795_292_100_000;

/// A clock that stands still unless it is moved.
pub struct TestClock(AtomicU64);

impl TestClock {
    pub fn advance(&self, by: Duration) {
        self.0
            .fetch_add(u64::try_from(by.as_millis()).unwrap(), Ordering::Relaxed);
    }
}

impl Clock for TestClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.0.load(Ordering::Relaxed))
    }
}

/// Queues with one site, which remember what they were told.
#[derive(Default)]
pub struct TestQueues(pub Mutex<Vec<String>>);

impl TestQueues {
    fn told(&self, site: &str, what: String) -> bool {
        self.0.lock().unwrap().push(what);
        site == "mx.example"
    }
}

impl Queues for TestQueues {
    fn sites(&self, _limit: usize) -> Vec<SiteView> {
        vec![SiteView {
            site: "mx.example".to_owned(),
            ready: 3,
            deferred: 1,
            sessions: 2,
            state: "ready".to_owned(),
            limits: SiteLimits::default(),
        }]
    }

    fn waiting(&self, _message: MessageId) -> Option<String> {
        None
    }

    fn adjust(&self, site: &str, limits: &SiteLimits) -> bool {
        self.told(site, format!("adjust {:?}", limits.connections_max))
    }

    fn suspend(&self, site: &str) -> bool {
        self.told(site, "suspend".to_owned())
    }

    fn resume(&self, site: &str) -> bool {
        self.told(site, "resume".to_owned())
    }
}

/// A running API.
pub struct World {
    pub api: SocketAddr,
    pub admin: SocketAddr,
    pub operator: Client,
    pub clock: Arc<TestClock>,
    pub queues: Arc<TestQueues>,
    pub ready: watch::Sender<bool>,
    pub store: Store,
    pub stop: CancellationToken,
    pub listeners: Vec<JoinHandle<()>>,
    folder: tempfile::TempDir,
}

impl World {
    /// Starts with the default settings.
    pub async fn start() -> Self {
        Self::with(api::Settings::default()).await
    }

    /// Starts with these settings.
    pub async fn with(settings: api::Settings) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let clock = Arc::new(TestClock(AtomicU64::new(NOON)));
        let registry = prometheus::Registry::new();
        let store_settings = store::Settings {
            data_dir: folder.path().join("data"),
            runners: 1,
            segment_bytes: 4 << 20,
            disk_floor_bytes: 1 << 20,
            ..store::Settings::default()
        };
        let (open_clock, open_registry) = (Arc::clone(&clock), registry.clone());
        let (store, replay) =
            tokio::task::spawn_blocking(move || store::open(store_settings, open_clock, &open_registry).unwrap())
                .await
                .unwrap();
        drop(replay);
        let operator_key = api::auth::ensure_operator_key(store.secrets()).unwrap().unwrap();
        runner::start(&store, Arc::clone(&clock) as Arc<dyn Clock>);
        let queues = Arc::new(TestQueues::default());
        let (ready, readiness) = watch::channel(true);
        let service = api::Api::new(
            settings,
            api::Deps {
                store: store.clone(),
                tokens: Arc::new(TokenKeys::new(&store.secrets().token_secrets())),
                tracking_host: "t.staffetta.example".to_owned(),
                clock: Arc::clone(&clock) as Arc<dyn Clock>,
                registry,
                shop_hook: Arc::new(|shop| {
                    let domain = shop.promotional.address.domain();
                    Ok(vec![api::DnsRecord {
                        name: format!("s1._domainkey.{domain}"),
                        value: "v=DKIM1; p=…".to_owned(),
                    }])
                }),
                health: vec![Arc::new(store.clone())],
                queues: Arc::clone(&queues) as Arc<dyn Queues>,
                ready: readiness,
            },
        );
        let stop = CancellationToken::new();
        let (for_api, for_admin) = (listener().await, listener().await);
        let (api, admin) = (for_api.local_addr().unwrap(), for_admin.local_addr().unwrap());
        let listeners = vec![
            tokio::spawn(service.serve_api(for_api, stop.clone())),
            tokio::spawn(service.serve_admin(for_admin, stop.clone())),
        ];
        Self {
            api,
            admin,
            operator: Client::new(api, Some(&operator_key)),
            clock,
            queues,
            ready,
            store,
            stop,
            listeners,
            folder,
        }
    }

    /// Puts a shop and returns a client with a key of all scopes.
    pub async fn shop(&self, id: &str) -> Client {
        let answer = self.operator.put(&format!("/v1/shops/{id}"), &shop(id)).await;
        assert_eq!(answer.status, 201, "{answer:?}");
        self.key(id, &["send", "read", "manage"]).await
    }

    /// Makes a key of a shop.
    pub async fn key(&self, shop: &str, scopes: &[&str]) -> Client {
        let path = format!("/v1/shops/{shop}/keys");
        let answer = self.operator.post(&path, &json!({ "scopes": scopes })).await;
        assert_eq!(answer.status, 201, "{answer:?}");
        Client::new(self.api, answer.json()["key"].as_str())
    }

    /// Puts rows into state as a runner does, and waits until the last is there.
    pub async fn rows(&self, puts: Vec<Put>) {
        let last = puts.last().cloned().unwrap();
        let turn = Turn {
            // The catalogue's partition, of which the position says nothing new.
            range: 1024..1025,
            position: *self.store.journal().durable().borrow(),
            puts,
            released: Vec::new(),
        };
        self.store.state().submit(turn);
        let state = self.store.state();
        let there = || match &last {
            Put::Cell(CellPut { key, counts }) => state.cells().get(key).unwrap() == **counts,
            Put::Lead(LeadPut::Lead {
                campaign,
                claimed,
                lead,
            }) => state
                .leads()
                .get(lead.partition, *campaign, *claimed)
                .unwrap()
                .is_some(),
            Put::Mail(MailPut::Set { partition, message, .. }) => {
                state.mails().get(*partition, *message).unwrap().is_some()
            }
            other => panic!("nothing tells whether {other:?} is there"),
        };
        while !there() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    /// The operator, on the admin listener.
    pub fn at_admin(&self) -> Client {
        Client::new(self.admin, self.operator.key())
    }
}

async fn listener() -> TcpListener {
    TcpListener::bind("127.0.0.1:0").await.unwrap()
}

/// A valid shop.
pub fn shop(id: &str) -> Value {
    json!({
        "name": format!("Shop {id}"), "url": format!("https://{id}.example/"),
        "promotional": { "address": format!("offerte@offerte.{id}.example") },
        "transactional": { "address": format!("ordini@{id}.example") },
        "language": "it", "country": "IT", "categories": ["shoes"], "postal_address": "Via Appia 1, Roma",
    })
}

/// A valid campaign.
pub fn campaign(advertiser: &str) -> Value {
    let landing_url = format!("https://www.{advertiser}.example/?c={{click_id}}");
    json!({
        "advertiser": advertiser, "price": { "amount": 150, "currency": "EUR" }, "budget": 50_000,
        "countries": ["IT"], "categories": ["bags"], "landing_url": landing_url,
        "creatives": { "it": { "title": "Borse", "text": "In pelle.", "button": "Guarda" } },
    })
}

/// A valid message template.
pub fn template() -> Value {
    let text = "Ciao {{ vars.name }}";
    json!({ "kind": "message", "sources": { "it": { "subject": text, "html": text, "text": text } } })
}

/// A valid order.
pub fn order(order_id: &str) -> Value {
    json!({
        "order_id": order_id, "placed_at": "2026-11-21T20:14:30Z", "status": "confirmed",
        "customer": { "email": "mario@example.it", "name": "Mario Rossi", "locale": "it-IT", "country": "IT" },
        "consent": {
            "marketing": { "granted": true, "at": "2026-11-21T20:14:10Z", "text": "v3", "source": "checkout" },
            "tracking": true,
        },
        "total": { "amount": 5990, "currency": "EUR" },
        "items": [{ "sku": "A1", "title": "Scarpe", "quantity": 1, "unit_price": 5990, "categories": ["shoes"] }],
    })
}

/// A valid plain message.
pub fn message(to: &str) -> Value {
    json!({ "to": { "email": to }, "body": { "content": { "subject": "Il tuo ordine", "text": "È partito." } } })
}
