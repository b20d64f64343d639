//! What the state writer has just written and Redis does not have yet: the feed that spares the projector reading state.
//!
//! The writer notes a batch after it is in state and before it says so. Nobody is kept waiting: when more has gathered than
//! is held here, all of it is forgotten, and the projector finds what changed from the journal instead.

use std::collections::HashMap;
use std::sync::Mutex;

use foldhash::fast::RandomState;
use store::Observer;
use store::state::{CellPut, LeadPut, MailPut, Put, Turn, Visit};
use types::id::{MessageId, PartitionId, PersonKey, ShopNumber, Slot};
use types::tally::{CellKey, Counts, MailCounts};

use crate::keys::{Cell, Naming};
use crate::lock;

/// Values held for all slots together: some 16 MiB.
const HELD_MAX: usize = 1 << 17;

/// New values, by slot.
#[derive(Debug)]
pub(crate) struct Changes(Mutex<Held>);

#[derive(Debug)]
struct Held {
    slots: Vec<Fresh>,
    count: usize,
    overflowed: bool,
}

/// New values of one slot.
#[derive(Debug, Default)]
pub(crate) struct Fresh {
    cells: HashMap<CellKey, Counts, RandomState>,
    mails: HashMap<(PartitionId, MessageId), MailCounts, RandomState>,
    visits: HashMap<(PartitionId, PersonKey, ShopNumber), Visit, RandomState>,
}

/// More changed than is held: what it was is found in the journal.
#[derive(Debug)]
pub(crate) struct Overflowed;

impl Default for Changes {
    fn default() -> Self {
        Self(Mutex::new(Held::new()))
    }
}

impl Held {
    fn new() -> Self {
        Self {
            slots: Slot::all().map(|_| Fresh::default()).collect(),
            count: 0,
            overflowed: false,
        }
    }
}

impl Observer for Changes {
    /// Notes what a batch of turns has put into state.
    fn written(&self, turns: &[Turn]) {
        let mut held = lock(&self.0);
        for turn in turns {
            let erases = turn.erases();
            for put in &turn.puts {
                if held.overflowed {
                    return;
                }
                let added = match put {
                    Put::Cell(CellPut { key, counts }) => {
                        let fresh = held.slot(key.slot);
                        fresh.cells.insert(key.clone(), **counts).is_none()
                    }
                    // A mail that was only just decided has no counts, and Redis nothing of it. An erased one may have had.
                    Put::Mail(MailPut::Set { mail, .. }) if mail.counts == MailCounts::default() && !erases => continue,
                    Put::Mail(MailPut::Set {
                        partition,
                        message,
                        mail,
                    }) => {
                        let fresh = held.slot(Slot::of(*partition));
                        fresh.mails.insert((*partition, *message), mail.counts).is_none()
                    }
                    Put::Lead(LeadPut::Visit {
                        partition,
                        person,
                        advertiser,
                        visit,
                    }) => {
                        let fresh = held.slot(Slot::of(*partition));
                        let key = (*partition, *person, *advertiser);
                        fresh.visits.insert(key, *visit).is_none()
                    }
                    _ => continue,
                };
                held.count += usize::from(added);
                if held.count > HELD_MAX {
                    *held = Held::new();
                    held.overflowed = true;
                }
            }
        }
    }
}

impl Changes {
    /// Forgets everything: what changes from now on is noted again.
    pub(crate) fn clear(&self) {
        *lock(&self.0) = Held::new();
    }

    /// Takes what a slot has. Err: it is not known any more, of no slot.
    pub(crate) fn take(&self, slot: Slot) -> Result<Fresh, Overflowed> {
        let mut held = lock(&self.0);
        if held.overflowed {
            return Err(Overflowed);
        }
        let fresh = std::mem::take(held.slot(slot));
        held.count -= fresh.cells.len() + fresh.mails.len() + fresh.visits.len();
        Ok(fresh)
    }
}

impl Held {
    fn slot(&mut self, slot: Slot) -> &mut Fresh {
        let slot = self.slots.get_mut(usize::from(slot.number()));
        slot.expect("there is one for each slot")
    }
}

impl Fresh {
    /// Returns the values as Redis has them.
    pub(crate) fn cells<'a>(&'a self, naming: &'a Naming<'a>) -> impl Iterator<Item = Cell> + 'a {
        let counts = self.cells.iter().flat_map(|(key, counts)| naming.counts(key, counts));
        let mails = self.mails.iter();
        let mails = mails.filter_map(|((partition, message), counts)| naming.mail(*partition, *message, *counts));
        let visits = self.visits.iter();
        let visits = visits.map(|((partition, _, advertiser), visit)| naming.visit(*partition, *advertiser, visit));
        counts.chain(mails).chain(visits)
    }
}

#[cfg(test)]
mod tests {
    use store::Position;
    use types::id::{CampaignNumber, ShopNumber};
    use types::tally::{Dimensions, Hour, Measure};

    use super::*;

    fn turn(cells: std::ops::Range<u32>, count: i64) -> Turn {
        let slot = Slot::new(7).expect("a slot");
        let mut counts = Counts::default();
        counts.add(Measure::OpensRaw, count);
        let put = |campaign| {
            Put::Cell(CellPut {
                key: CellKey {
                    dimensions: Dimensions::Offer {
                        campaign: CampaignNumber(campaign),
                        publisher: ShopNumber(1),
                    },
                    hour: Hour(500_000),
                    slot,
                },
                counts: Box::new(counts),
            })
        };
        Turn {
            range: 0..1025,
            position: Position(1),
            puts: cells.map(put).collect(),
            released: Vec::new(),
        }
    }

    #[test]
    fn the_last_value_is_taken_once() {
        let changes = Changes::default();
        changes.written(&[turn(0..2, 1), turn(0..1, 5)]);
        let slot = Slot::new(7).expect("a slot");
        let fresh = changes.take(slot).expect("few");
        let mut values: Vec<_> = fresh
            .cells
            .values()
            .map(|counts| counts.get(Measure::OpensRaw))
            .collect();
        values.sort_unstable();
        assert_eq!(values, [1, 5]);
        assert!(changes.take(slot).expect("none").cells.is_empty());
    }

    #[test]
    fn too_much_is_forgotten_until_it_is_cleared() {
        let changes = Changes::default();
        let slot = Slot::new(7).expect("a slot");
        let many = u32::try_from(HELD_MAX).expect("fits") + 1;
        changes.written(&[turn(0..many, 1), turn(0..5, 2)]);
        changes.take(slot).expect_err("too many");
        assert!(lock(&changes.0).slots.iter().all(|fresh| fresh.cells.is_empty()));
        changes.clear();
        changes.written(&[turn(0..5, 2)]);
        assert_eq!(changes.take(slot).expect("few").cells.len(), 5);
    }
}
