//! Webhook steps: a call, its answer, and calls again.

use std::time::Duration;

use types::event::{Did, WaitsOn};
use types::text::{HttpsUrl, Slug};

use super::compiled::fields_seen;
use super::walk::{Turn, Walk};
use super::way::{CallBody, Webhook};

/// How long an answer is waited for before it counts as none.
pub const ANSWER_WITHIN: Duration = Duration::from_secs(30);
/// How long after a call without an answer it is made again, by the attempts made.
const AGAIN_AFTER: [Duration; 3] = [Duration::from_mins(1), Duration::from_mins(10), Duration::from_hours(1)];

impl Walk<'_> {
    /// Calls the page, once more than before, and waits for its answer.
    pub(super) fn call(&mut self, step: &Slug, url: &HttpsUrl) -> Turn {
        let (workflow, now) = (self.workflow, self.world.now);
        let attempt = self.attempt.saturating_add(1);
        if !self.is_on() {
            return Turn::Stop(self.parked(step, now));
        }
        let email = self.contact.email().map_or("", |email| email.as_str());
        let fields = fields_seen(&self.contact, self.world, workflow.shop);
        self.log.calls.push(Webhook {
            instance: self.instance,
            epoch: self.epoch,
            url: url.clone(),
            told: CallBody {
                workflow: workflow.id.clone(),
                version: workflow.version,
                step: step.clone(),
                attempt,
                email: email.to_owned(),
                name: self.contact.profile().name.map(ToString::to_string),
                key: self.key.as_ref().map(ToString::to_string),
                fields: fields.map(|(id, value)| (id.clone(), value.clone())).collect(),
            },
        });
        Turn::Stop(self.waits(step, WaitsOn::Webhook, Some(now + ANSWER_WITHIN), now))
    }

    /// Takes the answer to the last call, or that none came: goes on, or waits to call again.
    pub(super) fn answered(&mut self, step: &Slug, status: Option<u16>, next: usize) -> Turn {
        let now = self.world.now;
        let attempt = self.attempt.saturating_add(1);
        self.log.push(Did::Called {
            step: step.clone(),
            status,
            attempt,
        });
        self.at = now;
        // What the page refuses, it would refuse again.
        let is_answer = status.is_some_and(|status| (200..300).contains(&status) || (400..500).contains(&status));
        match AGAIN_AFTER.get(usize::from(attempt).saturating_sub(1)) {
            Some(wait) if !is_answer => Turn::Stop(self.waits(step, WaitsOn::Time, Some(now + *wait), now)),
            _ => Turn::On(next),
        }
    }
}
