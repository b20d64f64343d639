//! Starts: what brings a contact in, and when.

use std::time::Duration;

use types::calendar::{CivilDate, TimeOfDay, Wait};
use types::contact::{Channel, FieldValue};
use types::event::{Event, HitKind};
use types::order::OrderStatus;
use types::text::{Line, Slug};
use types::time::Timestamp;
use types::workflow::{Activity, Crossing, Entry, MachineOpens, OfMails, Start, Yearly};

use super::compiled::{Compiled, is_in};
use super::instance::Instance;
use super::world::{Broke, CartTurn, Happened, MailHit, Trigger, What, World};
use crate::calendar::{ResolvedZone, add_wait, civil_days_between, local_date, local_day_start, next_date};
use crate::contact::{ContactState, KEYS_MAX, Stage};
use crate::filter::Cause;

/// Within how long what comes each year comes once, whatever its field and its zone change to: a year, less the days by which one
/// occurrence may be nearer to the next (a leap day, a journey round the world).
pub(super) const YEARLY_ONCE: Duration = Duration::from_hours(363 * 24);

/// A contact that came to a workflow's start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Coming {
    /// When what it came by happened.
    pub(super) base: Timestamp,
    /// When it is to enter.
    pub(super) due: Timestamp,
    pub(super) key: Option<Line<128>>,
}

impl Coming {
    fn at(base: Timestamp, key: Option<Line<128>>) -> Self {
        Self { base, due: base, key }
    }

    fn after(base: Timestamp, wait: Option<&Wait>, zone: &ResolvedZone) -> Self {
        Self {
            base,
            due: wait.map_or(base, |wait| add_wait(base, wait, zone)),
            key: None,
        }
    }
}

/// Tells whether a trigger could bring anybody to a start, by its kind and name. Where it could not, nothing more need be asked.
pub fn listens(start: &Start, trigger: &Trigger<'_>) -> bool {
    let Trigger::Happened(happened) = trigger else {
        return match start {
            Start::Subscription { .. } | Start::Date { .. } | Start::Condition { .. } | Start::Group { .. } => true,
            // What happened before is no start.
            Start::Order { .. } | Start::Event { .. } | Start::Activity { .. } | Start::CartAbandoned { .. } => false,
        };
    };
    match (start, happened.what) {
        (Start::Order { .. }, What::Event(Event::OrderAccepted(accepted))) => {
            accepted.order.status == OrderStatus::Confirmed
        }
        (Start::Event { name, .. }, What::Event(Event::EventReported(reported))) => reported.name == *name,
        // These are about the contact, and whatever happens may have changed it.
        (Start::Subscription { .. } | Start::Date { .. } | Start::Condition { .. } | Start::Group { .. }, _)
        | (Start::Activity { .. }, What::Hits(_))
        | (Start::CartAbandoned { .. }, What::Cart { .. }) => true,
        (
            Start::Order { .. } | Start::Event { .. } | Start::Activity { .. } | Start::CartAbandoned { .. },
            What::Event(_) | What::Hits(_) | What::Cart { .. },
        ) => false,
    }
}

/// Tells whether a trigger brings the contact to the start, and when it is to enter.
pub(super) fn coming(workflow: &Compiled, world: &World<'_>, trigger: &Trigger<'_>) -> Result<Option<Coming>, Broke> {
    let zone = world.zones.resolved(workflow.zone_of(world.contact));
    match trigger {
        Trigger::Happened(happened) => by_event(workflow, world, happened, &zone),
        Trigger::Activation { .. } => by_standing(workflow, world, &zone),
    }
}

fn by_event(
    workflow: &Compiled,
    world: &World<'_>,
    happened: &Happened<'_>,
    zone: &ResolvedZone,
) -> Result<Option<Coming>, Broke> {
    let (contact, before, wall) = (world.contact, happened.before, happened.wall);
    let asked = |cause: Cause<'_>| match &workflow.filters.start {
        Some(filter) => filter.holds(contact, world, cause, None),
        None => Ok(true),
    };
    Ok(match (&workflow.spec.start, happened.what) {
        (Start::Order { .. }, What::Event(Event::OrderAccepted(accepted))) => {
            let order = &accepted.order;
            let comes = order.status == OrderStatus::Confirmed && asked(Cause::Order(order))?;
            comes.then(|| Coming::at(order.placed_at.min(wall), Some(order.order_id.clone())))
        }
        (Start::Event { name, .. }, What::Event(Event::EventReported(reported))) => {
            let comes = reported.name == *name && asked(Cause::Event(reported))?;
            comes.then(|| Coming::at(reported.at.min(wall), reported.key.clone()))
        }
        (Start::Subscription { after }, _) => {
            let agreed = before.is_some_and(|before| before.agrees(Channel::Email));
            let said = contact.consent(Channel::Email).filter(|said| said.statement.granted);
            said.filter(|_| !agreed)
                .map(|said| Coming::after(said.statement.at.min(wall), after.as_ref(), zone))
        }
        (Start::Date { field, .. }, _) => {
            let value = |contact: &ContactState| contact.fields().get(field).cloned();
            let has_changed = before.and_then(value) != value(contact);
            has_changed
                .then(|| date_due(workflow, world, zone, None))
                .flatten()
                .map(|due| Coming::at(due, None))
        }
        (Start::Condition { becomes, .. }, _) => {
            let holds = asked(Cause::None)?;
            let held = match (&workflow.filters.start, before) {
                (Some(filter), Some(before)) => filter.holds(before, world, Cause::None, None)?,
                _ => false,
            };
            (holds == *becomes && held != *becomes).then(|| Coming::at(wall, None))
        }
        (Start::Group { group, change }, _) => {
            let was_in = before.is_some_and(|before| is_in(before, world, workflow.shop, group));
            let crossed = match change {
                Crossing::Entered => !was_in && is_in(contact, world, workflow.shop, group),
                Crossing::Left => was_in && !is_in(contact, world, workflow.shop, group),
            };
            crossed.then(|| Coming::at(wall, None))
        }
        (Start::Activity { activity, of, after }, What::Hits(hits)) => {
            let counts = |hit: &&MailHit| {
                let kind = match activity {
                    Activity::Opened => hit.kind == HitKind::Open,
                    Activity::Clicked => hit.kind == HitKind::Click,
                    Activity::Engaged => matches!(hit.kind, HitKind::Open | HitKind::Click),
                };
                let mail = match of {
                    OfMails::Any => true,
                    OfMails::LastFive => contact.activity().is_of_last_five(hit.message, hit.at),
                    OfMails::Template(template) => hit.template.as_ref() == Some(template),
                };
                kind && mail && is_counted(workflow, hit)
            };
            let first = hits.iter().filter(counts).map(|hit| hit.at).min();
            first.map(|at| Coming::after(at.min(wall), after.as_ref(), zone))
        }
        (Start::CartAbandoned { after }, What::Cart { id, turn }) => match turn {
            CartTurn::Touched(at) => Some(Coming {
                key: Some(id.clone()),
                ..Coming::after(at.min(wall), Some(after), zone)
            }),
            CartTurn::Closed => None,
        },
        (
            Start::Order { .. } | Start::Event { .. } | Start::Activity { .. } | Start::CartAbandoned { .. },
            What::Event(_) | What::Hits(_) | What::Cart { .. },
        ) => None,
    })
}

/// Tells whether an open or click stands for the contact.
pub(super) fn is_counted(workflow: &Compiled, hit: &MailHit) -> bool {
    hit.class.is_qualified() || hit.class.is_machine() && workflow.spec.machine_opens == MachineOpens::Count
}

/// Tells whether the contact stands where the start leads to, for who was there before the workflow was switched on.
fn by_standing(workflow: &Compiled, world: &World<'_>, zone: &ResolvedZone) -> Result<Option<Coming>, Broke> {
    let (contact, now) = (world.contact, world.now);
    Ok(match &workflow.spec.start {
        Start::Subscription { after } => {
            let since = contact.subscribed_at().unwrap_or(now);
            contact
                .agrees(Channel::Email)
                .then(|| Coming::after(since, after.as_ref(), zone))
        }
        Start::Date { .. } => date_due(workflow, world, zone, None).map(|due| Coming::at(due, None)),
        Start::Condition { becomes, .. } => {
            let holds = match &workflow.filters.start {
                Some(filter) => filter.holds(contact, world, Cause::None, None)?,
                None => false,
            };
            (holds == *becomes).then(|| Coming::at(now, None))
        }
        Start::Group { group, change } => {
            let inside = is_in(contact, world, workflow.shop, group);
            (inside == (*change == Crossing::Entered)).then(|| Coming::at(now, None))
        }
        // What happened before is no start.
        Start::Order { .. } | Start::Event { .. } | Start::Activity { .. } | Start::CartAbandoned { .. } => None,
    })
}

/// Tells whether the contact may enter, as often as it did before. `own` is the instance by which it would.
pub(super) fn admits(
    workflow: &Compiled,
    world: &World<'_>,
    key: Option<&Line<128>>,
    own: Option<types::id::EventId>,
) -> bool {
    let Some(enrolment) = world.contact.enrolments().of(workflow.number) else {
        return key.is_some() || workflow.entry() != Entry::PerKey;
    };
    let others = || {
        let entered = enrolment.live.iter().filter(|live| live.stage == Stage::Entered);
        entered.filter(|live| Some(live.instance) != own)
    };
    match workflow.entry() {
        Entry::PerKey => {
            let Some(key) = key else { return false };
            !enrolment.keys.contains(key)
                && others().count() < KEYS_MAX
                && !others().any(|live| live.key.as_ref() == Some(key))
        }
        _ if others().next().is_some() => false,
        Entry::Once => enrolment.entries == 0 || workflow.is_yearly(),
        Entry::AfterExit => true,
        Entry::EveryDays(days) => enrolment.entered_at.is_none_or(|entered_at| {
            let zone = world.zones.resolved(workflow.zone_of(world.contact));
            i64::from(civil_days_between(entered_at, world.now, &zone)) >= i64::from(days)
        }),
    }
}

/// Returns when an instance that waits for the time of its start is to enter, by this version; `None` if what it waits for is gone.
pub(super) fn armed_due(workflow: &Compiled, world: &World<'_>, instance: &Instance) -> Option<Timestamp> {
    let base = instance.waits()?.base;
    let zone = world.zones.resolved(workflow.zone_of(world.contact));
    let after = |wait: Option<&Wait>| wait.map_or(base, |wait| add_wait(base, wait, &zone));
    match &workflow.spec.start {
        Start::Date { .. } => date_due(workflow, world, &zone, None),
        Start::Subscription { after: wait } => world.contact.agrees(Channel::Email).then(|| after(wait.as_ref())),
        Start::Activity { after: wait, .. } => Some(after(wait.as_ref())),
        Start::CartAbandoned { after: wait } => Some(after(Some(wait))),
        Start::Order { .. } | Start::Event { .. } | Start::Condition { .. } | Start::Group { .. } => None,
    }
}

/// Returns when the date of a date start comes next, later than `after` if it is given: one that passed no longer ago than a step may
/// be late counts as to come.
pub(super) fn date_due(
    workflow: &Compiled,
    world: &World<'_>,
    zone: &ResolvedZone,
    after: Option<Timestamp>,
) -> Option<Timestamp> {
    let Start::Date {
        field,
        days,
        at,
        yearly,
    } = &workflow.spec.start
    else {
        return None;
    };
    world.catalogue.field(workflow.shop, field)?;
    let value = world.contact.fields().get(field)?;
    let late = Duration::from_secs(workflow.late_after().nominal_seconds());
    let entered_at = world
        .contact
        .enrolments()
        .of(workflow.number)
        .and_then(|enrolment| enrolment.entered_at);
    let once = match yearly {
        Yearly::No => entered_at,
        Yearly::Feb28 | Yearly::Mar01 => entered_at.map(|entered_at| entered_at + YEARLY_ONCE),
    };
    // What was due exactly as long ago as a step may be late still comes.
    let recent = world.now - late - Duration::from_millis(1);
    let after = once.max(after).map_or(recent, |after| after.max(recent));
    match value {
        FieldValue::Date(date) => next_date(*date, *days, at.unwrap_or(MIDNIGHT), *yearly, zone, after),
        FieldValue::Moment(moment) if *days == 0 && *yearly == Yearly::No => (*moment > after).then_some(*moment),
        FieldValue::Moment(moment) => {
            let (date, time, rest) = local(*moment, zone)?;
            // The seconds are no part of a clock time: they are put back.
            next_date(date, *days, time, *yearly, zone, after - rest).map(|due| due + rest)
        }
        FieldValue::Text(_) | FieldValue::Number(_) | FieldValue::Boolean(_) => None,
    }
}

const MIDNIGHT: TimeOfDay = TimeOfDay::MIDNIGHT;

/// Returns what the zone's clocks show at a moment: the day, the minute, and what is left of it.
fn local(moment: Timestamp, zone: &ResolvedZone) -> Option<(CivilDate, TimeOfDay, Duration)> {
    let date = local_date(moment, zone);
    let since = moment.since(local_day_start(date, zone));
    let minutes = since.as_secs() / 60;
    let time = TimeOfDay::new(
        u8::try_from(minutes / 60).ok()?.min(23),
        u8::try_from(minutes % 60).ok()?,
    )?;
    let rest = since.checked_sub(Duration::from_secs(minutes * 60))?;
    Some((date, time, rest))
}

/// Returns the field that a date start reads.
pub(super) fn date_field(workflow: &Compiled) -> Option<&Slug> {
    match &workflow.spec.start {
        Start::Date { field, .. } => Some(field),
        _ => None,
    }
}
