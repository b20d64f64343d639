//! `track(url)`: a link of a message that the tracker follows, where it may.

use std::fmt;
use std::sync::Arc;

use minijinja::value::{Object, from_args};
use minijinja::{Error, State, Value};
use types::catalogue::Shop;
use types::text::percent_encode;

/// Turns pages of the shop's own site into links that the tracker follows.
///
/// A page elsewhere is left as it is, since the tracker leads to no other; so is every page where nobody is followed.
#[derive(Clone, Default)]
pub struct Track(Option<Followed>);

#[derive(Clone)]
struct Followed {
    shop: Arc<Shop>,
    link: String,
}

impl Track {
    /// Leaves every page as it is.
    pub const fn nothing() -> Self {
        Self(None)
    }

    /// Follows the shop's own pages by `link`, a click link of the tracker.
    pub const fn with(shop: Arc<Shop>, link: String) -> Self {
        Self(Some(Followed { shop, link }))
    }

    /// Returns the link that leads to a page.
    pub fn link(&self, page: &str) -> String {
        let followed = self
            .0
            .as_ref()
            .filter(|followed| followed.shop.spec.own_page(page).is_some());
        let Some(Followed { link, .. }) = followed else {
            return page.to_owned();
        };
        let mut link = format!("{link}?to=");
        percent_encode(page, &mut link);
        link
    }

    /// Returns the function that templates call.
    pub(super) fn function(&self) -> Value {
        Value::from_object(self.clone())
    }
}

impl fmt::Debug for Track {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let link = self.0.as_ref().map(|followed| &followed.link);
        f.debug_tuple("Track").field(&link).finish()
    }
}

impl Object for Track {
    fn call(self: &Arc<Self>, _state: &mut State<'_, '_>, arguments: &[Value]) -> Result<Value, Error> {
        let (page,): (&str,) = from_args(arguments)?;
        Ok(Value::from(self.link(page)))
    }
}
