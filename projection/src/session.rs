//! One session with Redis: from its watermarks to the first failure.
//!
//! ```text
//! watermarks ─► slots without counts: all from state ─► journal up to now: events, and what they touched ─► follow
//! ```
//!
//! Many batches are under way at once. Each expects the watermark that the one before it leaves, so when one fails those
//! behind it change nothing. Values of counts go out in the order in which they were read; a session begins by forgetting
//! the feed, and what it forgets is in state before the journal is read, so nothing falls between.

use std::collections::BTreeSet;
use std::time::Duration;

use tokio::task::{JoinError, JoinSet, yield_now};
use tokio::time::{Instant, sleep_until};
use types::event::{Notice, Viewer};
use types::id::{MessageId, PartitionId, Slot};
use types::time::Timestamp;

use crate::batch::Batch;
use crate::changes::Overflowed;
use crate::fault::Fault;
use crate::keys::Cell;
use crate::link::Link;
use crate::projector::Projection;
use crate::rescan;
use crate::touched::Touched;
use crate::watermark::Watermark;
use store::{Position, Record, TailError};

/// Records of one round; the journal's answer is bounded by bytes as well.
const RECORDS_MAX: usize = 4096;
/// Bytes of counts of one round, when they are read from state.
const RESCAN_BYTES: usize = 256 << 10;
/// Records after which a long way through the journal is made good for counts, so that a failure does not begin it anew.
const LAP: u64 = 1 << 20;
/// How often all slots are told how far all is, and asked with it whether they still stand where they were left.
const BEAT: Duration = Duration::from_secs(1);
/// How often nodes are asked whether they evict.
const EVICTION_CHECK: Duration = Duration::from_secs(5);

/// A session.
pub(crate) struct Session<'a> {
    projection: &'a mut Projection,
    link: Link,
    /// By slot.
    marks: Vec<Mark>,
    /// All up to here is in state, and changes after it are in the feed.
    begun_at: u64,
    under_way: JoinSet<Result<Round, Fault>>,
    bytes: usize,
}

/// Where a slot stands once all that is under way has arrived.
struct Mark {
    /// As stored; empty for none.
    stored: String,
    at: Watermark,
}

/// A round of batches, as far as metrics are concerned.
struct Round {
    bytes: usize,
    batches: u64,
    passed: Option<Passed>,
}

/// A stretch of the journal that a round brings to its end.
#[derive(Clone, Copy)]
pub(crate) struct Passed {
    pub(crate) records: u64,
    /// The last record, and when that was appended.
    pub(crate) position: u64,
    pub(crate) wall: Timestamp,
}

impl Passed {
    fn of(records: &[Record]) -> Option<Self> {
        let last = records.last()?;
        Some(Self {
            records: records.len() as u64,
            position: last.position.0,
            wall: last.wall,
        })
    }
}

/// Batches of one round, by slot.
struct Batches(Vec<Option<Batch>>);

impl Batches {
    fn new() -> Self {
        Self(Slot::all().map(|_| None).collect())
    }

    fn of(&mut self, slot: Slot) -> &mut Batch {
        let batch = self.0.get_mut(usize::from(slot.number()));
        batch.expect("there is a place for each slot").get_or_insert_default()
    }

    fn bytes(&self) -> usize {
        self.0.iter().flatten().map(Batch::bytes).sum()
    }
}

impl<'a> Session<'a> {
    /// Connects, and finds out where each slot stands.
    pub(crate) async fn begin(projection: &'a mut Projection) -> Result<Self, Fault> {
        let mut link = Link::open(&projection.settings).await?;
        link.clear(&projection.foreign).await?;
        projection.foreign.clear();
        let stored = link.watermarks().await?;
        projection.changes.clear();
        // In this order: whatever was forgotten is durable by now, and so at or before this position.
        let begun_at = projection.store.journal().durable().borrow().0;
        projection.store.fold_reached(Duration::MAX).await;
        let mut session = Self {
            projection,
            link,
            marks: Vec::new(),
            begun_at,
            under_way: JoinSet::new(),
            bytes: 0,
        };
        session.settle_marks(stored).await?;
        session.check_eviction().await?;
        Ok(session)
    }

    /// Brings Redis up to date, and keeps it so. Returns when the journal has ended and all of it has arrived.
    pub(crate) async fn run(mut self) -> Result<(), Fault> {
        self.build().await?;
        self.replay().await?;
        self.follow().await
    }

    /// Makes out of what is stored where to go on. Slots that hold something of unknown origin are emptied.
    async fn settle_marks(&mut self, stored: Vec<Option<String>>) -> Result<(), Fault> {
        let store = &self.projection.store;
        let (incarnation, first) = (store.incarnation(), store.journal_begins().0);
        let mut id = [0; 8];
        // Only to differ; what it falls back to does as well.
        let _ = aws_lc_rs::rand::fill(&mut id);
        let session = u64::from_le_bytes(id) ^ self.begun_at;
        let wall = self.projection.now();
        let streamed = self
            .projection
            .settings
            .stream_len
            .saturating_mul(u64::from(Slot::COUNT));
        let fresh_from = self.begun_at.saturating_sub(streamed).max(first - 1);
        let (mut unknown, mut shared) = (Vec::new(), false);
        for (slot, stored) in Slot::all().zip(stored) {
            let stored = stored.unwrap_or_default();
            let parsed = stored.parse::<Watermark>().ok();
            shared |= parsed.is_some_and(|mark| mark.incarnation != incarnation);
            let known = parsed.filter(|mark| {
                mark.incarnation == incarnation
                    && mark.position <= self.begun_at
                    && mark.counts.is_none_or(|counts| counts <= self.begun_at)
                    && !self.projection.evicted
            });
            let mark = if let Some(mark) = known {
                let at = Watermark {
                    position: mark.position.max(first - 1),
                    counts: mark.counts.filter(|counts| counts + 1 >= first),
                    session,
                    batch: 0,
                    ..mark
                };
                Mark { stored, at }
            } else {
                unknown.push(slot);
                let at = Watermark {
                    incarnation,
                    position: fresh_from,
                    wall,
                    counts: None,
                    session,
                    batch: 0,
                };
                let stored = String::new();
                Mark { stored, at }
            };
            self.marks.push(mark);
        }
        if shared {
            self.projection.found_another();
        }
        if !unknown.is_empty() {
            self.link.clear(&unknown).await?;
            self.projection.evicted = false;
        }
        let position = self.marks.iter().map(|mark| mark.at.position).min().unwrap_or(0);
        let counts = self.marks.iter().filter_map(|mark| mark.at.counts).min();
        let needed = position.min(counts.unwrap_or(u64::MAX));
        self.projection.store.hold_journal_after(Position(needed));
        self.projection.found(position);
        Ok(())
    }

    /// Fills slots whose counts are not known to be whole from state.
    async fn build(&mut self) -> Result<(), Fault> {
        let catalogue = self.projection.store.catalogue().load();
        let oldest = self.projection.naming(&catalogue).oldest();
        let mut touched = Touched::nothing();
        for (slot, mark) in Slot::all().zip(&self.marks) {
            if mark.at.counts.is_none() {
                touched.everything(slot, oldest);
                self.projection.metrics.rebuilds.inc();
            }
        }
        if touched.is_nothing() {
            return Ok(());
        }
        self.rescan(&touched).await?;
        for slot in Slot::all().filter(|slot| touched.hour_of(*slot).is_some()) {
            self.mark(slot).at.counts = Some(self.begun_at);
        }
        self.dispatch(Batches::new(), None).await
    }

    /// Goes through the journal up to where the session began: events that streams lack, and what became of the counts.
    async fn replay(&mut self) -> Result<(), Fault> {
        let behind = |mark: &Mark| mark.at.position.min(mark.at.counts.unwrap_or(0));
        let from = self.marks.iter().map(behind).min().unwrap_or(0) + 1;
        let mut tail = self.projection.store.tail(Position(from));
        let mut touched = Touched::nothing();
        let (mut at, mut lap) = (from - 1, from);
        while at < self.begun_at {
            let mut records = tail.next(RECORDS_MAX).await?;
            records.retain(|record| record.position.0 <= self.begun_at);
            let Some(last) = records.last() else { break };
            at = last.position.0;
            self.replay_round(&records, &mut touched).await?;
            if at - lap > LAP || at == self.begun_at {
                self.rescan(&touched).await?;
                for mark in &mut self.marks {
                    mark.at.counts = mark.at.counts.map(|counts| counts.max(at));
                }
                self.dispatch(Batches::new(), None).await?;
                touched = Touched::nothing();
                lap = at;
            }
        }
        Ok(())
    }

    async fn replay_round(&mut self, records: &[Record], touched: &mut Touched) -> Result<(), Fault> {
        let mut batches = Batches::new();
        let mut mails = BTreeSet::new();
        let counted = |mark: &Mark, record: &Record| mark.at.counts.is_some_and(|counts| record.position.0 > counts);
        for record in records {
            let slot = Slot::of(record.partition);
            let mark = self.mark(slot);
            if counted(mark, record) {
                touched.record(record);
                if let Some(message) = record.event.touches().mail {
                    mails.insert((record.partition.number(), message.raw()));
                }
            }
            if record.position.0 > self.mark(slot).at.position {
                self.add_event(&mut batches, record)?;
            }
        }
        let catalogue = self.projection.store.catalogue().load();
        let naming = self.projection.naming(&catalogue);
        for (number, message) in mails {
            let partition = PartitionId::new(number).expect("it came from a record");
            let message = MessageId::from_raw(message);
            let mail = self.projection.store.state().mails().get(partition, message);
            let Some(mail) = mail.map_err(|_| Fault::State)? else {
                continue;
            };
            if let Some(cell) = naming.mail(partition, message, mail.counts) {
                batches.of(Slot::of(partition)).put(cell);
            }
        }
        let passed = Passed::of(records);
        if let Some(Passed { position, wall, .. }) = passed {
            for mark in self.marks.iter_mut().filter(|mark| mark.at.position < position) {
                mark.at.position = position;
                mark.at.wall = wall;
            }
        }
        self.dispatch_some(batches, passed).await
    }

    /// Sends what was touched, as it is in state now.
    async fn rescan(&mut self, touched: &Touched) -> Result<(), Fault> {
        let catalogue = self.projection.store.catalogue().load();
        let naming = self.projection.naming(&catalogue);
        let store = self.projection.store.clone();
        let mut fields = rescan::fields(store.state(), touched, &naming);
        let mut more = true;
        while more {
            let mut batches = Batches::new();
            more = false;
            for field in fields.by_ref() {
                let (slot, cell): (Slot, Cell) = field.map_err(|_| Fault::State)?;
                batches.of(slot).put(cell);
                if batches.bytes() >= RESCAN_BYTES {
                    more = true;
                    break;
                }
            }
            self.dispatch_some(batches, None).await?;
            yield_now().await;
        }
        Ok(())
    }

    /// Follows the journal, and the feed with it.
    async fn follow(&mut self) -> Result<(), Fault> {
        let mut tail = self.projection.store.tail(Position(self.begun_at + 1));
        let mut beat = Instant::now() + BEAT;
        let mut check = Instant::now() + EVICTION_CHECK;
        self.projection.metrics.up.set(1);
        loop {
            tokio::select! {
                biased;
                Some(round) = self.under_way.join_next() => self.arrived(round)?,
                () = sleep_until(beat.min(check)) => {
                    if Instant::now() >= beat {
                        self.beat().await?;
                        beat = Instant::now() + BEAT;
                    } else {
                        self.check_eviction().await?;
                        check = Instant::now() + EVICTION_CHECK;
                    }
                }
                records = tail.next(RECORDS_MAX), if self.bytes < self.projection.settings.window_bytes => match records {
                    Ok(records) => self.forward(&records).await?,
                    Err(TailError::Ended) => break,
                    Err(error) => return Err(error.into()),
                },
            }
            self.projection.observe();
        }
        self.beat().await?;
        while let Some(round) = self.under_way.join_next().await {
            self.arrived(round)?;
        }
        self.projection.observe();
        Ok(())
    }

    /// Sends records, and what their slots' counts have become with them.
    async fn forward(&mut self, records: &[Record]) -> Result<(), Fault> {
        self.projection.store.folded(records).await;
        let mut batches = Batches::new();
        for record in records {
            self.add_event(&mut batches, record)?;
        }
        let slots: BTreeSet<_> = records.iter().map(|record| Slot::of(record.partition)).collect();
        self.add_fresh(&mut batches, slots.iter().copied())?;
        let passed = Passed::of(records);
        if let Some(Passed { position, wall, .. }) = passed {
            for mark in &mut self.marks {
                mark.at.position = position;
                mark.at.counts = Some(position);
                mark.at.wall = wall;
            }
        }
        self.dispatch_some(batches, passed).await
    }

    /// Tells all slots how far all is.
    async fn beat(&mut self) -> Result<(), Fault> {
        let mut batches = Batches::new();
        self.add_fresh(&mut batches, Slot::all())?;
        self.dispatch(batches, None).await
    }

    fn add_fresh(&mut self, batches: &mut Batches, slots: impl Iterator<Item = Slot>) -> Result<(), Fault> {
        let catalogue = self.projection.store.catalogue().load();
        let naming = self.projection.naming(&catalogue);
        for slot in slots {
            let fresh = self.projection.changes.take(slot);
            for cell in fresh.map_err(|Overflowed| Fault::Overflowed)?.cells(&naming) {
                batches.of(slot).put(cell);
            }
        }
        Ok(())
    }

    fn add_event(&mut self, batches: &mut Batches, record: &Record) -> Result<(), Fault> {
        let catalogue = self.projection.store.catalogue().load();
        let histories = self.projection.store.state().histories();
        let telling = histories.telling(record, &catalogue, Viewer::Operator);
        let telling = telling.map_err(|_| Fault::State)?;
        let batch = batches.of(Slot::of(record.partition));
        if let Some(notice) = telling.and_then(|telling| Notice::of(&record.event, &telling)) {
            let json = serde_json::to_vec(&notice).expect("a notice is plain data");
            batch.event(record.position.0, json);
        }
        Ok(())
    }

    fn mark(&mut self, slot: Slot) -> &mut Mark {
        let mark = self.marks.get_mut(usize::from(slot.number()));
        mark.expect("there is one for each slot")
    }

    /// Sends to the slots that get something.
    async fn dispatch_some(&mut self, batches: Batches, passed: Option<Passed>) -> Result<(), Fault> {
        self.dispatch_if(batches, passed, Option::is_some).await
    }

    /// Sends to all slots: the watermark, if nothing else.
    async fn dispatch(&mut self, batches: Batches, passed: Option<Passed>) -> Result<(), Fault> {
        self.dispatch_if(batches, passed, |_| true).await
    }

    async fn dispatch_if(
        &mut self,
        batches: Batches,
        passed: Option<Passed>,
        wanted: impl Fn(&Option<Batch>) -> bool,
    ) -> Result<(), Fault> {
        let bytes = batches.bytes();
        let mut calls = Vec::new();
        let stream_len = self.projection.settings.stream_len;
        for (slot, batch) in Slot::all().zip(batches.0).filter(|(_, batch)| wanted(batch)) {
            let script = self.link.script.clone();
            let mark = self.mark(slot);
            mark.at.batch += 1;
            let next = mark.at.to_string();
            let call = batch
                .unwrap_or_default()
                .call(slot, &script, &mark.stored, &next, stream_len);
            mark.stored = next;
            calls.push((slot, call));
        }
        let round = Round {
            bytes,
            batches: calls.len() as u64,
            passed,
        };
        let sending = self.link.send(calls);
        self.under_way.spawn(async move {
            for (slot, answer) in sending.answers().await? {
                match answer {
                    redis::Value::Int(1) => {}
                    redis::Value::BulkString(stored) => {
                        let stored = String::from_utf8_lossy(&stored).into_owned();
                        return Err(Fault::Stale { slot, stored });
                    }
                    answer => {
                        return Err(Fault::Answer {
                            command: "EVALSHA",
                            answer,
                        });
                    }
                }
            }
            Ok(round)
        });
        self.bytes += bytes;
        while self.bytes >= self.projection.settings.window_bytes {
            let Some(round) = self.under_way.join_next().await else {
                break;
            };
            self.arrived(round)?;
        }
        // What is under way gets the thread, whose other work is reading.
        yield_now().await;
        Ok(())
    }

    /// Takes note of a round that has arrived.
    fn arrived(&mut self, round: Result<Result<Round, Fault>, JoinError>) -> Result<(), Fault> {
        // If it panicked, nothing is known of it, and the watermarks are read again.
        let round = round.map_err(|_| Fault::Unknown)??;
        self.bytes -= round.bytes;
        let metrics = &self.projection.metrics;
        metrics.batches.inc_by(round.batches);
        metrics
            .in_flight_bytes
            .set(i64::try_from(self.bytes).unwrap_or(i64::MAX));
        if let Some(passed) = round.passed {
            self.projection.confirmed(passed);
            if passed.position > self.begun_at {
                self.projection.store.hold_journal_after(Position(passed.position));
            }
        }
        Ok(())
    }

    /// Asks the nodes whether they evict. Err: they did and do not any more, so all is to be sent again.
    async fn check_eviction(&mut self) -> Result<(), Fault> {
        let evictions = self.link.evictions().await?;
        if self.projection.evictions(&evictions) {
            return Err(Fault::Evicted);
        }
        Ok(())
    }
}
