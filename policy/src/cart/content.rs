//! When two carts, or a cart and an order, have the same content.

use std::collections::BTreeMap;
use std::time::Duration;

use minicbor::{Decode, Encode};
use types::cart::SameContent;
use types::order::Item;
use types::time::Timestamp;

/// How long the contents of a person's orders are to be remembered: a second reminder is sent up to 48 hours after the
/// touch, and looks at orders up to 24 hours before the touch.
pub const CONTENT_KEPT: Duration = Duration::from_hours(72);

/// Names a content: a hash of its articles, without what they are called and cost. Kept, so it never changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Encode, Decode)]
#[cbor(transparent)]
pub struct ContentKey(#[n(0)] u64);

/// Returns the name of a content. The order of its lines does not matter, nor whether an article is on one line or two.
pub fn content_key(items: &[Item], same: SameContent) -> ContentKey {
    let mut articles: BTreeMap<&str, u64> = BTreeMap::new();
    for item in items {
        // A shop without article numbers has titles.
        let article = if item.sku.is_empty() { &*item.title } else { &*item.sku };
        let quantity = articles.entry(article).or_default();
        *quantity = quantity.saturating_add(item.quantity.into());
    }
    let mut hash = Fnv::default();
    for (article, quantity) in articles {
        hash.write(&u64::try_from(article.len()).unwrap_or(u64::MAX).to_be_bytes());
        hash.write(article.as_bytes());
        if same == SameContent::ArticlesAndQuantities {
            hash.write(&quantity.to_be_bytes());
        }
    }
    ContentKey(hash.0)
}

/// What an order contained, as it is remembered: by both ways of comparing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct OrderedContent {
    /// When it was ordered.
    #[n(0)]
    pub at: Timestamp,
    /// Its articles.
    #[n(1)]
    pub articles: ContentKey,
    /// Its articles with their quantities.
    #[n(2)]
    pub quantities: ContentKey,
}

impl OrderedContent {
    /// Takes the lines of an order; `None` if it has none: nothing is the same as nothing.
    pub fn of(items: &[Item], at: Timestamp) -> Option<Self> {
        (!items.is_empty()).then(|| Self {
            at,
            articles: content_key(items, SameContent::Articles),
            quantities: content_key(items, SameContent::ArticlesAndQuantities),
        })
    }

    /// Returns whether these lines are the same content.
    pub fn is_of(&self, items: &[Item], same: SameContent) -> bool {
        let own = match same {
            SameContent::Articles => self.articles,
            SameContent::ArticlesAndQuantities => self.quantities,
        };
        !items.is_empty() && content_key(items, same) == own
    }
}

/// FNV-1a of 64 bits (draft-eastlake-fnv): short, and the same for ever. Nobody gains by a collision: it would keep a
/// reminder from oneself.
struct Fnv(u64);

impl Default for Fnv {
    fn default() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }
}

impl Fnv {
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn items(lines: &[(&str, u32)]) -> Vec<Item> {
        let item = |(sku, quantity): &(&str, u32)| Item {
            sku: (*sku).try_into().unwrap(),
            title: "Shoes".try_into().unwrap(),
            quantity: *quantity,
            unit_price: 100,
            categories: Vec::new(),
        };
        lines.iter().map(item).collect()
    }

    fn check(a: &[(&str, u32)], b: &[(&str, u32)], same_articles: bool, same_quantities: bool) {
        for (same, expected) in [
            (SameContent::Articles, same_articles),
            (SameContent::ArticlesAndQuantities, same_quantities),
        ] {
            let equal = content_key(&items(a), same) == content_key(&items(b), same);
            assert_eq!(equal, expected, "{a:?} and {b:?} by {same:?}");
        }
    }

    #[test]
    fn the_same_articles_are_the_same_content() {
        check(&[("a", 1), ("b", 2)], &[("b", 2), ("a", 1)], true, true);
        check(&[("a", 1), ("b", 2)], &[("a", 1), ("b", 1)], true, false);
        check(&[("a", 1), ("a", 2)], &[("a", 3)], true, true);
        check(&[("a", 1)], &[("b", 1)], false, false);
        check(&[("a", 1)], &[("a", 1), ("b", 1)], false, false);
        check(&[("ab", 1), ("c", 1)], &[("a", 1), ("bc", 1)], false, false);
    }

    #[test]
    fn a_key_is_kept_and_so_never_changes() {
        let key = |same| content_key(&items(&[("b", 2), ("a", 1)]), same);
        assert_eq!(key(SameContent::Articles), ContentKey(KEPT[0]));
        assert_eq!(key(SameContent::ArticlesAndQuantities), ContentKey(KEPT[1]));
    }

    const KEPT: [u64; 2] = [0, 0];

    #[test]
    fn nothing_is_the_same_as_nothing() {
        assert_eq!(OrderedContent::of(&[], Timestamp::default()), None);
        let some = OrderedContent::of(&items(&[("a", 1)]), Timestamp::default()).unwrap();
        assert!(some.is_of(&items(&[("a", 9)]), SameContent::Articles));
        assert!(!some.is_of(&items(&[("a", 9)]), SameContent::ArticlesAndQuantities));
        assert!(!some.is_of(&[], SameContent::Articles));
    }
}
