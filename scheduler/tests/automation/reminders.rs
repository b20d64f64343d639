//! Reminders of carts.

use std::time::Duration;

use serde_json::{Value, json};
use types::event::{CartVerdict, Event, Origin, PersonErased, Recovery, ReminderPurpose};
use types::id::{EventId, PublicId};
use types::time::Clock;

use crate::fixture::{Node, PUBLISHER, ended, furnished, start_at};

const ANNA: &str = "anna@example.it";
const HOUR: Duration = Duration::from_hours(1);

fn live() -> Value {
    json!({
        "mode": "live", "languages": ["it"], "time_zone": "Europe/Rome",
        "first": { "after": "2h" }, "second": { "after": "24h" },
    })
}

async fn reminding(folder: &std::path::Path, settings: Value) -> Node {
    let node = furnished(folder).await;
    node.remind(settings).await;
    node
}

impl Node {
    async fn verdicts(&self) -> Vec<CartVerdict> {
        let records = self.records().await;
        let decided = records.into_iter().filter_map(|record| match record.event {
            Event::CartDecided(decided) => Some(decided.verdict),
            _ => None,
        });
        decided.collect()
    }

    /// Returns which reminders went out, and to whom.
    fn reminders(&self) -> Vec<(String, ReminderPurpose)> {
        let reminder = |mail: types::port::Mail| match mail.origin {
            Some(Origin::Cart { reminder, purpose, .. }) => Some((reminder.as_str().to_owned(), purpose)),
            _ => None,
        };
        self.own_mails().into_iter().filter_map(reminder).collect()
    }

    async fn order_of_cart(&self, email: &str, change: impl FnOnce(&mut types::order::Order)) -> EventId {
        let (person, mut event) = self.order(PUBLISHER, email);
        if let Event::OrderAccepted(accepted) = &mut event {
            change(&mut accepted.order);
        }
        let receipt = self.store.intake().accept(person.partition(), event).await.unwrap();
        self.settled().await;
        receipt.id
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cart_is_reminded_of_twice_and_no_more() {
    let folder = tempfile::tempdir().unwrap();
    let node = reminding(folder.path(), live()).await;
    let cart = node.touch(ANNA, "c-1").await;
    assert_eq!(node.contact(ANNA).await.unwrap().carts(), [cart]);
    node.after(2 * HOUR).await;
    assert_eq!(node.reminders(), [("first".to_owned(), ReminderPurpose::Buyer)]);
    node.after(22 * HOUR).await;
    assert_eq!(node.reminders(), [("second".to_owned(), ReminderPurpose::Buyer)]);
    node.after(100 * HOUR).await;
    assert_eq!(node.reminders(), []);
    node.no_timers("in the end").await;
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cart_that_is_touched_again_starts_its_time_over() {
    let folder = tempfile::tempdir().unwrap();
    let node = reminding(folder.path(), live()).await;
    let cart = node.touch(ANNA, "c-1").await;
    node.after(HOUR).await;
    node.touch(ANNA, "c-1").await;
    node.after(HOUR).await;
    assert_eq!(node.reminders(), []);
    node.after(HOUR).await;
    assert_eq!(node.reminders().len(), 1);
    assert_eq!(
        node.cart(ANNA, "c-1").await.unwrap().cart(),
        cart,
        "it is the same cart"
    );
    node.stop().await;
}

/// A node that has reminded Anna of a cart, with a copy to the shop.
async fn reminded_with_a_copy(folder: &std::path::Path) -> Node {
    let mut settings = live();
    settings["address"] = json!("owner@shop.example");
    let node = reminding(folder, settings).await;
    node.touch(ANNA, "c-1").await;
    node.after(2 * HOUR).await;
    node
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_goes_to_the_shop_and_counts_nowhere() {
    let folder = tempfile::tempdir().unwrap();
    let node = reminded_with_a_copy(folder.path()).await;
    let mails = node.own_mails();
    let to: Vec<_> = mails
        .iter()
        .map(|mail| match &mail.request {
            types::port::Request::Message(request) => request.to.email.as_str().to_owned(),
            types::port::Request::Order(_) => String::new(),
        })
        .collect();
    assert_eq!(to, [ANNA, "owner@shop.example"]);
    assert_eq!(node.count(PUBLISHER, types::tally::Measure::Sent).await, 1);
    assert!(node.contact(ANNA).await.unwrap().activity().last_sent_at().is_some());
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_that_bounces_suppresses_no_buyer() {
    let folder = tempfile::tempdir().unwrap();
    let node = reminded_with_a_copy(folder.path()).await;
    for (mail, suppressed) in node.own_mails().into_iter().rev().zip([0, 1]) {
        node.submit(mail.partition, failed(mail.plan.message)).await;
        let records = node.records().await;
        let changes = records
            .iter()
            .filter(|record| matches!(record.event, Event::SuppressionChanged(_)));
        assert_eq!(changes.count(), suppressed, "{:?}", mail.origin);
    }
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_erasure_withdraws_the_copy_too() {
    let folder = tempfile::tempdir().unwrap();
    let node = reminded_with_a_copy(folder.path()).await;
    let mails = node.own_mails();
    assert_eq!(mails.len(), 2);
    let person = node.person(ANNA);
    let erased = PersonErased { person, shop: None };
    node.submit(person.partition(), Event::PersonErased(erased)).await;
    node.settled().await;
    let mut withdrawn = node.outbox.withdrawn.lock().unwrap().clone();
    let mut messages: Vec<_> = mails.iter().map(|mail| mail.plan.message).collect();
    withdrawn.sort_unstable();
    messages.sort_unstable();
    assert_eq!(withdrawn, messages);
    for message in messages {
        let row = node.store.state().outbox().entry(person.partition(), message).unwrap();
        assert!(row.unwrap().withdrawn, "a start does not queue it again");
    }
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reminder_waits_while_no_place_is_free() {
    let folder = tempfile::tempdir().unwrap();
    let node = reminding(folder.path(), live()).await;
    node.touch(ANNA, "c-1").await;
    let places: Vec<_> = std::iter::from_fn(|| node.store.intake().try_admit()).collect();
    node.after(2 * HOUR).await;
    node.after(Duration::from_secs(10)).await;
    assert_eq!(node.reminders(), []);
    assert_eq!(node.timers().len(), 1, "its row stays until it went");
    drop(places);
    node.after(Duration::from_secs(1)).await;
    assert_eq!(node.reminders().len(), 1);
    node.stop().await;
}

/// The end of a mail whose mailbox does not exist.
fn failed(message: types::id::MessageId) -> Event {
    let class = types::event::FailureClass::BadMailbox;
    ended(message, 1, types::event::Outcome::Failed { class })
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_closes_its_cart_and_says_whether_the_reminder_brought_it() {
    let folder = tempfile::tempdir().unwrap();
    let node = reminding(folder.path(), live()).await;
    for (email, expected) in [
        ("a@example.it", Recovery::Recovered),
        ("b@example.it", Recovery::Influenced),
    ] {
        let id = format!("cart of {email}");
        node.touch(email, &id).await;
        node.after(2 * HOUR).await;
        let mail = node.own_mails().remove(0);
        let token = PublicId {
            partition: mail.partition,
            event: mail.plan.message.event(),
        };
        node.order_of_cart(email, |order| {
            order.cart_id = Some(id.as_str().try_into().unwrap());
            if expected == Recovery::Recovered {
                order.recovery = Some(token.to_string().try_into().unwrap());
            }
        })
        .await;
        let verdicts = node.verdicts().await;
        let Some(CartVerdict::Ordered { recovery, .. }) = verdicts.last() else {
            panic!("{verdicts:?}")
        };
        assert_eq!(*recovery, expected);
        assert_eq!(node.contact(email).await.unwrap().carts(), []);
    }
    node.after(48 * HOUR).await;
    assert_eq!(node.reminders(), []);
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reminder_that_was_due_while_the_service_stood_still_is_decided_at_the_start() {
    let folder = tempfile::tempdir().unwrap();
    let node = reminding(folder.path(), live()).await;
    node.touch(ANNA, "c-1").await;
    let clock = std::sync::Arc::clone(&node.clock);
    node.stop().await;
    clock.advance(3 * HOUR);
    let node = start_at(folder.path(), std::sync::Arc::clone(&clock)).await;
    node.tick().await;
    assert_eq!(node.reminders().len(), 1);
    node.stop().await;
    let node = start_at(folder.path(), clock).await;
    node.own_mails();
    node.tick().await;
    assert_eq!(node.reminders(), [], "once");
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cart_that_is_deleted_is_forgotten_and_its_name_is_free() {
    let folder = tempfile::tempdir().unwrap();
    let node = reminding(folder.path(), live()).await;
    let cart = node.touch(ANNA, "c-1").await;
    let Event::CartChanged(mut changed) = node.cart_changed(ANNA, "c-1", "x") else {
        unreachable!()
    };
    changed.cart = None;
    let gone = Event::CartChanged(changed);
    node.submit(node.partition(ANNA), gone.clone()).await;
    assert!(node.cart(ANNA, "c-1").await.is_none());
    assert!(node.try_submit(node.partition(ANNA), gone).await.is_err());
    node.after(3 * HOUR).await;
    assert_eq!(node.reminders(), []);
    node.no_timers("after its cart").await;
    assert_ne!(node.touch(ANNA, "c-1").await, cart);
    let touched = node.clock.now();
    assert_eq!(node.cart(ANNA, "c-1").await.unwrap().touched_at(), touched);
    node.stop().await;
}
