//! One life of a node after the other, until the week is over.
//!
//! Everything runs on one thread of tokio whose time stands. When it has nothing more to do it comes to [`Quiet::settle`]: what was
//! appended since is committed as one round, state catches up, and the mails that wait are made. Only then does time move on, to the
//! next moment that anything waits for. So nothing depends on how the store's threads run.

use std::collections::HashSet;
use std::fs;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use mta::Mta;
use mta::world::{Place, World};
use prometheus::Registry;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use scheduler::Scheduler;
use store::{OpenError, Position, Replay, Store};
use tokio::runtime::{Builder, Runtime};
use types::id::{EventId, MessageId};
use types::port::{Mail, Outbox};
use types::time::Clock;
use types::token::{TokenKeys, VerpKey};
use types::withdrawals::Withdrawals;

use crate::clock::SimClock;
use crate::disk::SimDisk;
use crate::receivers::SimNet;
use crate::script::{End, Script, Sent};

/// How long threads may take before a test fails.
const PATIENCE: Duration = Duration::from_mins(1);
const WEEK: Duration = Duration::from_hours(7 * 24);

/// Makes a data folder with an identity and secrets, and nothing else.
pub fn begin(data: &Path) {
    let settings = settings(data, Arc::default());
    let (store, _) = store::open(settings, Arc::new(SimClock::default()), &Registry::new()).unwrap();
    drop(store);
}

/// Plays a week from a copy of `data`; returns the journal.
pub fn play(data: &Path, seed: u64) -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    copy(data, folder.path());
    let clock = Arc::new(SimClock::default());
    let mut random = StdRng::seed_from_u64(seed);
    let mut script = Script::new(random.random(), Arc::clone(&clock));
    while clock.of_week() < WEEK {
        live(folder.path(), &clock, &mut script, random.random());
    }
    let clock: Arc<dyn Clock> = clock;
    let (store, _) = open(folder.path(), &Arc::default(), &clock);
    let kept = ids(&store);
    let answered = script.answered();
    let lost = answered.iter().filter(|id| !kept.contains(id)).count();
    assert_eq!(lost, 0, "of {} that were answered", answered.len());
    drop(store);
    journal(&folder.path().join("journal"))
}

/// Returns the ids of all records.
fn ids(store: &Store) -> HashSet<EventId> {
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    let last = *store.journal().durable().borrow();
    runtime.block_on(async {
        let mut tail = store.tail(Position(0));
        let (mut ids, mut reached) = (HashSet::new(), Position(0));
        while reached < last {
            for record in tail.next(4096).await.unwrap() {
                ids.insert(record.id);
                reached = record.position;
            }
        }
        ids
    })
}

fn settings(folder: &Path, disk: Arc<SimDisk>) -> store::Settings {
    store::Settings {
        data_dir: folder.to_owned(),
        segment_bytes: 4 << 20,
        disk_floor_bytes: 0,
        runners: 1,
        medium: disk,
        // By the real clock: not in the time of a life.
        checkpoint_interval: Duration::from_hours(1),
        disk_poll: Duration::from_hours(1),
        ..store::Settings::default()
    }
}

/// What a moment at which nobody has anything to do is made of.
struct Quiet {
    clock: Arc<SimClock>,
    /// Virtual time that had passed before this life.
    before: Duration,
    node: Mutex<Option<Node>>,
}

/// A node at work.
struct Node {
    store: Store,
    mta: Mta,
    began: tokio::time::Instant,
}

impl Quiet {
    /// Lets all that was handed to the store's threads be done, and makes the mails that wait.
    fn settle(&self) {
        let node = self.node.lock().unwrap();
        let Some(node) = &*node else { return };
        loop {
            if !node.store.is_idle() {
                node.store.hold_commits(false);
                await_idle(&node.store);
                node.store.hold_commits(true);
            }
            if !node.mta.make_next() {
                return;
            }
            while node.mta.make_next() {}
        }
    }

    /// Notes that time has moved on.
    fn moved(&self) {
        if let Some(node) = &*self.node.lock().unwrap() {
            self.clock.reached(self.before + node.began.elapsed());
        }
    }
}

fn await_idle(store: &Store) {
    let began = std::time::Instant::now();
    while !store.is_idle() {
        assert!(
            began.elapsed() < Duration::from_mins(1),
            "the store's threads stand still"
        );
        std::thread::yield_now();
    }
}

/// Gives the engine the mails that were decided, and shows the script what was.
struct Shown {
    mta: Mta,
    sent: Mutex<Vec<Sent>>,
}

impl Outbox for Shown {
    fn submit(&self, mail: Mail) {
        self.sent.lock().unwrap().push(Sent {
            partition: mail.partition,
            message: mail.plan.message,
            shop: mail.shop,
            offers: mail.plan.offers.iter().map(|offer| offer.campaign).collect(),
        });
        self.mta.submit(mail);
    }

    fn withdraw(&self, message: MessageId) {
        self.mta.withdraw(message);
    }
}

/// One life: from a start to its end, whichever that is.
fn live(folder: &Path, clock: &Arc<SimClock>, script: &mut Script, seed: u64) {
    let quiet = Arc::new(Quiet {
        clock: Arc::clone(clock),
        before: clock.passed(),
        node: Mutex::default(),
    });
    let (settling, moving) = (Arc::clone(&quiet), Arc::clone(&quiet));
    let runtime = Builder::new_current_thread()
        .enable_all()
        .start_paused(true)
        .on_thread_park(move || settling.settle())
        .on_thread_unpark(move || moving.moved())
        .build()
        .unwrap();
    let disk = Arc::new(SimDisk::default());
    let time: Arc<dyn Clock> = Arc::clone(clock) as _;
    let (store, replay) = open(folder, &disk, &time);
    let mta = start_mta(&runtime, &store, &time, seed);
    let shown = Arc::new(Shown {
        mta: mta.clone(),
        sent: Mutex::default(),
    });
    let deps = scheduler::Deps {
        store: store.clone(),
        outbox: Arc::clone(&shown) as Arc<dyn Outbox>,
        webhooks: Arc::new(mta.clone()),
        withdrawals: Arc::new(Withdrawals::default()),
        clock: time,
        registry: Registry::new(),
        runtime: runtime.handle().clone(),
        place: scheduler::Place::Tasks,
        seed,
    };
    let (scheduler, survivors) = Scheduler::start(&scheduler::Settings::default(), deps, replay).unwrap();
    mta.resume(survivors);
    await_idle(&store);
    store.hold_commits(true);
    let began = {
        let _inside = runtime.enter();
        tokio::time::Instant::now()
    };
    *quiet.node.lock().unwrap() = Some(Node {
        store: store.clone(),
        mta: mta.clone(),
        began,
    });
    runtime.block_on(async {
        let end = script
            .live(&store, &disk, || std::mem::take(&mut *shown.sent.lock().unwrap()))
            .await;
        if end == End::Drained {
            mta.drain(tokio::time::Instant::now() + Duration::from_secs(20)).await;
            scheduler.drain_tasks().await;
        } else {
            disk.cut();
        }
    });
    if let Some(Node { store, .. }) = quiet.node.lock().unwrap().take() {
        // A life that was drained keeps what its runners recorded last.
        store.hold_commits(false);
        await_idle(&store);
    }
    drop(runtime);
}

/// Opens the data, once the threads of the life before have ended: a callback may have held the last of them.
fn open(folder: &Path, disk: &Arc<SimDisk>, clock: &Arc<dyn Clock>) -> (Store, Replay) {
    let began = std::time::Instant::now();
    loop {
        let settings = settings(folder, Arc::clone(disk));
        match store::open(settings, Arc::clone(clock), &Registry::new()) {
            Err(OpenError::Locked(_)) if began.elapsed() < PATIENCE => std::thread::yield_now(),
            opened => return opened.unwrap(),
        }
    }
}

fn start_mta(runtime: &Runtime, store: &Store, clock: &Arc<dyn Clock>, seed: u64) -> Mta {
    let settings = mta::Settings {
        helo: "mta.example".into(),
        routes: ["libero.it", "gmail.com", "*"]
            .into_iter()
            .zip(1..)
            .map(|(domain, host)| mta::Route {
                domain: domain.into(),
                host: format!("192.0.2.{host}"),
                port: 25,
            })
            .collect(),
        connections_max: 3,
        nameserver: Some(([127, 0, 0, 1], 9).into()),
        ..mta::Settings::default()
    };
    let deps = mta::Deps {
        settings,
        submit: mta::submit::Settings::default(),
        webhooks: mta::webhook::Settings::default(),
        store: store.clone(),
        tokens: Arc::new(TokenKeys::new(&store.secrets().token_secrets())),
        verp: Arc::new(VerpKey::new(&store.secrets().verp_secret())),
        clock: Arc::clone(clock),
        registry: Registry::new(),
        runtime: runtime.handle().clone(),
        world: World {
            net: SimNet::new(seed),
            place: Place::Caller,
            seed,
        },
    };
    Mta::start(deps).unwrap()
}

/// Returns the bytes of all segments that were begun, in their order.
fn journal(folder: &Path) -> Vec<u8> {
    let mut segments: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    segments.sort();
    let mut journal = Vec::new();
    for segment in segments {
        let bytes = fs::read(segment).unwrap();
        let used = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
        journal.extend_from_slice(&bytes[..used]);
    }
    journal
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}
