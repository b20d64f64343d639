//! Hits that name nobody: added up in memory and handed to the runners four times a second.
//!
//! The map is bounded by its keys (shop, offer, kind, class), of which a hit of a new one is dropped and counted when all
//! places are taken. What was counted is handed on before an orderly stop ends, after the last connection; a crash loses a
//! quarter of a second of it.

use std::collections::{BTreeMap, HashMap};
use std::hash::{BuildHasher, RandomState};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use policy::hits::class_of;
use store::Intake;
use types::event::{AgentClass, AggregateCounted, AggregateHit, Event, HitClass, HitKind, Visit};
use types::id::{CampaignNumber, PERSON_PARTITIONS, PartitionId, ShopNumber};

/// How often counts are handed on.
pub(crate) const INTERVAL: Duration = Duration::from_millis(250);
/// How many locks share the work.
const SHARDS: usize = 16;
/// Keys of one shard at most: 65,536 together, some 4 MiB.
const SHARD_KEYS_MAX: usize = 4096;
/// Hits of one event at most; a busier quarter of a second makes several.
const HITS_MAX: usize = 1024;

type Key = (ShopNumber, Option<CampaignNumber>, HitKind, HitClass);

/// What was counted and not yet handed on.
pub(crate) struct Aggregates {
    shards: [Mutex<HashMap<Key, u32>>; SHARDS],
    hasher: RandomState,
}

/// All places for keys are taken.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Full;

impl Aggregates {
    pub(crate) fn new() -> Self {
        Self {
            shards: std::array::from_fn(|_| Mutex::default()),
            hasher: RandomState::new(),
        }
    }

    /// Counts one hit. There is no more to judge it by than what the agent said.
    pub(crate) fn count(
        &self,
        shop: ShopNumber,
        campaign: Option<CampaignNumber>,
        kind: HitKind,
        agent: AgentClass,
    ) -> Result<(), Full> {
        self.add((shop, campaign, kind, class_of(kind, agent, Visit::Real)), 1)
    }

    fn add(&self, key: Key, count: u32) -> Result<(), Full> {
        let shard = usize::try_from(self.hasher.hash_one(key)).unwrap_or_default() % SHARDS;
        let mut shard = lock(self.shards.get(shard).expect("a remainder is below its divisor"));
        if shard.len() >= SHARD_KEYS_MAX && !shard.contains_key(&key) {
            return Err(Full);
        }
        let counted = shard.entry(key).or_default();
        *counted = counted.saturating_add(count);
        Ok(())
    }

    /// Hands everything counted so far to the runners, and returns how many hits found none: the store has ended.
    pub(crate) async fn hand_on(&self, intake: &Intake) -> u64 {
        let mut lost = 0;
        for (partition, hits) in self.take() {
            for hits in hits.chunks(HITS_MAX) {
                let counted = AggregateCounted { hits: hits.to_vec() };
                if intake.tell(partition, Event::AggregateCounted(counted)).await.is_err() {
                    lost += hits.iter().map(|hit| u64::from(hit.count)).sum::<u64>();
                }
            }
        }
        lost
    }

    /// Takes everything counted so far, by the partition that it goes to.
    fn take(&self) -> BTreeMap<PartitionId, Vec<AggregateHit>> {
        let mut taken: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for shard in &self.shards {
            for ((shop, campaign, kind, class), count) in lock(shard).drain() {
                let hit = AggregateHit {
                    shop,
                    campaign,
                    kind,
                    class,
                    count,
                };
                taken.entry(partition(shop)).or_default().push(hit);
            }
        }
        taken
    }
}

/// Returns where a shop's counts go. Any partition would do: readers add up all of them.
fn partition(shop: ShopNumber) -> PartitionId {
    let spread = shop.0.wrapping_mul(0x9e37_79b9) >> 16;
    let number = u16::try_from(spread).unwrap_or_default() % PERSON_PARTITIONS;
    PartitionId::new(number).expect("below the partitions of persons")
}

/// Counts cannot be left half changed, so a poisoned lock is as good as another.
fn lock(shard: &Mutex<HashMap<Key, u32>>) -> MutexGuard<'_, HashMap<Key, u32>> {
    shard.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_hits_are_one_count_and_keys_are_bounded() {
        let aggregates = Aggregates::new();
        for _ in 0..3 {
            let counted = aggregates.count(ShopNumber(7), None, HitKind::Open, AgentClass::Client);
            assert_eq!(counted, Ok(()));
        }
        let mut full = 0;
        for campaign in 0..100_000 {
            let campaign = Some(CampaignNumber(campaign));
            full += u32::from(
                aggregates
                    .count(ShopNumber(7), campaign, HitKind::Click, AgentClass::Machine)
                    .is_err(),
            );
        }
        assert!((30_000..50_000).contains(&full), "{full}");
        // What has its place is still counted.
        let counted = aggregates.count(ShopNumber(7), None, HitKind::Open, AgentClass::Client);
        assert_eq!(counted, Ok(()));
        let taken = aggregates.take();
        let hits = taken.get(&partition(ShopNumber(7))).expect("all are the shop's");
        let opens = hits.iter().find(|hit| hit.kind == HitKind::Open).expect("was counted");
        assert_eq!((opens.count, opens.class), (4, HitClass::Human));
        let clicks: u32 = hits
            .iter()
            .filter(|hit| hit.kind == HitKind::Click)
            .map(|hit| hit.count)
            .sum();
        assert_eq!(clicks, 100_000 - full);
        assert!(aggregates.take().is_empty());
    }
}
