//! Decides on orders and messages in the turn that accepts them.

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use foldhash::fast::FixedState;
use policy::offers::Candidates;
use policy::{MessageFacts, OrderFacts};
use rand::SeedableRng;
use rand::rngs::StdRng;
use types::catalogue::{Catalogue, Shop};
use types::event::{Event, MessageAccepted, OrderAccepted, Verdict};
use types::id::{EventId, MessageId, PartitionId, ShopNumber};
use types::port::{Admission, Request};
use types::time::Timestamp;

use super::sending::Asked;
use crate::turn::{Fault, Turn};

/// Decides on orders and messages.
pub(crate) struct Orders {
    /// The offers that each shop may show, with the version of the catalogue for which they were gathered.
    candidates: HashMap<ShopNumber, (u64, Arc<Candidates>), FixedState>,
    random: StdRng,
}

impl Orders {
    /// Begins with a seed for what policy leaves to chance.
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            candidates: HashMap::default(),
            random: StdRng::seed_from_u64(seed),
        }
    }

    /// Decides what an accepted event causes and records the decision.
    pub(crate) fn decide(
        &mut self,
        turn: &mut Turn<'_>,
        partition: PartitionId,
        cause: EventId,
        wall: Timestamp,
        event: &Event,
        admission: Admission,
    ) -> Result<(), Fault> {
        let catalogue = turn.context.catalogue();
        let now = turn.context.now();
        let (shop, person, verdict, request, origin) = match event {
            Event::OrderAccepted(accepted) => {
                let verdict = self.decide_order(turn, &catalogue, partition, accepted, wall, now)?;
                let request = Request::Order(Arc::new(accepted.order.clone()));
                (accepted.shop, accepted.person, verdict, request, None)
            }
            Event::MessageAccepted(accepted) => {
                let verdict = decide_message(turn, &catalogue, partition, accepted, wall, now)?;
                let request = Request::Message(Arc::new(accepted.request.clone()));
                (
                    accepted.shop,
                    accepted.person,
                    verdict,
                    request,
                    accepted.origin.clone(),
                )
            }
            _ => return Ok(()),
        };
        let asked = Asked {
            partition,
            cause,
            accepted_at: wall,
            shop,
            request,
            origin,
            catalogue,
            admission,
        };
        let id = turn.context.mint();
        Ok(turn.conclude(id, asked, person, verdict, turn.context.now())?)
    }

    fn decide_order(
        &mut self,
        turn: &mut Turn<'_>,
        catalogue: &Arc<Catalogue>,
        partition: PartitionId,
        accepted: &OrderAccepted,
        wall: Timestamp,
        now: Timestamp,
    ) -> Result<Verdict, Fault> {
        let shop = shop_of(catalogue, accepted.shop)?;
        let candidates = match self.candidates.get(&accepted.shop) {
            Some((version, candidates)) if *version == catalogue.version() => Arc::clone(candidates),
            _ => {
                let candidates = Arc::new(Candidates::of(catalogue, shop));
                self.candidates
                    .insert(accepted.shop, (catalogue.version(), Arc::clone(&candidates)));
                candidates
            }
        };
        let facts = OrderFacts {
            order: &accepted.order,
            accepted_at: wall,
            shop,
            candidates: &candidates,
            person: turn.desks.persons.get(partition, accepted.person)?,
            selections: &|campaign| turn.context.meters.selections(campaign),
            settings: &turn.context.settings.policy,
        };
        let decision = caught(|| policy::decide_order(&facts, now, &mut self.random))?;
        let verdict = decision.verdict(|| MessageId::new(turn.context.mint()));
        if let Verdict::Send(plan) = &verdict {
            for offer in &plan.offers {
                turn.context.meters.add(offer.campaign, 1);
            }
        }
        Ok(verdict)
    }
}

fn decide_message(
    turn: &mut Turn<'_>,
    catalogue: &Arc<Catalogue>,
    partition: PartitionId,
    accepted: &MessageAccepted,
    wall: Timestamp,
    now: Timestamp,
) -> Result<Verdict, Fault> {
    let shop = shop_of(catalogue, accepted.shop)?;
    let facts = MessageFacts {
        request: &accepted.request,
        origin: accepted.origin.as_ref(),
        accepted_at: wall,
        shop,
        catalogue: catalogue.version(),
        person: turn.desks.persons.get(partition, accepted.person)?,
        settings: &turn.context.settings.policy,
    };
    let decision = caught(|| policy::decide_message(&facts, now))?;
    Ok(decision.verdict(|| MessageId::new(turn.context.mint())))
}

/// Asks policy. A panic refuses this one event; it must not end the runner now and again at each start.
fn caught<T>(decide: impl FnOnce() -> T) -> Result<T, Fault> {
    catch_unwind(AssertUnwindSafe(decide))
        .map_err(|_| Fault::Refused("it cannot be decided, by a fault of ours".to_owned()))
}

/// Returns the shop that an accepted event names, deleted or not.
fn shop_of(catalogue: &Catalogue, number: ShopNumber) -> Result<&Arc<Shop>, Fault> {
    let shop = catalogue.shop_by_number(number);
    shop.ok_or_else(|| Fault::Refused("the shop is gone".to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_of_policy_refuses_one_event() {
        let refused = caught::<()>(|| panic!("an order that was never thought of"));
        assert!(matches!(refused, Err(Fault::Refused(why)) if why.contains("a fault of ours")));
        assert!(matches!(caught(|| 1), Ok(1)));
    }
}
