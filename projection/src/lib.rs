//! The projector: what is durable and folded, shipped to Redis for dashboards and other programs to read.
//!
//! Redis decides nothing and is never asked anything but how far it is. A thread of its own follows the journal; a script
//! applies one batch to one of 64 slots and stores the slot's watermark in the same step, if the
//! stored one is the one that the batch expects. So a batch is applied once or not at all, whatever is repeated, lost or
//! late, and a Redis that lost writes says itself how many.
//!
//! Two things go out. Events, each once and in order: a stream for each slot. Counts, absolute, so that sending one twice
//! changes nothing: of cells, mails and first visits. While all goes well, `changes.rs` tells what changed, with its new
//! values. After a restart, a failover or an outage that is not known any more, and is found again from the journal
//! (`touched.rs`, by what each event declares) and read from state (`rescan.rs`).
//!
//! Every failure ends the session, and the next begins with the watermarks (`session.rs`). Nobody waits for any of this.
//!
//! `docs/formats/redis.md` tells readers and operators what they find. Deliberately absent: reading anything back that a
//! decision could rest on.

mod address;
mod batch;
mod changes;
mod fault;
mod keys;
mod link;
mod metrics;
mod projector;
mod rescan;
mod session;
mod settings;
mod touched;
mod watermark;

use std::sync::{Mutex, MutexGuard, PoisonError};

pub use projector::Projector;
pub use settings::{Config, Settings};

/// Locks; what a panicked holder left is as good as before, since every change here is one assignment or insertion.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
