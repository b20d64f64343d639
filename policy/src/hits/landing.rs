//! A click's landing: what its reports say together, and what was decided on it.

use minicbor::{Decode, Encode};
use types::event::{EvidenceGrade, HitClass, HitKind, Landed, LandingVia, LeadOutcome, Round, VoidReason};
use types::id::{CampaignNumber, EventId, LeadId, ShopNumber};
use types::money::Money;
use types::tally::Hour;
use types::time::Timestamp;

use super::mail::{Kept, Known, MailState, Shown};
use super::{Change, FINAL_AFTER, PROVISIONAL_AFTER};

/// A click's landing: all that its reports say. The first one counts, later ones add evidence.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Landing {
    /// The click that led there.
    #[n(0)]
    pub click: EventId,
    /// The offer that was clicked.
    #[n(1)]
    pub campaign: CampaignNumber,
    /// The event of the report that proves most; the first of its kind.
    #[n(2)]
    pub id: EventId,
    /// When it was first reported.
    #[n(3)]
    pub at: Timestamp,
    /// How the report that proves most was made.
    #[n(4)]
    pub via: LandingVia,
    /// Whether the advertiser's own site or server proves it.
    #[n(5)]
    #[cbor(default)]
    pub proven: bool,
    /// Whether the browser takes the visitor for new, if a snippet said so.
    #[n(6)]
    pub browser_new: Option<bool>,
    /// Whether the advertiser's server takes the visitor for new, if it said so.
    #[n(7)]
    pub server_new: Option<bool>,
    /// What was decided on it, if anything yet.
    #[n(8)]
    pub(super) stand: Option<Stand>,
}

/// What was decided on a landing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub(super) enum Stand {
    /// It is no lead, or its lead was settled.
    #[n(0)]
    Over,
    /// It is a lead that waits for the final verdict on its click.
    #[n(1)]
    Pending {
        /// Which.
        #[n(0)]
        lead: LeadId,
        /// The event that claimed it.
        #[n(1)]
        claimed: EventId,
        /// Whose site was reached.
        #[n(2)]
        advertiser: ShopNumber,
    },
}

/// A landing on which a decision is to be made now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decidable {
    /// The landing.
    pub landing: Landing,
    /// Its click, if one was recorded.
    pub click: Option<ClickSeen>,
    /// What a lead of this offer costs, frozen when it was chosen; `None` if the mail does not show it.
    pub price: Option<Money>,
}

/// A click, as far as deciding on its landing needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClickSeen {
    /// When it was made.
    pub at: Timestamp,
    /// What it was taken for.
    pub class: HitClass,
    /// Whether that may still change.
    pub round: Round,
}

/// A lead that is to be settled now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settleable {
    /// Which.
    pub lead: LeadId,
    /// The event that claimed it.
    pub claimed: EventId,
    /// The offer.
    pub campaign: CampaignNumber,
    /// Whose site was reached.
    pub advertiser: ShopNumber,
    /// What becomes of it.
    pub outcome: LeadOutcome,
    /// What it costs, as it was claimed; `None` if the mail's offers are not known any more.
    pub price: Option<Money>,
    /// Since when it was to be settled; `None` if it is settled before its time.
    pub due: Option<Timestamp>,
}

impl Landing {
    /// Takes a landing from its record: the event's id and wall time.
    pub fn reported(id: EventId, at: Timestamp, landed: &Landed) -> Self {
        let says = |via| landed.new_visitor.filter(|_| landed.proven && landed.via == via);
        Self {
            click: landed.click,
            campaign: landed.campaign,
            id,
            at,
            via: landed.via,
            // An image is fetched by whatever loads pages, so it proves nothing, whatever host it was on.
            proven: landed.proven && landed.via != LandingVia::Image,
            browser_new: says(LandingVia::Snippet),
            server_new: says(LandingVia::Server),
            stand: None,
        }
    }

    /// Returns what speaks for a first visit, or `None` if the site knows the visitor.
    pub fn evidence(&self) -> Option<EvidenceGrade> {
        match (self.browser_new, self.server_new) {
            (Some(false), _) | (_, Some(false)) => None,
            (_, Some(true)) => Some(EvidenceGrade::HistoryAndServer),
            (Some(true), None) => Some(EvidenceGrade::HistoryAndBrowser),
            (None, None) => Some(EvidenceGrade::History),
        }
    }

    /// Adds another report of the same landing. Who said "known" is not outvoted; whoever spoke first is not overwritten.
    pub(super) fn add(&mut self, other: &Self) {
        if (other.proven, other.via) > (self.proven, self.via) {
            (self.id, self.via, self.proven) = (other.id, other.via, other.proven);
        }
        self.at = self.at.min(other.at);
        let both = |one: Option<bool>, other: Option<bool>| match (one, other) {
            (Some(one), Some(other)) => Some(one && other),
            (one, other) => one.or(other),
        };
        self.browser_new = both(self.browser_new, other.browser_new);
        self.server_new = both(self.server_new, other.server_new);
    }
}

impl Landing {
    /// Returns what the landing adds to the counts, still empty.
    pub(super) fn change(&self) -> Change {
        Change {
            kind: HitKind::Landing,
            campaign: Some(self.campaign),
            hour: Hour::of(self.at),
            raw: 0,
            machine: 0,
            qualified: 0,
            unique: 0,
        }
    }

    pub(super) const fn is_over(&self) -> bool {
        matches!(self.stand, Some(Stand::Over))
    }
}

impl Decidable {
    /// Returns whether there is nothing to wait for.
    ///
    /// A person's click with a proven landing is decided on at the first verdict. Anything else waits for the final one, because a
    /// better report, or a better look, may still come.
    fn is_ready(&self, now: Timestamp) -> bool {
        match &self.click {
            // The click is in the runner's other lane, or was lost on the way.
            None => now >= self.landing.at + PROVISIONAL_AFTER,
            Some(click) => click.round == Round::Final || (click.class == HitClass::Human && self.landing.proven),
        }
    }
}

impl MailState {
    /// Returns the landings on which a decision is to be made at `now`.
    pub fn decidable(&self, now: Timestamp) -> Vec<Decidable> {
        let Some(known) = &self.known else {
            return Vec::new();
        };
        let waiting = known.undecided().filter(|(_, click)| {
            // A click that was recorded and not judged yet will be.
            click.is_none_or(|click| click.given.is_some())
        });
        let decidable = waiting.map(|(landing, click)| Decidable {
            landing: landing.clone(),
            click: click.and_then(Kept::seen),
            price: known.price(landing, click),
        });
        decidable.filter(|decidable| decidable.is_ready(now)).collect()
    }

    /// Returns the pending leads that are to be settled: what the final verdict on the click says, or the site itself.
    pub fn settleable(&self) -> Vec<Settleable> {
        let Some(known) = &self.known else {
            return Vec::new();
        };
        known.pending(|landing, claimed| {
            let click = known.click(landing.click).and_then(Kept::seen);
            let is_final = click.filter(|click| click.round == Round::Final);
            let (outcome, due) = match is_final {
                // The server's word is the report that proves most, so the landing bears its id.
                _ if landing.server_new == Some(false) => {
                    (LeadOutcome::Voided(VoidReason::KnownToSite), landing.id.time())
                }
                Some(click) if click.class == HitClass::Human => (LeadOutcome::Confirmed, click.at + FINAL_AFTER),
                Some(click) => (LeadOutcome::Voided(VoidReason::Machine), click.at + FINAL_AFTER),
                None => return None,
            };
            // A landing may be reported, and so claimed, when the verdict on its click is final already.
            Some((outcome, Some(due.max(claimed.time()))))
        })
    }

    /// Returns the pending leads as they are to be settled before the mail is [forgotten](Self::forget): nothing would be left to
    /// settle them by.
    pub fn settleable_by_erasure(&self) -> Vec<Settleable> {
        let Some(known) = &self.known else {
            return Vec::new();
        };
        known.pending(|_, _| Some((LeadOutcome::Voided(VoidReason::Erased), None)))
    }
}

impl Kept {
    fn seen(&self) -> Option<ClickSeen> {
        self.given.as_ref().map(|given| ClickSeen {
            at: self.hit.at,
            class: given.class,
            round: given.round,
        })
    }
}

impl Known {
    pub(super) fn click(&self, click: EventId) -> Option<&Kept> {
        self.hits.iter().find(|kept| kept.hit.click == Some(click))
    }

    /// Returns the landings without a decision, each with its click if one was recorded.
    pub(super) fn undecided(&self) -> impl Iterator<Item = (&Landing, Option<&Kept>)> {
        self.landings
            .undecided()
            .map(|landing| (landing, self.click(landing.click)))
    }

    /// Returns the pending leads that `settle` gives an outcome, and since when it is due, by their landing and the event of their claim.
    fn pending(
        &self,
        settle: impl Fn(&Landing, EventId) -> Option<(LeadOutcome, Option<Timestamp>)>,
    ) -> Vec<Settleable> {
        let settled = self.landings.as_slice().iter().filter_map(|landing| {
            let Some(Stand::Pending {
                lead,
                claimed,
                advertiser,
            }) = landing.stand
            else {
                return None;
            };
            let (outcome, due) = settle(landing, claimed)?;
            Some(Settleable {
                lead,
                claimed,
                campaign: landing.campaign,
                advertiser,
                outcome,
                price: self.price(landing, self.click(landing.click)),
                due,
            })
        });
        settled.collect()
    }

    /// Returns the price of the offer that a landing belongs to, at the place that was clicked.
    fn price(&self, landing: &Landing, click: Option<&Kept>) -> Option<Money> {
        let at_place = click.and_then(|click| self.offers.get(usize::from(click.hit.place)));
        let fits = |shown: &&Shown| shown.campaign == landing.campaign;
        at_place
            .filter(fits)
            .or_else(|| self.offers.iter().find(fits))
            .map(|shown| shown.price)
    }
}
