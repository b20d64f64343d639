//! The hands that the engine is lent while it walks: what it asks for is decided and recorded in the turn of its cause.

use std::sync::Arc;

use policy::workflow::{Hands, Send, Sent, Webhook};
use policy::{Decision, MessageFacts};
use store::StateError;
use types::catalogue::{Catalogue, TemplateKind};
use types::event::{Event, MessageAccepted, Origin};
use types::id::{EventId, MessageId, PublicId};
use types::order::Body;
use types::port::Call;
use types::time::Timestamp;

use super::reactions::Contact;
use super::sending::Own;
use super::{Runner, Work};

/// What the engine may do while it walks.
pub(super) struct Lent<'a> {
    pub(super) runner: &'a mut Runner,
    pub(super) work: &'a mut Work,
    pub(super) contact: Contact,
    pub(super) catalogue: Arc<Catalogue>,
    pub(super) now: Timestamp,
    /// The id that the record of an instance which is begun will have.
    pub(super) begins: EventId,
    /// What it asked to be called; called only if its records are made.
    pub(super) calls: Vec<Call>,
    /// Why it could not be served.
    pub(super) error: Option<StateError>,
}

impl Hands for Lent<'_> {
    fn send(&mut self, send: Send<'_>) -> Sent {
        match self.try_send(send) {
            Ok(answer) => answer,
            Err(error) => {
                self.error = Some(error);
                Sent::Busy
            }
        }
    }

    fn call(&mut self, webhook: Webhook<'_>) {
        let instance = webhook.instance.unwrap_or(self.begins);
        let id = PublicId {
            partition: self.contact.partition,
            event: instance,
        };
        self.calls.push(Call {
            shop: self.contact.shop,
            step: webhook.told.step.clone(),
            partition: self.contact.partition,
            instance,
            epoch: webhook.epoch,
            url: webhook.url.clone(),
            body: webhook.body(id),
        });
    }
}

impl Lent<'_> {
    fn try_send(&mut self, send: Send<'_>) -> Result<Sent, StateError> {
        let Contact {
            partition,
            person,
            shop,
        } = self.contact;
        let template = match &send.request.body {
            Body::Template(template) => self.catalogue.template(shop, &template.id),
            Body::Content(_) | Body::Cart(_) => None,
        };
        let home = self.catalogue.shop_by_number(shop);
        let (Some(template), Some(home)) = (template, home) else {
            return Ok(Sent::NoTemplate);
        };
        if template.spec.kind != TemplateKind::Message {
            return Ok(Sent::NoTemplate);
        }
        let Some(admission) = self.runner.deps.store.intake().try_admit() else {
            return Ok(Sent::Busy);
        };
        let origin = Origin::Workflow {
            workflow: send.workflow,
            step: send.step.clone(),
            instance: send.instance.or(Some(self.begins)),
        };
        let accepted = Event::MessageAccepted(Box::new(MessageAccepted {
            shop,
            person,
            request: send.request.clone(),
            claims: Vec::new(),
            origin: Some(origin.clone()),
        }));
        // What the request says was agreed to is folded in before policy is asked, as for any message; recorded it is only if it goes.
        let mut asked = self.runner.fold.person(partition, person)?.clone();
        let _withdrawn = asked.apply(self.now, &accepted);
        let facts = MessageFacts {
            request: &send.request,
            origin: Some(&origin),
            accepted_at: self.now,
            shop: home,
            catalogue: self.catalogue.version(),
            person: &asked,
            settings: &self.runner.settings.policy,
        };
        let draft = match policy::decide_message(&facts, self.now) {
            Decision::Send(draft) => draft,
            Decision::Refuse(refusals) => return Ok(Sent::Refused(refusals)),
        };
        let cause = self.runner.deps.store.journal().mint();
        let message = MessageId::new(self.runner.deps.store.journal().mint());
        let verdict = Decision::Send(draft).verdict(|| message);
        let own = Own {
            partition,
            shop,
            person,
            request: send.request,
            origin,
            catalogue: Arc::clone(&self.catalogue),
            admission,
        };
        self.runner.send_own(self.work, own, cause, verdict, self.now)?;
        Ok(Sent::Accepted {
            accepted: cause,
            message,
        })
    }
}
