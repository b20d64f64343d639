//! The desk of the catalogue's changes. Readers see a change when it is durable.

use store::StateError;
use store::Store;
use store::state::{CataloguePut, Put};
use types::event::{CatalogueChanged, Event};
use types::time::Timestamp;

use crate::desk::{Desk, Entry, Settled, Told};

/// The changes of the running turn.
pub(crate) struct Changes {
    /// How many changes the catalogue has had.
    sequence: u64,
    made: Vec<(CatalogueChanged, Timestamp)>,
    puts: Vec<Put>,
}

impl Changes {
    pub(crate) fn new(store: &Store) -> Self {
        Self {
            sequence: store.catalogue().load().version(),
            made: Vec::new(),
            puts: Vec::new(),
        }
    }

    /// Takes the changes, to be applied to the shared catalogue once they are durable.
    pub(crate) fn take(&mut self) -> Vec<(CatalogueChanged, Timestamp)> {
        std::mem::take(&mut self.made)
    }
}

impl Desk for Changes {
    fn apply(&mut self, entry: &Entry<'_>, _: &mut Told) -> Result<(), StateError> {
        if let Event::CatalogueChanged(change) = entry.event {
            self.sequence += 1;
            self.puts.push(Put::Catalogue(CataloguePut {
                sequence: self.sequence,
                wall: entry.wall,
                payload: entry.payload.clone(),
            }));
            self.made.push(((**change).clone(), entry.wall));
        }
        Ok(())
    }

    fn settle(&mut self, _: u64, settled: &mut Settled) {
        settled.puts.append(&mut self.puts);
    }
}
