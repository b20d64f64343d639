//! What leaves state by its age, beside claimed names: the histories of orders and mails.
//!
//! The keeper calls this in bounded portions. An object's id holds its time and follows the partition in its keys, so old
//! objects come first in each partition, and nothing is scanned that stays.

use fjall::OwnedWriteBatch;
use types::event::Event;
use types::id::{EventId, PartitionId, PersonKey, ShopNumber};
use types::time::Timestamp;

use super::history::{About, StoredEvent, Timeline};
use super::key;
use super::mail::Mail;
use super::table::{Read, Stored};
use super::tables::Tables;

impl Tables {
    /// Removes up to `limit` rows of the histories, and as many mails, of a partition's objects from before `cutoff`, with
    /// the entries that tell whom they are about. Returns how many rows and mails there were; fewer than `limit` is all.
    ///
    /// What happens to such an object afterwards begins a new history, which goes the same way.
    pub(crate) fn sweep_history(&self, partition: PartitionId, cutoff: Timestamp, limit: usize) -> Read<usize> {
        let range = key::encode(&partition)..key::encode(&(partition, EventId::floor(cutoff)));
        let (timeline, mails) = (self.of::<Timeline>(), self.of::<Mail>());
        let mut batch = self.db.batch();
        let mut count = 0;
        for row in timeline.stored(range.clone()).take(limit) {
            let row = row?;
            self.forget_about(&mut batch, &row)?;
            timeline.remove(&mut batch, &row.key()?);
            count += 1;
        }
        for row in mails.stored(range).take(limit - count) {
            mails.remove(&mut batch, &row?.key()?);
            count += 1;
        }
        if count > 0 {
            batch.commit()?;
        }
        Ok(count)
    }

    /// Removes the entry that an object is about a person, if this is the event that says so.
    fn forget_about(&self, batch: &mut OwnedWriteBatch, row: &Stored<Timeline>) -> Read<()> {
        let (partition, object, id) = row.key()?;
        // One that cannot be read says nothing: it goes as it is.
        let event = row.value().and_then(|payload| payload.read(id));
        if let Some((person, shop)) = event.ok().and_then(whose) {
            self.of::<About>().remove(batch, &(partition, person, shop, object));
        }
        Ok(())
    }
}

/// Returns about whom an object is, and of which shop, if this event of its history says so.
fn whose(stored: StoredEvent) -> Option<(PersonKey, ShopNumber)> {
    match stored.event {
        Event::OrderAccepted(event) => Some((event.person, event.shop)),
        Event::MessageAccepted(event) => Some((event.person, event.shop)),
        Event::Decided(event) => Some((event.person, event.shop)),
        _ => None,
    }
}
