//! Injecting into the sink: every mail arrives once, whole, and is in the books.

use std::sync::Arc;

use super::*;
use crate::books::Books;
use crate::ledger::{Account, Kind};
use crate::service::Route;
use crate::sink::{Settings, Sink};

fn address(text: &str) -> EmailAddress {
    EmailAddress::try_from(text).unwrap()
}

fn tags(count: u32) -> impl Iterator<Item = Tag> + Send {
    (0..count).map(|number| Tag {
        kind: Kind::Message,
        number,
    })
}

/// Injects so many mails of so many bytes.
fn run(into: SocketAddr, books: &Books, count: u32, bytes: usize, rate: Option<f64>) -> Injected {
    let from = address("shop@load.test");
    let injection = Injection {
        tags: &mut tags(count),
        from: from.clone(),
        recipient: &|tag| address(&format!("{tag}@x.load.test")),
        mail: &|tag, to| mail(tag, &from, to, bytes),
        sessions: 4,
        envelopes: Envelopes::Ahead,
        rate,
        ledger: &books.ledger,
    };
    inject(into, injection).unwrap()
}

fn sink(books: &Books) -> (Sink, SocketAddr) {
    let sink = Sink::start(&Settings::default(), books.clone()).unwrap();
    let Route::Host(address) = sink.route() else {
        panic!("{:?}", sink.route())
    };
    (sink, address)
}

#[test]
fn every_mail_arrives_once_and_whole() {
    let books = Books::new([0, 500, 0, 0], Instant::now());
    let (sink, into) = sink(&books);
    let injected = run(into, &books, 500, 4000, None);
    assert_eq!(
        (injected.accepted, injected.refused, injected.failed, injected.retried),
        (500, 0, 0, 0)
    );
    assert_eq!(injected.micros.len(), 500);
    assert_eq!(
        books.ledger.account(Kind::Message),
        Account {
            asked: 500,
            acknowledged: 500,
            taken: 500,
            ..Account::default()
        }
    );
    let tally = sink.tally();
    assert_eq!(
        (tally.mails, tally.digests, tally.digests_wrong, tally.sessions),
        (500, 500, 0, 4)
    );
}

#[test]
fn at_a_rate_mails_are_due_one_after_the_other() {
    let books = Books::new([0, 100, 0, 0], Instant::now());
    let (_sink, into) = sink(&books);
    let injected = run(into, &books, 100, 500, Some(500.0));
    assert_eq!(injected.accepted, 100);
    // The last of a hundred is due after 99 of 500ths of a second.
    assert!(injected.seconds >= 0.198, "{}", injected.seconds);
}

#[test]
fn big_mails_do_not_stop_the_small_answers() {
    let books = Books::new([0, 12, 0, 0], Instant::now());
    let (sink, into) = sink(&books);
    let injected = run(into, &books, 12, 2_000_000, None);
    assert_eq!(injected.accepted, 12);
    assert_eq!((sink.tally().digests, sink.tally().digests_wrong), (12, 0));
}

/// A relay that refuses for now what it has not refused before, and breaks its second session behind a final dot.
async fn moody(listener: tokio::net::TcpListener, said: Arc<std::sync::Mutex<Vec<String>>>) {
    use smtp::server::{Answer, Event, Server, Settings};
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let mut sessions = 0;
    loop {
        let (mut stream, _) = listener.accept().await.unwrap();
        sessions += 1;
        let (breaks, said) = (sessions == 2, Arc::clone(&said));
        tokio::spawn(async move {
            let mut server = Server::new(Settings::default());
            let mut buffer = [0; 4096];
            loop {
                while let Some(event) = server.poll_event() {
                    let mut answer = Answer::Default;
                    match event {
                        Event::Rcpt(to) if !said.lock().unwrap().contains(&to) => {
                            said.lock().unwrap().push(to);
                            answer = Answer::Line(450, "4.7.1 greylisted".to_owned());
                        }
                        Event::Message(..) if breaks => return,
                        _ => {}
                    }
                    server.answer(answer);
                }
                let output = server.output().to_vec();
                server.wrote(output.len());
                if stream.write_all(&output).await.is_err() || server.is_closing() {
                    return;
                }
                let count = stream.read(&mut buffer).await.unwrap_or(0);
                if count == 0 {
                    return;
                }
                server.receive(&buffer[..count]);
            }
        });
    }
}

#[test]
fn what_is_refused_for_now_or_in_doubt_is_tried_again() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .unwrap();
    let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
    let into = listener.local_addr().unwrap();
    runtime.spawn(moody(listener, Arc::default()));
    let books = Books::new([0, 40, 0, 0], Instant::now());
    let injected = run(into, &books, 40, 500, None);
    assert_eq!((injected.accepted, injected.refused, injected.failed), (40, 0, 0));
    assert_eq!(injected.in_doubt, 1);
    assert!(injected.retried > 40, "{injected:?}");
    assert_eq!(injected.replies.get("rcpt 450 4.7.1 greylisted"), Some(&40));
    assert_eq!(books.ledger.account(Kind::Message).acknowledged, 40);
}

#[test]
fn a_relay_that_is_not_there_is_told_in_the_end() {
    let (mut tags, ledger) = (tags(1), Ledger::new([0, 1, 0, 0]));
    let mut work = Work::new(Injection {
        tags: &mut tags,
        from: address("a@load.test"),
        recipient: &|tag| address(&format!("{tag}@x.load.test")),
        mail: &|_, _| Vec::new(),
        sessions: 1,
        envelopes: Envelopes::Ahead,
        rate: None,
        ledger: &ledger,
    });
    let now = Instant::now();
    let Next::Send(job) = work.next(now) else { panic!() };
    work.put_back(job, now);
    assert!(matches!(work.next(now), Next::Wait(at) if at > now));
    let Next::Send(job) = work.next(now + RETRY_FIRST) else {
        panic!()
    };
    work.put_back(job, now + PATIENCE + RETRY_FIRST);
    assert!(matches!(work.next(now), Next::End));
    assert_eq!(work.injected.failed, 1);
}
