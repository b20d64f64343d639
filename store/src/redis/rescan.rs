//! Reading from state what the journal says may have changed, or all of it.

use types::id::{PartitionId, Slot};
use types::tally::{CellKey, Hour};

use super::keys::{Cell, Naming};
use super::touched::{PartitionNumber, Touched};
use crate::state::cells::read_cell_key;
use crate::state::tables::{be_u32, read_object_key};
use crate::state::tracked::read_mail;
use crate::state::{StateError, Tables, Visit};

/// Returns all fields of what was touched, as state has them now.
pub(super) fn fields<'a>(
    tables: &'a Tables,
    touched: &'a Touched,
    naming: &'a Naming<'a>,
) -> impl Iterator<Item = Result<(Slot, Cell), StateError>> + 'a {
    let cells = cells(tables, touched, naming.oldest()).flat_map(|found| match found {
        Ok((key, counts)) => naming
            .counts(&key, &counts)
            .into_iter()
            .map(|cell| Ok((key.slot, cell)))
            .collect(),
        Err(error) => vec![Err(error)],
    });
    let mails = touched.mails.iter().flat_map(|number| mails(tables, *number, naming));
    let visits = touched.visits.iter().flat_map(|number| visits(tables, *number, naming));
    cells.chain(mails).chain(visits)
}

type Found<T> = Result<T, StateError>;

/// Returns the touched cells.
fn cells<'a>(
    tables: &'a Tables,
    touched: &'a Touched,
    oldest: Hour,
) -> impl Iterator<Item = Found<(CellKey, types::tally::Counts)>> + 'a {
    let from = touched.first_hour().map(|hour| hour.max(oldest));
    let owners = from.map_or_else(Vec::new, |_| owners(tables).collect());
    let from = from.unwrap_or(oldest);
    let ranges = owners.into_iter().flat_map(move |owner| {
        owner.map_or_else(
            |error| Box::new(std::iter::once(Err(error))) as Box<dyn Iterator<Item = _>>,
            |owner| {
                let range = [owner.as_slice(), &from.0.to_be_bytes()].concat()..after(owner);
                Box::new(tables.cell.range(range).map(|entry| {
                    let (key, value) = entry.into_inner()?;
                    let cell = read_cell_key(&key).ok_or_else(|| malformed("cell", &key))?;
                    Ok((cell, decode("cell", &value)?))
                }))
            },
        )
    });
    ranges.filter(|found: &Found<(CellKey, _)>| {
        found.as_ref().map_or(true, |(key, _)| {
            touched.hour_of(key.slot).is_some_and(|hour| hour <= key.hour)
        })
    })
}

/// Family and number of a shop or campaign, as cells' keys begin.
type Owner = [u8; 5];

/// Returns whose cells there are, by jumping from one to the next.
fn owners(tables: &Tables) -> impl Iterator<Item = Found<Owner>> + '_ {
    let mut next = Some(vec![0]);
    std::iter::from_fn(move || {
        let entry = tables.cell.range(next.take()?..).next()?;
        let found = entry.key().map_err(StateError::from).and_then(|key| {
            let owner: Option<Owner> = key.first_chunk().copied();
            owner.ok_or_else(|| malformed("cell", &key))
        });
        if let Ok(owner) = &found {
            next = Some(after(*owner));
        }
        Some(found)
    })
}

/// Returns the first key after those of an owner.
fn after(owner: Owner) -> Vec<u8> {
    let [family, number @ ..] = owner;
    match u32::from_be_bytes(number).checked_add(1) {
        Some(next) => [&[family], next.to_be_bytes().as_slice()].concat(),
        None => vec![family + 1],
    }
}

/// Returns the mails of a partition, those without counts included: they may have had some.
fn mails<'a>(
    tables: &'a Tables,
    number: PartitionNumber,
    naming: &'a Naming<'a>,
) -> impl Iterator<Item = Found<(Slot, Cell)>> + 'a {
    let rows = tables.mail.prefix(number.to_be_bytes()).map(|entry| {
        let (key, value) = entry.into_inner()?;
        let (partition, id) = read_object_key(&key).ok_or_else(|| malformed("mail", &key))?;
        let message = types::id::MessageId::new(id);
        let (counts, _) = read_mail(message, &value)?;
        let cell = naming.mail(partition, message, counts);
        Ok(cell.map(|cell| (Slot::of(partition), cell)))
    });
    rows.filter_map(Result::transpose)
}

/// Returns the first visits of a partition.
fn visits<'a>(
    tables: &'a Tables,
    number: PartitionNumber,
    naming: &'a Naming<'a>,
) -> impl Iterator<Item = Found<(Slot, Cell)>> + 'a {
    tables.visit.prefix(number.to_be_bytes()).map(move |entry| {
        let (key, value) = entry.into_inner()?;
        let advertiser = be_u32(&key, 18).map(types::id::ShopNumber);
        let known = advertiser.zip(PartitionId::new(number));
        let (advertiser, partition) = known.ok_or_else(|| malformed("visit", &key))?;
        let visit: Visit = decode("visit", &value)?;
        Ok((Slot::of(partition), naming.visit(partition, advertiser, &visit)))
    })
}

fn decode<T: for<'b> minicbor::Decode<'b, ()>>(what: &str, value: &[u8]) -> Found<T> {
    minicbor::decode(value).map_err(|error| StateError::Malformed(format!("{what}: {error}")))
}

fn malformed(what: &str, key: &[u8]) -> StateError {
    StateError::Malformed(format!("{what} key {key:?}"))
}
