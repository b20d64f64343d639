//! How many mails showed each campaign: what soft budget pacing asks at selection time.
//!
//! Every runner counts for its own partitions, in state; the sums over all partitions live here, shared.

use std::sync::atomic::{AtomicU64, Ordering};

use dashmap::DashMap;
use types::id::CampaignNumber;

/// Sums by campaign. Bounded by the catalogue: only decided offers count.
#[derive(Debug, Default)]
pub(crate) struct Meters(DashMap<CampaignNumber, AtomicU64, foldhash::fast::FixedState>);

impl Meters {
    /// Adds to a campaign's count.
    pub(crate) fn add(&self, campaign: CampaignNumber, count: u64) {
        if let Some(meter) = self.0.get(&campaign) {
            meter.fetch_add(count, Ordering::Relaxed);
            return;
        }
        self.0.entry(campaign).or_default().fetch_add(count, Ordering::Relaxed);
    }

    /// Returns a campaign's count.
    pub(crate) fn selections(&self, campaign: CampaignNumber) -> u64 {
        self.0.get(&campaign).map_or(0, |meter| meter.load(Ordering::Relaxed))
    }
}
