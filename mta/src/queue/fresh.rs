//! Envelopes and bytes of new messages, kept in memory for the first attempt, within a budget.
//!
//! What is not kept is read from the spool when it is tried: nothing is lost by letting go.

use std::collections::HashMap;

use bytes::Bytes;
use foldhash::fast::RandomState;
use types::address::EmailAddress;

use super::book::Slot;

/// A message's envelope and bytes, kept for its first attempt.
#[derive(Debug)]
pub(crate) struct Fresh {
    pub(crate) reverse_path: Option<EmailAddress>,
    pub(crate) recipient: EmailAddress,
    pub(crate) bytes: Bytes,
}

/// What is kept of all messages.
#[derive(Debug)]
pub(super) struct FreshMessages {
    kept: HashMap<Slot, Fresh, RandomState>,
    bytes: usize,
    bytes_max: usize,
}

impl FreshMessages {
    pub(super) fn new(bytes_max: usize) -> Self {
        Self {
            kept: HashMap::default(),
            bytes: 0,
            bytes_max,
        }
    }

    /// Keeps a message if the budget has room for it.
    pub(super) fn keep(&mut self, slot: Slot, fresh: Fresh) {
        let size = fresh.bytes.len();
        if self.bytes + size <= self.bytes_max {
            self.bytes += size;
            self.kept.insert(slot, fresh);
        }
    }

    /// Returns what is kept of a message, and keeps it no longer.
    pub(super) fn take(&mut self, slot: Slot) -> Option<Fresh> {
        let fresh = self.kept.remove(&slot)?;
        self.bytes -= fresh.bytes.len();
        Some(fresh)
    }

    /// Lets go of all messages but those of which `wanted` is true.
    pub(super) fn retain(&mut self, mut wanted: impl FnMut(Slot) -> bool) {
        let bytes = &mut self.bytes;
        self.kept.retain(|slot, fresh| {
            let wanted = wanted(*slot);
            if !wanted {
                *bytes -= fresh.bytes.len();
            }
            wanted
        });
    }

    /// Returns how many messages are kept, and the bytes of all of them.
    #[cfg(test)]
    pub(super) fn size(&self) -> (usize, usize) {
        (self.kept.len(), self.bytes)
    }
}
