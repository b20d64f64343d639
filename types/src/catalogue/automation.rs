//! What the catalogue knows of contacts, workflows and carts: their fields and groups, definitions and settings.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use crate::cart::CartSpec;
use crate::contact::{FieldSpec, GroupSpec};
use crate::event::CatalogueChanged;
use crate::id::{ShopNumber, WorkflowNumber};
use crate::text::Slug;
use crate::time::Timestamp;
use crate::workflow::{Enrol, WorkflowSpec, WorkflowState};

/// A workflow with all versions that somebody may still be in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Workflow {
    /// Its short number; it keeps it for ever, and a deleted one's id gets a new one.
    pub number: WorkflowNumber,
    /// Whose it is.
    pub shop: ShopNumber,
    /// The id under which it was put.
    pub id: Slug,
    /// Whether it runs.
    pub state: WorkflowState,
    /// The newest version; 1 as long as it never ran.
    pub version: u32,
    /// Every version, by its number.
    pub versions: BTreeMap<u32, Arc<WorkflowSpec>>,
    /// When its definition or its state changed last.
    pub changed_at: Timestamp,
    /// When it was last switched on, having been off or a draft.
    pub activated_at: Option<Timestamp>,
    /// The version of the catalogue that did it; 0 if it never was.
    pub activation: u64,
    /// Whom that took in.
    pub enrol: Enrol,
    /// Whether it was deleted since.
    pub deleted: bool,
}

impl Workflow {
    /// Returns the newest definition.
    pub fn spec(&self) -> &Arc<WorkflowSpec> {
        self.versions.get(&self.version).expect("the newest version is kept")
    }
}

/// The part of a catalogue that is about contacts, workflows and carts.
#[derive(Clone, Debug, Default)]
pub(super) struct Automation {
    fields: BTreeMap<(ShopNumber, Slug), Arc<FieldSpec>>,
    groups: BTreeMap<(ShopNumber, Slug), Arc<GroupSpec>>,
    /// Fields and groups that were deleted: contacts may still hold what was kept under them, so their ids are not used again.
    fields_deleted: BTreeSet<(ShopNumber, Slug)>,
    groups_deleted: BTreeSet<(ShopNumber, Slug)>,
    /// By which version of the catalogue a shop's filters came to see other fields or groups than before.
    named: HashMap<ShopNumber, u64>,
    workflows: BTreeMap<WorkflowNumber, Arc<Workflow>>,
    /// Numbers of the workflows that are not deleted.
    workflow_ids: BTreeMap<(ShopNumber, Slug), WorkflowNumber>,
    carts: HashMap<ShopNumber, Arc<CartSpec>>,
}

impl super::Catalogue {
    /// Returns a shop's field, unless deleted.
    pub fn field(&self, shop: ShopNumber, id: &Slug) -> Option<&Arc<FieldSpec>> {
        self.automation.fields.get(&(shop, id.clone()))
    }

    /// Returns a shop's fields by id.
    pub fn fields(&self, shop: ShopNumber) -> impl Iterator<Item = (&Slug, &Arc<FieldSpec>)> {
        of_shop(&self.automation.fields, shop)
    }

    /// Returns the ids of the fields that a shop deleted: no field is put under them again, since contacts may still have values there.
    pub fn fields_deleted(&self, shop: ShopNumber) -> impl Iterator<Item = &Slug> {
        ids_of_shop(&self.automation.fields_deleted, shop)
    }

    /// Returns the ids of the groups that a shop deleted: no group is put under them again, since contacts may still be in there.
    pub fn groups_deleted(&self, shop: ShopNumber) -> impl Iterator<Item = &Slug> {
        ids_of_shop(&self.automation.groups_deleted, shop)
    }

    /// Returns the version of the catalogue in which a shop got or lost a field or group last; 0 if it never did. What was compiled of its
    /// filters stays right as long as this stays the same.
    pub fn names_version(&self, shop: ShopNumber) -> u64 {
        self.automation.named.get(&shop).copied().unwrap_or_default()
    }

    /// Returns a shop's group, unless deleted.
    pub fn group(&self, shop: ShopNumber, id: &Slug) -> Option<&Arc<GroupSpec>> {
        self.automation.groups.get(&(shop, id.clone()))
    }

    /// Returns a shop's groups by id.
    pub fn groups(&self, shop: ShopNumber) -> impl Iterator<Item = (&Slug, &Arc<GroupSpec>)> {
        of_shop(&self.automation.groups, shop)
    }

    /// Returns a shop's workflow, unless deleted.
    pub fn workflow(&self, shop: ShopNumber, id: &Slug) -> Option<&Arc<Workflow>> {
        let number = self.automation.workflow_ids.get(&(shop, id.clone()))?;
        self.automation.workflows.get(number)
    }

    /// Returns a shop's workflows that are not deleted, by id.
    pub fn workflows(&self, shop: ShopNumber) -> impl Iterator<Item = &Arc<Workflow>> {
        of_shop(&self.automation.workflow_ids, shop).filter_map(|(_, number)| self.automation.workflows.get(number))
    }

    /// Returns all workflows of all shops, deleted or not, by number.
    pub fn all_workflows(&self) -> impl Iterator<Item = &Arc<Workflow>> {
        self.automation.workflows.values()
    }

    /// Returns the workflow with this number, deleted or not: instances name it.
    pub fn workflow_by_number(&self, number: WorkflowNumber) -> Option<&Arc<Workflow>> {
        self.automation.workflows.get(&number)
    }

    /// Returns how a shop reminds of carts, if it said so.
    pub fn carts(&self, shop: ShopNumber) -> Option<&Arc<CartSpec>> {
        self.automation.carts.get(&shop)
    }
}

fn of_shop<T>(map: &BTreeMap<(ShopNumber, Slug), T>, shop: ShopNumber) -> impl Iterator<Item = (&Slug, &T)> {
    map.range((shop, least())..)
        .take_while(move |((of, _), _)| *of == shop)
        .map(|((_, id), value)| (id, value))
}

fn ids_of_shop(set: &BTreeSet<(ShopNumber, Slug)>, shop: ShopNumber) -> impl Iterator<Item = &Slug> {
    set.range((shop, least())..)
        .take_while(move |(of, _)| *of == shop)
        .map(|(_, id)| id)
}

/// Returns the slug that none is less than: it starts with a letter or a digit.
fn least() -> Slug {
    Slug::try_from("0").expect("a slug")
}

impl Automation {
    /// Applies one change that made `version` of the catalogue. Others are none of its business.
    pub(super) fn apply(&mut self, change: &CatalogueChanged, version: u64, at: Timestamp) {
        match change {
            CatalogueChanged::FieldPut { shop, id, spec } => {
                let key = (*shop, id.clone());
                // Two puts at once, or one beside a deletion, must not show values as what they are not.
                let fits = self.fields.get(&key).is_none_or(|before| before.kind == spec.kind);
                if fits
                    && !self.fields_deleted.contains(&key)
                    && self.fields.insert(key, Arc::new(spec.clone())).is_none()
                {
                    self.named.insert(*shop, version);
                }
            }
            CatalogueChanged::FieldDeleted { shop, id } => {
                let key = (*shop, id.clone());
                if self.fields.remove(&key).is_some() {
                    self.named.insert(*shop, version);
                    self.fields_deleted.insert(key);
                }
            }
            CatalogueChanged::GroupPut { shop, id, spec } => {
                let key = (*shop, id.clone());
                if !self.groups_deleted.contains(&key) && self.groups.insert(key, Arc::new(spec.clone())).is_none() {
                    self.named.insert(*shop, version);
                }
            }
            CatalogueChanged::GroupDeleted { shop, id } => {
                let key = (*shop, id.clone());
                if self.groups.remove(&key).is_some() {
                    self.named.insert(*shop, version);
                    self.groups_deleted.insert(key);
                }
            }
            CatalogueChanged::WorkflowPut { shop, id, spec } => self.put(*shop, id, spec, at),
            CatalogueChanged::WorkflowSwitched { shop, id, state, enrol } => {
                self.change(*shop, id, |workflow| {
                    if *state == WorkflowState::On && workflow.state != WorkflowState::On {
                        workflow.activated_at = Some(at);
                        workflow.activation = version;
                        workflow.enrol = *enrol;
                    }
                    workflow.state = *state;
                    workflow.changed_at = at;
                });
            }
            CatalogueChanged::WorkflowDeleted { shop, id } => {
                self.change(*shop, id, |workflow| {
                    workflow.deleted = true;
                    workflow.state = WorkflowState::Off;
                    workflow.changed_at = at;
                });
                self.workflow_ids.remove(&(*shop, id.clone()));
            }
            CatalogueChanged::CartsPut { shop, spec } => {
                self.carts.insert(*shop, Arc::new(spec.clone()));
            }
            _ => {}
        }
    }

    fn put(&mut self, shop: ShopNumber, id: &Slug, spec: &WorkflowSpec, at: Timestamp) {
        let known = self.change(shop, id, |workflow| {
            if workflow.state != WorkflowState::Draft {
                workflow.version += 1;
            }
            workflow.versions.insert(workflow.version, Arc::new(spec.clone()));
            workflow.changed_at = at;
        });
        if known {
            return;
        }
        let number = WorkflowNumber(
            u32::try_from(self.workflows.len())
                .unwrap_or(u32::MAX)
                .saturating_add(1),
        );
        self.workflow_ids.insert((shop, id.clone()), number);
        let workflow = Workflow {
            number,
            shop,
            id: id.clone(),
            state: WorkflowState::Draft,
            version: 1,
            versions: BTreeMap::from([(1, Arc::new(spec.clone()))]),
            changed_at: at,
            activated_at: None,
            activation: 0,
            enrol: Enrol::Future,
            deleted: false,
        };
        self.workflows.insert(number, Arc::new(workflow));
    }

    fn change(&mut self, shop: ShopNumber, id: &Slug, change: impl FnOnce(&mut Workflow)) -> bool {
        let number = self.workflow_ids.get(&(shop, id.clone()));
        match number.and_then(|number| self.workflows.get_mut(number)) {
            Some(workflow) => {
                change(Arc::make_mut(workflow));
                true
            }
            None => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Catalogue;
    use super::*;
    use crate::contact::FieldType;

    const SHOP: ShopNumber = ShopNumber(1);

    fn id() -> Slug {
        "age".try_into().expect("a slug")
    }

    fn field(kind: FieldType) -> CatalogueChanged {
        let spec = FieldSpec { kind, label: None };
        let (shop, id) = (SHOP, id());
        CatalogueChanged::FieldPut { shop, id, spec }
    }

    fn after(changes: &[CatalogueChanged]) -> Catalogue {
        let mut catalogue = Catalogue::default();
        for change in changes {
            catalogue.apply(change, Timestamp::from_millis(0));
        }
        catalogue
    }

    #[test]
    fn what_was_deleted_does_not_come_back_under_its_id() {
        let group = CatalogueChanged::GroupPut {
            shop: SHOP,
            id: id(),
            spec: GroupSpec {
                name: "Age".try_into().expect("a name"),
            },
        };
        let catalogue = after(&[
            field(FieldType::Number),
            group.clone(),
            CatalogueChanged::FieldDeleted { shop: SHOP, id: id() },
            CatalogueChanged::GroupDeleted { shop: SHOP, id: id() },
            field(FieldType::Text),
            group,
        ]);
        assert_eq!(catalogue.field(SHOP, &id()), None);
        assert_eq!(catalogue.group(SHOP, &id()), None);
        assert_eq!(catalogue.fields_deleted(SHOP).collect::<Vec<_>>(), [&id()]);
        assert_eq!(catalogue.groups_deleted(SHOP).collect::<Vec<_>>(), [&id()]);
        assert_eq!(catalogue.fields_deleted(ShopNumber(2)).count(), 0);
    }

    #[test]
    fn only_a_shops_own_new_and_deleted_fields_and_groups_are_new_names_for_its_filters() {
        let mut catalogue = after(&[field(FieldType::Number)]);
        assert_eq!(catalogue.names_version(SHOP), 1);
        let group = |shop, name: &str| CatalogueChanged::GroupPut {
            shop,
            id: id(),
            spec: GroupSpec {
                name: name.try_into().expect("a name"),
            },
        };
        let deleted = CatalogueChanged::GroupDeleted { shop: SHOP, id: id() };
        for (change, expected) in [
            (group(ShopNumber(2), "Age"), 1),
            (field(FieldType::Number), 1),
            (field(FieldType::Text), 1),
            (group(SHOP, "Age"), 5),
            (group(SHOP, "Ages"), 5),
            (deleted.clone(), 7),
            (deleted, 7),
            (group(SHOP, "Age"), 7),
            (CatalogueChanged::FieldDeleted { shop: SHOP, id: id() }, 10),
        ] {
            catalogue.apply(&change, Timestamp::from_millis(0));
            assert_eq!(catalogue.names_version(SHOP), expected, "{change:?}");
        }
        assert_eq!(catalogue.names_version(ShopNumber(2)), 2);
        assert_eq!(catalogue.names_version(ShopNumber(3)), 0);
    }

    #[test]
    fn a_field_keeps_the_type_that_it_was_first_put_with() {
        let catalogue = after(&[field(FieldType::Number), field(FieldType::Text)]);
        let kept = catalogue.field(SHOP, &id()).map(|spec| spec.kind);
        assert_eq!(kept, Some(FieldType::Number));
    }
}
