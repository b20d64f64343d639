//! One version of a workflow, ready to be asked.

use std::collections::HashMap;
use std::sync::Arc;

use types::calendar::{Wait, Zone};
use types::catalogue::Workflow;
use types::contact::FieldValue;
use types::id::{ShopNumber, WorkflowNumber};
use types::text::Slug;
use types::workflow::{Entry, Start, Step, WorkflowSpec, Yearly};

use super::filters::Filters;
use super::world::{Broke, World};
use crate::calendar::ResolvedZone;
use crate::contact::ContactState;
use crate::filter::Schema;

/// The step that is no step: where a jump leads to end.
pub(super) const END: &str = "end";

/// One version of a workflow, its filters compiled. Made once, when the version is first needed, and again when the shop's fields or
/// groups change.
#[derive(Debug)]
pub struct Compiled {
    pub(super) number: WorkflowNumber,
    pub(super) id: Slug,
    pub(super) version: u32,
    pub(super) shop: ShopNumber,
    pub(super) spec: Arc<WorkflowSpec>,
    pub(super) filters: Filters,
    /// Where each step stands.
    steps: HashMap<Slug, usize>,
}

impl Compiled {
    /// Compiles a version of a workflow; `None` if there is no such version.
    pub fn of(workflow: &Workflow, version: u32, schema: &Schema) -> Option<Self> {
        let spec = workflow.versions.get(&version)?;
        let steps = spec.steps.iter().enumerate();
        Some(Self {
            number: workflow.number,
            id: workflow.id.clone(),
            version,
            shop: workflow.shop,
            filters: Filters::of(spec, workflow.shop, schema),
            steps: steps.map(|(at, step)| (step.id().clone(), at)).collect(),
            spec: Arc::clone(spec),
        })
    }

    /// Returns how many names, values and operations were compiled.
    pub const fn parts(&self) -> usize {
        self.filters.parts()
    }

    /// Returns which workflow it is.
    pub const fn number(&self) -> WorkflowNumber {
        self.number
    }

    /// Returns which version it is.
    pub const fn version(&self) -> u32 {
        self.version
    }

    /// Returns the definition.
    pub const fn spec(&self) -> &Arc<WorkflowSpec> {
        &self.spec
    }

    /// Returns where a jump leads: behind the last step for the end, and for a step that there is not.
    pub(super) fn position(&self, step: &Slug) -> usize {
        self.steps.get(step).copied().unwrap_or(self.spec.steps.len())
    }

    pub(super) fn step(&self, id: &Slug) -> Option<(usize, &Step)> {
        let at = *self.steps.get(id)?;
        Some((at, self.spec.steps.get(at)?))
    }

    pub(super) fn has_sends(&self) -> bool {
        self.spec.steps.iter().any(|step| matches!(step, Step::Send { .. }))
    }

    /// Tells whether a contact is among those whom the workflow is for.
    pub(super) fn is_for(&self, contact: &ContactState, world: &World<'_>, step: Option<&Slug>) -> Result<bool, Broke> {
        let who = &self.spec.who;
        let is_in = |group: &Slug| is_in(contact, world, self.shop, group);
        if !(who.groups.is_empty() || who.groups.iter().any(is_in)) || who.not_groups.iter().any(is_in) {
            return Ok(false);
        }
        self.filters.admit(contact, world, step)
    }

    /// Returns how often a contact may enter. What comes each year comes once each year.
    pub(super) fn is_yearly(&self) -> bool {
        matches!(&self.spec.start, Start::Date { yearly, .. } if *yearly != Yearly::No)
    }

    pub(super) fn entry(&self) -> Entry {
        self.spec.entry
    }

    /// Returns the contact's zone: that of the workflow's field, else the contact's own, else the workflow's.
    pub(super) fn zone_of(&self, contact: &ContactState) -> Zone {
        let field = self
            .spec
            .zone_field
            .as_ref()
            .and_then(|field| contact.fields().get(field));
        let of_field = field.and_then(|value| match value {
            FieldValue::Text(text) => text.parse().ok(),
            _ => None,
        });
        of_field.or(contact.profile().zone).unwrap_or_else(|| self.zone())
    }

    /// Returns the zone of the workflow itself: of the active range, and of whom no zone is known.
    pub(super) fn zone(&self) -> Zone {
        self.spec.zone.unwrap_or_default()
    }

    pub(super) fn resolved_zone(&self, world: &World<'_>) -> ResolvedZone {
        world.zones.resolved(self.zone())
    }

    pub(super) fn late_after(&self) -> Wait {
        self.spec
            .late_after
            .unwrap_or_else(|| "1d".parse().expect("a wait of one day"))
    }
}

/// Tells whether a contact is in a group: not if the group was deleted since.
pub(super) fn is_in(contact: &ContactState, world: &World<'_>, shop: ShopNumber, group: &Slug) -> bool {
    contact.groups().contains(group) && world.catalogue.group(shop, group).is_some()
}

/// Returns the values of a contact's fields that the shop sees: not those of fields that were deleted since.
pub(super) fn fields_seen<'a>(
    contact: &'a ContactState,
    world: &World<'_>,
    shop: ShopNumber,
) -> impl Iterator<Item = (&'a Slug, &'a FieldValue)> {
    contact.fields().iter().filter(move |(id, value)| {
        let field = world.catalogue.field(shop, id);
        field.is_some_and(|field| field.kind == value.kind())
    })
}
