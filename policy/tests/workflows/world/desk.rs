//! Answers a way's requests for mails as a runner does. It is no desk of `scheduler`.

use policy::workflow::{Broke, Send, Sent, Want, Way, Webhook};
use policy::{Decision, MessageFacts, PersonState, Settings, decide_message};
use types::catalogue::Catalogue;
use types::event::{Decided, Event, MessageAccepted, Moved, Origin, Refusal, Verdict};
use types::id::{EventId, IdMint, MessageId, PartitionId, PublicId};
use types::time::Timestamp;

use super::{Called, Mail, PERSON, SHOP};

/// Decides as policy does.
pub(super) struct Desk<'a> {
    pub(super) now: Timestamp,
    pub(super) catalogue: &'a Catalogue,
    pub(super) settings: &'a Settings,
    pub(super) mint: &'a IdMint,
    pub(super) person: &'a mut PersonState,
    pub(super) busy: &'a mut u32,
    pub(super) refuse: &'a [Refusal],
    pub(super) sent: Vec<(Mail, Option<EventId>)>,
    pub(super) called: Vec<Called>,
}

impl Desk<'_> {
    /// Answers a way until it is done; returns its records.
    pub(super) fn walk(&mut self, way: Result<Way<'_>, Broke>) -> Result<Vec<Moved>, Broke> {
        let mut way = way?;
        loop {
            match way.go()? {
                Want::Send(send) => way.sent(self.send(*send)),
                Want::Done(done) => {
                    done.calls.into_iter().for_each(|webhook| self.call(&webhook));
                    return Ok(done.records);
                }
            }
        }
    }

    fn send(&mut self, send: Send) -> Sent {
        let types::order::Body::Template(used) = &send.request.body else {
            panic!("a step's mail is made with a template");
        };
        if self.catalogue.template(SHOP, &used.id).is_none() {
            return Sent::NoTemplate;
        }
        if *self.busy > 0 {
            *self.busy -= 1;
            return Sent::Busy;
        }
        if !self.refuse.is_empty() {
            return Sent::Refused(self.refuse.to_vec());
        }
        let origin = Origin::Workflow {
            workflow: send.workflow,
            step: send.step.clone(),
            instance: send.instance,
        };
        let accepted = self.mint.mint(self.now);
        let asked = Event::MessageAccepted(Box::new(MessageAccepted {
            shop: SHOP,
            person: PERSON,
            request: send.request.clone(),
            claims: Vec::new(),
            origin: Some(origin.clone()),
        }));
        self.person.apply(self.now, &asked);
        let facts = MessageFacts {
            request: &send.request,
            origin: Some(&origin),
            accepted_at: self.now,
            shop: self.catalogue.shop_by_number(SHOP).unwrap(),
            catalogue: self.catalogue.version(),
            person: self.person,
            settings: self.settings,
        };
        let message = MessageId::new(self.mint.mint(self.now));
        match decide_message(&facts, self.now) {
            Decision::Refuse(refusals) => Sent::Refused(refusals),
            decision @ Decision::Send(_) => {
                let verdict: Verdict = decision.verdict(|| message);
                self.person.apply(
                    self.now,
                    &Event::Decided(Box::new(Decided {
                        cause: accepted,
                        shop: SHOP,
                        person: PERSON,
                        verdict,
                    })),
                );
                let mail = Mail {
                    at: self.now,
                    message,
                    workflow: send.workflow,
                    step: send.step.clone(),
                    instance: EventId::from_raw(0),
                    request: send.request,
                };
                self.sent.push((mail, send.instance));
                Sent::Accepted { accepted, message }
            }
        }
    }

    fn call(&mut self, webhook: &Webhook) {
        let instance = webhook.instance.unwrap_or(EventId::from_raw(0));
        let public = PublicId {
            partition: PartitionId::new(0).unwrap(),
            event: instance,
        };
        self.called.push(Called {
            at: self.now,
            instance,
            epoch: webhook.epoch,
            body: serde_json::from_str(&webhook.body(public)).unwrap(),
        });
    }
}
