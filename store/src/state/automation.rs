//! The keyspaces of contacts, workflow instances, carts and timers.
//!
//! Values are the runner's own encoding; keys are what is looked up by. A timer is a row of 22 bytes under its due time: cancelling it
//! writes nothing here, because its owner's epoch has gone on and the row is dropped when it surfaces. `docs/formats/state.md` draws the
//! bytes.

use fjall::OwnedWriteBatch;
use types::event::{Event, SetAside};
use types::id::{EventId, PartitionId, PersonKey, PublicId, ShopNumber, Slot, WorkflowNumber};
use types::text::Line;
use types::time::Timestamp;

use super::tables::{Tables, be_u16, be_u32, be_u64, person_key, timeline_prefix};
use super::{State, StateError};
use crate::frame::{put, u32_at};

/// A change of state that contacts, workflows, carts or their timers cause.
#[derive(Clone, Debug)]
pub enum AutomationPut {
    /// What a shop knows of a person.
    Contact {
        /// The person's partition.
        partition: PartitionId,
        /// Who.
        person: PersonKey,
        /// Whose contact.
        shop: ShopNumber,
        /// The whole new value; `None` erases it.
        value: Option<Vec<u8>>,
    },
    /// A contact's way through a workflow.
    Instance {
        /// The person's partition.
        partition: PartitionId,
        /// The event by which it entered.
        instance: EventId,
        /// The whole new value; `None` erases it.
        value: Option<Vec<u8>>,
    },
    /// A cart.
    Cart {
        /// The person's partition.
        partition: PartitionId,
        /// The event by which it was first put.
        cart: EventId,
        /// The whole new value; `None` erases it.
        value: Option<Vec<u8>>,
    },
    /// A shop's own id of a cart leads to it, or no longer.
    CartName {
        /// Whose.
        shop: ShopNumber,
        /// The shop's id of it.
        id: Line<128>,
        /// The cart; `None` forgets the name.
        cart: Option<PublicId>,
    },
    /// A timer is armed.
    TimerSet(Timer),
    /// A timer surfaced, and what it was for is done.
    TimerDelete(TimerKey),
    /// All contacts of a partition were looked at for a workflow that was switched on.
    Swept {
        /// Which partition.
        partition: PartitionId,
        /// Which workflow.
        workflow: WorkflowNumber,
        /// The version of the catalogue that switched it on.
        activation: u64,
    },
    /// Something was set aside.
    SetAside {
        /// Where.
        partition: PartitionId,
        /// The event that says so.
        id: EventId,
        /// The event.
        event: Box<SetAside>,
    },
}

/// A timer on disk. Its owner's epoch says whether it still means something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timer {
    /// When it is due.
    pub due: Timestamp,
    /// Where its owner lives.
    pub partition: PartitionId,
    /// The workflow instance or the cart.
    pub owner: EventId,
    /// The owner's epoch when it was armed.
    pub epoch: u32,
    /// What kind of owner.
    pub class: TimerClass,
}

/// Where a timer's row stands among those of its slot: one row for an owner and an instant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TimerKey {
    /// When it is due.
    pub due: Timestamp,
    /// Where its owner lives.
    pub partition: PartitionId,
    /// The workflow instance or the cart.
    pub owner: EventId,
}

impl Timer {
    /// Returns where its row stands.
    pub const fn key(&self) -> TimerKey {
        TimerKey {
            due: self.due,
            partition: self.partition,
            owner: self.owner,
        }
    }
}

/// What kind of owner a timer has. The numbers are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum TimerClass {
    /// A workflow instance.
    Workflow = 1,
    /// A cart.
    Cart = 2,
}

impl TimerClass {
    /// Every class.
    pub const ALL: [Self; 2] = [Self::Workflow, Self::Cart];

    /// Returns the class's name, as in metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Workflow => "workflow",
            Self::Cart => "cart",
        }
    }

    const fn from_number(number: u8) -> Option<Self> {
        match number {
            1 => Some(Self::Workflow),
            2 => Some(Self::Cart),
            _ => None,
        }
    }
}

impl Tables {
    /// Adds a change to a batch.
    pub(super) fn put_automation(&self, batch: &mut OwnedWriteBatch, change: &AutomationPut) {
        match change {
            AutomationPut::Contact {
                partition,
                person,
                shop,
                value,
            } => {
                let (key, listed) = (
                    contact_key(*partition, person, *shop),
                    listed_key(*shop, *partition, person),
                );
                if let Some(value) = value {
                    batch.insert(&self.contact, key, value.as_slice());
                    batch.insert(&self.contact_of, listed, []);
                } else {
                    batch.remove(&self.contact, key);
                    batch.remove(&self.contact_of, listed);
                }
            }
            AutomationPut::Instance {
                partition,
                instance,
                value,
            } => {
                let key = timeline_prefix(*partition, *instance);
                match value {
                    Some(value) => batch.insert(&self.instance, key, value.as_slice()),
                    None => batch.remove(&self.instance, key.as_slice()),
                }
            }
            AutomationPut::Cart { partition, cart, value } => {
                let key = timeline_prefix(*partition, *cart);
                match value {
                    Some(value) => batch.insert(&self.cart, key, value.as_slice()),
                    None => batch.remove(&self.cart, key.as_slice()),
                }
            }
            AutomationPut::CartName { shop, id, cart } => {
                let key = cart_name_key(*shop, id);
                match cart {
                    Some(cart) => batch.insert(&self.cart_name, key, timeline_prefix(cart.partition, cart.event)),
                    None => batch.remove(&self.cart_name, key),
                }
            }
            AutomationPut::TimerSet(timer) => {
                let (key, value) = timer_row(timer);
                batch.insert(&self.timer, key, value);
            }
            AutomationPut::TimerDelete(key) => batch.remove(&self.timer, timer_key(key).as_slice()),
            AutomationPut::Swept {
                partition,
                workflow,
                activation,
            } => batch.insert(&self.sweep, sweep_key(*partition, *workflow), activation.to_le_bytes()),
            AutomationPut::SetAside { partition, id, event } => {
                let key = [id.raw().to_be_bytes().as_slice(), &partition.number().to_be_bytes()].concat();
                let mut value = Vec::new();
                Event::SetAside(event.clone()).encode(&mut value);
                batch.insert(&self.aside, key, value);
            }
        }
    }
}

impl AutomationPut {
    /// Estimates the bytes that the change holds beside itself.
    pub(super) fn bytes(&self) -> usize {
        match self {
            Self::Contact { value, .. } | Self::Instance { value, .. } | Self::Cart { value, .. } => {
                value.as_ref().map_or(0, Vec::len)
            }
            Self::SetAside { .. } => 512,
            _ => 0,
        }
    }
}

impl State {
    /// Returns what a shop knows of a person, in the runner's own encoding.
    pub fn contact(
        &self,
        partition: PartitionId,
        person: &PersonKey,
        shop: ShopNumber,
    ) -> Result<Option<Vec<u8>>, StateError> {
        let value = self.checked(self.tables.contact.get(contact_key(partition, person, shop)))?;
        Ok(value.map(|value| value.to_vec()))
    }

    /// Returns the shops that know a person, with what each knows.
    pub fn contacts_of_person(
        &self,
        partition: PartitionId,
        person: &PersonKey,
    ) -> Result<Vec<(ShopNumber, Vec<u8>)>, StateError> {
        let rows = self.tables.contact.prefix(person_key(partition, person)).map(|entry| {
            let (key, value) = self.checked(entry.into_inner())?;
            let shop = be_u32(&key, 18).ok_or_else(|| malformed("contact", &key))?;
            Ok((ShopNumber(shop), value.to_vec()))
        });
        rows.collect()
    }

    /// Returns up to `limit` of a shop's contacts in these partitions, by partition and person, from after `cursor` on.
    pub fn contacts(
        &self,
        shop: ShopNumber,
        partitions: std::ops::Range<u16>,
        cursor: Option<(PartitionId, PersonKey)>,
        limit: usize,
    ) -> Result<Vec<(PartitionId, PersonKey)>, StateError> {
        let bound = |partition: u16| [shop.0.to_be_bytes().as_slice(), &partition.to_be_bytes()].concat();
        let start = cursor.map_or_else(
            || bound(partitions.start),
            |(partition, person)| {
                // The next key after the cursor's own.
                let mut key = listed_key(shop, partition, &person);
                key.push(0);
                key
            },
        );
        let end = bound(partitions.end);
        let rows = self.tables.contact_of.range(start..end.max(bound(partitions.start)));
        let rows = rows.take(limit).map(|entry| {
            let key = self.checked(entry.key())?;
            let partition = be_u16(&key, 4).and_then(PartitionId::new);
            let person = key.get(6..22).and_then(|person| person.try_into().ok());
            let (partition, person) = partition.zip(person).ok_or_else(|| malformed("contact_of", &key))?;
            Ok((partition, PersonKey::from_bytes(person)))
        });
        rows.collect()
    }

    /// Returns a contact's way through a workflow, in the runner's own encoding.
    pub fn instance(&self, partition: PartitionId, instance: EventId) -> Result<Option<Vec<u8>>, StateError> {
        let value = self.checked(self.tables.instance.get(timeline_prefix(partition, instance)))?;
        Ok(value.map(|value| value.to_vec()))
    }

    /// Returns a cart, in the runner's own encoding.
    pub fn cart(&self, partition: PartitionId, cart: EventId) -> Result<Option<Vec<u8>>, StateError> {
        let value = self.checked(self.tables.cart.get(timeline_prefix(partition, cart)))?;
        Ok(value.map(|value| value.to_vec()))
    }

    /// Returns the cart that a shop calls so.
    pub fn cart_named(&self, shop: ShopNumber, id: &Line<128>) -> Result<Option<PublicId>, StateError> {
        let Some(value) = self.checked(self.tables.cart_name.get(cart_name_key(shop, id)))? else {
            return Ok(None);
        };
        let (partition, event) =
            super::tables::read_object_key(&value).ok_or_else(|| malformed("cart_name", &value))?;
        Ok(Some(PublicId { partition, event }))
    }

    /// Returns up to `limit` of a shop's carts, by the shop's own id of them, from after `after` on.
    pub fn carts_of_shop(
        &self,
        shop: ShopNumber,
        after: Option<&Line<128>>,
        limit: usize,
    ) -> Result<Vec<(Line<128>, PublicId)>, StateError> {
        let prefix = shop.0.to_be_bytes();
        let start = after.map_or_else(
            || prefix.to_vec(),
            |id| {
                // The next key after the id's own.
                let mut key = cart_name_key(shop, id);
                key.push(0);
                key
            },
        );
        let rows = self.tables.cart_name.range(start..).take(limit).map_while(|entry| {
            let row = self.checked(entry.into_inner());
            let is_others = row.as_ref().is_ok_and(|(key, _)| !key.starts_with(&prefix));
            (!is_others).then_some(row)
        });
        let rows = rows.map(|row| {
            let (key, value) = row?;
            let id = key.get(prefix.len()..).and_then(|id| std::str::from_utf8(id).ok());
            let id = id.and_then(|id| Line::try_from(id).ok());
            let (id, cart) = id
                .zip(super::tables::read_object_key(&value))
                .ok_or_else(|| malformed("cart_name", &key))?;
            let (partition, event) = cart;
            Ok((id, PublicId { partition, event }))
        });
        rows.collect()
    }

    /// Returns up to `limit` timers of a slot that are due from `from` on, before `until`, the earliest first.
    pub fn timers(
        &self,
        slot: Slot,
        from: Timestamp,
        until: Timestamp,
        limit: usize,
    ) -> Result<Vec<Timer>, StateError> {
        self.timers_between(timer_prefix(slot, from).to_vec(), slot, from.max(until), limit)
    }

    /// Returns up to `limit` timers of a slot from a row on, whether that row is there or not, that are due before `until`; the
    /// earliest first.
    pub fn timers_from(
        &self,
        slot: Slot,
        from: TimerKey,
        until: Timestamp,
        limit: usize,
    ) -> Result<Vec<Timer>, StateError> {
        let mut start = timer_prefix(slot, from.due).to_vec();
        start.extend_from_slice(&timeline_prefix(from.partition, from.owner));
        self.timers_between(start, slot, until, limit)
    }

    fn timers_between(
        &self,
        start: Vec<u8>,
        slot: Slot,
        until: Timestamp,
        limit: usize,
    ) -> Result<Vec<Timer>, StateError> {
        let end = timer_prefix(slot, until).to_vec().max(start.clone());
        let rows = self.tables.timer.range(start..end).take(limit).map(|entry| {
            let (key, value) = self.checked(entry.into_inner())?;
            read_timer(&key, &value).ok_or_else(|| malformed("timer", &key))
        });
        rows.collect()
    }

    /// Returns the version of the catalogue whose activation of a workflow this partition's contacts were last looked at for.
    pub fn swept(&self, partition: PartitionId, workflow: WorkflowNumber) -> Result<Option<u64>, StateError> {
        let value = self.checked(self.tables.sweep.get(sweep_key(partition, workflow)))?;
        Ok(value.and_then(|value| crate::frame::u64_at(&value, 0)))
    }

    /// Returns up to `limit` things that were set aside, the newest first, from before `before` on.
    pub fn set_aside(&self, before: Option<EventId>, limit: usize) -> Result<Vec<(PublicId, SetAside)>, StateError> {
        let until = before.map_or(u64::MAX, EventId::raw).to_be_bytes();
        let rows = self.tables.aside.range(..until).rev().take(limit).map(|entry| {
            let (key, value) = self.checked(entry.into_inner())?;
            let event = be_u64(&key, 0).map(EventId::from_raw);
            let partition = be_u16(&key, 8).and_then(PartitionId::new);
            let (event, partition) = event.zip(partition).ok_or_else(|| malformed("aside", &key))?;
            match Event::decode(25, &value) {
                Ok(Event::SetAside(aside)) => Ok((PublicId { partition, event }, *aside)),
                _ => Err(malformed("aside", &key)),
            }
        });
        rows.collect()
    }
}

fn malformed(what: &str, key: &[u8]) -> StateError {
    StateError::Malformed(format!("{what} row {key:?}"))
}

fn contact_key(partition: PartitionId, person: &PersonKey, shop: ShopNumber) -> Vec<u8> {
    let mut key = person_key(partition, person);
    key.extend_from_slice(&shop.0.to_be_bytes());
    key
}

/// Shop 4, partition 2, person 16.
fn listed_key(shop: ShopNumber, partition: PartitionId, person: &PersonKey) -> Vec<u8> {
    let mut key = shop.0.to_be_bytes().to_vec();
    key.extend_from_slice(&person_key(partition, person));
    key
}

fn cart_name_key(shop: ShopNumber, id: &Line<128>) -> Vec<u8> {
    [shop.0.to_be_bytes().as_slice(), id.as_bytes()].concat()
}

fn sweep_key(partition: PartitionId, workflow: WorkflowNumber) -> [u8; 6] {
    let mut key = [0; 6];
    put(&mut key, 0, &partition.number().to_be_bytes());
    put(&mut key, 2, &workflow.0.to_be_bytes());
    key
}

/// Slot 1, milliseconds since 1970 in 6 bytes: until the year 10889.
fn timer_prefix(slot: Slot, due: Timestamp) -> [u8; 7] {
    let mut key = [0; 7];
    let millis = due.as_millis().min((1 << 48) - 1).to_be_bytes();
    put(&mut key, 0, &[slot.number()]);
    put(&mut key, 1, millis.get(2..).unwrap_or_default());
    key
}

/// Key: slot 1, due 6, partition 2, owner 8. Value: epoch 4, little-endian, class 1.
fn timer_row(timer: &Timer) -> ([u8; 17], [u8; 5]) {
    let mut value = [0; 5];
    put(&mut value, 0, &timer.epoch.to_le_bytes());
    put(&mut value, 4, &[timer.class as u8]);
    (timer_key(&timer.key()), value)
}

fn timer_key(timer: &TimerKey) -> [u8; 17] {
    let mut key = [0; 17];
    put(&mut key, 0, &timer_prefix(Slot::of(timer.partition), timer.due));
    put(&mut key, 7, &timeline_prefix(timer.partition, timer.owner));
    key
}

fn read_timer(key: &[u8], value: &[u8]) -> Option<Timer> {
    let mut millis = [0; 8];
    put(&mut millis, 2, key.get(1..7)?);
    let (partition, owner) = super::tables::read_object_key(key.get(7..)?)?;
    Some(Timer {
        due: Timestamp::from_millis(u64::from_be_bytes(millis)),
        partition,
        owner,
        epoch: u32_at(value, 0)?,
        class: TimerClass::from_number(*value.get(4)?)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_of_timers_survive_a_round_trip_and_sort_by_slot_and_time() {
        let timer = |partition, due, owner| Timer {
            due: Timestamp::from_millis(due),
            partition: PartitionId::new(partition).expect("a partition"),
            owner: EventId::from_raw(owner),
            epoch: 7,
            class: TimerClass::Cart,
        };
        let timers = [
            timer(3, 1_700_000_000_000, u64::MAX),
            timer(15, 1_700_000_000_001, 1),
            timer(3, 1_700_000_000_002, 0),
            timer(16, 5, 9),
            timer(1023, (1 << 48) - 1, 9),
        ];
        for timer in &timers {
            let (key, value) = timer_row(timer);
            assert_eq!(read_timer(&key, &value), Some(*timer));
        }
        assert!(timers.iter().map(|timer| timer_row(timer).0).is_sorted());
    }
}
