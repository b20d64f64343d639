//! What a start makes of what the last run left open, on a real store.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests state expectations")]

use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use prometheus::Registry;
use scheduler::{Deps, Scheduler, Settings};
use store::{Batch, Spooled, Store};
use types::address::{EmailAddress, PersonKeyer};
use types::catalogue::{CampaignSpec, ShopSpec};
use types::event::{
    AttemptClaimed, AttemptEnded, CatalogueChanged, Decided, Event, FailureClass, OrderAccepted, Outcome,
    UnsubscribeScope, Unsubscribed, UnsubscribedBy, Verdict,
};
use types::id::{Attempt, EventId, MessageId, PartitionId, PersonKey, ShopNumber};
use types::order::Order;
use types::port::{Mail, Outbox, Survivor};
use types::text::Line;
use types::time::{Clock, Timestamp};
use types::withdrawals::Withdrawals;

/// A clock that stands still.
struct Still;

impl Clock for Still {
    fn now(&self) -> Timestamp {
        "2026-11-21T20:15:00Z".parse().unwrap()
    }
}

/// Keeps what it is given.
#[derive(Default)]
struct Kept {
    mails: Mutex<Vec<Mail>>,
    withdrawn: Mutex<Vec<MessageId>>,
}

impl Outbox for Kept {
    fn submit(&self, mail: Mail) {
        self.mails.lock().unwrap().push(mail);
    }

    fn withdraw(&self, message: MessageId) {
        self.withdrawn.lock().unwrap().push(message);
    }
}

/// A node without the network: store and runners.
struct Node {
    store: Store,
    scheduler: Scheduler,
    outbox: Arc<Kept>,
    survivors: Vec<Survivor>,
}

async fn start(folder: &Path) -> Node {
    let settings = store::Settings {
        data_dir: folder.to_owned(),
        segment_bytes: 256 << 10,
        disk_floor_bytes: 0,
        ..store::Settings::default()
    };
    let (store, replay) = store::open(settings, Arc::new(Still), &Registry::new()).unwrap();
    let outbox = Arc::new(Kept::default());
    let deps = Deps {
        store: store.clone(),
        outbox: Arc::clone(&outbox) as Arc<dyn Outbox>,
        withdrawals: Arc::new(Withdrawals::default()),
        clock: Arc::new(Still),
        registry: Registry::new(),
        runtime: tokio::runtime::Handle::current(),
    };
    let started = tokio::task::spawn_blocking(move || Scheduler::start(&Settings::default(), deps, replay))
        .await
        .unwrap();
    let (scheduler, survivors) = started.unwrap();
    Node {
        store,
        scheduler,
        outbox,
        survivors,
    }
}

impl Node {
    async fn stop(self) {
        let Self { store, scheduler, .. } = self;
        tokio::task::spawn_blocking(move || scheduler.drain()).await.unwrap();
        store.close().await;
    }

    async fn outcome(&self, message: MessageId, partition: PartitionId) -> Option<Outcome> {
        assert!(self.store.fold_reached(Duration::from_secs(10)).await);
        let timeline = self.store.state().timeline(partition, message.event()).unwrap();
        timeline.into_iter().rev().find_map(|stored| match stored.event {
            Event::AttemptEnded(ended) => Some(ended.outcome),
            _ => None,
        })
    }
}

fn spec<T: serde::de::DeserializeOwned>(json: serde_json::Value) -> T {
    serde_json::from_value(json).unwrap()
}

async fn furnish(node: &Node) {
    for id in ["publisher", "advertiser"] {
        let spec: ShopSpec = spec(serde_json::json!({
            "name": id, "url": "https://shop.example/", "language": "it", "country": "IT",
            "promotional": { "address": "offers@news.shop.example" }, "postal_address": "Via Roma 1",
        }));
        let change = CatalogueChanged::ShopPut {
            id: id.try_into().unwrap(),
            spec,
        };
        node.store
            .intake()
            .submit(PartitionId::CATALOGUE, Event::CatalogueChanged(Box::new(change)))
            .await
            .unwrap();
    }
    let spec: CampaignSpec = spec(serde_json::json!({
        "advertiser": "advertiser", "price": { "amount": 90, "currency": "EUR" }, "landing_url": "https://a.example/",
        "creatives": { "it": { "title": "Caffè", "text": "Buono.", "button": "Vai" } },
    }));
    let change = CatalogueChanged::CampaignPut {
        id: "c".try_into().unwrap(),
        spec,
    };
    node.store
        .intake()
        .submit(PartitionId::CATALOGUE, Event::CatalogueChanged(Box::new(change)))
        .await
        .unwrap();
}

fn order(node: &Node, email: &str) -> (PersonKey, Event) {
    let order: Order = spec(serde_json::json!({
        "order_id": email, "placed_at": "2026-11-21T20:14:30Z", "status": "confirmed", "customer": { "email": email, "locale": "it" },
        "consent": { "marketing": true, "tracking": true }, "total": { "amount": 100, "currency": "EUR" },
    }));
    let keyer: PersonKeyer = node.store.secrets().person_keyer();
    let person = keyer.key(&order.customer.email);
    (
        person,
        Event::OrderAccepted(Box::new(OrderAccepted {
            shop: ShopNumber(1),
            person,
            order,
            claims: Vec::new(),
        })),
    )
}

/// Appends events behind the runners' backs, as a run does that is cut off before it does more.
async fn append(node: &Node, partition: PartitionId, events: &[Event]) -> Vec<EventId> {
    let mut batch = Batch::new();
    let ids: Vec<_> = events.iter().map(|_| node.store.journal().mint()).collect();
    for (id, event) in ids.iter().zip(events) {
        batch.push(*id, partition, Still.now(), event);
    }
    let position = node.store.journal().append(batch).unwrap();
    node.store
        .journal()
        .durable()
        .wait_for(|durable| *durable >= position)
        .await
        .unwrap();
    ids
}

async fn accept(node: &Node, email: &str) -> (PartitionId, Mail) {
    let (person, event) = order(node, email);
    node.store.intake().accept(person.partition(), event).await.unwrap();
    let mail = node
        .outbox
        .mails
        .lock()
        .unwrap()
        .pop()
        .expect("an order with consent causes a mail");
    (person.partition(), mail)
}

fn spool(node: &Node, partition: PartitionId, message: MessageId) {
    let recipient: EmailAddress = "mario@example.it".try_into().unwrap();
    node.store
        .spool()
        .append(&Spooled {
            message,
            partition,
            reverse_path: None,
            recipient,
            bytes: "Subject: x\r\n\r\nx\r\n".into(),
        })
        .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_accepted_order_without_a_decision_is_decided_at_the_next_start_and_only_then() {
    let folder = tempfile::tempdir().unwrap();
    let node = start(folder.path()).await;
    furnish(&node).await;
    let (person, event) = order(&node, "mario@example.it");
    let cause = append(&node, person.partition(), &[event]).await[0];
    node.stop().await;

    let node = start(folder.path()).await;
    let mails = std::mem::take(&mut *node.outbox.mails.lock().unwrap());
    assert_eq!(mails.iter().map(|mail| mail.cause).collect::<Vec<_>>(), [cause]);
    node.stop().await;

    let node = start(folder.path()).await;
    let again = std::mem::take(&mut *node.outbox.mails.lock().unwrap());
    assert_eq!(again.len(), 1, "without bytes in the spool it is rendered again");
    assert_eq!(again[0].plan, mails[0].plan, "as it was decided");
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_claim_without_an_end_is_in_doubt_and_an_offer_stays_so() {
    let folder = tempfile::tempdir().unwrap();
    let node = start(folder.path()).await;
    furnish(&node).await;
    let (partition, mail) = accept(&node, "mario@example.it").await;
    let message = mail.plan.message;
    spool(&node, partition, message);
    let claim = Event::AttemptClaimed(AttemptClaimed {
        message,
        attempt: Attempt(1),
    });
    node.store.intake().submit(partition, claim).await.unwrap();
    node.stop().await;

    let node = start(folder.path()).await;
    assert_eq!(
        node.outcome(message, partition).await,
        Some(Outcome::InDoubt { retry: None })
    );
    assert!(node.survivors.is_empty() && node.outbox.mails.lock().unwrap().is_empty());
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_end_that_is_told_late_leaves_the_newer_claim_standing() {
    let folder = tempfile::tempdir().unwrap();
    let node = start(folder.path()).await;
    furnish(&node).await;
    let (partition, mail) = accept(&node, "mario@example.it").await;
    let message = mail.plan.message;
    spool(&node, partition, message);
    for attempt in [Attempt(1), Attempt(2)] {
        let claim = Event::AttemptClaimed(AttemptClaimed { message, attempt });
        node.store.intake().submit(partition, claim).await.unwrap();
    }
    let late = AttemptEnded {
        message,
        attempt: Attempt(1),
        outcome: Outcome::Deferred {
            until: Still.now(),
            class: FailureClass::Network,
        },
        reply: Line::default(),
        peer: Line::default(),
        tls: None,
    };
    let late = Event::AttemptEnded(Box::new(late));
    node.store.intake().submit(partition, late).await.unwrap();
    node.stop().await;

    let node = start(folder.path()).await;
    assert_eq!(
        node.outcome(message, partition).await,
        Some(Outcome::InDoubt { retry: None })
    );
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unclaimed_mail_with_bytes_survives_with_its_attempts_and_its_due_time() {
    let folder = tempfile::tempdir().unwrap();
    let node = start(folder.path()).await;
    furnish(&node).await;
    let (partition, mail) = accept(&node, "mario@example.it").await;
    let message = mail.plan.message;
    spool(&node, partition, message);
    let until = Still.now() + Duration::from_mins(5);
    let ended = AttemptEnded {
        message,
        attempt: Attempt(3),
        outcome: Outcome::Deferred {
            until,
            class: FailureClass::Greylisted,
        },
        reply: Line::default(),
        peer: Line::default(),
        tls: None,
    };
    node.store
        .intake()
        .submit(partition, Event::AttemptEnded(Box::new(ended)))
        .await
        .unwrap();
    node.stop().await;

    let node = start(folder.path()).await;
    let [survivor] = &node.survivors[..] else {
        panic!("{:?}", node.survivors)
    };
    assert_eq!(
        (survivor.message, survivor.attempts, survivor.due),
        (message, Attempt(3), until)
    );
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_mailbox_suppresses_the_person_even_if_the_crash_came_between() {
    let folder = tempfile::tempdir().unwrap();
    let node = start(folder.path()).await;
    furnish(&node).await;
    let (partition, mail) = accept(&node, "mario@example.it").await;
    let ended = AttemptEnded {
        message: mail.plan.message,
        attempt: Attempt(1),
        outcome: Outcome::Failed {
            class: FailureClass::BadMailbox,
        },
        reply: Line::default(),
        peer: Line::default(),
        tls: None,
    };
    append(&node, partition, &[Event::AttemptEnded(Box::new(ended))]).await;
    node.stop().await;

    let node = start(folder.path()).await;
    let (person, event) = order(&node, "Mario@example.it");
    let receipt = node.store.intake().accept(person.partition(), event).await.unwrap();
    assert!(node.store.fold_reached(Duration::from_secs(10)).await);
    let timeline = node.store.state().timeline(person.partition(), receipt.id).unwrap();
    let decided = timeline.into_iter().find_map(|stored| match stored.event {
        Event::Decided(decided) => Some(decided.verdict),
        _ => None,
    });
    assert!(matches!(decided, Some(Verdict::Refuse(_))), "{decided:?}");
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mail_that_was_withdrawn_before_the_crash_is_not_queued_again() {
    let folder = tempfile::tempdir().unwrap();
    let node = start(folder.path()).await;
    furnish(&node).await;
    let (partition, mail) = accept(&node, "mario@example.it").await;
    let message = mail.plan.message;
    spool(&node, partition, message);
    let unsubscribed = Event::Unsubscribed(Unsubscribed {
        message,
        shop: ShopNumber(1),
        scope: UnsubscribeScope::Shop,
        by: UnsubscribedBy::OneClick,
    });
    node.store.intake().submit(partition, unsubscribed).await.unwrap();
    assert_eq!(*node.outbox.withdrawn.lock().unwrap(), [message]);
    // The queues are gone before they have recorded the end.
    node.stop().await;

    let node = start(folder.path()).await;
    assert_eq!(node.outcome(message, partition).await, Some(Outcome::Withdrawn));
    assert!(node.survivors.is_empty() && node.outbox.mails.lock().unwrap().is_empty());
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_withdrawal_reaches_for_the_mails_that_have_not_ended() {
    let folder = tempfile::tempdir().unwrap();
    let node = start(folder.path()).await;
    furnish(&node).await;
    let (partition, mail) = accept(&node, "mario@example.it").await;
    let message = mail.plan.message;
    let delivered = Event::AttemptEnded(Box::new(AttemptEnded {
        message,
        attempt: Attempt(1),
        outcome: Outcome::Delivered,
        reply: Line::default(),
        peer: Line::default(),
        tls: None,
    }));
    node.store.intake().submit(partition, delivered).await.unwrap();
    let unsubscribed = Event::Unsubscribed(Unsubscribed {
        message,
        shop: ShopNumber(1),
        scope: UnsubscribeScope::Shop,
        by: UnsubscribedBy::OneClick,
    });
    node.store.intake().submit(partition, unsubscribed).await.unwrap();
    assert!(node.outbox.withdrawn.lock().unwrap().is_empty());
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn unsubscribing_by_a_mail_that_state_does_not_know_yet_counts() {
    let folder = tempfile::tempdir().unwrap();
    let node = start(folder.path()).await;
    furnish(&node).await;
    let (_, mail) = accept(&node, "luigi@example.it").await;
    let (person, accepted) = order(&node, "mario@example.it");
    let partition = person.partition();
    let cause = append(&node, partition, std::slice::from_ref(&accepted)).await[0];
    let mut plan = mail.plan;
    plan.message = MessageId::new(node.store.journal().mint());
    let message = plan.message;
    let shop = ShopNumber(1);
    let events = [
        Event::Decided(Box::new(Decided {
            cause,
            shop,
            person,
            verdict: Verdict::Send(plan),
        })),
        Event::AttemptEnded(Box::new(AttemptEnded {
            message,
            attempt: Attempt(1),
            outcome: Outcome::Delivered,
            reply: Line::default(),
            peer: Line::default(),
            tls: None,
        })),
        Event::Unsubscribed(Unsubscribed {
            message,
            shop,
            scope: UnsubscribeScope::Shop,
            by: UnsubscribedBy::OneClick,
        }),
    ];
    append(&node, partition, &events).await;
    node.stop().await;

    let node = start(folder.path()).await;
    let (_, again) = order(&node, "mario@example.it");
    node.outbox.mails.lock().unwrap().clear();
    node.store.intake().accept(partition, again).await.unwrap();
    assert!(
        node.outbox.mails.lock().unwrap().is_empty(),
        "mailed although unsubscribed"
    );
    node.stop().await;
}
