//! Reactions to an event of a contact: first the contact's carts, then its instances, then the workflows that it enters.
//!
//! Their records may change the contact again and so set off more reactions. These wait in a queue that is worked off in the turn of the
//! event. The queue is bounded for each contact. What would go beyond the bound is set aside, which people can see.

use policy::contact::ContactState;
use policy::filter::STEPS_MAX;
use policy::workflow::{Broke, CartTurn, Happened, MailHit, What};
use store::StateError;
use types::event::{Did, Event, Judged, Moved, SetAside};
use types::id::{EventId, PartitionId, PersonKey, ShopNumber};
use types::text::Line;
use types::time::Timestamp;

use super::Engine;
use crate::cart;
use crate::contact::says;
use crate::turn::Turn;

/// Reactions to one event of a contact at most. Without a bound, two workflows that move a contact to and fro between groups would never end.
const REACTIONS_MAX: usize = 64;

/// Something that happened to a contact, to be reacted to.
#[derive(Debug)]
pub(crate) struct Reaction {
    pub(crate) id: EventId,
    pub(crate) wall: Timestamp,
    pub(crate) contact: Contact,
    /// The contact as it was before, if that may have changed.
    pub(crate) before: Option<Box<ContactState>>,
    pub(crate) what: Happening,
}

/// Whose contact it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Contact {
    pub(crate) partition: PartitionId,
    pub(crate) person: PersonKey,
    pub(crate) shop: ShopNumber,
}

/// A contact that an event is about, as it was before.
#[derive(Debug)]
pub(crate) struct Watched {
    contact: Contact,
    before: Option<Box<ContactState>>,
}

/// What happened.
#[derive(Debug)]
pub(crate) enum Happening {
    Event(Box<Event>),
    Hits(Vec<MailHit>),
    Cart { id: Line<128>, turn: CartTurn },
}

impl Reaction {
    /// Returns it as the engine sees it.
    pub(crate) fn happened(&self) -> Happened<'_> {
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

impl Engine {
    /// Reacts to an event that was recorded, and to everything that the reactions set off.
    pub(crate) fn react(
        &mut self,
        turn: &mut Turn<'_>,
        (id, wall): (EventId, Timestamp),
        event: &Event,
        watched: Vec<Watched>,
    ) -> Result<(), StateError> {
        for Watched { contact, before } in watched {
            match event {
                Event::OrderAccepted(accepted) => cart::close(turn, contact, id, wall, &accepted.order)?,
                Event::CartChanged(changed) => {
                    let cart_turn = match &changed.cart {
                        Some(cart) if cart::is_open(turn, contact, changed)? => {
                            CartTurn::Touched(cart.touched_at.unwrap_or(wall))
                        }
                        _ => CartTurn::Closed,
                    };
                    turn.reactions.push_back(Reaction {
                        id,
                        wall,
                        contact,
                        before: None,
                        what: Happening::Cart {
                            id: changed.id.clone(),
                            turn: cart_turn,
                        },
                    });
                }
                _ => {}
            }
            turn.reactions.push_back(Reaction {
                id,
                wall,
                contact,
                before,
                what: Happening::Event(Box::new(event.clone())),
            });
            // Each contact has a bound of its own: one shop's workflows do not use up another's.
            self.work_off(turn)?;
        }
        Ok(())
    }

    /// Reacts to a verdict on a mail's opens and clicks, if anything could.
    pub(crate) fn react_to_hits(
        &mut self,
        turn: &mut Turn<'_>,
        partition: PartitionId,
        (id, wall): (EventId, Timestamp),
        judged: &Judged,
    ) -> Result<(), StateError> {
        if !self.cares(turn.context, judged.shop) {
            return Ok(());
        }
        let hits = turn.desks.mails.judged_hits(partition, judged)?;
        let Some(mail) = turn
            .desks
            .mails
            .get(partition, judged.message)?
            .filter(|_| !hits.is_empty())
        else {
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
        turn.reactions.push_back(Reaction {
            id,
            wall,
            contact,
            before: None,
            what: Happening::Hits(hits.collect()),
        });
        self.work_off(turn)
    }

    /// Works off the queue of reactions, also those that are added meanwhile.
    pub(crate) fn work_off(&mut self, turn: &mut Turn<'_>) -> Result<(), StateError> {
        let mut done = 0;
        self.renew_steps();
        let mut was_spent = false;
        while let Some(reaction) = turn.reactions.pop_front() {
            if done == REACTIONS_MAX {
                turn.reactions.clear();
                let aside = SetAside {
                    shop: Some(reaction.contact.shop),
                    object: reaction.id,
                    due: None,
                    fault: Line::try_from("it set off more than 64 reactions").expect("a short line"),
                    tries: 1,
                };
                return turn.set_aside(reaction.contact.partition, aside);
            }
            done += 1;
            turn.context.metrics.automation.reactions.inc();
            self.react_to(turn, &reaction)?;
            if self.has_spent() && !was_spent {
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
                turn.set_aside(reaction.contact.partition, aside)?;
            }
        }
        Ok(())
    }
}

/// Returns the contacts that an event is about, if it may set something off: as they are before it is recorded.
pub(crate) fn watch(
    engine: &mut Engine,
    turn: &mut Turn<'_>,
    partition: PartitionId,
    event: &Event,
) -> Result<Vec<Watched>, StateError> {
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
        Event::Unsubscribed(unsubscribed) => match turn.desks.mails.person_of(partition, unsubscribed.message)? {
            Some(person) => {
                let shops = turn.desks.contacts.shops_of(partition, person)?;
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
                    || !turn
                        .desks
                        .contacts
                        .get(partition, contact.person, contact.shop)?
                        .carts()
                        .is_empty()
            }
            _ => false,
        };
        if closes || engine.cares(turn.context, contact.shop) {
            let before = turn.desks.contacts.get(partition, contact.person, contact.shop)?;
            let before = before.exists().then(|| Box::new(before.clone()));
            watched.push(Watched { contact, before });
        }
    }
    Ok(watched)
}

/// Sets a reaction aside that a damaged row made impossible. The event itself stays recorded.
pub(crate) fn settle_reaction(
    turn: &mut Turn<'_>,
    partition: PartitionId,
    id: EventId,
    reacted: Result<(), StateError>,
) -> Result<(), StateError> {
    let Err(StateError::Malformed(fault)) = reacted else {
        return reacted;
    };
    turn.reactions.clear();
    let aside = SetAside {
        shop: None,
        object: id,
        due: None,
        fault: Broke::at(None, &fault).fault,
        tries: 1,
    };
    turn.set_aside(partition, aside)
}

/// Records what an instance did. If that changed the contact, the contact's other instances will react.
pub(crate) fn record_moved(
    turn: &mut Turn<'_>,
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
        let before = turn.desks.contacts.get(partition, moved.person, moved.shop)?;
        Some(Box::new(before.clone()))
    } else {
        None
    };
    let event = Event::Moved(Box::new(moved));
    turn.record_as(partition, id, wall, &event)?;
    if before.is_some() {
        turn.reactions.push_back(Reaction {
            id,
            wall,
            contact,
            before,
            what: Happening::Event(Box::new(event)),
        });
    }
    Ok(())
}
