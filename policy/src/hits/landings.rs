//! The landings of a mail that are kept.

use minicbor::{Decode, Encode};
use types::id::{EventId, LeadId};

use super::landing::{Landing, Stand};
use super::{Change, Hit, LANDINGS_MAX};

/// Landings, in the order of their first reports; at most [`LANDINGS_MAX`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
#[cbor(transparent)]
pub(super) struct Landings(#[n(0)] Vec<Landing>);

impl Landings {
    pub(super) fn as_slice(&self) -> &[Landing] {
        &self.0
    }

    /// Folds a report; returns what it counts: the first one of a click does, if there is room.
    pub(super) fn report(&mut self, landing: Landing) -> Option<Change> {
        if let Some(first) = self.0.iter_mut().find(|first| first.click == landing.click) {
            first.add(&landing);
            return None;
        }
        if !self.make_room() {
            return None;
        }
        let change = Change {
            raw: 1,
            ..landing.change()
        };
        self.0.push(landing);
        Some(change)
    }

    /// Folds what was decided on a click's landing; returns whether nothing was before.
    pub(super) fn decide(&mut self, click: EventId, stand: Stand) -> bool {
        let landing = self.0.iter_mut().find(|landing| landing.click == click);
        let Some(landing) = landing.filter(|landing| landing.stand.is_none()) else {
            return false;
        };
        landing.stand = Some(stand);
        true
    }

    /// Folds that a lead was settled; returns whether it was pending.
    pub(super) fn settle(&mut self, lead: LeadId) -> bool {
        let pending =
            |landing: &&mut Landing| matches!(landing.stand, Some(Stand::Pending { lead: own, .. }) if own == lead);
        let Some(landing) = self.0.iter_mut().find(pending) else {
            return false;
        };
        landing.stand = Some(Stand::Over);
        true
    }

    /// Returns the landings without a decision.
    pub(super) fn undecided(&self) -> impl Iterator<Item = &Landing> {
        self.0.iter().filter(|landing| landing.stand.is_none())
    }

    /// Returns whether something about a hit still hangs on its landing.
    pub(super) fn awaits(&self, hit: &Hit) -> bool {
        let own = |landing: &&Landing| Some(landing.click) == hit.click;
        self.0.iter().find(own).is_some_and(|landing| !landing.is_over())
    }

    /// Forgets the oldest landing that is over if there are too many; returns whether there is room.
    fn make_room(&mut self) -> bool {
        if self.0.len() < LANDINGS_MAX {
            return true;
        }
        let over = self.0.iter().position(Landing::is_over);
        over.map(|at| self.0.remove(at)).is_some()
    }
}
