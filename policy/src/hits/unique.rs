//! Unique counts: once for a mail's opens, once for each of its links, in the hour of the first qualified hit.

use minicbor::{Decode, Encode};
use types::event::HitKind;
use types::id::CampaignNumber;
use types::tally::Hour;

use super::Change;
use super::mail::{Kept, Known};

/// A unique count that stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub(super) struct Unique {
    #[n(0)]
    kind: HitKind,
    /// Of the link in the mail; 0 for opens.
    #[n(1)]
    #[cbor(default)]
    place: u8,
    #[n(2)]
    campaign: Option<CampaignNumber>,
    /// In which hour it is counted.
    #[n(3)]
    hour: Hour,
    /// Whether the hit that it stands for is no longer kept, so that nothing moves it any more.
    #[n(4)]
    #[cbor(default)]
    sealed: bool,
}

impl Unique {
    fn of(kept: &Kept) -> Self {
        Self {
            kind: kept.hit.kind,
            place: kept.hit.place,
            campaign: kept.hit.campaign,
            hour: Hour::of(kept.hit.at),
            sealed: false,
        }
    }

    const fn key(&self) -> (HitKind, u8) {
        (self.kind, self.place)
    }

    const fn change(&self, unique: i8) -> Change {
        Change {
            kind: self.kind,
            campaign: self.campaign,
            hour: self.hour,
            raw: 0,
            machine: 0,
            qualified: 0,
            unique,
        }
    }
}

impl Kept {
    fn is_qualified(&self) -> bool {
        self.given.as_ref().is_some_and(|given| given.class.is_qualified())
    }
}

impl Known {
    /// Brings the unique counts where the verdicts want them, and adds what that changes.
    pub(super) fn move_uniques(&mut self, changes: &mut Vec<Change>) {
        let wanted = self.wanted_uniques();
        let stays = |unique: &Unique| unique.sealed || wanted.contains(unique);
        changes.extend(
            self.uniques
                .iter()
                .filter(|unique| !stays(unique))
                .map(|unique| unique.change(-1)),
        );
        self.uniques.retain(stays);
        for unique in wanted {
            if !self.uniques.iter().any(|standing| standing.key() == unique.key()) {
                changes.push(unique.change(1));
                self.uniques.push(unique);
            }
        }
    }

    /// Keeps the unique count that a hit stands for, which is about to be forgotten.
    pub(super) fn seal(&mut self, kept: &Kept) {
        let unique = Unique::of(kept);
        let standing = self.uniques.iter_mut().find(|standing| standing.key() == unique.key());
        if let Some(standing) = standing.filter(|_| kept.is_qualified()) {
            standing.sealed = true;
        }
    }

    /// Returns the first qualified hit of the mail's opens, and of each link.
    fn wanted_uniques(&self) -> Vec<Unique> {
        let mut qualified: Vec<&Kept> = self.hits.iter().filter(|kept| kept.is_qualified()).collect();
        qualified.sort_by_key(|kept| (kept.hit.kind, kept.hit.place, kept.hit.at, kept.hit.id));
        let mut wanted: Vec<Unique> = qualified.into_iter().map(Unique::of).collect();
        wanted.dedup_by_key(|unique| unique.key());
        wanted
    }
}
