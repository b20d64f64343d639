//! The mails that a way asks for: decided while the way is under way, recorded when it is done.

use std::sync::Arc;

use policy::workflow::{Broke, Done, Send, Sent, Want, Way, Webhook};
use policy::{Decision, MessageFacts, PersonState};
use store::StateError;
use types::catalogue::{Catalogue, TemplateKind};
use types::event::{Decided, Event, MessageAccepted, Origin, Verdict};
use types::id::{EventId, MessageId, PublicId};
use types::order::{Body, MessageRequest};
use types::port::{Admission, Call};
use types::time::Timestamp;

use super::reactions::Contact;
use crate::mail::Own;
use crate::turn::{Context, Turn};

/// Answers a way's requests for mails, as policy decides, and keeps the decisions. It records nothing: if the way breaks, they are dropped,
/// and each gives its place of admission back.
pub(super) struct Sends<'a> {
    context: &'a Context,
    catalogue: &'a Arc<Catalogue>,
    contact: Contact,
    now: Timestamp,
    /// The id that the way's first record will have: the instance's, if the way begins one.
    begins: EventId,
    /// The person, with the mails of this way folded in: a second mail of the way counts towards its caps.
    person: PersonState,
    allowed: Vec<Allowed>,
}

/// A mail that policy allows.
pub(super) struct Allowed {
    request: MessageRequest,
    origin: Origin,
    cause: EventId,
    decided: EventId,
    verdict: Verdict,
    admission: Admission,
}

impl<'a> Sends<'a> {
    pub(super) const fn new(
        context: &'a Context,
        catalogue: &'a Arc<Catalogue>,
        contact: Contact,
        (begins, now): (EventId, Timestamp),
        person: PersonState,
    ) -> Self {
        Self {
            context,
            catalogue,
            contact,
            now,
            begins,
            person,
            allowed: Vec::new(),
        }
    }

    /// Answers a way until it is done. Returns what it came to, and the mails that it was allowed.
    pub(super) fn walk(mut self, mut way: Way<'_>) -> Result<(Done, Vec<Allowed>), Broke> {
        loop {
            match way.go()? {
                Want::Send(send) => way.sent(self.decide(*send)),
                Want::Done(done) => return Ok((done, self.allowed)),
            }
        }
    }

    fn decide(&mut self, send: Send) -> Sent {
        let Contact { person, shop, .. } = self.contact;
        let template = match &send.request.body {
            Body::Template(template) => self.catalogue.template(shop, &template.id),
            Body::Content(_) | Body::Cart(_) => None,
        };
        let home = self.catalogue.shop_by_number(shop);
        let (Some(template), Some(home)) = (template, home) else {
            return Sent::NoTemplate;
        };
        if template.spec.kind != TemplateKind::Message {
            return Sent::NoTemplate;
        }
        let Some(admission) = self.context.deps.store.intake().try_admit() else {
            return Sent::Busy;
        };
        let origin = Origin::Workflow {
            workflow: send.workflow,
            step: send.step,
            instance: send.instance.or(Some(self.begins)),
        };
        let accepted = Event::MessageAccepted(Box::new(MessageAccepted {
            shop,
            person,
            request: send.request.clone(),
            claims: Vec::new(),
            origin: Some(origin.clone()),
        }));
        // The request's consent is folded in before policy is asked, as for any message. It stays only if the mail is allowed.
        let mut asked = self.person.clone();
        asked.apply(self.now, &accepted);
        let facts = MessageFacts {
            request: &send.request,
            origin: Some(&origin),
            accepted_at: self.now,
            shop: home,
            catalogue: self.catalogue.version(),
            person: &asked,
            settings: &self.context.settings.policy,
        };
        let draft = match policy::decide_message(&facts, self.now) {
            Decision::Send(draft) => draft,
            Decision::Refuse(refusals) => return Sent::Refused(refusals),
        };
        let cause = self.context.mint();
        let message = MessageId::new(self.context.mint());
        let verdict = Decision::Send(draft).verdict(|| message);
        let decided = Decided {
            cause,
            shop,
            person,
            verdict: verdict.clone(),
        };
        asked.apply(self.now, &Event::Decided(Box::new(decided)));
        self.person = asked;
        self.allowed.push(Allowed {
            request: send.request,
            origin,
            cause,
            // Ids rise in the order in which people read what happened.
            decided: self.context.mint(),
            verdict,
            admission,
        });
        Sent::Accepted {
            accepted: cause,
            message,
        }
    }
}

/// Records the mails that a way was allowed.
pub(super) fn record(
    turn: &mut Turn<'_>,
    contact: Contact,
    catalogue: &Arc<Catalogue>,
    now: Timestamp,
    allowed: Vec<Allowed>,
) -> Result<(), StateError> {
    for mail in allowed {
        let Allowed {
            request,
            origin,
            cause,
            decided,
            verdict,
            admission,
        } = mail;
        let own = Own {
            partition: contact.partition,
            shop: contact.shop,
            person: contact.person,
            request,
            origin,
            catalogue: Arc::clone(catalogue),
            admission,
        };
        turn.send_own(own, (cause, decided), verdict, now)?;
    }
    Ok(())
}

/// Returns the call that a way makes; `begins` is the id of the instance if the way begins it.
pub(super) fn call(contact: Contact, begins: EventId, webhook: &Webhook) -> Call {
    let instance = webhook.instance.unwrap_or(begins);
    let id = PublicId {
        partition: contact.partition,
        event: instance,
    };
    Call {
        shop: contact.shop,
        step: webhook.told.step.clone(),
        partition: contact.partition,
        instance,
        epoch: webhook.epoch,
        url: webhook.url.clone(),
        body: webhook.body(id),
    }
}
