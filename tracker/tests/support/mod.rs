//! A running tracker on a real socket, with a real store whose inboxes the test reads.

#![allow(dead_code, reason = "each test binary uses its part")]
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    unreachable_pub,
    missing_docs,
    reason = "a fixture of tests"
)]

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use prometheus::Registry;
use store::{Inbox, Position, Receipt, Store, Submission};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tracker::{Deps, Settings, Tracker};
use types::catalogue::{CampaignSpec, Catalogue, ShopSpec};
use types::event::{CatalogueChanged, Event};
use types::id::{CampaignNumber, EventId, MessageId, PartitionId, ShopNumber};
use types::time::{Clock, Timestamp};
use types::token::{AggregateClick, AggregatePixel, ClickId, ClickToken, PixelToken, TokenKeys, UnsubscribeToken};
use types::withdrawals::Withdrawals;

/// The tracking host of shop 1, "scarpe".
pub const HOST: &str = "click.scarpe.example";
/// The tracking host of shop 2, "vini".
pub const OTHER_HOST: &str = "click.vini.example";
/// The page of shop 1.
pub const SHOP_PAGE: &str = "https://scarpe.example/";
pub const BROWSER: &str = "Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) AppleWebKit/605.1.15 Mobile/15E148";

struct Fixed;

impl Clock for Fixed {
    fn now(&self) -> Timestamp {
        "2026-11-22T12:00:00Z".parse().unwrap()
    }
}

/// A tracker that serves, and what stands behind it.
pub struct World {
    pub address: SocketAddr,
    pub keys: Arc<TokenKeys>,
    pub withdrawals: Arc<Withdrawals>,
    pub registry: Registry,
    pub store: Store,
    pub tracker: Tracker,
    pub stop: CancellationToken,
    pub serving: JoinHandle<()>,
    inboxes: Vec<Inbox>,
    _dir: tempfile::TempDir,
}

/// Starts a tracker on default settings.
pub async fn start() -> World {
    start_with(Settings::default()).await
}

/// Starts a tracker.
pub async fn start_with(settings: Settings) -> World {
    start_full(settings, 4096).await
}

/// Starts a tracker that distrusts these token keys; 2 signs.
pub async fn start_distrusting(keys: &[u8]) -> World {
    start_whole(Settings::default(), 4096, keys).await
}

/// Starts a tracker whose runner has an inbox of this length.
pub async fn start_full(settings: Settings, inbox_len: usize) -> World {
    start_whole(settings, inbox_len, &[]).await
}

async fn start_whole(settings: Settings, inbox_len: usize, distrusted: &[u8]) -> World {
    let dir = tempfile::tempdir().unwrap();
    let registry = Registry::new();
    let store_settings = store::Settings {
        data_dir: dir.path().join("data"),
        runners: 1,
        segment_bytes: 1 << 20,
        disk_floor_bytes: 0,
        inbox_len,
        tracked_len: inbox_len,
        ..store::Settings::default()
    };
    let (store, _replay) = store::open(store_settings, Arc::new(Fixed), &registry).unwrap();
    store.catalogue().swap(Arc::new(catalogue()));
    let inboxes = store
        .intake()
        .take_inboxes()
        .into_iter()
        .map(|(_, inbox)| inbox)
        .collect();
    let keys = TokenKeys::new(&[(1, [1; 32]), (2, [2; 32])]).distrust(distrusted);
    let keys = Arc::new(keys);
    let withdrawals = Arc::new(Withdrawals::default());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let stop = CancellationToken::new();
    let deps = Deps {
        store: store.clone(),
        tokens: Arc::clone(&keys),
        withdrawals: Arc::clone(&withdrawals),
        clock: Arc::new(Fixed),
        registry: registry.clone(),
    };
    let tracker = Tracker::new(settings, deps);
    let serving = tokio::spawn(tracker.clone().serve(listener, stop.clone()));
    World {
        address,
        keys,
        withdrawals,
        registry,
        store,
        tracker,
        stop,
        serving,
        inboxes,
        _dir: dir,
    }
}

/// Two shops with tracking hosts, two without; campaigns 1 (with every macro), 2 (ended) and 3 (deleted).
fn catalogue() -> Catalogue {
    let mut catalogue = Catalogue::default();
    let mut put = |change: CatalogueChanged| catalogue.apply(&change, Fixed.now());
    for (id, host) in [("scarpe", Some(HOST)), ("vini", Some(OTHER_HOST)), ("olio", None)] {
        let host = host.map_or(String::new(), |host| format!("tracking_host = '{host}'"));
        let spec: ShopSpec = toml::from_str(&format!(
            r#"
            name = "Scarpe & Söhne <Roma>"
            url = "https://{id}.example/"
            promotional = {{ address = "ciao@offerte.{id}.example" }}
            language = "it"
            country = "IT"
            postal_address = "Via Roma 1, Roma"
            {host}
            "#
        ))
        .unwrap();
        let id = id.try_into().unwrap();
        put(CatalogueChanged::ShopPut { id, spec });
    }
    for (id, ends) in [
        ("vini-autunno", None),
        ("vini-estate", Some("2026-09-01T00:00:00Z")),
        ("vini-prova", None),
    ] {
        let ends = ends.map_or(String::new(), |ends| format!("ends_at = '{ends}'"));
        let spec: CampaignSpec = toml::from_str(&format!(
            r#"
            advertiser = "vini"
            price = {{ amount = 90, currency = "EUR" }}
            landing_url = "https://vini.example/in?c={{click_id}}&p={{publisher}}&k={{coupon}}&n={{campaign}}"
            {ends}
            creatives = {{ it = {{ title = "V", text = "B", button = "A", coupon = "10%0d%0a & più" }} }}
            "#
        ))
        .unwrap();
        let id = id.try_into().unwrap();
        put(CatalogueChanged::CampaignPut { id, spec });
    }
    let id = "vini-prova".try_into().unwrap();
    put(CatalogueChanged::CampaignDeleted { id });
    catalogue
}

pub fn message() -> MessageId {
    MessageId::from_raw(0x05a1_b2c3_d4e5_f607)
}

pub fn partition() -> PartitionId {
    PartitionId::new(511).unwrap()
}

impl World {
    pub fn click(&self, campaign: u32) -> String {
        let token = ClickToken {
            message: message(),
            partition: partition(),
            campaign: CampaignNumber(campaign),
            shop: ShopNumber(1),
            slot: 2,
            flags: 0,
        };
        self.keys.click(HOST, &token)
    }

    pub fn pixel(&self) -> String {
        let token = PixelToken {
            message: message(),
            partition: partition(),
            shop: ShopNumber(1),
            flags: 0,
        };
        self.keys.pixel(HOST, &token)
    }

    pub fn unsubscribe(&self) -> String {
        let token = UnsubscribeToken {
            message: message(),
            partition: partition(),
            shop: ShopNumber(1),
        };
        self.keys.unsubscribe(HOST, &token)
    }

    pub fn aggregate_click(&self) -> String {
        let token = AggregateClick {
            shop: ShopNumber(1),
            campaign: CampaignNumber(1),
            day: 20_778,
            slot: 0,
        };
        self.keys.aggregate_click(HOST, &token)
    }

    pub fn aggregate_pixel(&self) -> String {
        let token = AggregatePixel {
            shop: ShopNumber(1),
            day: 20_778,
        };
        self.keys.aggregate_pixel(HOST, &token)
    }

    /// Sends a request to shop 1's host on a connection of its own.
    pub async fn get(&self, path: &str) -> Answer {
        self.request("GET", path, &[("user-agent", BROWSER)], "").await
    }

    pub async fn request(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Answer {
        let mut client = Client::connect(self.address).await;
        client.send(method, path, headers, body).await;
        client.answer(method).await
    }

    /// Returns a click id of campaign 1's offer, as a redirect hands it on.
    pub fn click_id(&self) -> (EventId, String) {
        let click = self.store.journal().mint();
        let click_id = ClickId {
            click,
            message: message(),
            partition: partition(),
            campaign: CampaignNumber(1),
            shop: ShopNumber(1),
            slot: 2,
            flags: 0,
        };
        (click, self.keys.click_id(&click_id))
    }

    /// Takes the next event out of the inbox and makes it durable, as a runner would.
    pub async fn next_event(&mut self) -> (PartitionId, Event) {
        let submission = self.hold_event().await;
        let event = (submission.partition, submission.event.clone());
        acknowledge(submission);
        event
    }

    /// Takes the next event out of the inbox; whoever waits for it goes on waiting.
    pub async fn hold_event(&mut self) -> Submission {
        let inbox = &mut self.inboxes[0];
        tokio::time::timeout(Duration::from_secs(10), inbox.recv())
            .await
            .unwrap()
            .unwrap()
    }

    /// Returns the events that wait, without acknowledging them.
    pub fn waiting(&mut self) -> Vec<Event> {
        let mut waiting = Vec::new();
        self.inboxes[0].try_recv_many(&mut waiting, usize::MAX);
        waiting.into_iter().map(|submission| submission.event).collect()
    }

    /// Drops the inbox, as at a drain.
    pub fn close_inbox(&mut self) {
        self.inboxes.clear();
    }

    /// Returns a counter's value, all labels given as `name="value"` pairs found in its line.
    pub fn counter(&self, name: &str, labels: &[&str]) -> u64 {
        let families = self.registry.gather();
        let metrics = families
            .iter()
            .filter(|family| family.name() == name)
            .flat_map(prometheus::proto::MetricFamily::get_metric);
        let of = |metric: &prometheus::proto::Metric| {
            let mut line = String::new();
            for label in metric.get_label() {
                write!(line, "{}=\"{}\" ", label.name(), label.value()).unwrap();
            }
            labels
                .iter()
                .all(|label| line.contains(label))
                .then(|| metric.get_counter().get_value())
        };
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "counts are small and whole"
        )]
        let sum = metrics.filter_map(of).sum::<f64>() as u64;
        sum
    }
}

/// Tells whoever waits that the event is durable.
pub fn acknowledge(submission: Submission) {
    if let Some(receipt) = submission.receipt {
        let id = EventId::from_raw(1);
        let position = Position(1);
        receipt.send(Ok(Receipt { id, position })).unwrap();
    }
}

/// One connection, spoken to in bytes.
pub struct Client {
    pub stream: TcpStream,
    unread: Vec<u8>,
}

impl Client {
    pub async fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        Self {
            stream,
            unread: Vec::new(),
        }
    }

    /// Sends a request to shop 1's host, or the one among `headers`.
    pub async fn send(&mut self, method: &str, path: &str, headers: &[(&str, &str)], body: &str) {
        let mut head = format!("{method} {path} HTTP/1.1\r\n");
        if !headers.iter().any(|(name, _)| *name == "host") {
            write!(head, "host: {HOST}\r\n").unwrap();
        }
        for (name, value) in headers {
            write!(head, "{name}: {value}\r\n").unwrap();
        }
        if !body.is_empty() || method == "POST" {
            write!(head, "content-length: {}\r\n", body.len()).unwrap();
        }
        write!(head, "\r\n{body}").unwrap();
        self.stream.write_all(head.as_bytes()).await.unwrap();
    }

    pub async fn write(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).await.unwrap();
    }

    /// Reads one line, with its end.
    pub async fn read_line(&mut self) -> String {
        loop {
            if let Some(end) = self.unread.iter().position(|byte| *byte == b'\n') {
                return String::from_utf8(self.unread.drain(..=end).collect()).unwrap();
            }
            assert!(self.more().await, "closed within a line");
        }
    }

    /// Reads one answer.
    pub async fn answer(&mut self, method: &str) -> Answer {
        tokio::time::timeout(Duration::from_secs(20), self.read(method))
            .await
            .unwrap()
    }

    async fn read(&mut self, method: &str) -> Answer {
        let end = loop {
            if let Some(end) = self.unread.windows(4).position(|bytes| bytes == b"\r\n\r\n") {
                break end + 4;
            }
            assert!(
                self.more().await,
                "closed before an answer: {:?}",
                String::from_utf8_lossy(&self.unread)
            );
        };
        let head: Vec<u8> = self.unread.drain(..end).collect();
        let head = String::from_utf8(head).unwrap();
        let mut lines = head.lines();
        let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
        let headers: Vec<(String, String)> = lines
            .filter_map(|line| line.split_once(": "))
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect();
        let mut answer = Answer {
            status,
            headers,
            body: Vec::new(),
        };
        let length = answer
            .header("content-length")
            .map_or(0, |length| length.parse().unwrap());
        if method != "HEAD" {
            while self.unread.len() < length {
                assert!(self.more().await, "closed within a body");
            }
            answer.body = self.unread.drain(..length).collect();
        }
        answer
    }

    async fn more(&mut self) -> bool {
        let mut bytes = [0; 4096];
        let read = self.stream.read(&mut bytes).await.unwrap();
        self.unread.extend(&bytes[..read]);
        read > 0
    }

    /// Waits until the server closes; returns what it said before.
    pub async fn closed(&mut self) -> Vec<u8> {
        let mut said = std::mem::take(&mut self.unread);
        // A reset is a close as well.
        let _ = tokio::time::timeout(Duration::from_secs(20), self.stream.read_to_end(&mut said))
            .await
            .unwrap();
        said
    }
}

/// What came back.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Answer {
    pub fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(own, _)| own.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str())
    }

    pub fn location(&self) -> &str {
        self.header("location").expect("a redirect")
    }

    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }
}

/// The headers that every answer has.
pub fn check_common(answer: &Answer) {
    assert_eq!(answer.header("cache-control"), Some("no-store"), "{answer:?}");
    assert_eq!(answer.header("referrer-policy"), Some("no-referrer"), "{answer:?}");
    assert_eq!(answer.header("x-robots-tag"), Some("noindex, nofollow"), "{answer:?}");
    assert_eq!(answer.header("set-cookie"), None, "{answer:?}");
}
