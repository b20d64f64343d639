//! The signing threads over a real store.

use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use mta::ready::Ready;
use mta::submit::{Deps, Settings, Submit};
use prometheus::Registry;
use serde_json::json;
use store::Store;
use types::cart::Reminder;
use types::catalogue::Catalogue;
use types::event::{Event, FailureClass, Outcome, ReminderPurpose};
use types::id::{MessageId, ShopNumber};
use types::locale::Language;
use types::port::{Admission, Mail, Place};
use types::time::{Clock, Timestamp};
use types::token::{TokenKeys, VerpKey};

use crate::fixture::{DATE, cart_mail, catalogue, message_mail, offer_mail, order, shop};

/// How long a thread may take before a test gives up; nothing waits for it otherwise.
const PATIENCE: Duration = Duration::from_secs(30);

struct Still;

impl Clock for Still {
    fn now(&self) -> Timestamp {
        DATE
    }
}

/// A place that tells when it is given back.
#[derive(Debug, Default)]
struct Told(Arc<AtomicBool>);

impl Place for Told {}

impl Drop for Told {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

struct World {
    submit: Submit,
    store: Store,
    ready: mpsc::Receiver<Ready>,
    registry: Registry,
    runtime: tokio::runtime::Runtime,
    /// While it is locked, each thread makes the mail that it has and takes no other.
    gate: Arc<Mutex<()>>,
    _dir: tempfile::TempDir,
}

fn world() -> World {
    world_of(Settings::default())
}

fn world_of(settings: Settings) -> World {
    let submit = settings;
    let dir = tempfile::tempdir().unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .unwrap();
    let registry = Registry::new();
    let settings = store::Settings {
        data_dir: dir.path().to_owned(),
        ..store::Settings::default()
    };
    let (store, _replay) = store::open(settings, Arc::new(Still), &registry).unwrap();
    let (send, ready) = mpsc::channel();
    let gate = Arc::new(Mutex::new(()));
    let passed = Arc::clone(&gate);
    let submit = Submit::start(Deps {
        settings: submit,
        store: store.clone(),
        tokens: TokenKeys::new(&store.secrets().token_secrets()).into(),
        verp: VerpKey::new(&store.secrets().verp_secret()).into(),
        runtime: runtime.handle().clone(),
        registry: registry.clone(),
        place: mta::world::Place::Threads,
        ready: Box::new(move |ready| {
            drop(passed.lock().unwrap());
            drop(send.send(ready));
        }),
    })
    .unwrap();
    World {
        submit,
        store,
        ready,
        registry,
        runtime,
        gate,
        _dir: dir,
    }
}

fn failures(registry: &Registry) -> f64 {
    let families = registry.gather();
    let family = families
        .iter()
        .find(|family| family.name() == "mta_submit_failures_total");
    family.map_or(0.0, |family| {
        family
            .get_metric()
            .iter()
            .map(|metric| metric.get_counter().get_value())
            .sum()
    })
}

#[test]
fn a_mail_is_spooled_then_handed_on_and_its_place_given_back() {
    let world = world();
    let freed = Arc::new(AtomicBool::new(false));
    let mut mail = offer_mail(&catalogue(shop(), &[]), order(), 2);
    mail.admission = Admission::holding(Arc::new(Told(Arc::clone(&freed))));
    let message = mail.plan.message;
    world.submit.submit(mail);
    let ready = world.ready.recv_timeout(PATIENCE).unwrap();
    assert_eq!(
        (ready.message, ready.recipient_domain.as_str(), ready.attempts),
        (message, "example.it", 0)
    );
    assert!(ready.bytes.starts_with(b"DKIM-Signature: v=1; a=rsa-sha256;"));
    assert!(world.store.spool().contains(message));
    assert!(
        freed.load(Ordering::SeqCst),
        "the place is free once the mail is spooled"
    );
    // The key that was missing was made and kept.
    assert!(world.store.secrets().dkim_key("news.rossi.example", "s1").is_some());
    world.runtime.block_on(world.store.close());
}

#[test]
fn a_mail_that_cannot_be_made_fails_and_says_why() {
    let world = world();
    let (_, mut inbox) = world.store.intake().take_inboxes().remove(0);
    let request = json!({"to": {"email": "a@example.it"}, "body": {"template": {"id": "none"}}});
    let mail = message_mail(&catalogue(shop(), &[]), request);
    let message = mail.plan.message;
    world.submit.submit(mail);
    let told = world
        .runtime
        .block_on(async { tokio::time::timeout(PATIENCE, inbox.recv()).await });
    let Event::AttemptEnded(ended) = told.unwrap().unwrap().event else {
        panic!("expected the end of an attempt");
    };
    assert_eq!(ended.message, message);
    let class = FailureClass::Internal;
    assert_eq!(ended.outcome, Outcome::Failed { class });
    assert_eq!(&*ended.reply, "the shop has no message template `none`");
    assert!(!world.store.spool().contains(message));
    world.submit.close();
    assert!((failures(&world.registry) - 1.0).abs() < f64::EPSILON);
    world.runtime.block_on(world.store.close());
}

#[test]
fn an_order_s_mail_goes_before_a_storm_of_reminders() {
    let world = world();
    let catalogue = catalogue(shop(), &[]);
    let reminder = cart_mail(&catalogue, Reminder::First, Language::It, ReminderPurpose::Buyer);
    for number in 0..200 {
        let mut reminder = reminder.clone();
        reminder.plan.message = MessageId::from_raw(1_000 + number);
        world.submit.submit(reminder);
    }
    let mail = offer_mail(&catalogue, order(), 1);
    let message = mail.plan.message;
    world.submit.submit(mail);
    world.submit.close();
    let made: Vec<_> = world.ready.try_iter().map(|ready| ready.message).collect();
    assert_eq!(made.len(), 201);
    let place = made.iter().position(|made| *made == message).unwrap();
    // What the threads had taken by then is before it, while the key is made; by far not the half.
    assert!(place < 100, "number {place} of 201");
    world.runtime.block_on(world.store.close());
}

/// A world with so many threads.
fn world_with(threads: usize) -> World {
    world_of(Settings {
        threads: NonZeroUsize::new(threads).unwrap(),
        ..Settings::default()
    })
}

/// A message with HTML of 240 KB on one line.
fn heavy(catalogue: &Arc<Catalogue>) -> Mail {
    let content = json!({"subject": "s", "html": "<td>x</td>".repeat(24_000)});
    message_mail(
        catalogue,
        json!({"to": {"email": "a@example.it"}, "body": {"content": content}}),
    )
}

/// Submits a mail of a shop under a number.
fn submit(world: &World, shop: u32, number: u64, mail: &Mail) {
    let mut mail = mail.clone();
    mail.shop = ShopNumber(shop);
    mail.plan.message = MessageId::from_raw(1_000 + number);
    world.submit.submit(mail);
}

/// Returns the numbers of the mails in the order in which they were made.
fn made(world: &World) -> Vec<u64> {
    world.submit.close();
    let ready = world.ready.try_iter();
    ready.map(|ready| ready.message.raw() - 1_000).collect()
}

#[test]
fn orders_go_before_another_shop_s_batch_of_long_lines() {
    let threads = 2;
    let world = world_with(threads);
    let catalogue = catalogue(shop(), &[]);
    let closed = world.gate.lock().unwrap();
    for number in 0..32 {
        submit(&world, 1, number, &heavy(&catalogue));
    }
    for number in 100..104 {
        submit(&world, 2, number, &offer_mail(&catalogue, order(), 1));
    }
    drop(closed);
    let made = made(&world);
    assert_eq!(made.len(), 36);
    let last = made.iter().rposition(|made| *made >= 100).unwrap();
    let before = made.iter().take(last).filter(|made| **made < 100).count();
    // Each thread had one before the first order came, and one is lent to the messages while orders are made.
    assert!(before <= threads + 1, "{made:?}");
    world.runtime.block_on(world.store.close());
}

#[test]
fn a_message_goes_before_the_rest_of_another_shop_s_batch() {
    let world = world_with(1);
    let catalogue = catalogue(shop(), &[]);
    let closed = world.gate.lock().unwrap();
    for number in 0..32 {
        submit(&world, 1, number, &heavy(&catalogue));
    }
    let content = json!({"subject": "s", "text": "hello"});
    let light = message_mail(
        &catalogue,
        json!({"to": {"email": "a@example.it"}, "body": {"content": content}}),
    );
    submit(&world, 2, 100, &light);
    drop(closed);
    let made = made(&world);
    assert_eq!(made.get(..3), Some(&[0, 100, 1][..]), "{made:?}");
    assert_eq!(made.len(), 33);
    world.runtime.block_on(world.store.close());
}

#[test]
fn closing_makes_what_waits_and_takes_nothing_more() {
    let world = world();
    let mail = offer_mail(&catalogue(shop(), &[]), order(), 1);
    for _ in 0..20 {
        world.submit.submit(mail.clone());
    }
    world.submit.close();
    assert_eq!(world.ready.try_iter().count(), 20);
    world.submit.submit(mail);
    assert_eq!(world.ready.try_iter().count(), 0);
    world.runtime.block_on(world.store.close());
}
