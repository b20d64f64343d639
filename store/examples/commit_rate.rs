//! Measures commits: `cargo run --release -p store --example commit_rate -- DIR`.
//!
//! Prints, for some numbers of waiting callers, durable messages a second and the wait's median and 99th percentile. Each
//! message is what a mail costs: 6 KiB into the spool, and two records into the journal, waited for together.

use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use prometheus::Registry;
use store::{Batch, Settings, Spooled, Store};
use types::address::EmailAddress;
use types::event::{AttemptClaimed, Event};
use types::id::{Attempt, MessageId, PartitionId};
use types::time::{Clock, Timestamp};

/// How long each line is measured.
const RUN: Duration = Duration::from_secs(3);

struct SystemClock;

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "a program of its own, with a clock of its own")]
    fn now(&self) -> Timestamp {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Timestamp::from_millis(u64::try_from(since.as_millis()).unwrap_or(0))
    }
}

fn main() {
    let dir = std::env::args().nth(1).expect("a directory on the disk to measure");
    let settings = Settings {
        data_dir: Path::new(&dir).to_owned(),
        ..Settings::default()
    };
    let (store, _) = store::open(settings, Arc::new(SystemClock), &Registry::new()).expect("an empty directory");
    append_cost(&store);
    println!("callers  messages/s  median ms  p99 ms");
    for callers in [1, 4, 16, 64, 256] {
        let mut waits = measure(&store, callers);
        waits.sort_unstable();
        let at = |percent: usize| {
            let wait = waits.get(waits.len() * percent / 100).copied().unwrap_or_default();
            wait.as_secs_f64() * 1000.0
        };
        let rate = f64::from(u32::try_from(waits.len()).unwrap_or(u32::MAX)) / RUN.as_secs_f64();
        println!("{callers:7}  {rate:10.0}  {:9.2}  {:6.2}", at(50), at(99));
    }
}

/// Measures what appending costs the caller, without waiting.
fn append_cost(store: &Store) {
    let event = event(MessageId::new(store.journal().mint()));
    let began = Instant::now();
    let count = 100_000;
    for _ in 0..count {
        let mut batch = Batch::new();
        batch.push(
            store.journal().mint(),
            PartitionId::CATALOGUE,
            Timestamp::default(),
            &event,
        );
        store.journal().append(batch).expect("the store takes records");
    }
    println!("append: {:?} a record", began.elapsed() / count);
}

fn event(message: MessageId) -> Event {
    Event::AttemptClaimed(AttemptClaimed {
        message,
        attempt: Attempt(1),
    })
}

fn measure(store: &Store, callers: usize) -> Vec<Duration> {
    let end = Instant::now() + RUN;
    thread::scope(|scope| {
        let callers: Vec<_> = (0..callers)
            .map(|_| {
                scope.spawn(move || {
                    let mut waits = Vec::new();
                    while Instant::now() < end {
                        let began = Instant::now();
                        send(store);
                        waits.push(began.elapsed());
                    }
                    waits
                })
            })
            .collect();
        callers
            .into_iter()
            .flat_map(|caller| caller.join().expect("a caller panicked"))
            .collect()
    })
}

fn send(store: &Store) {
    let message = MessageId::new(store.journal().mint());
    let spooled = Spooled {
        message,
        partition: PartitionId::CATALOGUE,
        reverse_path: None,
        recipient: EmailAddress::try_from("mario@example.it").expect("an address"),
        bytes: Bytes::from_static(&[b'x'; 6 << 10]),
    };
    store.spool().append(&spooled).expect("the store takes messages");
    let (sender, done) = mpsc::sync_channel(1);
    let mut batch = Batch::new();
    for _ in 0..2 {
        batch.push(
            store.journal().mint(),
            PartitionId::CATALOGUE,
            Timestamp::default(),
            &event(message),
        );
    }
    batch.on_durable(move |result| {
        let _ = sender.send(result);
    });
    store.journal().append(batch).expect("the store takes records");
    done.recv().expect("an answer").expect("durable");
    store.spool().release(message);
}
