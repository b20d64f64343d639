//! Owners of timers: instances and carts. Only the owner's row arms its timer: when the row is settled with a new epoch or due time.

use store::StateError;
use store::state::{Put, Timer, TimerClass};
use types::id::{EventId, PartitionId};
use types::time::Timestamp;

use crate::desk::Settled;
use crate::memory::Unapplied;

/// A row that may have a timer.
pub(crate) trait Owner: Sized {
    /// What kind of timer it has.
    const CLASS: TimerClass;

    /// Returns the epoch: a timer of another one is not its timer.
    fn epoch(&self) -> u32;

    /// Returns when its timer is due, if it has one.
    fn due(&self) -> Option<Timestamp>;

    /// Writes the stored form.
    fn encode(&self) -> Vec<u8>;

    /// Reads the stored form.
    fn decode(bytes: &[u8]) -> Result<Self, String>;

    /// Returns the change of state that stores it; without a value, that erases it.
    fn put(partition: PartitionId, id: EventId, value: Option<Vec<u8>>) -> Put;
}

/// Names an instance or a cart: by the event that made it.
pub(crate) type OwnerKey = (PartitionId, EventId);

/// The owners of one kind that state does not have as they are.
#[derive(Debug)]
pub(crate) struct Owners<T> {
    rows: Unapplied<OwnerKey, Row<T>>,
}

#[derive(Debug)]
struct Row<T> {
    /// `None` if there is none, or none any more.
    value: Option<T>,
    /// The epoch and due time of the timer that state has for it, or that is on its way there.
    armed: Option<(u32, Timestamp)>,
}

impl<T> Default for Owners<T> {
    fn default() -> Self {
        Self {
            rows: Unapplied::default(),
        }
    }
}

impl<T: Owner> Owners<T> {
    /// Returns an owner as of the last event folded. `read` asks state.
    pub(crate) fn get(
        &mut self,
        key: OwnerKey,
        read: impl FnOnce(PartitionId, EventId) -> Result<Option<Vec<u8>>, StateError>,
    ) -> Result<Option<&T>, StateError> {
        if self.rows.get(&key).is_none() {
            let value =
                match read(key.0, key.1)? {
                    Some(bytes) => Some(T::decode(&bytes).map_err(|error| {
                        StateError::Malformed(format!("{} {:?}: {error}", T::CLASS.as_str(), key.1))
                    })?),
                    None => None,
                };
            let armed = value.as_ref().and_then(timer_of);
            self.rows.keep(key, Row { value, armed });
        }
        Ok(self.rows.get(&key).and_then(|row| row.value.as_ref()))
    }

    /// Changes an owner that was just read with [`Owners::get`], also one that was not there.
    pub(crate) fn change(&mut self, key: OwnerKey, change: impl FnOnce(Option<T>) -> Option<T>) {
        if let Some(row) = self.rows.edit(key) {
            row.value = change(row.value.take());
        }
    }

    /// Ends the turn: hands over each changed owner, and its timer if that changed.
    pub(crate) fn settle(&mut self, position: u64, settled: &mut Settled) {
        self.rows.settle(position, |(partition, owner), row| {
            let value = row.value.as_ref().map(Owner::encode);
            settled.puts.push(T::put(partition, owner, value));
            let timer = row.value.as_ref().and_then(timer_of);
            if let Some((epoch, due)) = timer.filter(|timer| row.armed.as_ref() != Some(timer)) {
                settled.armed.push(Timer {
                    due,
                    partition,
                    owner,
                    epoch,
                    class: T::CLASS,
                });
            }
            row.armed = timer;
        });
    }

    pub(crate) fn forget(&mut self, applied: u64) {
        self.rows.forget(applied);
    }

    pub(crate) fn len(&self) -> usize {
        self.rows.len()
    }
}

fn timer_of<T: Owner>(owner: &T) -> Option<(u32, Timestamp)> {
    Some((owner.epoch(), owner.due()?))
}
