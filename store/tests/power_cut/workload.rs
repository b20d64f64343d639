//! What the child does to a store, and what must be left of it.

use std::collections::HashSet;
use std::env;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use bytes::Bytes;
use store::{Batch, Medium, OutboxEntry, Put, RealMedium, Settings, Store, Turn};
use types::event::{AttemptEnded, Decided, Event, Outcome, Plan, Tracking, Verdict};
use types::id::{Attempt, EventId, MessageId, PartitionId, PersonKey, ShopNumber};
use types::locale::Language;
use types::order::Stream;
use types::text::Line;
use types::time::Timestamp;

use crate::common::{open_with, partition, settings, spooled};
use crate::image::Random;

/// How often the child opens its store.
const LIVES: u64 = 3;
const THREADS: u64 = 3;
const MESSAGES: u64 = 25;

/// Syncs nothing, if so asked.
#[derive(Debug)]
struct Maybe {
    syncs: bool,
}

impl Medium for Maybe {
    fn write_at(&self, file: &File, bytes: &[u8], offset: u64) -> std::io::Result<()> {
        RealMedium.write_at(file, bytes, offset)
    }

    fn sync(&self, file: &File) -> std::io::Result<()> {
        if self.syncs { RealMedium.sync(file) } else { Ok(()) }
    }

    fn sync_dir(&self, dir: &Path) -> std::io::Result<()> {
        if self.syncs { RealMedium.sync_dir(dir) } else { Ok(()) }
    }

    fn free_bytes(&self, dir: &Path) -> std::io::Result<u64> {
        RealMedium.free_bytes(dir)
    }
}

fn small(dir: &Path, syncs: bool) -> Settings {
    Settings {
        segment_bytes: 16 << 10,
        journal_bytes_max: 48 << 10,
        checkpoint_interval: Duration::from_millis(40),
        medium: Arc::new(Maybe { syncs }),
        ..settings(dir)
    }
}

fn home(n: u64) -> PartitionId {
    partition(u16::try_from(n * 37 % 1024).unwrap())
}

fn length(n: u64) -> usize {
    usize::try_from(100 + n * 131 % 2500).unwrap()
}

fn decided(n: u64) -> Event {
    Event::Decided(Box::new(Decided {
        cause: EventId::from_raw(n),
        shop: ShopNumber(1),
        person: PersonKey::from_bytes([7; 16]),
        verdict: Verdict::Send(Plan {
            message: MessageId::from_raw(n),
            stream: Stream::Promotional,
            language: Language::It,
            catalogue: 1,
            date: Timestamp::from_millis(n),
            expires: Timestamp::from_millis(n + 1),
            tracking: Tracking::Aggregate,
            offers: Vec::new(),
            late: false,
            test: false,
            template: None,
        }),
    }))
}

fn ended(n: u64) -> Event {
    Event::AttemptEnded(Box::new(AttemptEnded {
        message: MessageId::from_raw(n),
        attempt: Attempt(1),
        outcome: Outcome::Delivered,
        reply: Line::try_from("250 ok").unwrap(),
        peer: Line::try_from("mx.example.it").unwrap(),
        tls: None,
    }))
}

/// What the event of a message changes in state. Two rows tell of it, so that a torn batch would be seen.
fn puts(n: u64, kind: u16, payload: &Bytes) -> Vec<Put> {
    let (partition, message) = (home(n), MessageId::from_raw(n));
    let end = kind == ended(n).kind();
    let row = Put::Timeline {
        partition,
        object: EventId::from_raw(n),
        id: EventId::from_raw(u64::from(kind)),
        wall: Timestamp::from_millis(n),
        kind,
        payload: payload.clone(),
    };
    let outbox = if end {
        Put::OutboxDelete { partition, message }
    } else {
        let entry = OutboxEntry {
            cause: EventId::from_raw(n),
            attempts: Attempt(0),
            claimed: false,
            due: Timestamp::default(),
            expires: Timestamp::default(),
            stream: Stream::Promotional,
            accepted_at: Timestamp::default(),
            withdrawn: false,
        };
        Put::OutboxSet {
            partition,
            message,
            entry,
        }
    };
    vec![row, outbox]
}

/// One life of the store: what state lacks is folded, then three threads send.
fn live(dir: &Path, acks: &File, syncs: bool, life: u64, random: &mut Random) {
    let (store, replay) = open_with(small(dir, syncs)).unwrap();
    for record in replay {
        let record = record.unwrap();
        let n = number(&record.event);
        store.state().submit(Turn {
            range: 0..1025,
            position: record.position,
            puts: puts(n, record.kind, &record.payload),
            released: if record.kind == ended(n).kind() {
                vec![MessageId::from_raw(n)]
            } else {
                Vec::new()
            },
        });
    }
    // One appender at a time, as a range has one runner; what is sent to the disk overlaps all the same.
    let order = std::sync::Mutex::new(());
    let sent = AtomicU64::new(0);
    let seeds: Vec<u64> = (0..THREADS).map(|_| random.next()).collect();
    thread::scope(|scope| {
        for (thread, seed) in (0..THREADS).zip(seeds) {
            let (store, order, sent) = (&store, &order, &sent);
            scope.spawn(move || {
                let mut random = Random::new(seed);
                for i in 0..MESSAGES {
                    let n = 1 + (life * THREADS + thread) * MESSAGES + i;
                    store.spool().append(&spooled(n, length(n))).unwrap();
                    let done = send(store, order, acks, n, &decided(n));
                    sent.fetch_add(1, Ordering::Relaxed);
                    if random.below(3) > 0 {
                        done.recv().unwrap();
                    }
                    if random.below(2) == 0 {
                        let mut acks = acks;
                        acks.write_all(format!("ending {n}\n").as_bytes()).unwrap();
                        drop(send(store, order, acks, n, &ended(n)));
                    }
                }
            });
        }
    });
    if random.below(2) == 0 {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()
            .unwrap();
        runtime.block_on(store.close());
    }
}

/// Appends one event and its turn; the acknowledgement is written when it is durable.
fn send(store: &Store, order: &std::sync::Mutex<()>, acks: &File, n: u64, event: &Event) -> mpsc::Receiver<()> {
    let (sender, receiver) = mpsc::channel();
    let mut acks = acks.try_clone().unwrap();
    let kind = event.kind();
    let _one_at_a_time = order.lock().unwrap();
    let mut batch = Batch::new();
    let payload = batch.push(store.journal().mint(), home(n), Timestamp::from_millis(n), event);
    batch.on_durable(move |result| {
        result.unwrap();
        acks.write_all(format!("durable {n} {kind}\n").as_bytes()).unwrap();
        let _ = sender.send(());
    });
    let position = store.journal().append(batch).unwrap();
    store.state().submit(Turn {
        range: 0..1025,
        position,
        puts: puts(n, kind, &payload),
        released: if kind == ended(n).kind() {
            vec![MessageId::from_raw(n)]
        } else {
            Vec::new()
        },
    });
    receiver
}

fn number(event: &Event) -> u64 {
    match event {
        Event::Decided(decided) => decided.cause.raw(),
        Event::AttemptEnded(ended) => ended.message.raw(),
        other => panic!("not ours: {other:?}"),
    }
}

#[test]
#[ignore = "run by the power cuts, under strace"]
fn child() {
    let dir = PathBuf::from(env::var_os("POWER_CUT_DIR").unwrap());
    let seed: u64 = env::var("POWER_CUT_SEED").unwrap().parse().unwrap();
    let syncs = env::var("POWER_CUT_SYNC").unwrap() == "1";
    let acks = OpenOptions::new()
        .create(true)
        .append(true)
        .open(dir.join("acks"))
        .unwrap();
    let mut random = Random::new(seed);
    for life in 0..LIVES {
        live(&dir.join("data"), &acks, syncs, life, &mut random);
    }
}

/// Opens what a cut left and looks for all that was acknowledged.
pub fn check(dir: &Path, acknowledged: &[String]) -> Result<(), String> {
    let (store, replay) =
        open_with(settings(dir)).map_err(|error| format!("{error}: {:?}", std::error::Error::source(&error)))?;
    let mut journaled = HashSet::new();
    for record in replay {
        let record = record.map_err(|error| error.to_string())?;
        let n = number(&record.event);
        let intact = record.event == decided(n) || record.event == ended(n);
        (intact && record.partition == home(n))
            .then_some(())
            .ok_or_else(|| format!("record of {n} is another"))?;
        journaled.insert((n, record.kind));
    }
    let ending: HashSet<u64> = acknowledged
        .iter()
        .filter_map(|ack| ack.strip_prefix("ending ")?.parse().ok())
        .collect();
    for ack in acknowledged.iter().filter_map(|ack| ack.strip_prefix("durable ")) {
        let (n, kind) = ack.split_once(' ').unwrap();
        let (n, kind): (u64, u16) = (n.parse().unwrap(), kind.parse().unwrap());
        let rows = store
            .state()
            .timeline(home(n), EventId::from_raw(n))
            .map_err(|error| error.to_string())?;
        let in_state = rows.iter().any(|row| row.event.kind() == kind);
        if !in_state && !journaled.contains(&(n, kind)) {
            return Err(format!(
                "event {kind} of message {n} is neither in the journal's tail nor in state"
            ));
        }
        if !ending.contains(&n) {
            match store.spool().read(MessageId::from_raw(n)) {
                Ok(Some(found)) if found == spooled(n, length(n)) => {}
                other => {
                    return Err(format!(
                        "the bytes of message {n}: {:?}",
                        other.map(|found| found.is_some())
                    ));
                }
            }
            let listed = store
                .state()
                .outbox_entry(home(n), MessageId::from_raw(n))
                .map_err(|error| error.to_string())?;
            if in_state && listed.is_none() {
                return Err(format!("message {n} is in state's history, not in its outbox"));
            }
        }
    }
    Ok(())
}
