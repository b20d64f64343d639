//! Workflows that are kept compiled: as long as what they were compiled from is the same, whatever else of the catalogue changes.

use std::collections::HashMap;
use std::sync::Arc;

use foldhash::fast::FixedState;
use policy::filter::Schema;
use policy::workflow::Compiled;
use types::catalogue::Catalogue;
use types::id::WorkflowNumber;

/// Versions of workflows that are kept compiled; when there are more, all are forgotten and made anew as they are needed.
const COMPILED_MAX: usize = 4096;

/// What compiling one name, value or operation of a filter costs, in steps of answering one.
const PART_STEPS: u64 = 200;

/// The compiled workflows of one runner.
#[derive(Debug, Default)]
pub(super) struct Shelf {
    /// Each with the version of its shop's fields and groups.
    kept: HashMap<(WorkflowNumber, u32), (u64, Arc<Compiled>), FixedState>,
    /// What was compiled so far has cost so many steps.
    steps: u64,
}

impl Shelf {
    /// Returns a version of a workflow, compiled for this catalogue.
    pub(super) fn take(
        &mut self,
        catalogue: &Arc<Catalogue>,
        number: WorkflowNumber,
        version: u32,
    ) -> Option<Arc<Compiled>> {
        let workflow = catalogue.workflow_by_number(number)?;
        let (names, spec) = (catalogue.names_version(workflow.shop), workflow.versions.get(&version)?);
        let key = (number, version);
        // A draft is put anew under the same version, so the definition itself is compared too.
        if let Some((of, compiled)) = self.kept.get(&key)
            && *of == names
            && Arc::ptr_eq(compiled.spec(), spec)
        {
            return Some(Arc::clone(compiled));
        }
        let schema = Schema::of(catalogue, workflow.shop);
        let compiled = Arc::new(Compiled::of(workflow, version, &schema)?);
        let parts = u64::try_from(compiled.parts()).unwrap_or(u64::MAX);
        self.steps = self.steps.saturating_add(parts.saturating_mul(PART_STEPS));
        if self.kept.len() >= COMPILED_MAX {
            self.kept.clear();
        }
        self.kept.insert(key, (names, Arc::clone(&compiled)));
        Some(compiled)
    }

    /// Returns what was compiled so far, in steps.
    pub(super) const fn steps(&self) -> u64 {
        self.steps
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};
    use types::event::CatalogueChanged;
    use types::id::ShopNumber;
    use types::time::Timestamp;
    use types::workflow::{Enrol, WorkflowState};

    use super::*;

    const OWN: ShopNumber = ShopNumber(1);
    const OTHER: ShopNumber = ShopNumber(2);
    const WORKFLOW: WorkflowNumber = WorkflowNumber(1);

    fn read<T: serde::de::DeserializeOwned>(json: Value) -> T {
        serde_json::from_value(json).unwrap()
    }

    fn field(shop: ShopNumber, id: &str) -> CatalogueChanged {
        let (id, spec) = (id.try_into().unwrap(), read(json!({ "type": "number" })));
        CatalogueChanged::FieldPut { shop, id, spec }
    }

    fn group(shop: ShopNumber, name: &str) -> CatalogueChanged {
        let (id, spec) = ("club".try_into().unwrap(), read(json!({ "name": name })));
        CatalogueChanged::GroupPut { shop, id, spec }
    }

    fn workflow(goal: &str) -> CatalogueChanged {
        CatalogueChanged::WorkflowPut {
            shop: OWN,
            id: "welcome".try_into().unwrap(),
            spec: Box::new(read(json!({
                "name": "Welcome", "start": { "on": "subscription" }, "goal": goal,
                "steps": [{ "do": "exit", "id": "out" }],
            }))),
        }
    }

    fn after(catalogue: &Catalogue, change: &CatalogueChanged) -> Arc<Catalogue> {
        let mut catalogue = catalogue.clone();
        catalogue.apply(change, Timestamp::from_millis(0));
        Arc::new(catalogue)
    }

    /// Returns how many steps compiling it again costs after a change.
    fn again(changes: &[CatalogueChanged], change: &CatalogueChanged) -> u64 {
        let mut catalogue = Arc::new(Catalogue::default());
        for before in changes {
            catalogue = after(&catalogue, before);
        }
        let mut shelf = Shelf::default();
        let first = shelf.take(&catalogue, WORKFLOW, 1).unwrap();
        let once = shelf.steps();
        assert!(Arc::ptr_eq(&first, &shelf.take(&catalogue, WORKFLOW, 1).unwrap()));
        shelf.take(&after(&catalogue, change), WORKFLOW, 1).unwrap();
        shelf.steps() - once
    }

    #[test]
    fn only_what_a_workflow_is_made_from_has_it_compiled_again() {
        let begin = [field(OWN, "points"), group(OWN, "Club"), workflow("fields.points > 1")];
        for change in [
            field(OTHER, "points"),
            group(OTHER, "Club"),
            // Names for people, and what else there is, are not what filters see.
            group(OWN, "The club"),
            field(OWN, "points"),
            CatalogueChanged::WorkflowSwitched {
                shop: OWN,
                id: "welcome".try_into().unwrap(),
                state: WorkflowState::On,
                enrol: Enrol::Future,
            },
            CatalogueChanged::CartsPut {
                shop: OWN,
                spec: read(json!({ "mode": "off", "languages": ["it"], "time_zone": "Europe/Rome" })),
            },
        ] {
            assert_eq!(again(&begin, &change), 0, "{change:?}");
        }
        for change in [
            field(OWN, "age"),
            CatalogueChanged::GroupDeleted {
                shop: OWN,
                id: "club".try_into().unwrap(),
            },
            workflow("fields.points > 2"),
        ] {
            assert_eq!(again(&begin, &change), 3 * PART_STEPS, "{change:?}");
        }
    }
}
