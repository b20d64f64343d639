//! First visits to advertisers' sites, and the leads that came of them.

use std::cmp::Reverse;

use fjall::OwnedWriteBatch;
use minicbor::{Decode, Encode};
use types::event::LeadOutcome;
use types::id::{CampaignNumber, EventId, LeadId, PartitionId, PersonKey, ShopNumber, Slot, VisitorKey};
use types::time::Timestamp;

use super::key;
use super::merge::merge;
use super::reader::Reader;
use super::table::{Read, Row, Spread, cbor_values};
use super::tables::Tables;
use super::turn::Change;

/// A person's first visit: by partition, person and advertiser.
pub(super) struct VisitRow;

impl Row for VisitRow {
    const NAME: &'static str = "visit";
    const NUMBER: u8 = 9;
    const SPREAD: Spread = Spread::Partition;
    type Key = (PartitionId, PersonKey, ShopNumber);
    type Value = Visit;
}

/// A lead: by slot, campaign and the event that claimed it.
pub(super) struct LeadRow;

impl Row for LeadRow {
    const NAME: &'static str = "lead2";
    const NUMBER: u8 = 27;
    const SPREAD: Spread = Spread::Slot;
    type Key = (Slot, CampaignNumber, EventId);
    type Value = StoredLead;
}

cbor_values!(Visit, StoredLead);

/// A person's first visit to an advertiser's site.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Visit {
    /// The person, as this advertiser may know them.
    #[n(0)]
    pub visitor: VisitorKey,
    /// The lead that it became; `None` for a first visit that is none.
    #[n(1)]
    pub lead: Option<LeadId>,
    /// The click that led there.
    #[n(2)]
    pub click: EventId,
    /// When.
    #[n(3)]
    pub at: Timestamp,
    /// How many leads of this visitor were voided.
    #[n(4)]
    pub generation: u16,
    /// Whether the last lead was voided, so that the next first visit may be one.
    #[n(5)]
    pub open: bool,
}

/// A lead of a campaign.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct StoredLead {
    /// Where the mail's events are.
    #[n(0)]
    pub partition: PartitionId,
    /// When it was claimed.
    #[n(1)]
    pub at: Timestamp,
    /// The event as it was journaled.
    #[n(2)]
    pub decided: types::event::LeadDecided,
    /// What became of it; `None` while it is pending.
    #[n(3)]
    pub outcome: Option<LeadOutcome>,
    /// When.
    #[n(4)]
    pub settled_at: Option<Timestamp>,
}

/// A change of visits or leads.
#[derive(Clone, Debug)]
pub enum LeadPut {
    /// A person's first visit to an advertiser's site. Kept for ever.
    Visit {
        /// The person's partition.
        partition: PartitionId,
        /// Who.
        person: PersonKey,
        /// To whose site.
        advertiser: ShopNumber,
        /// What is known of it.
        visit: Visit,
    },
    /// A lead of a campaign, as its advertiser reads it.
    Lead {
        /// Which campaign.
        campaign: CampaignNumber,
        /// The event that claimed it.
        claimed: EventId,
        /// The lead; its partition never changes.
        lead: StoredLead,
    },
}

impl Change for LeadPut {
    fn add(&self, tables: &Tables, batch: &mut OwnedWriteBatch) -> Read<()> {
        match self {
            Self::Visit {
                partition,
                person,
                advertiser,
                visit,
            } => tables
                .of::<VisitRow>()
                .insert(batch, &(*partition, *person, *advertiser), visit),
            Self::Lead {
                campaign,
                claimed,
                lead,
            } => tables
                .of::<LeadRow>()
                .insert(batch, &(Slot::of(lead.partition), *campaign, *claimed), lead),
        }
        Ok(())
    }

    fn bytes(&self) -> usize {
        match self {
            Self::Visit { .. } => 0,
            Self::Lead { .. } => 256,
        }
    }
}

/// Reads visits and leads.
#[derive(Clone, Copy, Debug)]
pub struct Leads<'a>(pub(super) &'a Reader);

impl<'a> Leads<'a> {
    /// Returns the first visits of all persons of a partition, with the advertiser.
    pub fn first_visits(self, partition: PartitionId) -> impl Iterator<Item = Read<(ShopNumber, Visit)>> + use<'a> {
        let rows = self.0.each(self.0.of::<VisitRow>().prefix(&partition));
        rows.map(|row| row.map(|((_, _, advertiser), visit)| (advertiser, visit)))
    }

    /// Returns a person's first visit to an advertiser's site, if there was one.
    pub fn visit(self, partition: PartitionId, person: &PersonKey, advertiser: ShopNumber) -> Read<Option<Visit>> {
        self.0.get::<VisitRow>(&(partition, *person, advertiser))
    }

    /// Returns all first visits of a person, by advertiser.
    pub fn visits(self, partition: PartitionId, person: &PersonKey) -> Read<Vec<(ShopNumber, Visit)>> {
        let rows = self.0.of::<VisitRow>().prefix(&(partition, *person));
        let rows = self.0.each(rows);
        rows.map(|row| row.map(|((_, _, advertiser), visit)| (advertiser, visit)))
            .collect()
    }

    /// Returns one lead of a campaign; `partition` is where the mail's events are.
    pub fn get(self, partition: PartitionId, campaign: CampaignNumber, claimed: EventId) -> Read<Option<StoredLead>> {
        self.0.get::<LeadRow>(&(Slot::of(partition), campaign, claimed))
    }

    /// Returns up to `limit` leads of a campaign, the newest first, from before `before` on.
    pub fn of_campaign(
        self,
        campaign: CampaignNumber,
        before: Option<EventId>,
        limit: usize,
    ) -> Read<Vec<(EventId, StoredLead)>> {
        let rows = self.0.of::<LeadRow>();
        let before = before.unwrap_or(EventId::from_raw(u64::MAX));
        let runs = Slot::all().map(|slot| {
            let keys = key::encode(&(slot, campaign))..key::encode(&(slot, campaign, before));
            rows.range(keys).rev()
        });
        let rows = merge(runs, |((_, _, claimed), _)| Reverse(*claimed)).take(limit);
        let rows = self.0.each(rows);
        rows.map(|row| row.map(|((_, _, claimed), lead)| (claimed, lead)))
            .collect()
    }
}
