//! Send steps: whether and when a mail is asked for, and what the answer means.

use std::time::Duration;

use types::calendar::Rule;
use types::event::{Did, Leave, Place, Refusal, Suppressed, WaitsOn};
use types::id::{PersonKey, WorkflowNumber};
use types::text::Slug;
use types::time::Timestamp;

use super::addressee::Addressee;
use super::instance::StepSent;
use super::walk::{Asked, ON_TIME, Turn, Walk};
use super::way::{Send, Sent};
use super::world::Broke;
use crate::calendar::{self, Slot};
use crate::contact::Fnv;

/// After how long a mail is tried again when too many are under way.
pub const BUSY_WAIT: Duration = Duration::from_secs(1);

/// When a mail leaves.
enum Moment {
    /// Now: it was meant for this moment, at or shortly before now.
    Now(Timestamp),
    /// Later, or never.
    Not(Place),
}

impl Walk<'_> {
    /// Comes to a send: at the first moment that the rules allow.
    pub(super) fn send(&mut self, step: &Slug, template: &Slug, next: usize) -> Result<Turn, Broke> {
        if !self.is_on() {
            return Ok(Turn::Stop(self.parked(step, self.world.now)));
        }
        let ready = self.at.max(self.as_of);
        match self.moment(step, ready) {
            Moment::Now(moment) => self.send_now(step, template, next, moment),
            Moment::Not(place) => Ok(Turn::Stop(place)),
        }
    }

    /// Sends at the moment that was chosen. It is chosen again if the rules forbid it by now, or, with a clock time, if it is past for long.
    pub(super) fn send_due(
        &mut self,
        step: &Slug,
        template: &Slug,
        next: usize,
        chosen: Timestamp,
    ) -> Result<Turn, Broke> {
        let is_past = self.workflow.spec.send.send_at.is_some() && self.world.now.since(self.at) > ON_TIME;
        if is_past || !self.is_allowed() {
            return self.send(step, template, next);
        }
        self.send_now(step, template, next, chosen)
    }

    fn is_allowed(&self) -> bool {
        let own = self.workflow.resolved_zone(self.world);
        calendar::is_allowed(self.world.now, &self.workflow.spec.send, &self.zone(), &own).is_ok()
    }

    /// Finds the moment for a mail that is ready.
    fn moment(&mut self, step: &Slug, ready: Timestamp) -> Moment {
        let (now, zone, own) = (self.world.now, self.zone(), self.workflow.resolved_zone(self.world));
        let rules = &self.workflow.spec.send;
        let (at, trace) = match calendar::resolve(ready, rules, &zone, &own) {
            Slot::At { at, trace } => (at, trace),
            Slot::None { .. } => {
                self.log.suppressed(step, Suppressed::NoSlot, Vec::new());
                return Moment::Not(self.left(Leave::NoSlot));
            }
        };
        let key = spread_key(self.world.key, self.workflow.number, self.key.as_deref(), step);
        let until = calendar::spread(at, key, rules, &zone, &own);
        if until > now {
            let spread = (until > at).then_some("spread");
            let names = trace.into_iter().map(name).chain(spread);
            self.log.delayed(step, until, names);
            return Moment::Not(self.waits(step, WaitsOn::Slot, Some(until), at));
        }
        if ready < now && !self.is_allowed() {
            // It was allowed when it was ready, and no longer is.
            return self.moment(step, now);
        }
        Moment::Now(at)
    }

    fn send_now(&mut self, step: &Slug, template: &Slug, next: usize, chosen: Timestamp) -> Result<Turn, Broke> {
        let workflow = self.workflow;
        if !workflow.is_for(&self.contact, self.world, Some(step))? {
            self.log.suppressed(step, Suppressed::NotWho, Vec::new());
            return Ok(if workflow.spec.exit.when_not_who {
                Turn::Stop(self.left(Leave::NotWho))
            } else {
                Turn::On(next)
            });
        }
        let addressee = Addressee {
            contact: &self.contact,
            workflow,
            world: self.world,
            key: self.key.as_ref(),
        };
        let Some(request) = addressee.request(template) else {
            return Err(Broke::at(Some(step), "the contact has no address"));
        };
        self.asked = Some(Asked {
            step: step.clone(),
            chosen,
            next,
        });
        Ok(Turn::Ask(Box::new(Send {
            workflow: workflow.number,
            step: step.clone(),
            instance: self.instance,
            request,
        })))
    }

    /// Takes the answer to what it asked for.
    pub(super) fn sent(&mut self, sent: Sent) -> Turn {
        let Some(Asked { step, chosen, next }) = self.asked.take() else {
            return Turn::Asked;
        };
        let now = self.world.now;
        match sent {
            Sent::Accepted { accepted, message } => {
                self.log.has_sent = true;
                let spread = self.workflow.spec.send.spread.map_or(0, |wait| wait.nominal_seconds());
                let is_on_time = now.since(chosen) <= ON_TIME.max(Duration::from_secs(spread));
                let moment = (chosen < now && is_on_time).then_some(chosen);
                self.sends.push(StepSent {
                    step: step.clone(),
                    message,
                    moment,
                });
                self.log.push(Did::Sent {
                    step,
                    accepted,
                    message,
                    moment,
                });
                self.at = moment.unwrap_or(now);
                Turn::On(next)
            }
            Sent::Refused(refusals) => {
                let why = refusals.iter().find_map(|refusal| ends(*refusal));
                self.log.suppressed(&step, Suppressed::Refused, refusals);
                match why {
                    Some(why) => Turn::Stop(self.left(why)),
                    None => Turn::On(next),
                }
            }
            Sent::NoTemplate => {
                self.log.suppressed(&step, Suppressed::Template, Vec::new());
                Turn::On(next)
            }
            Sent::Busy => {
                let until = now + BUSY_WAIT;
                self.log.delayed(&step, until, ["busy"]);
                Turn::Stop(self.waits(&step, WaitsOn::Slot, Some(until), chosen))
            }
        }
    }
}

/// Returns the share of the spread that a person's mail of a step gets: always the same.
pub(super) fn spread_key(person: PersonKey, workflow: WorkflowNumber, key: Option<&str>, step: &Slug) -> u64 {
    let mut hash = Fnv::default();
    hash.bytes(person.as_bytes());
    hash.bytes(&workflow.0.to_le_bytes());
    hash.bytes(key.unwrap_or_default().as_bytes());
    hash.bytes(step.as_str().as_bytes());
    // The high bits decide, and FNV mixes the last bytes into the low ones.
    let mixed = (hash.0 ^ (hash.0 >> 32)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    mixed ^ (mixed >> 29)
}

/// Returns how a refusal ends the way: none of those that may pass does.
const fn ends(refusal: Refusal) -> Option<Leave> {
    match refusal {
        Refusal::NoMarketingConsent
        | Refusal::ConsentWithdrawn
        | Refusal::SuppressedByShop
        | Refusal::SuppressedByNetwork => Some(Leave::NoConsent),
        Refusal::ShopDeleted => Some(Leave::Deleted),
        Refusal::NotConfirmed
        | Refusal::TestOrder
        | Refusal::FrequencyCap
        | Refusal::Late
        | Refusal::NoOffers
        | Refusal::NoSender
        | Refusal::Expired => None,
    }
}

/// Returns a rule's name, as in JSON.
const fn name(rule: Rule) -> &'static str {
    match rule {
        Rule::SendAt => "send_at",
        Rule::ActiveFrom => "active_from",
        Rule::ActiveTo => "active_to",
        Rule::ExceptDate => "except_date",
        Rule::ExceptYearly => "except_yearly",
        Rule::ExceptWeekday => "except_weekday",
        Rule::Quiet => "quiet",
        Rule::NoSlot => "no_slot",
    }
}
