//! Reading all of a kind, for projections that have lost their place: statistics, counts of mails, first visits.

use types::id::{MessageId, PartitionId, ShopNumber};
use types::tally::{CellKey, Counts, Hour, MailCounts};

use super::cells::read_cell_key;
use super::tables::{be_u32, read_object_key};
use super::tracked::{malformed, read, read_mail};
use super::{State, StateError, Visit};

/// Family and number of a shop, campaign or workflow, as cells' keys begin.
type Owner = [u8; 5];

impl State {
    /// Returns all cells of an hour and of later ones; those of earlier ones are jumped over.
    pub fn cells_from(&self, hour: Hour) -> impl Iterator<Item = Result<(CellKey, Counts), StateError>> + '_ {
        self.owners().flat_map(move |owner| {
            let range = owner.map(|owner| [owner.as_slice(), &hour.0.to_be_bytes()].concat()..after(owner));
            let (range, error) = range.map_or_else(|error| (None, Some(Err(error))), |range| (Some(range), None));
            let rows = range.into_iter().flat_map(|range| self.tables.cell.range(range));
            let cells = rows.map(|entry| {
                let (key, value) = self.checked(entry.into_inner())?;
                let cell = read_cell_key(&key).ok_or_else(|| malformed("cell", &key))?;
                Ok((cell, read(&value, "cell")?))
            });
            error.into_iter().chain(cells)
        })
    }

    /// Returns the counts of all mails of a partition.
    pub fn mail_counts(
        &self,
        partition: PartitionId,
    ) -> impl Iterator<Item = Result<(MessageId, MailCounts), StateError>> + '_ {
        let rows = self.tables.mail.prefix(partition.number().to_be_bytes());
        rows.map(|entry| {
            let (key, value) = self.checked(entry.into_inner())?;
            let (_, id) = read_object_key(&key).ok_or_else(|| malformed("mail", &key))?;
            let message = MessageId::new(id);
            Ok((message, read_mail(message, &value)?.0))
        })
    }

    /// Returns all first visits of a partition's persons, with the advertiser.
    pub fn first_visits(
        &self,
        partition: PartitionId,
    ) -> impl Iterator<Item = Result<(ShopNumber, Visit), StateError>> + '_ {
        let rows = self.tables.visit.prefix(partition.number().to_be_bytes());
        rows.map(|entry| {
            let (key, value) = self.checked(entry.into_inner())?;
            let advertiser = be_u32(&key, 18).ok_or_else(|| malformed("visit", &key))?;
            Ok((ShopNumber(advertiser), read(&value, "visit")?))
        })
    }

    /// Returns whose cells there are, by jumping from one to the next.
    fn owners(&self) -> impl Iterator<Item = Result<Owner, StateError>> + '_ {
        let mut next = Some(vec![0]);
        std::iter::from_fn(move || {
            let entry = self.tables.cell.range(next.take()?..).next()?;
            let found = self.checked(entry.key()).and_then(|key| {
                let owner: Option<Owner> = key.first_chunk().copied();
                owner.ok_or_else(|| malformed("cell", &key))
            });
            if let Ok(owner) = &found {
                next = Some(after(*owner));
            }
            Some(found)
        })
    }
}

/// Returns the first key after those of an owner.
fn after(owner: Owner) -> Vec<u8> {
    let [family, number @ ..] = owner;
    match u32::from_be_bytes(number).checked_add(1) {
        Some(next) => [&[family], next.to_be_bytes().as_slice()].concat(),
        None => vec![family + 1],
    }
}
