//! Receivers that end every session without serving a message, each in its own way: they are left alone longer each time,
//! the mail's owner sees why, and other mails get their turn.

use std::time::Duration;

use smtp::server::{Event, Settings};
use tokio::task::JoinSet;
use types::event::Outcome;
use types::port::Queues;
use types::time::Clock;

use crate::faults::{class, hasty, step_of};
use crate::server::{Do, Receiver};
use crate::support::{Engine, to};

/// Longer than any wait.
const WAITED: Duration = Duration::from_mins(20);
/// The most connections at once before a site has ever worked.
const AT_ONCE: usize = 4;
/// The most connections of one round, and twice as many if TLS fails first. A session that we quit ourselves, since its peer is
/// slow to close, says nothing against the site and makes room for one more: so it is twice those at once, and not one a mail.
const CONNECTIONS_MAX: usize = 2 * AT_ONCE;

/// A way to misbehave: the class that the mail's story names, then what is done at which steps.
type Manner = (&'static str, &'static [(&'static str, Do)]);

const GARBAGE: &[u8] = b"\x80\xff what\r\n";

fn manners() -> Vec<Manner> {
    vec![
        ("network", &[("greeting", Do::Close)]),
        ("network", &[("greeting", Do::Reset)]),
        ("network", &[("greeting", Do::Silence)]),
        ("policy", &[("greeting", Do::SayAndClose(554, "5.3.2 no mail today"))]),
        (
            "connection_limit",
            &[("greeting", Do::SayAndClose(421, "4.7.0 too many connections"))],
        ),
        ("protocol", &[("greeting", Do::Instead(GARBAGE))]),
        ("protocol", &[("greeting", Do::Instead(b"354 go ahead\r\n"))]),
        ("protocol", &[("greeting", Do::Raw(b"220 once more\r\n"))]),
        ("network", &[("ehlo", Do::Close)]),
        ("network", &[("ehlo", Do::Reset)]),
        ("network", &[("ehlo", Do::Silence)]),
        ("network", &[("ehlo", Do::SayAndClose(250, "mx.dest.example"))]),
        (
            "connection_limit",
            &[("ehlo", Do::SayAndClose(421, "4.7.0 too many connections"))],
        ),
        (
            "connection_limit",
            &[("ehlo", Do::Raw(b"421 4.7.0 too many connections\r\n"))],
        ),
        ("protocol", &[("ehlo", Do::Instead(GARBAGE))]),
        ("protocol", &[("ehlo", Do::Instead(b"354 go ahead\r\n"))]),
        ("protocol", &[("ehlo", Do::Raw(GARBAGE))]),
        ("protocol", &[("ehlo", Do::Raw(b"250 2.1.0 one too many\r\n"))]),
        ("network", &[("ehlo", Do::Say(502, "5.5.1 what")), ("helo", Do::Close)]),
        (
            "protocol",
            &[
                ("ehlo", Do::Say(502, "5.5.1 what")),
                ("helo", Do::Raw(b"250 one too many\r\n")),
            ],
        ),
        ("protocol", &[("starttls", Do::Raw(b"250 forged\r\n"))]),
        ("network", &[("starttls", Do::Close), ("mail", Do::Close)]),
        (
            "network",
            &[("starttls", Do::SayAndClose(220, "go ahead")), ("mail", Do::Close)],
        ),
        (
            "protocol",
            &[
                ("starttls", Do::SayAndClose(220, "go ahead")),
                ("ehlo", Do::Raw(b"250 extra\r\n")),
            ],
        ),
        ("network", &[("mail", Do::Close)]),
        ("network", &[("mail", Do::Reset)]),
        ("network", &[("mail", Do::Silence)]),
        (
            "connection_limit",
            &[("mail", Do::SayAndClose(421, "4.7.0 too many connections"))],
        ),
        ("protocol", &[("mail", Do::Instead(GARBAGE))]),
        ("protocol", &[("mail", Do::Instead(b"354 go ahead\r\n"))]),
        ("network", &[("rcpt", Do::Close)]),
        ("protocol", &[("rcpt", Do::Instead(GARBAGE))]),
        ("policy", &[("rcpt", Do::SayAndClose(421, "4.3.2 going down"))]),
        ("network", &[("data", Do::Close)]),
        ("protocol", &[("data", Do::Instead(b"250 hm\r\n"))]),
        ("policy", &[("data", Do::SayAndClose(421, "4.3.2 going down"))]),
    ]
}

async fn misbehaving(manner: &'static [(&'static str, Do)]) -> Receiver {
    let settings = Settings {
        starttls: manner.iter().any(|(step, _)| *step == "starttls"),
        ..Settings::default()
    };
    Receiver::with(settings, move |at| {
        let step = step_of(at.event);
        let found = manner.iter().find(|(when, _)| *when == step);
        found.map_or(Do::Go, |(_, what)| what.clone())
    })
    .await
}

/// Waits until no session is at work and nothing may start one before the clock goes on.
async fn at_rest(engine: &Engine, what: &str) {
    let resting = || {
        let sites = engine.delivery.sites(1);
        let site = sites.first();
        site.is_some_and(|site| site.sessions == 0 && (site.ready == 0 || site.state.starts_with("throttled")))
    };
    engine.until(what, resting).await;
}

/// Lets `mails` mails meet a receiver five times. Returns what went wrong, if anything.
async fn meets(expected: &'static str, manner: &'static [(&'static str, Do)], mails: u64) -> Result<(), String> {
    let receiver = misbehaving(manner).await;
    let mut engine = Engine::start(mta::Settings {
        // What finds its site waiting is gone soon.
        idle_limit: Duration::from_millis(10),
        ..hasty(to(receiver.address))
    });
    let what = format!("{mails} mails, {manner:?}");
    for id in 1..=mails {
        engine.send(engine.mail(id, "r@dest.example"));
    }
    let tls = if manner[0].0 == "starttls" { 2 } else { 1 };
    let (mut before, mut last_wait) = (0, Duration::ZERO);
    for round in 0..5 {
        at_rest(&engine, &what).await;
        let now = engine.clock.now();
        // Told before the site rests, or by the keeper just after.
        let mut ended = vec![engine.end().await];
        ended.extend(engine.ends_so_far());
        let connections = receiver.connections() - before;
        before += connections;
        if connections > CONNECTIONS_MAX * tls {
            return Err(format!("{what}: {connections} connections in round {round}: {ended:?}"));
        }
        if ended.len() as u64 > 3 * mails {
            return Err(format!("{what}: a flood of {} ends in round {round}", ended.len()));
        }
        let told = &ended[0];
        if class(&told.outcome) != expected || told.reply.is_empty() {
            return Err(format!("{what}: {told:?}"));
        }
        let waits = ended.iter().filter_map(|ended| match ended.outcome {
            Outcome::Deferred { until, .. } => Some(until.since(now)),
            _ => None,
        });
        let wait = waits.max().unwrap_or_default();
        // Each is longer than the one before, but for jitter and what some replies ask for at least.
        let least = if round == 4 {
            Duration::from_mins(4)
        } else {
            last_wait.mul_f32(0.7)
        };
        if mails == 1 && (wait < least || wait.is_zero()) {
            return Err(format!("{what}: waits {wait:?} after {last_wait:?}"));
        }
        last_wait = wait;
        engine.clock.advance(WAITED * (round + 1));
        // The keeper has noticed that the time is over when someone connects again.
        engine.until(&what, || receiver.connections() > before).await;
    }
    Ok(())
}

async fn all_meet(mails: u64) {
    let mut meetings = JoinSet::new();
    for (expected, manner) in manners() {
        meetings.spawn(meets(expected, manner, mails));
    }
    let mut faults = Vec::new();
    while let Some(met) = meetings.join_next().await {
        match met {
            Ok(met) => faults.extend(met.err()),
            Err(panic) => faults.push(panic.to_string()),
        }
    }
    assert!(faults.is_empty(), "{}:\n{}", faults.len(), faults.join("\n"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_receiver_that_serves_nothing_is_left_alone_longer_each_time() {
    all_meet(1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_mails_for_a_receiver_that_serves_nothing_cause_no_storm() {
    all_meet(30).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mail_whose_sender_ends_every_session_is_counted_and_others_get_their_turn() {
    let receiver = Receiver::start(|at| match at.event {
        Event::Mail(from) if from.contains("poison") => Do::Close,
        _ => Do::Go,
    })
    .await;
    let mut engine = Engine::start(to(receiver.address));
    let poison = mta::ready::Ready {
        reverse_path: types::address::EmailAddress::try_from("poison@shop.example").ok(),
        ..engine.mail(1, "r@dest.example")
    };
    engine.send(poison);
    for id in 2..=30 {
        engine.send(engine.mail(id, "r@dest.example"));
    }
    let (mut delivered, mut attempts) = (0, Vec::new());
    while delivered < 29 {
        let ended = engine.end_ahead(Duration::from_secs(20)).await;
        match ended.outcome {
            Outcome::Delivered => delivered += 1,
            Outcome::Deferred { until, .. } => {
                if ended.message.raw() == 1 {
                    attempts.push((ended.attempt.0, until > engine.clock.now()));
                }
            }
            other => panic!("{other:?}"),
        }
        assert!(receiver.connections() < 100, "{delivered} delivered");
    }
    assert_eq!(attempts.first(), Some(&(1, true)), "the attempt counts: {attempts:?}");
    assert_eq!(receiver.count(), 29);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_doubt_is_tried_once_more_and_no_further() {
    // What the second, third, … connection does at the dot. A refusal in between is not the second doubt, nor its pardon.
    let refused = Do::Say(451, "4.3.0 later");
    for refusals in 0..3 {
        let refused = refused.clone();
        let receiver = Receiver::start(move |at| match at.event {
            Event::Message(..) if (1..=refusals).contains(&at.connection) => refused.clone(),
            Event::Message(..) => Do::Close,
            _ => Do::Go,
        })
        .await;
        let mut engine = Engine::start(mta::Settings {
            messages_per_connection_max: 1,
            ..hasty(to(receiver.address))
        });
        let mail = mta::ready::Ready {
            expires: engine.clock.now() + Duration::from_hours(1000),
            ..engine.mail(1, "r@dest.example")
        };
        engine.send(mail);
        let mut doubts = Vec::new();
        let last = loop {
            let ended = engine.end_ahead(Duration::from_hours(1)).await;
            match ended.outcome {
                Outcome::InDoubt { retry: Some(_) } => doubts.push(ended.attempt.0),
                Outcome::Deferred { .. } => {}
                _ => break ended,
            }
            assert!(receiver.connections() < 20, "{doubts:?}");
        };
        let attempts = u16::try_from(refusals).unwrap() + 2;
        assert_eq!(
            (last.outcome, last.attempt.0),
            (Outcome::InDoubt { retry: None }, attempts)
        );
        assert_eq!(doubts, [1]);
        assert_eq!(receiver.connections(), refusals + 2);
    }
}
