//! The desk of first visits, and of the leads that they become. `lead/verdicts.rs` decides on both.

mod verdicts;

use store::state::{LeadPut, Put, StoredLead, Visit};
use store::{StateError, Store};
use types::address::VisitorKeyer;
use types::event::{Event, LeadClaim, LeadDecided, LeadRefusal, LeadSettled, LeadVerdict};
use types::id::{CampaignNumber, EventId, PartitionId, PersonKey, ShopNumber};
use types::tally::Measure;

pub(crate) use verdicts::{Ticked, is_offered, look, tick, void_erased};

use crate::desk::{Desk, Entry, Settled, Told};
use crate::memory::Unapplied;

/// First visits and leads that state does not have as they are.
pub(crate) struct Leads {
    store: Store,
    visitors: VisitorKeyer,
    visits: Unapplied<(PartitionId, PersonKey, ShopNumber), Visit>,
    claimed: Unapplied<(CampaignNumber, EventId), StoredLead>,
}

impl Leads {
    pub(crate) fn new(store: Store) -> Self {
        Self {
            visitors: store.secrets().visitor_keyer(),
            store,
            visits: Unapplied::default(),
            claimed: Unapplied::default(),
        }
    }

    /// Returns a person's first visit to an advertiser's site as of the last event folded, if there was one.
    pub(crate) fn visit(
        &self,
        partition: PartitionId,
        person: PersonKey,
        advertiser: ShopNumber,
    ) -> Result<Option<Visit>, StateError> {
        match self.visits.get(&(partition, person, advertiser)) {
            Some(visit) => Ok(Some(*visit)),
            None => self.store.state().leads().visit(partition, &person, advertiser),
        }
    }

    fn decided(&mut self, entry: &Entry<'_>, decided: &LeadDecided, told: &mut Told) -> Result<(), StateError> {
        let person = told.mail.as_ref().map(|mail| mail.person);
        match &decided.verdict {
            LeadVerdict::Claimed(claim) => {
                let lead = StoredLead {
                    partition: entry.partition,
                    at: entry.wall,
                    decided: decided.clone(),
                    outcome: None,
                    settled_at: None,
                };
                self.claimed.set((decided.campaign, entry.id), lead);
                if let Some(person) = person {
                    self.claim_visit(entry, person, decided, claim);
                }
                told.count_offer(decided.shop, decided.campaign, Measure::LeadsClaimed);
            }
            LeadVerdict::Refused(LeadRefusal::KnownToSite) => {
                if let Some(person) = person {
                    self.note_visit(entry, person, decided)?;
                }
            }
            LeadVerdict::Refused(_) => {}
        }
        Ok(())
    }

    fn settled(&mut self, entry: &Entry<'_>, settled: &LeadSettled, told: &mut Told) -> Result<(), StateError> {
        let LeadSettled {
            shop,
            campaign,
            claimed,
            outcome,
            ..
        } = *settled;
        let stored = match self.claimed.get(&(campaign, claimed)) {
            Some(lead) => Some(lead.clone()),
            None => self.store.state().leads().get(entry.partition, campaign, claimed)?,
        };
        let Some(mut lead) = stored.filter(|lead| lead.outcome.is_none()) else {
            return Ok(());
        };
        lead.outcome = Some(outcome);
        lead.settled_at = Some(entry.wall);
        self.claimed.set((campaign, claimed), lead);
        if !outcome.is_void() {
            told.count_offer(shop, campaign, Measure::LeadsConfirmed);
            return Ok(());
        }
        if let Some(person) = told.mail.as_ref().map(|mail| mail.person) {
            self.reopen_visit(entry.partition, person, settled)?;
        }
        told.count_offer(shop, campaign, Measure::LeadsVoided);
        Ok(())
    }

    fn claim_visit(&mut self, entry: &Entry<'_>, person: PersonKey, decided: &LeadDecided, claim: &LeadClaim) {
        let visit = Visit {
            visitor: claim.visitor,
            lead: Some(claim.lead),
            click: decided.click,
            at: entry.wall,
            generation: claim.generation,
            open: false,
        };
        self.visits.set((entry.partition, person, decided.advertiser), visit);
    }

    /// Notes that the site knew the person before the visit: the person's next visit is no first visit either.
    fn note_visit(&mut self, entry: &Entry<'_>, person: PersonKey, decided: &LeadDecided) -> Result<(), StateError> {
        let before = self.visit(entry.partition, person, decided.advertiser)?;
        if before.is_some_and(|visit| !visit.open) {
            return Ok(());
        }
        let visit = Visit {
            visitor: self.visitors.key(decided.advertiser, &person),
            lead: None,
            click: decided.click,
            at: entry.wall,
            generation: before.map_or(0, |visit| visit.generation),
            open: false,
        };
        self.visits.set((entry.partition, person, decided.advertiser), visit);
        Ok(())
    }

    /// Lets the visitor's next first visit be a lead, of the next generation.
    fn reopen_visit(
        &mut self,
        partition: PartitionId,
        person: PersonKey,
        settled: &LeadSettled,
    ) -> Result<(), StateError> {
        let visit = self.visit(partition, person, settled.advertiser)?;
        if let Some(visit) = visit.filter(|visit| visit.lead == Some(settled.lead)) {
            let visit = Visit {
                generation: visit.generation.saturating_add(1),
                open: true,
                ..visit
            };
            self.visits.set((partition, person, settled.advertiser), visit);
        }
        Ok(())
    }
}

impl Desk for Leads {
    fn apply(&mut self, entry: &Entry<'_>, told: &mut Told) -> Result<(), StateError> {
        match entry.event {
            Event::LeadDecided(decided) => self.decided(entry, decided, told),
            Event::LeadSettled(settled) => self.settled(entry, settled, told),
            _ => Ok(()),
        }
    }

    fn settle(&mut self, position: u64, settled: &mut Settled) {
        self.visits.settle(position, |(partition, person, advertiser), visit| {
            settled.puts.push(Put::Lead(LeadPut::Visit {
                partition,
                person,
                advertiser,
                visit: *visit,
            }));
        });
        self.claimed.settle(position, |(campaign, claimed), lead| {
            settled.puts.push(Put::Lead(LeadPut::Lead {
                campaign,
                claimed,
                lead: lead.clone(),
            }));
        });
    }

    fn forget(&mut self, applied: u64) {
        self.visits.forget(applied);
        self.claimed.forget(applied);
    }
}
