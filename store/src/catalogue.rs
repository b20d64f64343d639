//! The catalogue as everyone reads it: one immutable snapshot, swapped whole.

use std::sync::Arc;

use arc_swap::ArcSwap;
use types::catalogue::Catalogue;
use types::event::CatalogueChanged;
use types::time::Timestamp;

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

    /// Puts the version in place that these changes make, for all who load from now on. Only one thread may do so, the
    /// runner of the catalogue's partition, and only once the changes are durable.
    pub fn apply(&self, changes: &[(CatalogueChanged, Timestamp)]) {
        if changes.is_empty() {
            return;
        }
        let mut next = Catalogue::clone(&self.0.load());
        for (change, at) in changes {
            next.apply(change, *at);
        }
        self.swap(Arc::new(next));
    }

    /// Puts a new version in place, for all who load from now on.
    pub fn swap(&self, catalogue: Arc<Catalogue>) {
        self.0.store(catalogue);
    }
}
