//! Queues: reuse, limits, age, withdrawal, restart, drain, dead sites.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Poll;
use std::time::Duration;

use mta::Settings;
use mta::ready::Ready;
use smtp::server::Event;
use types::event::Outcome;
use types::id::{Attempt, MessageId};
use types::order::Stream;
use types::port::{Queues, SiteLimits, Survivor};
use types::time::Clock;

use crate::server::{Do, Receiver};
use crate::support::{Engine, to};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_warm_session_is_reused() {
    let receiver = Receiver::start(|_| Do::Go).await;
    let mut engine = Engine::start(to(receiver.address));
    for id in 1..=20 {
        engine.send(engine.mail(id, "r@dest.example"));
        assert_eq!(engine.end().await.outcome, Outcome::Delivered);
    }
    assert_eq!(receiver.connections(), 1);
    let (envelope, bytes) = receiver.got().remove(4);
    assert_eq!(
        (envelope.from.as_str(), envelope.to[0].as_str()),
        ("bounce@shop.example", "r@dest.example")
    );
    assert_eq!(bytes, engine.mail(5, "r@dest.example").bytes);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_and_messages_per_connection_are_capped() {
    let receiver = Receiver::start(|_| Do::Go).await;
    let settings = Settings {
        connections_max: 3,
        messages_per_connection_max: 10,
        ..to(receiver.address)
    };
    let mut engine = Engine::start(settings);
    for id in 1..=300 {
        engine.send(engine.mail(id, "r@dest.example"));
    }
    for _ in 0..300 {
        assert_eq!(engine.terminal().await.outcome, Outcome::Delivered);
        assert!(engine.delivery.sites(1)[0].sessions <= 3);
    }
    assert!(receiver.connections() >= 30, "{} connections", receiver.connections());
    assert_eq!(receiver.count(), 300);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rate_is_kept_to_and_changes_while_running() {
    let receiver = Receiver::start(|_| Do::Go).await;
    let mut engine = Engine::start(Settings {
        messages_per_second_max: Some(20.0),
        ..to(receiver.address)
    });
    let started = std::time::Instant::now();
    for id in 1..=12 {
        engine.send(engine.mail(id, "r@dest.example"));
    }
    for _ in 0..12 {
        engine.terminal().await;
    }
    assert!(
        started.elapsed() >= Duration::from_millis(450),
        "{:?}",
        started.elapsed()
    );
    let site = engine.delivery.sites(1).remove(0).site;
    let limits = SiteLimits {
        messages_per_second_max: Some(0.01),
        ..Default::default()
    };
    assert!(engine.delivery.adjust(&site, &limits));
    for id in 20..=30 {
        engine.send(engine.mail(id, "r@dest.example"));
    }
    engine.terminal().await;
    let limits = SiteLimits {
        messages_per_second_max: Some(0.0),
        ..Default::default()
    };
    assert!(engine.delivery.adjust(&site, &limits), "lifted");
    for _ in 0..10 {
        engine.terminal().await;
    }
    assert!(!engine.delivery.adjust("nobody", &limits));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_suspended_site_sends_nothing_until_resumed() {
    let receiver = Receiver::start(|_| Do::Go).await;
    let mut engine = Engine::start(to(receiver.address));
    engine.send(engine.mail(1, "r@dest.example"));
    engine.end().await;
    let site = engine.delivery.sites(1).remove(0).site;
    assert!(engine.delivery.suspend(&site));
    engine.send(engine.mail(2, "r@dest.example"));
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(receiver.count(), 1);
    assert!(
        engine
            .delivery
            .waiting(MessageId::from_raw(2))
            .unwrap()
            .contains("suspended")
    );
    assert!(Queues::resume(&engine.delivery, &site));
    assert_eq!(engine.end().await.outcome, Outcome::Delivered);
    assert_eq!(engine.delivery.waiting(MessageId::from_raw(2)), None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dead_site_burns_no_attempts_and_age_is_enforced() {
    let closed = Receiver::start(|_| Do::Close).await;
    let mut engine = Engine::start(to(closed.address));
    for id in 1..=200 {
        let expires = engine.clock.now() + Duration::from_mins(if id <= 100 { 10 } else { 600 });
        engine.send(Ready {
            expires,
            ..engine.mail(id, "r@dest.example")
        });
    }
    engine
        .until("the pause", || {
            engine.delivery.sites(1)[0].state.starts_with("throttled")
        })
        .await;
    assert!(
        engine
            .delivery
            .waiting(MessageId::from_raw(150))
            .unwrap()
            .contains("throttled")
    );
    let attempts_before = closed.connections();
    assert!(attempts_before <= 8, "{attempts_before} connections");
    engine.clock.advance(Duration::from_mins(11));
    let mut expired = 0;
    while expired < 100 {
        if engine.terminal().await.outcome == Outcome::Expired {
            expired += 1;
        }
    }
    let ended = engine.ends_so_far();
    assert!(ended.iter().all(|ended| ended.attempt.0 <= 1), "{ended:?}");
    assert!(
        engine.ledger.claims.lock().unwrap().is_empty(),
        "nothing was claimed for a site without a session"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn withdrawn_mail_does_not_leave() {
    let receiver = Receiver::start(|_| Do::Go).await;
    let mut engine = Engine::start(to(receiver.address));
    engine.send(engine.mail(1, "r@dest.example"));
    engine.end().await;
    let site = engine.delivery.sites(1).remove(0).site;
    engine.delivery.suspend(&site);
    engine.send(engine.mail(2, "r@dest.example"));
    engine.send(engine.mail(3, "r@dest.example"));
    engine.delivery.withdraw(MessageId::from_raw(2));
    let ended = engine.end().await;
    assert_eq!((ended.message.raw(), ended.outcome), (2, Outcome::Withdrawn));
    Queues::resume(&engine.delivery, &site);
    let ended = engine.end().await;
    assert_eq!((ended.message.raw(), ended.outcome), (3, Outcome::Delivered));
    assert_eq!(receiver.count(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mail_withdrawn_in_mid_transaction_is_cut_off() {
    let datas = Arc::new(AtomicUsize::new(0));
    let seen = Arc::clone(&datas);
    let receiver = Receiver::start(move |at| {
        if matches!(at.event, Event::Data) {
            seen.fetch_add(1, Ordering::SeqCst);
        }
        Do::Go
    })
    .await;
    let mut engine = Engine::start(to(receiver.address));
    engine.ledger.held.store(true, Ordering::SeqCst);
    engine.send(engine.mail(1, "r@dest.example"));
    engine.until("DATA", || datas.load(Ordering::SeqCst) == 1).await;
    engine.delivery.withdraw(MessageId::from_raw(1));
    engine.ledger.held.store(false, Ordering::SeqCst);
    engine.ledger.commits.notify_waiters();
    assert_eq!(engine.terminal().await.outcome, Outcome::Withdrawn);
    engine.send(engine.mail(2, "r@dest.example"));
    assert_eq!(engine.terminal().await.outcome, Outcome::Delivered);
    assert_eq!(receiver.count(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn survivors_are_read_from_the_spool_and_wait_for_their_time() {
    let receiver = Receiver::start(|_| Do::Go).await;
    let mut engine = Engine::start(to(receiver.address));
    let survivor = |mail: &Ready, due| Survivor {
        partition: mail.partition,
        message: mail.message,
        attempts: Attempt(3),
        due,
        expires: mail.expires,
        stream: Stream::Transactional,
        accepted_at: mail.accepted_at,
        doubted: false,
    };
    let (now, later) = (engine.mail(1, "r@dest.example"), engine.mail(2, "r@dest.example"));
    engine.spool(&now);
    engine.spool(&later);
    let time = engine.clock.now();
    engine.delivery.resume(vec![
        survivor(&now, time),
        survivor(&later, time + Duration::from_hours(1)),
    ]);
    let ended = engine.end().await;
    assert_eq!(
        (ended.message, ended.outcome, ended.attempt.0),
        (now.message, Outcome::Delivered, 4)
    );
    assert!(engine.delivery.waiting(later.message).unwrap().contains("due at"));
    engine.clock.advance(Duration::from_mins(61));
    assert_eq!(engine.end().await.message, later.message);
    assert_eq!(receiver.got()[1].1, later.bytes);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mail_that_cannot_be_read_now_is_tried_again() {
    let receiver = Receiver::start(|_| Do::Go).await;
    let mut engine = Engine::start(to(receiver.address));
    let mail = engine.mail(1, "r@dest.example");
    engine.spool(&mail);
    engine.ledger.unreadable.store(true, Ordering::SeqCst);
    engine.delivery.resume(vec![Survivor {
        partition: mail.partition,
        message: mail.message,
        attempts: Attempt(0),
        due: engine.clock.now(),
        expires: mail.expires,
        stream: Stream::Transactional,
        accepted_at: mail.accepted_at,
        doubted: false,
    }]);
    assert!(matches!(engine.end().await.outcome, Outcome::Deferred { .. }));
    engine.ledger.unreadable.store(false, Ordering::SeqCst);
    engine.clock.advance(Duration::from_mins(1));
    assert_eq!(engine.end().await.outcome, Outcome::Delivered);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_drain_lets_running_transactions_end_and_starts_nothing() {
    let receiver = Receiver::start(|_| Do::Go).await;
    let mut engine = Engine::start(Settings {
        connections_max: 1,
        ..to(receiver.address)
    });
    engine.ledger.held.store(true, Ordering::SeqCst);
    for id in 1..=40 {
        engine.send(engine.mail(id, "r@dest.example"));
    }
    engine
        .until("claims", || !engine.ledger.claims.lock().unwrap().is_empty())
        .await;
    let (delivery, ledger) = (engine.delivery.clone(), Arc::clone(&engine.ledger));
    let mut drain = Box::pin(delivery.drain(tokio::time::Instant::now() + Duration::from_secs(10)));
    // The drain has begun, and waits for the claimed ones, before their claims are let through.
    let begun = std::future::poll_fn(|context| Poll::Ready(drain.as_mut().poll(context))).await;
    assert!(begun.is_pending());
    ledger.held.store(false, Ordering::SeqCst);
    ledger.commits.notify_waiters();
    drain.await;
    let claimed = engine.ledger.claims.lock().unwrap().len();
    let delivered = engine
        .ends_so_far()
        .iter()
        .filter(|ended| ended.outcome == Outcome::Delivered)
        .count();
    assert_eq!(
        (delivered, receiver.count()),
        (claimed, claimed),
        "what was claimed was sent, and nothing else"
    );
    assert!(claimed < 40, "{claimed}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_drain_past_its_deadline_drops_sessions_without_a_dot() {
    let receiver = Receiver::start(|_| Do::Go).await;
    let mut engine = Engine::start(to(receiver.address));
    engine.ledger.held.store(true, Ordering::SeqCst);
    engine.send(engine.mail(1, "r@dest.example"));
    engine
        .until("a claim", || !engine.ledger.claims.lock().unwrap().is_empty())
        .await;
    engine
        .delivery
        .drain(tokio::time::Instant::now() + Duration::from_millis(50))
        .await;
    assert_eq!(receiver.count(), 0);
    let ended = engine.ends_so_far();
    assert!(matches!(ended[0].outcome, Outcome::Deferred { .. }), "{ended:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mail_withdrawn_during_the_drain_is_recorded() {
    let receiver = Receiver::start(|_| Do::Go).await;
    let mut engine = Engine::start(to(receiver.address));
    engine.ledger.held.store(true, Ordering::SeqCst);
    engine.send(engine.mail(1, "r@dest.example"));
    engine
        .until("a claim", || !engine.ledger.claims.lock().unwrap().is_empty())
        .await;
    engine.delivery.withdraw(MessageId::from_raw(1));
    engine
        .delivery
        .drain(tokio::time::Instant::now() + Duration::from_millis(50))
        .await;
    assert_eq!(receiver.count(), 0);
    let ended = engine.ends_so_far();
    assert_eq!(ended.last().map(|ended| ended.outcome), Some(Outcome::Withdrawn));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mail_withdrawn_before_it_comes_is_never_sent() {
    let receiver = Receiver::start(|_| Do::Go).await;
    let mut engine = Engine::start(to(receiver.address));
    engine.delivery.withdraw(MessageId::from_raw(1));
    engine.send(engine.mail(1, "r@dest.example"));
    assert_eq!(engine.end().await.outcome, Outcome::Withdrawn);
    engine.send(engine.mail(2, "r@dest.example"));
    assert_eq!(engine.end().await.outcome, Outcome::Delivered);
    assert_eq!(receiver.count(), 1);
}
