//! Where deliveries are claimed and recorded, and where messages are read again: the store, or its twin in tests.

use std::future::Future;
use std::pin::Pin;

use store::{Spooled, Store};
use types::event::{AttemptClaimed, AttemptEnded, Event};
use types::id::{MessageId, PartitionId};

/// A future that owns what it waits for.
pub type Waiting<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// The claim or outcome could not be recorded: the node drains, or its journal failed.
#[derive(Clone, Debug, thiserror::Error)]
#[error("not recorded: {0}")]
pub struct NotRecorded(pub String);

/// Claims, outcomes and bytes of messages.
pub trait Ledger: Send + Sync + 'static {
    /// Records a session's claim on a message; `Ok` once it, and the message's bytes, are on stable storage.
    fn claim(&self, partition: PartitionId, claim: AttemptClaimed) -> Waiting<Result<(), NotRecorded>>;

    /// Hands over how an attempt ended; waits while the place it goes to is full, not for the disk.
    fn tell(&self, partition: PartitionId, ended: AttemptEnded) -> Waiting<()>;

    /// Reads a spooled message, `None` if there is none. Blocks on the disk.
    fn read(&self, message: MessageId) -> Result<Option<Spooled>, String>;

    /// Reads the domain of a spooled message's recipient. Blocks on the disk.
    fn domain(&self, message: MessageId) -> Option<String>;
}

impl Ledger for Store {
    fn claim(&self, partition: PartitionId, claim: AttemptClaimed) -> Waiting<Result<(), NotRecorded>> {
        let store = self.clone();
        Box::pin(async move {
            let submitted = store.intake().submit(partition, Event::AttemptClaimed(claim)).await;
            submitted.map(drop).map_err(|cause| NotRecorded(cause.to_string()))
        })
    }

    fn tell(&self, partition: PartitionId, ended: AttemptEnded) -> Waiting<()> {
        let store = self.clone();
        Box::pin(async move {
            let message = ended.message;
            let told = store
                .intake()
                .tell(partition, Event::AttemptEnded(Box::new(ended)))
                .await;
            if let Err(cause) = told {
                // After a restart the claim says what there is to know: the message is in doubt.
                tracing::warn!(mail = ?message, %cause, "the end of an attempt was not recorded");
            }
        })
    }

    fn read(&self, message: MessageId) -> Result<Option<Spooled>, String> {
        self.spool().read(message).map_err(|cause| cause.to_string())
    }

    fn domain(&self, message: MessageId) -> Option<String> {
        self.spool().domain(message)
    }
}
