//! What the sink finds in mails that were sent over it, whole or altered.

mod peers;

use std::collections::VecDeque;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Instant;

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der, PublicKeyX509Der};
use aws_lc_rs::rsa::{KeyPair as RsaPair, KeySize};
use aws_lc_rs::signature::KeyPair as _;
use data_encoding::{BASE64, HEXLOWER};
use mail_auth::common::crypto::{Ed25519Key, RsaKey, Sha256, SigningKey};
use mail_auth::common::headers::HeaderWriter;
use mail_auth::dkim::{Canonicalization, DkimSigner};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::*;
use crate::ledger::{Account, Kind, Tag};

/// Books in which ten orders are asked for and acknowledged.
fn books() -> Books {
    let books = Books::new([10, 0, 0, 2], Instant::now());
    for (kind, count) in [(Kind::Order, 10), (Kind::Prepared, 2)] {
        for number in 0..count {
            books.ledger.ask(Tag { kind, number }, Instant::now());
            books.ledger.acknowledge(Tag { kind, number }, Instant::now());
        }
    }
    books
}

/// A mail that tells the digest of its body, before dot-stuffing.
fn digested(body: &[u8]) -> Vec<u8> {
    let digest = HEXLOWER.encode(digest(&SHA256, body).as_ref());
    [
        format!("From: <a@shop.test>\r\nSubject: x\r\n{DIGEST_FIELD}: {digest}\r\n\r\n").as_bytes(),
        body,
    ]
    .concat()
}

fn stuffed(mail: &[u8]) -> Vec<u8> {
    let text = String::from_utf8(mail.to_vec()).unwrap();
    assert!(!text.starts_with('.'));
    text.replace("\r\n.", "\r\n..").into_bytes()
}

/// One transaction as a client sends it.
fn transaction(recipient: &str, mail: &[u8]) -> Vec<u8> {
    let envelope = format!("MAIL FROM:<b@shop.test>\r\nRCPT TO:<{recipient}>\r\nDATA\r\n");
    [envelope.as_bytes(), &stuffed(mail), b".\r\n"].concat()
}

/// Sends transactions over one connection, pipelined beyond what a polite client would.
fn send(sink: &Sink, transactions: &[Vec<u8>]) -> String {
    let Route::Host(address) = sink.route() else {
        panic!("{:?}", sink.route())
    };
    let mut stream = TcpStream::connect(address).unwrap();
    stream.write_all(b"EHLO client.test\r\n").unwrap();
    for transaction in transactions {
        stream.write_all(transaction).unwrap();
    }
    stream.write_all(b"QUIT\r\n").unwrap();
    let mut said = String::new();
    stream.read_to_string(&mut said).unwrap();
    said
}

#[test]
fn first_again_and_stranger_are_told_apart() {
    let books = books();
    let sink = Sink::start(&Settings::default(), books.clone()).unwrap();
    let mail = digested(b"one\r\n");
    let said = send(
        &sink,
        &[
            transaction("o3@x.test", &mail),
            transaction("o4@x.test", &mail),
            transaction("o3@x.test", &mail),
            transaction("postmaster@x.test", &mail),
            transaction("o10@x.test", &mail),
        ],
    );
    assert_eq!(said.matches("250 2.0.0 accepted").count(), 5, "{said}");
    let tally = sink.tally();
    assert_eq!(
        (tally.mails, tally.sessions, tally.copies, tally.strangers),
        (5, 1, 1, 2)
    );
    assert_eq!((tally.digests, tally.digests_wrong), (5, 0));
    assert_eq!(tally.bytes, 5 * u64::try_from(mail.len()).unwrap());
    assert_eq!(
        books.ledger.account(Kind::Order),
        Account {
            asked: 10,
            acknowledged: 10,
            taken: 2,
            missing: vec![0, 1, 2, 5, 6, 7, 8, 9],
            twice: vec![3],
            ..Account::default()
        }
    );
    assert_eq!(books.meters.read(crate::meter::Measure::OrderDelivered).micros.len(), 2);
}

#[test]
fn an_altered_body_is_damage_of_that_mail() {
    let books = books();
    let sink = Sink::start(&Settings::default(), books.clone()).unwrap();
    let mut altered = digested(b"hello\r\n");
    let last = altered.len() - 3;
    altered[last] = b'0';
    send(
        &sink,
        &[
            transaction("o1@x.test", &digested(b"hello\r\n")),
            transaction("o2@x.test", &altered),
        ],
    );
    assert_eq!((sink.tally().digests, sink.tally().digests_wrong), (2, 1));
    assert_eq!(sink.tally().damaged, 1);
    assert_eq!(books.ledger.account(Kind::Order).damaged, [2]);
}

#[test]
fn dots_and_a_megabyte_arrive_as_they_were() {
    let books = books();
    let sink = Sink::start(&Settings::default(), books.clone()).unwrap();
    let dots = digested(b"..\r\n.\r\n.x\r\n\r\n.\r\nend.\r\n");
    let big = digested(".0123456789 and so on, a line of mail\r\n".repeat(27_000).as_bytes());
    assert!(big.len() > 1_000_000);
    send(
        &sink,
        &[transaction("o1@x.test", &dots), transaction("o2@x.test", &big)],
    );
    assert_eq!((sink.tally().digests, sink.tally().digests_wrong), (2, 0));
    let account = books.ledger.account(Kind::Order);
    assert_eq!((account.taken, account.damaged), (2, vec![]));
}

/// A connection that gives its bytes in these pieces, one a read, and takes all.
struct Pieces {
    pieces: VecDeque<Vec<u8>>,
    said: Vec<u8>,
}

impl AsyncRead for Pieces {
    fn poll_read(mut self: Pin<&mut Self>, _: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<std::io::Result<()>> {
        into.put_slice(&self.pieces.pop_front().unwrap_or_default());
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Pieces {
    fn poll_write(mut self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<std::io::Result<usize>> {
        self.said.extend_from_slice(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

#[tokio::test]
async fn where_reads_part_a_mail_does_not_matter() {
    let all = [
        b"EHLO c.test\r\n",
        &transaction("o1@x.test", &digested(b".a\r\n\r\n..\r\nb\r\n"))[..],
        b"QUIT\r\n",
    ]
    .concat();
    let splits = (1..all.len()).map(|at| vec![all[..at].to_vec(), all[at..].to_vec()]);
    let bytes = std::iter::once(all.iter().map(|byte| vec![*byte]).collect());
    for pieces in splits.chain(bytes) {
        let (books, shown) = (
            books(),
            format!("{:?}", pieces.iter().map(Vec::len).collect::<Vec<_>>()),
        );
        let intake = Intake::new(Keeping::Books(books.clone()), 0, 0);
        let mut stream = Pieces {
            pieces: pieces.into(),
            said: Vec::new(),
        };
        session::converse(&mut stream, Ipv4Addr::LOCALHOST.into(), None, &intake)
            .await
            .unwrap();
        assert!(stream.said.ends_with(b"221 2.0.0 bye\r\n"), "{shown}");
        let tally = intake.tally();
        assert_eq!((tally.mails, tally.digests, tally.digests_wrong), (1, 1, 0), "{shown}");
        assert_eq!(books.ledger.account(Kind::Order).taken, 1, "{shown}");
    }
}

#[test]
fn a_broken_sink_says_250_and_forgets() {
    let books = books();
    let settings = Settings {
        drop_one_in: 3,
        ..Settings::default()
    };
    let sink = Sink::start(&settings, books.clone()).unwrap();
    let mail = digested(b"x\r\n");
    let transactions: Vec<_> = (0..10).map(|n| transaction(&format!("o{n}@x.test"), &mail)).collect();
    let said = send(&sink, &transactions);
    assert_eq!(said.matches("250 2.0.0 accepted").count(), 10, "{said}");
    let dropped: Vec<u32> = sink.tally().dropped.iter().map(|tag| tag.number).collect();
    assert_eq!(dropped, [2, 5, 8]);
    assert_eq!(books.ledger.account(Kind::Order).missing, dropped);
}

#[test]
fn links_come_from_prepared_mails_alone() {
    let sink = Sink::start(&Settings::default(), books()).unwrap();
    let mail = |token: &str| digested(format!("https://t.test/c/{token} https://t.test/o/{token}.gif\r\n").as_bytes());
    send(
        &sink,
        &[
            transaction("p1@x.test", &mail("AAAAAAAAAAAAAAAAAAAAAAAA")),
            transaction("o1@x.test", &mail("BBBBBBBBBBBBBBBBBBBBBBBB")),
        ],
    );
    assert_eq!(sink.links().counts(), [1, 1]);
    assert_eq!(
        sink.links().next_click().as_deref(),
        Some("/c/AAAAAAAAAAAAAAAAAAAAAAAA")
    );
}

#[test]
fn nobody_listens_at_a_dead_sink() {
    let settings = Settings {
        guise: Guise::Dead,
        ..Settings::default()
    };
    let sink = Sink::start(&settings, books()).unwrap();
    let Route::Host(address) = sink.route() else {
        panic!("{:?}", sink.route())
    };
    let refused = TcpStream::connect(address).unwrap_err();
    assert_eq!(refused.kind(), std::io::ErrorKind::ConnectionRefused);
}

#[test]
fn its_cpu_time_grows_with_its_work() {
    let sink = Sink::start(&Settings::default(), books()).unwrap();
    let before = sink.cpu();
    let mail = digested("a line that is hashed\r\n".repeat(40_000).as_bytes());
    send(
        &sink,
        &[transaction("o1@x.test", &mail), transaction("o2@x.test", &mail)],
    );
    assert!(sink.cpu() > before, "{before:?}");
}

const HEAD: &str = "From: <a@shop.test>\r\nTo: <b@x.test>\r\nSubject: hello\r\n";

/// A key pair's signature on a mail, put before it, and the record to publish.
fn sign<K: SigningKey<Hasher = Sha256>>(
    key: K,
    public: (&str, &[u8]),
    selector: &str,
    mail: &[u8],
) -> (Vec<u8>, (String, String)) {
    let (kind, public) = public;
    let signature = DkimSigner::from_key(key)
        .domain("shop.test")
        .selector(selector)
        .headers(["From", "To", "Subject"])
        .header_canonicalization(Canonicalization::Relaxed)
        .body_canonicalization(Canonicalization::Relaxed)
        .sign(mail)
        .unwrap();
    let record = (
        format!("{selector}._domainkey.shop.test"),
        format!("v=DKIM1; k={kind}; p={}", BASE64.encode(public)),
    );
    ([signature.to_header().as_bytes(), mail].concat(), record)
}

/// A mail with a signature of each algorithm, and the records of their keys.
fn signed(body: &str) -> (Vec<u8>, Vec<(String, String)>) {
    let mail = format!("{HEAD}\r\n{body}");
    let pair = RsaPair::generate(KeySize::Rsa2048).unwrap();
    let public: PublicKeyX509Der<'_> = pair.public_key().as_der().unwrap();
    let private: Pkcs8V1Der<'_> = pair.as_der().unwrap();
    let private_key = rustls::pki_types::PrivatePkcs8KeyDer::from(private.as_ref()).into();
    let key = RsaKey::<Sha256>::from_key_der(private_key).unwrap();
    let (mail, rsa) = sign(key, ("rsa", public.as_ref()), "s1", mail.as_bytes());
    let key = Ed25519Key::from_pkcs8_der(&Ed25519Key::generate_pkcs8().unwrap()).unwrap();
    let public = key.public_key();
    let (mail, ed25519) = sign(key, ("ed25519", &public), "s2", &mail);
    (mail, vec![rsa, ed25519])
}

#[test]
fn signatures_are_verified_whole_with_keys_that_were_told() {
    let (mail, records) = signed("hello  world\r\n.\r\n");
    let text = String::from_utf8(mail.clone()).unwrap();
    let books = books();
    let settings = Settings {
        check_dkim_one_in: 1,
        ..Settings::default()
    };
    let sink = Sink::start(&settings, books.clone()).unwrap();
    send(&sink, &[transaction("o0@x.test", &mail)]);
    assert_eq!(sink.tally().dkim_checked, 0, "no key was told");
    sink.trust(&records).unwrap();
    send(
        &sink,
        &[
            transaction("o1@x.test", &mail),
            // What a relay may change does not matter to relaxed signatures; and fields that are not signed.
            transaction(
                "o2@x.test",
                text.replace("Subject: hello", "subject:  hello\t").as_bytes(),
            ),
            transaction("o3@x.test", [b"Received: from x\r\n", &mail[..]].concat().as_slice()),
            // What alters a signed field, a signature, or the body does.
            transaction("o4@x.test", text.replace("Subject: hello", "Subject: hullo").as_bytes()),
            transaction("o5@x.test", text.replace("hello  world", "hello  w0rld").as_bytes()),
            transaction("o6@x.test", text.replace("d=shop.test", "d=other.test").as_bytes()),
        ],
    );
    let tally = sink.tally();
    assert_eq!((tally.body_hashes, tally.body_hashes_wrong), (14, 2));
    // The body's alteration is found by the body hashes.
    assert_eq!((tally.dkim_checked, tally.dkim_failed), (12, 4));
    assert_eq!(books.ledger.account(Kind::Order).damaged, [4, 5, 6]);
}

#[test]
fn one_in_so_many_is_verified_whole() {
    let (mail, records) = signed("x\r\n");
    let settings = Settings {
        check_dkim_one_in: 5,
        ..Settings::default()
    };
    let sink = Sink::start(&settings, books()).unwrap();
    sink.trust(&records).unwrap();
    let mails: Vec<_> = (0..10).map(|n| transaction(&format!("o{n}@x.test"), &mail)).collect();
    send(&sink, &mails);
    let tally = sink.tally();
    assert_eq!((tally.body_hashes, tally.dkim_checked, tally.dkim_failed), (20, 4, 0));
    let broken = sink.trust(&[("s._domainkey.x.test".to_owned(), "v=DKIM1; p=!".to_owned())]);
    assert!(broken.is_err());
}

#[test]
fn a_section_refuses_what_it_does_not_know() {
    let read = |text: &str| toml::from_str::<Settings>(text);
    assert_eq!(read("as = \"dead\"\ndrop_one_in = 7").unwrap().guise, Guise::Dead);
    assert_eq!(read("").unwrap().check_dkim_one_in, 100);
    assert!(read("as = \"odd\"").is_err());
    assert!(read("drop = 1").is_err());
}
