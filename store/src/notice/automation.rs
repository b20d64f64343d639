//! What contacts, carts and workflows have to tell: names of a shop's own making, and nothing that a person wrote or is.

use serde::Serialize;
use types::cart::{Payment, Reminder};
use types::contact::Channel;
use types::event::{
    CartChanged, CartDecided, CartVerdict, ContactChanged, Did, EventReported, MoveCause, Moved, Place, Refusal,
    WaitEnded, WaitsOn,
};
use types::id::{EventId, PublicId};
use types::money::Money;
use types::text::Slug;
use types::time::Timestamp;

use super::tell::{Teller, Told};
use super::{What, optional_text, text};

/// What somebody said about one channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct ConsentTold {
    /// Which channel.
    pub channel: Channel,
    /// Yes or no.
    pub granted: bool,
}

/// How an instance of a workflow moved.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct MoveTold {
    /// The workflow's id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub workflow: Option<Slug>,
    /// The version with which the contact entered.
    pub version: u32,
    /// The instance: the same in all that is told of it.
    #[serde(serialize_with = "text")]
    pub instance: PublicId,
    /// Why now: `event`, `timer`, `activation`, `zone` or `fault`.
    pub cause: &'static str,
    /// The event that did it.
    #[serde(serialize_with = "optional_text", skip_serializing_if = "Option::is_none")]
    pub event: Option<PublicId>,
    /// What happened, in order.
    pub did: Vec<DidTold>,
    /// For what it waits now; missing if it is over.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub waits: Option<WaitsTold>,
}

/// For what an instance waits.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct WaitsTold {
    /// At which step; missing before the first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub step: Option<Slug>,
    /// For what.
    pub on: WaitsOn,
    /// When it goes on by itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub due: Option<Timestamp>,
}

/// One thing that an instance did.
#[expect(missing_docs, reason = "docs/formats/events.md tells each field")]
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "did", rename_all = "snake_case")]
pub enum DidTold {
    Entered,
    Reached {
        step: Slug,
    },
    Sent {
        step: Slug,
        #[serde(serialize_with = "text")]
        message: PublicId,
    },
    Suppressed {
        step: Slug,
        reason: &'static str,
        #[serde(skip_serializing_if = "Vec::is_empty")]
        refusals: Vec<&'static str>,
    },
    Delayed {
        step: Slug,
        until: Timestamp,
        rules: Vec<String>,
    },
    Branched {
        step: Slug,
        held: bool,
    },
    Waited {
        step: Slug,
        ended: WaitEnded,
    },
    Grouped {
        #[serde(skip_serializing_if = "Option::is_none")]
        step: Option<Slug>,
        #[serde(skip_serializing_if = "Option::is_none")]
        join: Option<Slug>,
        #[serde(skip_serializing_if = "Option::is_none")]
        leave: Option<Slug>,
    },
    Called {
        step: Slug,
        #[serde(skip_serializing_if = "Option::is_none")]
        status: Option<u16>,
        attempt: u8,
    },
    Broke {
        #[serde(skip_serializing_if = "Option::is_none")]
        step: Option<Slug>,
    },
}

/// A reminder of a cart, and which.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct ReminderOf {
    /// The cart: the event by which it was first put.
    #[serde(serialize_with = "text")]
    pub cart: PublicId,
    /// Which.
    pub reminder: Reminder,
}

/// What a cart comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct CartTold {
    /// How many lines it has.
    pub lines: usize,
    /// What it comes to.
    pub total: Money,
    /// Where the payment of its order stands.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub payment: Option<Payment>,
}

impl Teller<'_> {
    pub(super) fn contact(changed: &ContactChanged) -> Told {
        let change = &changed.change;
        let consents = change.consents.iter().map(|consent| ConsentTold {
            channel: consent.channel,
            granted: consent.statement.granted,
        });
        let what = What::ContactChanged {
            source: changed.source,
            fields: change.fields.keys().cloned().collect(),
            join: change.join.clone(),
            leave: change.leave.clone(),
            consents: consents.collect(),
        };
        (Some(changed.shop), None, what)
    }

    pub(super) fn reported(event: &EventReported) -> Told {
        let what = What::EventReported {
            name: event.name.clone(),
            happened_at: event.at,
        };
        (Some(event.shop), None, what)
    }

    /// Tells of a touch, whose record has this id: a cart is named by the first.
    pub(super) fn cart(&self, id: EventId, changed: &CartChanged) -> Told {
        let cart = changed.cart.as_ref().map(|cart| CartTold {
            lines: cart.items.len(),
            total: cart.total,
            payment: cart.payment,
        });
        let what = What::CartChanged {
            cart: self.public(changed.object.unwrap_or(id)),
            deleted: cart.is_none(),
            now: cart,
            due: changed.next.map(|next| next.due),
        };
        (Some(changed.shop), None, what)
    }

    pub(super) fn cart_decided(&self, decided: &CartDecided) -> Told {
        let cart = self.public(decided.cart);
        let of = |reminder| ReminderOf { cart, reminder };
        let (message, what) = match &decided.verdict {
            CartVerdict::Reminded {
                reminder,
                message,
                test,
                ..
            } => {
                let what = What::CartReminded {
                    of: of(*reminder),
                    test: *test,
                };
                (Some(*message), what)
            }
            CartVerdict::Suppressed {
                reminder,
                reasons,
                refusals,
            } => {
                let what = What::CartSuppressed {
                    of: of(*reminder),
                    reasons: reasons.iter().map(|reason| reason.code()).collect(),
                    refusals: codes(refusals),
                };
                (None, what)
            }
            CartVerdict::WouldRemind { reminder } => (None, What::CartWouldRemind { of: of(*reminder) }),
            CartVerdict::Ordered { order, total, recovery } => {
                let what = What::CartOrdered {
                    cart,
                    order: self.public(*order),
                    total: *total,
                    recovery: *recovery,
                };
                (None, what)
            }
        };
        (Some(decided.shop), message, what)
    }

    /// Tells of a move, whose record has this id: an instance is named by the first.
    pub(super) fn moved(&self, id: EventId, moved: &Moved) -> Told {
        let (cause, event) = match moved.cause {
            MoveCause::Event(event) => ("event", Some(self.public(event))),
            MoveCause::Timer(_) => ("timer", None),
            MoveCause::Activation(_) => ("activation", None),
            MoveCause::Zone => ("zone", None),
            MoveCause::Fault => ("fault", None),
        };
        let waits = match &moved.place {
            Place::Waits(waits) => Some(WaitsTold {
                step: waits.step.clone(),
                on: waits.on,
                due: waits.due,
            }),
            Place::Left(_) => None,
        };
        let workflow = self.catalogue.workflow_by_number(moved.workflow);
        let told = MoveTold {
            workflow: workflow.map(|workflow| workflow.id.clone()),
            version: moved.version,
            instance: self.public(moved.instance.unwrap_or(id)),
            cause,
            event,
            did: moved.did.iter().map(|did| self.did(did)).collect(),
            waits,
        };
        let what = match &moved.place {
            Place::Left(leave) => What::WorkflowLeft {
                moved: told,
                reason: leave.code(),
            },
            Place::Waits(_) if moved.did.contains(&Did::Entered) => What::WorkflowEntered { moved: told },
            Place::Waits(_) => What::WorkflowMoved { moved: told },
        };
        (Some(moved.shop), None, what)
    }

    fn did(&self, did: &Did) -> DidTold {
        match did {
            Did::Entered => DidTold::Entered,
            Did::Reached { step } => DidTold::Reached { step: step.clone() },
            Did::Sent { step, message, .. } => DidTold::Sent {
                step: step.clone(),
                message: self.public(message.event()),
            },
            Did::Suppressed { step, reason, refusals } => DidTold::Suppressed {
                step: step.clone(),
                reason: reason.code(),
                refusals: codes(refusals),
            },
            Did::Delayed { step, until, rules } => DidTold::Delayed {
                step: step.clone(),
                until: *until,
                rules: rules.iter().map(ToString::to_string).collect(),
            },
            Did::Branched { step, held } => DidTold::Branched {
                step: step.clone(),
                held: *held,
            },
            Did::Waited { step, ended } => DidTold::Waited {
                step: step.clone(),
                ended: *ended,
            },
            Did::Grouped { step, join, leave } => DidTold::Grouped {
                step: step.clone(),
                join: join.clone(),
                leave: leave.clone(),
            },
            Did::Called { step, status, attempt } => DidTold::Called {
                step: step.clone(),
                status: *status,
                attempt: *attempt,
            },
            // What went wrong is in words that may hold a person's: the API tells it.
            Did::Broke { step, .. } => DidTold::Broke { step: step.clone() },
        }
    }
}

fn codes(refusals: &[Refusal]) -> Vec<&'static str> {
    refusals.iter().map(|refusal| refusal.code()).collect()
}
