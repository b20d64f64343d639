//! Measures workflows: `cargo run --release -p scheduler --example workflow_rate -- DIR CONTACTS`.
//!
//! Real runners and a real store, no network: mails are dropped as soon as they are decided. Contacts come in as an import brings them;
//! a workflow of five steps (send, wait a day, branch, send, into a group) is switched on for all of them; the clock is set a day ahead
//! when everybody waits. Then the same contacts wait for moments of the real clock: first spread evenly, to see how late timers fire,
//! then all within one second, with orders coming in beside them.

#![allow(clippy::disallowed_methods, reason = "what is measured here takes real time")]

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use prometheus::Registry;
use scheduler::{Deps, Scheduler, Settings};
use serde_json::json;
use store::Store;
use types::address::EmailAddress;
use types::contact::{Channel, ChannelConsent, ContactChange, ContactSource};
use types::event::{CatalogueChanged, ContactChanged, Event, OrderAccepted};
use types::id::{MessageId, PartitionId, ShopNumber, WorkflowNumber};
use types::order::Statement;
use types::port::{Call, Mail, Outbox, Webhooks};
use types::tally::{Hour, Measure};
use types::time::{Clock, Timestamp};
use types::withdrawals::Withdrawals;
use types::workflow::{Enrol, WorkflowState};

/// As the service has it.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const SHOP: ShopNumber = ShopNumber(1);
/// Fires a second in the even part.
const RATE: u64 = 20_000;
/// Orders a second beside the storm, and beside nothing.
const ORDERS: u64 = 200;

/// The real clock, set ahead.
#[derive(Default)]
struct AheadClock(AtomicU64);

impl Clock for AheadClock {
    #[expect(clippy::disallowed_methods, reason = "a program of its own, with a clock of its own")]
    fn now(&self) -> Timestamp {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Timestamp::from_millis(u64::try_from(since.as_millis()).unwrap_or(0) + self.0.load(Ordering::SeqCst))
    }
}

/// Drops what it is given, and counts it.
#[derive(Default)]
struct Nowhere(AtomicU64);

impl Outbox for Nowhere {
    fn submit(&self, _: Mail) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    fn withdraw(&self, _: MessageId) {}
}

impl Webhooks for Nowhere {
    fn call(&self, _: Call) {}
}

struct Bench {
    store: Store,
    scheduler: Scheduler,
    clock: Arc<AheadClock>,
    mails: Arc<Nowhere>,
    registry: Registry,
    contacts: u64,
    dir: PathBuf,
}

#[tokio::main]
async fn main() {
    let mut arguments = std::env::args().skip(1);
    let dir = arguments.next().expect("a directory on the disk to measure");
    let contacts = arguments
        .next()
        .and_then(|text| text.parse().ok())
        .expect("how many contacts");
    let bench = start(Path::new(&dir), contacts).await;
    bench.furnish().await;
    bench.import().await;
    bench.five_steps().await;
    bench.evenly().await;
    bench.storm().await;
    let Bench { store, scheduler, .. } = bench;
    tokio::task::spawn_blocking(move || scheduler.drain())
        .await
        .expect("drained");
    store.close().await;
}

async fn start(dir: &Path, contacts: u64) -> Bench {
    let clock = Arc::new(AheadClock::default());
    let registry = Registry::new();
    let settings = store::Settings {
        data_dir: dir.to_owned(),
        ..store::Settings::default()
    };
    let time: Arc<dyn Clock> = Arc::clone(&clock) as _;
    let (store, replay) = store::open(settings, Arc::clone(&time), &registry).expect("an empty directory");
    let mails = Arc::new(Nowhere::default());
    let deps = Deps {
        store: store.clone(),
        outbox: Arc::clone(&mails) as _,
        webhooks: Arc::clone(&mails) as _,
        withdrawals: Arc::new(Withdrawals::default()),
        clock: time,
        registry: registry.clone(),
        runtime: tokio::runtime::Handle::current(),
        place: scheduler::Place::Threads,
        seed: 1,
    };
    let starting = tokio::task::spawn_blocking(move || Scheduler::start(&Settings::default(), deps, replay));
    let (scheduler, _) = starting.await.expect("no panic").expect("runners");
    Bench {
        store,
        scheduler,
        clock,
        mails,
        registry,
        contacts,
        dir: dir.to_owned(),
    }
}

impl Bench {
    async fn furnish(&self) {
        let shop = json!({
            "name": "Shop", "url": "https://shop.example/", "language": "it", "country": "IT",
            "promotional": { "address": "offers@news.shop.example" }, "postal_address": "Via Roma 1",
        });
        let template = json!({ "kind": "message", "sources": { "it": { "subject": "Ciao", "html": "<p>Ciao</p>", "text": "Ciao" } } });
        let (spec, id) = (read(shop), slug("shop"));
        self.change(CatalogueChanged::ShopPut { id, spec }).await;
        let (spec, id) = (read(template), slug("hello"));
        self.change(CatalogueChanged::TemplatePut { shop: SHOP, id, spec })
            .await;
        let (spec, id) = (read(json!({ "name": "Done" })), slug("done"));
        self.change(CatalogueChanged::GroupPut { shop: SHOP, id, spec }).await;
    }

    /// Brings the contacts in, as many at once as an import does.
    async fn import(&self) {
        let (began, before) = (Instant::now(), bytes(&self.dir));
        let keyer = self.store.secrets().person_keyer();
        let at = self.clock.now();
        for n in 0..self.contacts {
            let email: EmailAddress = address(n);
            let person = keyer.key(&email);
            let statement: Statement = read(json!({ "granted": true, "at": at, "source": "list" }));
            let consent = ChannelConsent {
                channel: Channel::Email,
                statement,
                asserted: false,
            };
            let change = ContactChange {
                consents: vec![consent],
                ..ContactChange::default()
            };
            let changed = ContactChanged {
                shop: SHOP,
                person,
                email,
                source: ContactSource::Import,
                change,
            };
            let event = Event::ContactChanged(Box::new(changed));
            self.store.intake().tell(person.partition(), event).await.expect("open");
        }
        self.reached().await;
        let rate = count(self.contacts) / began.elapsed().as_secs_f64();
        let each = count(bytes(&self.dir) - before) / count(self.contacts);
        println!(
            "imported {} contacts: {rate:.0}/s, {each:.0} bytes of journal and state each",
            self.contacts
        );
    }

    async fn five_steps(&self) {
        let steps = json!([
            { "do": "send", "id": "first", "template": "hello" },
            { "do": "wait", "id": "day", "for": "1d" },
            { "do": "branch", "id": "which", "if": "orders.count == 0", "else": "last" },
            { "do": "send", "id": "second", "template": "hello" },
            { "do": "group", "id": "last", "change": { "copy": "done" } },
        ]);
        let state_before = bytes(&self.dir.join("state"));
        let began = Instant::now();
        let number = self.put("five", steps).await;
        self.until(number, "day", Measure::Reached).await;
        let waiting = began.elapsed();
        println!(
            "all wait after {waiting:.1?}: {:.0} contacts/s",
            count(self.contacts) / waiting.as_secs_f64()
        );
        self.reached().await;
        let each = count(bytes(&self.dir.join("state")) - state_before) / count(self.contacts);
        println!(
            "{each:.0} bytes of state an instance, its mail and their histories included; memory {} MiB",
            resident_mib()
        );
        let resumed = Instant::now();
        self.clock.0.fetch_add(24 * 3_600_000, Ordering::SeqCst);
        self.until(number, "last", Measure::Passed).await;
        let whole = (waiting + resumed.elapsed()).as_secs_f64();
        println!(
            "five steps for all: {:.0} contacts/s, {} mails decided",
            count(self.contacts) / whole,
            self.mails.0.load(Ordering::Relaxed)
        );
    }

    /// Lets the timers fire at [`RATE`].
    async fn evenly(&self) {
        let span = self.contacts / RATE;
        let steps = json!([{ "do": "group", "id": "last", "change": { "copy": "done" } }]);
        let number = self.put_dated("even", steps, |n| n * 1000 / RATE).await;
        let before = self.late();
        self.until(number, "last", Measure::Passed).await;
        println!("{RATE} timers a second for {span} s: {}", Late(self.late(), before));
    }

    /// Lets all fire within one second, with orders beside them.
    async fn storm(&self) {
        let alone = self.orders(Duration::from_secs(10), u64::MAX).await;
        let steps = json!([{ "do": "group", "id": "last", "change": { "copy": "done" } }]);
        let number = self.put_dated("storm", steps, |n| n % 1000).await;
        let before = self.late();
        let began = Instant::now();
        let (beside, ()) = tokio::join!(self.orders(Duration::from_mins(10), u64::from(number.0)), async {
            self.until(number, "last", Measure::Passed).await;
        });
        let drained = began.elapsed();
        println!(
            "{} timers due in one second: drained after {drained:.1?}, {}",
            self.contacts,
            Late(self.late(), before)
        );
        println!("p99 from order to durable answer: {alone:.2?} alone, {beside:.2?} beside the storm");
    }

    /// Accepts orders evenly for `limit`, or until a workflow's step was passed by all; returns the 99th percentile of their answers.
    async fn orders(&self, limit: Duration, until: u64) -> Duration {
        let keyer = self.store.secrets().person_keyer();
        let began = Instant::now();
        let mut took = Vec::new();
        let mut ticks = tokio::time::interval(Duration::from_micros(1_000_000 / ORDERS));
        let mut n = 0;
        while began.elapsed() < limit {
            let due = ticks.tick().await;
            n += 1;
            if n % ORDERS == 0
                && u32::try_from(until)
                    .is_ok_and(|number| self.passed(WorkflowNumber(number), "last", Measure::Passed) >= self.contacts)
            {
                break;
            }
            let email: EmailAddress = address(1_000_000_000 + n);
            let person = keyer.key(&email);
            let order = json!({
                "order_id": n.to_string(), "placed_at": self.clock.now(), "status": "confirmed",
                "customer": { "email": email }, "consent": { "marketing": true },
                "total": { "amount": 100, "currency": "EUR" },
            });
            let accepted = OrderAccepted {
                shop: SHOP,
                person,
                order: read(order),
                claims: Vec::new(),
            };
            let event = Event::OrderAccepted(Box::new(accepted));
            self.store
                .intake()
                .accept(person.partition(), event)
                .await
                .expect("taken");
            // From when it was to be sent, so that one that waits behind another counts its wait.
            took.push(due.elapsed());
        }
        took.sort_unstable();
        took.get(took.len() * 99 / 100).copied().unwrap_or_default()
    }

    async fn put(&self, id: &str, steps: serde_json::Value) -> WorkflowNumber {
        let spec = json!({ "name": id, "start": { "on": "subscription" }, "steps": steps });
        self.switch_on(id, spec).await
    }

    /// Puts a workflow that begins for each contact at its own moment, `after` so many milliseconds from when all are armed.
    async fn put_dated(&self, id: &str, steps: serde_json::Value, after: impl Fn(u64) -> u64) -> WorkflowNumber {
        let field = slug(id);
        let spec = read(json!({ "type": "date" }));
        self.change(CatalogueChanged::FieldPut {
            shop: SHOP,
            id: field.clone(),
            spec,
        })
        .await;
        let spec = json!({ "name": id, "start": { "on": "date", "field": id }, "steps": steps });
        let number = self.switch_on(id, spec).await;
        // Arming takes as long as the import did; twice that is far enough ahead.
        let began = self.clock.now() + Duration::from_secs(30) + Duration::from_micros(60 * self.contacts);
        let keyer = self.store.secrets().person_keyer();
        for n in 0..self.contacts {
            let email: EmailAddress = address(n);
            let person = keyer.key(&email);
            let at = began + Duration::from_millis(after(n));
            let value = types::contact::FieldValue::Moment(at);
            let mut change = ContactChange::default();
            change.fields.insert(field.clone(), Some(value));
            let changed = ContactChanged {
                shop: SHOP,
                person,
                email,
                source: ContactSource::Import,
                change,
            };
            let event = Event::ContactChanged(Box::new(changed));
            self.store.intake().tell(person.partition(), event).await.expect("open");
        }
        self.reached().await;
        assert!(self.clock.now() < began, "arming took longer than was left for it");
        tokio::time::sleep(began.since(self.clock.now())).await;
        number
    }

    async fn switch_on(&self, id: &str, spec: serde_json::Value) -> WorkflowNumber {
        let spec = Box::new(read(spec));
        self.change(CatalogueChanged::WorkflowPut {
            shop: SHOP,
            id: slug(id),
            spec,
        })
        .await;
        let (state, enrol) = (WorkflowState::On, Enrol::ExistingAndFuture);
        self.change(CatalogueChanged::WorkflowSwitched {
            shop: SHOP,
            id: slug(id),
            state,
            enrol,
        })
        .await;
        let catalogue = self.store.catalogue().load();
        catalogue.workflow(SHOP, &slug(id)).expect("just put").number
    }

    async fn change(&self, change: CatalogueChanged) {
        let event = Event::CatalogueChanged(Box::new(change));
        self.store
            .intake()
            .submit(PartitionId::CATALOGUE, event)
            .await
            .expect("open");
    }

    async fn reached(&self) {
        assert!(
            self.store.fold_reached(Duration::from_mins(10)).await,
            "state does not catch up"
        );
    }

    /// Waits until all contacts were counted at a step.
    async fn until(&self, workflow: WorkflowNumber, step: &str, measure: Measure) {
        while self.passed(workflow, step, measure) < self.contacts {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    fn passed(&self, workflow: WorkflowNumber, step: &str, measure: Measure) -> u64 {
        let cells = self.store.state().cells().of_steps(workflow, Hour(0)..Hour(u32::MAX));
        let of_step = cells.filter_map(Result::ok).filter(|(key, _)| {
            matches!(&key.dimensions, types::tally::Dimensions::Step { step: Some(own), reason: None, .. } if own.as_str() == step)
        });
        of_step.map(|(_, counts)| counts.get(measure)).sum()
    }

    /// Returns how late timers were: the histogram's cumulative counts by upper bound, and all.
    fn late(&self) -> Vec<(f64, u64)> {
        let families = self.registry.gather();
        let family = families
            .iter()
            .find(|family| family.name() == "scheduler_timer_lateness_seconds");
        let mut sums: Vec<(f64, u64)> = Vec::new();
        for metric in family.into_iter().flat_map(prometheus::proto::MetricFamily::get_metric) {
            let histogram = metric.get_histogram();
            let buckets = histogram.get_bucket().iter();
            let all = buckets.map(|bucket| (bucket.upper_bound(), bucket.cumulative_count()));
            for (i, (bound, count)) in all.chain([(f64::INFINITY, histogram.get_sample_count())]).enumerate() {
                match sums.get_mut(i) {
                    Some(sum) => sum.1 += count,
                    None => sums.push((bound, count)),
                }
            }
        }
        sums
    }
}

/// How late timers were between two looks.
struct Late(Vec<(f64, u64)>, Vec<(f64, u64)>);

impl std::fmt::Display for Late {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let counts = |i: usize| {
            let earlier = self.1.get(i).map_or(0, |(_, count)| *count);
            self.0.get(i).map_or(0, |(_, count)| count - earlier)
        };
        let all = counts(self.0.len() - 1);
        write!(f, "{all} fired")?;
        for (name, part) in [("p50", 0.5), ("p99", 0.99), ("p99.9", 0.999)] {
            let at = (0..self.0.len()).find(|i| count(counts(*i)) >= part * count(all));
            let bound = at.and_then(|i| self.0.get(i)).map_or(0.0, |(bound, _)| *bound);
            write!(f, ", {name} at most {bound} s late")?;
        }
        Ok(())
    }
}

fn address(n: u64) -> EmailAddress {
    format!("person-{n}@example.it")
        .as_str()
        .try_into()
        .expect("an address")
}

fn slug(id: &str) -> types::text::Slug {
    id.try_into().expect("an id")
}

fn read<T: serde::de::DeserializeOwned>(json: serde_json::Value) -> T {
    serde_json::from_value(json).expect("what the API takes")
}

#[expect(clippy::cast_precision_loss, reason = "a figure to print")]
const fn count(number: u64) -> f64 {
    number as f64
}

fn bytes(path: &Path) -> u64 {
    let Ok(metadata) = path.metadata() else { return 0 };
    if metadata.is_file() {
        return metadata.len();
    }
    let entries = std::fs::read_dir(path).into_iter().flatten().flatten();
    entries.map(|entry| bytes(&entry.path())).sum()
}

fn resident_mib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.trim().split(' ').next()?.parse::<u64>().ok());
    kib.unwrap_or_default() / 1024
}
