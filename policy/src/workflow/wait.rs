//! Wait steps: until when, or for what.

use std::time::Duration;

use types::calendar::Wait;
use types::event::{Did, Leave, Place, Suppressed, WaitEnded, WaitsOn};
use types::text::Slug;
use types::time::Timestamp;
use types::workflow::{After, MachineOpens, Step};

use super::instance::StepSent;
use super::walk::{Turn, Walk};
use crate::calendar::add_wait;

/// How long a verdict on an open or a click is waited for when the time is over.
const VERDICT_WITHIN: Duration = Duration::from_mins(2);

/// A wait step, taken apart.
#[derive(Clone, Copy)]
pub(super) struct Waiting<'a> {
    pub(super) id: &'a Slug,
    pub(super) duration: &'a Wait,
    pub(super) after: After,
    of: Option<&'a Slug>,
    limit: Option<Wait>,
    otherwise: Option<&'a Slug>,
    /// Where it goes on.
    pub(super) next: usize,
}

impl<'a> Waiting<'a> {
    pub(super) fn of(step: &'a Step, next: usize) -> Option<Self> {
        let Step::Wait {
            id,
            duration,
            after,
            of,
            limit,
            otherwise,
        } = step
        else {
            return None;
        };
        Some(Self {
            id,
            duration,
            after: *after,
            of: of.as_ref(),
            limit: *limit,
            otherwise: otherwise.as_ref(),
            next,
        })
    }

    /// Returns the mail that it is about, if one was sent.
    pub(super) fn mail<'s>(&self, sends: &'s [StepSent]) -> Option<&'s StepSent> {
        sends
            .iter()
            .rev()
            .find(|sent| self.of.is_none_or(|of| sent.step == *of))
    }

    /// Returns how long an open or a click is waited for.
    pub(super) fn limit(&self) -> Wait {
        self.limit
            .unwrap_or_else(|| "30d".parse().expect("a wait of thirty days"))
    }
}

/// Whether verdicts that are missing are still waited for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdicts {
    /// They are.
    Awaited,
    /// They had their time.
    Final,
}

impl Walk<'_> {
    /// Comes to a wait.
    pub(super) fn wait(&mut self, step: &Step, next: usize) -> Turn {
        match Waiting::of(step, next) {
            Some(wait) => self.begin_wait(wait),
            None => Turn::On(next),
        }
    }

    fn begin_wait(&mut self, wait: Waiting<'_>) -> Turn {
        match wait.after {
            After::Reached => self.wait_from(wait, self.at),
            After::Send => {
                let base = wait.mail(&self.sends).map_or(self.at, StepSent::at);
                self.wait_from(wait, base)
            }
            After::Engagement | After::NoEngagement => self.watch(wait, Verdicts::Awaited),
        }
    }

    /// Waits from a moment on; what is over goes on at once, as of when it was over.
    fn wait_from(&mut self, wait: Waiting<'_>, base: Timestamp) -> Turn {
        let due = add_wait(base, wait.duration, &self.zone());
        if due > self.world.now {
            return Turn::Stop(self.waits(wait.id, WaitsOn::Time, Some(due), base));
        }
        self.waited(wait, WaitEnded::Elapsed, due)
    }

    /// Looks whether the mail was opened or clicked, and decides what that means for the wait.
    pub(super) fn watch(&mut self, wait: Waiting<'_>, verdicts: Verdicts) -> Turn {
        let (now, zone) = (self.world.now, self.zone());
        let Some(mail) = wait.mail(&self.sends) else {
            // What was not sent is not opened.
            return match wait.after {
                After::NoEngagement => self.wait_from(wait, self.at),
                _ => self.other_way(wait, WaitEnded::NotEngaged, self.at),
            };
        };
        let (sent_at, message) = (mail.at(), mail.message);
        let engagement = self.world.mails.engagement(message);
        let first = match self.workflow.spec.machine_opens {
            MachineOpens::Ignore => engagement.human,
            MachineOpens::Count => earliest(engagement.human, engagement.machine),
        };
        let waits_for = match wait.after {
            After::Engagement => wait.limit(),
            _ => *wait.duration,
        };
        let limit = add_wait(sent_at, &waits_for, &zone);
        let within = first.filter(|at| *at <= limit);
        match (wait.after, within) {
            (After::Engagement, Some(at)) => {
                let due = add_wait(at, wait.duration, &zone);
                if due > now {
                    return Turn::Stop(self.waits(wait.id, WaitsOn::Time, Some(due), at));
                }
                self.waited(wait, WaitEnded::Engaged, due)
            }
            (_, Some(at)) => self.other_way(wait, WaitEnded::Engaged, at),
            (after, None) if now < limit => {
                let on = match after {
                    After::Engagement => WaitsOn::Engagement,
                    _ => WaitsOn::NoEngagement,
                };
                Turn::Stop(self.waits(wait.id, on, Some(limit), sent_at))
            }
            (_, None) if engagement.unjudged && verdicts == Verdicts::Awaited => {
                Turn::Stop(self.waits(wait.id, WaitsOn::Verdict, Some(now + VERDICT_WITHIN), sent_at))
            }
            (After::Engagement, None) => self.other_way(wait, WaitEnded::NotEngaged, limit),
            (_, None) => self.waited(wait, WaitEnded::NotEngaged, limit),
        }
    }

    /// Ends a wait as it was meant to, at `at`.
    pub(super) fn waited(&mut self, wait: Waiting<'_>, ended: WaitEnded, at: Timestamp) -> Turn {
        self.ended(wait.id, ended, at);
        Turn::On(wait.next)
    }

    /// Ends a wait the other way.
    fn other_way(&mut self, wait: Waiting<'_>, ended: WaitEnded, at: Timestamp) -> Turn {
        self.ended(wait.id, ended, at);
        match (wait.otherwise, ended) {
            (Some(otherwise), _) => self.jump(otherwise),
            (None, WaitEnded::Engaged) => Turn::Stop(self.left(Leave::Engaged)),
            (None, WaitEnded::NotEngaged | WaitEnded::Elapsed) => Turn::Stop(self.left(Leave::NotEngaged)),
        }
    }

    fn ended(&mut self, step: &Slug, ended: WaitEnded, at: Timestamp) {
        self.log.push(Did::Waited {
            step: step.clone(),
            ended,
        });
        self.at = at.min(self.world.now);
    }

    /// Waits to be switched on: `due` is when it would have gone on.
    pub(super) fn parked(&mut self, step: &Slug, due: Timestamp) -> Place {
        self.log.suppressed(step, Suppressed::Off, Vec::new());
        self.waits(step, WaitsOn::On, None, due)
    }
}

fn earliest(one: Option<Timestamp>, other: Option<Timestamp>) -> Option<Timestamp> {
    one.into_iter().chain(other).min()
}
