//! STARTTLS: against aiosmtpd, and where it fails or is tampered with.

use types::event::Outcome;

use crate::server::{Do, Receiver};
use crate::support::{Engine, to};
use smtp::server::{Event, Settings};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn plaintext_injected_behind_starttls_sends_nothing_there() {
    let settings = Settings {
        starttls: true,
        ..Default::default()
    };
    let receiver = Receiver::with(settings, |at| match (at.connection, at.event) {
        (0, Event::StartTls) => Do::Raw(b"250-forged\r\n250 PIPELINING\r\n"),
        _ => Do::Go,
    })
    .await;
    let mut engine = Engine::start(to(receiver.address));
    engine.send(engine.mail(1, "r@dest.example"));
    let first = engine.end().await;
    assert!(matches!(first.outcome, Outcome::Deferred { .. }), "{first:?}");
    assert_eq!(receiver.count(), 0);
    assert!(first.reply.contains("injected"), "{first:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn broken_tls_is_remembered_and_mail_goes_in_the_clear() {
    let settings = Settings {
        starttls: true,
        ..Default::default()
    };
    let receiver = Receiver::with(settings, |at| match at.event {
        // Agrees to TLS, and then cannot.
        Event::StartTls => Do::SayAndClose(220, "go ahead"),
        _ => Do::Go,
    })
    .await;
    let mut engine = Engine::start(mta::Settings {
        messages_per_connection_max: 1,
        ..to(receiver.address)
    });
    engine.send(engine.mail(1, "r@dest.example"));
    let ended = engine.end().await;
    assert_eq!((ended.outcome, ended.tls), (Outcome::Delivered, None));
    assert_eq!(receiver.connections(), 2);
    engine.send(engine.mail(2, "r@dest.example"));
    assert_eq!(engine.end().await.outcome, Outcome::Delivered);
    assert_eq!(receiver.connections(), 3, "TLS was not tried again");
    assert!(engine.metric("mta_starttls_total", "failed") >= 1.0);
}
