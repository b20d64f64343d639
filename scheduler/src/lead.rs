//! First visits, and the leads that they become.

use store::StateError;
use store::state::{LeadPut, Put, StoredLead, Visit};
use types::event::{LeadClaim, LeadDecided, LeadOutcome, LeadRefusal, LeadSettled, LeadVerdict};
use types::id::{CampaignNumber, EventId, PartitionId, PersonKey, ShopNumber};
use types::tally::Measure;

use super::{Entry, Fold};
use crate::memory::Unapplied;

/// First visits and leads that state does not have as they are.
#[derive(Debug, Default)]
pub(super) struct Leads {
    visits: Unapplied<(PartitionId, PersonKey, ShopNumber), Visit>,
    leads: Unapplied<(CampaignNumber, EventId), StoredLead>,
}

impl Leads {
    pub(super) fn settle(&mut self, position: u64, puts: &mut Vec<Put>) {
        self.visits.settle(position, |(partition, person, advertiser), visit| {
            puts.push(Put::Lead(LeadPut::Visit {
                partition,
                person,
                advertiser,
                visit: *visit,
            }));
        });
        self.leads.settle(position, |(campaign, claimed), lead| {
            puts.push(Put::Lead(LeadPut::Lead {
                campaign,
                claimed,
                lead: lead.clone(),
            }));
        });
    }

    pub(super) fn forget(&mut self, applied: u64) {
        self.visits.forget(applied);
        self.leads.forget(applied);
    }
}

impl Fold {
    /// Returns a person's first visit to an advertiser's site as of the last event folded, if there was one.
    pub(crate) fn visit(
        &self,
        partition: PartitionId,
        person: PersonKey,
        advertiser: ShopNumber,
    ) -> Result<Option<Visit>, StateError> {
        match self.leads.visits.get(&(partition, person, advertiser)) {
            Some(visit) => Ok(Some(*visit)),
            None => self.store.state().leads().visit(partition, &person, advertiser),
        }
    }

    pub(super) fn lead_decided(&mut self, entry: &Entry<'_>, decided: &LeadDecided) -> Result<(), StateError> {
        let LeadDecided {
            message,
            shop,
            campaign,
            ..
        } = *decided;
        self.timeline_of_mail(entry, message)?;
        self.change_mail(entry.partition, message, |mail| mail.decided(entry.id, decided))?;
        match &decided.verdict {
            LeadVerdict::Claimed(claim) => {
                let lead = StoredLead {
                    partition: entry.partition,
                    at: entry.wall,
                    decided: decided.clone(),
                    outcome: None,
                    settled_at: None,
                };
                self.leads.leads.set((campaign, entry.id), lead);
                self.claim_visit(entry, decided, claim)?;
                self.count_offer(entry, message, (shop, campaign), Measure::LeadsClaimed)
            }
            LeadVerdict::Refused(LeadRefusal::KnownToSite) => self.note_visit(entry, decided),
            LeadVerdict::Refused(_) => Ok(()),
        }
    }

    pub(super) fn lead_settled(&mut self, entry: &Entry<'_>, settled: &LeadSettled) -> Result<(), StateError> {
        let LeadSettled {
            message,
            shop,
            campaign,
            claimed,
            outcome,
            ..
        } = *settled;
        let voided = matches!(outcome, LeadOutcome::Voided(_));
        self.timeline_of_mail(entry, message)?;
        self.change_mail(entry.partition, message, |mail| mail.settled(settled.lead, voided))?;
        let stored = match self.leads.leads.get(&(campaign, claimed)) {
            Some(lead) => Some(lead.clone()),
            None => self.store.state().leads().get(entry.partition, campaign, claimed)?,
        };
        let Some(mut lead) = stored.filter(|lead| lead.outcome.is_none()) else {
            return Ok(());
        };
        lead.outcome = Some(outcome);
        lead.settled_at = Some(entry.wall);
        self.leads.leads.set((campaign, claimed), lead);
        if voided {
            self.reopen_visit(entry, settled)?;
        }
        let measure = if voided {
            Measure::LeadsVoided
        } else {
            Measure::LeadsConfirmed
        };
        self.count_offer(entry, message, (shop, campaign), measure)
    }

    fn claim_visit(&mut self, entry: &Entry<'_>, decided: &LeadDecided, claim: &LeadClaim) -> Result<(), StateError> {
        let Some(person) = self.person_of(entry.partition, decided.message)? else {
            return Ok(());
        };
        let visit = Visit {
            visitor: claim.visitor,
            lead: Some(claim.lead),
            click: decided.click,
            at: entry.wall,
            generation: claim.generation,
            open: false,
        };
        self.leads
            .visits
            .set((entry.partition, person, decided.advertiser), visit);
        Ok(())
    }

    /// Notes that a person was on a site that knew them already: their next visit is no first one either.
    fn note_visit(&mut self, entry: &Entry<'_>, decided: &LeadDecided) -> Result<(), StateError> {
        let Some(person) = self.person_of(entry.partition, decided.message)? else {
            return Ok(());
        };
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
        self.leads
            .visits
            .set((entry.partition, person, decided.advertiser), visit);
        Ok(())
    }

    /// Lets the visitor's next first visit be a lead, of the next generation.
    fn reopen_visit(&mut self, entry: &Entry<'_>, settled: &LeadSettled) -> Result<(), StateError> {
        let Some(person) = self.person_of(entry.partition, settled.message)? else {
            return Ok(());
        };
        let visit = self.visit(entry.partition, person, settled.advertiser)?;
        if let Some(visit) = visit.filter(|visit| visit.lead == Some(settled.lead)) {
            let visit = Visit {
                generation: visit.generation.saturating_add(1),
                open: true,
                ..visit
            };
            self.leads
                .visits
                .set((entry.partition, person, settled.advertiser), visit);
        }
        Ok(())
    }
}
