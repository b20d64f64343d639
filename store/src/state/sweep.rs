//! What leaves state by its age: claimed names, and the histories of orders and mails.
//!
//! The keeper calls these in bounded portions. An object's id holds its time and follows the partition in its keys, so old
//! objects come first in each partition, and nothing is scanned that stays.

use fjall::OwnedWriteBatch;
use types::event::Event;
use types::id::{EventId, PartitionId, PersonKey, ShopNumber};
use types::time::Timestamp;

use super::tables::{Tables, claim_age_key, claim_key, read_claim, read_event, timeline_prefix};
use super::tracked::about_key;

impl Tables {
    /// Removes up to `limit` claims that were made before `cutoff`. Returns how many there were.
    pub(crate) fn sweep_claims(&self, cutoff: Timestamp, limit: usize) -> fjall::Result<usize> {
        let mut batch = self.db.batch();
        let range = claim_age_key(Timestamp::default(), &[0; 16])..claim_age_key(cutoff, &[0; 16]);
        let mut count = 0;
        for entry in self.claim.range(range).take(limit) {
            let key = entry.key()?;
            count += 1;
            let name: Option<[u8; 16]> = key.get(9..25).and_then(|name| name.try_into().ok());
            let at = key.get(1..9).and_then(|at| at.try_into().ok()).map(u64::from_be_bytes);
            if let (Some(name), Some(at)) = (name, at) {
                // The name may have been claimed anew since; then another age key stands for it.
                let stored = self.claim.get(claim_key(&name))?;
                if stored
                    .and_then(|value| read_claim(&value))
                    .is_some_and(|claim| claim.at.as_millis() <= at)
                {
                    batch.remove(&self.claim, claim_key(&name).as_slice());
                }
            }
            batch.remove(&self.claim, key);
        }
        if count > 0 {
            batch.commit()?;
        }
        Ok(count)
    }

    /// Removes up to `limit` rows of the histories, and as many mails, of a partition's objects from before `cutoff`, with
    /// the entries that tell whom they are about. Returns how many rows and mails there were; fewer than `limit` is all.
    ///
    /// What happens to such an object afterwards begins a new history, which goes the same way.
    pub(crate) fn sweep_history(
        &self,
        partition: PartitionId,
        cutoff: Timestamp,
        limit: usize,
    ) -> fjall::Result<usize> {
        let range =
            timeline_prefix(partition, EventId::from_raw(0))..timeline_prefix(partition, EventId::floor(cutoff));
        let mut batch = self.db.batch();
        let mut count = 0;
        for entry in self.timeline.range(range.clone()).take(limit) {
            let (key, value) = entry.into_inner()?;
            self.forget_about(&mut batch, partition, &key, &value);
            batch.remove(&self.timeline, key);
            count += 1;
        }
        for entry in self.mail.range(range).take(limit - count) {
            batch.remove(&self.mail, entry.key()?);
            count += 1;
        }
        if count > 0 {
            batch.commit()?;
        }
        Ok(count)
    }

    /// Removes the entry that an object is about a person, if this is the event that says so.
    fn forget_about(&self, batch: &mut OwnedWriteBatch, partition: PartitionId, key: &[u8], value: &[u8]) {
        let Some((person, shop)) = whose(key, value) else {
            return;
        };
        let object = key.get(2..10).and_then(|id| id.try_into().ok()).map(u64::from_be_bytes);
        if let Some(object) = object {
            batch.remove(
                &self.about,
                about_key(partition, &person, shop, EventId::from_raw(object)),
            );
        }
    }
}

/// Returns about whom an object is, and of which shop, if this row of its history says so. One that cannot be read says
/// nothing: it goes as it is.
fn whose(key: &[u8], value: &[u8]) -> Option<(PersonKey, ShopNumber)> {
    match read_event(key, value).ok()?.event {
        Event::OrderAccepted(event) => Some((event.person, event.shop)),
        Event::MessageAccepted(event) => Some((event.person, event.shop)),
        Event::Decided(event) => Some((event.person, event.shop)),
        _ => None,
    }
}
