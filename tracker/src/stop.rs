//! Whether a listener stops: a flag that every request may read, and a future that wakes the idle.
//!
//! The flag alone is read on the way of a request; a cancellation token takes a lock that all connections share.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

/// Fired once, by the listener.
#[derive(Clone, Default)]
pub(crate) struct Stop {
    flag: Arc<AtomicBool>,
    token: CancellationToken,
}

impl Stop {
    /// Raises the flag, then wakes who waits: whoever is woken sees it.
    pub(crate) fn fire(&self) {
        self.flag.store(true, Ordering::Release);
        self.token.cancel();
    }

    pub(crate) fn has_fired(&self) -> bool {
        self.flag.load(Ordering::Acquire)
    }

    /// Waits until it is fired.
    pub(crate) fn fired_owned(&self) -> WaitForCancellationFutureOwned {
        self.token.clone().cancelled_owned()
    }
}
