//! The statistics: one row for each hour, slot and what is counted. `docs/formats/state.md` draws the bytes.

use std::ops::Range;

use fjall::OwnedWriteBatch;
use types::id::{CampaignNumber, ShopNumber, Slot, WorkflowNumber};
use types::locale::Language;
use types::money::Currency;
use types::order::Stream;
use types::provider::Provider;
use types::tally::{CellKey, Counts, Dimensions, Hour};
use types::text::Slug;

use super::key::{self, Part};
use super::merge::merge;
use super::reader::Reader;
use super::table::{self, Read, Spread, cbor_values};
use super::tables::Tables;
use super::turn::Change;

/// A cell's counts.
pub(super) struct Row;

impl table::Row for Row {
    const NAME: &'static str = "cell2";
    const NUMBER: u8 = 26;
    const SPREAD: Spread = Spread::Slot;
    type Key = CellKey;
    type Value = Counts;
}

cbor_values!(Counts);

/// Of which kind a cell is, by the byte that its key has after the slot.
const MAILS: u8 = 0;
const OFFERS: u8 = 1;
const STEPS: u8 = 2;
const CARTS: u8 = 3;

/// Whose cells: their kind, and the number of the shop, campaign or workflow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Owner {
    family: u8,
    number: u32,
}

impl Part for Owner {
    fn put(&self, key: &mut Vec<u8>) {
        self.family.put(key);
        self.number.to_be_bytes().put(key);
    }

    fn take(key: &mut &[u8]) -> Option<Self> {
        let (family, number) = Part::take(key)?;
        let number = u32::from_be_bytes(number);
        Some(Self { family, number })
    }
}

impl Owner {
    fn of(dimensions: &Dimensions) -> Self {
        let (family, number) = match dimensions {
            Dimensions::Mails { shop, .. } => (MAILS, shop.0),
            Dimensions::Offer { campaign, .. } => (OFFERS, campaign.0),
            Dimensions::Step { workflow, .. } => (STEPS, workflow.0),
            Dimensions::Carts { shop, .. } => (CARTS, shop.0),
        };
        Self { family, number }
    }

    /// Returns the next one that there can be.
    fn next(self) -> Self {
        match self.number.checked_add(1) {
            Some(number) => Self { number, ..self },
            None => Self {
                family: self.family + 1,
                number: 0,
            },
        }
    }
}

impl Part for Hour {
    fn put(&self, key: &mut Vec<u8>) {
        self.0.to_be_bytes().put(key);
    }

    fn take(key: &mut &[u8]) -> Option<Self> {
        Part::take(key).map(u32::from_be_bytes).map(Self)
    }
}

/// Slot 1; family 1, shop, campaign or workflow 4, hour 4; then stream 1, provider 1 and template, or publisher 4, or step and reason, or
/// language 2, currency 3 and reason.
impl Part for CellKey {
    fn put(&self, key: &mut Vec<u8>) {
        (self.slot, Owner::of(&self.dimensions), self.hour).put(key);
        match &self.dimensions {
            Dimensions::Mails {
                stream,
                provider,
                template,
                ..
            } => {
                key.push(match stream {
                    Stream::Transactional => 1,
                    Stream::Promotional => 2,
                });
                key.push(provider.number());
                put_slug(key, template.as_ref());
            }
            Dimensions::Offer { publisher, .. } => publisher.put(key),
            Dimensions::Step { step, reason, .. } => {
                put_slug(key, step.as_ref());
                key.push(b'/');
                put_slug(key, reason.as_ref());
            }
            Dimensions::Carts {
                language,
                currency,
                reason,
                ..
            } => {
                key.extend_from_slice(language.code().as_bytes());
                key.extend_from_slice(currency.as_str().as_bytes());
                put_slug(key, reason.as_ref());
            }
        }
    }

    fn take(key: &mut &[u8]) -> Option<Self> {
        let (slot, owner, hour) = Part::take(key)?;
        let dimensions = take_dimensions(owner, key)?;
        Some(Self { dimensions, hour, slot })
    }
}

/// Takes what a cell's key has after its hour, to its end.
fn take_dimensions(owner: Owner, key: &mut &[u8]) -> Option<Dimensions> {
    let Owner { family, number } = owner;
    let dimensions = match family {
        MAILS => Dimensions::Mails {
            shop: ShopNumber(number),
            stream: match u8::take(key)? {
                1 => Stream::Transactional,
                2 => Stream::Promotional,
                _ => return None,
            },
            provider: Provider::from_number(u8::take(key)?)?,
            template: read_slug(std::mem::take(key)).ok()?,
        },
        OFFERS => Dimensions::Offer {
            campaign: CampaignNumber(number),
            publisher: ShopNumber::take(key)?,
        },
        STEPS => {
            let names = std::mem::take(key);
            let slash = names.iter().position(|byte| *byte == b'/')?;
            Dimensions::Step {
                workflow: WorkflowNumber(number),
                step: read_slug(names.get(..slash)?).ok()?,
                reason: read_slug(names.get(slash + 1..)?).ok()?,
            }
        }
        CARTS => {
            let (language, currency) = <([u8; 2], [u8; 3])>::take(key)?;
            Dimensions::Carts {
                shop: ShopNumber(number),
                language: Language::of_tag(std::str::from_utf8(&language).ok()?)?,
                currency: Currency::try_from(std::str::from_utf8(&currency).ok()?.to_owned()).ok()?,
                reason: read_slug(std::mem::take(key)).ok()?,
            }
        }
        _ => return None,
    };
    Some(dimensions)
}

fn put_slug(key: &mut Vec<u8>, slug: Option<&Slug>) {
    key.extend_from_slice(slug.map_or("", Slug::as_str).as_bytes());
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

/// The counts of a cell.
#[derive(Clone, Debug)]
pub struct CellPut {
    /// Which.
    pub key: CellKey,
    /// All of them, new.
    pub counts: Box<Counts>,
}

impl Change for CellPut {
    fn add(&self, tables: &Tables, batch: &mut OwnedWriteBatch) -> Read<()> {
        tables.of::<Row>().insert(batch, &self.key, &self.counts);
        Ok(())
    }
}

/// Reads the statistics.
#[derive(Clone, Copy, Debug)]
pub struct Cells<'a>(pub(super) &'a Reader);

impl<'a> Cells<'a> {
    /// Returns the counts of one cell; zeros if nothing was counted.
    pub fn get(self, key: &CellKey) -> Read<Counts> {
        Ok(self.0.get::<Row>(key)?.unwrap_or_default())
    }

    /// Returns the cells of a shop's mails from one hour to before another, by hour; all slots.
    pub fn of_mails(
        self,
        shop: ShopNumber,
        hours: Range<Hour>,
    ) -> impl Iterator<Item = Read<(CellKey, Counts)>> + use<'a> {
        self.of(MAILS, shop.0, hours)
    }

    /// Returns the cells of an offer from one hour to before another, by hour; all slots and publishers.
    pub fn of_offer(
        self,
        campaign: CampaignNumber,
        hours: Range<Hour>,
    ) -> impl Iterator<Item = Read<(CellKey, Counts)>> + use<'a> {
        self.of(OFFERS, campaign.0, hours)
    }

    /// Returns the cells of a workflow's steps from one hour to before another, by hour; all slots.
    pub fn of_steps(
        self,
        workflow: WorkflowNumber,
        hours: Range<Hour>,
    ) -> impl Iterator<Item = Read<(CellKey, Counts)>> + use<'a> {
        self.of(STEPS, workflow.0, hours)
    }

    /// Returns the cells of a shop's carts from one hour to before another, by hour; all slots.
    pub fn of_carts(
        self,
        shop: ShopNumber,
        hours: Range<Hour>,
    ) -> impl Iterator<Item = Read<(CellKey, Counts)>> + use<'a> {
        self.of(CARTS, shop.0, hours)
    }

    /// Returns a slot's cells of an hour and of later ones, whoever they are of; those of earlier ones are jumped over.
    pub fn of_slot(self, slot: Slot, from: Hour) -> impl Iterator<Item = Read<(CellKey, Counts)>> + use<'a> {
        self.owners(slot).flat_map(move |owner| {
            let (owner, error) = owner.map_or_else(|error| (None, Some(Err(error))), |owner| (Some(owner), None));
            let rows = owner.map(|owner| {
                let keys = key::encode(&(slot, owner, from))..key::encode(&(slot, owner.next()));
                self.0.each(self.0.of::<Row>().range(keys))
            });
            rows.into_iter().flatten().chain(error)
        })
    }

    /// Returns whose cells a slot has, by jumping from one to the next.
    fn owners(self, slot: Slot) -> impl Iterator<Item = Read<Owner>> + use<'a> {
        let rows = self.0.of::<Row>();
        let mut next = Owner { family: 0, number: 0 };
        let owners = std::iter::from_fn(move || {
            let keys = key::encode(&(slot, next))..vec![slot.number() + 1];
            let cell = rows.stored(keys).next()?.and_then(|row| row.key());
            Some(cell.map(|cell| {
                let owner = Owner::of(&cell.dimensions);
                next = owner.next();
                owner
            }))
        });
        self.0.each(owners)
    }

    fn of(
        self,
        family: u8,
        number: u32,
        hours: Range<Hour>,
    ) -> impl Iterator<Item = Read<(CellKey, Counts)>> + use<'a> {
        let (rows, owner) = (self.0.of::<Row>(), Owner { family, number });
        let until = hours.end.max(hours.start);
        let runs = Slot::all().map(move |slot| {
            let keys = key::encode(&(slot, owner, hours.start))..key::encode(&(slot, owner, until));
            rows.range(keys)
        });
        self.0.each(merge(runs, |(cell, _)| cell.hour))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_of_cells_survive_a_round_trip_and_sort_by_slot_owner_and_hour() {
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
            slot: Slot::new(63).expect("a slot"),
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
            assert_eq!(key::decode(&key::encode(cell)).as_ref(), Some(cell));
        }
        assert!(cells.iter().map(key::encode).is_sorted());
    }
}
