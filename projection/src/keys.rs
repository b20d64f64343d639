//! The names and values that readers find in Redis. `docs/formats/redis.md` tells them.

use std::time::Duration;

use data_encoding::HEXLOWER;
use types::catalogue::Catalogue;
use types::id::{EventId, LeadId, MessageId, PartitionId, PublicId, ShopNumber, Slot, VisitorKey};
use types::order::Stream;
use types::tally::{CellKey, Counts, Dimensions, Hour, MailCounts, Measure};
use types::text::Slug;
use types::time::Timestamp;

use store::state::Visit;

/// Characters of a mail's id that name its hash; the others name its field. Eight hold the partition and all but the last
/// 18 bits of the millisecond: a hash has the mails of some four minutes of one partition.
const MAIL_PREFIX: usize = 8;
/// How long ids with one such prefix are minted.
const MAIL_SPAN: Duration = Duration::from_millis(1 << 18);
/// Characters of a visitor's key that name the hash: 256 for each advertiser and slot.
const VISITOR_PREFIX: usize = 2;
/// Characters of it that name the field.
const VISITOR_FIELD: usize = 14;

/// A hash of a slot, but for the slot's own name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Key(String);

impl Key {
    /// Returns the whole key.
    pub(crate) fn text(&self, slot: Slot) -> String {
        format!("{{s{:02}}}:{}", slot.number(), self.0)
    }
}

/// One field of one hash.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Cell {
    pub(crate) key: Key,
    pub(crate) field: String,
    /// `None` is none.
    pub(crate) value: Option<String>,
    /// Seconds that the key has to live from now; 0 is for ever.
    pub(crate) ttl: u64,
}

/// What names are made with.
#[derive(Clone, Copy)]
pub(crate) struct Naming<'a> {
    pub(crate) catalogue: &'a Catalogue,
    pub(crate) now: Timestamp,
    pub(crate) kept: Duration,
}

impl Naming<'_> {
    /// Returns the oldest hour whose counts are kept.
    pub(crate) fn oldest(&self) -> Hour {
        Hour::of(self.now - self.kept)
    }

    /// Returns the fields of a cell, one for each measure; none if it is too old to be kept.
    pub(crate) fn counts(&self, cell: &CellKey, counts: &Counts) -> Vec<Cell> {
        let Some(ttl) = self.ttl(cell.hour.begins() + Duration::from_hours(1)) else {
            return Vec::new();
        };
        let hour = hour(cell.hour);
        let (key, prefix) = match &cell.dimensions {
            Dimensions::Mails {
                shop,
                stream,
                provider,
                template,
            } => {
                let stream = match stream {
                    Stream::Transactional => "transactional",
                    Stream::Promotional => "promotional",
                };
                let template = or_dash(template.as_ref());
                (
                    format!("shop:{}:{hour}", self.shop(*shop)),
                    format!("{stream}:{}:{template}", provider.as_str()),
                )
            }
            Dimensions::Offer { campaign, publisher } => {
                let found = self.catalogue.campaign_by_number(*campaign);
                let campaign = found.map_or_else(|| campaign.0.to_string(), |found| found.id.to_string());
                (format!("campaign:{campaign}:{hour}"), self.shop(*publisher))
            }
            Dimensions::Step { workflow, step, reason } => {
                let found = self.catalogue.workflow_by_number(*workflow);
                let workflow = found.map_or_else(
                    || workflow.0.to_string(),
                    |found| format!("{}:{}", self.shop(found.shop), found.id),
                );
                (
                    format!("workflow:{workflow}:{hour}"),
                    format!("{}:{}", or_dash(step.as_ref()), or_dash(reason.as_ref())),
                )
            }
            Dimensions::Carts {
                shop,
                language,
                currency,
                reason,
            } => (
                format!("carts:{}:{hour}", self.shop(*shop)),
                format!("{}:{}:{}", language.code(), currency.as_str(), or_dash(reason.as_ref())),
            ),
        };
        let key = Key(key);
        let field = |measure: Measure| {
            let count = counts.get(measure);
            Cell {
                key: key.clone(),
                field: format!("{prefix}:{}", measure.as_str()),
                value: (count > 0).then(|| count.to_string()),
                ttl,
            }
        };
        cell.dimensions.measures().iter().copied().map(field).collect()
    }

    /// Returns the field of a mail; none if it is too old to be kept.
    pub(crate) fn mail(&self, partition: PartitionId, message: MessageId, counts: MailCounts) -> Option<Cell> {
        let event = message.event();
        let ttl = self.ttl(event.time() + MAIL_SPAN)?;
        let id = PublicId { partition, event }.to_string();
        let (prefix, field) = id.split_at(MAIL_PREFIX);
        let [opened, opened_machine, opened_qualified] = counts.opens;
        let [clicked, clicked_machine, clicked_qualified] = counts.clicks;
        let (landings, leads) = (counts.landings, counts.leads);
        let value = (counts != MailCounts::default()).then(|| {
            format!(
                "{opened},{opened_machine},{opened_qualified},{clicked},{clicked_machine},{clicked_qualified},{landings},{leads}"
            )
        });
        Some(Cell {
            key: Key(format!("mail:{prefix}")),
            field: field.to_owned(),
            value,
            ttl,
        })
    }

    /// Returns the field of a first visit.
    pub(crate) fn visit(&self, partition: PartitionId, advertiser: ShopNumber, visit: &Visit) -> Cell {
        let click = || {
            let event: EventId = visit.click;
            format!("click:{}", PublicId { partition, event })
        };
        let lead = |lead: LeadId| {
            if visit.open {
                format!("void:{lead}")
            } else {
                format!("lead:{lead}")
            }
        };
        let VisitorText { prefix, field } = VisitorText::of(&visit.visitor);
        Cell {
            key: Key(format!("visit:{}:{prefix}", self.shop(advertiser))),
            field,
            value: Some(visit.lead.map_or_else(click, lead)),
            ttl: 0,
        }
    }

    fn shop(&self, number: ShopNumber) -> String {
        let found = self.catalogue.shop_by_number(number);
        found.map_or_else(|| number.0.to_string(), |shop| shop.id.to_string())
    }

    fn ttl(&self, of: Timestamp) -> Option<u64> {
        let left = (of + self.kept).since(self.now).as_secs();
        (left > 0).then_some(left)
    }
}

/// A visitor's key, split into the ends of a key and a field.
struct VisitorText {
    prefix: String,
    field: String,
}

impl VisitorText {
    fn of(visitor: &VisitorKey) -> Self {
        let mut prefix = HEXLOWER.encode(visitor.as_bytes());
        let mut field = prefix.split_off(VISITOR_PREFIX);
        field.truncate(VISITOR_FIELD);
        Self { prefix, field }
    }
}

/// Returns an id, or `-` for none.
fn or_dash(id: Option<&Slug>) -> &str {
    id.map_or("-", Slug::as_str)
}

/// Returns an hour as `2026-11-22T20`, in UTC.
fn hour(hour: Hour) -> String {
    let mut text = hour.begins().to_string();
    text.truncate("2026-11-22T20".len());
    text
}
