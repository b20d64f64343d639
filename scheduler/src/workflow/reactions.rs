//! What an event of a contact sets off: its carts first, then its ways through workflows, then those that it begins.
//!
//! What these record may change the contact again, and so set off more: a queue, worked through in the turn of the event. It is
//! bounded for each contact; what is beyond is set aside, and not silently dropped.

use std::collections::VecDeque;

use policy::contact::ContactState;
use policy::filter::STEPS_MAX;
use policy::workflow::{Broke, CartTurn, Happened, MailHit, What};
use store::StateError;
use types::event::{Did, Event, Judged, Moved, SetAside};
use types::id::{EventId, PartitionId, PersonKey, ShopNumber};
use types::text::Line;
use types::time::Timestamp;

use super::{Runner, Work};
use crate::fold::says;

/// Reactions to one event of a contact at most. A workflow that moves contacts between groups which bring them back would never end.
const REACTIONS_MAX: usize = 64;

/// Something that happened to a contact, to be reacted to.
#[derive(Debug)]
pub(super) struct Reaction {
    pub(super) id: EventId,
    pub(super) wall: Timestamp,
    pub(super) contact: Contact,
    /// The contact as it was before, if that may have changed.
    pub(super) before: Option<Box<ContactState>>,
    pub(super) what: Happening,
}

/// Whose contact it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Contact {
    pub(super) partition: PartitionId,
    pub(super) person: PersonKey,
    pub(super) shop: ShopNumber,
}

/// A contact that an event is about, as it was before.
#[derive(Debug)]
pub(super) struct Watched {
    contact: Contact,
    before: Option<Box<ContactState>>,
}

/// What happened.
#[derive(Debug)]
pub(super) enum Happening {
    Event(Box<Event>),
    Hits(Vec<MailHit>),
    Cart { id: Line<128>, turn: CartTurn },
}

/// What is reacted to in the running turn.
#[derive(Debug, Default)]
pub(super) struct Reactions {
    queue: VecDeque<Reaction>,
}

impl Reactions {
    pub(super) fn push(&mut self, reaction: Reaction) {
        self.queue.push_back(reaction);
    }
}

impl Reaction {
    /// Returns it as the engine sees it.
    pub(super) fn happened(&self) -> Happened<'_> {
        Happened {
            id: self.id,
            wall: self.wall,
            before: self.before.as_deref(),
            what: match &self.what {
                Happening::Event(event) => What::Event(event),
                Happening::Hits(hits) => What::Hits(hits),
                Happening::Cart { id, turn } => What::Cart { id, turn: *turn },
            },
        }
    }
}

impl Runner {
    /// Returns the contacts that an event is about, if it may set something off: as they are before it is recorded.
    pub(super) fn watch(&mut self, partition: PartitionId, event: &Event) -> Result<Vec<Watched>, StateError> {
        let of = |person, shop| Contact {
            partition,
            person,
            shop,
        };
        let contacts = match event {
            Event::OrderAccepted(accepted) => vec![of(accepted.person, accepted.shop)],
            Event::ContactChanged(changed) => vec![of(changed.person, changed.shop)],
            Event::EventReported(reported) => vec![of(reported.person, reported.shop)],
            Event::CartChanged(changed) => vec![of(changed.person, changed.shop)],
            Event::MessageAccepted(accepted) if says(accepted.request.consent.marketing.as_ref()) => {
                vec![of(accepted.person, accepted.shop)]
            }
            Event::Unsubscribed(unsubscribed) => match self.fold.person_of(partition, unsubscribed.message)? {
                Some(person) => {
                    let shops = self.fold.shops_of(partition, person)?;
                    shops.into_iter().map(|shop| of(person, shop)).collect()
                }
                None => Vec::new(),
            },
            _ => Vec::new(),
        };
        let mut watched = Vec::new();
        for contact in contacts {
            // Carts are closed by orders whether or not their shop still reminds of them.
            let closes = match event {
                Event::OrderAccepted(accepted) => {
                    accepted.order.cart_id.is_some()
                        || !self
                            .fold
                            .contact(partition, contact.person, contact.shop)?
                            .carts()
                            .is_empty()
                }
                _ => false,
            };
            if closes || self.cares(contact.shop) {
                let before = self.fold.contact(partition, contact.person, contact.shop)?;
                let before = before.exists().then(|| Box::new(before.clone()));
                watched.push(Watched { contact, before });
            }
        }
        Ok(watched)
    }

    /// Reacts to an event that was recorded, and to all that this sets off.
    pub(super) fn react(
        &mut self,
        work: &mut Work,
        (id, wall): (EventId, Timestamp),
        event: &Event,
        watched: Vec<Watched>,
    ) -> Result<(), StateError> {
        for Watched { contact, before } in watched {
            match event {
                Event::OrderAccepted(accepted) => self.close_cart(work, contact, id, wall, &accepted.order)?,
                Event::CartChanged(changed) => {
                    let turn = match &changed.cart {
                        Some(cart) if self.is_open(contact, changed)? => {
                            CartTurn::Touched(cart.touched_at.unwrap_or(wall))
                        }
                        _ => CartTurn::Closed,
                    };
                    work.reactions.push(Reaction {
                        id,
                        wall,
                        contact,
                        before: None,
                        what: Happening::Cart {
                            id: changed.id.clone(),
                            turn,
                        },
                    });
                }
                _ => {}
            }
            work.reactions.push(Reaction {
                id,
                wall,
                contact,
                before,
                what: Happening::Event(Box::new(event.clone())),
            });
            // Each contact by itself: what is too much for one shop's workflows is no matter of another's.
            self.work_off(work)?;
        }
        Ok(())
    }

    /// Tells of a reaction that a damaged row made impossible: what it was to is recorded all the same.
    pub(super) fn settle_reaction(
        &mut self,
        work: &mut Work,
        partition: PartitionId,
        id: EventId,
        reacted: Result<(), StateError>,
    ) -> Result<(), StateError> {
        let Err(StateError::Malformed(fault)) = reacted else {
            return reacted;
        };
        work.reactions = Reactions::default();
        let aside = SetAside {
            shop: None,
            object: id,
            due: None,
            fault: Broke::at(None, &fault).fault,
            tries: 1,
        };
        self.set_aside(work, partition, aside)
    }

    /// Reacts to a verdict on a mail's opens and clicks, if anything could.
    pub(super) fn react_to_hits(
        &mut self,
        work: &mut Work,
        partition: PartitionId,
        (id, wall): (EventId, Timestamp),
        judged: &Judged,
    ) -> Result<(), StateError> {
        if !self.cares(judged.shop) {
            return Ok(());
        }
        let hits = self.fold.judged_hits(partition, judged.message, judged)?;
        let Some(mail) = self.fold.mail(partition, judged.message)?.filter(|_| !hits.is_empty()) else {
            return Ok(());
        };
        let contact = Contact {
            partition,
            person: *mail.person(),
            shop: mail.shop(),
        };
        let template = mail.template().cloned();
        let hits = hits.into_iter().map(|(kind, at, class)| MailHit {
            message: judged.message,
            template: template.clone(),
            kind,
            at,
            class,
        });
        work.reactions.push(Reaction {
            id,
            wall,
            contact,
            before: None,
            what: Happening::Hits(hits.collect()),
        });
        self.work_off(work)
    }

    /// Works off what is to be reacted to, and what that sets off.
    pub(super) fn work_off(&mut self, work: &mut Work) -> Result<(), StateError> {
        let mut done = 0;
        self.engine.renew_steps();
        let mut was_spent = false;
        while let Some(reaction) = work.reactions.queue.pop_front() {
            if done == REACTIONS_MAX {
                work.reactions.queue.clear();
                let aside = SetAside {
                    shop: Some(reaction.contact.shop),
                    object: reaction.id,
                    due: None,
                    fault: Line::try_from("it set off more than 64 reactions").expect("a short line"),
                    tries: 1,
                };
                return self.set_aside(work, reaction.contact.partition, aside);
            }
            done += 1;
            self.metrics.automation.reactions.inc();
            self.react_workflows(work, &reaction)?;
            if self.engine.has_spent() && !was_spent {
                was_spent = true;
                let fault = format!(
                    "the filters of its shop's workflows cost more than {STEPS_MAX} steps: not all of them reacted to it"
                );
                let aside = SetAside {
                    shop: Some(reaction.contact.shop),
                    object: reaction.id,
                    due: None,
                    fault: Broke::at(None, &fault).fault,
                    tries: 1,
                };
                self.set_aside(work, reaction.contact.partition, aside)?;
            }
        }
        Ok(())
    }

    /// Records what an instance did, and has its contact's other ways react if it changed the contact.
    pub(super) fn record_moved(
        &mut self,
        work: &mut Work,
        partition: PartitionId,
        id: EventId,
        wall: Timestamp,
        moved: Moved,
    ) -> Result<(), StateError> {
        let contact = Contact {
            partition,
            person: moved.person,
            shop: moved.shop,
        };
        let groups = moved.did.iter().any(|did| matches!(did, Did::Grouped { .. }));
        let before = if groups {
            let before = self.fold.contact(partition, moved.person, moved.shop)?;
            Some(Box::new(before.clone()))
        } else {
            None
        };
        let event = Event::Moved(Box::new(moved));
        self.record_as(work, partition, id, wall, &event)?;
        if before.is_some() {
            work.reactions.push(Reaction {
                id,
                wall,
                contact,
                before,
                what: Happening::Event(Box::new(event)),
            });
        }
        Ok(())
    }

    /// Records that something could not be done.
    pub(super) fn set_aside(
        &mut self,
        work: &mut Work,
        partition: PartitionId,
        aside: SetAside,
    ) -> Result<(), StateError> {
        tracing::error!(object = ?aside.object, fault = %aside.fault, tries = aside.tries, "set aside");
        self.metrics.automation.set_aside.inc();
        self.record(work, partition, &Event::SetAside(Box::new(aside)))?;
        Ok(())
    }
}
