//! The filters of a workflow, compiled together within one bound.

use std::collections::{BTreeSet, HashMap};

use types::id::ShopNumber;
use types::text::Slug;
use types::workflow::{Start, Step, WorkflowSpec};

use super::compiled::is_in;
use super::world::{Broke, World};
use crate::contact::ContactState;
use crate::filter::{Cause, Filter, FilterError, Schema, Scope};

/// What it costs to see whether one of a contact's groups was deleted since: a name is copied and looked up.
const GROUP_STEPS: usize = 16;

/// How many names, values and operations all filters of a workflow may have together. A single filter of the greatest length has less;
/// fifty filters of ten comparisons have as many. That many are compiled in some milliseconds.
pub(super) const PARTS_MAX: usize = 2_000;

/// All filters of one version of a workflow.
#[derive(Debug)]
pub(super) struct Filters {
    pub(super) start: Option<Asked>,
    /// Of whom one has to hold, if there are any.
    who: Vec<Asked>,
    /// Of whom none may hold.
    not_who: Vec<Asked>,
    pub(super) goal: Option<Asked>,
    pub(super) exit: Option<Asked>,
    /// By the branch's id.
    branches: HashMap<Slug, Asked>,
    parts: usize,
    /// Why none of them is compiled, if they are too many.
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

impl Filters {
    /// Compiles the filters of a definition.
    pub(super) fn of(spec: &WorkflowSpec, shop: ShopNumber, schema: &Schema) -> Self {
        let mut compiler = Compiler {
            schema,
            shop,
            parts: 0,
            fault: None,
        };
        let filters = Self::by(&mut compiler, spec);
        // Those that were compiled before the bound was passed are not asked either: half a workflow is none.
        match &compiler.fault {
            Some(_) => Self::by(&mut compiler, spec),
            None => filters,
        }
    }

    fn by(compiler: &mut Compiler<'_>, spec: &WorkflowSpec) -> Self {
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
        let (who, not_who) = (
            compiler.filters(&spec.who.filters),
            compiler.filters(&spec.who.not_filters),
        );
        let goal = optional(compiler, &spec.goal, Scope::Contact);
        let exit = optional(compiler, &spec.exit.filter, Scope::Contact);
        Self {
            start,
            who,
            not_who,
            goal,
            exit,
            branches,
            parts: compiler.parts,
            fault: compiler.fault.clone(),
        }
    }

    /// Tells why nobody may come in, if they are too many to be compiled.
    pub(super) fn can_be_asked(&self) -> Result<(), Broke> {
        match &self.fault {
            Some(fault) => Err(Broke::at(None, fault)),
            None => Ok(()),
        }
    }

    /// Returns how many names, values and operations were compiled.
    pub(super) const fn parts(&self) -> usize {
        self.parts
    }

    pub(super) fn branch(&self, id: &Slug) -> Option<&Asked> {
        self.branches.get(id)
    }

    /// Tells whether a contact is among those whom the workflow is for, as far as filters say.
    pub(super) fn admit(&self, contact: &ContactState, world: &World<'_>, step: Option<&Slug>) -> Result<bool, Broke> {
        let any = |filters: &[Asked]| {
            for filter in filters {
                if filter.holds(contact, world, Cause::None, step)? {
                    return Ok(true);
                }
            }
            Ok(false)
        };
        Ok((self.who.is_empty() || any(&self.who)?) && !any(&self.not_who)?)
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
