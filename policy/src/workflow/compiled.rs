//! One version of a workflow, ready to be asked.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use types::calendar::{Wait, Zone};
use types::catalogue::Workflow;
use types::contact::FieldValue;
use types::id::{ShopNumber, WorkflowNumber};
use types::text::Slug;
use types::workflow::{Entry, Start, Step, WorkflowSpec, Yearly};

use super::world::{Broke, World};
use crate::calendar::ResolvedZone;
use crate::contact::ContactState;
use crate::filter::{Cause, Filter, Schema, Scope};

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
    pub(super) start: Option<Asked>,
    filters: Vec<Asked>,
    not_filters: Vec<Asked>,
    pub(super) goal: Option<Asked>,
    pub(super) exit: Option<Asked>,
    /// By the branch's id.
    branches: HashMap<Slug, Asked>,
    /// Where each step stands.
    steps: HashMap<Slug, usize>,
}

/// A filter, or why it is none: a field that it names may have been deleted since. That is told when it is asked.
#[derive(Debug)]
pub(super) struct Asked {
    shop: ShopNumber,
    filter: Result<Filter, String>,
}

impl Asked {
    fn of(source: &str, schema: &Schema, shop: ShopNumber, scope: Scope) -> Self {
        let filter = Filter::compile(source, schema, scope).map_err(|faults| {
            let first = faults.first().map_or("not a filter", |fault| &fault.fault);
            format!("the filter `{source}`: {first}")
        });
        Self { shop, filter }
    }

    /// Tells whether a contact satisfies it.
    pub(super) fn holds(
        &self,
        contact: &ContactState,
        world: &World<'_>,
        cause: Cause<'_>,
        step: Option<&Slug>,
    ) -> Result<bool, Broke> {
        let filter = self.filter.as_ref().map_err(|fault| Broke::at(step, fault))?;
        let mut facts = contact.facts(world.now, cause);
        let seen: BTreeSet<Slug>;
        // How many groups there are, or which one a field names, is asked of those that were not deleted.
        if world.catalogue.groups_deleted(self.shop).next().is_some() {
            let groups = contact.groups().iter();
            seen = groups
                .filter(|group| is_in(contact, world, self.shop, group))
                .cloned()
                .collect();
            facts.groups = &seen;
        }
        filter
            .matches(&facts)
            .map_err(|error| Broke::at(step, &format!("the filter `{}`: {error}", filter.source())))
    }
}

impl Compiled {
    /// Compiles a version of a workflow; `None` if there is no such version.
    pub fn of(workflow: &Workflow, version: u32, schema: &Schema) -> Option<Self> {
        let spec = Arc::clone(workflow.versions.get(&version)?);
        let contact = |source: &String| Asked::of(source, schema, workflow.shop, Scope::Contact);
        let start = match &spec.start {
            Start::Order { filter } => filter
                .as_ref()
                .map(|source| Asked::of(source, schema, workflow.shop, Scope::Order)),
            Start::Event { filter, .. } => filter
                .as_ref()
                .map(|source| Asked::of(source, schema, workflow.shop, Scope::Event)),
            Start::Condition { filter, .. } => Some(contact(filter)),
            Start::Subscription { .. }
            | Start::Date { .. }
            | Start::Group { .. }
            | Start::Activity { .. }
            | Start::CartAbandoned { .. } => None,
        };
        let branches = spec.steps.iter().filter_map(|step| match step {
            Step::Branch { id, filter, .. } => Some((id.clone(), contact(filter))),
            _ => None,
        });
        Some(Self {
            number: workflow.number,
            id: workflow.id.clone(),
            version,
            shop: workflow.shop,
            start,
            filters: spec.who.filters.iter().map(contact).collect(),
            not_filters: spec.who.not_filters.iter().map(contact).collect(),
            goal: spec.goal.as_ref().map(contact),
            exit: spec.exit.filter.as_ref().map(contact),
            branches: branches.collect(),
            steps: spec
                .steps
                .iter()
                .enumerate()
                .map(|(at, step)| (step.id().clone(), at))
                .collect(),
            spec,
        })
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
    pub fn spec(&self) -> &WorkflowSpec {
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

    pub(super) fn branch(&self, id: &Slug) -> Option<&Asked> {
        self.branches.get(id)
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
        let any = |filters: &[Asked]| {
            for filter in filters {
                if filter.holds(contact, world, Cause::None, step)? {
                    return Ok(true);
                }
            }
            Ok(false)
        };
        Ok((self.filters.is_empty() || any(&self.filters)?) && !any(&self.not_filters)?)
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
        of_field.or(contact.zone()).unwrap_or_else(|| self.zone())
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
