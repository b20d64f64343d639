//! The open store: a cheap handle on all parts, and its end.

use std::fmt;
use std::fs::File;
use std::sync::{Arc, Mutex, OnceLock};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::timeout;
use types::id::PartitionId;
use types::port::Health;

use crate::catalogue::CatalogueHandle;
use crate::claims::Claims;
use crate::commit::Commits;
use crate::disk::Disk;
use crate::imports::Imports;
use crate::intake::Intake;
use crate::journal::{Journal, Position, Record, Segments};
use crate::keeper::Bell;
use crate::secrets::Secrets;
use crate::segment::Maker;
use crate::spool::Spool;
use crate::state::{Observer, State};
use crate::sync::lock;

/// An open data directory. Clones share it; when the last is dropped it is closed without a last sync of state.
#[derive(Clone, Debug)]
pub struct Store(pub(crate) Arc<Parts>);

pub(crate) struct Parts {
    pub(crate) journal: Arc<Journal>,
    pub(crate) spool: Arc<Spool>,
    pub(crate) state: State,
    pub(crate) intake: Intake,
    pub(crate) claims: Claims,
    pub(crate) catalogue: Arc<CatalogueHandle>,
    pub(crate) disk: Arc<Disk>,
    pub(crate) secrets: Secrets,
    pub(crate) imports: Imports,
    pub(crate) commits: Arc<Commits>,
    pub(crate) segments: Arc<Segments>,
    pub(crate) incarnation: [u8; 16],
    pub(crate) makers: [Arc<Maker>; 2],
    pub(crate) bell: Arc<Bell>,
    pub(crate) observer: Arc<OnceLock<Arc<dyn Observer>>>,
    /// The threads that write, in the order in which they end, and those that help them.
    pub(crate) threads: Mutex<Vec<JoinHandle<()>>>,
    /// Held for as long as the directory is ours.
    pub(crate) lock: Mutex<Option<File>>,
}

impl fmt::Debug for Parts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store")
            .field("commits", &self.commits)
            .finish_non_exhaustive()
    }
}

impl Health for Store {
    fn findings(&self) -> Vec<(&'static str, String)> {
        let mut findings = Vec::new();
        if *self.0.commits.failed().borrow() {
            let what = "a write, a sync or a read of state failed: nothing is accepted until a restart has recovered";
            findings.push(("store", what.to_owned()));
        }
        if !self.0.disk.accepts() {
            let free = self.0.disk.free_bytes();
            findings.push((
                "disk",
                format!("{free} bytes are free, below the floor: new work is refused"),
            ));
        }
        let damaged = self.0.segments.metrics().spool_damaged.get();
        if damaged > 0 {
            let what = format!("{damaged} records of the spool were found damaged: look at the disk");
            findings.push(("spool", what));
        }
        findings
    }
}

impl Store {
    /// Returns the journal's writing end.
    pub fn journal(&self) -> &Journal {
        &self.0.journal
    }

    /// Returns the spool.
    pub fn spool(&self) -> &Spool {
        &self.0.spool
    }

    /// Returns state.
    pub fn state(&self) -> &State {
        &self.0.state
    }

    /// Returns the way in for events.
    pub fn intake(&self) -> &Intake {
        &self.0.intake
    }

    /// Returns the claimed names.
    pub fn claims(&self) -> &Claims {
        &self.0.claims
    }

    /// Returns where the current catalogue is read from.
    pub fn catalogue(&self) -> &CatalogueHandle {
        &self.0.catalogue
    }

    /// Returns what is known of the disk's space.
    pub fn disk(&self) -> &Disk {
        &self.0.disk
    }

    /// Returns the secrets.
    pub fn secrets(&self) -> &Secrets {
        &self.0.secrets
    }

    /// Returns the files of contacts that are to be imported.
    pub fn imports(&self) -> &Imports {
        &self.0.imports
    }

    /// Returns what tells this journal from every other: a position means a record only together with it.
    pub fn incarnation(&self) -> [u8; 16] {
        self.0.incarnation
    }

    /// Returns whether a write, a sync or a read of state has failed; it becomes true once and stays so.
    ///
    /// The process is to stop accepting, to exit, and to start again: recovery is the only way on.
    pub fn failed(&self) -> watch::Receiver<bool> {
        self.0.commits.failed()
    }

    /// Fails the store for good, as a failed sync does: for a part of the service without which it cannot go on.
    pub fn fail(&self, what: &str, cause: &dyn fmt::Display) {
        self.0.commits.fail(what, cause);
    }

    /// Lets somebody see what is written to state from now on. One observer a store, for its life.
    ///
    /// # Panics
    ///
    /// When there is one already.
    pub fn observe(&self, observer: Arc<dyn Observer>) {
        let is_first = self.0.observer.set(observer).is_ok();
        assert!(is_first, "a store has one observer");
    }

    /// Returns the position of the oldest record that the journal still holds, or of the first to come.
    pub fn journal_begins(&self) -> Position {
        Position(self.0.segments.first())
    }

    /// Asks that records after `position` be kept beyond their retention, though not beyond the bound of all segments.
    /// Position 0 keeps all.
    pub fn hold_journal_after(&self, position: Position) {
        self.0.segments.hold_after(position.0);
    }

    /// Waits until state holds all that was appended when this was called. False if `limit` was over before, or the store
    /// has failed.
    pub async fn fold_reached(&self, limit: Duration) -> bool {
        let (_, last) = self.0.commits.heads();
        timeout(limit, self.folded_up_to(&last)).await.unwrap_or(false)
    }

    /// Waits until state holds some records. False if the store has failed.
    pub async fn folded(&self, records: &[Record]) -> bool {
        let mut last = vec![0; PartitionId::COUNT];
        for record in records {
            if let Some(last) = last.get_mut(usize::from(record.partition.number())) {
                *last = record.position.0;
            }
        }
        self.folded_up_to(&last).await
    }

    /// Waits until state has come to a position in each partition. False if the store has failed.
    async fn folded_up_to(&self, last: &[u64]) -> bool {
        let applied = &self.0.state.applied;
        let (mut changed, mut failed) = (applied.changed(), self.failed());
        let reached = || {
            let numbers = 0..=PartitionId::CATALOGUE.number();
            numbers
                .filter_map(PartitionId::new)
                .zip(last)
                .all(|(partition, last)| applied.of(partition) >= *last)
        };
        while !reached() {
            tokio::select! {
                changed = changed.changed() => if changed.is_err() {
                    return false;
                },
                // State gets nothing more.
                _ = failed.wait_for(|failed| *failed) => return false,
            }
        }
        true
    }

    /// Has what is appended gather while `held`, and be committed as one round when it is let go. For a simulation, in which a round may
    /// not depend on how threads run.
    pub fn hold_commits(&self, held: bool) {
        self.0.commits.hold(held);
    }

    /// Returns whether its threads have nothing to do for whoever appends: all that was appended is committed, those who waited for it
    /// were called, and all turns that were handed in are in state. For a simulation, which moves time on only then.
    pub fn is_idle(&self) -> bool {
        self.0.commits.is_idle() && self.0.state.turns.is_idle()
    }

    /// Ends everything in order: no more submissions; what was appended is committed; turns handed in are written; state
    /// is synced. Callers have drained their runners before.
    pub async fn close(self) {
        let ended = tokio::task::spawn_blocking(move || {
            self.0.end();
            if *self.0.commits.failed().borrow() {
                return;
            }
            if let Err(error) = self.0.state.reader.tables.sync() {
                tracing::error!(%error, "the last sync of state failed: the next start replays more of the journal");
            }
        });
        if let Err(error) = ended.await {
            tracing::error!(%error, "closing the store");
        }
    }
}

impl Parts {
    /// Stops all threads once their work is done. Called twice, it does nothing the second time.
    fn end(&self) {
        let threads = std::mem::take(&mut *lock(&self.threads));
        self.intake.close();
        self.commits.drain();
        self.state.turns.close();
        self.disk.stop();
        self.bell.stop();
        let this = thread::current().id();
        let makers = self.makers.clone();
        if threads.iter().all(|thread| thread.thread().id() != this) {
            return join(threads, &makers);
        }
        // A callback held the last handle. It runs on the commit thread, for which others wait: they end once it goes on, and until then
        // the folder is locked.
        let folder = lock(&self.lock).take();
        let waiting = thread::Builder::new().name("store-end".to_owned()).spawn(move || {
            join(threads, &makers);
            drop(folder);
        });
        if let Err(error) = waiting {
            tracing::error!(%error, "nobody waits for the threads of the store");
        }
    }
}

/// Waits for the threads, of which the first is the commit thread.
fn join(threads: Vec<JoinHandle<()>>, makers: &[Arc<Maker>; 2]) {
    for (i, thread) in threads.into_iter().enumerate() {
        if thread.join().is_err() {
            tracing::error!("a thread of the store panicked");
        }
        if i == 0 {
            // The commit thread was the last to take segments.
            for maker in makers {
                maker.stop();
            }
        }
    }
}

impl Drop for Parts {
    fn drop(&mut self) {
        self.end();
    }
}
