//! Where bad and ended links lead: the page of the shop whose host was asked.

use std::collections::HashMap;
use std::sync::Arc;

use arc_swap::ArcSwap;
use types::catalogue::Catalogue;
use types::text::HttpsUrl;

/// Shops' pages by tracking host, computed once per version of the catalogue.
#[derive(Default)]
pub(crate) struct SafePages(ArcSwap<Pages>);

#[derive(Default)]
struct Pages {
    catalogue: u64,
    by_host: HashMap<String, HttpsUrl>,
}

impl SafePages {
    /// Returns the page of the shop whose tracking host this is.
    pub(crate) fn of_host(&self, catalogue: &Catalogue, host: &str) -> Option<HttpsUrl> {
        let mut pages = self.0.load_full();
        if pages.catalogue != catalogue.version() {
            // Two requests may both do this after a change; the work is the same, and the last one stays.
            pages = Arc::new(Pages::of(catalogue));
            self.0.store(Arc::clone(&pages));
        }
        pages.by_host.get(&host.to_ascii_lowercase()).cloned()
    }
}

impl Pages {
    fn of(catalogue: &Catalogue) -> Self {
        let page = |shop: &Arc<types::catalogue::Shop>| {
            let host = shop.spec.tracking_host.as_ref()?;
            Some((host.to_ascii_lowercase(), shop.spec.url.clone()))
        };
        Self {
            catalogue: catalogue.version(),
            by_host: catalogue.shops().filter_map(page).collect(),
        }
    }
}
