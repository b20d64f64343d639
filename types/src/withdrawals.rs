//! The mails of people who withdrew: served as ever, recorded no more.
//!
//! The runners fill it as withdrawals are folded; the tracker asks it before it offers an open or a click. It is the first of
//! two guards: a runner asks the person's state once more before it records anything, so what fell out of this set, was
//! withdrawn before the last start, or came a moment too late, is not recorded either.

use std::collections::BTreeSet;
use std::sync::{PoisonError, RwLock};

use crate::id::MessageId;

/// How many locks share the work: a click is looked up by one reader among many cores, and writes are rare.
const SHARDS: usize = 16;

/// A bounded set of withdrawn mails, shared by the runners (who add) and the tracker (which asks).
///
/// When full, the oldest mail of the shard makes room: it is the least likely to be opened again.
#[derive(Debug)]
pub struct Withdrawals {
    shards: [RwLock<BTreeSet<MessageId>>; SHARDS],
    shard_mails_max: usize,
}

impl Default for Withdrawals {
    /// Holds up to 2²⁰ mails, in some 16 MiB.
    fn default() -> Self {
        Self::with_capacity(1 << 20)
    }
}

impl Withdrawals {
    /// Makes an empty set that holds up to `mails_max` mails, rounded up to a multiple of 16.
    pub fn with_capacity(mails_max: usize) -> Self {
        Self {
            shards: std::array::from_fn(|_| RwLock::default()),
            shard_mails_max: mails_max.div_ceil(SHARDS),
        }
    }

    /// Adds mails.
    pub fn add(&self, messages: impl IntoIterator<Item = MessageId>) {
        for message in messages {
            // A panic elsewhere cannot leave a set of ids half changed, so a poisoned lock is as good as another.
            let mut shard = self.shard(message).write().unwrap_or_else(PoisonError::into_inner);
            shard.insert(message);
            if shard.len() > self.shard_mails_max {
                shard.pop_first();
            }
        }
    }

    /// Returns whether a mail was withdrawn.
    pub fn contains(&self, message: MessageId) -> bool {
        let shard = self.shard(message).read().unwrap_or_else(PoisonError::into_inner);
        shard.contains(&message)
    }

    fn shard(&self, message: MessageId) -> &RwLock<BTreeSet<MessageId>> {
        // The sequence alone is 0 for most ids of a quiet system; the milliseconds above it spread them.
        let spread = message.raw() ^ (message.raw() >> 22);
        let index = usize::try_from(spread).unwrap_or_default() % SHARDS;
        self.shards.get(index).expect("a remainder is below its divisor")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn added_mails_are_found_and_others_are_not() {
        let withdrawals = Withdrawals::default();
        withdrawals.add([MessageId::from_raw(5), MessageId::from_raw(6)]);
        assert!(withdrawals.contains(MessageId::from_raw(5)));
        assert!(!withdrawals.contains(MessageId::from_raw(7)));
    }

    #[test]
    fn the_oldest_make_room() {
        let withdrawals = Withdrawals::with_capacity(16 * 4);
        withdrawals.add((0..1_000).map(MessageId::from_raw));
        let kept: Vec<_> = (0..1_000)
            .filter(|&raw| withdrawals.contains(MessageId::from_raw(raw)))
            .collect();
        assert_eq!(kept, (936..1_000).collect::<Vec<_>>());
    }
}
