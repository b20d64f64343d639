//! A double of the product's runners: one thread that journals what comes in and folds enough to be asked about.
//!
//! Policy is one line: an order goes out with one offer if marketing was granted, and is refused if not.

use std::sync::Arc;
use std::thread;

use bytes::Bytes;
use policy::cart::CartState;
use policy::contact::ContactState;
use store::state::{CartPut, CataloguePut, ClaimPut, ContactPut, HistoryPut, SuppressionPut};
use store::{Batch, Put, Receipt, Store, Submission, SuppressionList, Turn};
use types::event::{
    AttemptClaimed, AttemptEnded, CartChanged, Claim, Decided, Event, Offer, Outcome, PersonErased, Plan, Refusal,
    Tracking, Verdict,
};
use types::id::{Attempt, CampaignNumber, EventId, MessageId, PartitionId, PersonKey, PublicId, ShopNumber};
use types::locale::Language;
use types::money::Money;
use types::order::Stream;
use types::time::{Clock, Timestamp};

/// Starts the runner; it ends when the intake is closed or the store dropped.
pub fn start(store: &Store, clock: Arc<dyn Clock>) {
    let mut inboxes = store.intake().take_inboxes();
    let (range, mut inbox) = inboxes.pop().unwrap();
    assert!(inboxes.is_empty(), "the double is one runner");
    let store = store.clone();
    thread::spawn(move || {
        let waiting = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let mut submissions = Vec::new();
        while waiting.block_on(inbox.recv_many(&mut submissions, 64)) > 0 {
            let mut turn = Runner {
                store: &store,
                now: clock.now(),
                batch: Batch::new(),
                puts: Vec::new(),
                changes: store.catalogue().load().version(),
            };
            let receipts: Vec<_> = submissions.drain(..).map(|submission| turn.take(submission)).collect();
            let Runner { batch, puts, .. } = turn;
            let Ok(position) = store.journal().append(batch) else {
                return;
            };
            store.state().submit(Turn {
                range: range.clone(),
                position,
                puts,
                released: Vec::new(),
            });
            let mut durable = store.journal().durable();
            if waiting
                .block_on(durable.wait_for(|durable| *durable >= position))
                .is_err()
            {
                return;
            }
            // Contacts are read from state alone: it has to have the turn before.
            let of_range = PartitionId::new(range.start).unwrap();
            while store.state().applied(of_range) < position {
                thread::sleep(std::time::Duration::from_micros(200));
            }
            for (id, event, receipt) in receipts {
                if let Event::CatalogueChanged(change) = &event {
                    let mut catalogue = (*store.catalogue().load()).clone();
                    catalogue.apply(change, clock.now());
                    store.catalogue().swap(Arc::new(catalogue));
                }
                if let Some(receipt) = receipt {
                    let _ = receipt.send(Ok(Receipt { id, position }));
                }
            }
        }
    });
}

type Waiting = Option<tokio::sync::oneshot::Sender<Result<Receipt, store::SubmitError>>>;

/// One turn.
struct Runner<'a> {
    store: &'a Store,
    now: Timestamp,
    batch: Batch,
    puts: Vec<Put>,
    changes: u64,
}

impl Runner<'_> {
    fn take(&mut self, submission: Submission) -> (EventId, Event, Waiting) {
        let Submission {
            partition,
            event,
            receipt,
            ..
        } = submission;
        let id = self.push(partition, &event);
        match &event {
            Event::OrderAccepted(accepted) => {
                self.claim(partition, id, &accepted.claims);
                self.put(partition, id, id, &event);
                self.about(accepted.person, accepted.shop, id);
                let granted = accepted
                    .order
                    .consent
                    .marketing
                    .as_ref()
                    .is_some_and(types::order::Grant::granted);
                self.decide(partition, id, accepted.shop, accepted.person, granted, true);
            }
            Event::MessageAccepted(accepted) => {
                self.claim(partition, id, &accepted.claims);
                self.put(partition, id, id, &event);
                self.about(accepted.person, accepted.shop, id);
                self.decide(partition, id, accepted.shop, accepted.person, true, false);
            }
            Event::CatalogueChanged(_) => {
                self.changes += 1;
                self.puts.push(Put::Catalogue(CataloguePut {
                    sequence: self.changes,
                    wall: self.now,
                    payload: payload(&event),
                }));
            }
            Event::SuppressionChanged(changed) => {
                let list = changed.shop.map_or(SuppressionList::Network, SuppressionList::Shop);
                let (person, stream) = (changed.person, changed.stream);
                self.puts.push(match changed.cause {
                    Some(cause) => Put::Suppression(SuppressionPut::Set {
                        list,
                        person,
                        stream,
                        cause,
                        at: self.now,
                    }),
                    None => Put::Suppression(SuppressionPut::Delete { list, person, stream }),
                });
            }
            Event::PersonErased(erased) => self.erase(erased),
            Event::ContactChanged(changed) => self.contact(partition, id, changed.person, changed.shop, &event),
            Event::EventReported(reported) => {
                self.claim(partition, id, &reported.claims);
                self.contact(partition, id, reported.person, reported.shop, &event);
            }
            Event::CartChanged(changed) => self.cart(partition, id, changed),
            other => panic!("the double knows no {other:?}"),
        }
        (id, event, receipt)
    }

    /// Folds an event into a contact's row. Rows of this turn are not seen by others of it, as no test needs that.
    fn contact(&mut self, partition: PartitionId, id: EventId, person: PersonKey, shop: ShopNumber, event: &Event) {
        let known = self.store.state().contacts().get(partition, &person, shop).unwrap();
        let mut contact = known.map_or_else(ContactState::default, |bytes| ContactState::decode(&bytes).unwrap());
        contact.apply(id, self.now, event);
        // A cart that outlived its erased person makes no contact by going.
        if !contact.exists() {
            return;
        }
        if let Some(object) = contact.object() {
            self.put(partition, object, id, event);
            self.about(person, shop, object);
        }
        self.puts.push(Put::Contact(ContactPut {
            partition,
            person,
            shop,
            value: Some(contact.encode()),
        }));
    }

    fn cart(&mut self, partition: PartitionId, id: EventId, changed: &CartChanged) {
        let named = self.store.state().carts().named(changed.shop, &changed.id).unwrap();
        let object = named.map_or(id, |name| name.event);
        let event = Event::CartChanged(Box::new(changed.clone()));
        let known = self.store.state().carts().get(partition, object).unwrap();
        let cart = match known {
            Some(bytes) => CartState::decode(&bytes).unwrap().apply(self.now, &event),
            None => CartState::new(object, self.now, changed),
        };
        self.put(partition, object, id, &event);
        self.about(changed.person, changed.shop, object);
        self.contact(partition, id, changed.person, changed.shop, &event);
        let name = PublicId {
            partition,
            event: object,
        };
        self.puts.push(Put::Cart(CartPut::Name {
            shop: changed.shop,
            id: changed.id.clone(),
            cart: cart.as_ref().map(|_| name),
        }));
        self.puts.push(Put::Cart(CartPut::Cart {
            partition,
            cart: object,
            value: cart.map(|cart| cart.encode()),
        }));
    }

    fn push(&mut self, partition: PartitionId, event: &Event) -> EventId {
        let id = self.store.journal().mint();
        self.batch.push(id, partition, self.now, event);
        id
    }

    fn put(&mut self, partition: PartitionId, object: EventId, id: EventId, event: &Event) {
        self.puts.push(Put::History(HistoryPut::Timeline {
            partition,
            object,
            id,
            wall: self.now,
            kind: event.kind(),
            payload: payload(event),
        }));
    }

    fn claim(&mut self, partition: PartitionId, event: EventId, claims: &[Claim]) {
        let id = PublicId { partition, event };
        let at = self.now;
        self.puts.extend(
            claims
                .iter()
                .map(|claim| Put::Claim(ClaimPut { claim: *claim, id, at })),
        );
    }

    fn decide(
        &mut self,
        partition: PartitionId,
        cause: EventId,
        shop: ShopNumber,
        person: PersonKey,
        send: bool,
        offers: bool,
    ) {
        let message = MessageId::new(self.store.journal().mint());
        let verdict = if send {
            Verdict::Send(self.plan(message, offers))
        } else {
            Verdict::Refuse(vec![Refusal::NoMarketingConsent])
        };
        let decided = Event::Decided(Box::new(Decided {
            cause,
            shop,
            person,
            verdict,
        }));
        let id = self.push(partition, &decided);
        self.put(partition, cause, id, &decided);
        if send {
            self.put(partition, message.event(), id, &decided);
            self.about(person, shop, message.event());
            self.deliver(partition, message);
        }
    }

    fn about(&mut self, person: PersonKey, shop: ShopNumber, object: EventId) {
        self.puts.push(Put::History(HistoryPut::About {
            partition: person.partition(),
            person,
            shop,
            object,
        }));
    }

    fn erase(&mut self, erased: &PersonErased) {
        let (partition, person) = (erased.person.partition(), erased.person);
        let about = self.store.state().histories().about(partition, &person).unwrap();
        let known = self.store.state().contacts().of_person(partition, &person).unwrap();
        for (shop, _) in known
            .into_iter()
            .filter(|(shop, _)| erased.shop.is_none_or(|of| of == *shop))
        {
            self.puts.push(Put::Contact(ContactPut {
                partition,
                person,
                shop,
                value: None,
            }));
        }
        for (shop, object) in about
            .into_iter()
            .filter(|(shop, _)| erased.shop.is_none_or(|of| of == *shop))
        {
            self.puts.push(Put::History(HistoryPut::Erase {
                partition,
                person,
                shop,
                object,
            }));
        }
    }

    fn plan(&self, message: MessageId, offers: bool) -> Plan {
        let offer = Offer {
            campaign: CampaignNumber(1),
            id: "borse".try_into().unwrap(),
            price: Money {
                amount: 150,
                currency: "EUR".to_owned().try_into().unwrap(),
            },
            expected_value: 1_500_000,
            propensity: 900_000,
            explored: false,
        };
        Plan {
            message,
            stream: if offers {
                Stream::Promotional
            } else {
                Stream::Transactional
            },
            language: Language::It,
            catalogue: self.changes,
            date: self.now,
            expires: self.now + std::time::Duration::from_hours(24),
            tracking: Tracking::Individual,
            offers: if offers { vec![offer] } else { Vec::new() },
            late: false,
            test: false,
            template: None,
        }
    }

    fn deliver(&mut self, partition: PartitionId, message: MessageId) {
        let attempt = Attempt(1);
        let claimed = Event::AttemptClaimed(AttemptClaimed { message, attempt });
        let ended = Event::AttemptEnded(Box::new(AttemptEnded {
            message,
            attempt,
            outcome: Outcome::Delivered,
            reply: "250 2.0.0 queued".try_into().unwrap(),
            peer: "mx.example [127.0.0.1]".try_into().unwrap(),
            tls: Some("TLSv1.3".try_into().unwrap()),
        }));
        for event in [claimed, ended] {
            let id = self.push(partition, &event);
            self.put(partition, message.event(), id, &event);
        }
    }
}

fn payload(event: &Event) -> Bytes {
    let mut bytes = Vec::new();
    event.encode(&mut bytes);
    bytes.into()
}
