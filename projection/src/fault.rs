//! What goes wrong on the way to Redis, by the label under which it is counted. All of it is tried again.

use redis::{ErrorKind, RedisError, ServerErrorKind, Value};
use types::id::Slot;

use store::TailError;

/// Why a session ended.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Fault {
    /// Redis, or the way to it.
    #[error("redis: {0}")]
    Redis(#[from] RedisError),
    /// Redis holds something else than it was left with.
    #[error("slot {} stands at `{stored}`", slot.number())]
    Stale { slot: Slot, stored: String },
    /// A key of ours has another type, or a stream an event that is not ours.
    #[error("slot {} holds something that others put there: {error}", slot.number())]
    Foreign { slot: Slot, error: RedisError },
    /// An answer that the command does not have.
    #[error("{command} was answered with {answer:?}")]
    Answer { command: &'static str, answer: Value },
    /// No Sentinel names a master that agrees to be one.
    #[error("no sentinel names a master `{0}`")]
    NoMaster(String),
    /// Not all slots of the Cluster have a node.
    #[error("the cluster has no node for slot {}", .0.number())]
    NoNode(Slot),
    /// More changed at once than is remembered.
    #[error("too much changed at once")]
    Overflowed,
    /// Redis evicted some of it.
    #[error("redis evicted keys")]
    Evicted,
    /// The journal cannot be read on.
    #[error(transparent)]
    Journal(#[from] TailError),
    /// What became of a batch is not known.
    #[error("a batch was lost sight of")]
    Unknown,
    /// State cannot be read. The store has failed.
    #[error("state cannot be read")]
    State,
}

/// The labels of [`Fault::label`].
pub(crate) const LABELS: [&str; 16] = [
    "busy",
    "cluster",
    "connection",
    "denied",
    "evicted",
    "foreign",
    "journal",
    "loading",
    "memory",
    "other",
    "overflow",
    "readonly",
    "sentinel",
    "script",
    "stale",
    "timeout",
];

impl Fault {
    /// Tells what one slot alone suffers from what Redis does.
    pub(crate) fn of(slot: Slot, error: RedisError) -> Self {
        let detail = error.detail().unwrap_or_default();
        let told = |text| detail.contains(text);
        // Redis before 7 tells the code of what fails within a script in its text.
        let foreign = error.code() == Some("WRONGTYPE")
            || told("WRONGTYPE")
            || told("ID specified in XADD is equal or smaller")
            || told("stream has exhausted the last possible ID");
        if foreign {
            Self::Foreign { slot, error }
        } else {
            error.into()
        }
    }

    /// Returns what kind of fault it is.
    pub(crate) fn label(&self) -> &'static str {
        match self {
            Self::Redis(error) => label(error),
            Self::Stale { .. } => "stale",
            Self::Foreign { .. } => "foreign",
            Self::Answer { .. } | Self::State | Self::Unknown => "other",
            Self::NoMaster(_) => "sentinel",
            Self::NoNode(_) => "cluster",
            Self::Overflowed => "overflow",
            Self::Evicted => "evicted",
            Self::Journal(_) => "journal",
        }
    }

    /// Returns whether the next session may begin at once: Redis answers, and stands elsewhere than it was thought to.
    pub(crate) const fn at_once(&self) -> bool {
        matches!(self, Self::Stale { .. } | Self::Overflowed | Self::Evicted)
    }
}

fn label(error: &RedisError) -> &'static str {
    use ServerErrorKind as Server;
    if error.is_timeout() {
        return "timeout";
    }
    match error.kind() {
        ErrorKind::Server(kind) => match kind {
            Server::BusyLoading => "loading",
            Server::NoScript => "script",
            Server::Moved
            | Server::Ask
            | Server::TryAgain
            | Server::ClusterDown
            | Server::CrossSlot
            | Server::MasterDown => "cluster",
            Server::ReadOnly => "readonly",
            Server::NoPerm => "denied",
            _ => "other",
        },
        ErrorKind::AuthenticationFailed => "denied",
        ErrorKind::Io => "connection",
        _ => match error.code() {
            Some("OOM") => "memory",
            Some("BUSY") => "busy",
            Some("NOAUTH" | "WRONGPASS") => "denied",
            _ => "other",
        },
    }
}
