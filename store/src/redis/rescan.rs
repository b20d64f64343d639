//! Reading from state what the journal says may have changed, or all of it.

use types::id::{PartitionId, Slot};
use types::tally::{CellKey, Hour};

use super::keys::{Cell, Naming};
use super::touched::{PartitionNumber, Touched};
use crate::state::{StateError, Tables};

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
    let slots = Slot::all().filter_map(move |slot| Some((slot, touched.hour_of(slot)?.max(oldest))));
    slots.flat_map(move |(slot, from)| {
        tables.owners(slot).flat_map(move |owner| {
            let (owner, error) = owner.map_or_else(|error| (None, Some(Err(error))), |owner| (Some(owner), None));
            let cells = owner.map(|owner| tables.cells_from(slot, owner, from));
            cells.into_iter().flatten().chain(error)
        })
    })
}

/// Returns the mails of a partition, those without counts included: they may have had some.
fn mails<'a>(
    tables: &'a Tables,
    number: PartitionNumber,
    naming: &'a Naming<'a>,
) -> impl Iterator<Item = Found<(Slot, Cell)>> + 'a {
    let partition = PartitionId::new(number);
    let rows = partition.into_iter().flat_map(move |partition| {
        tables.mails(partition).map(move |row| {
            let (message, counts) = row?;
            let cell = naming.mail(partition, message, counts);
            Ok(cell.map(|cell| (Slot::of(partition), cell)))
        })
    });
    rows.filter_map(Result::transpose)
}

/// Returns the first visits of a partition.
fn visits<'a>(
    tables: &'a Tables,
    number: PartitionNumber,
    naming: &'a Naming<'a>,
) -> impl Iterator<Item = Found<(Slot, Cell)>> + 'a {
    PartitionId::new(number).into_iter().flat_map(move |partition| {
        tables.visits(partition).map(move |row| {
            let (advertiser, visit) = row?;
            Ok((Slot::of(partition), naming.visit(partition, advertiser, &visit)))
        })
    })
}
