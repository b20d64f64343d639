//! The intake: how events reach the runners, and where the system says no.
//!
//! Each runner owns a range of partitions and one bounded inbox. New work is refused at once when the disk is below its
//! floor, when too many mails are between accept and spool, or when the inbox is full. Results of work under way wait for
//! a place instead: refusing them would lose what has already happened. What recipients do with mails has a lane of its own
//! in each inbox, so that a flood of clicks never stands in an order's way, and is dropped and counted when that lane is full.

use std::fmt;
use std::ops::Range;
use std::sync::{Arc, Mutex};

use arc_swap::ArcSwapOption;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};
use types::event::Event;
use types::id::{EventId, PERSON_PARTITIONS, PartitionId, Slot};
use types::port::{Admission, Place};

use crate::disk::Disk;
use crate::journal::Position;
use crate::metrics::Metrics;
use crate::sync::lock;

/// An event on its way to the runner that owns its partition.
#[derive(Debug)]
pub struct Submission {
    /// Whose state it is about.
    pub partition: PartitionId,
    /// What happened.
    pub event: Event,
    /// The place of the mail that this event may cause; empty for events that cause none.
    pub admission: Admission,
    /// Who waits for the event to be durable, or for its refusal.
    pub receipt: Option<oneshot::Sender<Result<Receipt, SubmitError>>>,
}

/// Proof that an event is durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Receipt {
    /// The event's id.
    pub id: EventId,
    /// Where it stands in the journal.
    pub position: Position,
}

/// Why an event was not taken, or is not known to be durable.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SubmitError {
    /// Too much is under way: try again in a moment (503).
    #[error("too much is under way")]
    Busy,
    /// The disk is below its floor: new work is refused until there is space again (507).
    #[error("the disk is below its floor of free space")]
    DiskFull,
    /// The store drains or has failed (503). After a failed commit the event may or may not survive.
    #[error("the store takes nothing more")]
    Closed,
    /// The runner refused the event, and says why.
    #[error("{0}")]
    Refused(String),
}

/// The writing ends of one runner's inbox.
struct Lanes {
    work: mpsc::Sender<Submission>,
    tracked: mpsc::Sender<Submission>,
}

/// A runner's inbox.
#[derive(Debug)]
pub struct Inbox {
    work: mpsc::Receiver<Submission>,
    tracked: mpsc::Receiver<Submission>,
}

impl Inbox {
    /// Waits for submissions and takes at most `max`: orders, results and all that someone waits for first, opens and
    /// clicks into the places that are left. 0: closed and empty. Cancel-safe.
    pub async fn recv_many(&mut self, out: &mut Vec<Submission>, max: usize) -> usize {
        loop {
            let count = self.try_recv_many(out, max);
            if count > 0 {
                return count;
            }
            let (work_over, tracked_over) = (self.work.is_closed(), self.tracked.is_closed());
            if work_over && tracked_over && self.work.is_empty() && self.tracked.is_empty() {
                return 0;
            }
            // One is taken to wake up by; the next round takes the others in their order.
            let one = tokio::select! {
                biased;
                one = self.work.recv(), if !work_over => one,
                one = self.tracked.recv(), if !tracked_over => one,
                else => None,
            };
            if let Some(one) = one {
                out.push(one);
                return 1 + Self::take(&mut self.work, out, max - 1);
            }
        }
    }

    /// Waits for one submission, or `None` when closed and empty.
    pub async fn recv(&mut self) -> Option<Submission> {
        let mut one = Vec::with_capacity(1);
        self.recv_many(&mut one, 1).await;
        one.pop()
    }

    /// Takes what waits now, at most `max` submissions, in the same order as [`Inbox::recv_many`].
    pub fn try_recv_many(&mut self, out: &mut Vec<Submission>, max: usize) -> usize {
        let count = Self::take(&mut self.work, out, max);
        count + Self::take(&mut self.tracked, out, max - count)
    }

    /// Takes opens and clicks that wait now, at most `max`, whatever else waits.
    pub fn try_recv_tracked(&mut self, out: &mut Vec<Submission>, max: usize) -> usize {
        Self::take(&mut self.tracked, out, max)
    }

    /// Returns how many opens and clicks wait.
    pub fn tracked_len(&self) -> usize {
        self.tracked.len()
    }

    /// Takes nothing more in; what is in it can still be received.
    pub fn close(&mut self) {
        self.work.close();
        self.tracked.close();
    }

    /// Returns whether the inbox takes nothing more in.
    pub fn is_closed(&self) -> bool {
        self.work.is_closed() && self.tracked.is_closed()
    }

    fn take(lane: &mut mpsc::Receiver<Submission>, out: &mut Vec<Submission>, max: usize) -> usize {
        let before = out.len();
        while out.len() - before < max
            && let Ok(one) = lane.try_recv()
        {
            out.push(one);
        }
        out.len() - before
    }
}

/// The way in for events.
pub struct Intake {
    /// The lanes of each runner; `None` once closed. Read without a lock: clicks go through here.
    senders: ArcSwapOption<Vec<Lanes>>,
    inboxes: Mutex<Vec<(Range<u16>, Inbox)>>,
    ranges: Vec<Range<u16>>,
    /// Runner of each partition.
    owners: Vec<usize>,
    admissions: Arc<Semaphore>,
    /// How many places there are.
    admissions_max: usize,
    disk: Arc<Disk>,
    metrics: Metrics,
}

/// A taken admission; dropping it lets another accept in.
struct Held {
    _permit: OwnedSemaphorePermit,
    metrics: Metrics,
}

impl Place for Held {}

impl fmt::Debug for Held {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Held")
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.metrics.admissions.dec();
    }
}

impl fmt::Debug for Intake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Intake")
            .field("ranges", &self.ranges)
            .finish_non_exhaustive()
    }
}

/// Splits the partitions among `runners`, by whole slots, evenly and in order; the last one has the catalogue as well.
///
/// A slot's counters have one writer for that reason, and all its partitions the same applied position.
pub(crate) fn ranges(runners: usize) -> Vec<Range<u16>> {
    let slots = u16::from(Slot::COUNT);
    let runners = u16::try_from(runners).unwrap_or(slots).clamp(1, slots);
    let bound = |i: u16| slots * i / runners * Slot::PARTITIONS;
    (0..runners)
        .map(|i| {
            bound(i)..if i + 1 == runners {
                PERSON_PARTITIONS + 1
            } else {
                bound(i + 1)
            }
        })
        .collect()
}

impl Intake {
    pub(crate) fn new(
        runners: usize,
        inbox_len: usize,
        tracked_len: usize,
        admissions: usize,
        disk: Arc<Disk>,
        metrics: Metrics,
    ) -> Self {
        let ranges = ranges(runners);
        let owners = ranges
            .iter()
            .enumerate()
            .flat_map(|(runner, range)| range.clone().map(move |_| runner))
            .collect();
        let (senders, inboxes): (Vec<_>, Vec<_>) = ranges.iter().map(|_| lanes(inbox_len, tracked_len)).unzip();
        Self {
            senders: ArcSwapOption::from_pointee(senders),
            inboxes: Mutex::new(ranges.iter().cloned().zip(inboxes).collect()),
            ranges,
            owners,
            admissions: Arc::new(Semaphore::new(admissions)),
            admissions_max: admissions,
            disk,
            metrics,
        }
    }

    /// Takes in new work that causes a mail, and returns once it is durable. Refuses at once, without a trace, when the
    /// disk is below its floor, all admissions are taken, or the runner's inbox is full.
    pub async fn accept(&self, partition: PartitionId, event: Event) -> Result<Receipt, SubmitError> {
        if !self.disk.accepts() {
            return Err(SubmitError::DiskFull);
        }
        let sender = self.sender(partition)?;
        let admission = self.admit().ok_or(SubmitError::Busy)?;
        let (receipt, answer) = oneshot::channel();
        let submission = Submission {
            partition,
            event,
            admission,
            receipt: Some(receipt),
        };
        sender.try_send(submission).map_err(|error| refusal(&error))?;
        answer.await.unwrap_or(Err(SubmitError::Closed))
    }

    /// Takes a place for a mail that no request asks for now, such as a step of a workflow, if one is free at once. Half of the places
    /// are never given to them, and none below the disk's floor: orders come first.
    pub fn try_admit(&self) -> Option<Admission> {
        self.has_place().then(|| self.admit()).flatten()
    }

    /// Returns whether [`Intake::try_admit`] would find a place now.
    pub fn has_place(&self) -> bool {
        self.disk.accepts() && self.admissions.available_permits() > self.admissions_max / 2
    }

    /// Takes in a result or a change: waits for a place in the inbox, returns once the event is durable. Works below the
    /// disk floor. Cancelling it before it returns leaves open whether the event was taken.
    pub async fn submit(&self, partition: PartitionId, event: Event) -> Result<Receipt, SubmitError> {
        let (receipt, answer) = oneshot::channel();
        self.queue(partition, event, Some(receipt)).await?;
        answer.await.unwrap_or(Err(SubmitError::Closed))
    }

    /// Takes in a result or a change like [`Intake::submit`], but returns as soon as it is queued, not yet durable.
    pub async fn tell(&self, partition: PartitionId, event: Event) -> Result<(), SubmitError> {
        self.queue(partition, event, None).await
    }

    /// Takes in what a recipient did, on its own lane, if there is a place at once, else refuses it as `Busy`. Nothing is
    /// durable on return.
    pub fn offer(&self, partition: PartitionId, event: Event) -> Result<(), SubmitError> {
        let submission = Submission {
            partition,
            event,
            admission: Admission::default(),
            receipt: None,
        };
        let tracked = |lanes: &Lanes| lanes.tracked.try_send(submission).map_err(|error| refusal(&error));
        self.with(partition, tracked)?
    }

    /// Hands the inboxes to the runners, with the partitions that each owns. Empty after the first call.
    pub fn take_inboxes(&self) -> Vec<(Range<u16>, Inbox)> {
        std::mem::take(&mut *lock(&self.inboxes))
    }

    /// Returns the partitions of each runner, in order.
    pub fn ranges(&self) -> &[Range<u16>] {
        &self.ranges
    }

    /// Refuses everything from now on. Runners see the end of their inbox once they have drained it.
    pub fn close(&self) {
        self.senders.store(None);
    }

    fn admit(&self) -> Option<Admission> {
        let permit = Arc::clone(&self.admissions).try_acquire_owned().ok()?;
        self.metrics.admissions.inc();
        Some(Admission::holding(Arc::new(Held {
            _permit: permit,
            metrics: self.metrics.clone(),
        })))
    }

    async fn queue(
        &self,
        partition: PartitionId,
        event: Event,
        receipt: Option<oneshot::Sender<Result<Receipt, SubmitError>>>,
    ) -> Result<(), SubmitError> {
        let submission = Submission {
            partition,
            event,
            admission: Admission::default(),
            receipt,
        };
        let sent = self.sender(partition)?.send(submission).await;
        sent.map_err(|_| SubmitError::Closed)
    }

    fn sender(&self, partition: PartitionId) -> Result<mpsc::Sender<Submission>, SubmitError> {
        self.with(partition, |lanes| lanes.work.clone())
    }

    /// Uses the lanes of a partition's runner.
    fn with<T>(&self, partition: PartitionId, f: impl FnOnce(&Lanes) -> T) -> Result<T, SubmitError> {
        let senders = self.senders.load();
        let senders = senders.as_ref().ok_or(SubmitError::Closed)?;
        let owner = self.owners.get(usize::from(partition.number())).copied();
        owner
            .and_then(|owner| senders.get(owner))
            .map(f)
            .ok_or(SubmitError::Closed)
    }
}

fn lanes(work_len: usize, tracked_len: usize) -> (Lanes, Inbox) {
    let (work, work_inbox) = mpsc::channel(work_len);
    let (tracked, tracked_inbox) = mpsc::channel(tracked_len);
    let inbox = Inbox {
        work: work_inbox,
        tracked: tracked_inbox,
    };
    (Lanes { work, tracked }, inbox)
}

fn refusal(error: &mpsc::error::TrySendError<Submission>) -> SubmitError {
    match error {
        mpsc::error::TrySendError::Full(_) => SubmitError::Busy,
        mpsc::error::TrySendError::Closed(_) => SubmitError::Closed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_partition_has_exactly_one_runner() {
        for runners in [1, 2, 3, 7, 64] {
            let all: Vec<u16> = ranges(runners).into_iter().flatten().collect();
            assert_eq!(all, (0..=PERSON_PARTITIONS).collect::<Vec<_>>(), "{runners} runners");
            assert!(
                ranges(runners).iter().all(|range| range.start % Slot::PARTITIONS == 0),
                "{runners} runners"
            );
        }
    }
}
