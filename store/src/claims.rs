//! Claims: names that exactly one request may have, orders' ids and idempotency keys.
//!
//! A name is *held* while its first request is under way, *settled* once that is durable, and *stored* once state has it.
//! Held and settled names stand in memory, stored ones in state, for at least 72 hours. A twin that comes while a name is
//! held waits for the first to end, and then sees what the first did: same body, the first's id; other body, a conflict;
//! first failed, the name is free.

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use foldhash::fast::FixedState;
use tokio::sync::watch;
use types::event::Claim;
use types::id::PublicId;

use crate::commit::Commits;
use crate::journal::Position;
use crate::state::{StoredClaim, Tables};
use crate::sync::lock;

const SHARDS: usize = 64;

/// What a request's claims came to.
#[derive(Debug)]
pub enum Claimed {
    /// All names were free and are held now.
    New(ClaimGuard),
    /// One was claimed before by the same request: this is what it was answered.
    Replay(PublicId),
    /// One was claimed before by another request.
    Conflict,
}

/// Why names could not be claimed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ClaimError {
    /// Too many requests are under way.
    #[error("too many claims are under way")]
    Busy,
    /// The store has failed.
    #[error("the store takes nothing more")]
    Closed,
}

/// The names that are claimed.
#[derive(Clone, Debug)]
pub struct Claims(Arc<Inner>);

struct Inner {
    shards: Vec<Mutex<HashMap<[u8; 16], Holder, FixedState>>>,
    count: AtomicUsize,
    count_max: usize,
    tables: Arc<Tables>,
    commits: Arc<Commits>,
}

/// Who has a name that is not in state yet.
enum Holder {
    /// A request under way; the channel closes when it ends.
    Held(watch::Receiver<()>),
    /// A durable request.
    Settled { body: [u8; 16], id: PublicId },
}

enum Look {
    Taken,
    Twin(watch::Receiver<()>),
    Known { body: [u8; 16], id: PublicId },
    Full,
}

impl fmt::Debug for Inner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Claims")
            .field("pending", &self.count)
            .finish_non_exhaustive()
    }
}

impl Claims {
    /// `settled` are names that were found in the journal and may not be in state yet.
    pub(crate) fn new(
        tables: Arc<Tables>,
        commits: Arc<Commits>,
        count_max: usize,
        settled: &[(Claim, PublicId)],
    ) -> Self {
        let inner = Inner {
            shards: (0..SHARDS).map(|_| Mutex::default()).collect(),
            count: AtomicUsize::new(0),
            count_max,
            tables,
            commits,
        };
        for (claim, id) in settled {
            inner.settle(claim, *id);
        }
        Self(Arc::new(inner))
    }

    /// Claims all these names or none. Waits while another request that shares one is under way.
    pub async fn claim(&self, claims: &[Claim]) -> Result<Claimed, ClaimError> {
        let mut claims = claims.to_vec();
        // One order for all, so that two requests cannot wait for each other.
        claims.sort_unstable_by_key(|claim| claim.name);
        claims.dedup();
        if claims.is_sorted_by(|a, b| a.name < b.name) {
            loop {
                match self.try_claim(&claims)? {
                    Ok(claimed) => return Ok(claimed),
                    // The channel never carries anything: an error says that the twin has ended.
                    Err(mut twin) => while twin.changed().await.is_ok() {},
                }
            }
        }
        // One name with two bodies.
        Ok(Claimed::Conflict)
    }

    fn try_claim(&self, claims: &[Claim]) -> Result<Result<Claimed, watch::Receiver<()>>, ClaimError> {
        let (done, ended) = watch::channel(());
        let mut guard = ClaimGuard {
            claims: Arc::clone(&self.0),
            held: Vec::with_capacity(claims.len()),
            _done: done,
        };
        let mut replay = None;
        for claim in claims {
            match self.0.take(claim, &ended) {
                Look::Taken => guard.held.push(*claim),
                // Dropping the guard frees what this call holds, so the twin can go on.
                Look::Twin(twin) => return Ok(Err(twin)),
                Look::Known { body, .. } if body != claim.body => return Ok(Ok(Claimed::Conflict)),
                Look::Known { id, .. } => replay = replay.or(Some(id)),
                Look::Full => return Err(ClaimError::Busy),
            }
        }
        // A failed look-up has failed the store; what it did not find may be there.
        if *self.0.commits.failed().borrow() {
            return Err(ClaimError::Closed);
        }
        Ok(Ok(replay.map_or(Claimed::New(guard), Claimed::Replay)))
    }

    /// Forgets names that are in state now.
    pub(crate) fn stored<'a>(&self, names: impl Iterator<Item = &'a [u8; 16]>) {
        for name in names {
            if let Some(shard) = self.0.shard(name) {
                let mut shard = lock(shard);
                if matches!(shard.get(name), Some(Holder::Settled { .. })) {
                    shard.remove(name);
                    self.0.count.fetch_sub(1, Ordering::Relaxed);
                }
            }
        }
    }
}

impl Inner {
    fn shard(&self, name: &[u8; 16]) -> Option<&Mutex<HashMap<[u8; 16], Holder, FixedState>>> {
        let [first, ..] = name;
        self.shards.get(usize::from(*first) % SHARDS)
    }

    /// Looks a name up in state. A failed read fails the store before it returns `None`.
    fn stored(&self, name: &[u8; 16]) -> Option<StoredClaim> {
        let read = self.tables.claim(name);
        read.inspect_err(|error| self.commits.fail("reading state", error))
            .ok()?
    }

    fn take(&self, claim: &Claim, ended: &watch::Receiver<()>) -> Look {
        let Some(shard) = self.shard(&claim.name) else {
            return Look::Full;
        };
        let mut shard = lock(shard);
        match shard.get(&claim.name) {
            Some(Holder::Held(twin)) => return Look::Twin(twin.clone()),
            Some(Holder::Settled { body, id }) => return Look::Known { body: *body, id: *id },
            None => {}
        }
        // Under the shard's lock, so that a name that moves from memory to state is seen in one of them.
        if let Some(stored) = self.stored(&claim.name) {
            return Look::Known {
                body: stored.body,
                id: stored.id,
            };
        }
        if self.count.load(Ordering::Relaxed) >= self.count_max {
            return Look::Full;
        }
        self.count.fetch_add(1, Ordering::Relaxed);
        shard.insert(claim.name, Holder::Held(ended.clone()));
        Look::Taken
    }

    fn settle(&self, claim: &Claim, id: PublicId) {
        if let Some(shard) = self.shard(&claim.name) {
            // State may have been faster than the request's own task.
            let mut shard = lock(shard);
            let holder = Holder::Settled { body: claim.body, id };
            if shard.insert(claim.name, holder).is_none() {
                self.count.fetch_add(1, Ordering::Relaxed);
            }
            if self.stored(&claim.name).is_some() {
                shard.remove(&claim.name);
                self.count.fetch_sub(1, Ordering::Relaxed);
            }
        }
    }

    fn free(&self, claim: &Claim) {
        if let Some(shard) = self.shard(&claim.name) {
            let mut shard = lock(shard);
            if matches!(shard.get(&claim.name), Some(Holder::Held(_))) {
                shard.remove(&claim.name);
                self.count.fetch_sub(1, Ordering::Relaxed);
            }
        }
    }
}

/// Holds the names of one request while it is under way. Dropped without [`ClaimGuard::fulfil`], it frees them.
///
/// So it must live until the fate of the request's event is known: a task that may be cancelled between submitting the
/// event and its receipt (a connection that goes away) must leave the guard to one that may not.
#[derive(Debug)]
pub struct ClaimGuard {
    claims: Arc<Inner>,
    held: Vec<Claim>,
    _done: watch::Sender<()>,
}

impl ClaimGuard {
    /// Settles the names: the event `id`, which carries the claims, is durable at `position`. Twins see it from now on.
    pub fn fulfil(mut self, id: PublicId, position: Position) {
        debug_assert!(
            *self.claims.commits.durable().borrow() >= position,
            "fulfilled before durable"
        );
        for claim in std::mem::take(&mut self.held) {
            self.claims.settle(&claim, id);
        }
    }
}

impl Drop for ClaimGuard {
    fn drop(&mut self) {
        for claim in &self.held {
            self.claims.free(claim);
        }
    }
}
