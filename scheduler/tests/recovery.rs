//! What a start makes of what the last run left open, on a real store.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests state expectations")]

mod fixture;

use std::time::Duration;

use fixture::{Node, PUBLISHER, furnished, start, start_with};
use store::state::Turn;
use types::event::{Decided, Event, FailureClass, Outcome, Verdict};
use types::id::{Attempt, MessageId, PartitionId};
use types::tally::Measure;
use types::time::Clock;

#[tokio::test(flavor = "multi_thread")]
async fn an_accepted_order_without_a_decision_is_decided_at_the_next_start_and_only_then() {
    let folder = tempfile::tempdir().unwrap();
    let node = furnished(folder.path()).await;
    let (person, event) = node.order(PUBLISHER, "mario@example.it");
    let cause = node.append(person.partition(), &[event]).await[0];
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
    let node = furnished(folder.path()).await;
    let mail = node.mailed("mario@example.it").await;
    node.spool(&mail);
    node.submit(mail.partition, mail.claimed(1)).await;
    node.stop().await;

    let node = start(folder.path()).await;
    assert_eq!(node.outcome(&mail).await, Some(Outcome::InDoubt { retry: None }));
    assert!(node.survivors.is_empty() && node.outbox.mails.lock().unwrap().is_empty());
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_confirmation_in_doubt_is_tried_once_more_and_no_further_whatever_restarts_and_refusals_come_between() {
    let doubt = |node: &Node| Outcome::InDoubt {
        retry: Some(node.clock.now() + Duration::from_mins(15)),
    };
    let refusal = |node: &Node| Outcome::Deferred {
        until: node.clock.now() + Duration::from_mins(1),
        class: FailureClass::Greylisted,
    };
    // How the first doubt comes, and whether a refusal comes between it and the second.
    for (crashed, refused) in [(true, false), (true, true), (false, false), (false, true)] {
        let folder = tempfile::tempdir().unwrap();
        let node = furnished(folder.path()).await;
        let mail = node.confirmed("mario@example.it").await;
        node.spool(&mail);
        node.submit(mail.partition, mail.claimed(1)).await;
        if !crashed {
            node.submit(mail.partition, mail.ended(1, doubt(&node))).await;
        }
        node.stop().await;

        let node = start(folder.path()).await;
        let told = node.outcome(&mail).await;
        assert!(matches!(told, Some(Outcome::InDoubt { retry: Some(_) })), "{told:?}");
        let [survivor] = &node.survivors[..] else {
            panic!("{:?}", node.survivors)
        };
        assert!(survivor.doubted && survivor.attempts == Attempt(1), "{survivor:?}");
        let mut attempt = 2;
        if refused {
            node.submit(mail.partition, mail.claimed(attempt)).await;
            node.submit(mail.partition, mail.ended(attempt, refusal(&node))).await;
            attempt += 1;
        }
        node.stop().await;

        let node = start(folder.path()).await;
        assert!(node.survivors[0].doubted, "{:?}", node.survivors);
        node.submit(mail.partition, mail.claimed(attempt)).await;
        node.stop().await;

        let node = start(folder.path()).await;
        assert_eq!(node.outcome(&mail).await, Some(Outcome::InDoubt { retry: None }));
        assert!(node.survivors.is_empty(), "{:?}", node.survivors);
        node.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mail_that_is_made_again_without_its_bytes_remembers_its_doubt() {
    let folder = tempfile::tempdir().unwrap();
    let node = furnished(folder.path()).await;
    let mail = node.confirmed("mario@example.it").await;
    let retry = Some(node.clock.now());
    node.submit(mail.partition, mail.claimed(1)).await;
    node.submit(mail.partition, mail.ended(1, Outcome::InDoubt { retry }))
        .await;
    node.stop().await;

    let node = start(folder.path()).await;
    let again: Vec<_> = node
        .outbox
        .mails
        .lock()
        .unwrap()
        .iter()
        .map(|mail| mail.doubted)
        .collect();
    assert_eq!(again, [true]);
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_end_that_is_told_late_leaves_the_newer_claim_standing() {
    let folder = tempfile::tempdir().unwrap();
    let node = furnished(folder.path()).await;
    let mail = node.mailed("mario@example.it").await;
    node.spool(&mail);
    for attempt in [1, 2] {
        node.submit(mail.partition, mail.claimed(attempt)).await;
    }
    let late = Outcome::Deferred {
        until: node.clock.now(),
        class: FailureClass::Network,
    };
    node.submit(mail.partition, mail.ended(1, late)).await;
    node.stop().await;

    let node = start(folder.path()).await;
    assert_eq!(node.outcome(&mail).await, Some(Outcome::InDoubt { retry: None }));
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unclaimed_mail_with_bytes_survives_with_its_attempts_and_its_due_time() {
    let folder = tempfile::tempdir().unwrap();
    let node = furnished(folder.path()).await;
    let mail = node.mailed("mario@example.it").await;
    node.spool(&mail);
    let until = node.clock.now() + Duration::from_mins(5);
    let class = FailureClass::Greylisted;
    node.submit(mail.partition, mail.ended(3, Outcome::Deferred { until, class }))
        .await;
    node.stop().await;

    let node = start(folder.path()).await;
    let [survivor] = &node.survivors[..] else {
        panic!("{:?}", node.survivors)
    };
    assert_eq!(
        (survivor.message, survivor.attempts, survivor.due),
        (mail.message, Attempt(3), until)
    );
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_mailbox_suppresses_the_person_even_if_the_crash_came_between() {
    let folder = tempfile::tempdir().unwrap();
    let node = furnished(folder.path()).await;
    let mail = node.mailed("mario@example.it").await;
    let class = FailureClass::BadMailbox;
    node.append(mail.partition, &[mail.ended(1, Outcome::Failed { class })])
        .await;
    node.stop().await;

    let node = start(folder.path()).await;
    let (person, event) = node.order(PUBLISHER, "Mario@example.it");
    let receipt = node.store.intake().accept(person.partition(), event).await.unwrap();
    node.settled().await;
    let timeline = node
        .store
        .state()
        .histories()
        .of(person.partition(), receipt.id)
        .unwrap();
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
    let node = furnished(folder.path()).await;
    let mail = node.mailed("mario@example.it").await;
    node.spool(&mail);
    node.submit(mail.partition, mail.unsubscribed()).await;
    node.settled().await;
    assert_eq!(*node.outbox.withdrawn.lock().unwrap(), [mail.message]);
    // The queues are gone before they have recorded the end.
    node.stop().await;

    let node = start(folder.path()).await;
    assert_eq!(node.outcome(&mail).await, Some(Outcome::Withdrawn));
    assert!(node.survivors.is_empty() && node.outbox.mails.lock().unwrap().is_empty());
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_withdrawal_reaches_for_the_mails_that_have_not_ended() {
    let folder = tempfile::tempdir().unwrap();
    let node = furnished(folder.path()).await;
    let mail = node.mailed("mario@example.it").await;
    node.submit(mail.partition, mail.ended(1, Outcome::Delivered)).await;
    node.submit(mail.partition, mail.unsubscribed()).await;
    node.settled().await;
    assert!(node.outbox.withdrawn.lock().unwrap().is_empty());
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn unsubscribing_by_a_mail_that_state_does_not_know_yet_counts() {
    let folder = tempfile::tempdir().unwrap();
    let node = furnished(folder.path()).await;
    let other = node.mailed("luigi@example.it").await;
    let (person, accepted) = node.order(PUBLISHER, "mario@example.it");
    let partition = person.partition();
    let cause = node.append(partition, std::slice::from_ref(&accepted)).await[0];
    let mut mail = other;
    mail.message = MessageId::new(node.store.journal().mint());
    let mut plan = mail.mail.plan.clone();
    plan.message = mail.message;
    let events = [
        Event::Decided(Box::new(Decided {
            cause,
            shop: PUBLISHER,
            person,
            verdict: Verdict::Send(plan),
        })),
        mail.ended(1, Outcome::Delivered),
        mail.unsubscribed(),
    ];
    node.append(partition, &events).await;
    node.stop().await;

    let node = start(folder.path()).await;
    let (_, again) = node.order(PUBLISHER, "mario@example.it");
    node.outbox.mails.lock().unwrap().clear();
    node.store.intake().accept(partition, again).await.unwrap();
    node.settled().await;
    assert!(
        node.outbox.mails.lock().unwrap().is_empty(),
        "mailed although unsubscribed"
    );
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn fewer_runners_go_on_from_where_each_of_the_last_run_was() {
    let folder = tempfile::tempdir().unwrap();
    let node = furnished(folder.path()).await;
    let mut number = 0;
    let sent = loop {
        let sent = node.delivered(PUBLISHER, &format!("mario{number}@example.it")).await;
        if sent.partition.number() >= 512 {
            break sent;
        }
        number += 1;
    };
    node.settled().await;
    // The second runner's turns were not written before the crash, the first one's were.
    let opens = vec![sent.opened(); 6000];
    node.append(sent.partition, &opens).await;
    let position = *node.store.journal().durable().borrow();
    node.store.state().submit(Turn {
        range: 0..512,
        position,
        puts: Vec::new(),
        released: Vec::new(),
    });
    let first = PartitionId::new(0).unwrap();
    while node.store.state().applied(first) < position {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let clock = std::sync::Arc::clone(&node.clock);
    node.stop().await;

    for runners in [1, 3] {
        let node = start_with(folder.path(), std::sync::Arc::clone(&clock), runners).await;
        node.settled().await;
        let counts = node
            .store
            .state()
            .mails()
            .get(sent.partition, sent.message)
            .unwrap()
            .unwrap()
            .counts;
        assert_eq!(counts.opens[0], 6000, "{runners} runners");
        assert_eq!(node.count(PUBLISHER, Measure::OpensRaw).await, 6000);
        node.stop().await;
    }
}
