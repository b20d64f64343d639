//! Shops, campaigns, templates and API keys, and the snapshot in which everyone reads them.
//!
//! The specs are the JSON documents that people `PUT`; they are journaled as they are. A [`Catalogue`] is one immutable
//! version of everything, made by folding catalogue events and swapped whole, so that a reader never sees half a change.

mod automation;
mod spec;

use std::collections::BTreeMap;
use std::collections::HashMap;
use std::sync::Arc;

use crate::event::CatalogueChanged;
use crate::id::{CampaignNumber, ShopNumber};
use crate::text::Slug;
use crate::time::Timestamp;

pub use automation::Workflow;
pub use spec::{
    ApiKey, CampaignSpec, CampaignState, Creative, DkimSignatures, Scope, Sender, ShopSpec, TemplateKind,
    TemplateSource, TemplateSpec,
};

/// A spec with what the catalogue added to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Versioned<Number, Spec> {
    /// The id under which it was put.
    pub id: Slug,
    /// Its short number; it keeps it for ever.
    pub number: Number,
    /// 1 at first, one more with every put.
    pub version: u32,
    /// When this version was put.
    pub changed_at: Timestamp,
    /// Whether it was deleted since; links in mails already sent go on working.
    pub deleted: bool,
    /// What was put.
    pub spec: Spec,
}

/// A shop in the catalogue.
pub type Shop = Versioned<ShopNumber, ShopSpec>;
/// A campaign in the catalogue.
pub type Campaign = Versioned<CampaignNumber, CampaignSpec>;
/// A template in the catalogue; its number is its shop's.
pub type Template = Versioned<ShopNumber, TemplateSpec>;

/// One immutable version of all shops, campaigns, templates and keys.
#[derive(Clone, Debug, Default)]
pub struct Catalogue {
    version: u64,
    shops: HashMap<Slug, Arc<Shop>>,
    shop_ids: HashMap<ShopNumber, Slug>,
    campaigns: BTreeMap<CampaignNumber, Arc<Campaign>>,
    campaign_numbers: HashMap<Slug, CampaignNumber>,
    templates: HashMap<(ShopNumber, Slug), Arc<Template>>,
    keys: HashMap<[u8; 32], Arc<ApiKey>>,
    automation: automation::Automation,
}

impl Catalogue {
    /// Returns how many changes made this version.
    pub const fn version(&self) -> u64 {
        self.version
    }

    /// Returns the shop put under `id`, unless deleted.
    pub fn shop(&self, id: &Slug) -> Option<&Arc<Shop>> {
        self.shops.get(id).filter(|shop| !shop.deleted)
    }

    /// Returns the shop put under `id`, deleted or not: links in old mails lead to its pages.
    pub fn shop_ever(&self, id: &Slug) -> Option<&Arc<Shop>> {
        self.shops.get(id)
    }

    /// Returns the shop with this number, deleted or not: tokens in old mails name it.
    pub fn shop_by_number(&self, number: ShopNumber) -> Option<&Arc<Shop>> {
        self.shops.get(self.shop_ids.get(&number)?)
    }

    /// Returns the shops that are not deleted, in no order.
    pub fn shops(&self) -> impl Iterator<Item = &Arc<Shop>> {
        self.shops.values().filter(|shop| !shop.deleted)
    }

    /// Returns the campaign put under `id`, unless deleted.
    pub fn campaign(&self, id: &Slug) -> Option<&Arc<Campaign>> {
        self.campaigns
            .get(self.campaign_numbers.get(id)?)
            .filter(|campaign| !campaign.deleted)
    }

    /// Returns the campaign put under `id`, deleted or not: an id, with its number, stays its first advertiser's.
    pub fn campaign_ever(&self, id: &Slug) -> Option<&Arc<Campaign>> {
        self.campaigns.get(self.campaign_numbers.get(id)?)
    }

    /// Returns the campaign with this number, deleted or not: tokens in old mails name it.
    pub fn campaign_by_number(&self, number: CampaignNumber) -> Option<&Arc<Campaign>> {
        self.campaigns.get(&number)
    }

    /// Returns the campaigns that are not deleted, by number.
    pub fn campaigns(&self) -> impl Iterator<Item = &Arc<Campaign>> {
        self.campaigns.values().filter(|campaign| !campaign.deleted)
    }

    /// Returns a shop's template, unless deleted.
    pub fn template(&self, shop: ShopNumber, id: &Slug) -> Option<&Arc<Template>> {
        self.templates
            .get(&(shop, id.clone()))
            .filter(|template| !template.deleted)
    }

    /// Returns a shop's templates that are not deleted, in no order.
    pub fn templates(&self, shop: ShopNumber) -> impl Iterator<Item = &Arc<Template>> {
        self.templates
            .values()
            .filter(move |template| template.number == shop && !template.deleted)
    }

    /// Returns the key with this SHA-256. The map's own look-up sees only hashes, so its timing tells nothing of keys;
    /// the caller still compares in constant time.
    pub fn key(&self, hash: &[u8; 32]) -> Option<&Arc<ApiKey>> {
        self.keys.get(hash)
    }

    /// Returns all keys of a shop, in no order.
    pub fn keys(&self, shop: &Slug) -> impl Iterator<Item = &Arc<ApiKey>> {
        self.keys.values().filter(move |key| key.shop == *shop)
    }

    /// Applies one change that happened at `at`. Applying the same changes in the same order gives the same catalogue.
    pub fn apply(&mut self, change: &CatalogueChanged, at: Timestamp) {
        self.version += 1;
        match change {
            CatalogueChanged::ShopPut { id, spec } => {
                let next = ShopNumber(u32::try_from(self.shops.len()).unwrap_or(u32::MAX).saturating_add(1));
                let (number, version) = self
                    .shops
                    .get(id)
                    .map_or((next, 1), |old| (old.number, old.version + 1));
                self.shop_ids.insert(number, id.clone());
                self.shops.insert(
                    id.clone(),
                    Arc::new(Versioned {
                        id: id.clone(),
                        number,
                        version,
                        changed_at: at,
                        deleted: false,
                        spec: spec.clone(),
                    }),
                );
            }
            CatalogueChanged::ShopDeleted { id } => {
                if let Some(shop) = self.shops.get_mut(id) {
                    Arc::make_mut(shop).delete(at);
                    self.keys.retain(|_, key| key.shop != *id);
                }
            }
            // Two shops that put the same new id at once: the first one's it is, as its number is in links already.
            CatalogueChanged::CampaignPut { id, spec }
                if self
                    .campaign_ever(id)
                    .is_some_and(|first| first.spec.advertiser != spec.advertiser) => {}
            CatalogueChanged::CampaignPut { id, spec } => {
                let next = CampaignNumber(
                    u32::try_from(self.campaigns.len())
                        .unwrap_or(u32::MAX)
                        .saturating_add(1),
                );
                let number = *self.campaign_numbers.entry(id.clone()).or_insert(next);
                let version = self.campaigns.get(&number).map_or(1, |old| old.version + 1);
                self.campaigns.insert(
                    number,
                    Arc::new(Versioned {
                        id: id.clone(),
                        number,
                        version,
                        changed_at: at,
                        deleted: false,
                        spec: spec.clone(),
                    }),
                );
            }
            CatalogueChanged::CampaignDeleted { id } => {
                if let Some(campaign) = self
                    .campaign_numbers
                    .get(id)
                    .and_then(|number| self.campaigns.get_mut(number))
                {
                    Arc::make_mut(campaign).delete(at);
                }
            }
            CatalogueChanged::TemplatePut { shop, id, spec } => {
                let version = self
                    .templates
                    .get(&(*shop, id.clone()))
                    .map_or(1, |old| old.version + 1);
                let template = Versioned {
                    id: id.clone(),
                    number: *shop,
                    version,
                    changed_at: at,
                    deleted: false,
                    spec: spec.clone(),
                };
                self.templates.insert((*shop, id.clone()), Arc::new(template));
            }
            CatalogueChanged::TemplateDeleted { shop, id } => {
                if let Some(template) = self.templates.get_mut(&(*shop, id.clone())) {
                    Arc::make_mut(template).delete(at);
                }
            }
            CatalogueChanged::KeyPut { key } => {
                self.keys.insert(key.hash, Arc::new(key.clone()));
            }
            CatalogueChanged::KeyRevoked { shop, id } => self.keys.retain(|_, key| key.shop != *shop || key.id != *id),
            CatalogueChanged::FieldPut { .. }
            | CatalogueChanged::FieldDeleted { .. }
            | CatalogueChanged::GroupPut { .. }
            | CatalogueChanged::GroupDeleted { .. }
            | CatalogueChanged::WorkflowPut { .. }
            | CatalogueChanged::WorkflowSwitched { .. }
            | CatalogueChanged::WorkflowDeleted { .. }
            | CatalogueChanged::CartsPut { .. } => self.automation.apply(change, self.version, at),
        }
    }
}

impl<Number, Spec> Versioned<Number, Spec> {
    fn delete(&mut self, at: Timestamp) {
        self.deleted = true;
        self.changed_at = at;
        self.version += 1;
    }
}
