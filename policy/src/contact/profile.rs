//! Who a contact is, as the shop says.

use types::calendar::Zone;
use types::locale::{Country, Language};
use types::text::Line;

/// Who a contact is: what the shop said of the person, or, where it said nothing, what came with an order or a cart.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Profile<'a> {
    /// How the person is called.
    pub name: Option<&'a Line<256>>,
    /// The BCP 47 tag.
    pub locale: Option<&'a Line<35>>,
    /// Where the person is.
    pub country: Option<Country>,
    /// The person's zone.
    pub zone: Option<Zone>,
    /// The person's number, E.164.
    pub phone: Option<&'a Line<32>>,
}

impl Profile<'_> {
    /// Returns the language of the locale, if it is one of ours.
    pub fn language(&self) -> Option<Language> {
        self.locale.and_then(|locale| Language::of_tag(locale))
    }
}
