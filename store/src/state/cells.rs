//! The keyspace of statistics: one row for each hour, slot and what is counted. `docs/formats/state.md` draws the bytes.

use types::id::{CampaignNumber, ShopNumber, Slot, WorkflowNumber};
use types::locale::Language;
use types::money::Currency;
use types::order::Stream;
use types::provider::Provider;
use types::tally::{CellKey, Counts, Dimensions, Hour};
use types::text::Slug;

use super::tables::be_u32;
use super::tracked::{malformed, read};
use super::{State, StateError};

/// The first byte of a cell's key.
const MAILS: u8 = 0;
const OFFERS: u8 = 1;
const STEPS: u8 = 2;
const CARTS: u8 = 3;

impl State {
    /// Returns the counts of one cell; zeros if nothing was counted.
    pub fn cell(&self, key: &CellKey) -> Result<Counts, StateError> {
        let value = self.checked(self.tables.cell.get(cell_key(key)))?;
        value.map_or(Ok(Counts::default()), |value| read(&value, "cell"))
    }

    /// Returns the cells of a shop's mails from one hour to before another, by hour; all slots.
    pub fn mail_cells(
        &self,
        shop: ShopNumber,
        hours: std::ops::Range<Hour>,
    ) -> impl Iterator<Item = Result<(CellKey, Counts), StateError>> + '_ {
        self.cells(MAILS, shop.0, hours)
    }

    /// Returns the cells of an offer from one hour to before another, by hour; all slots and publishers.
    pub fn offer_cells(
        &self,
        campaign: CampaignNumber,
        hours: std::ops::Range<Hour>,
    ) -> impl Iterator<Item = Result<(CellKey, Counts), StateError>> + '_ {
        self.cells(OFFERS, campaign.0, hours)
    }

    /// Returns the cells of a workflow's steps from one hour to before another, by hour; all slots.
    pub fn step_cells(
        &self,
        workflow: WorkflowNumber,
        hours: std::ops::Range<Hour>,
    ) -> impl Iterator<Item = Result<(CellKey, Counts), StateError>> + '_ {
        self.cells(STEPS, workflow.0, hours)
    }

    /// Returns the cells of a shop's carts from one hour to before another, by hour; all slots.
    pub fn cart_cells(
        &self,
        shop: ShopNumber,
        hours: std::ops::Range<Hour>,
    ) -> impl Iterator<Item = Result<(CellKey, Counts), StateError>> + '_ {
        self.cells(CARTS, shop.0, hours)
    }

    fn cells(
        &self,
        family: u8,
        owner: u32,
        hours: std::ops::Range<Hour>,
    ) -> impl Iterator<Item = Result<(CellKey, Counts), StateError>> + '_ {
        let bound = |hour: Hour| [&[family], owner.to_be_bytes().as_slice(), &hour.0.to_be_bytes()].concat();
        self.tables
            .cell
            .range(bound(hours.start)..bound(hours.end))
            .map(|entry| {
                let (key, value) = self.checked(entry.into_inner())?;
                let cell = read_cell_key(&key).ok_or_else(|| malformed("cell", &key))?;
                Ok((cell, read(&value, "cell")?))
            })
    }
}

/// Family 1, shop, campaign or workflow 4, hour 4, slot 1; then stream 1, provider 1 and template, or publisher 4, or step and reason, or
/// language 2, currency 3 and reason.
pub(super) fn cell_key(key: &CellKey) -> Vec<u8> {
    let (family, owner) = match &key.dimensions {
        Dimensions::Mails { shop, .. } => (MAILS, shop.0),
        Dimensions::Offer { campaign, .. } => (OFFERS, campaign.0),
        Dimensions::Step { workflow, .. } => (STEPS, workflow.0),
        Dimensions::Carts { shop, .. } => (CARTS, shop.0),
    };
    let mut bytes = [&[family], owner.to_be_bytes().as_slice(), &key.hour.0.to_be_bytes()].concat();
    bytes.push(key.slot.number());
    match &key.dimensions {
        Dimensions::Mails {
            stream,
            provider,
            template,
            ..
        } => {
            bytes.push(match stream {
                Stream::Transactional => 1,
                Stream::Promotional => 2,
            });
            bytes.push(provider.number());
            bytes.extend_from_slice(template.as_ref().map_or("", Slug::as_str).as_bytes());
        }
        Dimensions::Offer { publisher, .. } => bytes.extend_from_slice(&publisher.0.to_be_bytes()),
        Dimensions::Step { step, reason, .. } => {
            bytes.extend_from_slice(step.as_ref().map_or("", Slug::as_str).as_bytes());
            bytes.push(b'/');
            bytes.extend_from_slice(reason.as_ref().map_or("", Slug::as_str).as_bytes());
        }
        Dimensions::Carts {
            language,
            currency,
            reason,
            ..
        } => {
            bytes.extend_from_slice(language.code().as_bytes());
            bytes.extend_from_slice(currency.as_str().as_bytes());
            bytes.extend_from_slice(reason.as_ref().map_or("", Slug::as_str).as_bytes());
        }
    }
    bytes
}

pub(crate) fn read_cell_key(key: &[u8]) -> Option<CellKey> {
    let (family, owner) = (*key.first()?, be_u32(key, 1)?);
    let (hour, slot) = (Hour(be_u32(key, 5)?), Slot::new(*key.get(9)?)?);
    let dimensions = match family {
        MAILS => Dimensions::Mails {
            shop: ShopNumber(owner),
            stream: match key.get(10)? {
                1 => Stream::Transactional,
                2 => Stream::Promotional,
                _ => return None,
            },
            provider: Provider::from_number(*key.get(11)?)?,
            template: read_slug(key.get(12..)?).ok()?,
        },
        OFFERS => Dimensions::Offer {
            campaign: CampaignNumber(owner),
            publisher: ShopNumber(be_u32(key, 10)?),
        },
        STEPS => {
            let names = key.get(10..)?;
            let slash = names.iter().position(|byte| *byte == b'/')?;
            Dimensions::Step {
                workflow: WorkflowNumber(owner),
                step: read_slug(names.get(..slash)?).ok()?,
                reason: read_slug(names.get(slash + 1..)?).ok()?,
            }
        }
        CARTS => Dimensions::Carts {
            shop: ShopNumber(owner),
            language: Language::of_tag(std::str::from_utf8(key.get(10..12)?).ok()?)?,
            currency: Currency::try_from(std::str::from_utf8(key.get(12..15)?).ok()?.to_owned()).ok()?,
            reason: read_slug(key.get(15..)?).ok()?,
        },
        _ => return None,
    };
    Some(CellKey { dimensions, hour, slot })
}

/// Reads an id, or nothing at all. The outer `Err`: it is neither.
fn read_slug(bytes: &[u8]) -> Result<Option<Slug>, ()> {
    match bytes {
        [] => Ok(None),
        name => {
            let name = std::str::from_utf8(name).map_err(drop)?;
            Slug::try_from(name).map(Some).map_err(drop)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_of_cells_survive_a_round_trip_and_sort_by_owner_and_hour() {
        let cell = |shop, hour, template: Option<&str>| CellKey {
            dimensions: Dimensions::Mails {
                shop: ShopNumber(shop),
                stream: Stream::Promotional,
                provider: Provider::Google,
                template: template.map(|name| Slug::try_from(name).expect("a slug")),
            },
            hour: Hour(hour),
            slot: Slot::new(63).expect("a slot"),
        };
        let offer = CellKey {
            dimensions: Dimensions::Offer {
                campaign: CampaignNumber(7),
                publisher: ShopNumber(9),
            },
            hour: Hour(490_000),
            slot: Slot::new(0).expect("a slot"),
        };
        let dimensions = Dimensions::Step {
            workflow: WorkflowNumber(3),
            step: None,
            reason: Some(Slug::try_from("not_who").expect("a slug")),
        };
        let step = CellKey {
            dimensions,
            ..offer.clone()
        };
        let dimensions = Dimensions::Carts {
            shop: ShopNumber(1),
            language: Language::It,
            currency: Currency::try_from("EUR".to_owned()).expect("a currency"),
            reason: None,
        };
        let carts = CellKey {
            dimensions,
            ..offer.clone()
        };
        let mails = [cell(1, 5, None), cell(1, 6, Some("welcome")), cell(2, 4, None)];
        let cells: Vec<_> = mails.into_iter().chain([offer, step, carts]).collect();
        for cell in &cells {
            assert_eq!(read_cell_key(&cell_key(cell)).as_ref(), Some(cell));
        }
        assert!(cells.iter().map(cell_key).is_sorted());
    }
}
