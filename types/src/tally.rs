//! What statistics are made of: counts by hour, kept for each of the 64 slots and summed up by readers.
//!
//! Counts are kept as absolute numbers, so writing one twice changes nothing. A hit is counted raw in the hour in which
//! it was made; verdicts add it to the machine or qualified counts of that same hour, and move it if they change.

use minicbor::{Decode, Encode};

use crate::event::HitKind;
use crate::id::{CampaignNumber, ShopNumber, Slot, WorkflowNumber};
use crate::locale::Language;
use crate::money::Currency;
use crate::order::Stream;
use crate::provider::Provider;
use crate::text::Slug;
use crate::time::Timestamp;

/// An hour, in hours since 1970, UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
#[cbor(transparent)]
pub struct Hour(#[n(0)] pub u32);

impl Hour {
    /// Returns the hour of a moment.
    pub fn of(at: Timestamp) -> Self {
        Self(u32::try_from(at.as_millis() / 3_600_000).unwrap_or(u32::MAX))
    }

    /// Returns the moment at which the hour begins.
    pub const fn begins(self) -> Timestamp {
        Timestamp::from_millis(self.0 as u64 * 3_600_000)
    }
}

/// Whose counts a cell holds.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Dimensions {
    /// Mails of one shop, stream, provider and template.
    Mails {
        /// Whose mails.
        shop: ShopNumber,
        /// On which stream.
        stream: Stream,
        /// Who runs the recipients' mailboxes.
        provider: Provider,
        /// Made with which template; `None` is the built-in one, or content that came with the request.
        template: Option<Slug>,
    },
    /// One offer in the mails of one shop.
    Offer {
        /// Which offer.
        campaign: CampaignNumber,
        /// Whose mails showed it.
        publisher: ShopNumber,
    },
    /// One step of a workflow, and its mails.
    Step {
        /// Which workflow.
        workflow: WorkflowNumber,
        /// Which step; `None` is the way in.
        step: Option<Slug>,
        /// Of those who left, or were not sent something: why, by its code.
        reason: Option<Slug>,
    },
    /// A shop's carts of one language and currency, and their reminders.
    Carts {
        /// Whose.
        shop: ShopNumber,
        /// In which language.
        language: Language,
        /// In which currency amounts are.
        currency: Currency,
        /// Of those who were not reminded: why, by its code.
        reason: Option<Slug>,
    },
}

impl Dimensions {
    /// Returns the measures that these cells may count.
    pub fn measures(&self) -> &'static [Measure] {
        const MAILS: usize = Measure::InDoubt as usize + 1;
        match self {
            Self::Mails { .. } | Self::Offer { .. } => Measure::ALL.split_at(MAILS).0,
            Self::Step { .. } | Self::Carts { .. } => &Measure::ALL,
        }
    }
}

/// Names one cell: an hour's counts of one slot.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CellKey {
    /// Whose.
    pub dimensions: Dimensions,
    /// When.
    pub hour: Hour,
    /// Which slot counted.
    pub slot: Slot,
}

/// Something that is counted. The numbers are stored: none is ever given to another measure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Measure {
    /// Orders and plain messages accepted (mails), by the provider that the address's domain tells.
    Accepted = 0,
    /// Mails decided to send; for offers: mails that show it.
    Sent = 1,
    /// Mails whose receiver answered 250.
    Delivered = 2,
    /// Mails that will never arrive: refused, expired or withdrawn.
    Failed = 3,
    /// Pixels fetched, whoever did; prefetches and tests left out, as in all raw counts.
    OpensRaw = 4,
    /// Of these, judged machines'.
    OpensMachine = 5,
    /// Of these, judged people's.
    OpensQualified = 6,
    /// Mails with a qualified open.
    OpensUnique = 7,
    /// Links followed, whoever did.
    ClicksRaw = 8,
    /// Of these, judged machines'.
    ClicksMachine = 9,
    /// Of these, judged people's.
    ClicksQualified = 10,
    /// Links with a qualified click: once for each mail and place in it.
    ClicksUnique = 11,
    /// Opens that name nobody, of people who did not agree to be followed.
    OpensAggregate = 12,
    /// Clicks that name nobody.
    ClicksAggregate = 13,
    /// Landings reported, each click's once.
    Landings = 14,
    /// Landings that name nobody.
    LandingsAggregate = 15,
    /// Leads claimed.
    LeadsClaimed = 16,
    /// Leads confirmed.
    LeadsConfirmed = 17,
    /// Leads voided.
    LeadsVoided = 18,
    /// Unsubscriptions.
    Unsubscribes = 19,
    /// Complaints.
    Complaints = 20,
    /// Mails held in doubt.
    InDoubt = 21,
    /// Contacts that came to the step; on the way in: that entered.
    Reached = 22,
    /// Contacts that went on from the step. Who reached it, and neither passed nor left, waits there.
    Passed = 23,
    /// Contacts that left at the step.
    Left = 24,
    /// Mails of the step, or reminders, that were not sent.
    Suppressed = 25,
    /// Carts that a first reminder was due for, whatever was decided.
    Abandoned = 26,
    /// First reminders sent.
    RemindedFirst = 27,
    /// Second reminders sent.
    RemindedSecond = 28,
    /// Reminders that live mode would have sent.
    WouldRemind = 29,
    /// Orders that a reminder brought.
    Recovered = 30,
    /// What they came to, in minor units.
    RecoveredAmount = 31,
    /// Orders after a reminder that did not come by its link.
    Influenced = 32,
    /// What they came to, in minor units.
    InfluencedAmount = 33,
}

impl Measure {
    /// Every measure, in the order of its number.
    pub const ALL: [Self; 34] = [
        Self::Accepted,
        Self::Sent,
        Self::Delivered,
        Self::Failed,
        Self::OpensRaw,
        Self::OpensMachine,
        Self::OpensQualified,
        Self::OpensUnique,
        Self::ClicksRaw,
        Self::ClicksMachine,
        Self::ClicksQualified,
        Self::ClicksUnique,
        Self::OpensAggregate,
        Self::ClicksAggregate,
        Self::Landings,
        Self::LandingsAggregate,
        Self::LeadsClaimed,
        Self::LeadsConfirmed,
        Self::LeadsVoided,
        Self::Unsubscribes,
        Self::Complaints,
        Self::InDoubt,
        Self::Reached,
        Self::Passed,
        Self::Left,
        Self::Suppressed,
        Self::Abandoned,
        Self::RemindedFirst,
        Self::RemindedSecond,
        Self::WouldRemind,
        Self::Recovered,
        Self::RecoveredAmount,
        Self::Influenced,
        Self::InfluencedAmount,
    ];

    /// Returns the name, as in API answers and Redis.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Sent => "sent",
            Self::Delivered => "delivered",
            Self::Failed => "failed",
            Self::OpensRaw => "opens_raw",
            Self::OpensMachine => "opens_machine",
            Self::OpensQualified => "opens_qualified",
            Self::OpensUnique => "opens_unique",
            Self::ClicksRaw => "clicks_raw",
            Self::ClicksMachine => "clicks_machine",
            Self::ClicksQualified => "clicks_qualified",
            Self::ClicksUnique => "clicks_unique",
            Self::OpensAggregate => "opens_aggregate",
            Self::ClicksAggregate => "clicks_aggregate",
            Self::Landings => "landings",
            Self::LandingsAggregate => "landings_aggregate",
            Self::LeadsClaimed => "leads_claimed",
            Self::LeadsConfirmed => "leads_confirmed",
            Self::LeadsVoided => "leads_voided",
            Self::Unsubscribes => "unsubscribes",
            Self::Complaints => "complaints",
            Self::InDoubt => "in_doubt",
            Self::Reached => "reached",
            Self::Passed => "passed",
            Self::Left => "left",
            Self::Suppressed => "suppressed",
            Self::Abandoned => "abandoned",
            Self::RemindedFirst => "reminded_first",
            Self::RemindedSecond => "reminded_second",
            Self::WouldRemind => "would_remind",
            Self::Recovered => "recovered",
            Self::RecoveredAmount => "recovered_amount",
            Self::Influenced => "influenced",
            Self::InfluencedAmount => "influenced_amount",
        }
    }

    /// Returns the raw measure of a kind of hit.
    pub const fn raw(kind: HitKind) -> Self {
        match kind {
            HitKind::Open => Self::OpensRaw,
            HitKind::Click => Self::ClicksRaw,
            HitKind::Landing => Self::Landings,
        }
    }
}

/// A cell's counts, one for each measure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counts([u64; Measure::ALL.len()]);

impl Default for Counts {
    fn default() -> Self {
        Self([0; Measure::ALL.len()])
    }
}

impl Counts {
    /// Returns a count.
    pub fn get(&self, measure: Measure) -> u64 {
        self.0.get(measure as usize).copied().unwrap_or_default()
    }

    /// Adds to a count; it never falls below zero.
    pub fn add(&mut self, measure: Measure, by: i64) {
        if let Some(count) = self.0.get_mut(measure as usize) {
            *count = count.saturating_add_signed(by);
        }
    }

    /// Adds all counts of another cell.
    pub fn merge(&mut self, other: &Self) {
        self.0
            .iter_mut()
            .zip(other.0)
            .for_each(|(own, other)| *own = own.saturating_add(other));
    }

    /// Returns the measures that are not zero, in their order.
    pub fn iter(&self) -> impl Iterator<Item = (Measure, u64)> {
        let all = Measure::ALL.into_iter().zip(self.0);
        all.filter(|(_, count)| *count > 0)
    }
}

/// A CBOR map from a measure's number to its count; zeros are left out, and unknown numbers are skipped.
impl<C> Encode<C> for Counts {
    fn encode<W: minicbor::encode::Write>(
        &self,
        encoder: &mut minicbor::Encoder<W>,
        _: &mut C,
    ) -> Result<(), minicbor::encode::Error<W::Error>> {
        encoder.map(self.iter().count() as u64)?;
        for (measure, count) in self.iter() {
            encoder.u8(measure as u8)?.u64(count)?;
        }
        Ok(())
    }
}

impl<'b, C> Decode<'b, C> for Counts {
    fn decode(decoder: &mut minicbor::Decoder<'b>, _: &mut C) -> Result<Self, minicbor::decode::Error> {
        let mut counts = Self::default();
        for entry in decoder.map_iter::<u64, u64>()? {
            let (number, value) = entry?;
            let count = usize::try_from(number).ok().and_then(|number| counts.0.get_mut(number));
            if let Some(count) = count {
                *count = value;
            }
        }
        Ok(counts)
    }
}

/// What became of one mail, as Redis and its readers know it. Eight counters, each stopping at its end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MailCounts {
    /// Pixel fetches: raw, machine, qualified.
    pub opens: [u16; 3],
    /// Clicks: raw, machine, qualified.
    pub clicks: [u16; 3],
    /// Landings.
    pub landings: u16,
    /// Leads that are not voided.
    pub leads: u16,
}

impl MailCounts {
    /// How many bytes [`MailCounts::to_bytes`] makes.
    pub const LEN: usize = 16;

    /// Returns the counters as stored, little-endian, in the order of the fields.
    pub fn to_bytes(self) -> [u8; Self::LEN] {
        let mut bytes = [0; Self::LEN];
        let counts = self
            .opens
            .into_iter()
            .chain(self.clicks)
            .chain([self.landings, self.leads]);
        for (to, count) in bytes.chunks_exact_mut(2).zip(counts) {
            to.copy_from_slice(&count.to_le_bytes());
        }
        bytes
    }

    /// Reads what [`MailCounts::to_bytes`] made.
    pub fn from_bytes(bytes: &[u8; Self::LEN]) -> Self {
        let mut counts = bytes
            .chunks_exact(2)
            .map(|pair| pair.try_into().map(u16::from_le_bytes).unwrap_or_default());
        let mut next = || counts.next().unwrap_or_default();
        Self {
            opens: [next(), next(), next()],
            clicks: [next(), next(), next()],
            landings: next(),
            leads: next(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_measure_stands_at_its_number() {
        for (number, measure) in Measure::ALL.into_iter().enumerate() {
            assert_eq!(measure as usize, number, "{}", measure.as_str());
        }
    }

    #[test]
    fn counts_survive_a_round_trip_without_their_zeros() {
        let mut counts = Counts::default();
        counts.add(Measure::Delivered, 3);
        counts.add(Measure::InDoubt, 70_000);
        counts.add(Measure::OpensRaw, -1);
        let bytes = minicbor::to_vec(counts).expect("vectors take all");
        assert_eq!(minicbor::decode::<Counts>(&bytes).expect("own bytes"), counts);
        assert_eq!(counts.iter().count(), 2);
        assert!(bytes.len() < 12, "{bytes:?}");
    }

    #[test]
    fn a_mails_counters_survive_a_round_trip() {
        let counts = MailCounts {
            opens: [1, 2, 3],
            clicks: [4, 5, 65_535],
            landings: 7,
            leads: 8,
        };
        assert_eq!(MailCounts::from_bytes(&counts.to_bytes()), counts);
    }

    #[test]
    fn hours_begin_on_the_hour() {
        let at = Timestamp::from_millis(1_700_000_000_000);
        assert!(Hour::of(at).begins() <= at && at.since(Hour::of(at).begins()).as_secs() < 3600);
    }
}
