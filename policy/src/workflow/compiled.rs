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
use crate::filter::{Cause, Filter, FilterError, Schema, Scope};

/// The step that is no step: where a jump leads to end.
pub(super) const END: &str = "end";

/// What it costs to see whether one of a contact's groups was deleted since: a name is copied and looked up.
const GROUP_STEPS: usize = 16;

/// How many names, values and operations all filters of a workflow may have together. A single filter of the greatest length has less;
/// fifty filters of ten comparisons have as many. That many are compiled in some milliseconds.
pub(super) const PARTS_MAX: usize = 2_000;

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
    parts: usize,
    /// Why none of its filters is compiled, if they are too many.
    fault: Option<String>,
}

/// A filter, or why it is none: a field that it names may have been deleted since. That is told when it is asked.
#[derive(Debug)]
pub(super) struct Asked {
    shop: ShopNumber,
    filter: Result<Filter, String>,
}

impl Asked {
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
        let asked = |error: FilterError| match error {
            // The cause comes first where the source would leave no place for it.
            FilterError::Spent(_) => Broke::at(step, &format!("{error}, at the filter `{}`", filter.source())),
            FilterError::WrongType { .. } | FilterError::NoCause(_) => {
                Broke::at(step, &format!("the filter `{}`: {error}", filter.source()))
            }
        };
        // How many groups there are, or which one a field names, is asked of those that were not deleted.
        if world.catalogue.groups_deleted(self.shop).next().is_some() {
            let steps = contact.groups().len().saturating_mul(GROUP_STEPS);
            world.steps.take(steps).map_err(asked)?;
            let groups = contact.groups().iter();
            seen = groups
                .filter(|group| is_in(contact, world, self.shop, group))
                .cloned()
                .collect();
            facts.groups = &seen;
        }
        filter.matches_within(&facts, world.steps).map_err(asked)
    }
}

/// Compiles the filters of one workflow.
struct Compiler<'a> {
    schema: &'a Schema,
    shop: ShopNumber,
    /// Of those that were compiled so far.
    parts: usize,
    /// Why nothing is compiled.
    fault: Option<String>,
}

impl Compiler<'_> {
    fn filter(&mut self, source: &str, scope: Scope) -> Asked {
        let shop = self.shop;
        let filter = match &self.fault {
            Some(fault) => Err(fault.clone()),
            None => Filter::compile(source, self.schema, scope).map_err(|faults| {
                let first = faults.first().map_or("not a filter", |fault| &fault.fault);
                format!("the filter `{source}`: {first}")
            }),
        };
        self.parts += filter.as_ref().map_or(0, Filter::parts);
        if self.parts > PARTS_MAX {
            let fault = format!("the filters of the workflow have more than {PARTS_MAX} parts together");
            self.fault.get_or_insert(fault);
        }
        Asked { shop, filter }
    }

    fn filters(&mut self, sources: &[String]) -> Vec<Asked> {
        sources
            .iter()
            .map(|source| self.filter(source, Scope::Contact))
            .collect()
    }
}

impl Compiled {
    /// Compiles a version of a workflow; `None` if there is no such version.
    pub fn of(workflow: &Workflow, version: u32, schema: &Schema) -> Option<Self> {
        let spec = workflow.versions.get(&version)?;
        let mut filters = Compiler {
            schema,
            shop: workflow.shop,
            parts: 0,
            fault: None,
        };
        let compiled = Self::by(&mut filters, workflow, version, spec);
        // Those that were compiled before the bound was passed are not asked either: half a workflow is none.
        Some(match &filters.fault {
            Some(_) => Self::by(&mut filters, workflow, version, spec),
            None => compiled,
        })
    }

    fn by(compiler: &mut Compiler<'_>, workflow: &Workflow, version: u32, spec: &Arc<WorkflowSpec>) -> Self {
        let optional = |compiler: &mut Compiler<'_>, source: &Option<String>, scope| {
            source.as_ref().map(|source| compiler.filter(source, scope))
        };
        let start = match &spec.start {
            Start::Order { filter } => optional(compiler, filter, Scope::Order),
            Start::Event { filter, .. } => optional(compiler, filter, Scope::Event),
            Start::Condition { filter, .. } => Some(compiler.filter(filter, Scope::Contact)),
            Start::Subscription { .. }
            | Start::Date { .. }
            | Start::Group { .. }
            | Start::Activity { .. }
            | Start::CartAbandoned { .. } => None,
        };
        let mut branches = HashMap::new();
        for step in &spec.steps {
            if let Step::Branch { id, filter, .. } = step {
                branches.insert(id.clone(), compiler.filter(filter, Scope::Contact));
            }
        }
        let (filters, not_filters) = (
            compiler.filters(&spec.who.filters),
            compiler.filters(&spec.who.not_filters),
        );
        let goal = optional(compiler, &spec.goal, Scope::Contact);
        let exit = optional(compiler, &spec.exit.filter, Scope::Contact);
        let steps = spec.steps.iter().enumerate();
        Self {
            number: workflow.number,
            id: workflow.id.clone(),
            version,
            shop: workflow.shop,
            start,
            filters,
            not_filters,
            goal,
            exit,
            branches,
            steps: steps.map(|(at, step)| (step.id().clone(), at)).collect(),
            spec: Arc::clone(spec),
            parts: compiler.parts,
            fault: compiler.fault.clone(),
        }
    }

    /// Tells why nobody may come in, if its filters are too many to be compiled.
    pub(super) fn can_be_asked(&self) -> Result<(), Broke> {
        match &self.fault {
            Some(fault) => Err(Broke::at(None, fault)),
            None => Ok(()),
        }
    }

    /// Returns how many names, values and operations were compiled.
    pub const fn parts(&self) -> usize {
        self.parts
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
