//! The catalogue as everyone reads it: one immutable snapshot, swapped whole.

use std::sync::Arc;

use arc_swap::ArcSwap;
use types::catalogue::Catalogue;

/// Where the current catalogue is read from. The runner of the catalogue's partition swaps it once a change is durable.
#[derive(Debug, Default)]
pub struct CatalogueHandle(ArcSwap<Catalogue>);

impl CatalogueHandle {
    pub(crate) fn new(catalogue: Arc<Catalogue>) -> Self {
        Self(ArcSwap::new(catalogue))
    }

    /// Returns the current version.
    pub fn load(&self) -> Arc<Catalogue> {
        self.0.load_full()
    }

    /// Puts a new version in place, for all who load from now on.
    pub fn swap(&self, catalogue: Arc<Catalogue>) {
        self.0.store(catalogue);
    }
}
