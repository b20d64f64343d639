//! Records what policy decided on a request and makes the mail that the decision plans. Every mail is made here.
//!
//! Orders and messages of shops, steps of workflows and reminders of carts come here. A start comes here for mails that
//! were decided and never rendered ([`Asked::mail`]). The turn passes its mails on when its records are appended.

use std::sync::Arc;

use store::StateError;
use types::catalogue::Catalogue;
use types::event::{Decided, Event, MessageAccepted, Origin, Plan, Verdict};
use types::id::{EventId, PartitionId, PersonKey, ShopNumber};
use types::order::MessageRequest;
use types::port::{Admission, Mail, Request};
use types::time::Timestamp;

use crate::turn::Turn;

/// A request for a mail that was accepted.
pub(crate) struct Asked {
    /// The person's partition.
    pub(crate) partition: PartitionId,
    /// The accepted event.
    pub(crate) cause: EventId,
    /// When that was accepted.
    pub(crate) accepted_at: Timestamp,
    /// Whose shop it is.
    pub(crate) shop: ShopNumber,
    /// What was asked for.
    pub(crate) request: Request,
    /// The workflow step or cart that asked for it; `None` if the shop did.
    pub(crate) origin: Option<Origin>,
    /// The catalogue that it is decided by.
    pub(crate) catalogue: Arc<Catalogue>,
    /// Its place of admission: it is held until the mail is spooled.
    pub(crate) admission: Admission,
}

impl Asked {
    /// Returns the mail that a plan makes of it.
    pub(crate) fn mail(self, plan: Plan) -> Mail {
        let Self {
            partition,
            cause,
            accepted_at,
            shop,
            request,
            origin,
            catalogue,
            admission,
        } = self;
        Mail {
            partition,
            cause,
            plan,
            request,
            catalogue,
            shop,
            accepted_at,
            origin,
            doubted: false,
            admission,
        }
    }
}

/// A message that a workflow step or a cart's reminder asks for.
pub(crate) struct Own {
    pub(crate) partition: PartitionId,
    pub(crate) shop: ShopNumber,
    pub(crate) person: PersonKey,
    pub(crate) request: MessageRequest,
    pub(crate) origin: Origin,
    pub(crate) catalogue: Arc<Catalogue>,
    pub(crate) admission: Admission,
}

impl Turn<'_> {
    /// Records under `id` what was decided on a request of `person`, as of `wall`, and makes the mail that it plans.
    pub(crate) fn conclude(
        &mut self,
        id: EventId,
        asked: Asked,
        person: PersonKey,
        verdict: Verdict,
        wall: Timestamp,
    ) -> Result<(), StateError> {
        self.context.metrics.count(&verdict);
        let decided = Decided {
            cause: asked.cause,
            shop: asked.shop,
            person,
            verdict,
        };
        let partition = asked.partition;
        if let Some(plan) = decided.plan() {
            self.mails.push(asked.mail(plan.clone()));
        }
        self.record_as(partition, id, wall, &Event::Decided(Box::new(decided)))
    }

    /// Records the request of a workflow step or a reminder and the decision on it, under ids that were minted for both. Makes the
    /// mail that the decision plans. All records have the time `wall`.
    pub(crate) fn send_own(
        &mut self,
        own: Own,
        (cause, decided): (EventId, EventId),
        verdict: Verdict,
        wall: Timestamp,
    ) -> Result<(), StateError> {
        let Own {
            partition,
            shop,
            person,
            request,
            origin,
            catalogue,
            admission,
        } = own;
        let asked = Asked {
            partition,
            cause,
            accepted_at: wall,
            shop,
            request: Request::Message(Arc::new(request.clone())),
            origin: Some(origin.clone()),
            catalogue,
            admission,
        };
        let accepted = MessageAccepted {
            shop,
            person,
            request,
            claims: Vec::new(),
            origin: Some(origin),
        };
        self.record_as(partition, cause, wall, &Event::MessageAccepted(Box::new(accepted)))?;
        self.conclude(decided, asked, person, verdict, wall)
    }
}
