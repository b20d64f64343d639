//! The store: everything that must survive, on disk, and the way back after a crash.
//!
//! The [`Journal`] is the truth: what happened, in order, durable before anyone is told. The [`Spool`] keeps the bytes of
//! signed messages until they are delivered. [`State`] is the journal folded into keyed values, so that a start need not
//! read it all. The [`Intake`] leads events to the runners, [`Claims`] make one request of five copies, [`Secrets`] keeps
//! the keys. Files are opened here and nowhere else.
//!
//! ```text
//! intake ─► runner ─┬─► Journal::append ──► commit thread ══ sync both ══► durable: callbacks, Position
//!     mta ──────────┴─► Spool::append ───►      │
//!                   └─► State::submit ─► waits for its position ─► fjall, spool released
//! ```
//!
//! Threads: `store-commit` and `store-spool-sync` (`commit.rs`), one for each kind of segment that makes files ahead
//! (`segment.rs`), `store-state` (`state/writer.rs`), `store-keeper` (`keeper.rs`), `store-disk` (`disk.rs`).
//!
//! What failed syncs, full disks and torn tails do is told in `docs/formats/`. Deliberately absent: what events mean. The
//! store reads of an event only what recovery needs: ids, claims, and which messages live.

mod catalogue;
mod checkpoint;
pub mod claims;
mod commit;
mod disk;
mod error;
mod frame;
mod identity;
pub mod imports;
pub mod intake;
pub mod journal;
mod keeper;
mod medium;
mod metrics;
mod open;
mod recovery;
mod secrets;
mod segment;
mod settings;
pub mod spool;
mod spool_scan;
pub mod state;
mod store;
mod sync;
pub mod tail;

pub use catalogue::CatalogueHandle;
pub use claims::{ClaimError, ClaimGuard, Claimed, Claims};
pub use disk::Disk;
pub use error::{OpenError, ReplayError};
pub use imports::Imports;
pub use intake::{Inbox, Intake, Receipt, Submission, SubmitError};
pub use journal::{Batch, Closed, CommitFailed, Journal, Position, Record};
pub use medium::{Medium, RealMedium};
pub use open::open;
pub use recovery::Replay;
pub use secrets::Secrets;
pub use settings::{Config, Settings};
pub use spool::{Spool, SpoolError, Spooled};
pub use state::{
    Observer, OutboxEntry, Put, State, StateError, StoredChange, StoredClaim, StoredEvent, Suppression,
    SuppressionList, Turn,
};
pub use store::Store;
pub use tail::{Tail, TailError};
