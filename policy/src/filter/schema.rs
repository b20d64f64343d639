//! What a filter of one shop may name.

use std::collections::{BTreeMap, BTreeSet};

use types::catalogue::Catalogue;
use types::contact::FieldType;
use types::id::ShopNumber;
use types::text::Slug;

/// A shop's fields, by their types, and its groups.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Schema {
    /// Every field, with what its values are.
    pub fields: BTreeMap<Slug, FieldType>,
    /// Every group.
    pub groups: BTreeSet<Slug>,
}

impl Schema {
    /// Returns what this shop's filters may name by this catalogue.
    pub fn of(catalogue: &Catalogue, shop: ShopNumber) -> Self {
        Self {
            fields: catalogue
                .fields(shop)
                .map(|(id, spec)| (id.clone(), spec.kind))
                .collect(),
            groups: catalogue.groups(shop).map(|(id, _)| id.clone()).collect(),
        }
    }
}

/// Which variables a filter sees beside the contact's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scope {
    /// None.
    Contact,
    /// `order`: the order that brings the contact in.
    Order,
    /// `event`: the event that brings the contact in.
    Event,
}
