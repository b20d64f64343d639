//! What the store's tests share: a clock that is set, a small store, records that are known again, a medium that fails.

#![allow(dead_code, reason = "each test uses its part")]

use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc;
use std::time::Duration;

use bytes::Bytes;
use prometheus::Registry;
use store::{
    Batch, CommitFailed, Medium, OpenError, Position, RealMedium, Record, Replay, Settings, Spooled, Store, Turn,
};
use tempfile::TempDir;
use types::address::EmailAddress;
use types::event::{AttemptClaimed, Event};
use types::id::{Attempt, EventId, MessageId, PartitionId};
use types::time::{Clock, Timestamp};

/// A clock that stands still until it is set.
#[derive(Debug)]
pub struct SetClock(pub AtomicU64);

impl Clock for SetClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.0.load(Ordering::Relaxed))
    }
}

/// A directory in memory if the system has one: the tests open thousands of stores.
pub fn scratch() -> TempDir {
    let memory = Path::new("/dev/shm");
    if memory.is_dir() {
        TempDir::new_in(memory).unwrap()
    } else {
        TempDir::new().unwrap()
    }
}

pub fn clock() -> Arc<SetClock> {
    Arc::new(SetClock(AtomicU64::new(1_795_291_200_000)))
}

/// Settings of a small store: segments of 64 KiB, nothing in the background, a floor of 0.
pub fn settings(dir: &Path) -> Settings {
    Settings {
        data_dir: dir.to_owned(),
        runners: 2,
        segment_bytes: 64 << 10,
        checkpoint_interval: Duration::from_hours(1),
        disk_floor_bytes: 0,
        state_cache_bytes: 1 << 20,
        ..Settings::default()
    }
}

pub fn open_with(settings: Settings) -> Result<(Store, Replay), OpenError> {
    store::open(settings, clock(), &Registry::new())
}

pub fn open(dir: &Path) -> (Store, Replay) {
    open_with(settings(dir)).unwrap()
}

pub fn partition(number: u16) -> PartitionId {
    PartitionId::new(number).unwrap()
}

/// The event of test record `n`, which is known again by its number.
pub fn event(n: u64) -> Event {
    Event::AttemptClaimed(AttemptClaimed {
        message: MessageId::from_raw(n),
        attempt: Attempt(u16::try_from(n % 1000).unwrap()),
    })
}

/// Returns the number of a test record.
pub fn number(record: &Record) -> u64 {
    match &record.event {
        Event::AttemptClaimed(claimed) => {
            assert_eq!(
                event(claimed.message.raw()),
                record.event,
                "record {:?}",
                record.position
            );
            claimed.message.raw()
        }
        other => panic!("not a test record: {other:?}"),
    }
}

/// Appends test record `n` without waiting.
pub fn append(store: &Store, n: u64) -> Position {
    append_to(store, n, partition(u16::try_from(n % 1024).unwrap()))
}

pub fn append_to(store: &Store, n: u64, partition: PartitionId) -> Position {
    let mut batch = Batch::new();
    batch.push(store.journal().mint(), partition, Timestamp::from_millis(n), &event(n));
    store.journal().append(batch).unwrap()
}

/// Waits until all that was appended is durable.
pub fn settle(store: &Store) -> Result<Position, CommitFailed> {
    let (sender, receiver) = mpsc::channel();
    let mut batch = Batch::new();
    batch.on_durable(move |result| {
        let _ = sender.send(result);
    });
    store.journal().append(batch).map_err(|_| CommitFailed)?;
    receiver.recv().unwrap_or(Err(CommitFailed))
}

/// Reads the numbers of all records that a replay has.
pub fn numbers(replay: Replay) -> Vec<u64> {
    replay.map(|record| number(&record.unwrap())).collect()
}

/// A message whose bytes are known again by its number.
pub fn spooled(n: u64, len: usize) -> Spooled {
    let pattern = n.to_le_bytes();
    Spooled {
        message: MessageId::from_raw(n),
        partition: partition(u16::try_from(n % 1024).unwrap()),
        reverse_path: n
            .is_multiple_of(2)
            .then(|| EmailAddress::try_from("bounce@mail.example.it").unwrap()),
        recipient: EmailAddress::try_from(format!("person{n}@d{}.example.it", n % 7)).unwrap(),
        bytes: Bytes::from(
            (0..len)
                .map(|i| pattern[i % 8] ^ (i / 8 % 256) as u8)
                .collect::<Vec<_>>(),
        ),
    }
}

/// A turn of both runners' partitions, without changes unless some are added.
pub fn turn(position: Position) -> Turn {
    Turn {
        range: 0..1025,
        position,
        puts: Vec::new(),
        released: Vec::new(),
    }
}

pub fn raw(n: u64) -> EventId {
    EventId::from_raw(n)
}

/// A medium that fails from a certain call on, or tells of a full disk.
#[derive(Debug, Default)]
pub struct Failing {
    /// Syncs that succeed before one fails; `u64::MAX` for all.
    pub syncs_left: AtomicU64,
    pub writes_left: AtomicU64,
    pub kind_full: AtomicBool,
    /// Segment files that are refused for want of space while they are made.
    pub fills_refused: AtomicU64,
    /// What `free_bytes` answers; `u64::MAX` for the truth.
    pub free: AtomicU64,
    pub syncs: AtomicU64,
}

impl Failing {
    pub fn never() -> Arc<Self> {
        Arc::new(Self {
            syncs_left: AtomicU64::new(u64::MAX),
            writes_left: AtomicU64::new(u64::MAX),
            kind_full: AtomicBool::new(false),
            fills_refused: AtomicU64::new(0),
            free: AtomicU64::new(u64::MAX),
            syncs: AtomicU64::new(0),
        })
    }

    fn error(&self) -> io::Error {
        // ENOSPC and EIO.
        io::Error::from_raw_os_error(if self.kind_full.load(Ordering::Relaxed) { 28 } else { 5 })
    }
}

fn spend(left: &AtomicU64) -> bool {
    left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| match left {
        // Fails once; what is tried again afterwards succeeds, as the kernel has it.
        0 | u64::MAX => Some(u64::MAX),
        left => Some(left - 1),
    })
    .unwrap()
        > 0
}

fn spend_one(left: &AtomicU64) -> bool {
    left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1))
        .is_ok()
}

impl Medium for Failing {
    fn write_at(&self, file: &File, bytes: &[u8], offset: u64) -> io::Result<()> {
        // Only a file in the making is written with zeros from its start.
        if offset == 0 && bytes.iter().all(|b| *b == 0) && spend_one(&self.fills_refused) {
            return Err(self.error());
        }
        if spend(&self.writes_left) {
            RealMedium.write_at(file, bytes, offset)
        } else {
            Err(self.error())
        }
    }

    fn sync(&self, file: &File) -> io::Result<()> {
        self.syncs.fetch_add(1, Ordering::Relaxed);
        if spend(&self.syncs_left) {
            RealMedium.sync(file)
        } else {
            Err(self.error())
        }
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        RealMedium.sync_dir(dir)
    }

    fn free_bytes(&self, dir: &Path) -> io::Result<u64> {
        match self.free.load(Ordering::Relaxed) {
            u64::MAX => RealMedium.free_bytes(dir),
            free => Ok(free),
        }
    }
}
