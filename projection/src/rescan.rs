//! Reading from state what the journal says may have changed, or all of it.

use store::{State, StateError};
use types::id::{PartitionId, Slot};

use crate::keys::{Cell, Naming};
use crate::touched::{PartitionNumber, Touched};

/// Returns all fields of what was touched, as state has them now.
pub(crate) fn fields<'a>(
    state: &'a State,
    touched: &'a Touched,
    naming: &'a Naming<'a>,
) -> impl Iterator<Item = Found> + 'a {
    let mails = touched.mails.iter().flat_map(|number| mails(state, *number, naming));
    let visits = touched.visits.iter().flat_map(|number| visits(state, *number, naming));
    cells(state, touched, naming).chain(mails).chain(visits)
}

/// A field with its slot.
type Found = Result<(Slot, Cell), StateError>;

/// Returns the fields of the touched cells.
fn cells<'a>(state: &'a State, touched: &'a Touched, naming: &'a Naming<'a>) -> impl Iterator<Item = Found> + 'a {
    let slots = Slot::all().filter_map(|slot| Some((slot, touched.hour_of(slot)?.max(naming.oldest()))));
    let cells = slots.flat_map(|(slot, from)| state.cells().of_slot(slot, from));
    cells.flat_map(|found| match found {
        Ok((key, counts)) => {
            let fields = naming.counts(&key, &counts).into_iter();
            fields.map(|cell| Ok((key.slot, cell))).collect()
        }
        Err(error) => vec![Err(error)],
    })
}

/// Returns the mails of a partition, those without counts included: they may have had some.
fn mails<'a>(state: &'a State, number: PartitionNumber, naming: &'a Naming<'a>) -> impl Iterator<Item = Found> + 'a {
    PartitionId::new(number).into_iter().flat_map(move |partition| {
        state.mails().counts(partition).filter_map(move |found| {
            let cell = found.map(|(message, counts)| naming.mail(partition, message, counts));
            cell.transpose().map(|cell| Ok((Slot::of(partition), cell?)))
        })
    })
}

/// Returns the first visits of a partition.
fn visits<'a>(state: &'a State, number: PartitionNumber, naming: &'a Naming<'a>) -> impl Iterator<Item = Found> + 'a {
    PartitionId::new(number).into_iter().flat_map(move |partition| {
        state.leads().first_visits(partition).map(move |found| {
            let (advertiser, visit) = found?;
            Ok((Slot::of(partition), naming.visit(partition, advertiser, &visit)))
        })
    })
}
