//! Erasure: what is about a person leaves state, what protects the person stays.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests state expectations")]

mod fixture;

use std::time::Duration;

use fixture::{ADVERTISER, Node, PUBLISHER, SECOND_PUBLISHER, Sent, furnished, start_at};
use store::intake::SubmitError;
use store::state::{ContactPut, Put, Turn};
use types::event::{Event, LeadOutcome, Outcome, PersonErased, VoidReason};
use types::id::ShopNumber;
use types::tally::Measure;
use types::time::Timestamp;

async fn erase(node: &Node, sent: &Sent, shop: Option<ShopNumber>) {
    let person = sent.person;
    node.submit(sent.partition, Event::PersonErased(PersonErased { person, shop }))
        .await;
    node.settled().await;
}

/// Checks that nothing is left of a mail and its order but whose it was.
async fn check_gone(node: &Node, sent: &Sent) {
    let state = node.store.state();
    assert_eq!(state.histories().of(sent.partition, sent.message.event()).unwrap(), []);
    assert_eq!(state.histories().of(sent.partition, sent.mail.cause).unwrap(), []);
    let about = state.histories().about(sent.partition, &sent.person).unwrap();
    let gone = [sent.mail.cause, sent.message.event()];
    assert!(about.iter().all(|(_, object)| !gone.contains(object)), "{about:?}");
    let refused = node.try_submit(sent.partition, sent.opened()).await;
    assert!(matches!(refused, Err(SubmitError::Refused(_))), "{refused:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_contact_keeps_nothing_else_from_being_erased() {
    let folder = tempfile::tempdir().unwrap();
    let node = furnished(folder.path()).await;
    let sent = node.delivered(PUBLISHER, "mario@example.it").await;
    // What runners remember of it is in state, and forgotten.
    node.tick().await;
    node.tick().await;
    let state = node.store.state();
    state.submit(Turn {
        range: sent.partition.number()..sent.partition.number() + 1,
        position: state.applied(sent.partition),
        puts: vec![Put::Contact(ContactPut {
            partition: sent.partition,
            person: sent.person,
            shop: PUBLISHER,
            value: Some(vec![0xff]),
        })],
        released: Vec::new(),
    });
    let contact = || state.contacts().get(sent.partition, &sent.person, PUBLISHER).unwrap();
    while contact() != Some(vec![0xff]) {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let (person, shop) = (sent.person, None);
    let erased = node
        .try_submit(sent.partition, Event::PersonErased(PersonErased { person, shop }))
        .await;
    assert!(erased.is_err(), "it says that not all of it could be done");
    // Behind the turn that erases.
    node.delivered(PUBLISHER, "berta@example.it").await;
    node.settled().await;
    check_gone(&node, &sent).await;
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_left_of_an_erased_person_but_what_protects_them() {
    let folder = tempfile::tempdir().unwrap();
    let node = furnished(folder.path()).await;
    let sent = node.delivered(PUBLISHER, "mario@example.it").await;
    node.visit(&sent).await;
    node.after(Duration::from_mins(2)).await;
    let about = node
        .store
        .state()
        .histories()
        .about(sent.partition, &sent.person)
        .unwrap();
    assert_eq!(about, [(PUBLISHER, sent.mail.cause), (PUBLISHER, sent.message.event())]);

    erase(&node, &sent, None).await;
    check_gone(&node, &sent).await;
    let ever = Timestamp::default()..Timestamp::from_millis(u64::MAX);
    assert_eq!(
        node.store
            .state()
            .mails()
            .due(0..1025, ever.start, ever.end, 10)
            .unwrap(),
        []
    );
    assert!(
        node.store
            .state()
            .leads()
            .visit(sent.partition, &sent.person, ADVERTISER)
            .unwrap()
            .is_some()
    );
    assert_eq!(
        node.count(PUBLISHER, Measure::ClicksQualified).await,
        1,
        "statistics name nobody, and stay"
    );
    // The unsubscribe link of the mail still works.
    node.submit(sent.partition, sent.unsubscribed()).await;
    assert!(
        node.accept(PUBLISHER, "mario@example.it").await.is_none(),
        "mailed although unsubscribed"
    );
    check_gone(&node, &sent).await;

    let clock = std::sync::Arc::clone(&node.clock);
    node.stop().await;
    let node = start_at(folder.path(), clock).await;
    check_gone(&node, &sent).await;
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lead_that_waits_for_its_last_verdict_is_voided_by_the_erasure() {
    let folder = tempfile::tempdir().unwrap();
    let node = furnished(folder.path()).await;
    let sent = node.delivered(PUBLISHER, "mario@example.it").await;
    node.visit(&sent).await;
    node.after(Duration::from_mins(2)).await;
    assert_eq!(node.leads().await.len(), 1);

    erase(&node, &sent, Some(SECOND_PUBLISHER)).await;
    assert_eq!(node.leads().await[0].outcome, None, "another shop's erasure");
    erase(&node, &sent, None).await;
    let [lead] = &node.leads().await[..] else {
        panic!("not one lead")
    };
    assert_eq!(lead.outcome, Some(LeadOutcome::Voided(VoidReason::Erased)));
    assert_eq!(node.count(PUBLISHER, Measure::LeadsVoided).await, 1);
    check_gone(&node, &sent).await;
    let visit = node
        .store
        .state()
        .leads()
        .visit(sent.partition, &sent.person, ADVERTISER);
    assert!(visit.unwrap().unwrap().open, "nothing was paid for the visit");
    node.after(Duration::from_mins(30)).await;
    assert_eq!(node.count(PUBLISHER, Measure::LeadsConfirmed).await, 0);
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_shops_erasure_leaves_what_the_others_know() {
    let folder = tempfile::tempdir().unwrap();
    let node = furnished(folder.path()).await;
    let first = node.delivered(PUBLISHER, "mario@example.it").await;
    let second = node.delivered(SECOND_PUBLISHER, "mario@example.it").await;
    erase(&node, &first, Some(PUBLISHER)).await;
    check_gone(&node, &first).await;
    assert_eq!(node.history(&second).await.len(), 2);
    node.submit(second.partition, second.opened()).await;
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_queued_mail_is_withdrawn_and_its_end_is_not_kept() {
    let folder = tempfile::tempdir().unwrap();
    let node = furnished(folder.path()).await;
    let sent = node.mailed("mario@example.it").await;
    erase(&node, &sent, None).await;
    assert_eq!(*node.outbox.withdrawn.lock().unwrap(), [sent.message]);
    node.submit(sent.partition, sent.ended(1, Outcome::Withdrawn)).await;
    node.settled().await;
    check_gone(&node, &sent).await;
    assert_eq!(
        node.store.state().outbox().entry(sent.partition, sent.message).unwrap(),
        None
    );
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_appended_in_the_same_replayed_turn_is_erased_with_it() {
    let folder = tempfile::tempdir().unwrap();
    let node = furnished(folder.path()).await;
    let sent = node.mailed("mario@example.it").await;
    // Behind the runners' backs: the next start folds both in one turn.
    let person = sent.person;
    let erased = Event::PersonErased(PersonErased { person, shop: None });
    node.append(
        sent.partition,
        &[sent.ended(1, Outcome::Delivered), sent.opened(), erased],
    )
    .await;
    let clock = std::sync::Arc::clone(&node.clock);
    node.stop().await;
    let node = start_at(folder.path(), clock).await;
    check_gone(&node, &sent).await;
    node.stop().await;
}
