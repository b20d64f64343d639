//! A submission on its way: refused, or recorded, and then given to the deciders that it concerns.
//!
//! A new event that has to be refused, filled in or decided on gets its arm here.

use store::intake::Submission;
use types::contact::ContactSource;
use types::event::{AttemptEnded, Event, Outcome};
use types::id::{EventId, PartitionId};
use types::port::Admission;

use super::Deciders;
use crate::turn::{Fault, Turn};
use crate::workflow::{settle_reaction, watch};
use crate::{cart, lead};

impl Deciders {
    /// Takes a submission. Its caller is answered once the record is durable, or at once if the submission is refused.
    pub(super) fn take(&mut self, turn: &mut Turn<'_>, submission: Submission) {
        let Submission {
            partition,
            event,
            admission,
            receipt,
        } = submission;
        match self.record(turn, partition, &event, admission) {
            Ok(id) => {
                if let Some(receipt) = receipt {
                    turn.answer(receipt, id);
                }
            }
            Err(fault) => {
                let error = turn.context.explain(fault);
                // A caller that no longer waits loses nothing.
                let _ = receipt.map(|receipt| receipt.send(Err(error)));
            }
        }
    }

    /// Records an event, and the decisions that it causes, in this turn.
    fn record(
        &mut self,
        turn: &mut Turn<'_>,
        partition: PartitionId,
        event: &Event,
        admission: Admission,
    ) -> Result<EventId, Fault> {
        guard(turn, partition, event)?;
        if let Event::PersonErased(erased) = event {
            lead::void_erased(turn, partition, erased)?;
        }
        let wall = turn.context.now();
        let prepared = match event {
            Event::CartChanged(changed) => {
                let mut changed = changed.clone();
                cart::prepare(turn, partition, &mut changed, wall)?;
                Some(Event::CartChanged(changed))
            }
            Event::ContactChanged(changed) if changed.source == ContactSource::Import => {
                let person = turn.desks.persons.get(partition, changed.person)?;
                let counts = person.without_void_consents(changed);
                counts.map(|counts| Event::ContactChanged(Box::new(counts)))
            }
            _ => None,
        };
        let event = prepared.as_ref().unwrap_or(event);
        let watched = watch(&mut self.engine, turn, partition, event)?;
        let id = turn.context.mint();
        turn.record_as(partition, id, wall, event)?;
        match event {
            Event::OrderAccepted(_) | Event::MessageAccepted(_) => {
                self.orders.decide(turn, partition, id, wall, event, admission)?;
            }
            Event::AttemptEnded(ended) => suppress_after(turn, partition, ended)?,
            // A landing can turn the verdict on its click, decide it, or void its lead.
            Event::Landed(landed) => lead::look(&mut self.engine, turn, partition, landed.message)?,
            Event::WebhookEnded(ended) => self.engine.answered(turn, partition, id, ended)?,
            _ => {}
        }
        if !watched.is_empty() {
            let reacted = self.engine.react(turn, (id, wall), event, watched);
            settle_reaction(turn, partition, id, reacted)?;
        }
        Ok(id)
    }
}

/// Refuses opens, clicks and landings that must not be recorded.
fn guard(turn: &mut Turn<'_>, partition: PartitionId, event: &Event) -> Result<(), Fault> {
    let message = match event {
        Event::Opened(opened) => opened.message,
        Event::Clicked(clicked) => clicked.message,
        Event::Landed(landed) => {
            if !lead::is_offered(&turn.context.catalogue(), landed.campaign) {
                return Err(Fault::Refused("there is no such campaign".to_owned()));
            }
            landed.message
        }
        _ => return Ok(()),
    };
    // The tracker asks its own memory first. This guard also knows the withdrawals that the tracker has forgotten.
    if turn.desks.may_record(partition, message)? {
        return Ok(());
    }
    turn.context.metrics.guarded.inc();
    Err(Fault::Refused("the mail is unknown, or its person withdrew".to_owned()))
}

/// Records that a mailbox gets no more mail, if the outcome says that the mailbox does not exist.
fn suppress_after(turn: &mut Turn<'_>, partition: PartitionId, ended: &AttemptEnded) -> Result<(), Fault> {
    if !ended.outcome.is_terminal() || ended.outcome == Outcome::Delivered {
        return Ok(());
    }
    let Some(person) = turn.desks.mails.recipient_of(partition, ended.message)? else {
        return Ok(());
    };
    if let Some(changed) = policy::person::after_outcome(person, ended) {
        turn.record(partition, &Event::SuppressionChanged(changed))?;
    }
    Ok(())
}
