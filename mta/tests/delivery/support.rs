//! A delivery engine with a ledger in memory and a clock that can be set ahead.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use mta::ledger::{Ledger, NotRecorded, Waiting};
use mta::ready::Ready;
use mta::{Delivery, Route, Settings};
use prometheus::Registry;
use store::Spooled;
use tokio::sync::{Notify, mpsc};
use tokio::time::timeout;
use types::address::EmailAddress;
use types::event::{AttemptClaimed, AttemptEnded, Outcome};
use types::id::{MessageId, PartitionId};
use types::order::Stream;
use types::time::{Clock, Timestamp};

/// How long anything may take before a test fails.
pub(crate) const LIMIT: Duration = Duration::from_secs(20);

/// Wall time that runs, and can be set ahead.
pub(crate) struct TestClock {
    start: std::time::Instant,
    ahead_millis: AtomicU64,
}

impl Clock for TestClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(1_795_000_000_000 + self.ahead_millis.load(Ordering::SeqCst)) + self.start.elapsed()
    }
}

impl TestClock {
    pub(crate) fn advance(&self, by: Duration) {
        self.ahead_millis
            .fetch_add(u64::try_from(by.as_millis()).unwrap(), Ordering::SeqCst);
    }
}

/// What was claimed and told, and what is spooled.
pub(crate) struct TestLedger {
    pub(crate) claims: Mutex<Vec<AttemptClaimed>>,
    pub(crate) spooled: Mutex<HashMap<MessageId, Spooled>>,
    /// Claims wait for `commits` while set.
    pub(crate) held: AtomicBool,
    pub(crate) commits: Notify,
    /// Claims fail while set.
    pub(crate) failing: AtomicBool,
    /// Nothing can be read while set.
    pub(crate) unreadable: AtomicBool,
    /// A message whose claim panics in the session.
    pub(crate) breaking: Mutex<Option<MessageId>>,
    ends: mpsc::UnboundedSender<AttemptEnded>,
}

pub(crate) struct SharedLedger(pub(crate) Arc<TestLedger>);

impl Ledger for SharedLedger {
    fn claim(&self, _: PartitionId, claim: AttemptClaimed) -> Waiting<Result<(), NotRecorded>> {
        let ledger = Arc::clone(&self.0);
        let breaking = *ledger.breaking.lock().unwrap();
        assert_ne!(breaking, Some(claim.message), "a message that breaks its session");
        Box::pin(async move {
            ledger.claims.lock().unwrap().push(claim);
            while ledger.held.load(Ordering::SeqCst) {
                ledger.commits.notified().await;
            }
            if ledger.failing.load(Ordering::SeqCst) {
                return Err(NotRecorded("the disk is gone".into()));
            }
            Ok(())
        })
    }

    fn tell(&self, _: PartitionId, ended: AttemptEnded) -> Waiting<()> {
        self.0.ends.send(ended).ok();
        Box::pin(async {})
    }

    fn read(&self, message: MessageId) -> Result<Option<Spooled>, String> {
        if self.0.unreadable.load(Ordering::SeqCst) {
            return Err("the disk does not answer".into());
        }
        Ok(self.0.spooled.lock().unwrap().get(&message).cloned())
    }

    fn domain(&self, message: MessageId) -> Option<String> {
        Some(
            self.0
                .spooled
                .lock()
                .unwrap()
                .get(&message)?
                .recipient
                .domain()
                .to_owned(),
        )
    }
}

/// What is left to chance comes from this.
const SEED: u64 = 1;

/// A running engine.
pub(crate) struct Engine {
    pub(crate) delivery: Delivery,
    pub(crate) clock: Arc<TestClock>,
    pub(crate) ledger: Arc<TestLedger>,
    pub(crate) registry: Registry,
    ends: mpsc::UnboundedReceiver<AttemptEnded>,
}

/// Settings that send everything to one address and wait for nothing long.
pub(crate) fn to(address: SocketAddr) -> Settings {
    Settings {
        helo: "mta.example".into(),
        routes: vec![Route {
            domain: "*".into(),
            host: address.ip().to_string(),
            port: address.port(),
        }],
        ..Settings::default()
    }
}

impl Engine {
    pub(crate) fn start(settings: Settings) -> Self {
        #[expect(clippy::disallowed_methods, reason = "bounded by the mails of one test")]
        let (sender, ends) = mpsc::unbounded_channel();
        let ledger = Arc::new(TestLedger {
            claims: Mutex::default(),
            spooled: Mutex::default(),
            held: AtomicBool::new(false),
            commits: Notify::new(),
            failing: AtomicBool::new(false),
            unreadable: AtomicBool::new(false),
            breaking: Mutex::default(),
            ends: sender,
        });
        let clock = Arc::new(TestClock {
            start: std::time::Instant::now(),
            ahead_millis: AtomicU64::new(0),
        });
        let registry = Registry::new();
        let handle = tokio::runtime::Handle::current();
        let port = Arc::new(SharedLedger(Arc::clone(&ledger)));
        let delivery = Delivery::start(
            settings,
            port,
            clock.clone(),
            &registry,
            &handle,
            mta::world::World {
                seed: SEED,
                ..mta::world::World::default()
            },
        )
        .expect("starts");
        Self {
            delivery,
            clock,
            ledger,
            registry,
            ends,
        }
    }

    pub(crate) fn mail(&self, id: u64, recipient: &str) -> Ready {
        let recipient = EmailAddress::try_from(recipient).expect("an address");
        Ready {
            message: MessageId::from_raw(id),
            partition: PartitionId::new(7).expect("a partition"),
            recipient_domain: recipient.domain().to_owned(),
            reverse_path: EmailAddress::try_from("bounce@shop.example").ok(),
            recipient,
            bytes: Bytes::from(format!("Subject: mail {id}\r\n\r\n.starts with a dot\r\nid {id}\r\n")),
            stream: Stream::Transactional,
            expires: self.clock.now() + Duration::from_hours(24),
            accepted_at: self.clock.now(),
            attempts: 0,
            doubted: false,
        }
    }

    /// Spools and queues a mail.
    pub(crate) fn send(&self, mail: Ready) {
        self.spool(&mail);
        self.delivery.ready(mail);
    }

    pub(crate) fn spool(&self, mail: &Ready) {
        let spooled = Spooled {
            message: mail.message,
            partition: mail.partition,
            reverse_path: mail.reverse_path.clone(),
            recipient: mail.recipient.clone(),
            bytes: mail.bytes.clone(),
        };
        self.ledger.spooled.lock().unwrap().insert(mail.message, spooled);
    }

    /// Returns the next end that is told.
    pub(crate) async fn end(&mut self) -> AttemptEnded {
        timeout(LIMIT, self.ends.recv())
            .await
            .expect("an end within the limit")
            .expect("the engine runs")
    }

    /// Returns the next end that is told, setting the clock ahead by `step` whenever none comes for a moment.
    ///
    /// An end is told before its message and its site begin to wait, so a clock set ahead once per end may stand still
    /// short of what they wait for.
    pub(crate) async fn end_ahead(&mut self, step: Duration) -> AttemptEnded {
        let stepping = async {
            loop {
                match timeout(Duration::from_millis(50), self.ends.recv()).await {
                    Ok(ended) => return ended.expect("the engine runs"),
                    Err(_) => self.clock.advance(step),
                }
            }
        };
        timeout(LIMIT, stepping).await.expect("an end within the limit")
    }

    /// Returns the next terminal end, or retry in doubt.
    pub(crate) async fn terminal(&mut self) -> AttemptEnded {
        loop {
            let ended = self.end().await;
            if !matches!(ended.outcome, Outcome::Deferred { .. }) {
                return ended;
            }
        }
    }

    /// Returns ends that were told and not looked at.
    pub(crate) fn ends_so_far(&mut self) -> Vec<AttemptEnded> {
        std::iter::from_fn(|| self.ends.try_recv().ok()).collect()
    }

    /// Waits until something holds, looking at it each time the engine may have moved.
    pub(crate) async fn until(&self, what: &str, holds: impl Fn() -> bool) {
        let looking = async {
            while !holds() {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        };
        timeout(LIMIT, looking)
            .await
            .unwrap_or_else(|_| panic!("{what} within the limit"));
    }

    pub(crate) fn metric(&self, name: &str, label: &str) -> f64 {
        let families = self.registry.gather();
        let Some(family) = families.iter().find(|family| family.name() == name) else {
            return 0.0;
        };
        let with_label = |metric: &&prometheus::proto::Metric| {
            label.is_empty() || metric.get_label().iter().any(|pair| pair.value() == label)
        };
        family
            .get_metric()
            .iter()
            .filter(with_label)
            .map(|metric| metric.get_counter().get_value() + metric.get_gauge().get_value())
            .sum()
    }
}
