//! Every fault of a definition, by its place in the document.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use types::calendar::{Unit, Wait};
use types::catalogue::{Catalogue, TemplateKind};
use types::contact::FieldType;
use types::id::ShopNumber;
use types::text::Slug;
use types::workflow::{After, Entry, GroupChange, Start, Step, WorkflowSpec, Yearly};

use super::compiled::END;
use super::filters::PARTS_MAX;
use crate::filter::{Filter, Schema, Scope};

/// How many steps a workflow may have.
const STEPS_MAX: usize = 64;
/// How many groups, and how many filters, each list of `who` may have.
const GROUPS_MAX: usize = 64;
const FILTERS_MAX: usize = 16;
/// How many days before or after its date a start may lie.
const DATE_DAYS_MAX: u32 = 366;
/// After how long without a touch a cart is abandoned at the latest.
const ABANDONED_AFTER_MAX_SECONDS: u64 = 48 * 3600;

/// What a shop's definitions may name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Vocabulary {
    /// Fields and groups.
    pub schema: Schema,
    /// Templates.
    pub templates: BTreeMap<Slug, TemplateKind>,
}

impl Vocabulary {
    /// Returns what this shop's definitions may name by this catalogue.
    pub fn of(catalogue: &Catalogue, shop: ShopNumber) -> Self {
        Self {
            schema: Schema::of(catalogue, shop),
            templates: catalogue
                .templates(shop)
                .filter(|template| !template.deleted)
                .map(|template| (template.id.clone(), template.spec.kind))
                .collect(),
        }
    }
}

/// How much of a definition has to be there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Completeness {
    /// A draft may have no steps yet.
    Draft,
    /// It is to be switched on.
    Complete,
}

/// One thing that is wrong with a definition.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Fault {
    /// Where: a JSON pointer (RFC 6901) into the document.
    pub path: String,
    /// What is wrong with it, for whoever wrote it.
    pub fault: String,
}

/// Finds every fault of a definition, in the order of the document. None: it can be stored; if complete, it can run.
pub fn check(spec: &WorkflowSpec, vocabulary: &Vocabulary, completeness: Completeness) -> Vec<Fault> {
    let mut check = Check {
        spec,
        vocabulary,
        faults: Vec::new(),
        parts: 0,
    };
    check.start();
    check.steps(completeness);
    check.who();
    check.entry();
    check.times();
    check.ends();
    check.faults
}

struct Check<'a> {
    spec: &'a WorkflowSpec,
    vocabulary: &'a Vocabulary,
    faults: Vec<Fault>,
    /// Of the filters so far, together.
    parts: usize,
}

impl Check<'_> {
    fn fault(&mut self, path: &str, fault: impl Into<String>) {
        self.faults.push(Fault {
            path: path.to_owned(),
            fault: fault.into(),
        });
    }

    fn filter(&mut self, path: &str, source: &str, scope: Scope) {
        // What comes after the filter that passes the bound is not even read.
        if self.parts > PARTS_MAX {
            return;
        }
        let faults = match Filter::compile(source, &self.vocabulary.schema, scope) {
            Ok(filter) => {
                self.parts = self.parts.saturating_add(filter.parts());
                if self.parts > PARTS_MAX {
                    self.fault(
                        path,
                        format!(
                            "with this filter all have {} parts (names, values and operations) together, at most {PARTS_MAX} are taken",
                            self.parts
                        ),
                    );
                }
                return;
            }
            Err(faults) => faults,
        };
        for fault in faults {
            let fault = match fault.offset {
                Some(offset) => format!("at character {offset}: {}", fault.fault),
                None => fault.fault,
            };
            self.fault(path, fault);
        }
    }

    fn group(&mut self, path: &str, group: &Slug) {
        if !self.vocabulary.schema.groups.contains(group) {
            self.fault(path, format!("there is no group `{group}`"));
        }
    }

    fn field(&mut self, path: &str, field: &Slug, kind: FieldType) {
        match self.vocabulary.schema.fields.get(field) {
            None => self.fault(path, format!("there is no field `{field}`")),
            Some(known) if *known == kind => {}
            Some(known) => {
                let (expected, known) = (kind.as_str(), known.as_str());
                self.fault(path, format!("`{field}` is a {known}, a {expected} is needed"));
            }
        }
    }

    fn template(&mut self, path: &str, template: &Slug) {
        match self.vocabulary.templates.get(template) {
            None => self.fault(path, format!("there is no template `{template}`")),
            Some(TemplateKind::Message) => {}
            Some(_) => self.fault(path, format!("the template `{template}` is not of kind `message`")),
        }
    }

    /// `send_at` leaves no room for waits that count hours (reference: send every message at hh:mm).
    fn no_hours(&mut self, path: &str, wait: Wait) {
        let counts_hours = matches!(wait.unit(), Unit::Minutes | Unit::Hours) && wait.amount() > 0;
        if self.spec.send.send_at.is_some() && counts_hours {
            self.fault(
                path,
                format!("{wait} counts minutes or hours, and `send.send_at` sends once a day: say days, or leave `send_at` out"),
            );
        }
    }

    fn start(&mut self) {
        let spec = self.spec;
        match &spec.start {
            Start::Order { filter } => {
                if let Some(filter) = filter {
                    self.filter("/start/if", filter, Scope::Order);
                }
            }
            Start::Event { filter, .. } => {
                if let Some(filter) = filter {
                    self.filter("/start/if", filter, Scope::Event);
                }
            }
            Start::Subscription { after } => {
                if let Some(after) = after {
                    self.no_hours("/start/after", *after);
                }
            }
            Start::Date { field, days, .. } => {
                self.field("/start/field", field, FieldType::Date);
                if days.unsigned_abs() > DATE_DAYS_MAX {
                    self.fault("/start/days", format!("{days} is not from -366 to 366"));
                }
            }
            Start::Condition { filter, .. } => self.filter("/start/if", filter, Scope::Contact),
            Start::Group { group, .. } => self.group("/start/group", group),
            Start::Activity { of, after, .. } => {
                if let types::workflow::OfMails::Template(template) = of
                    && !self.vocabulary.templates.contains_key(template)
                {
                    self.fault("/start/of/template", format!("there is no template `{template}`"));
                }
                if let Some(after) = after {
                    self.no_hours("/start/after", *after);
                }
            }
            Start::CartAbandoned { after } => {
                if after.nominal_seconds() > ABANDONED_AFTER_MAX_SECONDS {
                    self.fault("/start/after", format!("{after} is longer than 48 hours"));
                }
                self.no_hours("/start/after", *after);
            }
        }
    }

    fn steps(&mut self, completeness: Completeness) {
        let spec = self.spec;
        if spec.steps.is_empty() && completeness == Completeness::Complete {
            self.fault("/steps", "a workflow that is switched on needs a step");
        }
        if spec.steps.len() > STEPS_MAX {
            self.fault(
                "/steps",
                format!("{} steps, at most {STEPS_MAX} are taken", spec.steps.len()),
            );
        }
        let mut before: BTreeMap<&Slug, &Step> = BTreeMap::new();
        for (position, step) in spec.steps.iter().enumerate() {
            let path = format!("/steps/{position}");
            let id = step.id();
            if before.contains_key(id) {
                self.fault(&format!("{path}/id"), format!("`{id}` is the id of an earlier step"));
            }
            if id.as_str() == END {
                self.fault(
                    &format!("{path}/id"),
                    "`end` is where a jump leads to end: choose another id",
                );
            }
            self.step(&path, position, step, &before);
            before.entry(id).or_insert(step);
        }
    }

    fn step(&mut self, path: &str, position: usize, step: &Step, before: &BTreeMap<&Slug, &Step>) {
        match step {
            Step::Send { template, .. } => self.template(&format!("{path}/template"), template),
            Step::Wait { .. } => self.wait(path, position, step, before),
            Step::Branch {
                filter,
                then,
                otherwise,
                ..
            } => {
                self.filter(&format!("{path}/if"), filter, Scope::Contact);
                if let Some(then) = then {
                    self.jump(&format!("{path}/then"), position, then);
                }
                self.jump(&format!("{path}/else"), position, otherwise);
            }
            Step::Group { change, .. } => self.change(&format!("{path}/change"), change),
            Step::Webhook { .. } | Step::Exit { .. } => {}
        }
    }

    fn wait(&mut self, path: &str, position: usize, step: &Step, before: &BTreeMap<&Slug, &Step>) {
        let Step::Wait {
            duration,
            after,
            of,
            limit,
            otherwise,
            ..
        } = step
        else {
            return;
        };
        self.no_hours(&format!("{path}/for"), *duration);
        let watches = matches!(after, After::Engagement | After::NoEngagement);
        if *after != After::Reached {
            let is_send = |step: &&Step| matches!(step, Step::Send { .. });
            match of {
                Some(of) if !before.get(of).is_some_and(is_send) => {
                    self.fault(&format!("{path}/of"), format!("no send step `{of}` comes before"));
                }
                None if !before.values().any(is_send) => {
                    self.fault(&format!("{path}/after"), "no send step comes before");
                }
                _ => {}
            }
        } else if of.is_some() {
            self.fault(&format!("{path}/of"), "`of` is for waits after a mail: say `after`");
        }
        match limit {
            Some(_) if *after != After::Engagement => {
                self.fault(&format!("{path}/limit"), "`limit` is for `after: engagement`");
            }
            Some(limit) => self.no_hours(&format!("{path}/limit"), *limit),
            None => {}
        }
        if let Some(otherwise) = otherwise {
            if !watches {
                self.fault(&format!("{path}/else"), "this wait can end one way only");
            }
            self.jump(&format!("{path}/else"), position, otherwise);
        }
    }

    fn jump(&mut self, path: &str, position: usize, to: &Slug) {
        if to.as_str() == END {
            return;
        }
        match self.spec.steps.iter().position(|step| step.id() == to) {
            None => self.fault(path, format!("there is no step `{to}`")),
            Some(target) if target <= position => self.fault(path, format!("`{to}` is not a later step")),
            Some(_) => {}
        }
    }

    fn change(&mut self, path: &str, change: &GroupChange) {
        match change {
            GroupChange::Copy(group) => self.group(&format!("{path}/copy"), group),
            GroupChange::Move { from, to } => {
                self.group(&format!("{path}/move/from"), from);
                self.group(&format!("{path}/move/to"), to);
                if from == to {
                    self.fault(&format!("{path}/move/to"), "it is the group that it comes from");
                }
            }
            GroupChange::Leave(group) => self.group(&format!("{path}/leave"), group),
        }
    }

    fn who(&mut self) {
        let who = &self.spec.who;
        for (name, groups) in [("groups", &who.groups), ("not_groups", &who.not_groups)] {
            let path = format!("/who/{name}");
            if groups.len() > GROUPS_MAX {
                self.fault(
                    &path,
                    format!("{} groups, at most {GROUPS_MAX} are taken", groups.len()),
                );
            }
            for (at, group) in groups.iter().enumerate() {
                self.group(&format!("{path}/{at}"), group);
            }
        }
        let wanted: BTreeSet<&Slug> = who.groups.iter().collect();
        if !wanted.is_empty() && wanted.iter().all(|group| who.not_groups.contains(group)) {
            self.fault(
                "/who/not_groups",
                "every group of `groups` is in `not_groups`: nobody could enter",
            );
        }
        for (name, filters) in [("filters", &who.filters), ("not_filters", &who.not_filters)] {
            let path = format!("/who/{name}");
            if filters.len() > FILTERS_MAX {
                self.fault(
                    &path,
                    format!("{} filters, at most {FILTERS_MAX} are taken", filters.len()),
                );
            }
            for (at, filter) in filters.iter().enumerate() {
                self.filter(&format!("{path}/{at}"), filter, Scope::Contact);
            }
        }
    }

    fn entry(&mut self) {
        let has_key = matches!(
            self.spec.start,
            Start::Order { .. } | Start::Event { .. } | Start::CartAbandoned { .. }
        );
        match self.spec.entry {
            Entry::PerKey if !has_key => {
                self.fault("/entry", "`per_key` is for starts by an order, an event or a cart");
            }
            Entry::EveryDays(0) => self.fault("/entry/every_days", "0 is not from 1 on"),
            Entry::Once | Entry::AfterExit | Entry::EveryDays(_) | Entry::PerKey => {}
        }
        let is_yearly = matches!(&self.spec.start, Start::Date { yearly, .. } if *yearly != Yearly::No);
        if let Entry::EveryDays(days) = self.spec.entry
            && is_yearly
            && days > DATE_DAYS_MAX
        {
            self.fault(
                "/entry/every_days",
                "a date that comes each year would come and find the door shut",
            );
        }
    }

    fn times(&mut self) {
        if let Err(fault) = self.spec.send.check() {
            self.fault("/send", fault.to_string());
        }
        if let Some(field) = &self.spec.zone_field {
            self.field("/zone_field", field, FieldType::Text);
        }
        if self.spec.late_after.is_some_and(|wait| wait.amount() == 0) {
            self.fault("/late_after", "a step that may not be late at all would never be done");
        }
    }

    fn ends(&mut self) {
        let spec = self.spec;
        if let Some(goal) = &spec.goal {
            self.filter("/goal", goal, Scope::Contact);
        }
        if let Some(filter) = &spec.exit.filter {
            self.filter("/exit/if", filter, Scope::Contact);
        }
        if let Some(change) = &spec.at_end {
            self.change("/at_end", change);
        }
        if let Some(change) = &spec.on_exit {
            self.change("/on_exit", change);
        }
    }
}
