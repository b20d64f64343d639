//! Why a data directory is not opened.

use std::io;
use std::path::PathBuf;

use types::event::EventError;

use crate::state::StateError;

/// Why a data directory is not opened. None of these loses anything; each names what an operator must look at.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process has it.
    #[error("{0} is in use by another process")]
    Locked(PathBuf),
    /// It cannot be written to, renamed in, or synced.
    #[error("{path} cannot be written, synced or renamed in")]
    NotWritable {
        /// What was tried.
        path: PathBuf,
        /// What the system says.
        #[source]
        source: io::Error,
    },
    /// Reading or writing failed while opening.
    #[error("{doing}")]
    Io {
        /// What was being done.
        doing: String,
        /// What the system says.
        #[source]
        source: io::Error,
    },
    /// Written by a newer version.
    #[error("{path} has format version {version}: a newer version wrote it")]
    Newer {
        /// Which file.
        path: PathBuf,
        /// Its version.
        version: u16,
    },
    /// Of another data directory.
    #[error("{0} belongs to another data directory")]
    Foreign(PathBuf),
    /// A record that had been durable is damaged, and state does not hold what it meant.
    ///
    /// The way out is a copy of the segment from a backup.
    #[error("journal segment {segment} is damaged at offset {offset}, record {position}: it was durable once")]
    Damaged {
        /// Which segment.
        segment: u64,
        /// Where the damaged record starts.
        offset: u64,
        /// Its position.
        position: u64,
    },
    /// Journal segments are missing that state does not cover.
    #[error("journal records {from} to {to} are missing, and state holds nothing after {from}")]
    Gap {
        /// The first that is missing.
        from: u64,
        /// The last that is missing.
        to: u64,
    },
    /// State has records that the journal lost.
    #[error("state holds records up to {state}, the journal only up to {journal}: the journal lost its end")]
    JournalBehind {
        /// Up to where state goes.
        state: u64,
        /// Up to where the journal goes.
        journal: u64,
    },
    /// A record is not readable by this version.
    #[error("journal record {position}")]
    Event {
        /// Which record.
        position: u64,
        /// Why.
        #[source]
        source: EventError,
    },
    /// A record's header is valid and says what this version does not know.
    #[error("journal record {position} has format version {version}: a newer version wrote it")]
    NewerRecord {
        /// Which record.
        position: u64,
        /// Its version.
        version: u8,
    },
    /// State cannot be opened or rebuilt.
    #[error("state")]
    State(#[from] fjall::Error),
    /// State opens, but holds something unreadable.
    #[error(transparent)]
    Unreadable(#[from] StateError),
    /// The metrics' names are taken.
    #[error("metrics")]
    Metrics(#[from] prometheus::Error),
}

/// Why a record of the tail could not be read: what opening had read a moment before.
pub type ReplayError = OpenError;

/// Says what was being done when an I/O error came up.
pub(crate) trait Doing<T> {
    fn doing(self, what: impl FnOnce() -> String) -> Result<T, OpenError>;
}

impl<T> Doing<T> for io::Result<T> {
    fn doing(self, what: impl FnOnce() -> String) -> Result<T, OpenError> {
        self.map_err(|source| OpenError::Io { doing: what(), source })
    }
}
