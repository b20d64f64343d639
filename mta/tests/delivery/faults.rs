//! Receivers that fail: at each step, in each way. The right class, the right retry, no mail twice.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use mta::Settings;
use smtp::client::Timeouts;
use smtp::server::Event;
use types::event::{FailureClass, Outcome};
use types::order::Stream;
use types::time::Clock;

use crate::server::{Do, Receiver};
use crate::support::{Engine, to};

pub(crate) fn hasty(settings: Settings) -> Settings {
    let short = Duration::from_millis(250);
    Settings {
        timeouts: Timeouts {
            greeting: short,
            hello: short,
            mail: short,
            rcpt: short,
            data: short,
            block: short,
            dot: short,
            quit: short,
        },
        ..settings
    }
}

pub(crate) fn step_of(event: &Event) -> &'static str {
    match event {
        Event::Connected => "greeting",
        Event::Ehlo => "ehlo",
        Event::Helo => "helo",
        Event::StartTls => "starttls",
        Event::Mail(_) => "mail",
        Event::Rcpt(_) => "rcpt",
        Event::Data => "data",
        Event::Message(..) => "dot",
        Event::Rset => "rset",
        Event::Noop => "noop",
        Event::Quit => "quit",
    }
}

/// The receiver fails once at `step`, then is well. Returns the first end and how often the mail arrived.
async fn fails_once(step: &'static str, how: Do) -> (Outcome, usize) {
    let failed = Arc::new(AtomicBool::new(false));
    let fails = Arc::clone(&failed);
    let receiver = Receiver::start(move |at| {
        if step_of(at.event) == step && !fails.swap(true, Ordering::SeqCst) {
            how.clone()
        } else {
            Do::Go
        }
    })
    .await;
    let mut engine = Engine::start(hasty(to(receiver.address)));
    engine.send(engine.mail(1, "r@dest.example"));
    let first = engine.end().await.outcome;
    assert!(failed.load(Ordering::SeqCst), "{step} was not reached");
    if first != Outcome::Delivered {
        engine.clock.advance(Duration::from_mins(30));
        assert_eq!(engine.terminal().await.outcome, Outcome::Delivered, "{step}");
    }
    (first, receiver.count())
}

pub(crate) fn class(outcome: &Outcome) -> &'static str {
    match outcome {
        Outcome::Deferred { class, .. } | Outcome::Failed { class } => class.as_str(),
        other => other.as_str(),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_cut_at_each_step_loses_and_doubles_nothing() {
    for step in ["greeting", "ehlo", "mail", "rcpt", "data"] {
        for how in [Do::Close, Do::Reset, Do::Silence] {
            let (first, arrived) = fails_once(step, how.clone()).await;
            assert_eq!(class(&first), "network", "{step} {how:?}: {first:?}");
            assert_eq!(arrived, 1, "{step} {how:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_cut_in_the_body_is_retried() {
    let (first, arrived) = fails_once("data", Do::CloseInBody).await;
    // Body and dot left in one write: the receiver may have read both.
    assert!(matches!(class(&first), "network" | "in_doubt"), "{first:?}");
    assert_eq!(arrived, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_cut_before_the_durable_claim_is_not_in_doubt() {
    let receiver = Receiver::start(|at| match (at.connection, at.event) {
        (0, Event::Data) => Do::CloseInBody,
        _ => Do::Go,
    })
    .await;
    let mut engine = Engine::start(hasty(to(receiver.address)));
    engine.ledger.held.store(true, Ordering::SeqCst);
    engine.send(engine.mail(1, "r@dest.example"));
    let first = engine.end().await;
    assert_eq!(class(&first.outcome), "network", "{first:?}");
    engine.ledger.held.store(false, Ordering::SeqCst);
    engine.ledger.commits.notify_waiters();
    engine.clock.advance(Duration::from_secs(20));
    assert_eq!(engine.terminal().await.outcome, Outcome::Delivered);
    assert_eq!(receiver.count(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_reply_to_the_final_dot_is_in_doubt_and_retried_late() {
    for how in [Do::Close, Do::Reset, Do::Silence] {
        let receiver = Receiver::start(move |at| match (at.connection, at.event) {
            (0, Event::Message(..)) => how.clone(),
            _ => Do::Go,
        })
        .await;
        let mut engine = Engine::start(hasty(to(receiver.address)));
        engine.send(engine.mail(1, "r@dest.example"));
        let first = engine.end().await.outcome;
        let Outcome::InDoubt { retry: Some(retry) } = first else {
            panic!("{first:?}")
        };
        assert!(retry >= engine.clock.now() + Duration::from_mins(14));
        engine.clock.advance(Duration::from_mins(20));
        let second = engine.end().await;
        assert_eq!((second.outcome, second.attempt.0), (Outcome::Delivered, 2));
        assert_eq!(receiver.got()[0].1, engine.mail(1, "r@dest.example").bytes);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_offer_in_doubt_is_held() {
    let receiver = Receiver::start(|at| match at.event {
        Event::Message(..) => Do::Close,
        _ => Do::Go,
    })
    .await;
    let mut engine = Engine::start(to(receiver.address));
    let offer = mta::ready::Ready {
        stream: Stream::Promotional,
        ..engine.mail(1, "r@dest.example")
    };
    engine.send(offer);
    assert_eq!(engine.end().await.outcome, Outcome::InDoubt { retry: None });
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mail_withdrawn_after_its_dot_stays_in_doubt_and_is_not_tried_again() {
    let engine = Arc::new(std::sync::OnceLock::<mta::Delivery>::new());
    let withdrawing = Arc::clone(&engine);
    let receiver = Receiver::start(move |at| match at.event {
        Event::Message(..) => {
            let delivery = withdrawing.get().expect("set before anything is sent");
            delivery.withdraw(types::id::MessageId::from_raw(1));
            Do::Close
        }
        _ => Do::Go,
    })
    .await;
    let mut running = Engine::start(to(receiver.address));
    engine.set(running.delivery.clone()).expect("once");
    running.send(running.mail(1, "r@dest.example"));
    assert_eq!(running.end().await.outcome, Outcome::InDoubt { retry: None });
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_final_dot_leaves_before_the_claim_is_durable() {
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
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(
        receiver.count(),
        0,
        "the dialogue overlaps the commit, but the dot waits"
    );
    engine.ledger.held.store(false, Ordering::SeqCst);
    engine.ledger.commits.notify_waiters();
    assert_eq!(engine.end().await.outcome, Outcome::Delivered);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_claim_that_cannot_be_recorded_sends_no_dot() {
    let receiver = Receiver::start(|_| Do::Go).await;
    let mut engine = Engine::start(to(receiver.address));
    engine.ledger.failing.store(true, Ordering::SeqCst);
    engine.send(engine.mail(1, "r@dest.example"));
    let first = engine.end().await;
    assert!(matches!(first.outcome, Outcome::Deferred { .. }), "{first:?}");
    assert_eq!(receiver.count(), 0);
    engine.ledger.failing.store(false, Ordering::SeqCst);
    engine.clock.advance(Duration::from_secs(30));
    assert_eq!(engine.terminal().await.outcome, Outcome::Delivered);
    assert_eq!(receiver.count(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn greylisted_then_accepted() {
    let asked = AtomicBool::new(false);
    let receiver = Receiver::start(move |at| match at.event {
        Event::Rcpt(_) if !asked.swap(true, Ordering::Relaxed) => {
            Do::Say(451, "4.7.1 Greylisted, try again in 60 seconds")
        }
        _ => Do::Go,
    })
    .await;
    let mut engine = Engine::start(Settings {
        idle_limit: Duration::from_millis(10),
        ..to(receiver.address)
    });
    engine.send(engine.mail(1, "r@dest.example"));
    let first = engine.end().await;
    let Outcome::Deferred {
        until,
        class: FailureClass::Greylisted,
    } = first.outcome
    else {
        panic!("{first:?}")
    };
    let wait = until.since(engine.clock.now());
    assert!(
        wait > Duration::from_secs(55) && wait <= Duration::from_secs(70),
        "{wait:?}"
    );
    assert!(first.reply.contains("Greylisted") && first.peer.contains("127.0.0.1"));
    engine
        .until("the session's end", || engine.metric("mta_sessions", "") == 0.0)
        .await;
    engine.clock.advance(Duration::from_secs(75));
    assert_eq!(engine.end().await.outcome, Outcome::Delivered);
    assert_eq!(receiver.count(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_permanent_refusal_is_final_at_once() {
    let receiver = Receiver::start(|at| match at.event {
        Event::Rcpt(to) if to.starts_with("gone") => Do::Say(550, "5.1.1 no such user"),
        _ => Do::Go,
    })
    .await;
    let mut engine = Engine::start(to(receiver.address));
    for id in 1..=6 {
        engine.send(engine.mail(
            id,
            if id % 2 == 0 {
                "gone@dest.example"
            } else {
                "r@dest.example"
            },
        ));
    }
    let mut ends = Vec::new();
    for _ in 0..6 {
        let ended = engine.end().await;
        ends.push((ended.message.raw(), class(&ended.outcome)));
    }
    ends.sort_unstable();
    let (bad, good) = ("bad_mailbox", "delivered");
    assert_eq!(ends, [(1, good), (2, bad), (3, good), (4, bad), (5, good), (6, bad)]);
    assert_eq!(receiver.count(), 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_receiver_that_takes_data_without_recipients_gets_a_lone_dot() {
    let settings = smtp::server::Settings {
        data_without_recipients: true,
        ..Default::default()
    };
    let receiver = Receiver::with(settings, |at| match at.event {
        Event::Rcpt(to) if to.starts_with("gone") => Do::Say(550, "5.1.1 no such user"),
        _ => Do::Go,
    })
    .await;
    let mut engine = Engine::start(to(receiver.address));
    engine.send(engine.mail(1, "gone@dest.example"));
    engine.send(engine.mail(2, "r@dest.example"));
    let mut ends = [engine.end().await, engine.end().await].map(|ended| (ended.message.raw(), class(&ended.outcome)));
    ends.sort_unstable();
    assert_eq!(ends, [(1, "bad_mailbox"), (2, "delivered")]);
    assert_eq!(receiver.count(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_421_at_the_door_pauses_the_site_and_burns_no_attempt() {
    let receiver = Receiver::start(|at| match at.connection {
        0 => Do::SayAndClose(421, "4.7.0 too many connections from 192.0.2.1"),
        _ => Do::Go,
    })
    .await;
    let mut engine = Engine::start(to(receiver.address));
    engine.send(engine.mail(1, "r@dest.example"));
    let first = engine.end().await;
    let Outcome::Deferred {
        class: FailureClass::ConnectionLimit,
        ..
    } = first.outcome
    else {
        panic!("{first:?}")
    };
    assert_eq!(first.attempt.0, 0);
    engine.clock.advance(Duration::from_mins(2));
    let second = engine.end().await;
    assert_eq!((second.outcome, second.attempt.0), (Outcome::Delivered, 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unsolicited_reply_is_never_a_delivery() {
    let receiver = Receiver::start(|at| match (at.connection, at.event) {
        // Behind the 354 a forged answer to the dot.
        (0, Event::Data) => Do::Raw(b"250 2.0.0 forged\r\n"),
        _ => Do::Go,
    })
    .await;
    let mut engine = Engine::start(to(receiver.address));
    engine.ledger.held.store(true, Ordering::SeqCst);
    engine.send(engine.mail(1, "r@dest.example"));
    let first = engine.end().await;
    assert_eq!(class(&first.outcome), "protocol", "{first:?}");
    engine.ledger.held.store(false, Ordering::SeqCst);
    engine.ledger.commits.notify_waiters();
    engine.clock.advance(Duration::from_mins(1));
    assert_eq!(engine.terminal().await.outcome, Outcome::Delivered);
    assert_eq!(receiver.count(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_receiver_that_closes_after_some_messages_costs_no_attempt() {
    let limit = Do::SayAndClose(421, "4.7.0 too many messages on this connection");
    let ways = [1, 2, 5, 20].map(|k| (k, Do::Close));
    for (k, way) in ways.into_iter().chain([1, 2, 5, 20].map(|k| (k, limit.clone()))) {
        let receiver = Receiver::start(move |at| match at.event {
            Event::Mail(_) if at.taken == k => way.clone(),
            _ => Do::Go,
        })
        .await;
        let mut engine = Engine::start(Settings {
            connections_max: 2,
            ..to(receiver.address)
        });
        for id in 1..=60 {
            engine.send(engine.mail(id, "r@dest.example"));
        }
        let mut delivered = 0;
        while delivered < 60 {
            let ended = engine.end().await;
            match ended.outcome {
                Outcome::Delivered => delivered += 1,
                // Told that it goes on at once, without a wait.
                Outcome::Deferred { until, .. } => assert!(until <= engine.clock.now(), "k = {k}: {ended:?}"),
                _ => panic!("k = {k}: {ended:?}"),
            }
            assert!(ended.attempt.0 <= 1, "k = {k}: {ended:?}");
        }
        assert_eq!(receiver.count(), 60, "k = {k}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_250_followed_by_a_reset_is_a_delivery() {
    let receiver = Receiver::start(|at| match at.event {
        Event::Message(..) => Do::SayAndClose(250, "2.0.0 taken"),
        _ => Do::Go,
    })
    .await;
    let mut engine = Engine::start(to(receiver.address));
    engine.send(engine.mail(1, "r@dest.example"));
    assert_eq!(engine.end().await.outcome, Outcome::Delivered);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_that_panics_gives_back_its_place_and_its_mails() {
    let receiver = Receiver::start(|_| Do::Go).await;
    let mut engine = Engine::start(Settings {
        connections_max: 1,
        ..to(receiver.address)
    });
    let mails: Vec<_> = (1..=3).map(|id| engine.mail(id, "r@dest.example")).collect();
    *engine.ledger.breaking.lock().unwrap() = Some(mails[1].message);
    for mail in &mails {
        engine.send(mail.clone());
    }
    // The only connection that the site may have is free again, or the others would wait for ever.
    let mut delivered = Vec::new();
    while delivered.len() < 2 {
        let ended = engine.end_ahead(Duration::from_mins(1)).await;
        match ended.outcome {
            Outcome::Delivered => delivered.push(ended.message),
            Outcome::Deferred { class, .. } => {
                assert_eq!(class, FailureClass::Internal);
                assert_eq!(&*ended.reply, "the session ended by a fault of ours");
            }
            other => panic!("{other:?}"),
        }
    }
    delivered.sort();
    assert_eq!(delivered, [mails[0].message, mails[2].message]);

    *engine.ledger.breaking.lock().unwrap() = None;
    loop {
        let ended = engine.end_ahead(Duration::from_mins(5)).await;
        assert_eq!(ended.message, mails[1].message);
        if ended.outcome == Outcome::Delivered {
            break;
        }
    }
    assert_eq!(receiver.got().len(), 3);
}
