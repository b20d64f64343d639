//! Takes claims and histories out of state by their age.

use std::time::Duration;

use types::id::PartitionId;
use types::time::Timestamp;

use crate::state::Tables;
use crate::state::table::Read;

/// Claims, or rows of histories, removed in one go.
const SWEPT_MAX: usize = 10_000;
/// Partitions whose claims and histories are swept in one round: all of them in 17 rounds.
const SWEPT_PARTITIONS: u16 = 64;
/// Full portions swept in one round: at a round each 30 s, twice what 5,000 events a second leave behind.
const SWEPT_PORTIONS: usize = 32;
/// Goes through the partitions, some in each round.
pub(crate) struct Sweep {
    claims_kept: Duration,
    history_kept: Duration,
    /// The partition that is swept next.
    next: u16,
}

impl Sweep {
    /// Begins with the first partition.
    pub(crate) const fn new(claims_kept: Duration, history_kept: Duration) -> Self {
        Self {
            claims_kept,
            history_kept,
            next: 0,
        }
    }

    /// Removes the claims and the histories of the next partitions that are too old; returns how many rows of histories went.
    pub(super) fn go_on(&mut self, tables: &Tables, now: Timestamp) -> Read<usize> {
        let (claims_before, histories_before) = (now - self.claims_kept, now - self.history_kept);
        let (mut portions, mut rows) = (0, 0);
        for _ in 0..SWEPT_PARTITIONS {
            let Some(partition) = PartitionId::new(self.next) else {
                self.next = 0;
                break;
            };
            loop {
                let claims = tables.sweep_claims(partition, claims_before, SWEPT_MAX)?;
                let swept = tables.sweep_history(partition, histories_before, SWEPT_MAX)?;
                rows += swept;
                if claims.max(swept) < SWEPT_MAX {
                    break;
                }
                portions += 1;
                if portions == SWEPT_PORTIONS {
                    // The next round goes on with the same partition.
                    return Ok(rows);
                }
            }
            self.next += 1;
        }
        Ok(rows)
    }
}
