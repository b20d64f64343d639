//! The earliest instant that all send rules allow.

use std::time::Duration;

use jiff::civil::{DateTime, Time};
use jiff::{SignedDuration, ToSpan};
use serde::Serialize;
use types::calendar::{Except, Quiet, Rule, SendRules, TimeOfDay, Weekday};
use types::time::Timestamp;

use super::zone::{ResolvedZone, instant, timestamp};

/// How far ahead an allowed instant is looked for, from the moment the message is ready and the rules are active.
pub const HORIZON: Duration = Duration::from_hours(400 * 24);

/// When a message leaves, and the rules that made it so.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", tag = "slot")]
pub enum Slot {
    /// It leaves.
    At {
        /// The earliest allowed instant.
        at: Timestamp,
        /// The rules that moved it, each once, in the order in which they did so first.
        trace: Vec<Rule>,
    },
    /// It never leaves: the active days are over ([`Rule::ActiveTo`]) or nothing is allowed ([`Rule::NoSlot`]).
    None {
        /// As above; the last one is the reason.
        trace: Vec<Rule>,
    },
}

impl Slot {
    /// Returns the instant, if there is one.
    pub fn at(&self) -> Option<Timestamp> {
        match self {
            Self::At { at, .. } => Some(*at),
            Self::None { .. } => None,
        }
    }

    /// Returns the rules that moved the message.
    pub fn trace(&self) -> &[Rule] {
        match self {
            Self::At { trace, .. } | Self::None { trace } => trace,
        }
    }
}

/// Finds the earliest instant at or after `ready` that the rules allow; the module's page has the definition.
///
/// `zone` is the recipient's (field, else workflow, else account); the days of `rules.active` alone are the account's.
pub fn resolve(ready: Timestamp, rules: &SendRules, zone: &ResolvedZone, account_zone: &ResolvedZone) -> Slot {
    let mut trace = Vec::new();
    match Search::new(ready, rules, zone, account_zone, &mut trace).run(&mut trace) {
        Ok(at) => Slot::At {
            at: timestamp(at),
            trace,
        },
        Err(reason) => {
            trace.push(reason);
            Slot::None { trace }
        }
    }
}

/// Tells whether a message that is due may leave at this instant, or the first rule that holds it back.
///
/// `send_at` is not asked: it sets when a message is due, and one that is late by a queue's length is still due.
pub fn is_allowed(
    at: Timestamp,
    rules: &SendRules,
    zone: &ResolvedZone,
    account_zone: &ResolvedZone,
) -> Result<(), Rule> {
    let at = instant(at);
    let (from, to) = active_range(rules, account_zone);
    if from.is_some_and(|from| at < from) {
        return Err(Rule::ActiveFrom);
    }
    if to.is_some_and(|to| at >= to) {
        return Err(Rule::ActiveTo);
    }
    forbidden(zone.local(at).shows, rules).map_or(Ok(()), |(rule, _)| Err(rule))
}

struct Search<'a> {
    rules: &'a SendRules,
    zone: &'a ResolvedZone,
    /// No instant before it counts.
    start: jiff::Timestamp,
    /// The end of the active days.
    end: Option<jiff::Timestamp>,
    horizon: jiff::Timestamp,
}

impl<'a> Search<'a> {
    fn new(
        ready: Timestamp,
        rules: &'a SendRules,
        zone: &'a ResolvedZone,
        account_zone: &ResolvedZone,
        trace: &mut Vec<Rule>,
    ) -> Self {
        let ready = instant(ready);
        let (from, end) = active_range(rules, account_zone);
        let start = from.map_or(ready, |from| from.max(ready));
        if start != ready {
            trace.push(Rule::ActiveFrom);
        }
        let horizon = SignedDuration::try_from(HORIZON)
            .ok()
            .and_then(|horizon| start.checked_add(horizon).ok())
            .unwrap_or(jiff::Timestamp::MAX);
        Self {
            rules,
            zone,
            start,
            end,
            horizon,
        }
    }

    fn run(&self, trace: &mut Vec<Rule>) -> Result<jiff::Timestamp, Rule> {
        match self.rules.send_at {
            Some(send_at) => self.first_day(send_at, trace),
            None => self.first_instant(trace),
        }
    }

    /// Without a clock time: from the start on, past each forbidden stretch to where it ends.
    fn first_instant(&self, trace: &mut Vec<Rule>) -> Result<jiff::Timestamp, Rule> {
        let mut at = self.start;
        loop {
            self.check_bounds(at)?;
            let local = self.zone.local(at);
            let Some((rule, until)) = forbidden(local.shows, self.rules) else {
                return Ok(at);
            };
            note(trace, rule);
            at = self.zone.runs_until(local, until).ok_or(Rule::NoSlot)?;
        }
    }

    /// With a clock time: the first day whose instant counts and is on no excepted day.
    fn first_day(&self, send_at: TimeOfDay, trace: &mut Vec<Rule>) -> Result<jiff::Timestamp, Rule> {
        let clock = clock(send_at);
        // The instant of an earlier day can lie at or after the start: a gap at midnight moves it into the next day,
        // and quiet hours by up to one day more.
        let days_back = if self.rules.quiet.is_some() { 2 } else { 1 };
        let mut date = self
            .zone
            .local(self.start)
            .shows
            .date()
            .saturating_sub(days_back.days());
        loop {
            let set_for = self.zone.instant(date.to_datetime(clock)).ok_or(Rule::NoSlot)?;
            let at = self.after_quiet(set_for)?;
            date = date.tomorrow().map_err(|_| Rule::NoSlot)?;
            if at < self.start {
                continue;
            }
            if set_for > self.start {
                note(trace, Rule::SendAt);
            }
            if at != set_for && at != self.start {
                note(trace, Rule::Quiet);
            }
            self.check_bounds(at)?;
            match excepted(self.zone.local(at).shows, &self.rules.except) {
                Some(rule) => note(trace, rule),
                None => return Ok(at),
            }
        }
    }

    fn after_quiet(&self, mut at: jiff::Timestamp) -> Result<jiff::Timestamp, Rule> {
        let Some(quiet) = self.rules.quiet else { return Ok(at) };
        loop {
            let local = self.zone.local(at);
            let Some(until) = quiet_until(local.shows, quiet) else {
                return Ok(at);
            };
            at = self.zone.runs_until(local, until).ok_or(Rule::NoSlot)?;
        }
    }

    fn check_bounds(&self, at: jiff::Timestamp) -> Result<(), Rule> {
        if self.end.is_some_and(|end| at >= end) {
            return Err(Rule::ActiveTo);
        }
        if at > self.horizon {
            return Err(Rule::NoSlot);
        }
        Ok(())
    }
}

fn note(trace: &mut Vec<Rule>, rule: Rule) {
    if !trace.contains(&rule) {
        trace.push(rule);
    }
}

/// From when on, and before when, the rules are active.
pub(super) fn active_range(
    rules: &SendRules,
    account_zone: &ResolvedZone,
) -> (Option<jiff::Timestamp>, Option<jiff::Timestamp>) {
    let Some(active) = rules.active else {
        return (None, None);
    };
    let start = |day| account_zone.day_start(day).unwrap_or(jiff::Timestamp::MAX);
    (active.from.map(start), active.to.map(start))
}

/// Returns the rule that forbids what the clocks show, and what they will show when it no longer does.
pub(super) fn forbidden(shows: DateTime, rules: &SendRules) -> Option<(Rule, DateTime)> {
    if let Some(rule) = excepted(shows, &rules.except) {
        return Some((rule, midnight_after(shows)));
    }
    let until = quiet_until(shows, rules.quiet?)?;
    Some((Rule::Quiet, until))
}

fn excepted(shows: DateTime, except: &Except) -> Option<Rule> {
    if except.is_empty() {
        return None;
    }
    let date = shows.date().try_into().ok()?;
    if except.dates.contains(&date) {
        return Some(Rule::ExceptDate);
    }
    if except.yearly.contains(&date.month_day()) {
        return Some(Rule::ExceptYearly);
    }
    except
        .weekdays
        .contains(&Weekday::of(date))
        .then_some(Rule::ExceptWeekday)
}

/// Returns what the clocks show when the quiet hours end in which they are now, or `None` if it is no quiet hour.
fn quiet_until(shows: DateTime, quiet: Quiet) -> Option<DateTime> {
    let (now, from, to) = (shows.time(), clock(quiet.from), clock(quiet.to));
    let wraps = from > to;
    let inside = if wraps {
        now >= from || now < to
    } else {
        from <= now && now < to
    };
    if !inside {
        return None;
    }
    let day = if now < to { shows } else { midnight_after(shows) };
    Some(day.date().to_datetime(to))
}

pub(super) fn midnight_after(shows: DateTime) -> DateTime {
    let date = shows.date();
    date.tomorrow().unwrap_or(date).to_datetime(Time::midnight())
}

pub(super) fn clock(time: TimeOfDay) -> Time {
    let part = |part: u8| i8::try_from(part).expect("an hour or a minute is below 60");
    Time::constant(part(time.hour()), part(time.minute()), 0, 0)
}
