//! What was in a cart or an order, so that two of the same content are told.

use std::time::Duration;

use minicbor::{Decode, Encode};
use types::cart::SameContent;
use types::order::Item;

/// How long the content of an order is remembered.
pub const CONTENT_KEPT: Duration = Duration::from_hours(48);

/// Names a content: lines in another order, or one article in two lines, are the same content.
///
/// A hash of 64 bits (FNV-1a) each: what is compared is a handful of contents of one person.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Encode, Decode)]
#[cbor(map)]
pub struct ContentKeys {
    /// By the articles.
    #[n(0)]
    articles: u64,
    /// By the articles and how many of each.
    #[n(1)]
    quantities: u64,
}

impl ContentKeys {
    /// Names a content. Nothing is a content like any other; see [`ContentKeys::is_same`].
    pub fn of(items: &[Item]) -> Self {
        let mut lines: Vec<(&str, u64)> = Vec::with_capacity(items.len());
        for item in items {
            match lines.iter_mut().find(|(sku, _)| *sku == &*item.sku) {
                Some((_, quantity)) => *quantity += u64::from(item.quantity),
                None => lines.push((&item.sku, item.quantity.into())),
            }
        }
        lines.sort_unstable();
        let mut articles = Fnv::default();
        let mut quantities = Fnv::default();
        for (sku, quantity) in lines {
            articles.text(sku);
            quantities.text(sku);
            quantities.bytes(&quantity.to_le_bytes());
        }
        Self {
            articles: articles.0,
            quantities: quantities.0,
        }
    }

    /// Returns whether two contents are the same, as a shop counts. Two that name no article never are.
    pub fn is_same(self, other: Self, same: SameContent) -> bool {
        let nothing = Fnv::default().0;
        self.articles != nothing
            && match same {
                SameContent::Articles => self.articles == other.articles,
                SameContent::ArticlesAndQuantities => self.quantities == other.quantities,
            }
    }
}

/// FNV-1a, 64 bits: it is stored, so it must never change.
pub(crate) struct Fnv(pub(crate) u64);

impl Default for Fnv {
    fn default() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }
}

impl Fnv {
    pub(crate) fn bytes(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
    }

    /// Adds a text, and where it ends.
    fn text(&mut self, text: &str) {
        self.bytes(text.as_bytes());
        self.bytes(&[0xff]);
    }
}
