//! The whole service in this process, on a clock that is moved on: verdicts of half an hour later in seconds.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use edge::client::{Answer, Client};
use edge::clock::SystemClock;
use edge::demo::dns::Zone;
use edge::demo::mail;
use edge::demo::sink::{Received, Sink};
use edge::demo::world::{self, TRACKING_HOST};
use edge::service::Service;
use edge::settings::Settings;
use hyper::Method;
use serde_json::{Value, json};
use types::time::{Clock, Timestamp};

use super::PATIENCE;

/// A person's browser.
pub const BROWSER: &str =
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36";

/// The real time, and what it was moved on by.
#[derive(Default)]
pub struct StageClock(AtomicU64);

impl StageClock {
    pub fn advance(&self, by: Duration) {
        let by = u64::try_from(by.as_millis()).unwrap();
        self.0.fetch_add(by, Ordering::Relaxed);
    }

    /// A moment before now, as parameters take it.
    pub fn now_minus(&self, by: Duration) -> String {
        (self.now() - by).to_string()
    }
}

impl Clock for StageClock {
    fn now(&self) -> Timestamp {
        SystemClock.now() + Duration::from_millis(self.0.load(Ordering::Relaxed))
    }
}

/// A furnished service with a receiving server and name server of its own.
pub struct Stage {
    pub service: Service,
    pub clock: Arc<StageClock>,
    pub operator: Client,
    pub admin: Client,
    pub shop: Client,
    pub tracker: Client,
    pub sink: Sink,
    pub zone: Zone,
    _dns: edge::demo::dns::DnsServer,
}

impl Stage {
    /// Starts on data in `folder`; `adjust` has the last word on the settings.
    pub async fn start(folder: &Path, adjust: impl FnOnce(&mut Settings)) -> Self {
        Self::start_before(Sink::start().await.unwrap(), folder, adjust).await
    }

    /// The same with a receiving server that has its own manner.
    pub async fn start_before(sink: Sink, folder: &Path, adjust: impl FnOnce(&mut Settings)) -> Self {
        let (dns, zone) = super::buyers_dns().await;
        let mut settings = Settings::read(None).unwrap();
        settings.store.data_dir = folder.join("data");
        settings.store.segment_bytes = 4 << 20;
        settings.store.disk_floor_bytes = 16 << 20;
        settings.delivery.nameserver = Some(dns.address);
        settings.delivery.smtp_port = sink.address.port();
        settings.delivery.allow_private_destinations = true;
        world::TRACKING_HOST.clone_into(&mut settings.submit.tracking_host);
        for address in [
            &mut settings.listen.api,
            &mut settings.listen.tracker,
            &mut settings.listen.admin,
        ] {
            address.set_port(0);
        }
        adjust(&mut settings);
        let clock = Arc::new(StageClock::default());
        let handle = tokio::runtime::Handle::current();
        let service = Service::start(settings, Arc::clone(&clock) as Arc<dyn Clock>, &handle)
            .await
            .unwrap();
        let key = service.operator_key.clone().unwrap();
        let client = |address: std::net::SocketAddr| Client::new(address.to_string(), Some(key.clone()));
        let (operator, admin) = (client(service.addresses.api), client(service.addresses.admin));
        let shop_key = super::furnish_with(&operator, &admin).await;
        Self {
            shop: Client::new(service.addresses.api.to_string(), Some(shop_key)),
            tracker: Client::new(service.addresses.tracker.to_string(), None).speaking_of(TRACKING_HOST),
            operator,
            admin,
            service,
            clock,
            sink,
            zone,
            _dns: dns,
        }
    }

    /// A key of another shop.
    pub async fn key_of(&self, shop: &str) -> Client {
        let body = json!({ "id": "story", "scopes": ["send", "read", "manage"] });
        let made = self
            .admin
            .json(Method::POST, &format!("/admin/v1/shops/{shop}/keys"), &body)
            .await
            .unwrap()
            .success()
            .unwrap();
        let key = made["key"].as_str().unwrap().to_owned();
        Client::new(self.service.addresses.api.to_string(), Some(key))
    }

    /// Posts an order and waits until its mail has come and its delivery is told.
    pub async fn deliver(&mut self, order_id: &str, email: &str) -> Links {
        let order = world::order(order_id, email, self.clock.now());
        let posted = self.shop.json(Method::POST, "/v1/orders", &order).await.unwrap();
        assert_eq!(posted.status, 202, "{}", String::from_utf8_lossy(&posted.body));
        super::in_state(&self.shop, order_id, "delivered").await;
        Links::of(self.sink.received.recv().await.unwrap())
    }

    /// Asks the tracker as someone with this agent and address would.
    pub async fn track(&self, method: Method, path: &str, agent: &str, from: &str, body: &str) -> Answer {
        let mut headers = vec![("x-forwarded-for", from)];
        if !agent.is_empty() {
            headers.push(("user-agent", agent));
        }
        if path == "/l" {
            headers.push(("content-type", "text/plain;charset=UTF-8"));
            headers.push(("origin", "https://www.caffe-etna.example"));
        }
        let body = Bytes::copy_from_slice(body.as_bytes());
        self.tracker.send(method, path, &headers, body).await.unwrap()
    }

    /// Waits until what a GET answers satisfies a condition, and returns it.
    pub async fn until(&self, client: &Client, path: &str, condition: impl Fn(&Value) -> bool) -> Value {
        let end = Instant::now() + PATIENCE;
        loop {
            let answer = client.get(path).await.unwrap().json().unwrap();
            if condition(&answer) {
                return answer;
            }
            assert!(Instant::now() < end, "{path} never came to be: {answer:#}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Returns the events of a type that the journal holds, as the operator's stream tells them.
    pub async fn events(&self, kind: &str) -> Vec<Value> {
        let path = format!("/admin/v1/events/stream?follow=false&since=2020-01-01T00:00:00Z&type={kind}");
        let told = self.admin.get(&path).await.unwrap();
        let text = String::from_utf8(told.body.to_vec()).unwrap();
        let data = text.lines().filter_map(|line| line.strip_prefix("data: "));
        data.map(|data| serde_json::from_str(data).unwrap()).collect()
    }
}

/// What a delivered mail leads to.
#[derive(Debug)]
pub struct Links {
    /// The pixel's path.
    pub pixel: String,
    /// The paths of the offers' links, in the order shown.
    pub clicks: Vec<String>,
    /// The path of the unsubscribe link.
    pub unsubscribe: String,
    pub html: String,
    pub received: Received,
}

impl Links {
    pub fn of(received: Received) -> Self {
        let html = mail::html(&received.bytes).unwrap();
        let paths = |part: &str| {
            let start = format!("https://{TRACKING_HOST}{part}");
            let mut found: Vec<String> = Vec::new();
            for (at, _) in html.match_indices(&start) {
                let rest = &html[at + start.len() - part.len()..];
                let path = rest.split(['"', '\'', '<', '>', ' ']).next().unwrap().to_owned();
                if !found.contains(&path) {
                    found.push(path);
                }
            }
            found
        };
        Self {
            pixel: paths("/o/").remove(0),
            clicks: paths("/c/"),
            unsubscribe: paths("/u/").remove(0),
            html: html.clone(),
            received,
        }
    }
}
