//! Measures durable timers: `cargo run --release -p store --example timer_rate -- DIR MILLIONS`, then the same with `recover` behind it.
//!
//! The first run holds so many timers, due over 30 days in no order, then arms more, each with the record that an
//! instance's move is, at an even pace and then as fast as it goes, and ends without closing anything, as a kill does. The second opens the directory again: recovery, and the first
//! window of due timers. Both print what a timer takes on disk and what the process holds in memory.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use prometheus::Registry;
use store::state::{Timer, TimerClass, TimerPut};
use store::{Batch, Position, Put, Settings, Store, Turn};
use types::calendar::Zone;
use types::event::{Event, MoveCause, Moved, Place, Swept, Waits, WaitsOn};
use types::id::{EventId, PartitionId, PersonKey, ShopNumber, Slot, WorkflowNumber};
use types::text::Slug;
use types::time::{Clock, Timestamp};

/// As the service has it: what is given back by one thread is used by another.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const SPAN: u64 = 30 * 24 * 3_600_000;
const TURN: u64 = 256;
const ARMING: Duration = Duration::from_secs(30);
/// Arms a second, at first; then as many as go.
const PACE: u64 = 100_000;

struct SystemClock;

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "a program of its own, with a clock of its own")]
    fn now(&self) -> Timestamp {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Timestamp::from_millis(u64::try_from(since.as_millis()).unwrap_or(0))
    }
}

fn main() {
    let mut arguments = std::env::args().skip(1);
    let dir = arguments.next().expect("a directory on the disk to measure");
    let millions: u64 = arguments
        .next()
        .and_then(|text| text.parse().ok())
        .expect("how many millions");
    let recovers = arguments.next().as_deref() == Some("recover");
    let settings = Settings {
        data_dir: Path::new(&dir).to_owned(),
        ..Settings::default()
    };
    let began = Instant::now();
    let (store, replay) = store::open(settings, Arc::new(SystemClock), &Registry::new()).expect("a directory");
    let state = Path::new(&dir).join("state");
    if recovers {
        println!("opened after {:.2?}; memory {} MiB", began.elapsed(), resident_mib());
        let records = replay.count();
        println!(
            "records that state lacked: {records}, read after {:.2?}",
            began.elapsed()
        );
        window(&store);
        return;
    }
    let began = Instant::now();
    let all = millions * 1_000_000;
    let mut last = Position(0);
    for first in (0..all).step_by(4096) {
        last = fill(&store, first, 4096.min(all - first));
    }
    applied(&store, last);
    let seconds = began.elapsed().as_secs_f64();
    println!(
        "held {all} after {seconds:.0} s ({:.0}/s); memory {} MiB, at most {} MiB; state {:.1} bytes a timer",
        count(all) / seconds,
        resident_mib(),
        peak_mib(),
        count(bytes(&state)) / count(all),
    );
    // What waited to be written is: this is what holding them takes.
    std::thread::sleep(Duration::from_secs(10));
    println!("at rest: memory {} MiB", resident_mib());
    let mut armed = 0;
    for (pace, span) in [(Some(PACE), ARMING), (None, ARMING / 3)] {
        let (began, before) = (Instant::now(), armed);
        while began.elapsed() < span {
            last = arm(&store, all + armed);
            armed += TURN;
            let due = pace.map(|pace| Duration::from_micros((armed - before) * 1_000_000 / pace));
            std::thread::sleep(due.unwrap_or_default().saturating_sub(began.elapsed()));
        }
        applied(&store, last);
        println!(
            "armed {} with their records: {:.0}/s; memory {} MiB; state {:.1} bytes a timer",
            armed - before,
            count(armed - before) / began.elapsed().as_secs_f64(),
            resident_mib(),
            count(bytes(&state)) / count(all + armed),
        );
    }
    window(&store);
    // As a kill would: nothing is closed.
    std::process::abort();
}

#[expect(clippy::cast_precision_loss, reason = "a figure to print")]
const fn count(number: u64) -> f64 {
    number as f64
}

/// Reads the timers of the next minute, as a start does.
fn window(store: &Store) {
    let began = Instant::now();
    let from = SystemClock.now();
    let slots = Slot::all().map(|slot| {
        let timers = store
            .state()
            .timers()
            .due(slot, from, from + Duration::from_mins(1), 100_000);
        timers.expect("state answers").len()
    });
    let found: usize = slots.sum();
    println!(
        "a window of one minute: {found} timers in {:.2?}; memory {} MiB",
        began.elapsed(),
        resident_mib()
    );
}

/// Holds timers without records of their own: one record a turn stands for them.
fn fill(store: &Store, first: u64, timers: u64) -> Position {
    let now = SystemClock.now();
    let mut batch = Batch::new();
    let swept = Event::Swept(Swept {
        shop: ShopNumber(1),
        workflow: WorkflowNumber(1),
        activation: 1,
        entered: 0,
    });
    batch.push(store.journal().mint(), PartitionId::CATALOGUE, now, &swept);
    let puts = (first..first + timers).map(|n| timer(store.journal().mint(), n, now));
    hand_in(
        store,
        batch,
        puts.map(|timer| Put::Timer(TimerPut::Set(timer))).collect(),
    )
}

/// Arms timers as a runner does: each with the record of its instance's move.
fn arm(store: &Store, first: u64) -> Position {
    let now = SystemClock.now();
    let (mut batch, mut puts) = (Batch::new(), Vec::new());
    for n in first..first + TURN {
        let id = store.journal().mint();
        let timer = timer(id, n, now);
        let step = Slug::try_from("wait").expect("an id");
        let moved = Event::Moved(Box::new(Moved {
            shop: ShopNumber(1),
            workflow: WorkflowNumber(1),
            version: 1,
            person: PersonKey::from_bytes([7; 16]),
            instance: Some(timer.owner),
            epoch: timer.epoch,
            cause: MoveCause::Timer(now),
            key: None,
            did: Vec::new(),
            place: Place::Waits(Waits {
                step: Some(step),
                on: WaitsOn::Time,
                due: Some(timer.due),
                base: now,
                zone: "Europe/Rome".parse::<Zone>().expect("a zone"),
            }),
        }));
        batch.push(id, timer.partition, now, &moved);
        puts.push(Put::Timer(TimerPut::Set(timer)));
    }
    hand_in(store, batch, puts)
}

fn hand_in(store: &Store, batch: Batch, puts: Vec<Put>) -> Position {
    let position = store.journal().append(batch).expect("open");
    store.state().submit(Turn {
        range: 0..PartitionId::CATALOGUE.number() + 1,
        position,
        puts,
        released: Vec::new(),
    });
    position
}

fn timer(owner: EventId, n: u64, now: Timestamp) -> Timer {
    // A multiplier that is prime to 2^64 puts them in no order.
    let scattered = n.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let partition = u16::try_from((scattered >> 20) % 1024).expect("below 1024");
    Timer {
        due: Timestamp::from_millis(now.as_millis() + (scattered >> 11) % SPAN),
        partition: PartitionId::new(partition).expect("below 1024"),
        owner,
        epoch: 1,
        class: TimerClass::Workflow,
    }
}

fn applied(store: &Store, last: Position) {
    while store.state().applied(PartitionId::CATALOGUE).0 < last.0 {
        std::thread::sleep(Duration::from_millis(1));
    }
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
    status("VmRSS:")
}

fn peak_mib() -> u64 {
    status("VmHWM:")
}

fn status(name: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix(name));
    let kib = line.and_then(|line| line.trim().split(' ').next()?.parse::<u64>().ok());
    kib.unwrap_or_default() / 1024
}
